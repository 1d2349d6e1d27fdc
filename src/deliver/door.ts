/**
 * Whether mail may go out by an upstream now.
 *
 *     open ── transient fault, throttling ──▶ waiting ── time is up ──▶ trial ── it works ──▶ open
 *      │                                         ▲                        │
 *      │                                         └──── another fault ─────┘
 *      └── fault that needs hands ──▶ held ── a probe works ──▶ open        (held is reached from waiting and trial too)
 *
 * In `trial` one message goes first. Only `held` is durable: after a restart the others start as open and learn again.
 */
import type { LaneHold } from "../queue/queue.ts";

export type DoorState =
  | { readonly kind: "open" | "trial" }
  | { readonly kind: "waiting"; readonly until: number }
  | { readonly kind: "held"; readonly hold: LaneHold };

/** A door that lets nothing out for the moment. */
export interface DoorTrouble {
  readonly cause: string;
  readonly remedy: string | undefined;
  /** The other side asks for a slower pace; else it cannot be used. */
  readonly slow: boolean;
  /** When it began, and when it was met last, without a success between, in ms since the epoch. */
  readonly since: number;
  readonly metAt: number;
  /** When it is tried again; undefined when the next message that is due does. */
  readonly resumeAt: number | undefined;
}

/** Why a door waits. */
type Why = Pick<DoorTrouble, "cause" | "remedy" | "slow" | "since" | "metAt">;

const OPEN: DoorState = { kind: "open" };
const TRIAL: DoorState = { kind: "trial" };

/** Waits of a pause: 5 s, 10 s … 5 min. */
const FIRST_PAUSE_MS = 5_000;
const LONGEST_PAUSE_MS = 300_000;
/** Throttling that goes on doubles its wait up to this. */
const LONGEST_SLOW_MS = 900_000;

export class Door {
  #state: DoorState = OPEN;
  /** Changes with each closing. What an attempt says that began before the last one is old news. */
  #generation = 0;
  #why: Why | undefined;
  /** It waits because it cannot be reached, or has asked for a slower pace for too long. */
  #shut = false;
  /** When it will have asked for that for too long, where it waits longer than this. */
  #patientUntil = Infinity;
  /** Pauses or throttlings since it last worked. */
  #failures = 0;
  /** Rows of the table that turn into a hold when they last: since when each was seen without a success. */
  #since = new Map<string, number>();

  /** Only changed by the methods below. */
  get state(): DoorState {
    return this.#state;
  }

  get generation(): number {
    return this.#generation;
  }

  /** Why it waits, or waited before the trial that is on; undefined when it is open or held. */
  get trouble(): DoorTrouble | undefined {
    if (this.#why === undefined || (this.#state.kind !== "waiting" && this.#state.kind !== "trial")) return undefined;
    return { ...this.#why, resumeAt: this.opensAt };
  }

  /** Held, unreachable or throttled for long: mail that has another door takes that one. A door that is throttled for a while keeps its mail. */
  get isShut(): boolean {
    return this.#state.kind === "held" || (this.#state.kind === "waiting" && this.#shut);
  }

  /** When it lets something out again; undefined when it does now or only a probe knows. */
  get opensAt(): number | undefined {
    return this.#state.kind === "waiting" ? this.#state.until : undefined;
  }

  /** When something is to be done about a door that waits: it lets something out again, or patience with it ends. */
  get looksAt(): number | undefined {
    const opensAt = this.opensAt;
    return opensAt === undefined || this.#shut ? opensAt : Math.min(opensAt, this.#patientUntil);
  }

  /** How many attempts may be under way. */
  slots(connections: number): number {
    return this.#state.kind === "open" ? connections : this.#state.kind === "trial" ? 1 : 0;
  }

  works(): void {
    this.#failures = 0;
    this.#why = undefined;
    if (this.#since.size > 0) this.#since.clear();
    if (this.#state.kind === "trial" || this.#state.kind === "waiting") this.#state = OPEN;
  }

  /** A transient fault. @returns when to try again */
  pause(now: number, cause: string, remedy?: string): number {
    this.#shut = true;
    return this.#wait(now, { cause, remedy, slow: false }, Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(this.#failures, 20)));
  }

  /**
   * Throttled.
   *
   * @param patienceMs - once it has not worked for so long it is shut: one message at a time, minutes apart, would never take what waits
   * @returns when to try again
   */
  slow(now: number, waitMs: number, patienceMs: number, cause: string, remedy?: string): number {
    const left = (this.#why?.since ?? now) + patienceMs - now;
    this.#shut = left <= 0;
    this.#patientUntil = now + left;
    const wait = Math.max(waitMs, Math.min(LONGEST_SLOW_MS, waitMs * 2 ** Math.min(this.#failures, 20)));
    // Asked once more when the patience ends, and not only when the doubled wait does.
    return this.#wait(now, { cause, remedy, slow: true }, left > 0 ? Math.min(wait, Math.max(waitMs, left)) : wait);
  }

  /** It asked for more time than there is patience. @returns true when that makes it shut now */
  losePatience(now: number): boolean {
    if (this.#state.kind !== "waiting" || this.#shut || now < this.#patientUntil || now >= this.#state.until) return false;
    this.#shut = true;
    return true;
  }

  #wait(now: number, why: Pick<Why, "cause" | "remedy" | "slow">, waitMs: number): number {
    this.#why = { ...why, since: this.#why?.since ?? now, metAt: now };
    this.#failures += 1;
    this.#generation += 1;
    this.#state = { kind: "waiting", until: now + waitMs };
    return now + waitMs;
  }

  /** The wait is over, or an operator says so. */
  resume(): void {
    if (this.#state.kind === "waiting") this.#state = TRIAL;
  }

  hold(hold: LaneHold): void {
    this.#generation += 1;
    this.#state = { kind: "held", hold };
  }

  release(): void {
    this.#failures = 0;
    this.#why = undefined;
    this.#since.clear();
    this.#generation += 1;
    this.#state = OPEN;
  }

  /** Whether a fault that only lasting makes serious has lasted. */
  lasted(id: string, holdAfterMs: number | undefined, now: number): boolean {
    if (holdAfterMs === undefined) return false;
    const since = this.#since.get(id);
    if (since === undefined) this.#since.set(id, now);
    return since !== undefined && now - since >= holdAfterMs;
  }
}
