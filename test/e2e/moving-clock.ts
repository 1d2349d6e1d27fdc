/** Real time that a test can push forward: waits of the product that last minutes pass at once, and nothing sleeps. */
import type { Clock } from "../../src/platform/clock.ts";

interface Timer {
  /** Moment of `monotonic()` at which it fires. */
  readonly at: number;
  readonly callback: () => void;
  handle: NodeJS.Timeout | undefined;
}

/** Runs as fast as the machine's clock, and jumps when told to. */
export class MovingClock implements Clock {
  #ahead = 0;
  readonly #timers = new Set<Timer>();

  now(): number {
    return Date.now() + this.#ahead;
  }

  monotonic(): number {
    return performance.now() + this.#ahead;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer: Timer = { at: this.monotonic() + Math.max(0, delayMs), callback, handle: undefined };
    this.#timers.add(timer);
    this.#arm(timer);
    return () => this.#forget(timer);
  }

  /** Everything due within the next `ms` happens now, in order. */
  advance(ms: number): void {
    this.#ahead += ms;
    const now = this.monotonic();
    const due = [...this.#timers].filter((timer) => timer.at <= now).toSorted((a, b) => a.at - b.at);
    for (const timer of this.#timers) if (timer.at > now) this.#arm(timer);
    for (const timer of due) this.#fire(timer);
  }

  #arm(timer: Timer): void {
    clearTimeout(timer.handle);
    timer.handle = setTimeout(() => this.#fire(timer), Math.min(2 ** 31 - 1, Math.max(0, timer.at - this.monotonic())));
    timer.handle.unref();
  }

  /** Once; a timer that another one cancelled meanwhile stays silent. */
  #fire(timer: Timer): void {
    if (!this.#timers.has(timer)) return;
    this.#forget(timer);
    timer.callback();
  }

  #forget(timer: Timer): void {
    clearTimeout(timer.handle);
    this.#timers.delete(timer);
  }
}
