/** `/api/v1/transcripts/ID`: what was said with next hops about a message. */
import type { Hono } from "hono";
import type { Transcript } from "../../mail/transcript.ts";
import { readIds } from "../bodies.ts";

export interface TranscriptSource {
  /** All of the message that are kept, the oldest first, and the last probe of each upstream named. */
  read(queueId: string, upstreams: readonly string[]): Promise<readonly Transcript[]>;
}

export function addTranscriptRoutes(app: Hono, transcripts: TranscriptSource): void {
  app.get("/api/v1/transcripts/:id", async (c) => {
    const [id = ""] = readIds([c.req.param("id")]);
    const upstreams = (c.req.query("upstreams") ?? "").split(",").filter((name) => name !== "");
    return c.json({ transcripts: await transcripts.read(id, upstreams) });
  });
}
