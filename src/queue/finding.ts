/**
 * Finding messages by what people remember of them: an id, a device, an address, a time, a word of the subject. Fast enough to ask of a long
 * history: one pass over the messages of the time asked about, newest first, until enough are found.
 */
import type { DatabaseSync } from "node:sqlite";
import type { AcceptedMessage, RecipientState } from "../mail/message.ts";
import { queueIdAt } from "../mail/queue-id.ts";
import { formatReply } from "../mail/reply.ts";
import type { AttemptRecord, FoundMessage, MessageQuery } from "./queue.ts";
import { HISTORY_SPAN, RECIPIENT_SPAN, stateName } from "./states.ts";

type Value = string | number;

/**
 * A pattern for LIKE that JSON with this text in it fits, in whatever case. LIKE takes a third of the time of `instr(lower(…))`, and knows the case of ASCII
 * letters only: the place of others is left open.
 */
function inJson(text: string): string {
  const written = JSON.stringify(text).slice(1, -1);
  return `%${written.replace(/[%_!]/g, "!$&").replace(/[^\0-\x7f]+/g, "%")}%`;
}

/** Whether an envelope has what was asked for, field by field: the search over its JSON is only the first sieve. */
function fits(message: AcceptedMessage, query: MessageQuery): boolean {
  const contains = (field: string | undefined, text: string): boolean => field?.toLowerCase().includes(text.toLowerCase()) ?? false;
  const { messageId, address, text } = query;
  if (messageId !== undefined && !contains(message.messageId, messageId)) return false;
  const people = [message.reversePath, message.originalSender, message.headerFrom, ...message.recipients];
  if (address !== undefined && !people.some((field) => contains(field, address))) return false;
  if (text === undefined) return true;
  const { client, listener, helo, user } = message.origin;
  const subject = query.subjects === false ? undefined : message.subject;
  return [subject, message.messageId, client, listener, helo, user, ...people].some((field) => contains(field, text));
}

/** Messages whose attempts tell of a text: the next hop's id, its reply as it is shown (`550 5.1.1 No such user`), what went wrong without one. */
function byAttempt(db: DatabaseSync, text: string): Set<number> {
  const statement = db.prepare("SELECT id, record FROM attempt WHERE record LIKE ? ESCAPE '!'");
  statement.setReturnArrays(true);
  const found = new Set<number>();
  // A reply stands in parts in JSON: whatever is between two words of it is left open.
  for (const [id, json] of statement.iterate(inJson(text).replaceAll(/\s+/g, "%")) as unknown as Iterable<[number, string]>) {
    const record = JSON.parse(json) as AttemptRecord;
    const wanted = text.toLowerCase();
    const reply = record.reply === undefined ? undefined : formatReply(record.reply);
    const told = [record.upstreamId, reply, record.fault, record.upstream, record.remote];
    if (told.some((field) => field?.toLowerCase().includes(wanted) ?? false)) found.add(Math.floor(id / HISTORY_SPAN));
  }
  return found;
}

/**
 * Messages that fit all that was asked, the newest first.
 *
 * @param limit - most messages
 */
export function findMessages(db: DatabaseSync, query: MessageQuery, limit: number): FoundMessage[] {
  const where: string[] = [];
  const values: Value[] = [];
  const add = (condition: string, ...given: Value[]): void => {
    where.push(condition);
    values.push(...given);
  };
  // Queue ids sort by time, and have the index that acceptance times have not. They are made when the content begins to come in.
  if (query.acceptedFrom !== undefined) {
    add("queue_id >= ?", queueIdAt(Math.max(0, query.acceptedFrom - LONGEST_TRANSFER_MS)));
    add("accepted_at >= ?", query.acceptedFrom);
  }
  if (query.acceptedUntil !== undefined) {
    add("queue_id < ?", queueIdAt(query.acceptedUntil));
    add("accepted_at < ?", query.acceptedUntil);
  }
  if (query.device !== undefined) add("device = ?", query.device);
  if (query.messageId !== undefined) add("envelope LIKE ? ESCAPE '!'", inJson(query.messageId));
  if (query.address !== undefined) add("envelope LIKE ? ESCAPE '!'", inJson(query.address));
  const attempted = query.text === undefined ? undefined : byAttempt(db, query.text);
  if (query.text !== undefined && attempted !== undefined)
    add("(envelope LIKE ? ESCAPE '!' OR id IN (SELECT value FROM json_each(?)))", inJson(query.text), JSON.stringify([...attempted]));
  // A pass over everything goes along the table, which is in nearly the same order: by way of the index it takes more than twice as long.
  const order = query.acceptedFrom === undefined ? "id" : "queue_id";
  const statement = db.prepare(
    `SELECT id, envelope FROM message${where.length === 0 ? "" : ` WHERE ${where.join(" AND ")}`} ORDER BY ${order} DESC`,
  );
  statement.setReturnArrays(true);
  const found: [number, AcceptedMessage][] = [];
  const byMessageId: [number, AcceptedMessage][] = [];
  for (const [id, envelope] of statement.iterate(...values) as unknown as Iterable<[number, string]>) {
    const message = JSON.parse(envelope) as AcceptedMessage;
    const asked = attempted?.has(id) === true ? { ...query, text: undefined } : query;
    if (fits(message, asked)) found.push([id, message]);
    else if (
      query.address !== undefined &&
      byMessageId.length < limit &&
      fits(message, { ...asked, address: undefined, messageId: query.address })
    )
      byMessageId.push([id, message]);
    if (found.length >= limit) break;
  }
  return (found.length > 0 ? found : byMessageId)
    .map(([id, message]) => toFound(query.subjects === false ? { ...message, subject: undefined } : message, statesOf(db, id)))
    .toSorted((a, b) => (a.queueId < b.queueId ? 1 : -1));
}

function toFound(message: AcceptedMessage, states: FoundMessage["states"]): FoundMessage {
  return {
    queueId: message.queueId,
    acceptedAt: message.acceptedAt,
    reversePath: message.reversePath,
    recipients: message.recipients,
    device: message.origin.device,
    client: message.origin.client,
    messageId: message.messageId,
    subject: message.subject,
    sizeBytes: message.sizeBytes,
    states,
  };
}

/** A message that came in slowly was begun long before it was accepted. */
const LONGEST_TRANSFER_MS = 3_600_000;

function statesOf(db: DatabaseSync, message: number): Partial<Record<RecipientState, number>> {
  const rows = db
    .prepare("SELECT state, count(*) AS n FROM recipient NOT INDEXED WHERE id >= ? AND id < ? GROUP BY state")
    .all(message * RECIPIENT_SPAN, (message + 1) * RECIPIENT_SPAN);
  return Object.fromEntries(rows.map((row) => [stateName(Number(row["state"])), Number(row["n"])]));
}
