/** `/alerts`: what needs a person, and a test of the ways that people are told by. */
import { SEVERITIES, WAYS } from "../../observe/alerts/alert.ts";
import { z } from "./engine.ts";
import { list, time } from "./fields.ts";
import { jsonRoute, type Route } from "./route.ts";

export const Alert = z
  .strictObject({
    alert: z.string().describe("Its kind."),
    subject: z.string().describe("What it is about."),
    text: z.string(),
    remedy: z.string().optional(),
    severity: z.enum(SEVERITIES),
    since: time("Since when."),
    toldAt: time("When people were last told."),
    metAt: time("When it was last met."),
  })
  .meta({ id: "Alert", description: "Something that needs a person." });

const Carried = z.union([
  z.strictObject({
    taken: z.literal(true),
    note: z.string().optional().describe("What the proof is worth, or where it goes on."),
    queueId: z.string().optional().describe("The message that it became."),
  }),
  z.strictObject({ taken: z.literal(false), cause: z.string(), remedy: z.string().optional(), refused: z.boolean().optional() }),
]);

export const ALERT_ROUTES: readonly Route[] = [
  jsonRoute(
    {
      method: "get",
      path: "/alerts",
      role: "viewer",
      summary: "What is open, the oldest first",
      answer: z.strictObject({ alerts: list(Alert) }),
    },
    ({ alerts }) => ({ alerts: alerts.list() }),
  ),
  jsonRoute(
    {
      method: "post",
      path: "/alerts/test",
      role: "operator",
      summary: "Send a notice that means nothing by every way that is configured",
      acts: true,
      answer: z.strictObject({ ways: list(z.strictObject({ way: z.enum(WAYS), carried: Carried })) }),
    },
    async ({ alerts, emit }, { operator: { name, declared } }) => {
      const ways = await alerts.test(name);
      const queueIds = ways.flatMap(({ carried }) => (carried.taken ? (carried.queueId ?? []) : []));
      emit({ type: "operator.acted", verb: "test-alert", queueIds, recipients: 0, operator: name, declared });
      return { ways };
    },
  ),
];
