/** The queue as the other stages see it: the main thread's side, which waits for nothing and keeps only what is in progress. */
import { ActTally } from "../mail/act-tally.ts";
import { PosternError, POSTERN_ERRORS } from "../mail/errors.ts";
import type { Emit } from "../mail/events.ts";
import { lineOf } from "../mail/line.ts";
import type { AcceptedMessage, Envelope } from "../mail/message.ts";
import { queueIdSource } from "../mail/queue-id.ts";
import type { Reply } from "../mail/reply.ts";
import type { Clock } from "../platform/clock.ts";
import { StoredContent } from "./content.ts";
import type { DiskWatch } from "./disk.ts";
import { Housekeeping } from "./housekeeping.ts";
import { KeptCommands, SUPERSEDED } from "./kept-commands.ts";
import { Lease, Leases } from "./leases.ts";
import type { Done, WorkerLink, LinkListener } from "./link.ts";
import type { AcceptCommand, ActAnswer, ClaimAnswer, Command, Octets, Report, SettledRow, WorkerStatistics } from "./protocol.ts";
import type {
  ActResult,
  AttemptCounts,
  BounceRequest,
  Claim,
  ClaimRequest,
  ExpressLane,
  FoundMessage,
  GeneratedMessage,
  LaneHold,
  LaneState,
  MessageQuery,
  MessageView,
  MessageWriter,
  Queue,
  QueueAct,
  QueueEntry,
  QueueFilter,
  QueueLimits,
  QueueStatistics,
  ReportWindow,
  RerouteRequest,
  RouteRecipient,
  SettleRequest,
  WaitingMessage,
} from "./queue.ts";
import type { Movable } from "./reader.ts";
import { ReadingLink } from "./reading.ts";
import { toRow } from "./settled-row.ts";
import { DEFERRED, RECIPIENT_SPAN } from "./states.ts";
import { StuckWatch } from "./stuck.ts";
import { ContentWriter, Intake, SMALL_BYTES } from "./writer.ts";

/** Contents up to this size stay in memory for the delivery that follows at once. Bounded because places for such deliveries are. */
const EXPRESS_BYTES = 64 * 1024;
/** How long an express delivery may take before its claim has to be renewed. */
const EXPRESS_LEASE_MS = 10 * 60_000;
/** Recipients an act changes in one commit. */
const ACT_SLICE = 500;
/** Recipients of a released sender let go in one commit. */
const RELEASE_SLICE = 500;
/** Messages looked at together when lanes are chosen anew. */
const REROUTE_SLICE = 500;

/** What the client works with. */
export interface ClientParts {
  readonly path: string;
  readonly route: RouteRecipient;
  readonly emit: Emit;
  readonly clock: Clock;
  readonly disk: DiskWatch;
  /** What a reload may change. */
  maxBytes: number | undefined;
  historyKeepMs: number;
  failedContentMs: number | undefined;
  /** Gives the ownership of the queue back. */
  readonly release: () => void;
}

const NONE: readonly string[] = [];

/** `passed` as it is stored. */
function readPassed(stored: string | null): readonly string[] {
  return stored === null ? NONE : (JSON.parse(stored) as string[]);
}

/** A queue on one SQLite file, owned by one worker thread. */
export class SqliteQueue implements Queue, LinkListener {
  readonly failed: Promise<Error>;
  readonly newQueueId: () => string;
  readonly #parts: ClientParts;
  readonly #leases: Leases;
  readonly #reading: ReadingLink;
  readonly #heldLanes: Set<string>;
  readonly #listeners: ((lane: string) => void)[] = [];
  /** Earliest due time of each lane that somebody was told of. */
  readonly #toldDue = new Map<string, number>();
  readonly #jobs = new Map<number, (recipients: number) => void>();
  readonly #rejectJobs = new Map<number, (error: Error) => void>();
  /** The newest job of each lane. */
  readonly #lastJobs = new Map<string, number>();
  #link: WorkerLink | undefined;
  #kept: KeptCommands | undefined;
  #stuck: StuckWatch | undefined;
  /** As of the last answer. */
  #statistics: WorkerStatistics | undefined;
  #intake: Intake | undefined;
  #express: ExpressLane | undefined;
  #resolveFailed: (error: Error) => void = () => undefined;
  #nextMessage = 1;
  #nextClaim = 1;
  #nextJob = 1;
  #full = false;
  #housekeeping: Housekeeping | undefined;
  #closing: Promise<void> | undefined;

  constructor(parts: ClientParts) {
    this.#parts = parts;
    this.newQueueId = queueIdSource(() => parts.clock.now());
    this.#leases = new Leases(parts.clock, (lease) => this.#lapse(lease));
    this.#reading = new ReadingLink(parts.path, parts.clock);
    this.#heldLanes = new Set();
    this.failed = new Promise((resolve) => {
      this.#resolveFailed = resolve;
    });
  }

  /** Takes over the opened file. To be called once, before anything else. */
  attach(link: WorkerLink, opened: Extract<Report, { kind: "opened" }>): void {
    this.#link = link;
    this.#kept = new KeptCommands(link, this.#parts.clock, () => this.#parts.disk.ranOut());
    this.#stuck = new StuckWatch(() => link.waitedMs, this.#parts.clock, this.#parts.emit);
    this.#stuck.watch();
    this.#intake = new Intake(link);
    this.#nextMessage = opened.nextMessage;
    for (const lane of opened.heldLanes) this.#heldLanes.add(lane);
    this.#housekeeping = new Housekeeping(link, this.#parts);
    this.#checkSize();
  }

  get #db(): WorkerLink {
    if (this.#link === undefined) throw new Error("the queue is not open yet");
    return this.#link;
  }

  /** For what must not be lost on a full disk: claims, outcomes, what is said of doors. */
  get #lasting(): KeptCommands {
    if (this.#kept === undefined) throw new Error("the queue is not open yet");
    return this.#kept;
  }

  // ---- accepting -------------------------------------------------------------------------------------------------------

  open(): MessageWriter & { readonly queueId: string } {
    if (this.#intake === undefined) throw new Error("the queue is not open yet");
    this.#parts.disk.freshen();
    return new ContentWriter(this.newQueueId(), this.#nextMessage++, this.#intake, this.#whyFull, this.#accept);
  }

  readonly #whyFull = (): PosternError | undefined => {
    if (this.#db.fault !== undefined) return this.#db.fault;
    if (this.#stuck?.isStuck === true) return new PosternError("E_SPOOL_STUCK", "the disk does not answer");
    if (this.#parts.disk.misplaced !== undefined)
      return new PosternError("E_SPOOL_MOVED", `${this.#parts.disk.misplaced} is not in its place`);
    if (this.#parts.disk.isBelowFloor) return new PosternError("E_SPOOL_FULL", `only ${this.#parts.disk.freeBytes} octets are free`);
    if (this.#full) return new PosternError("E_SPOOL_FULL", `the queue holds ${this.#db.contentBytes} octets, its limit`);
    return undefined;
  };

  refusal(): Reply | undefined {
    if (this.#db.fault !== undefined) return POSTERN_ERRORS.E_SPOOL_FAILED.reply;
    if (this.#stuck?.isStuck === true) return POSTERN_ERRORS.E_SPOOL_STUCK.reply;
    this.#parts.disk.freshen();
    if (this.#parts.disk.misplaced !== undefined) return POSTERN_ERRORS.E_SPOOL_MOVED.reply;
    if (!this.#parts.disk.isBelowFloor && !this.#full) return undefined;
    this.#housekeeping?.makeRoom();
    return POSTERN_ERRORS.E_SPOOL_FULL.reply;
  }

  #checkSize(): void {
    const { maxBytes, emit, disk } = this.#parts;
    if (maxBytes === undefined) return;
    const full = this.#db.contentBytes >= maxBytes;
    if (full && !this.#full) emit({ type: "queue.full", freeBytes: disk.freeBytes, floorBytes: 0 });
    this.#full = full;
  }

  readonly #accept = (writer: ContentWriter, envelope: Envelope): Promise<AcceptedMessage> => {
    const lanes = this.#lanesOf(envelope);
    const leases: { lane: string; claim: number; indexes: number[] }[] = [];
    const claims = this.#reserve(envelope, lanes, leases);
    const content = writer.finish(leases.length > 0 ? EXPRESS_BYTES : -1);
    this.#parts.disk.wrote(content.size);
    const message: AcceptedMessage = { ...envelope, sizeBytes: content.size, queueId: writer.queueId, acceptedAt: this.#parts.clock.now() };
    const command = this.#acceptCommand(writer.message, message, lanes, claims, content.tail, content.chunks);
    return new Promise((resolve, reject) => {
      this.#db.post(command, (_answer, fault) => {
        content.release(fault === undefined);
        if (fault !== undefined) {
          if (fault.code === "E_SPOOL_FULL") this.#parts.disk.ranOut();
          for (const { lane, indexes } of leases) this.#express?.forget(lane, indexes.length);
          reject(fault);
          return;
        }
        resolve(message);
        for (const { lane, claim, indexes } of leases) {
          const recipients = indexes.map((index) => ({
            address: envelope.recipients[index] ?? "",
            index,
            attempts: 0,
            heldMs: 0,
            ambiguous: false,
            passed: NONE,
            deferredSince: undefined,
          }));
          const source = this.#content(writer.message, content.chunks, message, content.inMemory);
          const endsAt = this.#parts.clock.monotonic() + EXPRESS_LEASE_MS;
          const lease = new Lease(claim, lane, writer.message, message, recipients, source, false, endsAt);
          this.#leases.add(lease);
          this.#express?.deliver(lease);
        }
        for (let index = 0; index < lanes.length; index++) if (claims[index] === 0) this.#due(lanes[index] ?? "", message.acceptedAt);
      });
    });
  };

  #lanesOf(envelope: Envelope): string[] {
    return envelope.recipients.map((recipient) => this.#parts.route(envelope, recipient));
  }

  /** Asks for express places; returns each recipient's claim, 0 for none, and fills `leases`. */
  #reserve(envelope: Envelope, lanes: readonly string[], leases: { lane: string; claim: number; indexes: number[] }[]): number[] {
    const claims: number[] = lanes.length === 1 ? [0] : Array.from({ length: lanes.length }, () => 0);
    const express = this.#express;
    if (express === undefined) return claims;
    const only = lanes[0];
    if (lanes.length === 1 && only !== undefined) {
      if (this.#heldLanes.has(only) || express.reserve(only, envelope, 1) <= 0) return claims;
      const claim = this.#nextClaim++;
      claims[0] = claim;
      leases.push({ lane: only, claim, indexes: [0] });
      return claims;
    }
    const groups = new Map<string, number[]>();
    for (const [index, lane] of lanes.entries()) {
      const group = groups.get(lane);
      if (group === undefined) groups.set(lane, [index]);
      else group.push(index);
    }
    for (const [lane, indexes] of groups) {
      if (this.#heldLanes.has(lane)) continue;
      const places = express.reserve(lane, envelope, indexes.length);
      if (places <= 0) continue;
      const claim = this.#nextClaim++;
      const taken = indexes.slice(0, places);
      for (const index of taken) claims[index] = claim;
      leases.push({ lane, claim, indexes: taken });
    }
    return claims;
  }

  #acceptCommand(
    row: number,
    message: AcceptedMessage,
    lanes: readonly string[],
    claims: readonly number[],
    tail: Octets | undefined,
    chunks: number,
  ): AcceptCommand {
    return {
      op: "accept",
      message: row,
      queueId: message.queueId,
      at: message.acceptedAt,
      generated: message.kind !== "mail",
      envelope: JSON.stringify(message),
      reversePath: message.reversePath,
      client: message.origin.client,
      line: lineOf(message.origin.device, message.priority),
      size: message.sizeBytes,
      chunks,
      tail,
      addresses: message.recipients,
      lanes,
      claims,
    };
  }

  #content(row: number, chunks: number, message: AcceptedMessage, inMemory: Uint8Array | undefined): StoredContent {
    return new StoredContent(this.#db, row, chunks, message.sizeBytes, inMemory, (cause) => {
      this.#parts.emit({ type: "queue.corrupt", queueId: message.queueId, cause });
      return new PosternError("E_CONTENT_CORRUPT", `content of ${message.queueId}: ${cause}`);
    });
  }

  // ---- telling of work -------------------------------------------------------------------------------------------------

  onWork(listener: (lane: string) => void): void {
    this.#listeners.push(listener);
  }

  setExpress(lane: ExpressLane | undefined): void {
    this.#express = lane;
  }

  /** Tells listeners, unless they know already of something due as early. They look when they claim or ask for the lanes. */
  #due(lane: string, at: number): void {
    if (at >= (this.#toldDue.get(lane) ?? Infinity)) return;
    this.#toldDue.set(lane, at);
    for (const listener of this.#listeners) listener(lane);
  }

  // ---- delivering ------------------------------------------------------------------------------------------------------

  async claim(request: ClaimRequest): Promise<Claim[]> {
    const { lane, limit, recipientsPerMessage, leaseMs, busyDevices, budget } = request;
    if (limit <= 0) return [];
    this.#toldDue.delete(lane);
    const firstClaim = this.#nextClaim;
    this.#nextClaim += limit;
    const now = this.#parts.clock.now();
    const busy = busyDevices === undefined ? [] : [...busyDevices];
    const answers = await this.#lasting.ask<ClaimAnswer[]>({
      op: "claim",
      lane,
      limit,
      perMessage: recipientsPerMessage,
      now,
      firstClaim,
      busy,
      ...(budget === undefined ? {} : { budget }),
    });
    return answers.map((answer) => this.#lease(lane, answer, leaseMs));
  }

  async claimProbe(lane: string, recipientsPerMessage: number, leaseMs: number): Promise<Claim | undefined> {
    const claim = this.#nextClaim++;
    const now = this.#parts.clock.now();
    const answer = await this.#lasting.ask<ClaimAnswer | undefined>({ op: "probe", lane, perMessage: recipientsPerMessage, now, claim });
    return answer === undefined ? undefined : this.#lease(lane, answer, leaseMs);
  }

  heldSenders(lane: string, limit: number): Promise<string[]> {
    return this.#db.ask<string[]>({ op: "heldSenders", lane, limit });
  }

  async claimHeldBySender(lane: string, sender: string, recipientsPerMessage: number, leaseMs: number): Promise<Claim | undefined> {
    const answer = await this.#lasting.ask<ClaimAnswer | undefined>({
      op: "probeSender",
      lane,
      sender: sender.toLowerCase(),
      perMessage: recipientsPerMessage,
      now: this.#parts.clock.now(),
      claim: this.#nextClaim++,
    });
    return answer === undefined ? undefined : this.#lease(lane, answer, leaseMs);
  }

  async releaseSender(lane: string, sender: string): Promise<number> {
    const command = { op: "releaseSender", lane, sender: sender.toLowerCase(), limit: RELEASE_SLICE } as const;
    for (let released = 0; ;) {
      const now = this.#parts.clock.now();
      const moved = await this.#lasting.ask<number>({ ...command, now });
      released += moved;
      if (moved > 0) this.#due(lane, now);
      if (moved < RELEASE_SLICE) return released;
    }
  }

  #lease(lane: string, answer: ClaimAnswer, leaseMs: number): Lease {
    const message = JSON.parse(answer.envelope) as AcceptedMessage;
    const recipients = answer.recipients.map(([index, address, attempts, heldMs, ambiguous, passed, deferredSince]) => ({
      address,
      index,
      attempts,
      heldMs,
      ambiguous,
      passed: readPassed(passed),
      deferredSince: deferredSince ?? undefined,
    }));
    const content = this.#content(answer.message, answer.chunks, message, answer.content);
    const endsAt = this.#parts.clock.monotonic() + leaseMs;
    const lease = new Lease(answer.claim, lane, answer.message, message, recipients, content, answer.warned, endsAt);
    this.#leases.add(lease);
    return lease;
  }

  settle(request: SettleRequest): Promise<void> {
    const { claim, settlements, attempt, generated = [], warned = false, postponed = [] } = request;
    if (!(claim instanceof Lease)) return Promise.reject(new PosternError("E_NO_SUCH_MESSAGE", `claim ${claim.id} is not of this queue`));
    const settled: SettledRow[] = [];
    for (const { index } of claim.recipients) {
      const settlement = settlements.get(index);
      if (settlement === undefined) return Promise.reject(new Error(`claim ${claim.id}: no settlement for recipient ${index}`));
      settled.push(toRow(index, settlement));
    }
    const now = this.#parts.clock.now();
    const reports = generated.map((report) => this.#generate(report, now));
    this.#leases.remove(claim);
    return new Promise((resolve, reject) => {
      this.#lasting.post(
        {
          op: "settle",
          claim: claim.id,
          message: claim.row,
          now,
          size: claim.message.sizeBytes,
          recipients: claim.message.recipients.length,
          settled,
          attempt:
            attempt === undefined
              ? undefined
              : // Found by its end: whatever counts now ended in the window, however long it took.
                { lane: attempt.upstream, at: attempt.counted?.endedAt ?? attempt.startedAt, record: JSON.stringify(attempt) },
          generated: reports.map(({ command }) => command),
          warned,
          postponed,
        },
        (_answer, fault) => {
          for (const { release } of reports) release();
          claim.content.forget();
          if (fault !== undefined) {
            reject(fault);
            return;
          }
          resolve();
          for (const row of settled) if (row.state < 0 || row.state === DEFERRED) this.#due(row.moved?.lane ?? claim.lane, row.due);
          for (const { command } of reports) for (const lane of command.lanes) this.#due(lane, now);
        },
        // Until it is written the recipients are `delivering`: a crash in these milliseconds makes them ambiguous, as one a moment earlier.
        { patient: true },
      );
    });
  }

  /** A report on its way into the queue; `release` is called when that is over. */
  #generate({ queueId, envelope, content }: GeneratedMessage, now: number): { command: AcceptCommand; release: () => void } {
    const shared = content.byteLength <= SMALL_BYTES ? this.#db.share(content) : { octets: new Uint8Array(content), done: undefined };
    const message: AcceptedMessage = { ...envelope, sizeBytes: content.byteLength, queueId, acceptedAt: now };
    const lanes = this.#lanesOf(envelope);
    const claims = lanes.map(() => 0);
    const command = this.#acceptCommand(this.#nextMessage++, message, lanes, claims, shared.octets, 1);
    return { command, release: shared.done ?? ((): void => undefined) };
  }

  async generate(generated: GeneratedMessage): Promise<void> {
    const now = this.#parts.clock.now();
    const { command, release } = this.#generate(generated, now);
    try {
      await this.#db.ask(command);
      for (const lane of command.lanes) this.#due(lane, now);
    } finally {
      release();
    }
  }

  async *waitingMessages(filter: QueueFilter): AsyncGenerator<WaitingMessage, void, undefined> {
    const ids = await this.#reading.ask<number[]>({ what: "select", filter });
    const messageOf = (at: number): number => Math.floor((ids[at] ?? 0) / RECIPIENT_SPAN);
    for (let at = 0, end = 0; at < ids.length; at = end) {
      // No message is cut in two.
      for (end = Math.min(at + ACT_SLICE, ids.length); end < ids.length && messageOf(end) === messageOf(end - 1);) end++;
      yield* await this.#reading.ask<WaitingMessage[]>({ what: "waiting", recipients: ids.slice(at, end) });
    }
  }

  async bounce({ queueId, recipients, by, cause, generated = [], postponed = [] }: BounceRequest): Promise<boolean> {
    const now = this.#parts.clock.now();
    const reports = generated.map((report) => this.#generate(report, now));
    try {
      const bounced = await this.#db.ask<boolean>({
        op: "bounce",
        queueId,
        recipients: recipients.map(({ index, address }) => [index, address]),
        by,
        cause,
        generated: reports.map(({ command }) => command),
        postponed,
        now,
      });
      if (bounced) for (const { command } of reports) for (const lane of command.lanes) this.#due(lane, now);
      return bounced;
    } finally {
      for (const { release } of reports) release();
    }
  }

  postponedReports(): Promise<(ReportWindow & { readonly entries: number })[]> {
    return this.#db.ask({ op: "postponed" });
  }

  postponedEntries({ to, topic, since }: ReportWindow, limit: number): Promise<{ entries: string[]; count: number; last: number }> {
    return this.#db.ask({ op: "postponedEntries", window: { to, topic, since }, limit });
  }

  async tellPostponed({ to, topic, since }: ReportWindow, last: number, report: GeneratedMessage | undefined): Promise<number> {
    const now = this.#parts.clock.now();
    const generated = report === undefined ? undefined : this.#generate(report, now);
    try {
      const left = await this.#lasting.ask<number>({ op: "tellPostponed", window: { to, topic, since }, last, report: generated?.command });
      for (const lane of generated?.command.lanes ?? []) this.#due(lane, now);
      return left;
    } finally {
      generated?.release();
    }
  }

  async renew(claim: Claim, leaseMs: number): Promise<void> {
    if (claim instanceof Lease) this.#leases.renew(claim, leaseMs);
  }

  #lapse(lease: Lease): void {
    const now = this.#parts.clock.now();
    const indexes = lease.recipients.map(({ index }) => index);
    this.#lasting.post({ op: "lapse", claim: lease.id, message: lease.row, indexes, now }, (_answer, fault) => {
      if (fault === undefined) this.#due(lease.lane, now);
    });
  }

  holdLane(lane: string, hold: LaneHold): Promise<number> {
    this.#heldLanes.add(lane);
    this.#toldDue.delete(lane);
    const job = this.#nextJob++;
    return this.#job(lane, job, { op: "hold", lane, hold: JSON.stringify(hold), now: this.#parts.clock.now(), job });
  }

  async clockStepped(byMs: number): Promise<void> {
    const now = this.#parts.clock.now();
    await this.#lasting.ask({ op: "clockStep", now, byMs });
    // Lanes know of times by the clock as it was.
    this.#toldDue.clear();
  }

  releaseLane(lane: string): Promise<number> {
    this.#heldLanes.delete(lane);
    const job = this.#nextJob++;
    return this.#job(lane, job, { op: "release", lane, now: this.#parts.clock.now(), job });
  }

  #job(lane: string, job: number, command: Command): Promise<number> {
    this.#lastJobs.set(lane, job);
    // Written late, it would undo what was said of the door since.
    const isWanted = (): boolean => this.#lastJobs.get(lane) === job;
    return new Promise((resolve, reject) => {
      this.#jobs.set(job, resolve);
      this.#rejectJobs.set(job, reject);
      const done: Done = (answer, fault) => {
        if (fault !== undefined || answer === SUPERSEDED) this.#endJob(job, undefined, fault);
      };
      this.#lasting.post(command, done, { isWanted });
    });
  }

  #endJob(job: number, recipients: number | undefined, fault?: Error): void {
    if (fault === undefined) this.#jobs.get(job)?.(recipients ?? 0);
    else this.#rejectJobs.get(job)?.(fault);
    this.#jobs.delete(job);
    this.#rejectJobs.delete(job);
  }

  async reroute(request?: RerouteRequest): Promise<number> {
    const { lane, cause = "the routes were chosen anew at the start", limit = Infinity, dueNow = lane !== undefined } = request ?? {};
    // In order with everything that was asked before: what is being accepted on the lane's old way is there to be found.
    const { waiting, lanes } = await this.#db.ask<WorkerStatistics>({ op: "statistics" });
    // The usual start finds an empty queue: no thread for looking is needed then.
    if (waiting.queued + waiting.deferred + waiting.held === 0) return 0;
    if (lane !== undefined && !lanes.some((state) => state.lane === lane && state.waiting > 0)) return 0;
    let moved = 0;
    for (let after = 0; ;) {
      const found = await this.#reading.ask<Movable[]>({ what: "movable", after, limit: REROUTE_SLICE, lane });
      after = found.at(-1)?.message ?? after;
      moved += await this.#move(found, cause, dueNow, limit - moved);
      if (found.length < REROUTE_SLICE || moved >= limit) return moved;
    }
  }

  async #move(found: readonly Movable[], cause: string, dueNow: boolean, limit: number): Promise<number> {
    const { route, clock, emit } = this.#parts;
    const moves: [number, string, string][] = [];
    const told = new Map<number, { queueId: string; recipient: string; from: string; to: string }>();
    for (const { queueId, envelope, recipients } of found) {
      const parsed = JSON.parse(envelope) as AcceptedMessage;
      for (const [id, from, recipient, passed, ambiguous] of recipients) {
        if (moves.length >= limit) break;
        const to = route(parsed, recipient, { lane: from, passed: readPassed(passed), ambiguous: ambiguous !== 0 });
        if (to === from) continue;
        moves.push([id, from, to]);
        told.set(id, { queueId, recipient, from, to });
      }
    }
    if (moves.length === 0) return 0;
    const now = clock.now();
    const moved = await this.#lasting.ask<number[]>({ op: "move", moves, cause, dueNow, now });
    for (const id of moved) {
      const about = told.get(id);
      if (about !== undefined) emit({ type: "recipient.moved", ...about, cause });
    }
    for (const to of new Set(moves.map((move) => move[2]))) this.#due(to, now);
    return moved.length;
  }

  async lanes(): Promise<LaneState[]> {
    const lanes = await this.#db.ask<LaneState[]>({ op: "lanes" });
    for (const { lane, nextDueAt } of lanes) {
      if (nextDueAt === undefined) this.#toldDue.delete(lane);
      else this.#toldDue.set(lane, nextDueAt);
    }
    return lanes;
  }

  attemptCounts(lane: string, since: number, stepMs: number): Promise<AttemptCounts[]> {
    return this.#db.ask<AttemptCounts[]>({ op: "attempts", lane, since, stepMs });
  }

  // ---- looking and operating -------------------------------------------------------------------------------------------

  list(filter: QueueFilter, limit: number, after?: string): Promise<QueueEntry[]> {
    return this.#reading.ask<QueueEntry[]>({ what: "list", filter, limit, after });
  }

  show(queueId: string): Promise<MessageView | undefined> {
    return this.#reading.ask<MessageView | undefined>({ what: "show", queueId });
  }

  find(query: MessageQuery, limit: number): Promise<FoundMessage[]> {
    return this.#reading.ask<FoundMessage[]>({ what: "find", query, limit });
  }

  contentRow(queueId: string, place: number): Promise<Uint8Array | undefined> {
    return this.#reading.ask<Uint8Array | undefined>({ what: "contentRow", queueId, place });
  }

  async statistics(): Promise<QueueStatistics> {
    const known = await this.#look();
    return { ...known, freeBytes: this.#parts.disk.freeBytes };
  }

  /** What the worker knows; while the disk keeps it waiting, what it said last: monitoring must not fall silent then. */
  async #look(): Promise<WorkerStatistics> {
    if (this.#stuck?.isStuck === true && this.#statistics !== undefined) return this.#statistics;
    const asked = this.#db.ask<WorkerStatistics>({ op: "statistics" }).then((statistics) => (this.#statistics = statistics));
    return this.#stuck === undefined ? await asked : await this.#stuck.orStuck(asked, () => this.#statistics ?? asked);
  }

  async act({ verb, filter, by }: QueueAct): Promise<ActResult> {
    const ids = await this.#reading.ask<number[]>({ what: "select", filter });
    const tally = new ActTally();
    for (let at = 0; at < ids.length; at += ACT_SLICE) {
      const now = this.#parts.clock.now();
      const answer = await this.#db.ask<ActAnswer>({ op: "act", verb, by, ids: ids.slice(at, at + ACT_SLICE), now });
      tally.busy += answer.busy;
      for (const [queueId, recipient, lane] of answer.changed) {
        tally.add({ queueId, recipient, lane });
        if (verb === "retry" || verb === "release") this.#due(lane, now);
        // As it is written: an act that a fault of the disk breaks off has told of all that it did.
        if (verb === "delete") this.#parts.emit({ type: "recipient.deleted", queueId, recipient, upstream: lane, operator: by });
      }
    }
    return tally.result;
  }

  update({ floorBytes, maxBytes, historyKeepMs, failedContentMs }: QueueLimits): void {
    const parts = this.#parts;
    parts.maxBytes = maxBytes;
    parts.historyKeepMs = historyKeepMs;
    parts.failedContentMs = failedContentMs;
    this.#housekeeping?.keepFailed();
    if (maxBytes === undefined) this.#full = false;
    this.#checkSize();
    parts.disk.setFloor(floorBytes);
  }

  // ---- what the worker tells -------------------------------------------------------------------------------------------

  committed(seconds: number, operations: number): void {
    this.#parts.emit({ type: "queue.committed", seconds, operations });
    this.#checkSize();
  }

  progress({ jobs, lanes, prunedMessages, dropped, early }: Extract<Report, { kind: "progress" }>): void {
    if (dropped > 0) this.#parts.emit({ type: "content.dropped", messages: dropped, early });
    if (prunedMessages > 0) this.#parts.emit({ type: "history.pruned", messages: prunedMessages });
    for (const lane of lanes) this.#due(lane, this.#parts.clock.now());
    for (const [job, recipients] of jobs) this.#endJob(job, recipients);
    this.#checkSize();
  }

  /** The link calls this once; see `failed` of the interface. */
  readonly lost = (error: PosternError): void => {
    for (const job of this.#jobs.keys()) this.#endJob(job, undefined, error);
    this.#kept?.end();
    this.#leases.stop();
    this.#parts.disk.stop();
    this.#housekeeping?.stop();
    this.#stuck?.stop();
    this.#parts.emit({ type: "queue.failed", cause: error.message, damaged: error.code === "E_SPOOL_DAMAGED" });
    this.#resolveFailed(error);
  };

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#housekeeping?.stop();
    this.#stuck?.stop();
    this.#leases.stop();
    this.#parts.disk.stop();
    this.#kept?.end();
    await this.#parts.disk.settled();
    await this.#reading.close();
    await this.#db.close();
    this.#parts.release();
    for (const job of this.#jobs.keys()) this.#endJob(job, undefined, new PosternError("E_SPOOL_FAILED", "the queue was closed"));
  }
}
