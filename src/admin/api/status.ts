/** `/status` and `/version`: how it goes. */
import { TERMINAL_STATES, WAITING_STATES } from "../../mail/message.ts";
import { Alert } from "./alerts.ts";
import { z } from "./engine.ts";
import { list, Reply, time } from "./fields.ts";
import { jsonRoute, type Route } from "./route.ts";

const Version = z
  .strictObject({ postern: z.string(), node: z.string(), sqlite: z.string() })
  .meta({ id: "Version", description: "Which Postern this is, and what it runs on." });

const Hold = z.strictObject({
  since: time("Since when."),
  cause: z.string(),
  reply: Reply.optional(),
  remedy: z.string().optional(),
  closedBy: z.string().optional().describe("The message whose attempt closed the door."),
  nextProbeAt: time("When it is tried next."),
  probes: z.number(),
});

const Upstream = z
  .strictObject({
    name: z.string(),
    type: z.string(),
    host: z.string(),
    port: z.number(),
    waiting: z.number().describe("Recipients that wait for it."),
    nextDueAt: time("The next attempt.").optional(),
    hold: Hold.optional().describe("Present while it is held."),
    trouble: z
      .strictObject({
        cause: z.string(),
        remedy: z.string().optional(),
        since: time("Since when."),
        resumeAt: time("When it is tried again; absent: with the next mail that is due.").optional(),
      })
      .optional()
      .describe("Present while nothing goes out for a fault that passes."),
    credentialExpiresAt: time("End of its secret, certificate or sign-in.").optional(),
    lastError: z.strictObject({ at: time("When."), text: z.string() }).optional(),
    budgets: list(
      z.strictObject({
        limit: z.string(),
        most: z.number(),
        remaining: z.number(),
        doors: list(z.string()).describe("Upstreams that share it."),
      }),
    ),
    slowed: z.strictObject({ factor: z.number(), until: time("Until when.") }).optional(),
  })
  .meta({ id: "Upstream", description: "A way out." });

const Status = z
  .strictObject({
    version: Version,
    pid: z.number(),
    startedAt: time("Start of the relay."),
    ready: z.strictObject({ ok: z.boolean(), reasons: list(z.string()) }),
    listeners: list(z.strictObject({ name: z.string(), address: z.string(), port: z.number(), tls: z.string() })),
    queue: z.strictObject({
      waiting: z.record(z.enum(WAITING_STATES), z.number()),
      accepted: z.number(),
      generated: z.number(),
      final: z.record(z.enum(TERMINAL_STATES), z.number()),
      contentBytes: z.number(),
      oldestAcceptedAt: time("The oldest that waits.").optional(),
      freeBytes: z.number(),
    }),
    upstreams: list(Upstream),
    routes: list(z.strictObject({ name: z.string(), via: list(z.string()).describe("Its upstreams, in order.") })),
    alerts: list(Alert),
    residentBytes: z.number(),
  })
  .meta({ id: "Status", description: "How the relay is doing; counts in recipients." });

export const STATUS_ROUTES: readonly Route[] = [
  jsonRoute(
    { method: "get", path: "/version", role: "viewer", summary: "Versions of Postern, Node and SQLite", answer: Version },
    ({ version }) => version,
  ),
  jsonRoute({ method: "get", path: "/status", role: "viewer", summary: "How it goes", answer: Status }, (sources) => sources.status()),
];
