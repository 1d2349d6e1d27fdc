/**
 * Finding messages by what people remember of them: an id, a device, an address, a time, a word of the subject. Fast enough to ask of a long
 * history: one pass over the messages of the time asked about, newest first, until enough are found.
 */
import type { DatabaseSync } from "node:sqlite";
import type { AcceptedMessage, RecipientState } from "../mail/message.ts";
import { queueIdAt } from "../mail/queue-id.ts";
import type { AttemptRecord, FoundMessage, MessageQuery } from "./queue.ts";
import { HISTORY_SPAN, RECIPIENT_SPAN, stateName } from "./states.ts";

type Value = string | number;

/** Where a text may stand in an envelope's JSON: as it is written there, in lower case. */
function inJson(text: string): string {
  return JSON.stringify(text).slice(1, -1).toLowerCase();
}

/** Whether an envelope has what was asked for, field by field: the search over its JSON is only the first sieve. */
function fits(message: AcceptedMessage, query: MessageQuery): boolean {
  const contains = (field: string | undefined, text: string): boolean => field?.toLowerCase().includes(text.toLowerCase()) ?? false;
  const { messageId, address, text } = query;
  if (messageId !== undefined && !contains(message.messageId, messageId)) return false;
  if (
    address !== undefined &&
    ![message.reversePath, message.originalSender, message.headerFrom, ...message.recipients].some((field) => contains(field, address))
  )
    return false;
  if (text === undefined) return true;
  const { client, listener, helo, user } = message.origin;
  return [message.subject, message.messageId, client, listener, helo, user].some((field) => contains(field, text));
}

/** Messages whose attempts tell of a text: the next hop's id, its reply. */
function byAttempt(db: DatabaseSync, text: string): Set<number> {
  const statement = db.prepare("SELECT id, record FROM attempt WHERE instr(lower(record), ?) > 0");
  statement.setReturnArrays(true);
  const found = new Set<number>();
  for (const [id, json] of statement.iterate(inJson(text)) as unknown as Iterable<[number, string]>) {
    const record = JSON.parse(json) as AttemptRecord;
    const wanted = text.toLowerCase();
    const told = [record.upstreamId, record.reply?.text, record.upstream, record.remote];
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
  if (query.messageId !== undefined) add("instr(lower(envelope), ?) > 0", inJson(query.messageId));
  if (query.address !== undefined) add("instr(lower(envelope), ?) > 0", inJson(query.address));
  const attempted = query.text === undefined ? undefined : byAttempt(db, query.text);
  if (query.text !== undefined && attempted !== undefined)
    add("(instr(lower(envelope), ?) > 0 OR id IN (SELECT value FROM json_each(?)))", inJson(query.text), JSON.stringify([...attempted]));
  const statement = db.prepare(
    `SELECT id, envelope FROM message${where.length === 0 ? "" : ` WHERE ${where.join(" AND ")}`} ORDER BY queue_id DESC`,
  );
  statement.setReturnArrays(true);
  const found: FoundMessage[] = [];
  for (const [id, envelope] of statement.iterate(...values) as unknown as Iterable<[number, string]>) {
    const message = JSON.parse(envelope) as AcceptedMessage;
    if (!fits(message, attempted?.has(id) === true ? { ...query, text: undefined } : query)) continue;
    found.push({
      queueId: message.queueId,
      acceptedAt: message.acceptedAt,
      reversePath: message.reversePath,
      recipients: message.recipients,
      device: message.origin.device,
      client: message.origin.client,
      messageId: message.messageId,
      subject: message.subject,
      sizeBytes: message.sizeBytes,
      states: statesOf(db, id),
    });
    if (found.length >= limit) break;
  }
  return found;
}

/** A message that came in slowly was begun long before it was accepted. */
const LONGEST_TRANSFER_MS = 3_600_000;

function statesOf(db: DatabaseSync, message: number): Partial<Record<RecipientState, number>> {
  const rows = db
    .prepare("SELECT state, count(*) AS n FROM recipient NOT INDEXED WHERE id >= ? AND id < ? GROUP BY state")
    .all(message * RECIPIENT_SPAN, (message + 1) * RECIPIENT_SPAN);
  return Object.fromEntries(rows.map((row) => [stateName(Number(row["state"])), Number(row["n"])]));
}
