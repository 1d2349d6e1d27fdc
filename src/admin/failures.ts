/**
 * Slows down who shows wrong tokens. Nobody guesses 256 random bits; this keeps a mistaken program, or somebody who tries all the same, from costing more
 * than a line now and then. A right token is never slowed, whatever else comes from its address.
 */
import type { Clock } from "../platform/clock.ts";

/** The first failure is answered at once, then each time half as quickly. */
const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 8_000;
/** Without another one for so long, failures are forgotten. */
const FORGET_MS = 10 * 60_000;
/** Answers that wait. Beyond, the answer is that there were too many. */
const MOST_WAITING_OF_ONE = 4;
const MOST_WAITING = 32;
const MOST_ADDRESSES = 1_000;

interface Entry {
  failures: number;
  lastAt: number;
  waiting: number;
}

/** How a failure is answered: so many ms from now, or not at all. */
export type Slowdown = { readonly failures: number; readonly delayMs: number | undefined };

export class Failures {
  readonly #clock: Clock;
  /** By address, in the order of their last failure. */
  readonly #records = new Map<string, Entry>();
  #waiting = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Another one; where `delayMs` is given, the answer waits, and `answered` has to follow. */
  note(address: string): Slowdown {
    const now = this.#clock.monotonic();
    const known = this.#records.get(address);
    const record =
      known !== undefined && now - known.lastAt < FORGET_MS ? known : { failures: 0, lastAt: now, waiting: known?.waiting ?? 0 };
    record.failures += 1;
    record.lastAt = now;
    this.#records.delete(address);
    this.#records.set(address, record);
    for (const [oldest, { waiting }] of this.#records) {
      if (this.#records.size <= MOST_ADDRESSES) break;
      if (waiting === 0) this.#records.delete(oldest);
    }
    if (record.waiting >= MOST_WAITING_OF_ONE || this.#waiting >= MOST_WAITING) return { failures: record.failures, delayMs: undefined };
    record.waiting += 1;
    this.#waiting += 1;
    const delayMs = record.failures === 1 ? 0 : Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(20, record.failures - 2));
    return { failures: record.failures, delayMs };
  }

  /** An answer that waited was given, or nobody waits for it any more. */
  answered(address: string): void {
    this.#waiting -= 1;
    const record = this.#records.get(address);
    if (record !== undefined) record.waiting -= 1;
  }
}
