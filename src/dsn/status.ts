/** The part of a report for machines (RFC 3464): fields about the message, then a group for each recipient. */
import { isNonAscii } from "../mail/address.ts";
import { formatReply, type Reply } from "../mail/reply.ts";
import { oneLine } from "../mime/words.ts";
import { mailDate, wrapped } from "./mime.ts";

/** One recipient that a report is about. */
export interface FailedRecipient {
  readonly address: string;
  /** Refused for good, not delivered in the time allowed, late, or given up by an operator. */
  readonly kind: "failed" | "expired" | "delayed" | "given-up";
  /** Stable name of the cause: reports of the same are told together, and texts in other languages found by it. */
  readonly id: string;
  /** Status of RFC 3463 where the next hop's reply has none. */
  readonly status?: string | undefined;
  /** What the next hop said last, verbatim. */
  readonly reply?: Reply | undefined;
  /** In plain words. */
  readonly cause: string;
  readonly remedy?: string | undefined;
}

/** What the fields say besides the recipients. */
export interface StatusFacts {
  readonly hostname: string;
  readonly timeZone: string | undefined;
  /** Absent where several messages are told of. */
  readonly message?: { readonly queueId: string; readonly acceptedAt: number } | undefined;
}

/** One recipient's group. */
export interface StatusGroup {
  readonly recipient: FailedRecipient;
  /** `host:port` of the next hop, where one was reached. */
  readonly remote: string | undefined;
  /** Absent where nothing was tried. */
  readonly lastAttemptAt: number | undefined;
  /** Of delayed recipients: when we give up. */
  readonly retryUntil?: number | undefined;
  /** Where several messages are told of: this one's. */
  readonly queueId?: string | undefined;
}

/** Longest diagnostic text; Microsoft's have a few hundred characters. */
export const DIAGNOSTIC_CHARACTERS = 800;

function statusOf(failure: FailedRecipient): string {
  if (failure.kind === "expired") return "4.4.7";
  const status = failure.reply?.enhanced ?? failure.status;
  if (failure.kind === "delayed") return status?.startsWith("4.") === true ? status : "4.0.0";
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

function group({ recipient, remote, lastAttemptAt, retryUntil, queueId }: StatusGroup, timeZone: string | undefined): string {
  const host = remote === undefined ? undefined : /^\[?([A-Za-z0-9.:_-]+?)\]?(?::\d+)?(?:[ [(]|$)/.exec(oneLine(remote))?.[1];
  const action = recipient.kind === "delayed" ? "delayed" : "failed";
  const fields = [`Final-Recipient: ${typedAddress(recipient.address)}`, `Action: ${action}`, `Status: ${statusOf(recipient)}`];
  if (host !== undefined) fields.push(`Remote-MTA: dns; ${host}`);
  if (recipient.reply !== undefined) {
    // Types beyond those of RFC 3464 §2.3.6 begin with X-.
    const type = recipient.reply.protocol === "http" ? "X-HTTP" : "smtp";
    fields.push(fold(`Diagnostic-Code: ${type}; ${asciiOnly(formatReply(recipient.reply)).slice(0, DIAGNOSTIC_CHARACTERS)}`));
  } else fields.push(fold(`Diagnostic-Code: X-Postern; ${asciiOnly(recipient.cause).slice(0, DIAGNOSTIC_CHARACTERS)}`));
  if (lastAttemptAt !== undefined) fields.push(`Last-Attempt-Date: ${mailDate(lastAttemptAt, timeZone)}`);
  if (retryUntil !== undefined) fields.push(`Will-Retry-Until: ${mailDate(retryUntil, timeZone)}`);
  if (queueId !== undefined) fields.push(`X-Postern-Id: ${queueId}`);
  return fields.join("\r\n");
}

/** The whole part, ending in CRLF. ASCII. */
export function statusPart({ hostname, timeZone, message }: StatusFacts, groups: readonly StatusGroup[]): string {
  const about = [`Reporting-MTA: dns; ${hostname}`];
  if (message !== undefined) about.push(`X-Postern-Id: ${message.queueId}`, `Arrival-Date: ${mailDate(message.acceptedAt, timeZone)}`);
  return `${[about.join("\r\n"), ...groups.map((each) => group(each, timeZone))].join("\r\n\r\n")}\r\n`;
}
