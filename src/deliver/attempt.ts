/** One attempt: the message made as the door takes it, offered, and the facts of both. */
import { describeError } from "../mail/errors.ts";
import type { Claim } from "../queue/queue.ts";
import type { AttemptFacts, RecipientFact, Refusal, Upstream } from "../upstream/upstream.ts";
import { outgoing, type OutgoingOptions } from "./outgoing.ts";

/** What came of it. */
export interface Attempt {
  readonly facts: AttemptFacts;
  /** The door was not asked: nothing is learned of it, and nothing of its budget used. */
  readonly untried: boolean;
  /** Envelope and From: were the door's own address. */
  readonly senderIsOwn: boolean;
}

/** How the message is made, and what the door has to know of the others. */
export interface AttemptOptions extends OutgoingOptions {
  /** Some recipient has no other door: see `Delivery.lastDoor`. */
  readonly lastDoor: boolean;
}

/** Attempts a claim. Never rejects: whatever goes wrong is a fact. */
export async function attempt(claim: Claim, upstream: Upstream, options: AttemptOptions, signal: AbortSignal): Promise<Attempt> {
  let untried = true;
  try {
    const making = outgoing(claim, upstream, options);
    // Most messages are made at once; a turn of the event loop less for each of them.
    const made = making instanceof Promise ? await making : making;
    if (made.kind === "refused") return { facts: untriedFacts(made.refusal), untried, senderIsOwn: false };
    untried = false;
    const delivery = options.lastDoor ? { ...made.delivery, lastDoor: true } : made.delivery;
    const facts = withOurs(await upstream.attempt(delivery, signal), made.notServed, made.note);
    return { facts, untried, senderIsOwn: made.senderIsOwn };
  } catch (error) {
    const refusal: Refusal = { stage: "final", fault: { code: "EXCEPTION", detail: describeError(error) } };
    return { facts: untriedFacts(refusal), untried, senderIsOwn: false };
  }
}

/** The door's facts with what was decided before it was asked. */
function withOurs(facts: AttemptFacts, notServed: readonly RecipientFact[], note: string | undefined): AttemptFacts {
  if (notServed.length === 0 && note === undefined) return facts;
  const notes = facts.note === undefined ? note : note === undefined ? facts.note : `${note}; ${facts.note}`;
  return { ...facts, note: notes, recipients: [...facts.recipients, ...notServed] };
}

function untriedFacts(refusal: Refusal): AttemptFacts {
  return { reusedConnection: false, connectMs: 0, transmitMs: 0, recipients: [], ambiguous: false, refusal };
}
