/** How much of its rate a door uses after the next hop asked it to slow down. */

/** Each throttling halves the rate for this long; then it doubles again, step by step. */
export const THROTTLE_STEP_MS = 600_000;
/** An eighth is the slowest. */
const MOST_HALVINGS = 3;
/** Answers to what was under way together are one throttling. */
const SAME_MS = 30_000;

export class Throttle {
  #halvings = 0;
  #since = 0;

  /** The next hop throttled us. Times are monotonic. */
  hit(now: number): void {
    const level = this.#level(now);
    if (level > 0 && now - this.#since < SAME_MS) return;
    this.#halvings = Math.min(MOST_HALVINGS, level + 1);
    this.#since = now;
  }

  #level(now: number): number {
    if (this.#halvings === 0) return 0;
    const level = Math.max(0, this.#halvings - Math.floor((now - this.#since) / THROTTLE_STEP_MS));
    if (level === 0) this.#halvings = 0;
    return level;
  }

  /** Of every limit so much is used: 1, 0.5, 0.25 or 0.125. */
  factor(now: number): number {
    return this.#halvings === 0 ? 1 : 0.5 ** this.#level(now);
  }

  /** When the factor grows next; undefined when it is 1. */
  growsAt(now: number): number | undefined {
    if (this.#level(now) === 0) return undefined;
    return this.#since + (Math.floor((now - this.#since) / THROTTLE_STEP_MS) + 1) * THROTTLE_STEP_MS;
  }

  /** When the full rate is used again, unless throttled before; undefined when it is. */
  endsAt(now: number): number | undefined {
    return this.#level(now) === 0 ? undefined : this.#since + this.#halvings * THROTTLE_STEP_MS;
  }
}
