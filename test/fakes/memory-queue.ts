/** A queue in memory with the rules of `DeliveryQueue`: commits resolve in order, and a test may make them fail. */
import {
  PRIORITIES,
  WAITING_STATES,
  type AcceptedMessage,
  type Envelope,
  type Holder,
  type RecipientState,
  type WaitingState,
} from "../../src/mail/message.ts";
import type { Reply } from "../../src/mail/reply.ts";
import type { Clock } from "../../src/platform/clock.ts";
import { lineOf } from "../../src/mail/line.ts";
import type {
  AttemptCounts,
  AttemptRecord,
  BounceRequest,
  Claim,
  ClaimRequest,
  ClaimedRecipient,
  DeliveryQueue,
  ExpressLane,
  GeneratedMessage,
  LaneHold,
  LaneState,
  PostponedReport,
  QueueFilter,
  ReportWindow,
  RerouteRequest,
  RouteRecipient,
  SettleRequest,
  WaitingMessage,
} from "../../src/queue/queue.ts";

/** One recipient as a test looks at it. */
export interface MemoryRecipient {
  readonly queueId: string;
  readonly address: string;
  readonly index: number;
  lane: string;
  state: RecipientState;
  heldBy: Holder | undefined;
  heldSince: number;
  heldMs: number;
  dueAt: number;
  attempts: number;
  ambiguous: boolean;
  passed: readonly string[];
  deferredSince: number | undefined;
  cause: string | undefined;
  reply: Reply | undefined;
  /** Taken to find out whether its sender may send: returned, it is held again. */
  probesSender: boolean;
  /** How often it was made final: never more than once. */
  finals: number;
}

interface Stored {
  readonly message: AcceptedMessage;
  readonly content: Uint8Array;
  readonly recipients: MemoryRecipient[];
}

export class MemoryQueue implements DeliveryQueue {
  readonly messages = new Map<string, Stored>();
  readonly attempts: (AttemptRecord & { queueId: string })[] = [];
  readonly settled: SettleRequest[] = [];
  readonly holds = new Map<string, LaneHold>();
  readonly claimCalls: ClaimRequest[] = [];
  /** What `reroute` moved: address, from, to. */
  readonly moves: string[] = [];
  /** Messages whose content cannot be read by its rows. */
  readonly unreadable = new Set<string>();
  renewals = 0;
  /** Set: every later commit is refused with it. */
  failure: Error | undefined;
  readonly #clock: Clock;
  readonly #route: RouteRecipient;
  readonly #outstanding = new Set<number>();
  #listener: (lane: string) => void = () => undefined;
  #express: ExpressLane | undefined;
  #ids = 0;
  #claims = 0;

  /** Messages whose sender was told that they are late. */
  readonly warned = new Set<string>();
  postponed: PostponedReport[] = [];

  constructor(clock: Clock, route: RouteRecipient) {
    this.#clock = clock;
    this.#route = route;
  }

  // ---- what tests do ----

  /** Accepts a message, by the express lane where it has a place. */
  async accept(envelope: Partial<Envelope> = {}, content = "Subject: scan\r\n\r\nbody\r\n"): Promise<AcceptedMessage> {
    const stored = this.#store(
      this.newQueueId(),
      { ...ENVELOPE, sessionStartedAt: this.#clock.now() - 20, ...envelope },
      Buffer.from(content),
    );
    const byLane = Map.groupBy(stored.recipients, (recipient) => recipient.lane);
    const given: Claim[] = [];
    const left: string[] = [];
    for (const [lane, recipients] of byLane) {
      const places = this.holds.has(lane) ? 0 : (this.#express?.reserve(lane, stored.message, recipients.length) ?? 0);
      if (places > 0) given.push(this.#claimOf(stored, recipients.slice(0, places), lane));
      if (places < recipients.length) left.push(lane);
    }
    await Promise.resolve();
    for (const claim of given) this.#express?.deliver(claim);
    for (const lane of left) this.#listener(lane);
    return stored.message;
  }

  recipients(): MemoryRecipient[] {
    return [...this.messages.values()].flatMap((stored) => stored.recipients);
  }

  states(): RecipientState[] {
    return this.recipients().map((recipient) => recipient.state);
  }

  /** Reports that entered the queue. */
  reports(): { message: AcceptedMessage; text: string }[] {
    return [...this.messages.values()]
      .filter((stored) => stored.message.kind === "report")
      .map((stored) => ({ message: stored.message, text: Buffer.from(stored.content).toString() }));
  }

  get express(): ExpressLane | undefined {
    return this.#express;
  }

  // ---- DeliveryQueue ----

  async claim(request: ClaimRequest): Promise<Claim[]> {
    this.claimCalls.push(request);
    await this.#commit();
    const now = this.#clock.now();
    const due = [...this.messages.values()]
      .map((stored) => ({ stored, recipients: stored.recipients.filter((recipient) => isDue(recipient, request.lane, now)) }))
      .filter((candidate) => candidate.recipients.length > 0 && !this.holds.has(request.lane));
    const taken = new Map(request.busyDevices);
    const claims: Claim[] = [];
    // Taking turns is the real queue's: here the highest priority always goes first on a door with a budget.
    const rank = ({ stored }: { stored: Stored }): number =>
      request.budget === undefined ? 0 : PRIORITIES.indexOf(stored.message.priority);
    const load = ({ stored }: { stored: Stored }): number => taken.get(lineOfStored(stored)) ?? 0;
    let left = request.budget?.recipients ?? Infinity;
    while (claims.length < request.limit && due.length > 0 && left > 0) {
      const next = due.reduce((best, candidate) =>
        rank(candidate) < rank(best) || (rank(candidate) === rank(best) && load(candidate) < load(best)) ? candidate : best,
      );
      due.splice(due.indexOf(next), 1);
      taken.set(lineOfStored(next.stored), load(next) + 1);
      const recipients = next.recipients.slice(0, Math.min(left, request.recipientsPerMessage));
      left -= recipients.length;
      claims.push(this.#claimOf(next.stored, recipients, request.lane));
    }
    return claims;
  }

  async claimProbe(lane: string, recipientsPerMessage: number, _leaseMs: number): Promise<Claim | undefined> {
    await this.#commit();
    const closedBy = this.holds.get(lane)?.closedBy;
    const held = (stored: Stored): MemoryRecipient[] =>
      stored.recipients.filter((recipient) => recipient.lane === lane && recipient.state === "held" && recipient.heldBy === "upstream");
    const waiting = [...this.messages.values()].filter((stored) => held(stored).length > 0);
    const ids = [...this.messages.values()].map(({ message }) => message.queueId);
    const closer = closedBy === undefined ? -1 : ids.indexOf(closedBy);
    const chosen =
      waiting.find(({ message }) => ids.indexOf(message.queueId) > closer) ??
      waiting.find(({ message }) => message.queueId !== closedBy) ??
      waiting[0];
    return chosen === undefined ? undefined : this.#claimOf(chosen, held(chosen).slice(0, recipientsPerMessage), lane);
  }

  async heldSenders(lane: string, limit: number): Promise<string[]> {
    await this.#commit();
    const held = [...this.messages.values()].filter((stored) => stored.recipients.some((recipient) => isHeldBySender(recipient, lane)));
    return [...new Set(held.map(senderOf))].toSorted().slice(0, limit);
  }

  async claimHeldBySender(lane: string, sender: string, recipientsPerMessage: number, _leaseMs: number): Promise<Claim | undefined> {
    await this.#commit();
    const oldest = this.#heldOf(lane, sender).toSorted((a, b) => a.heldSince - b.heldSince)[0];
    const stored = oldest === undefined ? undefined : this.messages.get(oldest.queueId);
    if (stored === undefined) return undefined;
    const recipients = stored.recipients.filter((recipient) => isHeldBySender(recipient, lane)).slice(0, recipientsPerMessage);
    for (const recipient of recipients) recipient.probesSender = true;
    return this.#claimOf(stored, recipients, lane);
  }

  async releaseSender(lane: string, sender: string): Promise<number> {
    await this.#commit();
    const held = this.#heldOf(lane, sender);
    for (const recipient of held) letGo(recipient, this.#clock.now(), this.holds.has(lane));
    if (held.length > 0) this.#listener(lane);
    return held.length;
  }

  #heldOf(lane: string, sender: string): MemoryRecipient[] {
    return [...this.messages.values()]
      .filter((stored) => senderOf(stored) === sender.toLowerCase())
      .flatMap((stored) => stored.recipients.filter((recipient) => isHeldBySender(recipient, lane)));
  }

  async settle(request: SettleRequest): Promise<void> {
    await this.#commit();
    if (!this.#outstanding.delete(request.claim.id)) throw new Error(`claim ${request.claim.id} was settled before`);
    this.settled.push(request);
    const { message } = request.claim;
    const stored = this.messages.get(message.queueId);
    const now = this.#clock.now();
    for (const claimed of request.claim.recipients) {
      const recipient = stored?.recipients[claimed.index];
      const settlement = request.settlements.get(claimed.index);
      if (recipient === undefined || settlement === undefined) throw new Error("a recipient was left unsettled");
      if ("reply" in settlement) recipient.reply = settlement.reply;
      if (settlement.kind !== "returned") recipient.attempts += request.attempt === undefined ? 0 : 1;
      switch (settlement.kind) {
        case "returned":
        case "deferred":
          recipient.state = settlement.kind === "deferred" ? "deferred" : "queued";
          recipient.dueAt = settlement.dueAt;
          if (settlement.kind === "returned" && recipient.probesSender) {
            hold(recipient, "sender", now);
            break;
          }
          if (settlement.kind === "deferred") {
            recipient.deferredSince ??= now;
            recipient.ambiguous ||= settlement.ambiguous === true;
            recipient.cause = settlement.cause;
          }
          if (this.holds.has(recipient.lane)) hold(recipient, "upstream", now);
          break;
        case "moved":
          if (settlement.passed) recipient.passed = [...recipient.passed, recipient.lane];
          recipient.cause = settlement.cause;
          moveTo(recipient, settlement.lane, settlement.dueAt);
          if (this.holds.has(settlement.lane)) hold(recipient, "upstream", now);
          this.#listener(settlement.lane);
          break;
        case "held":
          hold(recipient, settlement.by, now);
          recipient.cause = settlement.cause;
          break;
        default:
          recipient.state = settlement.kind;
          recipient.finals += 1;
          recipient.cause = settlement.kind === "delivered" ? undefined : settlement.cause;
      }
      recipient.probesSender = false;
    }
    if (request.attempt !== undefined) this.attempts.push({ ...request.attempt, queueId: message.queueId });
    if (request.warned === true) this.warned.add(message.queueId);
    this.postponed.push(...(request.postponed ?? []));
    for (const { queueId, envelope, content } of request.generated ?? [])
      for (const recipient of this.#store(queueId, envelope, content).recipients) this.#listener(recipient.lane);
  }

  async *waitingMessages({ ids }: QueueFilter): AsyncGenerator<WaitingMessage, void, undefined> {
    await this.#commit();
    const found = [...this.messages.values()].filter((stored) => ids?.includes(stored.message.queueId) ?? true);
    for (const { message, recipients } of found) {
      const waiting = recipients.flatMap(({ address, index, lane, state, reply }) =>
        isWaiting(state) ? [{ address, index, lane, state, reply }] : [],
      );
      const lastAttempt = this.attempts.findLast(({ queueId }) => queueId === message.queueId);
      if (waiting.length > 0) yield { message, recipients: waiting, lastAttempt };
    }
  }

  async bounce({ queueId, recipients, cause, generated = [], postponed = [] }: BounceRequest): Promise<boolean> {
    await this.#commit();
    const stored = this.messages.get(queueId);
    const named = recipients.map(({ index, address }) => stored?.recipients.find((one) => one.index === index && one.address === address));
    const ended = named.filter((one) => one !== undefined && isWaiting(one.state) && one.state !== "delivering") as MemoryRecipient[];
    if (ended.length < named.length) return false;
    for (const recipient of ended) Object.assign(recipient, { state: "bounced", heldBy: undefined, cause, finals: recipient.finals + 1 });
    this.postponed.push(...postponed);
    for (const report of generated)
      for (const recipient of this.#store(report.queueId, report.envelope, report.content).recipients) this.#listener(recipient.lane);
    return true;
  }

  async contentRow(queueId: string, place: number): Promise<Uint8Array | undefined> {
    await this.#commit();
    if (this.unreadable.has(queueId)) throw new Error("the stored content is damaged");
    return place === 0 ? this.messages.get(queueId)?.content : undefined;
  }

  async postponedReports(): Promise<(ReportWindow & { readonly entries: number })[]> {
    await this.#commit();
    const windows = Map.groupBy(this.postponed, ({ to, topic, since }) => JSON.stringify([to, topic, since]));
    return [...windows.values()].map((reports) => {
      const { to = "", topic = "", since = 0 } = reports[0] ?? {};
      return { to, topic, since, entries: reports.filter(({ entry }) => entry !== undefined).length };
    });
  }

  async postponedEntries(window: ReportWindow, limit: number): Promise<{ entries: string[]; count: number; last: number }> {
    await this.#commit();
    const found = this.postponed.filter((report) => isOfWindow(report, window));
    const entries = found.flatMap(({ entry }) => entry ?? []);
    return { entries: entries.slice(0, limit), count: entries.length, last: found.length };
  }

  async tellPostponed(window: ReportWindow, last: number, report: GeneratedMessage | undefined): Promise<number> {
    await this.#commit();
    const told = new Set(this.postponed.filter((candidate) => isOfWindow(candidate, window)).slice(0, last));
    this.postponed = this.postponed.filter((candidate) => !told.has(candidate));
    if (report !== undefined)
      for (const recipient of this.#store(report.queueId, report.envelope, report.content).recipients) this.#listener(recipient.lane);
    return this.postponed.filter((candidate) => isOfWindow(candidate, window) && candidate.entry !== undefined).length;
  }

  async renew(): Promise<void> {
    await this.#commit();
    this.renewals += 1;
  }

  async holdLane(lane: string, hold_: LaneHold): Promise<number> {
    await this.#commit();
    this.holds.set(lane, hold_);
    const waiting = this.recipients().filter(
      (recipient) => recipient.lane === lane && (recipient.state === "queued" || recipient.state === "deferred"),
    );
    for (const recipient of waiting) hold(recipient, "upstream", this.#clock.now());
    return waiting.length;
  }

  async clockStepped(byMs: number): Promise<void> {
    await this.#commit();
    const now = this.#clock.now();
    for (const recipient of this.recipients()) {
      if (recipient.finals > 0) continue;
      recipient.heldMs += byMs;
      if (byMs < 0 && recipient.dueAt > now) recipient.dueAt = now;
    }
  }

  async releaseLane(lane: string): Promise<number> {
    await this.#commit();
    this.holds.delete(lane);
    const now = this.#clock.now();
    const held = this.recipients().filter(
      (recipient) => recipient.lane === lane && recipient.state === "held" && recipient.heldBy === "upstream",
    );
    for (const recipient of held) letGo(recipient, now, false);
    if (held.length > 0) this.#listener(lane);
    return held.length;
  }

  async reroute(request?: RerouteRequest): Promise<number> {
    await this.#commit();
    const now = this.#clock.now();
    const of = (recipient: MemoryRecipient): boolean =>
      request === undefined
        ? recipient.finals === 0 && recipient.state !== "delivering"
        : recipient.lane === request.lane &&
          (recipient.state === "queued" ||
            recipient.state === "deferred" ||
            (recipient.state === "held" && recipient.heldBy === "upstream"));
    let moved = 0;
    for (const { message, recipients } of this.messages.values()) {
      for (const recipient of recipients.filter(of)) {
        const { lane: from, passed, ambiguous } = recipient;
        const lane = this.#route(message, recipient.address, { lane: from, passed, ambiguous });
        if (lane === from || moved >= (request?.limit ?? Infinity)) continue;
        moved += 1;
        if (recipient.state === "held" && recipient.heldBy !== "upstream") {
          recipient.lane = lane;
          continue;
        }
        if (recipient.state === "held") recipient.heldMs += now - recipient.heldSince;
        const dueAt = request === undefined && recipient.state !== "held" ? recipient.dueAt : now;
        moveTo(recipient, lane, dueAt);
        if (this.holds.has(lane)) hold(recipient, "upstream", now);
        this.moves.push(`${recipient.address} ${from} ${lane}`);
        this.#listener(lane);
      }
    }
    return moved;
  }

  async lanes(): Promise<LaneState[]> {
    await this.#commit();
    const names = new Set([...this.recipients().map((recipient) => recipient.lane), ...this.holds.keys()]);
    return [...names].map((lane) => {
      const waiting = this.recipients().filter((recipient) => recipient.lane === lane && recipient.finals === 0);
      const due = waiting
        .filter((recipient) => recipient.state === "queued" || recipient.state === "deferred")
        .map((recipient) => recipient.dueAt);
      return { lane, waiting: waiting.length, nextDueAt: due.length === 0 ? undefined : Math.min(...due), hold: this.holds.get(lane) };
    });
  }

  async attemptCounts(lane: string, since: number, _stepMs: number): Promise<AttemptCounts[]> {
    await this.#commit();
    return this.attempts
      .filter((attempt) => attempt.upstream === lane && (attempt.counted?.endedAt ?? attempt.startedAt) >= since)
      .map(({ startedAt, counted }) =>
        Object.assign({ startedAt, endedAt: startedAt, messages: 1, recipients: 1, external: 1, bytes: 0 }, counted),
      );
  }

  onWork(listener: (lane: string) => void): void {
    this.#listener = listener;
  }

  setExpress(lane: ExpressLane | undefined): void {
    this.#express = lane;
  }

  newQueueId(): string {
    this.#ids += 1;
    return `01TEST${String(this.#ids).padStart(20, "0")}`;
  }

  // ----

  /** As far away as a real commit: after everything that is already on its way. */
  async #commit(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (this.failure !== undefined) throw this.failure;
  }

  #store(queueId: string, envelope: Envelope, content: Uint8Array): Stored {
    const acceptedAt = this.#clock.now();
    const message: AcceptedMessage = { ...envelope, sizeBytes: content.length, queueId, acceptedAt };
    const recipients = envelope.recipients.map((address, index): MemoryRecipient => {
      const lane = this.#route(envelope, address);
      const held = this.holds.has(lane);
      return {
        queueId,
        address,
        index,
        lane,
        state: held ? "held" : "queued",
        heldBy: held ? "upstream" : undefined,
        heldSince: acceptedAt,
        heldMs: 0,
        dueAt: acceptedAt,
        attempts: 0,
        ambiguous: false,
        passed: [],
        deferredSince: undefined,
        cause: undefined,
        reply: undefined,
        probesSender: false,
        finals: 0,
      };
    });
    const stored = { message, content, recipients };
    this.messages.set(queueId, stored);
    return stored;
  }

  #claimOf(stored: Stored, recipients: readonly MemoryRecipient[], lane: string): Claim {
    this.#claims += 1;
    this.#outstanding.add(this.#claims);
    const now = this.#clock.now();
    const claimed = recipients.map((recipient): ClaimedRecipient => {
      if (recipient.state === "held") recipient.heldMs += now - recipient.heldSince;
      recipient.state = "delivering";
      recipient.heldBy = undefined;
      const { address, index, attempts, heldMs, ambiguous, passed, deferredSince } = recipient;
      return { address, index, attempts, heldMs, ambiguous, passed, deferredSince };
    });
    const { content } = stored;
    return {
      id: this.#claims,
      lane,
      message: stored.message,
      recipients: claimed,
      warned: this.warned.has(stored.message.queueId),
      content: {
        sizeBytes: content.length,
        inMemory: content,
        async *blocks() {
          await Promise.resolve();
          yield content;
        },
      },
    };
  }
}

/** A printer's scan to one colleague. */
export const ENVELOPE: Envelope = {
  reversePath: "printer@contoso.com",
  recipients: ["anna@contoso.com"],
  origin: { listener: "printers", client: "floor", device: "10.20.0.5" },
  kind: "mail",
  priority: "normal",
  smtpUtf8: false,
  eightBit: false,
  signed: false,
  longLines: false,
  sizeBytes: 0,
  messageId: "<scan-1@contoso.com>",
  repairs: [],
  sessionStartedAt: 0,
};

function isOfWindow(report: ReportWindow, { to, topic, since }: ReportWindow): boolean {
  return report.to === to && report.topic === topic && report.since === since;
}

function lineOfStored({ message }: Stored): string {
  return lineOf(message.origin.device, message.priority);
}

function senderOf(stored: Stored): string {
  return stored.message.reversePath.toLowerCase();
}

function isHeldBySender(recipient: MemoryRecipient, lane: string): boolean {
  return recipient.lane === lane && recipient.state === "held" && recipient.heldBy === "sender";
}

function isWaiting(state: RecipientState): state is WaitingState {
  return (WAITING_STATES as readonly string[]).includes(state);
}

function isDue(recipient: MemoryRecipient, lane: string, now: number): boolean {
  return recipient.lane === lane && (recipient.state === "queued" || recipient.state === "deferred") && recipient.dueAt <= now;
}

function hold(recipient: MemoryRecipient, by: Holder, now: number): void {
  recipient.state = "held";
  recipient.heldBy = by;
  recipient.heldSince = now;
}

/** To the line of another lane. */
function moveTo(recipient: MemoryRecipient, lane: string, dueAt: number): void {
  recipient.lane = lane;
  recipient.state = "queued";
  recipient.heldBy = undefined;
  recipient.dueAt = dueAt;
  recipient.deferredSince = undefined;
}

/** Back to the line, or to the closed door. */
function letGo(recipient: MemoryRecipient, now: number, doorClosed: boolean): void {
  recipient.heldMs += now - recipient.heldSince;
  recipient.dueAt = now;
  recipient.state = "queued";
  recipient.heldBy = undefined;
  if (doorClosed) hold(recipient, "upstream", now);
}
