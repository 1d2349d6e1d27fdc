/** A message made ready for Graph: whose mailbox sends it, to whom, and whether it goes whole or as a draft. */
import { matchesPatterns } from "../../mail/address.ts";
import type { AddressPattern } from "../../mail/address.ts";
import { describeError, PosternError } from "../../mail/errors.ts";
import { addressEntries, parseAddressList } from "../../mime/addresses.ts";
import { HeaderBlock, headerIn, readHeader } from "../../mime/header-block.ts";
import { faultAt } from "../smtp/fault.ts";
import type { Delivery, Refusal } from "../upstream.ts";
import { planDraft } from "./draft-message.ts";
import type { DraftPlan } from "./draft-message.ts";
import { readWhole } from "./mime-body.ts";
import { nameRecipients } from "./recipients.ts";

/** Whose mailbox sends: one, or that of the message's own From: for those that may. */
export type GraphMailbox =
  | { readonly kind: "one"; readonly address: string }
  | {
      readonly kind: "from";
      readonly allow: readonly AddressPattern[];
      /** `organization.domains`. */
      readonly domains: readonly string[];
    };

/** What the door allows. */
export interface PrepareRules {
  readonly mailbox: GraphMailbox;
  /** What becomes of a message over the limit of MIME: it takes another door, or goes as a draft with attachments. */
  readonly largeMessages: "next" | "draft";
}

/**
 * Above this MIME was answered with 200 and lost; the limit in the configuration is for what devices send, and a few lines are added to that on
 * the way.
 */
const MOST_MIME_OCTETS = 2_100 * 1024;

/** A message that is ready to go: whole, or planned as a draft. */
export interface Prepared {
  readonly user: string;
  readonly form: { readonly mime: Buffer } | { readonly plan: DraftPlan };
  readonly messageId: string | undefined;
  readonly note: string | undefined;
}

/**
 * Makes a message ready, or says why it does not fit the door. Sends nothing.
 *
 * @returns refusals with the faults `TOO_LARGE`, `HEADER_RECIPIENTS`, `SENDER_NOT_ALLOWED`, `INVALID_ADDRESS`, and those of unreadable content
 */
export async function prepare(delivery: Delivery, rules: PrepareRules): Promise<Prepared | Refusal> {
  try {
    if (delivery.sizeBytes <= MOST_MIME_OCTETS) {
      const whole = await readWhole(delivery.content, delivery.sizeBytes, MOST_MIME_OCTETS);
      const header = whole === undefined ? undefined : headerIn(whole);
      if (whole === undefined || header === undefined) return tooLarge(delivery.sizeBytes);
      const common = address(header, delivery, rules);
      if ("stage" in common) return common;
      const mime = header.isChanged ? Buffer.concat([...header.parts(), whole.subarray(header.octets.length)]) : whole;
      if (mime.length <= MOST_MIME_OCTETS) return { ...common, form: { mime } };
    }
    return rules.largeMessages === "draft" ? await prepareDraft(delivery, rules) : tooLarge(delivery.sizeBytes);
  } catch (error) {
    return faultAt("content", error instanceof PosternError ? error.code : "CONTENT", describeError(error));
  }
}

async function prepareDraft(delivery: Delivery, rules: PrepareRules): Promise<Prepared | Refusal> {
  const header = await readHeader(delivery.content);
  if (header === undefined) return tooLarge(delivery.sizeBytes);
  const common = address(header, delivery, rules);
  if ("stage" in common) return common;
  const named = header.isChanged ? new HeaderBlock(Buffer.concat(header.parts())) : header;
  const plan = await planDraft(named, delivery.content);
  return typeof plan === "string" ? tooLarge(delivery.sizeBytes, `and cannot go as a draft: ${plan}`) : { ...common, form: { plan } };
}

/** Whose mailbox sends, and to whom; changes the header. */
function address(header: HeaderBlock, delivery: Delivery, rules: PrepareRules): Omit<Prepared, "form"> | Refusal {
  const mailbox = mailboxOf(header, delivery, rules.mailbox);
  if (typeof mailbox !== "string") return mailbox;
  const named = nameRecipients(header, delivery.recipients, delivery.lastDoor === true);
  if ("stage" in named) return named;
  const idField = header.named("message-id")[0];
  const messageId = idField === undefined ? undefined : /<[^<>\s]+>/.exec(header.valueOf(idField))?.[0];
  return { user: `/v1.0/users/${encodeURIComponent(mailbox)}`, messageId, note: named.note };
}

/** The mailbox to send from. With `mailbox: from` the one that From: names, which Exchange would demand anyway. */
function mailboxOf(header: HeaderBlock, delivery: Delivery, mailbox: GraphMailbox): string | Refusal {
  if (mailbox.kind === "one") return mailbox.address;
  const from = addressEntries(
    header.named("from").flatMap((field) => parseAddressList(header.octets.toString("latin1", field.valueStart, field.end))),
  );
  const only = from.length === 1 && from[0]?.kind === "mailbox" ? from[0].addresses[0] : undefined;
  const sender = only ?? (from.length === 0 && delivery.reversePath !== "" ? delivery.reversePath : undefined);
  if (sender === undefined) return faultAt("mail", "SENDER_NOT_ALLOWED", "From: does not name one sender whose mailbox could be used");
  if (matchesPatterns(sender, mailbox.allow, mailbox.domains)) return sender;
  return faultAt("mail", "SENDER_NOT_ALLOWED", `${sender.slice(0, 200)} is not among the senders whose mailbox may be used (allow)`);
}

/** `TOO_LARGE`, which sends the message to the next door. */
export function tooLarge(octets: number, why = ""): Refusal {
  return faultAt("mail", "TOO_LARGE", `${octets} octets, sendMail takes ${MOST_MIME_OCTETS} ${why}`.trimEnd());
}
