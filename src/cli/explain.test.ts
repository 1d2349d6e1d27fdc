import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { NO_OPERATIONS } from "../../test/fakes/no-operations.ts";
import { NO_DEVICES } from "../../test/fakes/no-devices.ts";
import { controlSocketPath, startAdmin, type StatusView } from "../admin/admin.ts";
import { main } from "./program.ts";

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-explain-"));
  await writeFile(
    join(directory, "p.yaml"),
    `
hostname: relay.contoso.com
data_dir: data
organization: { domains: [contoso.com], postmaster: it@contoso.com }
listeners: { printers: { listen: ":25" } }
clients: { floor: { networks: [10.20.0.0/16] } }
upstreams:
  first: { type: smart-host, host: a.example, limits: { max_message_size: 1MiB } }
  second: { type: smart-host, host: b.example }
routes: [{ name: default, via: [first, second] }]
`,
  );
});
afterAll(async () => rm(directory, { recursive: true }));

/** Runs the command in this process. */
async function explain(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = "";
  let err = "";
  const spies = [
    vi.spyOn(process.stdout, "write").mockImplementation((text) => ((out += String(text)), true)),
    vi.spyOn(process.stderr, "write").mockImplementation((text) => ((err += String(text)), true)),
  ];
  try {
    const code = await main(["--config", join(directory, "p.yaml"), "explain", ...args]);
    return { code, out, err };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

const FLOOR = ["--ip", "10.20.3.4", "--from", "printer@contoso.com"];

test("it prints client, sender, route and doors without a daemon, and ends with 0", async () => {
  const { code, out, err } = await explain(...FLOOR, "--to", "anna@contoso.com", "--to", "ben@contoso.com", "--size", "2MiB");

  expect(err).toBe("");
  expect(code).toBe(0);
  expect(out).toContain("client    floor, by its network");
  expect(out).toContain("ben@contoso.com: accepted, route default");
  expect(out).toMatch(/first\tsmart-host\tno: the message is too large for it/);
  expect(out).toMatch(/->\tsecond\tsmart-host\tyes/);
  expect(out).toContain("No daemon is running");
});

test("what would be refused ends with 77, with the words of the reply", async () => {
  expect(await explain(...FLOOR, "--to", "x@fabrikam.example")).toMatchObject({
    code: 77,
    out: expect.stringContaining("refused: 550 5.7.1 Refused by policy: recipient x@fabrikam.example"),
  });
  expect(await explain("--ip", "192.0.2.1", "--from", "a@contoso.com", "--to", "b@contoso.com")).toMatchObject({
    code: 77,
    out: expect.stringContaining("554 5.7.1 relay.contoso.com 192.0.2.1 is not allowed to relay"),
  });
});

test("a refusal comes with what lets it through", async () => {
  const [recipient, sender, stranger] = [
    await explain(...FLOOR, "--to", "x@fabrikam.example"),
    await explain("--ip", "10.20.3.4", "--from", "a@fabrikam.example", "--to", "anna@contoso.com"),
    await explain("--ip", "192.0.2.1", "--from", "a@contoso.com", "--to", "b@contoso.com"),
  ];

  expect(recipient.out).toContain("  remedy: add it to clients.floor.recipients, then postern reload; or correct it in the device\n");
  expect(sender.out).toMatch(/^remedy +add it to clients\.floor\.senders, then postern reload/m);
  expect(stranger.out).toMatch(
    /^remedy +postern devices allow 192\.0\.2\.1 --client NAME, or put its network into clients\.NAME\.networks$/m,
  );
});

test("a size beyond the limit is refused as a size, without an arrow at a door", async () => {
  const { code, out } = await explain(...FLOOR, "--to", "anna@contoso.com", "--size", "100MiB");

  expect(code).toBe(77);
  expect(out).toMatch(/^sender +accepted as printer@contoso\.com$/m);
  expect(out).toMatch(/^size +refused: 552 5\.3\.4 /m);
  expect(out).not.toContain("->");
});

test("a user that the listener does not ask for is not dropped in silence", async () => {
  expect((await explain(...FLOOR, "--to", "anna@contoso.com", "--user", "sap")).out).toMatch(
    /^user +sap counts for nothing here: listener printers takes no sign-in$/m,
  );
});

test.each([
  [["--ip", "printer", "--from", "a", "--to", "b"], "--ip"],
  [[...FLOOR, "--to", "a b"], "--to"],
  [[...FLOOR, "--to", "<>"], "--to"],
  [[...FLOOR, "--to", "b", "--size", "big"], "--size"],
  [[...FLOOR, "--to", "b", "--listener", "fax"], "--listener"],
  [FLOOR, "--to"],
])("bad input is one line and 64: %j", async (args, option) => {
  const { code, err } = await explain(...args);

  expect(code).toBe(64);
  expect(err.trim().split("\n")).toHaveLength(1);
  expect(err).toContain(option);
});

test("with a daemon it shows how the doors are, and takes the one that is open", async () => {
  const upstream = (name: string): object => ({ name, type: "smart-host", host: "", port: 25, waiting: 0, budgets: [] });
  const hold = { since: 0, cause: "authentication refused", closedBy: undefined, nextProbeAt: 0, probes: 0 };
  const status = { upstreams: [{ ...upstream("first"), hold }, upstream("second")] } as unknown as StatusView;
  const admin = await startAdmin({
    listen: [],
    controlSocket: controlSocketPath(join(directory, "data")),
    queue: {
      list: async () => [],
      show: async () => undefined,
      find: async () => [],
      contentRow: async () => undefined,
      act: async () => ({ changed: [], recipients: 0, messages: 0, busy: 0 }),
    },
    devices: NO_DEVICES,
    ...NO_OPERATIONS,
    status: async () => status,
    ready: () => ({ ok: true, reasons: [] }),
    metricsText: async () => "",
    version: { postern: "0", node: "0", sqlite: "0" },
    emit: () => undefined,
  });
  try {
    const { code, out } = await explain(...FLOOR, "--to", "anna@contoso.com");

    expect(code).toBe(0);
    expect(out).toMatch(/first\tsmart-host\tyes\tprinter@contoso.com\theld: authentication refused/);
    expect(out).toMatch(/->\tsecond\tsmart-host\tyes\tprinter@contoso.com\tup/);
  } finally {
    await admin.close();
  }
});
