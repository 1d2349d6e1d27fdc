/** One message with all that became of it, as lines for people. */
import { formatReply } from "../mail/reply.ts";
import type { MessageView, QueueEntry } from "../queue/queue.ts";
import { formatDuration, formatSize, formatTime, harmless, paint, renderPairs } from "./table.ts";

/** The state of a recipient, in its colour, with who holds it. */
export function paintState(entry: QueueEntry): string {
  const text = entry.heldBy === undefined ? entry.state : `${entry.state} (${entry.heldBy})`;
  if (entry.state === "delivered") return paint("green", text);
  if (entry.state === "queued" || entry.state === "delivering") return text;
  return paint(entry.state === "bounced" || entry.state === "expired" ? "red" : "yellow", text);
}

/** Whether the message itself can still be had, where that is not plain from its waiting. */
function contentNote({ message, entries, hasContent }: MessageView): string {
  if (!hasContent) return ", content deleted";
  const waits = entries.some(({ state }) => state !== "delivered" && state !== "bounced" && state !== "expired" && state !== "deleted");
  return waits ? "" : `, still to be had: postern queue export ${message.queueId}`;
}

/** Of what is due and has not gone: other mail is before it, or a limit is kept. */
const ITS_TURN = "waits for its turn (postern upstreams shows how long)";

/** Whoever looks a delivered mail up misses it in the mailbox: what became of it there is in the log of the next hop, under the same Message-ID. */
function whereNext(messageId: string): string {
  // A device chose it, and it is to be pasted into a shell.
  const quoted = `'${harmless(messageId, 1000).replaceAll(/['\u2018-\u201b]/g, "$&$&")}'`;
  return `delivered: the next hop took it. Where it is not in the mailbox, ask there; Microsoft 365: Get-MessageTraceV2 -MessageId ${quoted}, then look in Junk Email and quarantine`;
}

/** Recipients, attempts and history of a message. */
export function renderMessage(view: MessageView, timeZone: string, now = Date.now()): string[] {
  const { message } = view;
  const { origin } = message;
  const time = (ms: number): string => formatTime(ms, timeZone);
  const lines = renderPairs([
    ["queue id", message.queueId],
    [
      "accepted",
      `${time(message.acceptedAt)} from ${origin.device === "" ? "Postern itself" : `${origin.device} (client ${origin.client}, listener ${origin.listener})`}`,
    ],
    ["from", harmless(message.reversePath === "" ? "<>" : message.reversePath)],
    ...(message.originalSender === undefined ? [] : [["given as", harmless(message.originalSender)] as const]),
    ["message-id", harmless(message.messageId)],
    ...(message.subject === undefined ? [] : [["subject", harmless(message.subject)] as const]),
    ["size", `${formatSize(message.sizeBytes)}${contentNote(view)}`],
    ...(message.repairs.length === 0 ? [] : [["repaired", message.repairs.join(", ")] as const]),
  ]);
  lines.push("", paint("bold", "Recipients"));
  for (const entry of view.entries) {
    const due = entry.dueAt === undefined ? "" : entry.dueAt > now ? `, next attempt ${time(entry.dueAt)}` : `, ${ITS_TURN}`;
    lines.push(`  ${harmless(entry.recipient)}: ${paintState(entry)} on ${entry.lane}${due}`);
    const reason = entry.reply === undefined ? entry.cause : formatReply(entry.reply);
    if (reason !== undefined) lines.push(`    ${harmless(reason, 1000)}`);
  }
  if (view.entries.some(({ state }) => state === "delivered")) lines.push(`  ${whereNext(message.messageId)}`);
  if (view.attempts.length > 0) lines.push("", paint("bold", "Attempts"));
  for (const attempt of view.attempts) {
    const { delays } = attempt;
    const took = `${formatDuration(delays.inQueueMs)} in queue, ${Math.round(delays.connectMs)} ms to connect, ${Math.round(delays.transmitMs)} ms to transmit`;
    const via =
      attempt.remote === undefined
        ? attempt.upstream
        : `${attempt.upstream} (${attempt.remote}${attempt.tls === undefined ? "" : `, ${attempt.tls}`})`;
    lines.push(`  ${attempt.number}. ${time(attempt.startedAt)} by ${via}: ${attempt.outcome} at ${attempt.stage}; ${took}`);
    if (attempt.reply !== undefined) lines.push(`    ${harmless(formatReply(attempt.reply), 1000)}`);
    if (attempt.fault !== undefined) lines.push(`    ${harmless(attempt.fault, 1000)}`);
    if (attempt.upstreamId !== undefined) lines.push(`    id there: ${harmless(attempt.upstreamId)}`);
    if (attempt.note !== undefined) lines.push(`    note: ${harmless(attempt.note, 1000)}`);
    if (attempt.remedy !== undefined) lines.push(`    remedy: ${harmless(attempt.remedy, 1000)}`);
  }
  if (view.history.length > 0) lines.push("", paint("bold", "History"));
  for (const { at, what, by } of view.history)
    lines.push(`  ${time(at)} ${harmless(what)}${by === undefined ? "" : ` by ${harmless(by)}`}`);
  return lines;
}
