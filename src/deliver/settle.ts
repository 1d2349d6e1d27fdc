/** From a judged attempt to what is written in one commit, and what is told once that commit is durable. */
import type { AttemptOutcome, Delays, PosternEvent } from "../mail/events.ts";
import type { AttemptRecord, Claim, Counted, Settlement } from "../queue/queue.ts";
import type { AttemptFacts, Refusal, Stage } from "../upstream/upstream.ts";
import type { FailedRecipient } from "../dsn/status.ts";
import type { Judgement, Verdict } from "./judge.ts";
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
  /** Nothing goes out by this door before; undefined when it is open. */
  readonly doorOpensAt: number | undefined;
  /** What it used of the door's budget; undefined where the door has none. */
  readonly counted: Counted | undefined;
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

function outcomeOf(verdict: Exclude<Verdict, { kind: "next" }>): AttemptOutcome {
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

/** Turns verdicts into settlements, one for each recipient of the claim. Pure but for `random`. */
export function settleAttempt(attempted: Attempted, retry: RetryPolicy, random: () => number): Settled {
  const { claim, upstream, facts, judgement, startedAt, now } = attempted;
  const { message } = claim;
  const { queueId } = message;
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
    // Routes name one door.
    const verdict = judged.kind === "next" ? judged.otherwise : judged;
    const about = { queueId, recipient: recipient.address, upstream };
    if (recipient.attempts >= attemptNumber) attemptNumber = recipient.attempts + 1;
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
        events.push({ type: "recipient.bounced", ...about, reply, cause, remedy: finding.remedy });
        return;
      case "retry": {
        const dueAt = nextAttemptAt(retry, {
          now,
          acceptedAt: message.acceptedAt,
          heldMs: recipient.heldMs,
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
        settlements.set(
          recipient.index,
          verdict.ambiguous ? { kind: "deferred", dueAt, cause, reply, ambiguous: true } : { kind: "deferred", dueAt, cause, reply },
        );
        events.push({ type: "recipient.deferred", ...about, reply, nextAttemptAt: dueAt, cause, remedy: finding.remedy });
        if (!claim.warned && now - message.acceptedAt - recipient.heldMs >= retry.warnAfterMs) {
          late.push({ address: recipient.address, kind: "delayed", id: finding.id, reply, cause, remedy: finding.remedy });
          retryUntil ??= message.acceptedAt + recipient.heldMs + retry.expireAfterMs;
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
  const fault = refusal?.fault === undefined ? undefined : `${refusal.fault.code}: ${refusal.fault.detail}`;
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
