/** `/api/v1/alerts`: what needs a person, and a test of the ways that people are told by. */
import type { Hono } from "hono";
import type { Emit } from "../../mail/events.ts";
import type { OpenAlert, WayTested } from "../../observe/alerts/alert.ts";
import { readJsonObject, readText, RequestFault } from "../bodies.ts";

/** The alerts as the API shows them. */
export interface AlertSource {
  /** What is open, the oldest first. */
  list(): readonly OpenAlert[];
  /** Sends a notice that means nothing by every way that is configured, now, and says of each whether it was taken. */
  test(by: string): Promise<readonly WayTested[]>;
}

/** The answer to a test. */
export interface AlertTestAnswer {
  readonly ways: readonly WayTested[];
}

export function addAlertRoutes(app: Hono, alerts: AlertSource, emit: Emit): void {
  app.get("/api/v1/alerts", (c) => c.json({ alerts: alerts.list() }));
  app.post("/api/v1/alerts/test", async (c) => {
    const { by, ...unknown } = await readJsonObject(c.req.raw);
    const [extra] = Object.keys(unknown);
    if (extra !== undefined) throw new RequestFault(400, "unknown_key", `unknown key ${JSON.stringify(extra.slice(0, 40))}`);
    const operator = readText("by", by);
    const answer: AlertTestAnswer = { ways: await alerts.test(operator) };
    const queueIds = answer.ways.flatMap(({ carried }) => (carried.taken ? (carried.queueId ?? []) : []));
    emit({ type: "operator.acted", verb: "test-alert", queueIds, recipients: 0, operator, declared: true });
    return c.json(answer);
  });
}
