/**
 * The queue: owner of every accepted message, from the commit that lets us say 250 to the commit that makes its last recipient final.
 *
 * Asynchronous and free of SQL, so that another implementation (PostgreSQL, several nodes) can stand behind it; the suite in
 * test/conformance runs on each. Stages meet only here: `receive` writes, `deliver` claims and settles, `admin` looks and operates.
 */
import type { ActedOn } from "../mail/act-tally.ts";
import type { AcceptedMessage, Envelope, Holder, RecipientState, TerminalState, WaitingState } from "../mail/message.ts";
import type { AttemptOutcome, Delays } from "../mail/events.ts";
import type { Reply } from "../mail/reply.ts";

// ---- accepting -----------------------------------------------------------------------------------------------------------

/** Takes one message in. Memory is bounded: content goes to the spool as it comes, in rows of at most 256 KiB. */
export interface MessageWriter {
  /**
   * Adds octets, which are copied before this returns. A returned promise asks the caller to wait before the next write;
   * it resolves when there is room again, and rejects with a PosternError when the spool failed.
   */
  write(octets: Uint8Array): Promise<void> | undefined;
  /**
   * Makes the message durable. Resolves only after content and envelope are fsynced: the caller may then answer 250 and take
   * responsibility (RFC 5321 §6.1).
   *
   * @throws PosternError E_SPOOL_FULL below the floor of free space, E_SPOOL_FAILED when the commit failed
   */
  commit(envelope: Envelope): Promise<AcceptedMessage>;
  /** Drops what was written. Does nothing after commit. */
  abort(): void;
}

/** What a stage needs to put messages into the queue. */
export interface MessageSink {
  /**
   * Starts a message. Its queue id is fixed here, because Received and X-Postern-Id carry it.
   * Nothing is on disk before the first full block or the commit.
   */
  open(): MessageWriter & { readonly queueId: string };
  /** Why nothing can be accepted now (disk below its floor, spool moved or failed); undefined when all is well. Costs nothing to ask. */
  refusal(): Reply | undefined;
}

// ---- delivering ----------------------------------------------------------------------------------------------------------

/** A recipient in a claim. */
export interface ClaimedRecipient {
  readonly address: string;
  /** Position in the envelope; with the queue id it names the recipient for good. */
  readonly index: number;
  /** Attempts finished before this one. */
  readonly attempts: number;
  /** Milliseconds this recipient was held so far: counts neither to expiry nor to the delay warning. */
  readonly heldMs: number;
  /** True when an earlier attempt may have delivered it (answer lost, crash while delivering). */
  readonly ambiguous: boolean;
  /** Lanes whose doors refused the message for this recipient: none of them is asked again. */
  readonly passed: readonly string[];
  /** When the door of this lane first put it off, ms since the epoch; undefined before that. A move to another lane begins anew. */
  readonly deferredSince: number | undefined;
}

/**
 * A right to deliver: recipients of one message on one lane, in state `delivering`. That state was durable before the claim was
 * handed out, so a crash leaves no doubt about who may have got the mail. Every claim ends in `settle`; one whose lease ran out
 * goes back to the queue as ambiguous.
 */
export interface Claim {
  readonly id: number;
  readonly lane: string;
  readonly message: AcceptedMessage;
  readonly recipients: readonly ClaimedRecipient[];
  /** The sender has been told that the message is late. */
  readonly warned: boolean;
  /** The stored octets. */
  readonly content: ContentSource;
}

/** Stored content, read in blocks of at most 256 KiB with their checksums verified. */
export interface ContentSource {
  readonly sizeBytes: number;
  /** The whole content where it is small and at hand; saves a way to the disk and back. */
  readonly inMemory: Uint8Array | undefined;
  /**
   * A block is the reader's until it asks for the next one, then its memory is gone: who keeps it has to copy it.
   *
   * @throws PosternError E_CONTENT_CORRUPT when a checksum or the length does not agree
   */
  blocks(): AsyncIterable<Uint8Array>;
}

/** What one attempt did for one recipient. Exactly one of seven. */
export type Settlement =
  | { readonly kind: "delivered"; readonly reply?: Reply | undefined }
  /** `ambiguous`: the answer was lost after the final dot. */
  | {
      readonly kind: "deferred";
      readonly dueAt: number;
      readonly cause: string;
      readonly reply?: Reply | undefined;
      readonly ambiguous?: boolean;
    }
  | { readonly kind: "held"; readonly by: Holder; readonly cause: string; readonly reply?: Reply | undefined }
  | { readonly kind: "bounced"; readonly cause: string; readonly reply?: Reply | undefined }
  | { readonly kind: "expired"; readonly cause: string; readonly reply?: Reply | undefined }
  /** Not tried after all (shutdown, no free connection): back as it was, no attempt counted. */
  | { readonly kind: "returned"; readonly dueAt: number }
  /** To the lane of another door; held by `upstream` there where that one is closed. */
  | {
      readonly kind: "moved";
      readonly lane: string;
      readonly dueAt: number;
      readonly cause: string;
      readonly reply?: Reply | undefined;
      /** True when the door refused it: the lane it leaves is added to `passed` in the same commit. */
      readonly passed: boolean;
    };

/** The record of an attempt, kept in the history. */
export interface AttemptRecord {
  readonly startedAt: number;
  readonly upstream: string;
  readonly remote?: string | undefined;
  readonly tls?: string | undefined;
  readonly stage: string;
  readonly outcome: AttemptOutcome;
  readonly reply?: Reply | undefined;
  readonly fault?: string | undefined;
  readonly upstreamId?: string | undefined;
  readonly remedy?: string | undefined;
  /** What was changed in the message for this door, or how it is known to have arrived. */
  readonly note?: string | undefined;
  readonly delays: Delays;
  /** What it used of the door's budget; absent where the door has none. */
  readonly counted?: (Counted & { readonly endedAt: number }) | undefined;
}

/** What attempts used of what the next hop counts. */
export interface Counted {
  /** Messages that it saw. */
  readonly messages: number;
  /** Recipients that it took, or may have taken. */
  readonly recipients: number;
  /** Of these outside the organization. */
  readonly external: number;
  /** Octets on the wire. */
  readonly bytes: number;
}

/** Attempts of a short time together. */
export interface AttemptCounts extends Counted {
  /** The last start among them, ms since the epoch. */
  readonly startedAt: number;
  /** The last end. */
  readonly endedAt: number;
}

/** A message of our own. A report enters the queue in the same commit as the settlement that caused it. */
export interface GeneratedMessage {
  readonly queueId: string;
  readonly envelope: Envelope;
  readonly content: Uint8Array;
}

/** Failures that are told together: those of one addressee and one topic, since the first of them was told. */
export interface ReportWindow {
  readonly to: string;
  /** Sender and cause, in the words of whoever postpones. */
  readonly topic: string;
  /** When the window was opened, ms since the epoch. */
  readonly since: number;
}

/** Something that is not reported now, but with others when its window ends; without an entry it only opens the window. */
export interface PostponedReport extends ReportWindow {
  readonly entry?: string | undefined;
}

/** What `settle` writes in one commit. */
export interface SettleRequest {
  readonly claim: Claim;
  /** One for each recipient of the claim, by its index. */
  readonly settlements: ReadonlyMap<number, Settlement>;
  /** Absent when nothing was tried (`returned`). */
  readonly attempt?: AttemptRecord | undefined;
  readonly generated?: readonly GeneratedMessage[];
  /** From now on the message's claims are `warned`. */
  readonly warned?: boolean;
  readonly postponed?: readonly PostponedReport[];
}

/** A message with recipients that wait, as one looks at it who does not deliver it. */
export interface WaitingMessage {
  readonly message: AcceptedMessage;
  readonly recipients: readonly WaitingRecipient[];
  /** Of the message; absent where nothing was tried yet. */
  readonly lastAttempt: Pick<AttemptRecord, "startedAt" | "remote"> | undefined;
}

export interface WaitingRecipient {
  readonly address: string;
  /** Position in the envelope. */
  readonly index: number;
  readonly lane: string;
  readonly state: WaitingState;
  /** What the next hop said last. */
  readonly reply: Reply | undefined;
}

/** What ends waiting recipients of one message as `bounced` without an attempt, in one commit with what is told of it. */
export interface BounceRequest {
  readonly queueId: string;
  readonly recipients: readonly Pick<WaitingRecipient, "address" | "index">[];
  /** Who asked, for the history. */
  readonly by: string;
  readonly cause: string;
  readonly generated?: readonly GeneratedMessage[];
  readonly postponed?: readonly PostponedReport[];
}

/** Which waiting recipients a claim may take. */
export interface ClaimRequest {
  readonly lane: string;
  /** Most claims wanted, each one message. */
  readonly limit: number;
  /** Most recipients of one message in one claim. */
  readonly recipientsPerMessage: number;
  readonly leaseMs: number;
  /** Lines (`lineOf` of device and priority) with deliveries in progress, and how many: those with fewer go first. */
  readonly busyDevices?: ReadonlyMap<string, number>;
  /**
   * Of a door whose budget is limited: mail goes by its priority. `recipients` is the most of all claims together; the last message is cut to it.
   * `strict`: a priority waits while anything of a higher one is due; else they take turns, and none is starved.
   */
  readonly budget?: { readonly recipients: number; readonly strict: boolean } | undefined;
}

/** A lane is the waiting line of one upstream. Its name is the upstream's. */
export interface LaneState {
  readonly lane: string;
  readonly waiting: number;
  /** Earliest time at which something is due; undefined when nothing waits for time. */
  readonly nextDueAt: number | undefined;
  readonly hold: LaneHold | undefined;
}

/** Why a door is closed. Durable: a restart neither forgets it nor tries everything again. */
export interface LaneHold {
  readonly since: number;
  readonly cause: string;
  readonly reply?: Reply | undefined;
  readonly remedy?: string | undefined;
  /** The message whose attempt closed the door; probed with only when no other waits. */
  readonly closedBy: string | undefined;
  readonly nextProbeAt: number;
  readonly probes: number;
}

/** Where a recipient that waits stands. */
export interface Standing {
  readonly lane: string;
  readonly passed: readonly string[];
  readonly ambiguous: boolean;
}

/**
 * Chooses the lane of a recipient, at acceptance and again when doors close or open. Depends on nothing but its arguments and the state of the doors.
 *
 * @param standing - absent for a recipient that is just being accepted
 */
export type RouteRecipient = (envelope: Envelope, recipient: string, standing?: Standing) => string;

/** Which waiting recipients are routed again, and why they go where they go. */
export interface RerouteRequest {
  /** Those of one lane; absent: of all. */
  readonly lane?: string | undefined;
  /** Whether they are due at once where they go; absent: those of one lane are, of all they are due as they were. */
  readonly dueNow?: boolean | undefined;
  /** What the history and `recipient.moved` say. */
  readonly cause: string;
  /** Most recipients to move, oldest first; absent: all. */
  readonly limit?: number | undefined;
}

/**
 * Asked while a message is being accepted: may its recipients on this lane be delivered at once? If so they are claimed inside
 * the commit that accepts them, which saves a commit and a read.
 */
export interface ExpressLane {
  /** Most recipients it takes now; 0 to leave them to the normal claim. A non-zero answer reserves a place until `deliver` or `forget`. */
  reserve(lane: string, envelope: Envelope, recipients: number): number;
  /** The commit is done: here is the claim. */
  deliver(claim: Claim): void;
  /** The commit failed: the place reserved for so many recipients is free again. */
  forget(lane: string, recipients: number): void;
}

/** What `deliver` needs of the queue. */
export interface DeliveryQueue {
  claim(request: ClaimRequest): Promise<Claim[]>;
  /**
   * Takes one message of a held lane to try the door with, of those held by `upstream`: the one that came after the closer, else the oldest other one, else
   * the closer itself.
   * Undefined when none waits.
   */
  claimProbe(lane: string, recipientsPerMessage: number, leaseMs: number): Promise<Claim | undefined>;
  /**
   * Senders with mail held by `sender` on a lane: reverse-paths in lower case, in the order of their letters, at most `limit`. Read from the held
   * mail itself, so a restart finds them again. Costs a step for each sender, however much each has.
   */
  heldSenders(lane: string, limit: number): Promise<string[]>;
  /**
   * Takes one message held by `sender` to find out whether the sender may send by now: the one held longest, so that another goes next when this
   * one is held again. Settled as `returned` it is held by `sender` as before. Case of letters does not matter. Undefined when none is held.
   */
  claimHeldBySender(lane: string, sender: string, recipientsPerMessage: number, leaseMs: number): Promise<Claim | undefined>;
  /**
   * Lets everything go that is held by `sender` of one sender on a lane: due now, or held by `upstream` where the door is closed. Much is let go
   * in several commits; what a crash leaves out is still held by `sender`. Returns how many recipients.
   */
  releaseSender(lane: string, sender: string): Promise<number>;
  /** Writes the outcome, the history and any report in one commit. Content goes with the last recipient that becomes final, unless somebody did not get it. */
  settle(request: SettleRequest): Promise<void>;
  /** Messages with waiting recipients that a filter names, as they are when asked about; what arrives later is not among them. Oldest first. */
  waitingMessages(filter: QueueFilter): AsyncIterable<WaitingMessage>;
  /**
   * All of it in one commit; or nothing, and false, where one of the recipients is being delivered by now, is final, or is not the one it was taken for.
   * Not by way of a claim: a crash between claim and settlement would let held mail go.
   */
  bounce(request: BounceRequest): Promise<boolean>;
  /** See `QueueReader`. */
  contentRow(queueId: string, place: number): Promise<Uint8Array | undefined>;
  /** Windows with something in them, and how many entries each has; empty ones were opened and nothing came after. */
  postponedReports(): Promise<(ReportWindow & { readonly entries: number })[]>;
  /** The first entries of a window, how many there are, and the place of the last one, for `tellPostponed`. */
  postponedEntries(window: ReportWindow, limit: number): Promise<{ entries: string[]; count: number; last: number }>;
  /**
   * Writes the report that tells of a window's entries up to `last`, and removes them, in one commit. What was postponed meanwhile stays.
   * Returns how many entries that are; the window is gone when there are none.
   */
  tellPostponed(window: ReportWindow, last: number, report: GeneratedMessage | undefined): Promise<number>;
  /** Extends a claim whose delivery takes long. */
  renew(claim: Claim, leaseMs: number): Promise<void>;
  /** Closes a door: everything that waits on the lane is held by `upstream`, and so is what arrives. Returns how many recipients. */
  holdLane(lane: string, hold: LaneHold): Promise<number>;
  /** Opens it: all it held is due now. Returns how many recipients. */
  releaseLane(lane: string): Promise<number>;
  /**
   * The system's clock was set by so many ms, back is negative: what waits for a time that lies hours ahead now is due, and nothing grows old by hours
   * that never were.
   */
  clockStepped(byMs: number): Promise<void>;
  /**
   * Moves waiting recipients to the lanes that `route` gives now: all of them after a start with another configuration, those of one lane when its
   * door has closed or another one opened. Those that the operator or a checksum holds keep their holder. In slices: what a crash leaves out waits
   * where it was. What left a closed door is due now. Emits `recipient.moved`. Returns how many moved.
   */
  reroute(request?: RerouteRequest): Promise<number>;
  lanes(): Promise<LaneState[]>;
  /**
   * What attempts on a lane used that ended since `since` (ms since the epoch), oldest first, those that ended within `stepMs` taken together: budgets
   * are counted from history, so they survive a kill. An attempt without `counted` is found by its start. Attempts that the process did not live to finish are among them, counted in full.
   */
  attemptCounts(lane: string, since: number, stepMs: number): Promise<AttemptCounts[]>;
  /** Called whenever a lane may have something due earlier than before: new mail, release, retry by an operator. */
  onWork(listener: (lane: string) => void): void;
  setExpress(lane: ExpressLane | undefined): void;
  /** A fresh queue id, for generated messages. */
  newQueueId(): string;
}

// ---- looking and operating -----------------------------------------------------------------------------------------------

export interface QueueFilter {
  /** Queue ids; absent means all. */
  readonly ids?: readonly string[];
  readonly states?: readonly RecipientState[];
  readonly lane?: string;
  readonly client?: string;
  readonly device?: string;
  /** Case-insensitive part of the reverse-path or of the recipient's address, in angle brackets: `<>` is the null reverse-path. */
  readonly from?: string;
  readonly to?: string;
  /** Accepted before this time, ms since the epoch. */
  readonly acceptedBefore?: number;
}

/** One recipient with its message, as lists show it. */
export interface QueueEntry {
  readonly queueId: string;
  readonly acceptedAt: number;
  readonly reversePath: string;
  readonly recipient: string;
  readonly state: RecipientState;
  readonly heldBy: Holder | undefined;
  readonly lane: string;
  readonly client: string;
  readonly device: string;
  readonly sizeBytes: number;
  readonly attempts: number;
  /** Next attempt, for queued and deferred. */
  readonly dueAt: number | undefined;
  readonly changedAt: number;
  readonly cause: string | undefined;
  readonly reply: Reply | undefined;
}

/** What somebody remembers of a message; all that is given must fit. Texts are parts of it, in any case of letters. */
export interface MessageQuery {
  /** Without angle brackets. */
  readonly messageId?: string | undefined;
  readonly device?: string | undefined;
  /** Of the sender, given or replaced, or of a recipient; where no message has it, a Message-ID, which looks like an address without its brackets. */
  readonly address?: string | undefined;
  /** Subject, client, listener, HELO name, user, sender, recipient; or of an attempt the upstream's name, its id of the message, its reply or fault. */
  readonly text?: string | undefined;
  /** Subjects are looked into and answered with; true where it is not given. What somebody may not read they may not guess at by searching either. */
  readonly subjects?: boolean | undefined;
  /** ms since the epoch; from inclusive, until exclusive. */
  readonly acceptedFrom?: number | undefined;
  readonly acceptedUntil?: number | undefined;
}

/** A message that was found. */
export interface FoundMessage {
  readonly queueId: string;
  readonly acceptedAt: number;
  readonly reversePath: string;
  readonly recipients: readonly string[];
  readonly device: string;
  readonly client: string;
  readonly messageId: string;
  readonly subject: string | undefined;
  readonly sizeBytes: number;
  /** How many recipients are in which state. */
  readonly states: Readonly<Partial<Record<RecipientState, number>>>;
}

/** Everything known of one message. */
export interface MessageView {
  readonly message: AcceptedMessage;
  readonly entries: readonly QueueEntry[];
  readonly attempts: readonly (AttemptRecord & { readonly number: number; readonly recipients: readonly string[] })[];
  /** Operators' acts and the queue's own (recovered, released …), oldest first. */
  readonly history: readonly { readonly at: number; readonly what: string; readonly by: string | undefined }[];
  /** False once the content was deleted. */
  readonly hasContent: boolean;
}

/** Counts that metrics and `status` show. In recipients unless said otherwise. */
export interface QueueStatistics {
  readonly waiting: Readonly<Record<"queued" | "delivering" | "deferred" | "held", number>>;
  /** Since the database was made, reports included in `generated` only. */
  readonly accepted: number;
  readonly generated: number;
  /** Terminal recipients since the database was made, by state. accepted + generated = final + waiting, always. */
  readonly final: Readonly<Record<TerminalState, number>>;
  /** Octets of stored content. */
  readonly contentBytes: number;
  /** Acceptance time of the oldest waiting recipient. */
  readonly oldestAcceptedAt: number | undefined;
  readonly freeBytes: number;
  readonly lanes: readonly LaneState[];
}

/** Reading works without the daemon too. */
export interface QueueReader {
  list(filter: QueueFilter, limit: number, after?: string): Promise<QueueEntry[]>;
  show(queueId: string): Promise<MessageView | undefined>;
  /** Messages that fit, the newest first, at most `limit`. */
  find(query: MessageQuery, limit: number): Promise<FoundMessage[]>;
  /**
   * One row of a message's stored content by its place, from 0; undefined after the last one, and when there is no content (any more).
   *
   * @throws PosternError E_CONTENT_CORRUPT when its checksum does not agree
   */
  contentRow(queueId: string, place: number): Promise<Uint8Array | undefined>;
  statistics(): Promise<QueueStatistics>;
  close(): Promise<void>;
}

/** An operator's act on all recipients that a filter names. `by` is who asked, for the history. */
export interface OperatorAct {
  readonly verb: "retry" | "hold" | "release" | "bounce" | "delete";
  readonly filter: QueueFilter;
  readonly by: string;
}

/** An act that the queue does by itself, telling of each recipient that it deletes. A bounce is told to people, so `deliver` does it. */
export interface QueueAct extends OperatorAct {
  readonly verb: Exclude<OperatorAct["verb"], "bounce">;
}

/** What an act did: how many recipients of how many messages changed, and those it could not touch because they are being delivered right now. */
export interface ActResult {
  /** The first of them. */
  readonly changed: readonly ActedOn[];
  readonly recipients: number;
  readonly messages: number;
  readonly busy: number;
}

/** What a reload may change. */
export interface QueueLimits {
  /** `queue.min_free`: below this nothing new is accepted. */
  readonly floorBytes: number;
  /** `queue.max_size`: most octets of content. */
  readonly maxBytes?: number | undefined;
  /** `history.keep`: how long finished messages can be looked at. */
  readonly historyKeepMs: number;
  /** `history.failed_content`: how long mail that somebody did not get can be exported. Undefined: not at all. */
  readonly failedContentMs?: number | undefined;
}

/** The whole queue. `close` waits for commits under way, then closes the file cleanly. */
export interface Queue extends MessageSink, DeliveryQueue, QueueReader {
  act(act: QueueAct): Promise<ActResult>;
  /**
   * Takes in a message of our own that no settlement causes, durably, also below the floor of free space: it may be about that.
   *
   * @throws PosternError E_SPOOL_FULL when the disk has no room at all, E_SPOOL_FAILED when the commit failed
   */
  generate(message: GeneratedMessage): Promise<void>;
  /** Other limits from now on. Mail that is being written is not touched. */
  update(limits: QueueLimits): void;
  /** Resolves when the database had to be closed after a fault; the process must then restart. Never resolves otherwise. */
  readonly failed: Promise<Error>;
}
