import { expect, test } from "vitest";
import { formatFinding } from "./finding.ts";
import { parseConfig } from "./load.ts";
import { decoyHash } from "./password.ts";
import { MINIMAL_EXAMPLE } from "./reference.ts";

const HASH = decoyHash("");

/** The minimal example with other listeners, clients and users; what is said about it. */
function said(parts: { listener?: string; clients?: string; users?: string; routes?: string }): string[] {
  const text = MINIMAL_EXAMPLE.replace('listen: ":25" }', `listen: ":587"${parts.listener ?? ""} }`)
    .replace("  floor: { networks: [10.20.0.0/16] }", parts.clients ?? "  floor: { networks: [10.20.0.0/16] }")
    .replace("upstreams:", `${parts.users === undefined ? "" : `users:\n  ${parts.users}\n`}upstreams:`)
    .replace("routes:", `routes:${parts.routes ?? ""}`);
  const loaded = parseConfig(text, "p.yaml", "/etc/postern");
  return (loaded.ok ? loaded.warnings : loaded.faults).map((finding) => formatFinding(finding).replace(/^p\.yaml:\d+:\d+ ?/, ""));
}

const REQUIRED = ", tls: { mode: required }, auth: required";
const SAP = `sap: { password_hash: "${HASH}" }`;

test("users, their listener and their client, as the contract writes them", () => {
  expect(said({ listener: REQUIRED, clients: "  erp: { networks: [10.30.1.5], users: [sap], recipients: any }", users: SAP })).toEqual([]);
  expect(
    said({
      listener: REQUIRED,
      clients: "  apps: { users: sap }",
      users: SAP,
      routes: "\n  - { name: u, match: { user: sap }, via: [scans] }",
    }),
  ).toEqual([]);
});

test("a hash that is none is said without showing it", () => {
  expect(said({ listener: REQUIRED, clients: "  apps: { users: sap }", users: "sap: { password_hash: hunter2hunter2 }" })).toEqual([
    "users.sap.password_hash: expected a line that postern hash-password printed, scrypt$ln=…",
  ]);
  expect(
    said({ users: 'sap: { password_hash: "scrypt$ln=31,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" }' })[0],
  ).toMatch(/^users\.sap\.password_hash: expected a line/);
});

test("a name that no device could send as a user is refused", () => {
  expect(said({ users: `"sap erp": { password_hash: "${HASH}" }` })).toEqual([expect.stringMatching(/^users: expected a user name/)]);
});

test.each([
  [
    { listener: ", auth: required", clients: "  apps: { users: sap }", users: SAP },
    "listeners.printers.auth: expected tls on a listener with auth: passwords are not taken where everybody can read them. If they may be readable, add auth_without_tls: true",
  ],
  [{ listener: REQUIRED }, "listeners.printers.auth: expected at least one of users: nobody could sign in"],
  [{ listener: ", auth_without_tls: true" }, "listeners.printers.auth_without_tls: expected auth: offered or auth: required with it"],
  [
    { listener: `${REQUIRED}, auth_without_tls: true`, clients: "  apps: { users: sap }", users: SAP },
    "listeners.printers.auth_without_tls: warning: everybody on the way to this listener can read passwords",
  ],
  [
    { listener: REQUIRED, clients: "  apps: { users: [sop] }", users: SAP },
    'clients.apps.users[0]: expected the name of a user, not "sop"; did you mean sap?',
  ],
  [
    { clients: "  apps: { users: sap }", users: SAP },
    "clients.apps.users: expected a listener with auth: required or offered: on those of this client nobody can sign in",
  ],
  [
    { listener: REQUIRED, clients: "  apps: { users: sap }\n  more: { users: sap }", users: SAP },
    "clients.more.users[0]: sap already belongs to client apps, which asks for no address either: it must be clear whose rules hold",
  ],
  [{ users: SAP }, "users.sap: warning: no client lists this user: it can send nothing"],
  [
    { users: SAP, routes: "\n  - { name: u, match: { user: [sop] }, via: [scans] }" },
    'routes[0].match.user[0]: expected the name of a user, not "sop"; did you mean sap?',
  ],
  [
    { routes: "\n  - { name: u, match: { user: sap }, via: [scans] }" },
    'routes[0].match.user[0]: expected the name of a user, not "sap"; there is none',
  ],
])("%j is refused or warned about", (parts, expected) => {
  expect(said(parts)).toContain(expected);
});
