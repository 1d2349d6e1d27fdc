/** What the doors of a configuration share with each other. */
import { expect, test } from "vitest";
import { parseConfig } from "../config/load.ts";
import { ManualClock } from "../platform/clock.ts";
import { buildUpstreams } from "./doors.ts";

const ID = "72f988bf-86f1-41af-91ab-2d7cd011db47";

/** What Microsoft counts the mail of each door by, for upstreams given as lines of YAML. */
async function countedBy(upstreams: Readonly<Record<string, string>>): Promise<(string | undefined)[]> {
  const text = `hostname: relay.contoso.com
data_dir: data
organization: { tenant: contoso.onmicrosoft.com, domains: [contoso.com], postmaster: it@contoso.com }
listeners: { a: { listen: ":25" } }
clients: { c: { networks: [10.0.0.0/8], max_message_size: 1MiB } }
upstreams:
${Object.entries(upstreams)
  .map(([name, keys]) => `  ${name}: { ${keys} }`)
  .join("\n")}
routes: [{ name: default, via: [${Object.keys(upstreams).join(", ")}] }]
`;
  const loaded = parseConfig(text, "p.yaml", "/etc/postern");
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.faults));
  const doors = await buildUpstreams(
    loaded.config,
    () => undefined,
    new ManualClock(),
    () => undefined,
  );
  const keys = [...doors.values()].map(({ traits }) => traits.countedAs.mailbox);
  for (const door of doors.values()) await door.close();
  return keys;
}

const credential = (more: string): string => `credential: { type: client-secret, client_id: app, secret: { file: s }${more} }`;

test("a mailbox is counted once, whether its tenant is named by id, by a domain or not at all, and whatever takes its mail", async () => {
  const keys = await countedBy({
    domain: `type: smtp-auth, mailbox: scanner@contoso.com, ${credential("")}`,
    id: `type: smtp-auth, mailbox: Scanner@Contoso.com, ${credential(`, tenant: ${ID}`)}`,
    graph: `type: graph, mailbox: scanner@contoso.com, ${credential(", tenant: contoso.com")}`,
    password: "type: smtp-auth, mailbox: scanner@contoso.com, credential: { type: password, password: { file: p } }",
  });

  expect(keys[0]).toBeTypeOf("string");
  expect(new Set(keys).size).toBe(1);
});

test("another mailbox, another cloud, and the account of another service are counted by themselves", async () => {
  const keys = await countedBy({
    one: `type: smtp-auth, mailbox: scanner@contoso.com, ${credential("")}`,
    other: `type: smtp-auth, mailbox: printers@contoso.com, ${credential("")}`,
    china: `type: smtp-auth, mailbox: scanner@contoso.com, ${credential(", cloud: china")}`,
    acs: "type: smtp-auth, preset: acs, mailbox: scanner@contoso.com, credential: { type: password, username: res|app|tenant, password: { file: p } }",
  });

  expect(new Set(keys).size).toBe(4);
});
