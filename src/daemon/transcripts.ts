/** Where transcripts are kept, by the configuration. */
import type { Config } from "../config/config.ts";
import type { TranscriptSource } from "../admin/api/transcripts.ts";
import type { Emit } from "../mail/events.ts";
import { readTranscripts, TranscriptFiles, transcriptDirectory } from "../observe/transcripts/files.ts";

/** @returns undefined where none are kept */
export function buildTranscripts(config: Config, emit: Emit): TranscriptFiles | undefined {
  const { transcripts: of } = config.log;
  if (of === "off") return undefined;
  return new TranscriptFiles(transcriptDirectory(config.data_dir), of, (cause) => emit({ type: "transcript.failed", cause }));
}

/** Reads what is kept, the latest included. */
export function transcriptSource(config: Config, files: TranscriptFiles | undefined): TranscriptSource {
  return {
    read: async (queueId, upstreams) => {
      await files?.settled();
      return await readTranscripts(transcriptDirectory(config.data_dir), queueId, upstreams);
    },
  };
}
