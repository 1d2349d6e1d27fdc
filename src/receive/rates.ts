/**
 * How much a device may send in a time: a bucket that holds the whole number and refills evenly, so that 120/min lets 120 through at once
 * and then one each half second. Kept as one moment for each device (the generic cell rate algorithm), bounded.
 */

/** `count` in `perMs`. */
export interface Rate {
  readonly count: number;
  readonly perMs: number;
}

const MOST_DEVICES = 10_000;

export class Rates {
  /** When the bucket is full again, monotonic; in the order of last use. */
  readonly #fullAt = new Map<string, number>();

  /**
   * Takes one. When it comes free only later, it is set aside all the same, as long as that is within `longestWaitMs`.
   *
   * @param key - who is counted
   * @param now - monotonic ms
   * @returns ms to wait before going on; undefined when it would be longer, and nothing was taken
   */
  take(key: string, { count, perMs }: Rate, now: number, longestWaitMs: number): number | undefined {
    const stepMs = perMs / count;
    const full = Math.max(this.#fullAt.get(key) ?? now, now) + stepMs;
    const waitMs = Math.max(0, full - now - perMs);
    if (waitMs > longestWaitMs) return undefined;
    this.#fullAt.delete(key);
    this.#fullAt.set(key, full);
    for (const [oldest] of this.#fullAt) {
      if (this.#fullAt.size <= MOST_DEVICES) break;
      this.#fullAt.delete(oldest);
    }
    return waitMs;
  }
}
