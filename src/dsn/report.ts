/**
 * Delivery status reports (RFC 3461, 3462, 3464, 6533): facts in, message out. Plain words come first, for the person at the copier;
 * the part for machines second; the header of the mail in question last.
 */
import type { AcceptedMessage } from "../mail/message.ts";
import { formatReply } from "../mail/reply.ts";
import { oneLine } from "../mime/words.ts";
import { encodedPart, framedReport, type Report, type ReportHeader } from "./envelope.ts";
import { isSevenBit, wrapped } from "./mime.ts";
import { DIAGNOSTIC_CHARACTERS, statusPart, type FailedRecipient } from "./status.ts";
import { WORDS, type Words } from "./words.ts";

/** Everything a report is made of. */
export interface ReportFacts extends ReportHeader {
  readonly about: AcceptedMessage;
  /** All `delayed`, or none: a warning and a failure are two reports. */
  readonly failures: readonly FailedRecipient[];
  /** `host:port` of the next hop, where one was reached. */
  readonly remote: string | undefined;
  /** Absent where nothing was tried. */
  readonly lastAttemptAt: number | undefined;
  /** Of a warning: when we give up. */
  readonly retryUntil?: number | undefined;
  /** The header of the mail, or all of it where it is a report that could not be delivered; absent where it could not be read. */
  readonly original: { readonly kind: "header" | "message"; readonly octets: Uint8Array } | undefined;
}

function happened(words: Words, kind: FailedRecipient["kind"], until: string | undefined): string {
  switch (kind) {
    case "failed":
      return words.failed;
    case "expired":
      return words.expired;
    case "delayed":
      return words.delayed(until);
    case "given-up":
      return words.givenUp;
    default:
      throw new Error(`no kind ${String(kind satisfies never)}`);
  }
}

/** One recipient in words: the address, what happened, what was said, what to do. */
function block(words: Words, failure: FailedRecipient, until: string | undefined): string {
  const lines = [`  ${oneLine(failure.address)}`, wrapped(`${happened(words, failure.kind, until)}${failure.cause}`, "    ")];
  if (failure.reply !== undefined)
    lines.push(`    ${words.serverSaid}`, wrapped(formatReply(failure.reply).slice(0, DIAGNOSTIC_CHARACTERS), "      "));
  if (failure.remedy !== undefined) lines.push(wrapped(words.whatToDo(failure.remedy), "    "));
  return lines.join("\r\n");
}

function humanPart(facts: ReportFacts): string {
  const { about, failures, hostname, retryUntil } = facts;
  const words = WORDS[facts.language];
  const date = (ms: number): string => words.date(ms, facts.timeZone);
  const source = {
    hostname,
    device: about.origin.device,
    sender: about.reversePath,
    date: date(about.acceptedAt),
    recipients: failures.length,
  };
  const opening =
    about.kind === "report" ? words.reportOpening(hostname) : isWarning(facts) ? words.delayedOpening(source) : words.failedOpening(source);
  const until = retryUntil === undefined ? undefined : date(retryUntil);
  const blocks = failures.map((failure) => block(words, failure, until));
  const remote = facts.remote === undefined ? undefined : oneLine(facts.remote);
  const tried = facts.lastAttemptAt === undefined ? words.neverTried : words.lastAttempt(date(facts.lastAttemptAt), remote);
  const closing = `${tried}\r\n${words.command(`postern queue show ${about.queueId}`)}`;
  return `${[wrapped(opening), ...blocks, closing].join("\r\n\r\n")}\r\n`;
}

function originalPart(original: NonNullable<ReportFacts["original"]>): string {
  // message/rfc822 must not be encoded (RFC 2046 §5.2.1). Our own reports are ASCII but for odd addresses; such a one goes as text.
  if (original.kind === "message" && isSevenBit(original.octets)) {
    return `Content-Type: message/rfc822\r\n\r\n${Buffer.from(original.octets).toString("latin1")}`;
  }
  return encodedPart(original.kind === "message" ? "text/plain" : "text/rfc822-headers", original.octets, original.kind === "message");
}

function isWarning({ failures }: ReportFacts): boolean {
  return failures[0]?.kind === "delayed";
}

/** Writes a report or a warning. Its reverse-path must be null, so that nothing ever answers it. */
export function buildReport(facts: ReportFacts): Report {
  const { about, failures, remote, lastAttemptAt, retryUntil, original } = facts;
  const words = WORDS[facts.language];
  const groups = failures.map((recipient) => ({ recipient, remote, lastAttemptAt, retryUntil }));
  const parts = [
    encodedPart("text/plain", Buffer.from(humanPart(facts)), true),
    `Content-Type: message/delivery-status\r\nContent-Transfer-Encoding: 7bit\r\n\r\n${statusPart({ ...facts, message: about }, groups)}`,
  ];
  if (original !== undefined) parts.push(originalPart(original));
  const subject = isWarning(facts) ? words.delayedSubject : words.failedSubject;
  return framedReport(facts, subject(failures[0]?.address ?? "", failures.length - 1), about.messageId, parts);
}
