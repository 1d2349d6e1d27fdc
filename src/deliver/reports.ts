/** Who is told when mail could not be delivered, and whether a report is made at all. The report itself is written by `dsn`. */
import { isInternalDomain, isNonAscii, sameAddress, splitAddress } from "../mail/address.ts";
import type { Envelope } from "../mail/message.ts";
import type { Claim, GeneratedMessage } from "../queue/queue.ts";
import type { Upstream } from "../upstream/upstream.ts";
import type { Report, ReportHeader } from "../dsn/envelope.ts";
import { buildReport } from "../dsn/report.ts";
import type { FailedRecipient } from "../dsn/status.ts";
import { buildSummary, type SummaryEntry } from "../dsn/summary.ts";
import type { Language } from "../dsn/words.ts";

/** Where reports go and what they are signed with. */
export interface ReportOptions {
  readonly to: "sender" | "postmaster" | "both";
  readonly postmaster: string;
  /** Addresses that stand for devices without one of their own: nobody reads them. */
  readonly fallbackSenders: readonly string[];
  /** `organization.domains`. */
  readonly domains: readonly string[];
  readonly hostname: string;
  readonly language: Language;
  /** IANA name for dates; undefined: the system's. */
  readonly timeZone: string | undefined;
}

/** What reports need to know of the doors they will leave by. */
export interface ReportDoors {
  /** The lane that a report will leave by where all doors are open. */
  readonly route: (envelope: Envelope, recipient: string) => string;
  /** The only sender that a lane's door lets through, where there is one. */
  readonly mailboxOf: (lane: string) => string | undefined;
  /** Where the sign-in of the upstream of a lane comes from. */
  readonly signInOf?: ((lane: string) => Upstream["signInFrom"]) | undefined;
  /** Mailboxes of all doors. */
  readonly mailboxes: readonly string[];
}

/** Most octets of the mail that a report quotes. */
const QUOTED_OCTETS = 65_536;

/**
 * To whom a failure is reported. Nobody is told about a message with the null reverse-path (RFC 5321 §4.5.5) or that we sent ourselves, the postmaster once about
 * a report that could not be delivered to somebody else.
 *
 * @returns addresses; `alarm` when it was the postmaster's own report that failed
 */
export function reportRecipients(
  options: ReportOptions,
  mailboxes: readonly string[],
  envelope: Envelope,
  failed: readonly string[],
): readonly string[] | "alarm" {
  if (envelope.kind === "report")
    return failed.some((address) => sameAddress(address, options.postmaster)) ? "alarm" : [options.postmaster];
  const sender = envelope.reversePath;
  // Mail of our own that came back may have been answered with something new each time round: it must not be answered by us.
  if (sender === "" || envelope.returned === true) return [];
  const nobody = [...options.fallbackSenders, ...mailboxes].some((address) => sameAddress(address, sender));
  const reachable = !nobody && isInternalDomain(splitAddress(sender).domain, options.domains);
  if (options.to === "postmaster" || !reachable) return [options.postmaster];
  return options.to === "sender" || sameAddress(sender, options.postmaster) ? [sender] : [sender, options.postmaster];
}

/** A message as those see it who tell of it: a claim, or mail that waits. */
export type ToldOf = Pick<Claim, "lane" | "message" | "warned" | "content">;

async function firstOctets(claim: Pick<ToldOf, "content">): Promise<Uint8Array | undefined> {
  if (claim.content.inMemory !== undefined) return claim.content.inMemory.subarray(0, QUOTED_OCTETS);
  try {
    for await (const block of claim.content.blocks()) return block.subarray(0, QUOTED_OCTETS);
  } catch {
    // The report matters more than what it quotes; the content's own fault shows where it is delivered.
  }
  return undefined;
}

function headerOf(octets: Uint8Array): Uint8Array {
  const end = Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength).indexOf("\r\n\r\n");
  if (end >= 0) return octets.subarray(0, end + 2);
  const lastLine = Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength).lastIndexOf("\r\n");
  return octets.subarray(0, lastLine < 0 ? 0 : lastLine + 2);
}

/** What a report is made about. */
export interface Failure {
  readonly claim: ToldOf;
  readonly recipients: readonly FailedRecipient[];
  readonly remote: string | undefined;
  /** Absent where nothing was tried. */
  readonly lastAttemptAt: number | undefined;
  /** Of a warning: when we give up. */
  readonly retryUntil?: number | undefined;
}

/** Makes a report to one address, whose From: fits the door that the address is reached by. */
function addressed(
  options: ReportOptions,
  doors: ReportDoors,
  to: string,
  now: number,
  queueId: string,
  build: (header: ReportHeader) => Report,
): GeneratedMessage {
  const draft: Envelope = {
    reversePath: "",
    recipients: [to],
    origin: { listener: "", client: "", device: "" },
    kind: "report",
    priority: "normal",
    smtpUtf8: isNonAscii(to),
    eightBit: false,
    signed: false,
    longLines: false,
    sizeBytes: 0,
    messageId: "",
    repairs: [],
    sessionStartedAt: now,
  };
  const from = doors.mailboxOf(doors.route(draft, to)) ?? `MAILER-DAEMON@${options.hostname}`;
  const { timeZone, hostname, language } = options;
  const report = build({ queueId, now, timeZone, hostname, language, from, to });
  const { eightBit, messageId, content } = report;
  return { queueId, envelope: { ...draft, eightBit, sizeBytes: content.length, messageId, headerFrom: from }, content };
}

/** Makes the reports about one attempt, one for each address. */
export async function makeReports(
  options: ReportOptions,
  doors: ReportDoors,
  failure: Failure,
  to: readonly string[],
  now: number,
  newQueueId: () => string,
): Promise<GeneratedMessage[]> {
  if (to.length === 0) return [];
  const { claim, recipients, remote, lastAttemptAt, retryUntil } = failure;
  const octets = await firstOctets(claim);
  const original =
    octets === undefined
      ? undefined
      : claim.message.kind === "report" && octets.length === claim.content.sizeBytes
        ? { kind: "message" as const, octets }
        : { kind: "header" as const, octets: headerOf(octets) };
  const about = { about: claim.message, failures: recipients, remote, lastAttemptAt, retryUntil, original };
  return to.map((address) => addressed(options, doors, address, now, newQueueId(), (header) => buildReport({ ...header, ...about })));
}

/** Makes the report about many messages. */
export function makeSummary(
  options: ReportOptions,
  doors: ReportDoors,
  about: { readonly entries: readonly SummaryEntry[]; readonly messages: number },
  to: string,
  now: number,
  queueId: string,
): GeneratedMessage {
  return addressed(options, doors, to, now, queueId, (header) => buildSummary({ ...header, ...about }));
}
