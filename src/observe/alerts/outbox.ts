/**
 * What one way of telling people owes: notices in order, bounded, kept by the caller over restarts; nothing waits for them. A way that fails is
 * tried again with growing waits, and is a line in the log, the first time and then once an hour.
 */
import { randomUUID } from "node:crypto";
import type { Emit } from "../../mail/events.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Carried, Notice, Owed, Way } from "./alert.ts";

/** Beyond it the oldest are dropped. */
export const MOST_OWED = 200;
/** Waits: 10, 20, 40 … seconds, at most a quarter of an hour. */
const FIRST_WAIT_MS = 10_000;
const MOST_WAIT_MS = 900_000;
/** News that old is none; what is still open is repeated daily. */
const MOST_AGE_MS = 3 * 86_400_000;
/** A notice that is refused as such is not tried for ever: others wait behind it. */
const MOST_REFUSALS = 5;
const LOG_AGAIN_MS = 3_600_000;
/** After so long without a notice a way goes at its first pace again. */
const QUIET_MS = 3_600_000;

/** Carries notices one way. */
export interface Carrier {
  /** Never rejects. */
  carry(owed: readonly Owed[]): Promise<Carried>;
  /** Several notices go together; absent: each by itself, at once. */
  readonly pace?: Pace | undefined;
  /** Notices that must not go this way; absent: none. */
  readonly leavesOut?: ((notice: Notice) => boolean) | undefined;
}

/** How notices are gathered, so that a storm of them is few messages. In ms. */
export interface Pace {
  /** What comes within this after the first one goes with it. */
  readonly gatherMs: number;
  /** Between two messages; it doubles with each that follows, up to `mostGapMs`. */
  readonly gapMs: number;
  readonly mostGapMs: number;
  /** Longest wait after a failure. */
  readonly mostWaitMs: number;
}

export interface OutboxOptions {
  readonly way: Way;
  readonly clock: Clock;
  readonly emit: Emit;
  /** What is owed changed. */
  readonly changed: () => void;
}

export class Outbox {
  readonly #options: OutboxOptions;
  #carrier: Carrier;
  #owed: Owed[] = [];
  #failures = 0;
  #loggedAt = -Infinity;
  #busy: Promise<void> | undefined;
  #cancelWait: (() => void) | undefined;
  #running = false;
  /** Of the monotonic clock: since when something is owed, and when something was last taken. */
  #since: number | undefined;
  #takenAt = -Infinity;
  #gapMs = 0;

  constructor(options: OutboxOptions, carrier: Carrier) {
    this.#options = options;
    this.#carrier = carrier;
  }

  get owed(): readonly Owed[] {
    return this.#owed;
  }

  /** Takes up what is owed from before: by an earlier process, or by a way that is no more. */
  restore(owed: readonly Owed[]): void {
    const wanted = owed.filter(({ notice }) => this.#carrier.leavesOut?.(notice) !== true);
    this.#owed = [...this.#owed, ...wanted].slice(-MOST_OWED);
    if (this.#owed.length > 0) this.#since ??= this.#options.clock.monotonic();
    this.#next();
  }

  start(): void {
    this.#running = true;
    this.#next();
  }

  /** Tries nothing any more. Resolves when the attempt under way has ended. */
  async stop(): Promise<void> {
    this.#running = false;
    this.#stopWaiting();
    await this.#busy;
  }

  /** Another carrier from now on, which is tried at once with all that is owed. */
  replace(carrier: Carrier): void {
    this.#carrier = carrier;
    this.#failures = 0;
    this.#loggedAt = -Infinity;
    this.#stopWaiting();
    this.#next();
  }

  /** Never waits. */
  notify(notice: Notice): void {
    if (this.#carrier.leavesOut?.(notice) === true) return;
    this.#owed.push({ id: randomUUID(), notice, attempts: 0 });
    this.#since ??= this.#options.clock.monotonic();
    if (this.#owed.length > MOST_OWED) this.#drop(0, "too many wait");
    this.#options.changed();
    this.#next();
  }

  /** Carries one notice now, past all that waits; it is not tried again. */
  async carryNow(notice: Notice): Promise<Carried> {
    const carried = await this.#carrier.carry([{ id: randomUUID(), notice, attempts: 0 }]);
    const { way, emit } = this.#options;
    const { alert, state } = notice;
    if (carried.taken) emit({ type: "alert.notified", way, alert: alert.alert, subject: alert.subject, state });
    else {
      const { cause, remedy } = carried;
      emit({ type: "alert.notify.failed", way, cause, remedy, failures: 1, waiting: this.#owed.length, isRepeated: false });
    }
    return carried;
  }

  #next(): void {
    if (!this.#running || this.#busy !== undefined || this.#cancelWait !== undefined) return;
    if (this.#owed.length === 0) {
      this.#since = undefined;
      return;
    }
    const waitMs = this.#dueInMs();
    if (waitMs > 0) {
      this.#wait(waitMs);
      return;
    }
    this.#busy = this.#try().finally(() => {
      this.#busy = undefined;
      this.#next();
    });
  }

  /** How long to gather on. */
  #dueInMs(): number {
    const { pace } = this.#carrier;
    if (pace === undefined || this.#since === undefined) return 0;
    return Math.max(this.#since + pace.gatherMs, this.#takenAt + this.#gapMs) - this.#options.clock.monotonic();
  }

  async #try(): Promise<void> {
    const { clock, changed } = this.#options;
    const carrier = this.#carrier;
    const old = this.#owed.filter(({ notice }) => clock.now() - notice.at > MOST_AGE_MS);
    for (const owed of old) this.#drop(this.#owed.indexOf(owed), "too old");
    const batch = carrier.pace === undefined ? this.#owed.slice(0, 1) : [...this.#owed];
    if (batch.length > 0) {
      const carried = await carrier.carry(batch);
      for (const owed of batch) owed.attempts += 1;
      if (carried.taken) this.#taken(batch, carrier);
      // A carrier that was replaced meanwhile says nothing about the new one.
      else if (carrier === this.#carrier) this.#failed(batch, carried, carrier);
    }
    changed();
  }

  #taken(batch: readonly Owed[], { pace }: Carrier): void {
    const { way, clock, emit } = this.#options;
    this.#failures = 0;
    this.#loggedAt = -Infinity;
    this.#since = undefined;
    const now = clock.monotonic();
    if (pace !== undefined) {
      this.#gapMs = now - this.#takenAt > QUIET_MS ? pace.gapMs : Math.min(pace.mostGapMs, 2 * this.#gapMs);
      this.#takenAt = now;
    }
    // Some may have been dropped for newer ones meanwhile.
    this.#owed = this.#owed.filter((owed) => !batch.includes(owed));
    if (this.#owed.length > 0) this.#since = now;
    for (const { notice } of batch) {
      const { alert, state } = notice;
      emit({ type: "alert.notified", way, alert: alert.alert, subject: alert.subject, state });
    }
  }

  #failed(batch: readonly Owed[], { cause, remedy, refused }: Extract<Carried, { taken: false }>, { pace }: Carrier): void {
    const { way, clock, emit } = this.#options;
    this.#failures += 1;
    const now = clock.monotonic();
    const isRepeated = now - this.#loggedAt < LOG_AGAIN_MS;
    if (!isRepeated) this.#loggedAt = now;
    emit({ type: "alert.notify.failed", way, cause, remedy, failures: this.#failures, waiting: this.#owed.length, isRepeated });
    for (const owed of batch) {
      const place = this.#owed.indexOf(owed);
      if (place >= 0 && refused === true && owed.attempts >= MOST_REFUSALS) this.#drop(place, cause);
    }
    if (!this.#running) return;
    this.#wait(Math.min(pace?.mostWaitMs ?? MOST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(20, this.#failures - 1)));
  }

  #wait(ms: number): void {
    this.#cancelWait = this.#options.clock.after(ms, () => {
      this.#cancelWait = undefined;
      this.#next();
    });
  }

  #stopWaiting(): void {
    this.#cancelWait?.();
    this.#cancelWait = undefined;
  }

  #drop(place: number, cause: string): void {
    const [owed] = this.#owed.splice(place, 1);
    if (owed !== undefined) this.#options.emit(dropped(this.#options.way, owed, cause));
  }
}

/** The event that tells of a notice that was given up. */
export function dropped(way: Way, { notice }: Owed, cause: string): Parameters<Emit>[0] {
  const { alert, state } = notice;
  return { type: "alert.notify.dropped", way, alert: alert.alert, subject: alert.subject, state, cause };
}
