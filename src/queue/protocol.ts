/**
 * What the main thread and the worker that owns the database say to each other. Commands are executed and answered in order;
 * those that change something are answered only after the commit they were part of.
 */
import type { PosternErrorCode } from "../mail/errors.ts";
import type { PostponedReport, QueueAct, QueueStatistics, ReportWindow } from "./queue.ts";

/** Octets in one of the shared slabs. They belong to the worker from sending to answer. */
export interface SharedOctets {
  readonly slab: number;
  readonly offset: number;
  readonly length: number;
}

/** Octets of content, shared where there was room, else copied with the message. */
export type Octets = SharedOctets | Uint8Array;

/** A slab of shared memory that later octets refer to by its index. */
export interface SlabCommand {
  readonly op: "slab";
  readonly index: number;
  readonly memory: SharedArrayBuffer;
}

/** One row of content of a message that is still arriving. Needs no durable commit of its own. */
export interface ChunkCommand {
  readonly op: "chunk";
  readonly message: number;
  readonly place: number;
  readonly octets: Octets;
}

/** The message will not be accepted; drop what is there of it. */
export interface AbandonCommand {
  readonly op: "abandon";
  readonly message: number;
}

/** The envelope and the last octets of a message, whose earlier rows were sent before. */
export interface AcceptCommand {
  readonly op: "accept";
  readonly message: number;
  readonly queueId: string;
  readonly at: number;
  readonly generated: boolean;
  /** The AcceptedMessage as JSON. */
  readonly envelope: string;
  readonly reversePath: string;
  readonly client: string;
  /** The line it waits in: see mail/line.ts. Names the device, too. */
  readonly line: string;
  readonly size: number;
  /** Rows in all, the one made of `tail` included. */
  readonly chunks: number;
  readonly tail: Octets | undefined;
  readonly addresses: readonly string[];
  /** The lane of each recipient. */
  readonly lanes: readonly string[];
  /** The claim that takes each recipient at once; 0 for none. */
  readonly claims: readonly number[];
}

export interface ClaimCommand {
  readonly op: "claim";
  readonly lane: string;
  readonly limit: number;
  readonly perMessage: number;
  readonly now: number;
  /** The claims get this id and the following ones. */
  readonly firstClaim: number;
  readonly busy: readonly (readonly [line: string, load: number])[];
  /** See `ClaimRequest`. */
  readonly budget?: { readonly recipients: number; readonly strict: boolean } | undefined;
}

export interface ProbeCommand {
  readonly op: "probe";
  readonly lane: string;
  readonly perMessage: number;
  readonly now: number;
  readonly claim: number;
}

export interface HeldSendersCommand {
  readonly op: "heldSenders";
  readonly lane: string;
  readonly limit: number;
}

/** Like a probe of the door, with mail held by `sender`. */
export interface ProbeSenderCommand {
  readonly op: "probeSender";
  readonly lane: string;
  /** In lower case. */
  readonly sender: string;
  readonly perMessage: number;
  readonly now: number;
  readonly claim: number;
}

/** Answered with the number of recipients let go; as many as `limit` means that there may be more. */
export interface ReleaseSenderCommand {
  readonly op: "releaseSender";
  readonly lane: string;
  /** In lower case. */
  readonly sender: string;
  readonly limit: number;
  readonly now: number;
}

/** A recipient in the answer to a claim. `passed` is JSON as stored. */
export type ClaimedRow = readonly [
  index: number,
  address: string,
  attempts: number,
  heldMs: number,
  ambiguous: boolean,
  passed: string | null,
  deferredSince: number | null,
];

/** One claim as the worker made it. */
export interface ClaimAnswer {
  readonly claim: number;
  readonly message: number;
  readonly envelope: string;
  readonly chunks: number;
  readonly recipients: readonly ClaimedRow[];
  readonly warned: boolean;
  /** The whole content where it is small. */
  readonly content: Uint8Array | undefined;
}

/** Where a recipient goes that moves to another lane. */
export interface MovedTo {
  readonly lane: string;
  /** The lane it leaves refused it. */
  readonly passed: boolean;
}

/** The outcome for one recipient. `state` is a number of states.ts; -1 for one that is returned untried. */
export interface SettledRow {
  readonly index: number;
  readonly state: number;
  readonly due: number;
  readonly heldBy: number | null;
  readonly ambiguous: boolean;
  readonly cause: string | null;
  /** The reply as JSON. */
  readonly reply: string | null;
  /** Null for one that stays on its lane. */
  readonly moved: MovedTo | null;
}

export interface SettleCommand {
  readonly op: "settle";
  readonly claim: number;
  readonly message: number;
  readonly now: number;
  readonly size: number;
  /** Recipients of the message in all. */
  readonly recipients: number;
  readonly settled: readonly SettledRow[];
  readonly attempt: { readonly lane: string; readonly at: number; readonly record: string } | undefined;
  readonly generated: readonly AcceptCommand[];
  /** The sender is told now that the message is late. */
  readonly warned: boolean;
  readonly postponed: readonly PostponedReport[];
}

/** See DeliveryQueue: windows of postponed reports. */
export interface PostponedCommand {
  readonly op: "postponed";
}

export interface PostponedEntriesCommand {
  readonly op: "postponedEntries";
  readonly window: ReportWindow;
  readonly limit: number;
}

export interface TellPostponedCommand {
  readonly op: "tellPostponed";
  readonly window: ReportWindow;
  readonly last: number;
  readonly report: AcceptCommand | undefined;
}

/** The lease of a claim ran out. */
export interface LapseCommand {
  readonly op: "lapse";
  readonly claim: number;
  readonly message: number;
  readonly indexes: readonly number[];
  readonly now: number;
}

export interface HoldCommand {
  readonly op: "hold";
  readonly lane: string;
  /** The LaneHold as JSON. */
  readonly hold: string;
  readonly now: number;
  readonly job: number;
}

export interface ReleaseCommand {
  readonly op: "release";
  readonly lane: string;
  readonly now: number;
  readonly job: number;
}

export interface ActCommand {
  readonly op: "act";
  readonly verb: QueueAct["verb"];
  readonly by: string;
  /** Row ids of recipients. */
  readonly ids: readonly number[];
  readonly now: number;
}

/** Ends waiting recipients of one message. Answered with false where nothing was done. */
export interface BounceCommand {
  readonly op: "bounce";
  readonly queueId: string;
  readonly recipients: readonly (readonly [index: number, address: string])[];
  readonly by: string;
  readonly cause: string;
  readonly generated: readonly AcceptCommand[];
  readonly postponed: readonly PostponedReport[];
  readonly now: number;
}

export interface ActAnswer {
  readonly changed: readonly (readonly [queueId: string, address: string, lane: string])[];
  readonly busy: number;
}

/** Moves recipients to other lanes. Answered with the row ids of those that moved. */
export interface MoveCommand {
  readonly op: "move";
  readonly moves: readonly (readonly [recipient: number, from: string, to: string])[];
  /** For the history. */
  readonly cause: string;
  /** What waits for a time is due now: the door it was put off by is closed. */
  readonly dueNow: boolean;
  readonly now: number;
}

/** The system's clock was set by so much: back is negative. */
export interface ClockStepCommand {
  readonly op: "clockStep";
  /** By the clock as it is now. */
  readonly now: number;
  readonly byMs: number;
}

/** Removes messages that ended before a time, some at a time, and looks for recipients held by a door that is open. */
export interface TidyCommand {
  readonly op: "tidy";
  readonly now: number;
  /** Undefined when it is not the time for that. */
  readonly endedBefore: number | undefined;
  /** Kept content of what failed before this is dropped; undefined: of nothing. */
  readonly failedBefore: number | undefined;
  /** Before its time, because room is needed. */
  readonly early: boolean;
}

/** Whether content of mail that failed is kept from now on. */
export interface KeepFailedCommand {
  readonly op: "keepFailed";
  readonly keep: boolean;
}

export type Command =
  | SlabCommand
  | ChunkCommand
  | AbandonCommand
  | AcceptCommand
  | ClaimCommand
  | ProbeCommand
  | HeldSendersCommand
  | ProbeSenderCommand
  | ReleaseSenderCommand
  | SettleCommand
  | PostponedCommand
  | PostponedEntriesCommand
  | TellPostponedCommand
  | LapseCommand
  | HoldCommand
  | ReleaseCommand
  | ActCommand
  | BounceCommand
  | MoveCommand
  | TidyCommand
  | ClockStepCommand
  | KeepFailedCommand
  | { readonly op: "lanes" }
  | { readonly op: "attempts"; readonly lane: string; readonly since: number; readonly stepMs: number }
  | { readonly op: "statistics" }
  | { readonly op: "close" }
  /** Answered at once and out of order. */
  | { readonly op: "read"; readonly id: number; readonly message: number; readonly place: number };

/** A command that could not be done, without harm to its neighbours. */
export interface Refused {
  readonly refused: PosternErrorCode;
  readonly detail: string;
}

/** True for an answer that is a refusal. */
export function isRefused(answer: unknown): answer is Refused {
  return typeof answer === "object" && answer !== null && "refused" in answer;
}

/** Everything the worker says. */
export type Report =
  | {
      readonly kind: "opened";
      readonly nextMessage: number;
      readonly schemaVersion: number;
      readonly waiting: number;
      readonly heldLanes: readonly string[];
      readonly recovered: number;
      readonly swept: number;
      readonly contentBytes: number;
      readonly backup: string | undefined;
    }
  | {
      readonly kind: "answers";
      /** In the order of the commands; reads and slabs have none. */
      readonly answers: readonly unknown[];
      /** How long the durable commit took; undefined when nothing had to be made durable. */
      readonly seconds: number | undefined;
      readonly contentBytes: number;
    }
  /** A slice of work in the background was committed. */
  | {
      readonly kind: "progress";
      readonly jobs: readonly (readonly [job: number, recipients: number])[];
      /** Lanes on which something is due now. */
      readonly lanes: readonly string[];
      readonly prunedMessages: number;
      /** Messages whose kept content was given up, and whether before its time. */
      readonly dropped: number;
      readonly early: boolean;
      readonly contentBytes: number;
    }
  /** Octets are undefined when the row is missing or its checksum does not agree. */
  | { readonly kind: "read"; readonly id: number; readonly octets: Uint8Array | undefined }
  | { readonly kind: "failed"; readonly code: PosternErrorCode; readonly detail: string };

/** The statistics the worker knows; free space is the main thread's. */
export type WorkerStatistics = Omit<QueueStatistics, "freeBytes">;

/** What the worker is started with. */
export interface WorkerSettings {
  readonly path: string;
  readonly now: number;
  readonly synchronous: "FULL" | "OFF";
  readonly checkpointBytes: number;
}
