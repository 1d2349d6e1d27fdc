import { expect, test } from "vitest";
import { changesBetween, keeping } from "./changes.ts";

const BEFORE = {
  hostname: "relay.contoso.com",
  clients: { floor: { networks: ["10.20.0.0/16"], priority: "normal" } },
  upstreams: { scans: { type: "smart-host", credential: { type: "password", password: { file: "a" } } } },
  routes: [{ name: "default", via: ["scans"] }],
  admin: { listen: { host: "127.0.0.1", port: 8025 } },
};

test("equal values are no change, however they were made", () => {
  expect(changesBetween(BEFORE, structuredClone(BEFORE))).toEqual([]);
});

test("each changed key is named; an entry that is new or gone is one change; a list is changed as a whole", () => {
  const after = {
    ...BEFORE,
    clients: { floor: { networks: ["10.20.0.0/15"], priority: "normal" }, annex: { networks: ["10.30.0.0/16"] } },
    upstreams: {},
    routes: [],
  };

  const changes = changesBetween(BEFORE, after);

  expect(changes.map(({ key, needsRestart }) => [key, needsRestart])).toEqual([
    ["clients.floor.networks", false],
    ["clients.annex", false],
    ["upstreams.scans", false],
    ["routes", false],
  ]);
});

test("the schema says which keys need a restart, inside secrets and lists as well", () => {
  const after = {
    ...structuredClone(BEFORE),
    hostname: "other.contoso.com",
    admin: { listen: { host: "127.0.0.1", port: 8026 } },
    upstreams: { scans: { type: "smart-host", credential: { type: "password", password: { file: "b" } } } },
  };

  const changes = changesBetween(BEFORE, after);

  expect(changes.map(({ key, needsRestart }) => [key, needsRestart])).toEqual([
    ["hostname", true],
    ["upstreams.scans.credential.password.file", false],
    ["admin.listen", false],
  ]);
});

test("what needs a restart keeps its old value, gone and new entries too; nothing else is touched", () => {
  const after = { a: 1, kept: { x: 2, added: true }, other: { y: 3 } };
  const before = { a: 9, kept: { x: 8 }, gone: { z: 7 } };

  expect(keeping(after, before, [["kept", "x"], ["kept", "added"], ["gone"]])).toEqual({
    a: 1,
    kept: { x: 8 },
    other: { y: 3 },
    gone: { z: 7 },
  });
  expect(after).toEqual({ a: 1, kept: { x: 2, added: true }, other: { y: 3 } });
});

test("what the schema makes of one text is one key, that of the file", () => {
  const syslog = (port: number) => ({ alerts: { syslog: { address: { transport: "udp", host: "192.0.2.5", port } } } });

  expect(changesBetween({ ...BEFORE, ...syslog(514) }, { ...BEFORE, ...syslog(515) }).map(({ key }) => key)).toEqual([
    "alerts.syslog.address",
  ]);
});
