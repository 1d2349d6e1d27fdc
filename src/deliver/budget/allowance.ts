/** One limit of the next hop and what is used of it. Doors that the next hop counts together share the same object. */
import { SlidingWindow } from "./window.ts";

/** What a limit counts. */
export type Unit = "messages" | "recipients" | "external" | "bytes";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

/** How a limit is counted. */
interface Kind {
  readonly unit: Unit;
  /** Counted for this long from the start of an attempt … */
  readonly lengthMs: number;
  /** … and for this long from its end. */
  readonly afterEndMs: number;
  /** Slowing down applies to it. */
  readonly isRate: boolean;
}

/**
 * All limits, under the name that the metric has for them. Two seconds more than the next hop's own window from the start, and its own from the end:
 * 30 a minute is paced as 30 in any 62 s, which is 97 % of it, and whichever moment of an attempt it is counted at, no minute sees more.
 */
export const LIMITS = {
  messages_per_minute: { unit: "messages", lengthMs: MINUTE_MS + 2_000, afterEndMs: MINUTE_MS, isRate: true },
  messages_per_hour: { unit: "messages", lengthMs: 60 * MINUTE_MS + 2_000, afterEndMs: 60 * MINUTE_MS, isRate: true },
  recipients_per_day: { unit: "recipients", lengthMs: DAY_MS + 2_000, afterEndMs: DAY_MS, isRate: false },
  external_recipients_per_day: { unit: "external", lengthMs: DAY_MS + 2_000, afterEndMs: DAY_MS, isRate: false },
  requests_per_10_minutes: { unit: "messages", lengthMs: 10 * MINUTE_MS + 2_000, afterEndMs: 10 * MINUTE_MS, isRate: true },
  bytes_per_5_minutes: { unit: "bytes", lengthMs: 5 * MINUTE_MS + 2_000, afterEndMs: 5 * MINUTE_MS, isRate: false },
} as const satisfies Record<string, Kind>;
export type LimitName = keyof typeof LIMITS;

/** The history that the longest window needs. */
export const BUDGET_HISTORY_MS = 25 * 60 * MINUTE_MS;

export class Allowance {
  readonly limit: LimitName;
  /** What the next hop counts the doors together by. */
  readonly key: string;
  #most: number;
  #doors: readonly string[];
  readonly unit: Unit;
  readonly isRate: boolean;
  /** A limit of a whole day: worth a warning before it is reached, and an order in which the rest is used. */
  readonly isDaily: boolean;
  readonly lengthMs: number;
  readonly window: SlidingWindow;

  constructor(limit: LimitName, key: string, most: number, doors: readonly string[]) {
    const kind = LIMITS[limit];
    this.limit = limit;
    this.key = key;
    this.#most = most;
    this.#doors = doors;
    this.unit = kind.unit;
    this.isRate = kind.isRate;
    this.isDaily = kind.lengthMs >= DAY_MS;
    this.lengthMs = kind.lengthMs;
    this.window = new SlidingWindow(kind.lengthMs, kind.afterEndMs);
  }

  /** The limit's number. */
  get most(): number {
    return this.#most;
  }

  /** Names of the doors that share it. */
  get doors(): readonly string[] {
    return this.#doors;
  }

  /** A reload's number and doors; what is used stays used. */
  update(most: number, doors: readonly string[]): void {
    this.#most = most;
    this.#doors = doors;
  }

  /** What is left of it now. @param factor - of a rate, so much is used */
  available(now: number, factor: number): number {
    return Math.max(0, this.#mostBy(factor) - this.window.used(now));
  }

  /** When `amount` fits; undefined when that depends on something under way. An amount over the whole limit fits when nothing is used. */
  freeAt(now: number, factor: number, amount: number): number | undefined {
    return this.window.freeAt(now, Math.max(0, this.#mostBy(factor) - amount));
  }

  #mostBy(factor: number): number {
    return this.isRate && factor < 1 ? Math.max(1, Math.floor(this.most * factor)) : this.most;
  }

  /** What is left, without regard to what is under way; for metric, status and alert. */
  remaining(now: number): number {
    return Math.max(0, this.most - this.window.counted(now));
  }
}
