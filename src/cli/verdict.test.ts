import { expect, test } from "vitest";
import type { StatusView, UpstreamView } from "../admin/views.ts";
import { verdictOf } from "./verdict.ts";

type Looked = Parameters<typeof verdictOf>[0];

const HOLD = { since: 0, cause: "secret expired", closedBy: undefined, nextProbeAt: 0, probes: 0 };
const TROUBLE = { cause: "ECONNREFUSED", remedy: undefined, since: 0, resumeAt: 1 };

function upstream(name: string, what: Partial<UpstreamView> = {}): UpstreamView {
  return {
    name,
    type: "smtp-auth",
    host: "smtp.office365.com",
    port: 587,
    waiting: 0,
    nextDueAt: undefined,
    hold: undefined,
    trouble: undefined,
    credentialExpiresAt: undefined,
    lastError: undefined,
    budgets: [],
    slowed: undefined,
    ...what,
  };
}

function looked(
  upstreams: readonly UpstreamView[],
  what: {
    readonly held?: number;
    readonly alerts?: readonly string[];
    readonly ready?: boolean;
    /** Their upstreams; default: one route by all. */
    readonly routes?: Readonly<Record<string, readonly string[]>>;
  } = {},
): Looked {
  const { held = 0, alerts = [], ready = true, routes = { default: upstreams.map(({ name }) => name) } } = what;
  return {
    ready: { ok: ready, reasons: ready ? [] : ["stopping"] },
    upstreams,
    routes: Object.entries(routes).map(([name, via]) => ({ name, via })),
    alerts: alerts.map((severity) => ({ severity, alert: "disk.low" })) as unknown as StatusView["alerts"],
    queue: { waiting: { queued: 0, delivering: 0, deferred: 0, held } } as StatusView["queue"],
  };
}

test.each<[string, Looked, string, string]>([
  ["nothing is wrong", looked([upstream("scans")]), "well", "All is well: mail is accepted, and every way out is open."],
  ["no mail is taken", looked([upstream("scans", { hold: HOLD })], { ready: false }), "bad", "Mail is not accepted."],
  ["the only way is closed", looked([upstream("scans", { hold: HOLD })]), "bad", "Mail is accepted, but does not leave: scans closed."],
  [
    "every way is closed",
    looked([upstream("scans", { hold: HOLD }), upstream("graph", { hold: HOLD }), upstream("spare")], {
      routes: { default: ["scans", "graph"] },
    }),
    "bad",
    "Mail is accepted, but does not leave: scans, graph closed.",
  ],
  [
    "one way is closed, and the other cannot be reached",
    looked([upstream("scans", { hold: HOLD }), upstream("smart", { trouble: TROUBLE })], { held: 1 }),
    "bad",
    "Mail is accepted, but does not leave: scans closed, smart paused, 1 recipient held.",
  ],
  [
    "the only way of one route is closed",
    looked([upstream("person", { hold: HOLD }), upstream("scans")], { routes: { letters: ["person"], default: ["scans"] } }),
    "bad",
    "Mail is accepted, but does not leave by route letters: person closed.",
  ],
  [
    "mail waits at a closed way beside an open one",
    looked([upstream("scans", { hold: HOLD, waiting: 2 }), upstream("graph")], { held: 2 }),
    "bad",
    "Mail is accepted, but does not leave by scans: closed, 2 recipients held.",
  ],
  [
    "another way takes what a closed one does not",
    looked([upstream("scans", { hold: HOLD }), upstream("graph")]),
    "warned",
    "Mail leaves by other ways: scans closed.",
  ],
  ["a critical alert", looked([upstream("scans")], { alerts: ["critical", "info"] }), "bad", "Mail is in danger: 1 critical alert."],
  ["unreachable for now", looked([upstream("scans", { trouble: TROUBLE })]), "warned", "Mail is accepted, and waits a while for scans."],
  [
    "one that cannot be reached has another way beside it",
    looked([upstream("scans", { trouble: TROUBLE }), upstream("graph")]),
    "warned",
    "Mail leaves by other ways: scans paused.",
  ],
  [
    "one route has another way beside a closed one, one waits",
    looked([upstream("scans", { hold: HOLD }), upstream("graph"), upstream("smart", { trouble: TROUBLE })], {
      routes: { letters: ["smart"], default: ["scans", "graph"] },
    }),
    "warned",
    "Mail is accepted, and waits a while for smart, scans closed.",
  ],
  [
    "throttled",
    looked([upstream("scans", { slowed: { factor: 0.5, until: 1 } })]),
    "warned",
    "Mail leaves, more slowly by scans after a throttling.",
  ],
  ["something to look at", looked([upstream("scans")], { alerts: ["info", "warning"] }), "warned", "Mail leaves; 2 alerts to look at."],
  ["an operator holds mail", looked([upstream("scans")], { held: 1 }), "warned", "Mail leaves, 1 recipient held."],
])("%s", (_, status, level, text) => {
  expect(verdictOf(status)).toEqual({ level, text });
});
