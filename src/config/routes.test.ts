/** What is said about routes and the doors that they name. */
import { expect, test } from "vitest";
import { formatFinding } from "./finding.ts";
import { parseConfig } from "./load.ts";

/** Findings about a file with these clients, upstreams and routes, without their places. */
function said(parts: { clients?: string; routes?: string; upstreams?: string }): string[] {
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
routes:
${parts.routes ?? "  - { name: default, via: [inside, one, two] }"}
`,
    "p.yaml",
    "/etc/postern",
  );
  const findings = loaded.ok ? loaded.warnings : loaded.faults;
  // An upstream that no route uses is another test's.
  return findings
    .map((finding) => formatFinding(finding).replace(/^p\.yaml:\d+:\d+ /, ""))
    .filter((line) => !line.includes("no route uses"));
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
