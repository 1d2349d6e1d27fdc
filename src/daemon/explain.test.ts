import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { FakeUpstream } from "../../test/fakes/fake-upstream.ts";
import { loadConfig } from "../config/load.ts";
import type { Config } from "../config/config.ts";
import { DoorBoard } from "../deliver/door-board.ts";
import { explain, type Explanation, type ExplainRequest } from "./explain.ts";

const FILE = `
hostname: relay.contoso.com
data_dir: data
organization: { domains: [contoso.com], postmaster: it@contoso.com, default_sender: printers@contoso.com }
listeners:
  printers: { listen: ":25" }
  submission: { listen: ":587" }
  apps: { listen: ":2587", tls: { mode: required }, auth: required }
clients:
  sap: { networks: [10.40.0.1], users: [sap], listeners: [apps], recipients: any }
  floor: { networks: [10.20.0.0/16], listeners: [printers] }
  pos: { users: [pos], listeners: [apps] }
  erp: { networks: [10.30.1.5], recipients: any, max_message_size: 10MiB }
upstreams:
  inside: { type: smart-host, host: a.example }
  small: { type: smart-host, host: b.example }
  scans: { type: smart-host, host: c.example }
users:
  batch: { password_hash: "scrypt$ln=15,r=8,p=1$F/j8ZBAgAGNcN8+ZzLgqkA$+I7fUHTXtc0wKmqdooGlEjk4AknPAZ/0irmnUD27pD0" }
  pos: { password_hash: "scrypt$ln=15,r=8,p=1$F/j8ZBAgAGNcN8+ZzLgqkA$+I7fUHTXtc0wKmqdooGlEjk4AknPAZ/0irmnUD27pD0" }
  sap: { password_hash: "scrypt$ln=15,r=8,p=1$F/j8ZBAgAGNcN8+ZzLgqkA$+I7fUHTXtc0wKmqdooGlEjk4AknPAZ/0irmnUD27pD0" }
routes:
  - { name: night, match: { user: batch }, via: [scans] }
  - { name: outside, match: { client: erp, recipients: external }, via: [inside, scans] }
  - { name: default, via: [small, scans] }
`;

let directory: string;
let config: Config;
const upstreams = new Map(
  [
    new FakeUpstream({ name: "inside", traits: { serves: "internal" } }),
    new FakeUpstream({ name: "small", limits: { maxMessageSizeBytes: 1_000_000 } }),
    new FakeUpstream({
      name: "scans",
      mailbox: "scanner@contoso.com",
      traits: { sender: { mode: "rewrite", address: "scanner@contoso.com", sendAs: [] } },
      limits: { maxMessageSizeBytes: 20_000_000 },
    }),
  ].map((door) => [door.name, door] as const),
);

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "postern-explain-"));
  await writeFile(join(directory, "p.yaml"), FILE);
  const loaded = await loadConfig(join(directory, "p.yaml"));
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.faults));
  config = loaded.config;
});
afterAll(async () => rm(directory, { recursive: true }));

const nobody = async (): Promise<undefined> => undefined;
function ask(request: Partial<ExplainRequest>, board?: DoorBoard, by = config): Promise<Explanation> {
  return explain(
    {
      ip: "10.20.3.4",
      from: "printer@contoso.com",
      to: ["anna@contoso.com"],
      sizeBytes: undefined,
      listener: undefined,
      user: undefined,
      ...request,
    },
    { config: by, upstreams, board, admit: nobody },
  );
}

/** One line for each recipient: route, and the doors with what speaks against them; the chosen one in brackets. */
function ways(explanation: Explanation): string[] {
  return explanation.recipients.map(
    ({ given, route, refusal, doors }) =>
      `${given}: ${refusal ?? route ?? ""} ${doors.map(({ name, misfit, chosen }) => `${chosen ? `[${name}]` : name}${misfit === undefined ? "" : ` ${misfit}`}`).join(", ")}`,
  );
}

test("an address that no client has is told the greeting it would get", async () => {
  const unlisted = await ask({ ip: "192.0.2.9" });

  expect(unlisted).toMatchObject({
    accepted: false,
    client: undefined,
    refusal: "554 5.7.1 relay.contoso.com 192.0.2.9 is not allowed to relay; ask the administrator to add it",
  });
});

test("where users sign in, the user decides too", async () => {
  const listener = "apps";

  expect(await ask({ listener, ip: "10.40.0.1" })).toMatchObject({ accepted: false, refusal: "530 5.7.0 Authentication required" });
  expect(await ask({ listener, ip: "10.40.0.1", user: "sap" })).toMatchObject({ accepted: true, client: "sap" });
  expect(await ask({ listener, ip: "10.40.0.1", user: "batch" })).toMatchObject({
    accepted: false,
    refusal: expect.stringMatching(/^535 /),
  });
  expect(await ask({ listener, ip: "10.30.1.5", user: "batch" })).toMatchObject({ accepted: true, client: "erp" });
});

test("without a listener it is the first that lets the user in; where none does, the address counts alone", async () => {
  expect(await ask({ ip: "10.40.0.1", user: "sap" })).toMatchObject({ listener: "apps", client: "sap", user: "sap", accepted: true });
  expect(await ask({ ip: "10.30.1.5", user: "batch" })).toMatchObject({ listener: "apps", client: "erp", user: "batch" });
  const floor = await ask({ user: "batch" });
  expect(floor).toMatchObject({ listener: "printers", client: "floor", user: undefined, accepted: true });
  expect(ways(floor)).toEqual(["anna@contoso.com: default [small], scans"]);
});

test("a stranger is told what a listener without sign-in says, wherever that stands; with a user what that one is answered", async () => {
  const { printers, submission, apps } = config.listeners;
  const turned = { ...config, listeners: { apps, printers, submission } } as Config;

  for (const one of [config, turned]) {
    const stranger = await ask({ ip: "192.0.2.9" }, undefined, one);
    expect(stranger).toMatchObject({ listener: "printers", refusal: expect.stringMatching(/^554 /) });
  }
  expect(await ask({ ip: "192.0.2.9", user: "pos" })).toMatchObject({
    listener: "apps",
    client: "pos",
    admittedBy: "user",
    accepted: true,
  });
  expect(await ask({ ip: "192.0.2.9", user: "sap" })).toMatchObject({ listener: "apps", refusal: expect.stringMatching(/^535 /) });
});

test("the listener decides which clients there are; IPv4 in IPv6 is IPv4", async () => {
  expect(await ask({ ip: "::ffff:10.20.3.4" })).toMatchObject({ client: "floor", listener: "printers", address: "10.20.3.4" });
  expect(await ask({ listener: "submission" })).toMatchObject({ client: undefined, accepted: false });
  expect(await ask({ ip: "10.30.1.5", listener: "submission" })).toMatchObject({ client: "erp", listener: "submission" });
});

test("whom an operator let in is let in", async () => {
  const admit = async (address: string): Promise<{ client: string; how: "allowed" } | undefined> =>
    address === "192.0.2.9" ? { client: "floor", how: "allowed" } : undefined;

  const explanation = await explain(
    { ip: "192.0.2.9", from: "", to: ["anna@contoso.com"], sizeBytes: undefined, listener: undefined, user: undefined },
    { config, upstreams, board: undefined, admit },
  );

  expect(explanation).toMatchObject({ client: "floor", admittedBy: "allowed", accepted: true });
});

test("the sender is judged, completed or replaced, and shown as each door would send it", async () => {
  expect((await ask({ from: "x@fabrikam.example" })).sender.refusal).toMatch(/^550 5\.7\.1 .*senders of client floor/);
  expect((await ask({ from: "root" })).sender).toMatchObject({ sender: "root@contoso.com", replaces: undefined });
  expect((await ask({ from: "root@scanner.local" })).sender).toMatchObject({
    sender: "printers@contoso.com",
    replaces: "root@scanner.local",
  });
  expect((await ask({})).recipients[0]?.doors.map(({ name, sendsAs }) => `${name} ${sendsAs}`)).toEqual([
    "small printer@contoso.com",
    "scans scanner@contoso.com",
  ]);
});

test("each recipient has its verdict, its route and its doors", async () => {
  const erp = await ask({ ip: "10.30.1.5", to: ["anna@contoso.com", "x@fabrikam.example"] });

  expect(ways(erp)).toEqual(["anna@contoso.com: default [small], scans", "x@fabrikam.example: outside inside external-recipient, [scans]"]);
  expect(erp.accepted).toBe(true);
  const floor = await ask({ to: ["anna@contoso.com", "x@fabrikam.example"] });
  expect(ways(floor)[1]).toMatch(/^x@fabrikam\.example: 550 5\.7\.1 /);
  expect(floor.accepted).toBe(false);
  expect(ways(await ask({ ip: "10.30.1.5", user: "batch" }))).toEqual(["anna@contoso.com: night [scans]"]);
});

test("the size passes doors by, and over the largest of them it is refused", async () => {
  expect(ways(await ask({ sizeBytes: 2_000_000 }))).toEqual(["anna@contoso.com: default small size, [scans]"]);
  const over = await ask({ sizeBytes: 25_000_000 });
  expect(over).toMatchObject({ accepted: false, sizeLimitBytes: 20_000_000 });
  expect(over.recipients[0]?.refusal).toBe("552 5.3.4 Message is larger than the limit of 20000000 bytes");
  // An arrow at a door that does not take it would be a lie.
  expect(over.recipients[0]?.doors.map(({ name, misfit, chosen }) => [name, misfit, chosen])).toEqual([
    ["small", "size", false],
    ["scans", "size", false],
  ]);
  expect(await ask({ ip: "10.30.1.5", sizeBytes: 11_000_000 })).toMatchObject({
    accepted: false,
    sender: { refusal: undefined },
    sizeRefusal: expect.stringMatching(/^552 5\.3\.4 /),
  });
});

test("a door that is closed now is passed by", async () => {
  const board = new DoorBoard();
  board.register("small", { isClosed: true, startable: 0, left: Infinity });

  expect(ways(await ask({}, board))).toEqual(["anna@contoso.com: default small, [scans]"]);
});
