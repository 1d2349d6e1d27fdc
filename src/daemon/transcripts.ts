/** Where transcripts are kept, by the configuration. */
import type { Config } from "../config/config.ts";
import type { TranscriptSource } from "../admin/sources.ts";
import type { Emit } from "../mail/events.ts";
import { readTranscripts, TranscriptFiles, transcriptDirectory } from "../observe/transcripts/files.ts";

export function buildTranscripts(config: Config, emit: Emit): TranscriptFiles {
  const directory = transcriptDirectory(config.data_dir);
  return new TranscriptFiles(directory, config.log.transcripts, (cause) => emit({ type: "transcript.failed", cause }));
}

/** Reads what is kept, the latest included. */
export function transcriptSource(config: Config, files: TranscriptFiles): TranscriptSource {
  return {
    read: async (queueId, upstreams) => {
      await files.settled();
      return await readTranscripts(transcriptDirectory(config.data_dir), queueId, upstreams);
    },
  };
}
