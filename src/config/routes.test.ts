/** What is said about routes and the doors that they name. */
import { expect, test } from "vitest";
import { formatFinding } from "./finding.ts";
import { parseConfig } from "./load.ts";

/** Findings about a file with these clients, upstreams and routes, without their places. */
function said(parts: { clients?: string; routes?: string; upstreams?: string; alerts?: string }): string[] {
  const loaded = parseConfig(
    `
hostname: relay.contoso.com
data_dir: /var/lib/postern
organization: { tenant: contoso.onmicrosoft.com, domains: [contoso.com], postmaster: it@contoso.com }
listeners: { printers: { listen: ":25" } }
clients: { floor: { networks: [10.20.0.0/16], ${parts.clients ?? ""} } }
upstreams:
  inside: { type: direct-send, domain: contoso.com }
  one: { type: smart-host, host: a.example }
  two: { type: smart-host, host: b.example, limits: { max_message_size: 40MiB } }
${parts.upstreams ?? ""}
users: { sap: { password_hash: "scrypt$ln=15,r=8,p=1$cnNyx5VTQeUbI3L2psk89A$RfMVqg9cUHFQlT1If5GHcwIsZjKwQ857pOPfFhZdi6w" } }
routes:
${parts.routes ?? "  - { name: default, via: [inside, one, two] }"}
alerts: { ${parts.alerts ?? ""} }
`,
    "p.yaml",
    "/etc/postern",
  );
  const findings = loaded.ok ? loaded.warnings : loaded.faults;
  // An upstream that no route uses is another test's.
  return findings
    .map((finding) => formatFinding(finding).replace(/^p\.yaml:\d+:\d+ /, ""))
    .filter((line) => !/^upstreams\.(?!spare).* no route uses|^users\./.test(line));
}

test("several upstreams in order are a route", () => {
  expect(said({})).toEqual([]);
  expect(said({ routes: "  - { name: default, via: [one, two], spread: true }" })).toEqual([]);
  expect(
    said({ routes: "  - { name: big, match: { user: sap, min_size: 1MiB }, via: two }\n  - { name: default, via: one, spill: false }" }),
  ).toEqual([]);
});

test.each([
  ["  - { name: default, via: [one, two, one] }", "routes[0].via[2]: one is listed twice"],
  [
    "  - { name: default, via: [one], spill: true }",
    "routes[0].spill: expected more than one upstream in via: there is nothing to share with",
  ],
  ["  - { name: default, via: [one, tow] }", 'routes[0].via[1]: expected the name of an upstream, not "tow"; did you mean two?'],
  ["  - { name: default, via: [] }", "routes[0].via: expected at least one upstream"],
  [
    "  - { name: a, match: { user: [] }, via: [one] }\n  - { name: default, via: [one] }",
    "routes[0].match.user: expected at least one: an empty list fits nothing",
  ],
])("%s is a fault", (routes, line) => {
  expect(said({ routes })).toEqual([line]);
});

test("a client may send what the largest upstream of its route takes, and more is a warning", () => {
  expect(said({ clients: "max_message_size: 40MiB" })).toEqual([]);
  expect(said({ clients: "max_message_size: 41MiB" })).toEqual([
    "clients.floor.max_message_size: warning: this client may send 41MiB, but even upstream two of route default takes 40MiB: larger messages on that way are refused",
  ]);
});

test("recipients outside need an upstream that serves them", () => {
  const inside = "  - { name: default, via: [inside] }";
  const warned = /^clients\.floor\.recipients: warning: .* no upstream of route (\w+) serves them: inside takes internal recipients only$/;

  for (const recipients of ["any", "external", "[internal, '*@fabrikam.example']"])
    expect(said({ clients: `recipients: ${recipients}`, routes: inside })).toEqual([expect.stringMatching(warned)]);
  for (const recipients of ["internal", "'*@contoso.com'"])
    expect(said({ clients: `recipients: ${recipients}`, routes: inside })).toEqual([]);
  expect(
    said({
      clients: "recipients: any",
      routes: "  - { name: out, match: { recipients: external }, via: [one] }\n  - { name: default, via: [inside] }",
    }),
  ).toEqual([]);
  expect(
    said({
      clients: "recipients: any",
      routes: "  - { name: in, match: { recipients: internal }, via: [inside] }\n  - { name: default, via: [one] }",
    }),
  ).toEqual([]);
});

test("mail that is spread over mailboxes with different senders is a warning", () => {
  const door = (name: string, mailbox: string, sender: string): string =>
    `  ${name}: { type: smtp-auth, mailbox: ${mailbox}@contoso.com, ${sender} credential: { type: client-secret, client_id: 11111111-1111-1111-1111-111111111111, secret: { env: S } } }`;
  const routes = "  - { name: default, via: [m1, m2], spread: true }";

  expect(said({ routes, upstreams: `${door("m1", "s1", "")}\n${door("m2", "s2", "")}` })).toEqual([
    "routes[0].spread: warning: recipients will see different senders (s1@contoso.com, s2@contoso.com), depending on the way; give the upstreams one sender.address that all these mailboxes may send as",
  ]);
  const same = "sender: { address: scans@contoso.com },";
  expect(said({ routes, upstreams: `${door("m1", "s1", same)}\n${door("m2", "s2", same)}` })).toEqual([]);
});

const app = (name: string, type: string, more = ""): string =>
  `  ${name}: { type: ${type}, mailbox: ${name}@contoso.com, credential: { type: client-secret, client_id: 11111111-1111-1111-1111-111111111111, secret: { file: s } }${more} }`;

test.each([
  ["by two servers", "mail: { to: it@contoso.com, via: [one, two] }", []],
  ["by all upstreams", "mail: { to: [it@contoso.com, desk@provider.example] }", []],
  [
    "by one upstream",
    "mail: { to: it@contoso.com, via: one }",
    [
      "alerts.mail.via: warning: while upstream one is closed nobody is told by mail, because no other one may carry it: add a webhook, a syslog server or another upstream",
    ],
  ],
  [
    "by one upstream, with a syslog server beside it",
    "mail: { to: it@contoso.com, via: one }, syslog: { address: 'udp://192.0.2.5' }",
    ["alerts.mail.via: warning: while upstream one is closed nobody is told by mail, because no other one may carry it: only syslog then"],
  ],
  [
    "by upstreams that share a secret",
    "mail: { to: it@contoso.com, via: [scans, graph] }",
    [
      "alerts.mail.via: warning: all of these upstreams fail together, with one credential or one server (scans, graph), and then nobody is told by mail: add a webhook, a syslog server or another upstream",
    ],
  ],
  [
    "to somebody outside by upstreams for inside",
    "mail: { to: [it@contoso.com, desk@provider.example], via: [inside, other] }",
    ["alerts.mail.to[1]: warning: is outside the organization, and none of the upstreams serves such recipients: inside, other"],
  ],
  [
    "by names that are none",
    "mail: { to: [], via: [one, one, tow] }",
    [
      "alerts.mail.to: expected at least one address",
      "alerts.mail.via[1]: one is listed twice",
      'alerts.mail.via[2]: expected the name of an upstream, not "tow"; did you mean two?',
    ],
  ],
])("alerts by mail %s", (_what, alerts, expected) => {
  const upstreams = [
    app("scans", "smtp-auth"),
    app("graph", "graph"),
    "  other: { type: direct-send, domain: contoso.com, port: 2525 }",
  ].join("\n");

  expect(said({ upstreams, alerts }).filter((line) => line.startsWith("alerts"))).toEqual(expected);
});

test("an upstream for alerts alone is no mistake", () => {
  const parts = { upstreams: "  spare: { type: smart-host, host: c.example }", routes: "  - { name: default, via: [inside, one, two] }" };
  const loaded = (alerts: string) => said({ ...parts, alerts });

  expect(loaded("mail: { to: it@contoso.com, via: [one, spare] }")).toEqual([]);
});
