import { expect, test } from "vitest";
import type { UpstreamView } from "../admin/views.ts";
import { paceOf, renderWhy } from "./door-view.ts";
import { renderUpstreams } from "./upstreams.ts";

const minute = (remaining: number) => ({ limit: "messages_per_minute", most: 30, remaining, doors: ["scans"] }) as const;
const day = (remaining: number) => ({ limit: "recipients_per_day", most: 9500, remaining, doors: ["scans"] }) as const;

test.each([
  [278, [minute(0), day(9456)], "278 wait for their turn: its 30 messages a minute are used up, the last leaves in about 10m"],
  [
    12,
    [minute(0), day(0)],
    "12 wait for their turn: its 9500 recipients a day are used up, and more leave as room comes back; another upstream in the route would help",
  ],
  [3, [minute(2), day(9)], undefined],
  [0, [minute(0), day(0)], undefined],
] as const)("%i that wait with %j", (waiting, budgets, told) => {
  expect(paceOf({ waiting, budgets })).toBe(told);
});

test("a door that is held does not speak of its limits", () => {
  const upstream = {
    name: "scans",
    waiting: 3,
    budgets: [minute(0)],
    trouble: { cause: "busy", remedy: "Wait", since: 0, resumeAt: undefined },
  } as unknown as UpstreamView;

  expect(renderWhy(upstream, "UTC", 0).join()).not.toContain("turn");
  expect(renderWhy({ ...upstream, trouble: undefined }, "UTC", 0)).toEqual(["", "scans", expect.stringContaining("3 wait for their turn")]);
});

test.each(["UTC", "America/New_York", "Pacific/Kiritimati"])("a secret ends on the day of the configuration, in %s too", (zone) => {
  const ends = Date.parse("2026-12-10T00:00:00Z") + 86_400_000;
  const upstream = { name: "scans", type: "graph", host: "h", port: 443, waiting: 0, budgets: [], credentialExpiresAt: ends };

  expect(renderUpstreams([upstream as unknown as UpstreamView], zone, 0).join()).toMatch(/\t2026-12-10$/);
});

test("a door that is paused says for how long, and what to do about it, as one that is held does", () => {
  const trouble = { cause: "the next hop cannot be reached", remedy: "Check the firewall", since: 0, resumeAt: undefined };
  const upstream = { name: "scans", waiting: 3, budgets: [], trouble } as unknown as UpstreamView;

  const now = 7 * 60_000;
  const again = "(postern queue retry --upstream scans: now)";
  expect(renderWhy(upstream, "UTC", now)).toEqual([
    "",
    "scans",
    `  paused for 7m: the next hop cannot be reached; tried with the next mail ${again}`,
    "  remedy: Check the firewall",
  ]);
  expect(renderWhy({ ...upstream, nextDueAt: 12 * 60_000 }, "UTC", now)[2]).toBe(
    `  paused for 7m: the next hop cannot be reached; tried with the next mail, due 1970-01-01 00:12:00 ${again}`,
  );
});

test("of a held door whose limits leave no room no time is told that is past", () => {
  const hold = { since: 0, cause: "the mailbox is full", nextProbeAt: 60_000, probes: 0 };
  const upstream = { name: "scans", waiting: 3, budgets: [minute(0)], hold } as unknown as UpstreamView;

  expect(renderWhy(upstream, "UTC", 30_000).join()).toContain("tried again 1970-01-01 00:01:00");
  expect(renderWhy(upstream, "UTC", 90_000).join()).toContain("tried again now, or as soon as its limits leave room");
});
