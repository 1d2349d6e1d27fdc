import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { ALERTS } from "./alert.ts";
import type { Snapshot } from "./look.ts";
import { look } from "./look.ts";
import { RefusalCount } from "./refusals.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const NOW = Date.UTC(2026, 0, 5, 9);
const GIB = 2 ** 30;
const CALM: Snapshot = {
  now: NOW,
  oldestAcceptedAt: undefined,
  freeBytes: 10 * GIB,
  floorBytes: GIB,
  doors: [],
  credentials: [],
  certificates: [],
  tokens: [],
  programReplaced: false,
  refused: { connections: 0, addresses: [] },
  countedMs: 2 * HOUR,
};

const found = (changes: Partial<Snapshot>, open: readonly string[] = []): string[] =>
  look({ ...CALM, ...changes }, (alert) => open.includes(alert)).conditions.map(
    ({ alert, subject, severity, text }) => `${alert} ${subject} ${severity}: ${text}`,
  );

test("a calm relay has no alerts", () => {
  expect(found({ oldestAcceptedAt: NOW - HOUR, credentials: [{ upstream: "scans", expiresAt: undefined }] })).toEqual([]);
});

test("mail that waits for more than an hour, or a day", () => {
  expect(found({ oldestAcceptedAt: NOW - HOUR - 1 })).toEqual(["queue.old queue warning: the oldest mail has waited for 60 minutes"]);
  expect(found({ oldestAcceptedAt: NOW - 3 * DAY })).toEqual(["queue.old queue critical: the oldest mail has waited for 3 days"]);
});

test("a disk near its floor, below it, and trembling between", () => {
  expect(found({ freeBytes: 2 * GIB })).toEqual([]);
  expect(found({ freeBytes: 2 * GIB - 1 })).toEqual([
    "disk.low queue warning: the disk fills up: 2047 MiB are free, the floor is 1024 MiB (queue.min_free); below it no mail is accepted",
  ]);
  expect(found({ freeBytes: GIB - 1 })[0]).toMatch(/^disk.low queue critical: no mail is accepted, the disk is full: 1023 MiB are free/);
  expect(found({ freeBytes: 2.1 * GIB }, ["disk.low"])).toHaveLength(1);
  expect(found({ freeBytes: 2.2 * GIB }, ["disk.low"])).toEqual([]);
  expect([...look({ ...CALM, freeBytes: Infinity }, () => true).unknown]).toEqual(["disk.low"]);
});

test("a door that has not worked for 15 minutes; where no mail came to prove it, and right after a start, nothing is said", () => {
  const door = { upstream: "scans", cause: "the next hop cannot be reached (ECONNREFUSED)", remedy: "Check the firewall", slow: false };
  const met = (forMs: number, agoMs = 0) => ({ since: NOW - agoMs - forMs, metAt: NOW - agoMs });

  expect(found({ doors: [{ ...door, ...met(15 * 60_000 - 1) }] })).toEqual([]);
  expect(found({ doors: [{ ...door, ...met(0, 5 * HOUR) }] })).toEqual([]);
  expect(found({ doors: [{ ...door, ...met(20 * 60_000) }] })).toEqual([
    "upstream.unreachable scans undefined: upstream scans has not worked for 20 minutes, its mail waits, or goes by the next upstream of its route: the next hop cannot be reached (ECONNREFUSED)",
  ]);
  expect(found({ doors: [{ ...door, slow: true, ...met(3 * HOUR) }] })[0]).toContain(
    "upstream scans has been slowed down by the other side, and let nothing out, for 3 hours",
  );
  expect(look({ ...CALM, countedMs: 19 * 60_000 }, () => true).unknown).toContain("upstream.unreachable");
});

test.each([
  [31 * DAY, undefined],
  [29 * DAY, "info"],
  [7 * DAY, "warning"],
  [DAY, "critical"],
  [-DAY, "critical"],
])("a secret and a certificate that end in %i ms are %s", (leftMs, severity) => {
  const expiresAt = NOW + leftMs;
  const { conditions } = look(
    { ...CALM, credentials: [{ upstream: "scans", expiresAt }], certificates: [{ name: "printers", expiresAt }] },
    () => false,
  );
  expect(conditions.map((condition) => `${condition.alert} ${condition.subject} ${condition.severity}`)).toEqual(
    severity === undefined ? [] : [`credential.expiring scans ${severity}`, `certificate.expiring printers ${severity}`],
  );
});

test.each([
  ["used, 30 days before its end", { leftMs: 30 * DAY }, undefined],
  ["used, 22 days before its end", { leftMs: 22 * DAY }, "info: the token wall of the API ends on 2026-01-27, in 22 days"],
  ["used, 7 days before its end", { leftMs: 7 * DAY }, "warning: the token wall of the API ends on 2026-01-12, in 7 days"],
  ["used, ended yesterday", { leftMs: -DAY }, "warning: the token wall of the API ended on 2026-01-04"],
  ["never used", { leftMs: DAY, lastUsedAt: undefined }, undefined],
  ["not used for a month", { leftMs: DAY, lastUsedAt: NOW - 31 * DAY }, undefined],
  ["without an end", { leftMs: undefined }, undefined],
  ["for a day, in its morning", { leftMs: 20 * HOUR, lifeMs: DAY }, undefined],
  [
    "for a day, in its last quarter",
    { leftMs: 5 * HOUR, lifeMs: DAY },
    "warning: the token wall of the API ends on 2026-01-05, in 5 hours",
  ],
])(
  "a token %s",
  (
    _case,
    { leftMs, lifeMs = 90 * DAY, ...use }: { leftMs?: number | undefined; lifeMs?: number; lastUsedAt?: number | undefined },
    told,
  ) => {
    const expiresAt = leftMs === undefined ? undefined : NOW + leftMs;
    const token = { name: "wall", createdAt: NOW + (leftMs ?? 0) - lifeMs, expiresAt, lastUsedAt: NOW - HOUR, ...use };
    expect(found({ tokens: [token] })).toEqual(told === undefined ? [] : [`token.expiring wall ${told}`]);
  },
);

test("a relay whose program was replaced under it", () => {
  expect(found({ programReplaced: true })).toEqual([
    "program.replaced program undefined: the program's files were replaced while the relay runs, which is still the version before",
  ]);
});

test("while the tokens cannot be read nothing is said of them", () => {
  expect([...look({ ...CALM, tokens: undefined }, () => true).unknown]).toEqual(["token.expiring"]);
});

test("many connections of strangers; few are still too many while the alert is open; nothing is known right after a start", () => {
  const refused = { connections: 20, addresses: ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.7"] };
  expect(found({ refused })).toEqual([
    "devices.refused unlisted undefined: 20 connections of devices that no client names were refused within an hour: 10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4, 10.0.0.5 and 2 more",
  ]);
  expect(found({ refused: { ...refused, connections: 19 } })).toEqual([]);
  expect(found({ refused: { ...refused, connections: 5 } }, ["devices.refused"])).toHaveLength(1);
  expect(look({ ...CALM, countedMs: HOUR - 1 }, () => true).unknown).toEqual(new Set(["devices.refused"]));
});

test("connections are counted over an hour, and their addresses are bounded", () => {
  const count = new RefusalCount();
  for (let i = 0; i < 1000; i++) count.note(`10.0.${i >> 8}.${i & 255}`, 0);
  expect(count.lastHour(0).connections).toBe(1000);
  expect(count.lastHour(0).addresses).toHaveLength(50);
  count.note("10.9.9.9", HOUR / 2);
  expect(count.lastHour(HOUR)).toEqual({ connections: 1, addresses: ["10.9.9.9"] });
});

test("docs/alerts.md explains every alert", async () => {
  const page = await readFile(new URL("../../../docs/alerts.md", import.meta.url), "utf8");
  expect(Object.keys(ALERTS).filter((alert) => !page.includes(`\n| \`${alert}\` |`))).toEqual([]);
});
