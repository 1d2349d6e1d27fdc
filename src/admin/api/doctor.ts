/** `/api/v1/doctor`: what the doctor finds, as JSON lines while it looks. */
import type { Hono } from "hono";
import { describeError } from "../../mail/errors.ts";
import type { DoctorSource } from "../../doctor/finding.ts";

export function addDoctorRoutes(app: Hono, doctor: DoctorSource): void {
  app.post("/api/v1/doctor", (c) => {
    // Whoever asked may go away: then nothing more is looked at.
    const left = new AbortController();
    const items = doctor.examine(left.signal)[Symbol.asyncIterator]();
    const encoder = new TextEncoder();
    const lines = new ReadableStream<Uint8Array>({
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
    return c.body(lines, 200, { "content-type": "application/x-ndjson" });
  });
}
