import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { PosternEvent } from "../mail/events.ts";
import { ManualClock } from "../platform/clock.ts";
import type { AdmittingClient } from "./admissions.ts";
import { Devices, type DevicesOptions } from "./devices.ts";
import { networkSet } from "./network-set.ts";

const START = Date.UTC(2026, 10, 2, 9, 0);
const FLOOR: AdmittingClient = { name: "floor", listeners: ["printers"], hosts: [] };

let directory: string;
let clock: ManualClock;
let events: PosternEvent[];
const running: Devices[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-devices-"));
  clock = new ManualClock(START);
  events = [];
});

afterEach(async () => {
  for (const devices of running.splice(0)) await devices.stop();
  await rm(directory, { recursive: true });
});

async function start(options: Partial<DevicesOptions> = {}): Promise<Devices> {
  const devices = new Devices({
    directory,
    clients: [FLOOR],
    lookUp: () => Promise.resolve([]),
    lookUpName: () => Promise.resolve(undefined),
    emit: (event) => events.push(event),
    clock,
    ...options,
  });
  running.push(devices);
  await devices.start();
  return devices;
}

const opened = (device: string): PosternEvent => ({
  type: "session.opened",
  session: "s-1",
  listener: "printers",
  client: "floor",
  device,
  implicitTls: false,
  admission: "network",
});

describe("a device that an operator allows", () => {
  test("is let in at once, on the client's listeners only, and after a restart", async () => {
    const devices = await start();
    expect(devices.admit("10.9.0.1", "printers")).toBeUndefined();

    await devices.allow("10.9.0.1", "floor", "kim");

    expect(devices.admit("10.9.0.1", "printers")).toEqual({ client: "floor", how: "allowed" });
    expect(devices.admit("10.9.0.1", "submission")).toBeUndefined();
    expect(events).toContainEqual({ type: "device.allowed", device: "10.9.0.1", client: "floor", operator: "kim" });
    // Nothing was stopped in an orderly way: what is on disk is enough.
    const again = await start();
    expect(again.admit("10.9.0.1", "printers")).toEqual({ client: "floor", how: "allowed" });
    expect(again.allowed()).toEqual([{ address: "10.9.0.1", client: "floor", since: START, by: "kim" }]);
  });

  test("is out again once it is forgotten", async () => {
    const devices = await start();
    await devices.allow("2001:DB8::7", "floor", "kim");

    expect(await devices.forget("2001:db8::7", "lee")).toBe(true);

    expect(devices.admit("2001:db8::7", "printers")).toBeUndefined();
    expect(await devices.forget("2001:db8::7", "lee")).toBe(false);
    expect((await start()).allowed()).toEqual([]);
  });

  test.each([
    ["10.9.0.300", "floor", /is not an IP address/],
    ["printer7", "floor", /is not an IP address/],
    ["fe80::1%eth0", "floor", /is not an IP address/],
    ["10.9.0.1", "flor", /there is no client "flor"/],
  ])("must be an address and a client: %s for %s", async (address, client, fault) => {
    const devices = await start();

    await expect(devices.allow(address, client, "kim")).rejects.toThrow(fault);
    expect(devices.allowed()).toEqual([]);
  });

  test("is not allowed when that cannot be written", async () => {
    const devices = await start();
    await rm(directory, { recursive: true });

    await expect(devices.allow("10.9.0.1", "floor", "kim")).rejects.toThrow(/ENOENT/);
    expect(devices.admit("10.9.0.1", "printers")).toBeUndefined();
    directory = await mkdtemp(join(tmpdir(), "postern-devices-"));
  });
});

test("a learning client lets unknown addresses of its networks in until its time is over", async () => {
  const learn = { networks: networkSet(["10.9.0.0/24", "fd00:9::/64"]), from: START + 1000, until: START + 3_600_000 };
  const devices = await start({ clients: [{ ...FLOOR, learn }] });

  expect(devices.admit("10.9.0.77", "printers")).toBeUndefined();
  clock.advance(1000);

  expect(devices.admit("10.9.0.77", "printers")).toEqual({ client: "floor", how: "learned" });
  expect(devices.admit("fd00:9::5", "printers")).toEqual({ client: "floor", how: "learned" });
  expect(devices.admit("10.9.1.77", "printers")).toBeUndefined();
  expect(devices.admit("10.9.0.77", "submission")).toBeUndefined();
  await devices.allow("10.9.0.77", "floor", "kim");
  clock.advance(3_600_000);

  expect(devices.admit("10.9.0.77", "printers")).toEqual({ client: "floor", how: "allowed" });
  expect(devices.admit("10.9.0.78", "printers")).toBeUndefined();
});

describe("a name of a DHCP client", () => {
  const named = { ...FLOOR, hosts: ["npi65e56.corp.local"] };

  test("lets its present address in, and the next one with the first connection", async () => {
    let addresses = ["10.9.0.5"];
    const devices = await start({ clients: [named], lookUp: () => Promise.resolve(addresses) });
    await devices.lookAgain("10.9.0.5", "printers");
    expect(devices.admit("10.9.0.5", "printers")).toEqual({ client: "floor", how: "named" });

    addresses = ["10.9.0.6"];
    clock.advance(10_000);
    expect(devices.admit("10.9.0.6", "printers")).toBeUndefined();
    expect(await devices.lookAgain("10.9.0.6", "printers")).toEqual({ client: "floor", how: "named" });

    expect(devices.admit("10.9.0.5", "printers")).toBeUndefined();
  });

  test("is one of several that a device has: each listener finds the client that lists one of them, whichever was answered last", async () => {
    const clients = [
      { ...FLOOR, name: "scans", listeners: ["printers"], hosts: ["scan.corp.local"] },
      { ...FLOOR, name: "app", listeners: ["submission"], hosts: ["erp.corp.local"] },
      { ...FLOOR, name: "rest", listeners: ["printers", "submission"], hosts: ["alias.corp.local"] },
    ];
    const devices = await start({ clients, lookUp: () => Promise.resolve(["10.9.0.5"]) });
    await devices.lookAgain("10.9.0.5", "printers");

    expect(devices.admit("10.9.0.5", "printers")).toEqual({ client: "scans", how: "named" });
    expect(devices.admit("10.9.0.5", "submission")).toEqual({ client: "app", how: "named" });
  });

  test("keeps its address while the name server does not answer, but not for ever", async () => {
    let answer: () => Promise<readonly string[]> = () => Promise.resolve(["10.9.0.5"]);
    const devices = await start({ clients: [named], lookUp: () => answer() });
    await devices.lookAgain("10.9.0.5", "printers");

    answer = () => Promise.reject(new Error("ETIMEOUT"));
    clock.advance(3_600_000);
    await devices.lookAgain("10.9.0.5", "printers");
    expect(devices.admit("10.9.0.5", "printers")).toBeDefined();

    clock.advance(25 * 3_600_000);
    await devices.lookAgain("10.9.0.5", "printers");
    expect(devices.admit("10.9.0.5", "printers")).toBeUndefined();
  });

  test("is not looked up for every connection of a stranger", async () => {
    let asked = 0;
    const devices = await start({
      clients: [named],
      lookUp: () => {
        asked += 1;
        return Promise.resolve([]);
      },
    });
    await devices.lookAgain("10.9.0.5", "printers");
    const before = asked;

    for (let i = 0; i < 100; i++) await devices.lookAgain("10.9.0.5", "printers");

    expect(asked - before).toBeLessThanOrEqual(1);
  });

  test("without names nobody waits for a look-up", async () => {
    expect((await start()).lookAgain("10.9.0.5", "printers")).toBeUndefined();
  });
});

describe("what was seen", () => {
  test("is written after a while and at the end, and read again", async () => {
    const devices = await start();
    devices.observe(opened("10.20.3.7"));
    expect(await readdir(directory)).toEqual([]);

    await devices.stop();

    expect((await start()).get("10.20.3.7")).toMatchObject({ verdict: "allowed", sessions: 1, firstSeen: START });
  });

  test("gets its name from the DNS, made printable", async () => {
    const named = Promise.withResolvers<void>();
    const devices = await start({
      lookUpName: () => {
        queueMicrotask(named.resolve);
        return Promise.resolve("npi\u001b65e56.corp.local");
      },
    });

    devices.observe(opened("10.20.3.7"));
    clock.advance(1);
    await named.promise;
    await Promise.resolve();

    expect(devices.get("10.20.3.7")?.dnsName).toBe("npi?65e56.corp.local");
  });

  test("in a damaged file is put aside with an alert, and never overwritten", async () => {
    await writeFile(join(directory, "allowed-devices.json"), '{"version":1,"devices":[{"addr');

    const devices = await start();

    expect(devices.allowed()).toEqual([]);
    expect(await readFile(join(directory, "allowed-devices.json.damaged"), "utf8")).toBe('{"version":1,"devices":[{"addr');
    expect(events).toMatchObject([{ type: "alert.raised", alert: "devices.file", text: expect.stringContaining("is damaged") }]);
  });

  test("in a file that somebody edited badly costs only the bad entries", async () => {
    const good = { address: "10.9.0.1", client: "floor", since: 1, by: "kim" };
    await writeFile(
      join(directory, "allowed-devices.json"),
      JSON.stringify({ version: 1, devices: [good, { address: "nonsense", client: "floor" }, 7, null, { address: "10.9.0.2" }] }),
    );

    expect((await start()).allowed()).toEqual([good]);
  });
});
