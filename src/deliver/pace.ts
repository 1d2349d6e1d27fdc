/** A budget of messages per minute as a sliding window. */

/** Microsoft's minute with two seconds to spare for clocks and networks: 30 a minute is paced as 30 in any 62 s. */
export const WINDOW_MS = 62_000;

/**
 * Counts an attempt from its start until 62 s after its end: whichever moment in between the next hop counts it at, there are
 * never more than `perMinute` of them in one of its minutes. Times are monotonic, so that setting the clock neither blocks nor bursts.
 */
export class Pace {
  readonly #perMinute: number;
  /** Ends of counted attempts, oldest first; at most `perMinute` of them matter. */
  #ends: number[] = [];
  #underWay = 0;

  /** @param perMinute - undefined: not limited, and nothing is kept */
  constructor(perMinute: number | undefined) {
    this.#perMinute = perMinute ?? Number.POSITIVE_INFINITY;
  }

  get limited(): boolean {
    return this.#perMinute !== Number.POSITIVE_INFINITY;
  }

  /** Counts attempts of an earlier process. @param agesMs - how long ago each was */
  restore(agesMs: readonly number[], now: number): void {
    this.#ends = [...this.#ends, ...agesMs.map((age) => now - Math.max(0, age))].toSorted((a, b) => a - b);
  }

  /** How many attempts may start now. */
  available(now: number): number {
    if (!this.limited) return this.#perMinute;
    while (this.#ends.length > 0 && (this.#ends[0] ?? 0) + WINDOW_MS <= now) this.#ends.shift();
    return Math.max(0, this.#perMinute - this.#ends.length - this.#underWay);
  }

  start(): void {
    this.#underWay += 1;
  }

  /** @param counted - false when the next hop never saw a message */
  finish(now: number, counted: boolean): void {
    this.#underWay -= 1;
    if (counted && this.limited) this.#ends.push(now);
  }

  /** When the next attempt may start; undefined when that depends on one under way. */
  freeAt(): number | undefined {
    const oldest = this.#ends[0];
    return oldest === undefined ? undefined : oldest + WINDOW_MS;
  }
}
