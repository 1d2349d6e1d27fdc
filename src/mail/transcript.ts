/** What was said with a next hop during one attempt, without secrets and content. */

/** One line: `>` ours, `<` theirs, `-` what happened beside the words. */
export interface TranscriptLine {
  /** ms since the epoch. */
  readonly at: number;
  readonly from: ">" | "<" | "-";
  readonly text: string;
}

export interface Transcript {
  /** When it was kept, ms since the epoch. */
  readonly at: number;
  /** Absent for a probe, which carries no message. */
  readonly queueId?: string | undefined;
  readonly upstream: string;
  readonly remote?: string | undefined;
  readonly tls?: string | undefined;
  readonly failed: boolean;
  readonly lines: readonly TranscriptLine[];
}

/** Where transcripts go. */
export interface TranscriptKeeper {
  /** Which attempts are to be kept. Asked anew each time: a reload may change it. */
  readonly of: "off" | "errors" | "all";
  /** Never waits, never throws. */
  keep(transcript: Transcript): void;
}
