/** Transcripts of a message, from the running daemon, else from their files. */
import { controlSocketPath } from "../admin/control-socket.ts";
import type { Config } from "../config/config.ts";
import { WAITING_STATES } from "../mail/message.ts";
import type { Transcript } from "../mail/transcript.ts";
import { readTranscripts, transcriptDirectory } from "../observe/transcripts/files.ts";
import type { MessageView } from "../queue/queue.ts";
import { isUnavailable, openControlClient } from "./control-client.ts";
import { formatTime, harmless, paint } from "./table.ts";

/** The oldest first, with the last probes of the upstreams that it waits for; empty where none was kept, or they have left. */
export async function transcriptsOf(config: Pick<Config, "data_dir">, { message, entries }: MessageView): Promise<readonly Transcript[]> {
  const { queueId } = message;
  const waiting = entries.filter(({ state }) => (WAITING_STATES as readonly string[]).includes(state));
  const upstreams = [...new Set(waiting.map(({ lane }) => lane))];
  try {
    const client = openControlClient(controlSocketPath(config.data_dir));
    return (
      (await client.get(`/api/v1/transcripts/${queueId}?${new URLSearchParams({ upstreams: upstreams.join(",") }).toString()}`)) as {
        transcripts: Transcript[];
      }
    ).transcripts;
  } catch (error) {
    if (!isUnavailable(error)) throw error;
  }
  return await readTranscripts(transcriptDirectory(config.data_dir), queueId, upstreams);
}

/** Every attempt with its dialogue, each line with its time. */
export function renderTranscripts(transcripts: readonly Transcript[], timeZone: string): string[] {
  if (transcripts.length === 0) return ["", "no transcript is kept of this message (log.transcripts says of which)"];
  return transcripts.flatMap(({ at, queueId, upstream, remote, tls, failed, lines }) => {
    const where = [remote, tls].filter((part) => part !== undefined).join(", ");
    const title = `${queueId === undefined ? "Transcript of a probe" : "Transcript"}, ${formatTime(at, timeZone)} by ${upstream}${where === "" ? "" : ` to ${harmless(where, 300)}`}`;
    return [
      "",
      paint("bold", `${title}: ${failed ? "failed" : "delivered"}`),
      ...lines.map((line) => `  ${formatTime(line.at, timeZone).slice(11)} ${line.from} ${harmless(line.text, 1000)}`),
    ];
  });
}
