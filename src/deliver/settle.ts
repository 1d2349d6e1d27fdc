/** From a judged attempt to what is written in one commit, and what is told once that commit is durable. */
import type { AttemptOutcome, Delays, MailFacts, PosternEvent } from "../mail/events.ts";
import type { AcceptedMessage } from "../mail/message.ts";
import type { AttemptRecord, Claim, ClaimedRecipient, Counted, Settlement } from "../queue/queue.ts";
import { describeFault, type AttemptFacts, type Refusal, type Stage } from "../upstream/upstream.ts";
import type { FailedRecipient } from "../dsn/status.ts";
import type { Finding, Judgement, Verdict } from "./judge.ts";
import { nextAttemptAt, type RetryPolicy } from "./retry.ts";

/** One attempt, over and judged. */
export interface Attempted {
  readonly claim: Claim;
  readonly upstream: string;
  readonly facts: AttemptFacts;
  readonly judgement: Judgement;
  /** ms since the epoch. */
  readonly startedAt: number;
  readonly now: number;
  /** By how much the clock was set forward since the claim was made: ms that did not pass, and make nobody older. */
  readonly setForwardMs: number;
  /** Nothing goes out by this door before; undefined when it is open. */
  readonly doorOpensAt: number | undefined;
  /** What it used of the door's budget; undefined where the door has none. */
  readonly counted: Counted | undefined;
  /** The door is held, unreachable or throttled for long by now. */
  readonly doorShut: boolean;
  readonly elsewhere: Elsewhere;
}

/** Other doors of a recipient's route; each method gives the lane of one, or undefined where there is none. */
export interface Elsewhere {
  /** This door refused the message for the recipient: another one, if need be one that is closed for now. */
  refused(recipient: ClaimedRecipient): string | undefined;
  /** This door is shut, or puts the recipient off: another one that is open. */
  open(recipient: ClaimedRecipient): string | undefined;
  /** A recipient that is put off for so long goes to another door. */
  readonly fallbackAfterMs: number;
}

/** What to write, what to tell, and whom a report is about. */
export interface Settled {
  readonly settlements: Map<number, Settlement>;
  /** Absent when nothing was tried. */
  readonly attempt: AttemptRecord | undefined;
  readonly failed: FailedRecipient[];
  /** Put off again, and late enough for the sender to be told. Empty where that was done before. */
  readonly late: FailedRecipient[];
  /** When we give up on those that are late; undefined where none is. */
  readonly retryUntil: number | undefined;
  readonly events: PosternEvent[];
}

/** Of several outcomes the one that names the attempt: the first that occurs. */
const RANK: readonly AttemptOutcome[] = ["delivered", "ambiguous", "bounced", "held", "deferred"];

function outcomeOf(verdict: Settles): AttemptOutcome {
  switch (verdict.kind) {
    case "delivered":
      return "delivered";
    case "hold":
      return "held";
    case "bounce":
      return "bounced";
    case "retry":
      return verdict.ambiguous ? "ambiguous" : "deferred";
    case "return":
      return "deferred";
    default:
      return verdict satisfies never;
  }
}

function decidingRefusal(facts: AttemptFacts): Refusal | undefined {
  return (
    facts.refusal ??
    (facts.accepted === undefined ? facts.recipients.find((recipient) => recipient.refusal !== undefined)?.refusal : undefined)
  );
}

type Settles = Exclude<Verdict, { kind: "next" }>;

/** True for what would wait until this door opens. */
function waitsForDoor(verdict: Settles): verdict is Extract<Settles, { kind: "hold" | "retry" }> {
  return (
    (verdict.kind === "hold" && verdict.by === "upstream") ||
    (verdict.kind === "retry" && !verdict.ambiguous && verdict.finding.scope === "upstream")
  );
}

/** What events of its recipients tell of a message. */
export function mailFacts({ origin, reversePath, messageId, recipients }: AcceptedMessage): MailFacts {
  return { client: origin.client, device: origin.device, reversePath, messageId, recipients: recipients.length };
}

/** Turns verdicts into settlements, one for each recipient of the claim. Pure but for `random`. */
export function settleAttempt(attempted: Attempted, retry: RetryPolicy, random: () => number): Settled {
  const { claim, upstream, facts, judgement, startedAt, now, elsewhere } = attempted;
  const { message } = claim;
  const { queueId } = message;
  const mail = mailFacts(message);
  const settlements = new Map<number, Settlement>();
  const failed: FailedRecipient[] = [];
  const late: FailedRecipient[] = [];
  let retryUntil: number | undefined;
  const events: PosternEvent[] = [];
  let rank = RANK.length;
  let remedy: string | undefined;
  let attemptNumber = 0;
  claim.recipients.forEach((recipient, position) => {
    const judged = judgement.verdicts[position];
    if (judged === undefined) throw new Error("the judge left a recipient out");
    const about = { queueId, recipient: recipient.address, upstream, mail };
    if (recipient.attempts >= attemptNumber) attemptNumber = recipient.attempts + 1;
    const move = (finding: Finding, lane: string, passed: boolean): void => {
      const { cause, reply } = finding;
      settlements.set(recipient.index, { kind: "moved", lane, dueAt: now, cause, reply, passed });
      events.push({ type: "recipient.moved", queueId, recipient: recipient.address, from: upstream, to: lane, cause, reply });
      if (RANK.indexOf("deferred") < rank) {
        rank = RANK.indexOf("deferred");
        remedy = finding.remedy;
      }
    };
    // What may have arrived must not arrive by another door as well.
    const mayMove = !recipient.ambiguous;
    if (judged.kind === "next" && mayMove) {
      const lane = elsewhere.refused(recipient);
      if (lane !== undefined) {
        move(judged.finding, lane, true);
        return;
      }
    }
    const verdict = judged.kind === "next" ? judged.otherwise : judged;
    if (mayMove && attempted.doorShut && waitsForDoor(verdict)) {
      const lane = elsewhere.open(recipient);
      if (lane !== undefined) {
        move(verdict.finding, lane, false);
        return;
      }
    }
    if (verdict.kind === "delivered") {
      settlements.set(recipient.index, { kind: "delivered", reply: verdict.reply });
      events.push({
        type: "recipient.delivered",
        ...about,
        reply: verdict.reply,
        latencySeconds: Math.max(0, now - message.acceptedAt) / 1000,
      });
      rank = 0;
      return;
    }
    if (verdict.kind === "return") {
      settlements.set(recipient.index, { kind: "returned", dueAt: now });
      return;
    }
    const { finding } = verdict;
    const { cause, reply } = finding;
    if (RANK.indexOf(outcomeOf(verdict)) < rank) {
      rank = RANK.indexOf(outcomeOf(verdict));
      remedy = finding.remedy;
    }
    switch (verdict.kind) {
      case "hold":
        settlements.set(recipient.index, { kind: "held", by: verdict.by, cause, reply });
        events.push({ type: "recipient.held", ...about, reply, heldBy: verdict.by, cause, remedy: finding.remedy });
        return;
      case "bounce":
        settlements.set(recipient.index, { kind: "bounced", cause, reply });
        failed.push({
          address: recipient.address,
          kind: "failed",
          id: finding.id,
          status: finding.status,
          reply,
          cause,
          remedy: finding.remedy,
        });
        events.push({ type: "recipient.bounced", ...about, reply, status: finding.status, cause, remedy: finding.remedy });
        return;
      case "retry": {
        const heldMs = recipient.heldMs + attempted.setForwardMs;
        let dueAt = nextAttemptAt(retry, {
          now,
          acceptedAt: message.acceptedAt,
          heldMs,
          attempts: recipient.attempts + 1,
          random: random(),
          waitMs: verdict.waitMs,
          notBefore: attempted.doorOpensAt,
        });
        if (dueAt === undefined) {
          settlements.set(recipient.index, { kind: "expired", cause, reply });
          failed.push({ address: recipient.address, kind: "expired", id: finding.id, reply, cause, remedy: finding.remedy });
          events.push({ type: "recipient.expired", ...about, reply, cause });
          return;
        }
        if (mayMove && !verdict.ambiguous) {
          const lane = elsewhere.open(recipient);
          const fallbackAt = (recipient.deferredSince ?? now) + elsewhere.fallbackAfterMs;
          if (lane !== undefined && now >= fallbackAt) {
            move(finding, lane, false);
            return;
          }
          // Asked once more at that moment, and not only when the schedule would.
          if (lane !== undefined) dueAt = Math.min(dueAt, Math.max(fallbackAt, attempted.doorOpensAt ?? 0));
        }
        settlements.set(
          recipient.index,
          verdict.ambiguous ? { kind: "deferred", dueAt, cause, reply, ambiguous: true } : { kind: "deferred", dueAt, cause, reply },
        );
        events.push({ type: "recipient.deferred", ...about, reply, nextAttemptAt: dueAt, cause, remedy: finding.remedy });
        if (!claim.warned && now - message.acceptedAt - heldMs >= retry.warnAfterMs) {
          late.push({ address: recipient.address, kind: "delayed", id: finding.id, reply, cause, remedy: finding.remedy });
          retryUntil ??= message.acceptedAt + heldMs + retry.expireAfterMs;
        }
        return;
      }
      default:
        verdict satisfies never;
    }
  });
  const outcome = RANK[rank];
  if (outcome === undefined) return { settlements, attempt: undefined, failed, late, retryUntil, events };

  const refusal = decidingRefusal(facts);
  const stage: Stage = refusal?.stage ?? "final";
  const reply = refusal === undefined ? facts.accepted : refusal.reply;
  const fault = refusal?.fault === undefined ? undefined : describeFault(refusal.fault);
  const delays: Delays = {
    beforeQueueMs: Math.max(0, message.acceptedAt - message.sessionStartedAt),
    inQueueMs: Math.max(0, startedAt - message.acceptedAt),
    connectMs: facts.connectMs,
    transmitMs: facts.transmitMs,
  };
  const { remote, tls, upstreamId, note } = facts;
  const attempt: AttemptRecord = {
    startedAt,
    upstream,
    remote,
    tls,
    stage,
    outcome,
    reply,
    fault,
    upstreamId,
    remedy,
    note,
    delays,
    counted: attempted.counted === undefined ? undefined : { ...attempted.counted, endedAt: now },
  };
  events.unshift({
    type: "attempt.finished",
    queueId,
    attempt: attemptNumber,
    upstream,
    outcome,
    recipients: claim.recipients.length,
    remote,
    tls,
    reusedConnection: facts.reusedConnection,
    stage,
    reply,
    fault,
    upstreamId,
    remedy,
    note,
    delays,
  });
  return { settlements, attempt, failed, late, retryUntil, events };
}
