/**
 * Keeps lines that repeat themselves from filling the log: a device that tries a refused mail again for ever, a scanner that knocks ten thousand
 * times a minute. Memory is bounded too; metrics and the inventory count every event all the same.
 */

/** Lines of one kind that are written in a span. */
export const LINES_PER_SPAN = 20;
export const SPAN_MS = 60_000;
const MOST_KINDS = 10_000;

interface Span {
  startedAt: number;
  lines: number;
  /** Lines that were left out since one was last written. */
  leftOut: number;
}

export class Repetition {
  /** In the order of their last span. */
  readonly #spans = new Map<string, Span>();

  /**
   * Whether a line of this kind is written now.
   *
   * @param now - ms of a clock that never goes back
   * @returns how many were left out since the last one that was written; undefined when this one is left out too
   */
  admit(kind: string, now: number): number | undefined {
    const span = this.#spans.get(kind);
    if (span !== undefined && now - span.startedAt < SPAN_MS) {
      span.lines += 1;
      if (span.lines <= LINES_PER_SPAN) return 0;
      span.leftOut += 1;
      return undefined;
    }
    this.#spans.delete(kind);
    this.#spans.set(kind, { startedAt: now, lines: 1, leftOut: 0 });
    for (const oldest of this.#spans.keys()) {
      if (this.#spans.size <= MOST_KINDS) break;
      this.#spans.delete(oldest);
    }
    return span?.leftOut ?? 0;
  }
}
