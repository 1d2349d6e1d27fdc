/**
 * One message as one door takes it: envelope, header and lines as the door and SMTP demand, every other octet as it is stored. Or why it does
 * not fit the door.
 *
 * Usual mail needs no change, and then its content passes untouched and unread. What it takes to change a message does not grow with its
 * size: the header is read, and the rest streams by at delivery. Only lines that are too long for SMTP cost a pass over the content before it,
 * because MAIL names the size.
 */
import { isAscii } from "node:buffer";
import { isInternalDomain, isNonAscii, sameAddress, splitAddress } from "../mail/address.ts";
import { PosternError } from "../mail/errors.ts";
import type { AcceptedMessage } from "../mail/message.ts";
import { readHeader, withHeader } from "../mime/header-block.ts";
import type { MessageContent } from "../mime/header-block.ts";
import { LineLengths } from "../mime/line-lengths.ts";
import { withShortLines } from "../mime/long-lines.ts";
import { LONGEST_LINE } from "../mime/words.ts";
import type { Claim } from "../queue/queue.ts";
import type { Delivery, RecipientFact, Refusal, Upstream } from "../upstream/upstream.ts";
import { editSender, type OwnNames } from "./sender-header.ts";
import { planSender, rewriteAddress, type SenderPlan } from "./sender-plan.ts";

/** A message that may go, or a refusal of our own with a code that the judge knows. Neither has cost the door anything yet. */
export type Outgoing =
  | {
      readonly kind: "delivery";
      readonly delivery: Delivery;
      /** Recipients of the claim that this door may not serve; they are not in `delivery`. */
      readonly notServed: readonly RecipientFact[];
      /** Envelope and From: are the door's own address: there is nothing more to rewrite. */
      readonly senderIsOwn: boolean;
      /** What was changed, in plain words for the history; undefined: nothing. */
      readonly note: string | undefined;
    }
  | { readonly kind: "refused"; readonly refusal: Refusal };

/** What the way out depends on besides message and door. */
export interface OutgoingOptions extends OwnNames {
  /** Whatever the door's policy: for a message that was refused for its sender. */
  readonly force?: "rewrite" | undefined;
}

/**
 * The limit of a door is the administrator's for what devices send; intake and we add a few lines to that, and a message that was accepted must
 * not bounce for those.
 */
const ADDED_OCTETS = 16 * 1024;

/**
 * Makes the delivery of a claim by a door. At once where nothing has to be changed.
 *
 * @returns refusals with the faults `TOO_LARGE`, `NOT_SERVED`, `SIGNED_SENDER`, and `E_CONTENT_CORRUPT` where the content had to be read
 */
export function outgoing(claim: Claim, upstream: Upstream, options: OutgoingOptions): Outgoing | Promise<Outgoing> {
  const { message } = claim;
  const { maxMessageSizeBytes } = upstream.limits;
  if (message.sizeBytes > maxMessageSizeBytes + ADDED_OCTETS) {
    return refused("mail", "TOO_LARGE", `${message.sizeBytes} octets, this door takes ${maxMessageSizeBytes}`);
  }
  const notServed = recipientsNotServed(claim, upstream, options.domains);
  if (notServed.length > 0 && notServed.length === claim.recipients.length) {
    return { kind: "refused", refusal: notServed[0]?.refusal ?? NOT_SERVED };
  }
  const plan = planSender(message, upstream, options.domains, options.force === "rewrite");
  if (plan.needsHeader || message.longLines !== false) return editedOrCorrupt(claim, upstream, plan, notServed, options);
  const delivery = deliveryOf(claim, plan.reversePath, notServed, claim.content, message.sizeBytes);
  return { kind: "delivery", delivery, notServed, senderIsOwn: isOwnSender(message, upstream, plan.reversePath, false), note: undefined };
}

const NOT_SERVED: Refusal = {
  stage: "rcpt",
  fault: { code: "NOT_SERVED", detail: "this door takes recipients in the organization's domains only" },
};

function recipientsNotServed(claim: Claim, { traits }: Upstream, domains: readonly string[]): RecipientFact[] {
  const internalOnly = traits.serves === "internal" || (claim.message.reversePath === "" && traits.nullSender === "internal");
  if (!internalOnly) return [];
  return claim.recipients
    .filter(({ address }) => !isInternalDomain(splitAddress(address).domain, domains))
    .map(({ address }) => ({ address, refusal: NOT_SERVED }));
}

function deliveryOf(
  claim: Claim,
  reversePath: string,
  notServed: readonly RecipientFact[],
  content: MessageContent,
  sizeBytes: number,
  eightBit = claim.message.eightBit,
): Delivery {
  const { queueId, smtpUtf8 } = claim.message;
  const left = notServed.length === 0 ? undefined : new Set(notServed.map(({ address }) => address));
  const recipients = claim.recipients.filter(({ address }) => left?.has(address) !== true);
  const addresses = recipients.map(({ address }) => address);
  return {
    queueId,
    reversePath,
    recipients: addresses,
    // Of a message with such addresses this door may get others, or another sender.
    smtpUtf8: smtpUtf8 && (isNonAscii(reversePath) || addresses.some(isNonAscii)),
    eightBit,
    sizeBytes,
    content,
    ambiguous: recipients.every((recipient) => recipient.ambiguous),
  };
}

function isOwnSender(message: AcceptedMessage, upstream: Upstream, reversePath: string, fromRewritten: boolean): boolean {
  const address = rewriteAddress(upstream);
  if (address === undefined || !sameAddress(reversePath, address)) return false;
  return fromRewritten || (message.headerFrom !== undefined && sameAddress(message.headerFrom, address));
}

async function editedOrCorrupt(
  claim: Claim,
  upstream: Upstream,
  plan: SenderPlan,
  notServed: readonly RecipientFact[],
  options: OutgoingOptions,
): Promise<Outgoing> {
  try {
    return await edited(claim, upstream, plan, notServed, options);
  } catch (error) {
    if (!(error instanceof PosternError)) throw error;
    return refused("content", error.code, error.message);
  }
}

async function edited(
  claim: Claim,
  upstream: Upstream,
  plan: SenderPlan,
  notServed: readonly RecipientFact[],
  options: OutgoingOptions,
): Promise<Outgoing> {
  const { message } = claim;
  let content: MessageContent = claim.content;
  let { sizeBytes, eightBit } = message;
  let { reversePath } = plan;
  let fromRewritten = false;
  const notes: string[] = [];
  if (plan.needsHeader) {
    const header = await readHeader(content);
    if (header === undefined) throw new Error("the stored message has no header that could be read");
    const verdict = editSender(header, plan, message, options);
    if (verdict.kind === "signed") {
      return refused(
        "mail",
        "SIGNED_SENDER",
        `the message is signed, and this door would have to rewrite its sender to ${rewriteAddress(upstream) ?? ""}`,
      );
    }
    ({ fromRewritten } = verdict);
    // What the envelope did not tell shows in the header: then the reverse-path goes with it.
    if (fromRewritten && message.reversePath !== "" && plan.from !== undefined) reversePath = plan.from.address;
    notes.push(...senderNotes(message, plan, reversePath, fromRewritten));
    if (header.isChanged) {
      const parts = header.parts();
      content = withHeader(content, header.octets.length, parts);
      sizeBytes += parts.reduce((sum, part) => sum + part.length, 0) - header.octets.length;
      eightBit ||= !parts.every((part) => isAscii(part));
    }
  }
  if (message.longLines ?? (await hasLongLines(content))) {
    notes.push(`lines over ${LONGEST_LINE} octets broken`);
    content = withShortLines(content, message.signed ?? false);
    sizeBytes = content.inMemory?.length ?? (await sizeOf(content));
  }
  const delivery = deliveryOf(claim, reversePath, notServed, content, sizeBytes, eightBit);
  const senderIsOwn = options.force === "rewrite" || isOwnSender(message, upstream, reversePath, fromRewritten);
  return { kind: "delivery", delivery, notServed, senderIsOwn, note: notes.length === 0 ? undefined : notes.join("; ") };
}

function senderNotes(message: AcceptedMessage, plan: SenderPlan, reversePath: string, fromRewritten: boolean): string[] {
  const notes: string[] = [];
  if (fromRewritten && plan.from !== undefined) notes.push(`From: ${message.headerFrom ?? "(none)"} rewritten to ${plan.from.address}`);
  if (message.reversePath !== "" && !sameAddress(reversePath, message.reversePath))
    notes.push(`reverse-path ${message.reversePath} replaced by ${reversePath}`);
  if (plan.automatic) notes.push(`null reverse-path replaced by ${reversePath === "" ? "the sender's mailbox" : reversePath}`);
  if (plan.sender !== undefined && plan.sender !== "drop") notes.push(`sent on behalf of From: by ${plan.sender.address}`);
  return notes;
}

async function hasLongLines(content: MessageContent): Promise<boolean> {
  const lengths = new LineLengths();
  if (content.inMemory !== undefined) lengths.look(content.inMemory);
  else for await (const block of content.blocks()) lengths.look(block);
  return lengths.end();
}

async function sizeOf(content: MessageContent): Promise<number> {
  let octets = 0;
  for await (const block of content.blocks()) octets += block.length;
  return octets;
}

function refused(stage: Refusal["stage"], code: string, detail: string): Outgoing {
  return { kind: "refused", refusal: { stage, fault: { code, detail } } };
}
