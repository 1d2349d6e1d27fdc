/** `/transcripts/ID`: what was said with next hops about a message. */
import { z } from "./engine.ts";
import { list, listed, queueId, time } from "./fields.ts";
import { jsonRoute, type Route } from "./route.ts";

const Transcript = z
  .strictObject({
    at: time("When it was kept."),
    queueId: z.string().optional().describe("Absent for a probe, which carries no message."),
    upstream: z.string(),
    remote: z.string().optional(),
    tls: z.string().optional(),
    failed: z.boolean(),
    lines: list(
      z.strictObject({ at: time("When."), from: z.enum([">", "<", "-"]).describe("Ours, theirs, or what happened."), text: z.string() }),
    ),
  })
  .meta({ id: "Transcript", description: "What was said during one attempt, without secrets and content." });

export const TRANSCRIPT_ROUTES: readonly Route[] = [
  jsonRoute(
    {
      method: "get",
      path: "/transcripts/:id",
      role: "viewer",
      summary: "What was said with next hops about a message",
      params: z.strictObject({ id: queueId() }),
      query: z.strictObject({
        upstreams: listed(z.array(z.string().max(63)).max(100))
          .optional()
          .describe("Also the last probe of each of these upstreams."),
      }),
      answer: z.strictObject({ transcripts: list(Transcript) }),
    },
    async ({ transcripts }, { params: { id }, query: { upstreams } }) => ({
      transcripts: await transcripts.read(
        id,
        (upstreams ?? []).filter((name) => name !== ""),
      ),
    }),
  ),
];
