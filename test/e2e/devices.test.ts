/** Devices that no network lists: seen, learned, allowed, with the commands an operator types. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { LineClient } from "../fakes/line-client.ts";
import { freePort } from "../support/ports.ts";
import type { RunningProcess } from "../support/process.ts";
import { tempDir, type TempDir } from "../support/temp-dir.ts";
import { postern, run, writeConfig, type Files } from "./process.ts";

let folder: TempDir;
let files: Files;
let relay: RunningProcess & { readonly port: number };

const isoMinute = (ms: number): string => new Date(ms).toISOString().slice(0, 16);

async function start(client: Record<string, unknown>): Promise<void> {
  files = await writeConfig(folder.path, await freePort(), {
    organization: { domains: ["contoso.com"], postmaster: "it@contoso.com", time_zone: "UTC" },
    clients: { floor: { networks: ["127.0.0.1"], recipients: "any", ...client } },
  });
  relay = await run(files);
}

beforeEach(async () => {
  folder = await tempDir();
});

afterEach(async () => {
  await relay.stop("SIGKILL");
  await folder.remove();
});

const devices = (...args: readonly string[]) => postern(files.configFile, "devices", ...args);

/** The greeting that an address gets. */
async function greeting(address: string): Promise<string> {
  await using client = await LineClient.open(relay.port, address);
  return await client.reply();
}

test("a refused address is listed with the remedy; allowed, it may send at once and after a restart; forgotten, it may not", async () => {
  await start({});
  expect(await greeting("127.0.0.9")).toMatch(/^554 5\.7\.1 .*127\.0\.0\.9 is not allowed to relay; ask the administrator to add it$/);
  const refused = await devices("list", "--refused", "--json");
  const shown = await devices("show", "127.0.0.9");

  const allowed = await devices("allow", "127.0.0.9", "--client", "floor");
  const after = await greeting("127.0.0.9");
  await relay.stop("SIGKILL");
  relay = await run(files);
  const restarted = await greeting("127.0.0.9");
  const forgotten = await devices("forget", "127.0.0.9");
  const out = await greeting("127.0.0.9");

  expect(JSON.parse(refused.stdout)).toMatchObject({ devices: [{ address: "127.0.0.9", verdict: "refused", refusals: 1 }], allowed: [] });
  expect(shown.stdout).toContain("postern devices allow 127.0.0.9 --client NAME");
  expect(allowed).toMatchObject({ code: 0, stdout: "127.0.0.9 may send as a device of client floor\n" });
  expect(after).toMatch(/^220 /);
  expect(restarted).toMatch(/^220 /);
  expect(forgotten.code).toBe(0);
  expect(out).toMatch(/^554 /);
});

test("a learning client lets its networks in and lists who came", async () => {
  await start({ learn: { networks: ["127.0.7.0/24"], until: isoMinute(Date.now() + 3_600_000) } });

  expect(await greeting("127.0.7.7")).toMatch(/^220 /);
  expect(await greeting("127.0.8.8")).toMatch(/^554 /);
  const { stdout } = await devices("list", "--learned");

  expect(stdout).toMatch(/^127\.0\.7\.7\t.*\tlearned\tfloor\t/m);
  expect(stdout).not.toContain("127.0.8.8");
});

test("learning for longer than two hours is refused by check and reload; a start, whose clock may be slow, opens its port and lets nobody in by it", async () => {
  await start({ learn: { networks: ["127.0.7.0/24"], until: isoMinute(Date.now() + 86_400_000) } });

  const [checked, reloaded] = [await postern(files.configFile, "check"), await postern(files.configFile, "reload")];

  for (const { code, stdout, stderr } of [checked, reloaded]) {
    expect(code).toBe(78);
    expect(stdout + stderr).toMatch(/postern\.yaml:\d+:\d+ clients\.floor\.learn\.until: expected a time at most 2 hours ahead/);
  }
  expect(await greeting("127.0.0.1")).toMatch(/^220 /);
  expect(await greeting("127.0.7.7")).toMatch(/^554 /);
});

test("a device that was let in before it ever came was never seen; a filter that fits none does not say that none was seen", async () => {
  await start({});
  await devices("allow", "127.0.0.9", "--client", "floor");

  const [listed, shown, traced, none] = [
    await devices("list"),
    await devices("show", "127.0.0.9"),
    await postern(files.configFile, "trace", "127.0.0.9"),
    await devices("list", "--client", "floor", "--refused"),
  ];

  expect(listed.stdout).toMatch(/^127\.0\.0\.9\t\tallowed\tfloor\tnever seen\t/m);
  expect(shown.stdout).toMatch(/^last seen +never$/m);
  expect(traced.stdout).toContain("127.0.0.9 was never seen: it did not reach this relay.");
  expect(none.stdout).toBe("");
  expect(none.stderr).toBe("no device fits\n");
});

test("what was seen can be read without the daemon; allowing needs it and says so with 69; a wrong client or address is one line with 64", async () => {
  await start({});
  await greeting("127.0.0.1");
  await greeting("127.0.0.9");
  const [wrongClient, wrongAddress, unknown] = [
    await devices("allow", "127.0.0.9", "--client", "flor"),
    await devices("allow", "printer", "--client", "floor"),
    await devices("show", "10.1.1.1"),
  ];
  await relay.stop();

  const listed = await devices("list", "--json");
  const allow = await devices("allow", "127.0.0.9", "--client", "floor");

  expect(wrongClient).toMatchObject({ code: 64, stderr: 'postern: there is no client "flor" in the configuration\n' });
  expect(wrongAddress).toMatchObject({ code: 64, stderr: 'postern: "printer" is not an IP address\n' });
  expect(unknown).toMatchObject({ code: 64, stderr: 'postern: no device with the address "10.1.1.1" was seen or allowed\n' });
  expect((JSON.parse(listed.stdout) as { devices: { address: string }[] }).devices.map(({ address }) => address)).toEqual([
    "127.0.0.9",
    "127.0.0.1",
  ]);
  expect(allow.code).toBe(69);
});
