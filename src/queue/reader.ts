/** Looking at the queue on a connection that cannot write: in a thread beside the daemon, or in a command without one. */
import { statfsSync } from "node:fs";
import { access } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { crc32 } from "node:zlib";
import { describeError, PosternError } from "../mail/errors.ts";
import type { AcceptedMessage, WaitingState } from "../mail/message.ts";
import type { Reply } from "../mail/reply.ts";
import { FILE_NAME, openForReading } from "./connection.ts";
import { isDamaged } from "./faults.ts";
import { findMessages } from "./finding.ts";
import type {
  AttemptRecord,
  FoundMessage,
  LaneHold,
  LaneState,
  MessageQuery,
  MessageView,
  QueueEntry,
  QueueFilter,
  QueueReader,
  QueueStatistics,
  WaitingMessage,
  WaitingRecipient,
} from "./queue.ts";
import {
  CONTENT_SPAN,
  FINAL_NAMES,
  HISTORY_SPAN,
  LINE_DOOR,
  LINE_TIME,
  RECIPIENT_SPAN,
  STATE_NAMES,
  holderName,
  stateName,
  stateNumber,
} from "./states.ts";

/** Up to this many waiting recipients a list of waiting ones starts from them; beyond, from the messages in order, which then finds enough soon. */
const FEW_WAITING = 5_000;

/** A recipient that can be moved: its row, and what is known of it. `passed` is JSON as stored. */
export type MovableRecipient = readonly [id: number, lane: string, address: string, passed: string | null, ambiguous: number];

/** A message on the way to another lane. */
export interface Movable {
  readonly message: number;
  readonly queueId: string;
  readonly envelope: string;
  readonly recipients: readonly MovableRecipient[];
}

type Value = string | number;

const COLUMNS = `m.queue_id, m.accepted_at, m.reverse_path, r.address, r.state, r.held_by, r.lane, m.client, m.device, m.size, r.attempts, r.due, r.changed,
  r.cause, r.reply, r.id`;

type EntryRow = [
  string,
  number,
  string,
  string,
  number,
  number | null,
  string,
  string,
  string,
  number,
  number,
  number,
  number,
  string | null,
  string | null,
  number,
];

function parseReplyColumn(text: string | null): Reply | undefined {
  return text === null ? undefined : (JSON.parse(text) as Reply);
}

function toEntry(row: EntryRow): QueueEntry {
  const state = stateName(row[4]);
  return {
    queueId: row[0],
    acceptedAt: row[1],
    reversePath: row[2],
    recipient: row[3],
    state,
    heldBy: state === "held" ? holderName(row[5]) : undefined,
    lane: row[6],
    client: row[7],
    device: row[8],
    sizeBytes: row[9],
    attempts: row[10],
    dueAt: state === "queued" || state === "deferred" ? row[11] : undefined,
    changedAt: row[12],
    cause: row[13] ?? undefined,
    reply: parseReplyColumn(row[14]),
  };
}

/** Conditions and their values for a filter. */
function conditions(filter: QueueFilter): { where: string[]; values: Value[] } {
  const where: string[] = [];
  const values: Value[] = [];
  const add = (condition: string, ...given: Value[]): void => {
    where.push(condition);
    values.push(...given);
  };
  if (filter.ids !== undefined) add("m.queue_id IN (SELECT value FROM json_each(?))", JSON.stringify(filter.ids));
  if (filter.states !== undefined) add("r.state IN (SELECT value FROM json_each(?))", JSON.stringify(filter.states.map(stateNumber)));
  if (filter.lane !== undefined) add("r.lane = ?", filter.lane);
  if (filter.client !== undefined) add("m.client = ?", filter.client);
  if (filter.device !== undefined) add("m.device = ?", filter.device);
  // As lists show them: `<>` is the null reverse-path, and one address whole is `<anna@contoso.com>`.
  if (filter.from !== undefined) add("instr('<' || lower(m.reverse_path) || '>', lower(?)) > 0", filter.from);
  if (filter.to !== undefined) add("instr('<' || lower(r.address) || '>', lower(?)) > 0", filter.to);
  if (filter.acceptedBefore !== undefined) add("m.accepted_at < ?", filter.acceptedBefore);
  return { where, values };
}

/** Reads the queue; every method is one moment's picture. */
export class QueueFileReader {
  readonly #db: DatabaseSync;
  readonly #path: string;

  constructor(db: DatabaseSync, path: string) {
    this.#db = db;
    this.#path = path;
  }

  #rows(sql: string, ...values: Value[]): unknown[][] {
    const statement = this.#db.prepare(sql);
    statement.setReturnArrays(true);
    return statement.all(...values) as unknown as unknown[][];
  }

  #countWaiting(): number {
    return Number(this.#rows("SELECT count(*) FROM recipient INDEXED BY recipient_line WHERE line IS NOT NULL")[0]?.[0]);
  }

  /** The tables to start from, so that neither a long history nor a long queue makes a list slow. */
  #source(filter: QueueFilter): string {
    const recipients = `r.id >= m.id * ${RECIPIENT_SPAN} AND r.id < (m.id + 1) * ${RECIPIENT_SPAN}`;
    const onlyWaiting = filter.states !== undefined && filter.states.every((state) => !(FINAL_NAMES as readonly string[]).includes(state));
    if (filter.ids === undefined && onlyWaiting && this.#countWaiting() <= FEW_WAITING)
      return `recipient r INDEXED BY recipient_line CROSS JOIN message m ON m.id = r.id / ${RECIPIENT_SPAN} WHERE r.line IS NOT NULL`;
    return `message m CROSS JOIN recipient r NOT INDEXED ON ${recipients} WHERE true`;
  }

  /**
   * Recipients in the order of their queue ids. A page never cuts a message in two, so it may be longer than `limit` by the other recipients of its
   * last one; `after` is the queue id of the last entry of the page before.
   */
  list(filter: QueueFilter, limit: number, after?: string): QueueEntry[] {
    const { where, values } = conditions(filter);
    if (after !== undefined) {
      where.push("m.queue_id > ?");
      values.push(after);
    }
    const statement = this.#db.prepare(
      `SELECT ${COLUMNS} FROM ${this.#source(filter)}${where.map((part) => ` AND ${part}`).join("")} ORDER BY m.queue_id, r.id`,
    );
    statement.setReturnArrays(true);
    const entries: QueueEntry[] = [];
    for (const row of statement.iterate(...values) as unknown as Iterable<EntryRow>) {
      if (entries.length >= limit && entries.at(-1)?.queueId !== row[0]) break;
      entries.push(toEntry(row));
    }
    return entries;
  }

  /** Row ids of the waiting recipients that a filter names. */
  select(filter: QueueFilter): number[] {
    const { where, values } = conditions(filter);
    const rows = this.#rows(
      `SELECT r.id FROM ${this.#source(filter)} AND r.line IS NOT NULL${where.map((part) => ` AND ${part}`).join("")} ORDER BY r.id`,
      ...values,
    );
    return rows.map(([id]) => Number(id));
  }

  /** Messages of recipients by their row ids, in that order; without those that wait no more. */
  waiting(ids: readonly number[]): WaitingMessage[] {
    const rows = this.#rows(
      `SELECT m.id, m.envelope, r.id, r.address, r.lane, r.state, r.reply FROM json_each(?) wanted
       CROSS JOIN recipient r NOT INDEXED ON r.id = wanted.value CROSS JOIN message m ON m.id = r.id / ${RECIPIENT_SPAN}
       WHERE r.line IS NOT NULL ORDER BY r.id`,
      JSON.stringify(ids),
    ) as [number, string, number, string, string, number, string | null][];
    const found: { id: number; message: AcceptedMessage; recipients: WaitingRecipient[] }[] = [];
    for (const [id, envelope, recipient, address, lane, state, reply] of rows) {
      if (found.at(-1)?.id !== id) found.push({ id, message: JSON.parse(envelope) as AcceptedMessage, recipients: [] });
      found.at(-1)?.recipients.push({
        address,
        index: recipient - id * RECIPIENT_SPAN,
        lane,
        state: stateName(state) as WaitingState,
        reply: parseReplyColumn(reply),
      });
    }
    return found.map(({ id, message, recipients }) => ({ message, recipients, lastAttempt: this.#lastAttempt(id) }));
  }

  #lastAttempt(message: number): WaitingMessage["lastAttempt"] {
    const [last] = this.#rows(
      "SELECT record FROM attempt WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT 1",
      message * HISTORY_SPAN,
      (message + 1) * HISTORY_SPAN,
    );
    if (last === undefined) return undefined;
    const { startedAt, remote } = JSON.parse(String(last[0])) as AttemptRecord;
    return { startedAt, remote };
  }

  show(queueId: string): MessageView | undefined {
    const found = this.#rows("SELECT id, envelope FROM message WHERE queue_id = ?", queueId)[0] as [number, string] | undefined;
    if (found === undefined) return undefined;
    const [id, envelope] = found;
    const message = JSON.parse(envelope) as AcceptedMessage;
    const attempts = this.#rows(
      "SELECT id, recipients, record FROM attempt WHERE id >= ? AND id < ? ORDER BY id",
      id * HISTORY_SPAN,
      (id + 1) * HISTORY_SPAN,
    );
    const acts = this.#rows(
      "SELECT at, what, actor FROM history WHERE id >= ? AND id < ? ORDER BY id",
      id * HISTORY_SPAN,
      (id + 1) * HISTORY_SPAN,
    ) as [number, string, string | null][];
    const swept = this.#rows("SELECT 1 FROM sweep WHERE message = ?", id).length > 0;
    const stored =
      this.#rows("SELECT 1 FROM content WHERE k >= ? AND k < ? LIMIT 1", id * CONTENT_SPAN, (id + 1) * CONTENT_SPAN).length > 0;
    return {
      message,
      entries: this.list({ ids: [queueId] }, RECIPIENT_SPAN),
      attempts: attempts.map(([key, recipients, record]) =>
        Object.assign(JSON.parse(String(record)) as AttemptRecord, {
          number: Number(key) - id * HISTORY_SPAN,
          recipients: (JSON.parse(String(recipients)) as number[]).map((index) => message.recipients[index] ?? ""),
        }),
      ),
      history: acts.map(([at, what, actor]) => ({ at, what, by: actor ?? undefined })),
      hasContent: stored && !swept,
    };
  }

  find(query: MessageQuery, limit: number): FoundMessage[] {
    return findMessages(this.#db, query, limit);
  }

  /** @throws PosternError E_CONTENT_CORRUPT */
  contentRow(queueId: string, place: number): Uint8Array | undefined {
    const id = Number(this.#rows("SELECT id FROM message WHERE queue_id = ?", queueId)[0]?.[0] ?? -1);
    if (id < 0 || place >= CONTENT_SPAN || this.#rows("SELECT 1 FROM sweep WHERE message = ?", id).length > 0) return undefined;
    const corrupt = (what: string) => new PosternError("E_CONTENT_CORRUPT", `row ${place + 1} of the content of ${queueId} ${what}`);
    let row: [number, Uint8Array] | undefined;
    try {
      row = this.#rows("SELECT crc, data FROM content WHERE k = ?", id * CONTENT_SPAN + place)[0] as typeof row;
    } catch (error) {
      if (isDamaged(error)) throw corrupt("is in a damaged part of the file");
      throw error;
    }
    if (row === undefined) return undefined;
    const [crc, data] = row;
    if (crc32(data) !== crc) throw corrupt("fails its checksum");
    return data;
  }

  /** The next messages with recipients that wait and are not being delivered; of one lane those that wait for time or for its door. */
  movable(after: number, limit: number, lane: string | undefined): Movable[] {
    const waiting = lane === undefined ? "r.line IS NOT NULL" : `r.line IN (${LINE_TIME}, ${LINE_DOOR}) AND r.lane = ?`;
    const messages =
      lane === undefined
        ? `SELECT id FROM message WHERE id > ? AND EXISTS (SELECT 1 FROM recipient x NOT INDEXED
             WHERE x.id >= message.id * ${RECIPIENT_SPAN} AND x.id < (message.id + 1) * ${RECIPIENT_SPAN} AND x.line IS NOT NULL) ORDER BY id LIMIT ?`
        : `SELECT DISTINCT id / ${RECIPIENT_SPAN} AS id FROM recipient INDEXED BY recipient_line
             WHERE lane = ? AND line IN (${LINE_TIME}, ${LINE_DOOR}) AND id >= (? + 1) * ${RECIPIENT_SPAN} ORDER BY 1 LIMIT ?`;
    const rows = this.#rows(
      `SELECT m.id, m.queue_id, m.envelope, r.id, r.lane, r.address, r.passed, r.ambiguous FROM (${messages}) o
       CROSS JOIN message m ON m.id = o.id
       CROSS JOIN recipient r NOT INDEXED ON r.id >= m.id * ${RECIPIENT_SPAN} AND r.id < (m.id + 1) * ${RECIPIENT_SPAN}
       WHERE ${waiting} ORDER BY r.id`,
      ...(lane === undefined ? [] : [lane]),
      after,
      limit,
      ...(lane === undefined ? [] : [lane]),
    ) as [number, string, string, number, string, string, string | null, number][];
    const found: { message: number; queueId: string; envelope: string; recipients: MovableRecipient[] }[] = [];
    for (const [message, queueId, envelope, ...recipient] of rows) {
      if (found.at(-1)?.message !== message) found.push({ message, queueId, envelope, recipients: [] });
      found.at(-1)?.recipients.push(recipient);
    }
    return found;
  }

  statistics(): QueueStatistics {
    const waiting = { queued: 0, delivering: 0, deferred: 0, held: 0 };
    const final = { delivered: 0, bounced: 0, expired: 0, deleted: 0 };
    const lanes = new Map<string, { waiting: number; nextDueAt: number | undefined; hold: LaneHold | undefined }>();
    const lane = (name: string): { waiting: number; nextDueAt: number | undefined; hold: LaneHold | undefined } => {
      const known = lanes.get(name) ?? { waiting: 0, nextDueAt: undefined, hold: undefined };
      lanes.set(name, known);
      return known;
    };
    this.#db.exec("BEGIN");
    try {
      for (const [name, hold] of this.#rows("SELECT name, hold FROM lane WHERE hold IS NOT NULL") as [string, string][])
        lane(name).hold = JSON.parse(hold) as LaneHold;
      const groups = this.#rows(
        "SELECT lane, line, state, count(*), min(due) FROM recipient INDEXED BY recipient_line WHERE line IS NOT NULL GROUP BY lane, line, state",
      ) as [string, number, number, number, number][];
      for (const [name, line, state, count, due] of groups) {
        const known = lane(name);
        known.waiting += count;
        if (line === LINE_TIME) known.nextDueAt = Math.min(known.nextDueAt ?? Infinity, due);
        const key = STATE_NAMES[state];
        if (key !== undefined && key in waiting) waiting[key as keyof typeof waiting] += count;
      }
      const counters = new Map(this.#rows("SELECT name, value FROM counter").map(([name, value]) => [String(name), Number(value)]));
      for (const name of FINAL_NAMES) final[name] = counters.get(name) ?? 0;
      const oldest = this.#rows(
        `SELECT min(m.accepted_at) FROM recipient r INDEXED BY recipient_line CROSS JOIN message m ON m.id = r.id / ${RECIPIENT_SPAN} WHERE r.line IS NOT NULL`,
      )[0]?.[0];
      const { bavail, bsize } = statfsSync(dirname(this.#path));
      return {
        waiting,
        accepted: counters.get("accepted") ?? 0,
        generated: counters.get("generated") ?? 0,
        final,
        contentBytes: counters.get("content_bytes") ?? 0,
        oldestAcceptedAt: oldest === null || oldest === undefined ? undefined : Number(oldest),
        freeBytes: bavail * bsize,
        lanes: [...lanes].map(([name, state]): LaneState => Object.assign({ lane: name }, state)),
      };
    } finally {
      this.#db.exec("COMMIT");
    }
  }

  close(): void {
    this.#db.close();
  }
}

/**
 * Opens the queue for looking, beside the daemon or without it.
 *
 * @param directory - `data_dir`/queue
 * @throws PosternError E_UNAVAILABLE when there is no queue or it cannot be read, E_SPOOL_NEWER
 */
export async function openQueueReader(directory: string): Promise<QueueReader> {
  const path = join(directory, FILE_NAME);
  try {
    await access(path);
    const reader = new QueueFileReader(openForReading(path), path);
    const look = async <T>(read: () => T): Promise<T> => {
      try {
        return read();
      } catch (error) {
        throw unreadable(path, error);
      }
    };
    return {
      list: (filter, limit, after) => look(() => reader.list(filter, limit, after)),
      show: (queueId) => look(() => reader.show(queueId)),
      find: (query, limit) => look(() => reader.find(query, limit)),
      contentRow: (queueId, place) => look(() => reader.contentRow(queueId, place)),
      statistics: () => look(() => reader.statistics()),
      close: async () => reader.close(),
    };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT")
      throw new PosternError(
        "E_UNAVAILABLE",
        `there is no queue in ${directory}: the relay was never started with this data_dir; start it with systemctl start postern or postern run`,
        { cause: error },
      );
    throw unreadable(path, error);
  }
}

function unreadable(path: string, error: unknown): PosternError {
  if (error instanceof PosternError) return error;
  return new PosternError("E_UNAVAILABLE", `the queue at ${path} cannot be read: ${describeError(error)}`, { cause: error });
}
