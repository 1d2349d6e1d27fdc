/**
 * Counts what went out in the last so and so long: a sliding window, in bounded memory, that never counts too little.
 *
 * Crash here, what is lost? Nothing that the queue's history does not know: see `restore`.
 */

/** A window keeps at most about this many entries: what ended within a thousandth of its length is let go together, with the last of it. */
const STEPS = 1_000;

export class SlidingWindow {
  readonly #lengthMs: number;
  readonly #afterEndMs: number;
  /** When each entry leaves the window, in order; monotonic ms. */
  readonly #until: number[] = [];
  /** The earliest `until` that was put into the entry. */
  readonly #since: number[] = [];
  readonly #amounts: number[] = [];
  #counted = 0;
  #taken = 0;

  /**
   * @param lengthMs - an amount counts from its start for this long …
   * @param afterEndMs - … and for this long after its end. The next hop counts it at some moment in between: as long as this is the next hop's own
   *   window, it never sees more than we do.
   */
  constructor(lengthMs: number, afterEndMs: number) {
    this.#lengthMs = lengthMs;
    this.#afterEndMs = afterEndMs;
  }

  /** Everything that counts now, what is taken and not yet counted included. */
  used(now: number): number {
    return this.counted(now) + this.#taken;
  }

  /** What is over and still counts. */
  counted(now: number): number {
    while ((this.#until[0] ?? Infinity) <= now) {
      this.#counted -= this.#amounts[0] ?? 0;
      this.#until.shift();
      this.#since.shift();
      this.#amounts.shift();
    }
    return this.#counted;
  }

  /** Sets an amount aside for what is about to start. */
  take(amount: number): void {
    this.#taken += amount;
  }

  /** What was taken is over, or will not be used. */
  giveBack(amount: number): void {
    this.#taken -= amount;
  }

  /** Counts an amount that is over. Times are monotonic, so that setting the clock neither blocks nor bursts; those before the start are negative. */
  count(amount: number, startedAt: number, endedAt: number): void {
    if (amount <= 0) return;
    this.#counted += amount;
    const until = Math.max(startedAt + this.#lengthMs, endedAt + this.#afterEndMs);
    // Nearly always the last: what ends later leaves later, but for what took unusually long.
    let at = this.#until.length;
    while (at > 0 && (this.#until[at - 1] ?? 0) > until) at -= 1;
    // Joined to the one after it, it counts a little longer, never shorter.
    const step = this.#lengthMs / STEPS;
    const next = this.#until[at];
    const last = this.#since[at - 1];
    if (next !== undefined && next - until <= step) {
      this.#amounts[at] = (this.#amounts[at] ?? 0) + amount;
      this.#since[at] = Math.min(this.#since[at] ?? until, until);
    } else if (next === undefined && last !== undefined && until - last <= step) {
      this.#amounts[at - 1] = (this.#amounts[at - 1] ?? 0) + amount;
      this.#until[at - 1] = until;
    } else {
      this.#until.splice(at, 0, until);
      this.#since.splice(at, 0, until);
      this.#amounts.splice(at, 0, amount);
    }
  }

  /**
   * When no more than `most` counts, should nothing else come.
   *
   * @returns `now` when that is so already; undefined when it depends on something that is still under way
   */
  freeAt(now: number, most: number): number | undefined {
    let over = this.used(now) - most;
    if (over <= 0) return now;
    for (const [at, amount] of this.#amounts.entries()) {
      over -= amount;
      if (over <= 0) return this.#until[at];
    }
    return undefined;
  }

  /** Entries kept; for tests of the bound. */
  get entries(): number {
    return this.#until.length;
  }
}
