/** Who used how much of the last day, so that large senders come last when little of it is left. */

/** Counted in halves of a day: what is older than a whole one is forgotten. */
const HALF_DAY_MS = 12 * 60 * 60_000;
/** Beyond so many, further ones are not told apart. */
const MOST_SENDERS = 2_000;

export class SenderShares {
  #since = 0;
  #now = new Map<string, number>();
  #before = new Map<string, number>();

  /** @param line - what the queue is fair between: see `ClaimRequest.busyDevices` */
  count(line: string, recipients: number, now: number): void {
    this.#turn(now);
    const used = this.#now.get(line);
    if (used !== undefined || this.#now.size < MOST_SENDERS) this.#now.set(line, (used ?? 0) + recipients);
  }

  /** Recipients of each in the last 12 to 24 hours. */
  all(now: number): Map<string, number> {
    this.#turn(now);
    const all = new Map(this.#before);
    for (const [line, recipients] of this.#now) all.set(line, (all.get(line) ?? 0) + recipients);
    return all;
  }

  #turn(now: number): void {
    if (now - this.#since < HALF_DAY_MS) return;
    this.#before = now - this.#since < 2 * HALF_DAY_MS ? this.#now : new Map();
    this.#now = new Map();
    this.#since = now;
  }
}
