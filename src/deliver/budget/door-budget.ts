/**
 * What one door may still start, of all that the next hop counts it by.
 *
 * The way of a place: `take` before the queue is asked for mail, `giveBack` for what it did not give; `begin` with the attempt, `end` after it. At every
 * moment what is counted, under way and set aside is within the limit, whatever the other doors of the same mailbox do.
 */
import type { Counted } from "../../queue/queue.ts";
import type { Allowance, LimitName, Unit } from "./allowance.ts";
import { SenderShares } from "./senders.ts";
import type { Throttle } from "./throttle.ts";

/** What is left for a door. Infinity where there is no limit. */
export interface Places {
  /** Messages that may start now. */
  readonly messages: number;
  /** Recipients they may have in all. */
  readonly recipients: number;
}

export const NO_LIMIT: Places = { messages: Infinity, recipients: Infinity };

/** What is known of an attempt that the next hop saw mail of. */
export interface Taken {
  /** Those without a refusal of their own were taken, if the message was. */
  readonly recipients: readonly { readonly address: string; readonly refusal?: unknown }[];
  readonly accepted?: unknown;
  readonly ambiguous: boolean;
}

/** What one message uses, besides being one. */
export interface Cost {
  readonly recipients: number;
  /** Of these outside the organization. */
  readonly external: number;
  readonly bytes: number;
}

/** What is left of one limit, for metric and status. */
export interface BudgetLevel {
  /** The doors that share it, joined by `+`: a name without an address. */
  readonly budget: string;
  readonly doors: readonly string[];
  readonly limit: LimitName;
  readonly most: number;
  readonly remaining: number;
}

/** Attempts under way of doors that the next hop counts together. */
export interface SharedConnections {
  most: number;
  underWay: number;
}

/** A day's budget with less left than this is used by priority. */
export const LOW_SHARE = 0.1;
const ONE_MORE: Readonly<Record<Unit, number>> = { messages: 1, recipients: 1, external: 1, bytes: 1 };

export class DoorBudget {
  readonly name: string;
  /** False: nothing is counted, and nothing else here need be called for a message. */
  readonly limited: boolean;
  readonly allowances: readonly Allowance[];
  readonly #throttle: Throttle;
  readonly #connections: SharedConnections | undefined;
  /** All that count this door's connections: its own, and those of the budgets that followed. */
  readonly #countingConnections = new Set<SharedConnections>();
  /** Connections in use. */
  #inUse = 0;
  /** What each attempt under way took places of: of this budget, and of those that followed it meanwhile. */
  readonly #underWay = new Map<Cost, Allowance[]>();
  /** The budget of the same door that a reload made of this one. */
  #successor: DoorBudget | undefined;
  #predecessor: DoorBudget | undefined;
  readonly #isExternal: ((address: string) => boolean) | undefined;
  readonly #shares: SenderShares | undefined;
  /** Doors that wait for what this one gives back. */
  #neighbours: readonly DoorBudget[] = [];
  #wake: (() => void) | undefined;
  readonly #onCounted: (() => void) | undefined;
  #wakePlanned = false;

  /**
   * @param isExternal - undefined: nobody counts recipients outside
   * @param onCounted - called when something was counted that a day's budget is for
   */
  constructor(
    name: string,
    allowances: readonly Allowance[],
    throttle: Throttle,
    connections: SharedConnections | undefined,
    isExternal: ((address: string) => boolean) | undefined,
    onCounted: () => void,
  ) {
    this.name = name;
    this.limited = allowances.length > 0;
    this.allowances = allowances;
    this.#throttle = throttle;
    this.#connections = connections;
    if (connections !== undefined) this.#countingConnections.add(connections);
    this.#isExternal = isExternal;
    const hasDay = allowances.some((allowance) => allowance.isDaily);
    this.#shares = hasDay ? new SenderShares() : undefined;
    this.#onCounted = hasDay ? onCounted : undefined;
  }

  /** Called when all doors are there. */
  share(neighbours: readonly DoorBudget[]): void {
    this.#neighbours = neighbours;
  }

  /** `wake` is called when another door of the same budget gave something back that this one may wait for. */
  onFree(wake: () => void): void {
    this.#wake = wake;
  }

  /** True where it counts by exactly these. */
  isMadeOf(allowances: readonly Allowance[], throttle: Throttle, connections: SharedConnections | undefined): boolean {
    const its = this.allowances;
    return (
      this.#throttle === throttle &&
      this.#connections === connections &&
      its.length === allowances.length &&
      its.every((allowance, index) => allowance === allowances[index])
    );
  }

  /**
   * Another budget takes this one's place. What is under way here is so there too, and is counted there when it ends: no limit sees more because the
   * configuration changed.
   */
  succeededBy(successor: DoorBudget): void {
    this.#successor = successor;
    successor.#predecessor = this;
    let newer = successor;
    for (let old = newer.#predecessor; old !== undefined; old = old.#predecessor) {
      // One with nothing under way has nothing to hand on, and would be kept for good, with its lane and its connections.
      if (old.#inUse === 0 && old.#underWay.size === 0) continue;
      successor.#inherit(old);
      newer.#predecessor = old;
      newer = old;
    }
    newer.#predecessor = undefined;
  }

  #inherit(old: DoorBudget): void {
    for (const [cost, taken] of old.#underWay) takeOfOthers(cost, taken, this.allowances);
    const connections = this.#connections;
    if (connections === undefined || old.#countingConnections.has(connections)) return;
    old.#countingConnections.add(connections);
    connections.underWay += old.#inUse;
  }

  // ---- places ----

  /** What may start now. */
  places(now: number): Places {
    return { messages: this.#available("messages", now), recipients: this.#available("recipients", now) };
  }

  /** Whether the limits themselves have room for one more message, whatever pace was asked for: one that finds out whether a held door works. */
  mayProbe(now: number): boolean {
    return this.#available("messages", now, 1) > 0 && this.#available("recipients", now, 1) > 0;
  }

  #available(unit: Unit, now: number, factor = this.#throttle.factor(now)): number {
    let available = Infinity;
    for (const allowance of this.allowances) if (allowance.unit === unit) available = Math.min(available, allowance.available(now, factor));
    return available;
  }

  /** When a message may start that may not now; undefined when that depends on what is under way. */
  freeAt(now: number): number | undefined {
    return this.#freeAt(now, ONE_MORE, ofEveryMessage);
  }

  /** When `mayProbe` is so; undefined when that depends on what is under way. */
  probeAt(now: number): number | undefined {
    return this.#freeAt(now, ONE_MORE, ofEveryMessage, 1);
  }

  #freeAt(
    now: number,
    amounts: Readonly<Record<Unit, number>>,
    concerns: (unit: Unit) => boolean,
    factor = this.#throttle.factor(now),
  ): number | undefined {
    let at = now;
    for (const allowance of this.allowances) {
      if (!concerns(allowance.unit)) continue;
      const free = allowance.freeAt(now, factor, amounts[allowance.unit]);
      if (free === undefined) return undefined;
      at = Math.max(at, free);
    }
    return factor === 1 || at <= now ? at : Math.min(at, this.#throttle.growsAt(now) ?? Infinity);
  }

  /** Sets places aside for what is about to come from the queue. */
  take(messages: number, recipients: number): void {
    for (const { unit, window } of this.allowances)
      if (unit === "messages") window.take(messages);
      else if (unit === "recipients") window.take(recipients);
  }

  /** They are not used after all. */
  giveBack(messages: number, recipients: number): void {
    for (const { unit, window } of this.allowances)
      if (unit === "messages") window.giveBack(messages);
      else if (unit === "recipients") window.giveBack(recipients);
    this.#wakeNeighbours();
  }

  /** Attempts that may be under way by this door: of `connections`, what throttling and the other doors of the mailbox leave. */
  slots(connections: number, underWay: number, now: number): number {
    const factor = this.#throttle.factor(now);
    const whole = factor === 1 || connections === 0 ? connections : Math.max(1, Math.floor(connections * factor));
    const slots = this.#predecessor === undefined ? whole : Math.max(0, whole - this.#inUseBefore());
    return this.#connections === undefined ? slots : Math.min(slots, underWay + this.#connections.most - this.#connections.underWay);
  }

  /** Connections of the door as it was before a reload. */
  #inUseBefore(): number {
    while (this.#predecessor !== undefined && this.#predecessor.#inUse === 0) this.#predecessor = this.#predecessor.#predecessor;
    let inUse = 0;
    for (let old = this.#predecessor; old !== undefined; old = old.#predecessor) inUse += old.#inUse;
    return inUse;
  }

  // ---- one message ----

  #costOf(recipients: readonly { readonly address: string }[], sizeBytes: number): Cost {
    return { recipients: recipients.length, external: this.#externalOf(recipients), bytes: wireBytes(sizeBytes) };
  }

  #externalOf(recipients: readonly { readonly address: string }[]): number {
    const isExternal = this.#isExternal;
    if (isExternal === undefined) return 0;
    let external = 0;
    for (const { address } of recipients) if (isExternal(address)) external += 1;
    return external;
  }

  /**
   * Whether a message in hand, whose place is taken, fits into what could not be known before: recipients outside, and octets.
   *
   * @returns undefined when it fits; else for each recipient that has to wait (by index) how long; the others may go at once, as a claim of their own
   */
  mustWait(
    recipients: readonly { readonly index: number; readonly address: string }[],
    sizeBytes: number,
    now: number,
  ): Map<number, number> | undefined {
    const cost = this.#costOf(recipients, sizeBytes);
    if (cost.bytes > this.#available("bytes", now)) {
      const at = this.#freeAt(now, { ...ONE_MORE, bytes: cost.bytes }, (unit) => unit === "bytes");
      if (at === undefined || at > now) {
        const waitMs = at === undefined ? UNKNOWN_WAIT_MS : at - now;
        return new Map(recipients.map(({ index }) => [index, waitMs]));
      }
    }
    let left = cost.external === 0 ? Infinity : this.#available("external", now);
    if (cost.external <= left) return undefined;
    const waits = new Map<number, number>();
    const at = this.#freeAt(now, { ...ONE_MORE, external: Math.min(cost.external, MOST_AWAITED) }, (unit) => unit === "external");
    const waitMs = at === undefined ? UNKNOWN_WAIT_MS : Math.max(UNKNOWN_WAIT_MS, at - now);
    for (const { index, address } of recipients) {
      if (this.#isExternal?.(address) !== true) continue;
      if (left > 0) left -= 1;
      else waits.set(index, waitMs);
    }
    return waits;
  }

  /**
   * An attempt starts; its message and recipients were taken before.
   *
   * @returns for `end`; undefined where nothing is counted
   */
  begin(recipients: readonly { readonly address: string }[], sizeBytes: number): Cost | undefined {
    this.connected();
    if (!this.limited) return undefined;
    const cost = this.#costOf(recipients, sizeBytes);
    for (const { unit, window } of this.allowances) if (unit === "external" || unit === "bytes") window.take(cost[unit]);
    const taken = [...this.allowances];
    for (let next = this.#successor; next !== undefined; next = next.#successor) takeOfOthers(cost, taken, next.allowances);
    this.#underWay.set(cost, taken);
    return cost;
  }

  /**
   * It is over. Times are monotonic.
   *
   * @param cost - what `begin` gave
   * @param taken - undefined when the next hop saw nothing of the message
   * @param line - whose mail it was
   * @returns what is to be kept in the history
   */
  end(cost: Cost | undefined, taken: Taken | undefined, line: string, startedAt: number, now: number): Counted | undefined {
    this.disconnected();
    if (cost === undefined) return undefined;
    const counted = this.#countedOf(cost, taken);
    const places = this.#underWay.get(cost) ?? this.allowances;
    this.#underWay.delete(cost);
    for (const { unit, window } of places) {
      window.giveBack(amountOf(cost, unit));
      window.count(counted[unit], startedAt, now);
    }
    if (counted.recipients > 0) this.#shares?.count(line, counted.recipients, now);
    this.#onCounted?.();
    return counted;
  }

  #countedOf(cost: Cost, taken: Taken | undefined): Counted {
    if (taken === undefined) return { messages: 0, recipients: 0, external: 0, bytes: 0 };
    // Nothing is known of an attempt that ended in an exception: the worst is assumed.
    if (taken.recipients.length === 0) return { messages: 1, ...cost };
    const used = { messages: 1, recipients: 0, external: 0, bytes: cost.bytes };
    if (taken.accepted === undefined && !taken.ambiguous) return used;
    const its = taken.recipients.filter(({ refusal }) => refusal === undefined);
    return { ...used, recipients: its.length, external: this.#externalOf(its) };
  }

  /** A connection is used, by an attempt or a probe of the door. */
  connected(): void {
    this.#inUse += 1;
    for (const connections of this.#countingConnections) connections.underWay += 1;
  }

  disconnected(): void {
    this.#inUse -= 1;
    for (const connections of this.#countingConnections) connections.underWay -= 1;
    this.#wakeNeighbours();
    for (let next = this.#successor; next !== undefined; next = next.#successor) next.#wakeSoon();
  }

  /** True when a probe may connect: no other door uses what there is. */
  get mayConnect(): boolean {
    return this.#connections === undefined || this.#connections.underWay < this.#connections.most;
  }

  #wakeNeighbours(): void {
    for (const neighbour of this.#neighbours) neighbour.#wakeSoon();
  }

  #wakeSoon(): void {
    if (this.#wakePlanned || this.#wake === undefined) return;
    this.#wakePlanned = true;
    queueMicrotask(() => {
      this.#wakePlanned = false;
      this.#wake?.();
    });
  }

  // ---- slowing down, running low ----

  /** The next hop asked for less: half the rate for a while. */
  throttled(now: number): void {
    this.#throttle.hit(now);
  }

  /** Part of its rate that the door uses now; 1 unless it was throttled. */
  factor(now: number): number {
    return this.#throttle.factor(now);
  }

  /** When the full rate is used again; undefined when it is. */
  slowUntil(now: number): number | undefined {
    return this.#throttle.endsAt(now);
  }

  /** True when little is left of a day: then mail goes by priority, large senders last. */
  isLow(now: number): boolean {
    return this.allowances.some((allowance) => allowance.isDaily && allowance.remaining(now) < allowance.most * LOW_SHARE);
  }

  /** Recipients of the last day by line: the order among equals when little is left. */
  senderShares(now: number): Map<string, number> {
    return this.#shares?.all(now) ?? new Map<string, number>();
  }
}

/** What travels by HTTP travels as base64. */
function wireBytes(sizeBytes: number): number {
  return Math.ceil(sizeBytes / 3) * 4;
}

/** Wait for what is under way, and between two looks at a budget that gets free bit by bit. */
const UNKNOWN_WAIT_MS = 60_000;
/** Recipients outside that must be free together before a message is looked at again. */
const MOST_AWAITED = 50;

export function levelOf(allowance: Allowance, now: number): BudgetLevel {
  const { doors, limit, most } = allowance;
  return { budget: doors.join("+"), doors, limit, most, remaining: allowance.remaining(now) };
}

/** Known before a message is in hand. */
function ofEveryMessage(unit: Unit): boolean {
  return unit === "messages" || unit === "recipients";
}

function amountOf(cost: Cost, unit: Unit): number {
  return unit === "messages" ? 1 : cost[unit];
}

/** Takes an attempt's places of allowances that it has none of, and adds them to `taken`. */
function takeOfOthers(cost: Cost, taken: Allowance[], allowances: readonly Allowance[]): void {
  for (const allowance of allowances) {
    if (taken.includes(allowance)) continue;
    allowance.window.take(amountOf(cost, allowance.unit));
    taken.push(allowance);
  }
}
