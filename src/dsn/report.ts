/**
 * Delivery status reports (RFC 3461, 3462, 3464, 6533): facts in, message out. Plain words come first, for the person at the copier;
 * the part for machines second; the header of the mail in question last.
 */
import { isNonAscii } from "../mail/address.ts";
import type { AcceptedMessage } from "../mail/message.ts";
import { formatReply, type Reply } from "../mail/reply.ts";
import { isAscii, oneLine } from "../mime/words.ts";
import { displayName, encodedText, isSevenBit, mailDate, quotedPrintable, wrapped } from "./mime.ts";

/** One recipient that the report is about. */
export interface FailedRecipient {
  readonly address: string;
  /** Refused for good, or not delivered in the time allowed. */
  readonly kind: "failed" | "expired";
  /** Status of RFC 3463 where the next hop's reply has none. */
  readonly status?: string | undefined;
  /** What the next hop said last, verbatim. */
  readonly reply?: Reply | undefined;
  /** In plain words. */
  readonly cause: string;
  readonly remedy?: string | undefined;
}

/** Everything a report is made of. */
export interface ReportFacts {
  /** Queue id of the report itself. */
  readonly queueId: string;
  readonly now: number;
  /** IANA name for dates; undefined: the system's. */
  readonly timeZone: string | undefined;
  readonly hostname: string;
  readonly from: string;
  readonly to: string;
  readonly about: AcceptedMessage;
  readonly failures: readonly FailedRecipient[];
  /** `host:port` of the next hop, where one was reached. */
  readonly remote: string | undefined;
  readonly lastAttemptAt: number;
  /** The header of the mail, or all of it where it is a report that could not be delivered; absent where it could not be read. */
  readonly original: { readonly kind: "header" | "message"; readonly octets: Uint8Array } | undefined;
}

/** A finished report. */
export interface Report {
  /** CRLF line ends only; ASCII unless an address is not. */
  readonly content: Buffer;
  readonly messageId: string;
  readonly eightBit: boolean;
}

/** Longest diagnostic text; Microsoft's have a few hundred characters. */
const DIAGNOSTIC_CHARACTERS = 800;

function statusOf(failure: FailedRecipient): string {
  if (failure.kind === "expired") return "4.4.7";
  const status = failure.reply?.enhanced ?? failure.status;
  return status?.startsWith("5.") === true ? status : "5.0.0";
}

/** `rfc822; a@d`, or in the ASCII form of RFC 6533 §3 for addresses beyond ASCII. */
function typedAddress(address: string): string {
  const line = oneLine(address);
  if (!isNonAscii(line)) return `rfc822; ${line}`;
  const escaped = line.replace(/[^!-*,-<>-[\]-~]/gu, (character) => `\\x{${character.codePointAt(0)?.toString(16).toUpperCase()}}`);
  return `utf-8; ${escaped}`;
}

function asciiOnly(text: string): string {
  return text.replace(/[^ -~]/gu, "?");
}

function fold(field: string): string {
  return wrapped(field).replaceAll("\r\n", "\r\n ");
}

function humanPart(facts: ReportFacts): string {
  const { about } = facts;
  const date = (ms: number): string => mailDate(ms, facts.timeZone);
  const report = about.kind === "report";
  const origin = about.origin.device === "" ? "" : ` from the device ${about.origin.device}`;
  const sender = about.reversePath === "" ? "" : ` with the sender ${about.reversePath}`;
  const opening = report
    ? `A delivery report of the mail relay ${facts.hostname} could not be delivered to the person it was meant for. It is attached, so that you know of it.`
    : `This is the mail relay ${facts.hostname}. It took a message${origin}${sender} at ${date(about.acceptedAt)}, and could not deliver it to the following ${facts.failures.length === 1 ? "recipient" : "recipients"}.`;
  const blocks = facts.failures.map((failure) => {
    const lines = [`  ${oneLine(failure.address)}`];
    const what =
      failure.kind === "expired"
        ? "Not delivered in the time allowed; no further attempt is made. The last time: "
        : "Refused; no further attempt is made: ";
    lines.push(wrapped(`${what}${failure.cause}`, "    "));
    if (failure.reply !== undefined)
      lines.push("    The next mail server said:", wrapped(formatReply(failure.reply).slice(0, DIAGNOSTIC_CHARACTERS), "      "));
    if (failure.remedy !== undefined) lines.push(wrapped(`What to do: ${failure.remedy}`, "    "));
    return lines.join("\r\n");
  });
  const closing = `Last attempt: ${date(facts.lastAttemptAt)}${facts.remote === undefined ? "" : `, to ${oneLine(facts.remote)}`}.\r\nThe administrator finds the message with: postern queue show ${about.queueId}`;
  return `${[wrapped(opening), ...blocks, closing].join("\r\n\r\n")}\r\n`;
}

function statusPart(facts: ReportFacts): string {
  const remote = facts.remote === undefined ? undefined : /^\[?([A-Za-z0-9.:_-]+?)\]?(?::\d+)?(?:[ [(]|$)/.exec(oneLine(facts.remote))?.[1];
  const message = [
    `Reporting-MTA: dns; ${facts.hostname}`,
    `X-Postern-Id: ${facts.about.queueId}`,
    `Arrival-Date: ${mailDate(facts.about.acceptedAt, facts.timeZone)}`,
  ];
  const recipients = facts.failures.map((failure) => {
    const fields = [`Final-Recipient: ${typedAddress(failure.address)}`, "Action: failed", `Status: ${statusOf(failure)}`];
    if (remote !== undefined) fields.push(`Remote-MTA: dns; ${remote}`);
    if (failure.reply !== undefined)
      fields.push(fold(`Diagnostic-Code: smtp; ${asciiOnly(formatReply(failure.reply)).slice(0, DIAGNOSTIC_CHARACTERS)}`));
    else fields.push(fold(`Diagnostic-Code: X-Postern; ${asciiOnly(failure.cause).slice(0, DIAGNOSTIC_CHARACTERS)}`));
    fields.push(`Last-Attempt-Date: ${mailDate(facts.lastAttemptAt, facts.timeZone)}`);
    return fields.join("\r\n");
  });
  return `${[message.join("\r\n"), ...recipients].join("\r\n\r\n")}\r\n`;
}

function encodedPart(type: string, octets: Uint8Array, charset: boolean): string {
  const sevenBit = isSevenBit(octets);
  const body = sevenBit ? Buffer.from(octets).toString("latin1") : quotedPrintable(octets);
  const head = [
    `Content-Type: ${type}${charset ? `; charset=${sevenBit ? "us-ascii" : "utf-8"}` : ""}`,
    `Content-Transfer-Encoding: ${sevenBit ? "7bit" : "quoted-printable"}`,
  ];
  return `${head.join("\r\n")}\r\n\r\n${body}`;
}

function originalPart(original: NonNullable<ReportFacts["original"]>): string {
  // message/rfc822 must not be encoded (RFC 2046 §5.2.1). Our own reports are ASCII but for odd addresses; such a one goes as text.
  if (original.kind === "message" && isSevenBit(original.octets)) {
    return `Content-Type: message/rfc822\r\n\r\n${Buffer.from(original.octets).toString("latin1")}`;
  }
  return encodedPart(original.kind === "message" ? "text/plain" : "text/rfc822-headers", original.octets, original.kind === "message");
}

/** Writes a report. Its reverse-path must be null, so that nothing ever answers it. */
export function buildReport(facts: ReportFacts): Report {
  const messageId = `<${facts.queueId}@${facts.hostname}>`;
  const parts = [
    encodedPart("text/plain", Buffer.from(humanPart(facts)), true),
    `Content-Type: message/delivery-status\r\nContent-Transfer-Encoding: 7bit\r\n\r\n${statusPart(facts)}`,
  ];
  if (facts.original !== undefined) parts.push(originalPart(facts.original));
  let boundary = `postern-${facts.queueId}`;
  while (parts.some((part) => part.includes(`--${boundary}`))) boundary += "x";

  const first = facts.failures[0]?.address ?? "";
  const more = facts.failures.length > 1 ? ` and ${facts.failures.length - 1} more` : "";
  const about = oneLine(facts.about.messageId);
  const header = [
    `From: ${displayName(`Mail relay ${facts.hostname}`)} <${oneLine(facts.from)}>`,
    `To: <${oneLine(facts.to)}>`,
    `Subject: ${encodedText(`Not delivered: your message to ${first}${more}`.slice(0, 400))}`,
    `Date: ${mailDate(facts.now, facts.timeZone)}`,
    `Message-ID: ${messageId}`,
    // Only what is surely a message id: this one came from outside.
    ...(/^<[!-;=?-~]{1,400}>$/.test(about) ? [`In-Reply-To: ${about}`, `References: ${about}`] : []),
    "Auto-Submitted: auto-replied",
    `X-Postern-Id: ${facts.queueId}`,
    `X-Postern-Loop: ${facts.hostname}`,
    "MIME-Version: 1.0",
    `Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="${boundary}"`,
  ];
  const body = parts.map((part) => `--${boundary}\r\n${part}\r\n`).join("");
  const text = `${header.join("\r\n")}\r\n\r\nThis is a delivery report in MIME format.\r\n\r\n${body}--${boundary}--\r\n`;
  return { content: Buffer.from(text), messageId, eightBit: !isAscii(text) };
}
