/** Rows of content and envelopes on their way into the database. */
import { crc32 } from "node:zlib";
import { PosternError } from "../mail/errors.ts";
import { deviceOfLine } from "../mail/line.ts";
import type { AbandonCommand, AcceptCommand, ChunkCommand } from "./protocol.ts";
import { BY_UPSTREAM, CONTENT_SPAN, DELIVERING, HELD, LINE_DELIVERING, LINE_DOOR, LINE_TIME, QUEUED, RECIPIENT_SPAN } from "./states.ts";
import type { Store } from "./store.ts";

/** Writes what `receive` and `dsn` hand in. */
export interface Accepting {
  chunk(command: ChunkCommand): void;
  accept(command: AcceptCommand): void;
  /** A row of content could not be stored: nothing more of this message is taken. */
  lose(message: number): void;
  /** Nothing more of this message comes. */
  forget(message: number): void;
}

/** Prepares the statements. */
export function accepting(store: Store): Accepting {
  const insertContent = store.prepare("INSERT INTO content(k, crc, data) VALUES(?, ?, ?)");
  const markUnfinished = store.prepare("INSERT OR IGNORE INTO sweep(message) VALUES(?)");
  const unmark = store.prepare("DELETE FROM sweep WHERE message = ?");
  const insertMessage = store.prepare(
    "INSERT INTO message(id, queue_id, accepted_at, recipients, size, chunks, reverse_path, client, device, envelope) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
  );
  const insertRecipient = store.prepare(
    `INSERT INTO recipient(id, state, line, lane, device, due, was, claim, attempts, ambiguous, held_by, held_since, held_ms, changed, address, cause, reply)
     VALUES(?, ?, ?, ?, ?, ?, ${QUEUED}, ?, 0, 0, ?, ?, 0, ?, ?, ?, ?)`,
  );

  /** Messages that are not whole any more, until their last command came. */
  const lost = new Set<number>();

  function refuseLost(message: number): void {
    if (lost.has(message)) throw new PosternError("E_SPOOL_FULL", "earlier content of the message found no room");
  }

  function insertRow(message: number, place: number, data: Uint8Array): void {
    insertContent.run(message * CONTENT_SPAN + place, crc32(data), data);
    store.add("content_bytes", data.byteLength);
  }

  return {
    chunk({ message, place, octets }) {
      refuseLost(message);
      if (place === 0) markUnfinished.run(message);
      insertRow(message, place, store.octets(octets));
    },

    accept(command) {
      const { message, at, line, addresses, lanes, claims } = command;
      refuseLost(message);
      if (command.tail !== undefined) insertRow(message, command.chunks - 1, store.octets(command.tail));
      if (command.chunks > 1 || command.tail === undefined) unmark.run(message);
      const { queueId, size, chunks, reversePath, client, envelope } = command;
      insertMessage.run(message, queueId, at, addresses.length, size, chunks, reversePath, client, deviceOfLine(line), envelope);
      for (let index = 0; index < addresses.length; index++) {
        const lane = store.lane(lanes[index] ?? "");
        const claim = claims[index] ?? 0;
        const address = addresses[index] ?? "";
        const id = message * RECIPIENT_SPAN + index;
        if (claim !== 0) {
          insertRecipient.run(id, DELIVERING, LINE_DELIVERING, lane.name, line, at, claim, null, null, at, address, null, null);
          store.enter(lane, DELIVERING, LINE_DELIVERING);
        } else if (lane.hold !== null) {
          const { cause, reply } = lane.hold;
          const said = reply === undefined ? null : JSON.stringify(reply);
          insertRecipient.run(id, HELD, LINE_DOOR, lane.name, line, message, 0, BY_UPSTREAM, at, at, address, cause, said);
          store.enter(lane, HELD, LINE_DOOR);
        } else {
          insertRecipient.run(id, QUEUED, LINE_TIME, lane.name, line, at, 0, null, null, at, address, null, null);
          store.enter(lane, QUEUED, LINE_TIME);
          store.due(lane, at);
        }
      }
      store.add(command.generated ? "generated" : "accepted", addresses.length);
    },

    lose(message) {
      lost.add(message);
    },
    forget(message) {
      lost.delete(message);
    },
  };
}

/** Content that nobody answers for, deleted a few rows at a time so that no commit gets long. */
export interface Sweeping {
  /** Messages whose content waits to be deleted. */
  readonly pending: number;
  /** Starts to delete the content of a message whose row in `sweep` was just made. */
  add(message: number): void;
  abandon(command: AbandonCommand): void;
  /** At the start: everything in the table is left over. */
  loadAll(): void;
  /** Deletes the next rows, inside a transaction. */
  slice(): void;
  /** The transaction of the last slice was given up. */
  undone(): void;
}

/** Rows in one slice: 2 MiB, about 5 ms with secure deletion. */
const SLICE_ROWS = 8;

/** Prepares the statements. */
export function sweeping(store: Store): Sweeping {
  const all = store.prepare("SELECT message FROM sweep");
  const rows = store.prepare(`SELECT k, length(data) FROM content WHERE k >= ? AND k < ? LIMIT ${SLICE_ROWS}`);
  const remove = store.prepare("DELETE FROM content WHERE k = ?");
  const done = store.prepare("DELETE FROM sweep WHERE message = ?");
  // What was to be swept may have been rolled back since: the tables decide.
  const garbage = store.prepare(
    `SELECT 1 FROM sweep WHERE message = ?1 AND NOT EXISTS (
       SELECT 1 FROM recipient NOT INDEXED WHERE id >= ?1 * ${RECIPIENT_SPAN} AND id < (?1 + 1) * ${RECIPIENT_SPAN} AND line IS NOT NULL)`,
  );
  const messages = new Set<number>();
  let inSlice: readonly number[] = [];

  return {
    get pending() {
      return messages.size;
    },
    add(message) {
      messages.add(message);
    },
    abandon({ message }) {
      messages.add(message);
    },
    loadAll() {
      for (const [message] of all.all() as unknown as [number][]) messages.add(message);
    },
    undone() {
      for (const message of inSlice) messages.add(message);
    },
    slice() {
      const finished: number[] = [];
      inSlice = finished;
      for (const message of messages) {
        if (garbage.get(message) === undefined) {
          messages.delete(message);
          continue;
        }
        const found = rows.all(message * CONTENT_SPAN, (message + 1) * CONTENT_SPAN) as unknown as [number, number][];
        for (const [k, length] of found) {
          remove.run(k);
          store.add("content_bytes", -length);
        }
        if (found.length === SLICE_ROWS) return;
        done.run(message);
        messages.delete(message);
        finished.push(message);
        if (found.length > 0) return;
      }
    },
  };
}
