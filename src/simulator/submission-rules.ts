/** What Exchange Online checks once the content is there: who may send as whom, limits, the header block. */
import { addressesOf, headerValues, parseHeaders } from "./headers.ts";
import { faultNamed } from "./faults.ts";
import type { MailboxUsage } from "./mailbox-usage.ts";
import type { ContentBuffer } from "./mail-store.ts";
import { maySendAs } from "./tenant.ts";
import type { TenantMailbox } from "./tenant.ts";

/** SIZE in the EHLO list: 150 MB, whatever the mailbox may send. */
export const FIXED_SIZE_MAX = 157_286_400;
const HEADER_VALUE_MAX = 32_768;
const HEADER_BLOCK_MAX = 256 * 1024;

/** Everything known at the final dot. */
export interface Submission {
  readonly session: string;
  readonly mailbox: TenantMailbox;
  readonly usage: MailboxUsage;
  readonly reversePath: string;
  readonly recipients: readonly string[];
  readonly content: ContentBuffer;
  /** Whether the app that signed in has Full Access; passwords are the mailbox itself. */
  readonly hasAccess: boolean;
  readonly overRate: "delay" | "refuse" | "count";
  readonly now: number;
}

/** A refusal: the text of a reply and which bracket follows it. */
export interface Refused {
  readonly text: string;
  readonly suffix: "session" | "hostname";
}

/** The words of a fault of the table, with its places filled in. */
export function wordsOf(name: string, values: Readonly<Record<string, string>> = {}): Refused {
  const action = faultNamed(name)?.action;
  if (action?.kind !== "reply") throw new Error(`the fault ${name} has no reply`);
  return { text: fillIn(action.text, values), suffix: action.suffix };
}

/** Fills `{name}` places in. */
export function fillIn(text: string, values: Readonly<Record<string, string>>): string {
  return text.replace(/\{(\w+)\}/g, (_, name: string) => values[name] ?? "");
}

/** The first reason to refuse the message, undefined when it may go. */
export function judgeSubmission(submission: Submission): Refused | undefined {
  return judgeLimits(submission) ?? judgeHeader(submission) ?? judgeSender(submission);
}

function judgeLimits({ session, mailbox, usage, recipients, content, hasAccess, overRate, now }: Submission): Refused | undefined {
  const { limits } = mailbox;
  if (!hasAccess) return wordsOf("logon-failure");
  if (usage.isOverConnections(session, limits)) return wordsOf("concurrent-connections");
  if (overRate === "refuse" && usage.nextSlot(now, limits) > now) {
    usage.throttled += 1;
    return wordsOf("thread-limit");
  }
  if (usage.recipientsOfDay(now) + recipients.length > limits.recipientsPerDay) return wordsOf("submission-quota");
  if (content.sizeBytes > FIXED_SIZE_MAX) return wordsOf("fixed-size");
  return content.sizeBytes > limits.maxSendSizeBytes ? wordsOf("send-size") : undefined;
}

function judgeHeader({ content }: Submission): Refused | undefined {
  const block = content.headerBlock;
  if (block.length > HEADER_BLOCK_MAX) return wordsOf("header-size");
  const fields = parseHeaders(block);
  const long = fields.find((field) => field.sizeBytes > HEADER_VALUE_MAX);
  if (long !== undefined) {
    const text = `554 5.6.211 Invalid MIME Content: Single text value size (${long.sizeBytes}) exceeded allowed maximum (${HEADER_VALUE_MAX}) for the '${long.name}' header.`;
    return { text, suffix: "session" };
  }
  const from = headerValues(fields, "From");
  if (from.length !== 1 || addressesOf(from[0] ?? "").length === 0) return wordsOf("not-compliant");
  if (addressesOf(from[0] ?? "").length > 1 && headerValues(fields, "Sender").length === 0) {
    return { text: "550 5.1.20 Multiple From addresses are not allowed without Sender address", suffix: "session" };
  }
  return undefined;
}

function judgeSender({ mailbox, reversePath, content }: Submission): Refused | undefined {
  const from = headerValues(parseHeaders(content.headerBlock), "From").flatMap(addressesOf);
  const denied = [reversePath, ...from].find((address) => !maySendAs(mailbox, address));
  if (denied === undefined) return undefined;
  return wordsOf("send-as-denied", { mailbox: mailbox.address, from: denied === "" ? "<>" : denied });
}
