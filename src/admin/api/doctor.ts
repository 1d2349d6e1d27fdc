/** `/doctor`: what the doctor finds, as JSON lines while it looks. */
import { describeError } from "../../mail/errors.ts";
import { z } from "./engine.ts";
import { streamRoute, type Route } from "./route.ts";

const Finding = z
  .strictObject({
    id: z.string().describe("What was looked at: a stable word."),
    subject: z.string().describe("Whose."),
    verdict: z.enum(["ok", "warning", "fault", "not-tested"]),
    evidence: z.string(),
    remedy: z.string().optional(),
  })
  .meta({ id: "DoctorFinding", description: "What the doctor says of one thing that it looked at." });

const Item = z.union([
  z.strictObject({ finding: Finding }),
  z.strictObject({ doing: z.string().describe("What it looks at now.") }),
  z.strictObject({ error: z.strictObject({ code: z.string(), message: z.string() }) }),
]);

export const DOCTOR_ROUTES: readonly Route[] = [
  streamRoute(
    {
      method: "post",
      path: "/doctor",
      role: "operator",
      summary: "Look at everything that mail depends on",
      description: "One JSON value a line while it looks; it stops when nobody reads any more.",
      answer: Item,
      type: "application/x-ndjson",
    },
    ({ doctor }) => {
      // Whoever asked may go away: then nothing more is looked at.
      const left = new AbortController();
      const items = doctor.examine(left.signal)[Symbol.asyncIterator]();
      const encoder = new TextEncoder();
      const stream = new ReadableStream<Uint8Array>({
        async pull(controller) {
          try {
            const { done, value } = await items.next();
            if (done === true) controller.close();
            else controller.enqueue(encoder.encode(`${JSON.stringify(value)}\n`));
          } catch (error) {
            controller.enqueue(encoder.encode(`${JSON.stringify({ error: { code: "E_INTERNAL", message: describeError(error) } })}\n`));
            controller.close();
          }
        },
        async cancel() {
          left.abort();
          await items.return?.();
        },
      });
      return { stream };
    },
  ),
];
