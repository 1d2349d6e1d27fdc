/** The stand-in's clock: another clock, moved. What a day would take is seen in a second, and nobody has to sleep. */
import type { Clock } from "../platform/clock.ts";

interface Timer {
  /** By our own monotonic clock, ms. */
  readonly at: number;
  readonly callback: () => void;
  cancel: () => void;
}

/** Runs as its base does, and can be moved besides. */
export class MovableClock implements Clock {
  readonly #base: Clock;
  #dateOffset = 0;
  #elapsedOffset = 0;
  #timers = new Set<Timer>();

  /** @param base - what makes time pass between the moves */
  constructor(base: Clock) {
    this.#base = base;
  }

  now(): number {
    return this.#base.now() + this.#dateOffset;
  }

  monotonic(): number {
    return this.#base.monotonic() + this.#elapsedOffset;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer: Timer = { at: this.monotonic() + Math.max(0, delayMs), callback, cancel: () => undefined };
    this.#timers.add(timer);
    this.#arm(timer);
    return () => this.#forget(timer);
  }

  #arm(timer: Timer): void {
    timer.cancel = this.#base.after(timer.at - this.monotonic(), () => {
      // The base may wake us early: it cuts waits that are too long for it into pieces.
      if (timer.at > this.monotonic()) this.#arm(timer);
      else if (this.#forget(timer)) timer.callback();
    });
  }

  #forget(timer: Timer): boolean {
    timer.cancel();
    return this.#timers.delete(timer);
  }

  /** How far the date is ahead of the base, ms. */
  get offsetMs(): number {
    return this.#dateOffset;
  }

  /** Lets `ms` pass at once: what came due meanwhile fires in its order, timers set by it included. */
  advance(ms: number): void {
    const end = this.monotonic() + ms;
    // Counted, because the base goes on while we move: the clock is ahead by exactly what was asked for.
    let left = ms;
    for (;;) {
      const due = [...this.#timers].filter((timer) => timer.at <= end).toSorted((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      const step = Math.min(left, Math.max(0, due.at - this.monotonic()));
      this.#move(step);
      left -= step;
      this.#forget(due);
      due.callback();
    }
    this.#move(left);
    for (const timer of this.#timers) {
      timer.cancel();
      this.#arm(timer);
    }
  }

  #move(ms: number): void {
    this.#elapsedOffset += ms;
    this.#dateOffset += ms;
  }

  /** Makes it this date, ms since the epoch. Forward is an advance; back changes the date alone, as on a computer whose clock is set. */
  set(date: number): void {
    const ms = date - this.now();
    if (ms >= 0) this.advance(ms);
    else this.#dateOffset += ms;
  }
}

/** The longest a clock may be moved at once: a year. */
const LONGEST_MS = 366 * 24 * 60 * 60_000;
const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * Carries out `{ "advance": "90s" }` or `{ "set": "2026-11-26T09:00:00Z" }`.
 *
 * @returns what was wrong with it, and then nothing was moved; undefined when it was done
 */
export function moveClock(clock: MovableClock, body: unknown): string | undefined {
  const { advance, set, ...unknown } = (body ?? {}) as Record<string, unknown>;
  const [extra] = Object.keys(unknown);
  if (extra !== undefined) return `${extra}: unknown; expected advance or set`;
  if ((advance === undefined) === (set === undefined)) return 'expected either {"advance":"90s"} or {"set":"2026-11-26T09:00:00Z"}';
  if (advance !== undefined) {
    const ms = readDuration(advance);
    if (ms === undefined) return "advance: expected a duration of at most 366d such as 500ms, 90s, 5m, 4h or 1d";
    clock.advance(ms);
    return undefined;
  }
  const date = typeof set === "string" ? Date.parse(set) : Number.NaN;
  if (Number.isNaN(date) || Math.abs(date - clock.now()) > LONGEST_MS) {
    return "set: expected a time within a year such as 2026-11-26T09:00:00Z";
  }
  clock.set(date);
  return undefined;
}

function readDuration(value: unknown): number | undefined {
  const match = typeof value === "string" ? /^(\d{1,12})(ms|s|m|h|d)$/.exec(value) : null;
  const ms = Number(match?.[1]) * (UNITS[match?.[2] ?? ""] ?? Number.NaN);
  return ms <= LONGEST_MS ? ms : undefined;
}
