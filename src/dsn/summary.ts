/** One report about many messages of one sender that failed for the same reason within an hour. */
import { formatReply } from "../mail/reply.ts";
import { oneLine } from "../mime/words.ts";
import { encodedPart, framedReport, type Report, type ReportHeader } from "./envelope.ts";
import { wrapped } from "./mime.ts";
import { DIAGNOSTIC_CHARACTERS, statusPart, type FailedRecipient } from "./status.ts";
import { WORDS } from "./words.ts";

/** One message of the list. Plain data: it is kept as JSON until it is told. */
export interface SummaryEntry {
  readonly queueId: string;
  readonly sender: string;
  readonly device: string;
  readonly acceptedAt: number;
  readonly lastAttemptAt?: number | undefined;
  readonly remote?: string | undefined;
  readonly recipients: readonly FailedRecipient[];
}

/** Everything a summary is made of. */
export interface SummaryFacts extends ReportHeader {
  /** The first messages, at least one. */
  readonly entries: readonly SummaryEntry[];
  /** How many there are in all. */
  readonly messages: number;
}

/** For a sender that is fit to stand in a command that somebody pastes into a shell: a device may have said anything. */
function fromOption(sender: string): string {
  return /^[\w.+-]+@[\w.-]+$/.test(sender) ? ` --from ${sender}` : "";
}

/** Writes the summary. What is too much for the list is counted, and found with the command it names. */
export function buildSummary(facts: SummaryFacts): Report {
  const { hostname, entries, messages, timeZone } = facts;
  const words = WORDS[facts.language];
  const first = entries[0];
  const example = first?.recipients[0];
  const warning = example?.kind === "delayed";
  const sender = oneLine(first?.sender ?? "");
  const opening = warning ? words.delayedSummaryOpening : words.summaryOpening;
  const lines = [wrapped(opening(hostname, messages, sender)), ""];
  if (example !== undefined) {
    lines.push(wrapped(example.cause, "  "));
    if (example.reply !== undefined)
      lines.push(`  ${words.serverSaid}`, wrapped(formatReply(example.reply).slice(0, DIAGNOSTIC_CHARACTERS), "    "));
    if (example.remedy !== undefined) lines.push(wrapped(words.whatToDo(example.remedy), "  "));
  }
  lines.push("");
  for (const { queueId, acceptedAt, device, recipients } of entries) {
    lines.push(`  ${words.date(acceptedAt, timeZone)}  ${queueId}${device === "" ? "" : `  ${oneLine(device)}`}`);
    for (const { address } of recipients) lines.push(`    ${oneLine(address)}`);
  }
  if (messages > entries.length) lines.push(`  ${words.andMore(messages - entries.length)}`);
  const states = warning ? "deferred" : "bounced,expired";
  lines.push("", words.command(`postern queue list --state ${states}${fromOption(sender)}`), "");

  const groups = entries.flatMap(({ queueId, recipients, remote, lastAttemptAt }) =>
    recipients.map((recipient) => ({ recipient, remote, lastAttemptAt, queueId })),
  );
  const parts = [
    encodedPart("text/plain", Buffer.from(lines.join("\r\n")), true),
    `Content-Type: message/delivery-status\r\nContent-Transfer-Encoding: 7bit\r\n\r\n${statusPart(facts, groups)}`,
  ];
  const subject = warning ? words.delayedSummarySubject : words.summarySubject;
  return framedReport(facts, subject(messages, sender), undefined, parts);
}
