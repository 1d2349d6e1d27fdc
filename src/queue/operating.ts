/** What moves waiting mail without an attempt: acts of operators, a sender that may send again, other lanes; and the end of history. */
import type { Accepting } from "./accepting.ts";
import type { History } from "./history.ts";
import type { Keeping } from "./keeping.ts";
import type { Postponing } from "./postponing.ts";
import type { ActAnswer, ActCommand, BounceCommand, MoveCommand, ReleaseSenderCommand, TidyCommand } from "./protocol.ts";
import type { Settling } from "./settling.ts";
import {
  BOUNCED,
  BY_CORRUPT,
  BY_OPERATOR,
  BY_SENDER,
  BY_UPSTREAM,
  DEFERRED,
  DELETED,
  DELIVERING,
  HELD,
  HISTORY_SPAN,
  LINE_DOOR,
  LINE_HELD,
  LINE_TIME,
  QUEUED,
  RECIPIENT_SPAN,
} from "./states.ts";
import type { LaneMemory, Store } from "./store.ts";

export interface Operating {
  act(command: ActCommand): ActAnswer;
  /** Ends recipients of one message and writes what is told of it; false when nothing was done. */
  bounce(command: BounceCommand): boolean;
  /** Lets some of the mail go that is held by its sender. Returns how many recipients. */
  releaseSender(command: ReleaseSenderCommand): number;
  /** Returns the row ids of those that moved. */
  move(command: MoveCommand): number[];
  /** Starts to remove messages that ended long ago. */
  tidy(command: TidyCommand): void;
  readonly pruning: boolean;
  /** Looks at the next messages and removes those that ended long ago, inside a transaction. Returns how many it removed. */
  pruneSlice(): number;
}

/** Messages looked at in one slice of pruning. */
const PRUNE_SLICE = 200;

interface Row {
  readonly id: number;
  readonly state: number;
  readonly line: number | null;
  readonly lane: LaneMemory;
  readonly heldBy: number | null;
  readonly heldSince: number | null;
  readonly due: number;
}

/** Prepares the statements. */
export function operating(
  store: Store,
  log: History,
  settle: Settling,
  keep: Keeping,
  accept: Accepting,
  postponing: Postponing,
): Operating {
  const look = store.prepare("SELECT state, line, lane, held_by, held_since, due, address FROM recipient NOT INDEXED WHERE id = ?");
  const put = store.prepare(
    `UPDATE recipient SET state = ?, line = ?, lane = ?, due = ?, held_by = ?, held_since = ?, held_ms = held_ms + ?, claim = 0, changed = ? WHERE id = ?`,
  );
  const forget = store.prepare("UPDATE recipient SET passed = NULL, deferred_since = NULL WHERE id = ?");
  const begin = store.prepare("UPDATE recipient SET deferred_since = NULL WHERE id = ?");
  const messageOf = store.prepare("SELECT queue_id, size FROM message WHERE id = ?");

  /** Puts a waiting recipient elsewhere; time spent held is added up when it ends. */
  function shift(row: Row, state: number, heldBy: number | null, lane: LaneMemory, due: number, now: number): void {
    const line = state > HELD ? null : state !== HELD ? LINE_TIME : heldBy === BY_UPSTREAM ? LINE_DOOR : LINE_HELD;
    const since = state === HELD ? (row.heldSince ?? now) : null;
    const heldMs = state === HELD || row.heldSince === null ? 0 : Math.max(0, now - row.heldSince);
    const place = line === LINE_DOOR ? Math.floor(row.id / RECIPIENT_SPAN) : due;
    put.run(state, line, lane.name, place, heldBy, since, heldMs, now, row.id);
    store.leave(row.lane, row.state, row.line);
    store.enter(lane, state, line);
    if (line === LINE_TIME) store.due(lane, place);
  }

  /** Back to the line for time, or to the closed door. */
  function queue(row: Row, lane: LaneMemory, now: number): void {
    if (lane.hold === null) shift(row, QUEUED, null, lane, now, now);
    else shift(row, HELD, BY_UPSTREAM, lane, now, now);
  }

  /** Does one act on one recipient; false when it does not apply to its state. */
  function apply(verb: ActCommand["verb"], row: Row, now: number): boolean {
    const timed = row.state === QUEUED || row.state === DEFERRED;
    switch (verb) {
      case "retry":
        if (!timed && !(row.state === HELD && row.heldBy === BY_SENDER)) return false;
        queue(row, row.lane, now);
        // Whoever asks for it again may have repaired what a door refused it for.
        forget.run(row.id);
        return true;
      case "hold":
        if (row.heldBy === BY_OPERATOR || row.heldBy === BY_CORRUPT) return false;
        shift(row, HELD, BY_OPERATOR, row.lane, row.due, now);
        return true;
      case "release":
        if (row.heldBy !== BY_OPERATOR && row.heldBy !== BY_SENDER) return false;
        queue(row, row.lane, now);
        forget.run(row.id);
        return true;
      case "delete":
        shift(row, DELETED, null, row.lane, row.due, now);
        return true;
      default:
        throw new Error(`no act ${String(verb satisfies never)}`);
    }
  }

  function act({ verb, by, ids, now }: ActCommand): ActAnswer {
    const changed: (readonly [string, string, string])[] = [];
    const touched = new Map<number, string>();
    let busy = 0;
    for (const id of ids) {
      const found = look.get(id) as unknown as [number, number | null, string, number | null, number | null, number, string] | undefined;
      if (found === undefined || found[1] === null) continue;
      const [state, line, laneName, heldBy, heldSince, due, address] = found;
      if (state === DELIVERING) {
        busy++;
        continue;
      }
      if (!apply(verb, { id, state, line, lane: store.lane(laneName), heldBy, heldSince, due }, now)) continue;
      const message = Math.floor(id / RECIPIENT_SPAN);
      let queueId = touched.get(message);
      if (queueId === undefined) {
        queueId = (messageOf.get(message) as unknown as [string, number])[0];
        touched.set(message, queueId);
      }
      changed.push([queueId, address, laneName]);
    }
    for (const message of touched.keys()) {
      log.note(message, now, verb, by);
      if (verb === "delete" && settle.isFinished(message))
        keep.finished(message, (messageOf.get(message) as unknown as [string, number])[1], now);
    }
    return { changed, busy };
  }

  const messageNamed = store.prepare("SELECT id, size FROM message WHERE queue_id = ?");
  // What the next hop said last stays in the record of its attempt: it is not why this one ended.
  const explain = store.prepare("UPDATE recipient SET cause = ?, reply = NULL WHERE id = ?");

  function bounce({ queueId, recipients, by, cause, generated, postponed, now }: BounceCommand): boolean {
    const named = messageNamed.get(queueId) as unknown as [number, number] | undefined;
    if (named === undefined) return false;
    const [message, size] = named;
    const rows: Row[] = [];
    for (const [index, expected] of recipients) {
      const id = message * RECIPIENT_SPAN + index;
      const found = look.get(id) as unknown as [number, number | null, string, number | null, number | null, number, string] | undefined;
      if (found === undefined) return false;
      const [state, line, lane, heldBy, heldSince, due, address] = found;
      if (line === null || state === DELIVERING || address !== expected) return false;
      rows.push({ id, state, line, lane: store.lane(lane), heldBy, heldSince, due });
    }
    for (const row of rows) {
      shift(row, BOUNCED, null, row.lane, row.due, now);
      explain.run(cause, row.id);
    }
    log.note(message, now, "bounce", by);
    for (const report of generated) accept.accept(report);
    for (const report of postponed) postponing.add(report);
    if (settle.isFinished(message)) keep.finished(message, size, now);
    return true;
  }

  const heldOf = store.prepare(
    `SELECT id, held_since, due FROM recipient INDEXED BY recipient_sender
     WHERE lane = ? AND sender = ? AND line = ${LINE_HELD} AND held_by = ${BY_SENDER} LIMIT ?`,
  );

  function releaseSender({ lane: name, sender, limit, now }: ReleaseSenderCommand): number {
    const lane = store.lane(name);
    const rows = heldOf.all(name, sender, limit) as unknown as [number, number, number][];
    const touched = new Set<number>();
    for (const [id, heldSince, due] of rows) {
      queue({ id, state: HELD, line: LINE_HELD, lane, heldBy: BY_SENDER, heldSince, due }, lane, now);
      touched.add(Math.floor(id / RECIPIENT_SPAN));
    }
    for (const message of touched) log.note(message, now, `released: the sender may send by ${name} again`, null);
    return rows.length;
  }

  function move({ moves, cause, dueNow, now }: MoveCommand): number[] {
    const moved: number[] = [];
    const notes = new Set<string>();
    for (const [id, from, to] of moves) {
      const found = look.get(id) as unknown as [number, number | null, string, number | null, number | null, number, string] | undefined;
      if (found === undefined || found[1] === null || found[2] !== from || found[0] === DELIVERING) continue;
      const [state, line, , heldBy, heldSince, due] = found;
      const row: Row = { id, state, line, lane: store.lane(from), heldBy, heldSince, due };
      const lane = store.lane(to);
      if (state === HELD && heldBy !== BY_UPSTREAM) shift(row, state, heldBy, lane, due, now);
      else if (state === HELD || lane.hold !== null) queue(row, lane, now);
      else shift(row, state, null, lane, dueNow ? Math.min(due, now) : due, now);
      begin.run(id);
      moved.push(id);
      const message = Math.floor(id / RECIPIENT_SPAN);
      const note = `${message} ${to}`;
      if (!notes.has(note)) log.note(message, now, `moved from ${from} to ${to}: ${cause}`, null);
      notes.add(note);
    }
    return moved;
  }

  // ---- history ---------------------------------------------------------------------------------------------------------

  const candidates = store.prepare(`SELECT id FROM message WHERE id > ? AND accepted_at < ? ORDER BY id LIMIT ${PRUNE_SLICE}`);
  const ended = store.prepare("SELECT sum(line IS NOT NULL), max(changed) FROM recipient NOT INDEXED WHERE id >= ? AND id < ?");
  const removals = [
    { span: RECIPIENT_SPAN, statement: store.prepare("DELETE FROM recipient WHERE id >= ? AND id < ?") },
    { span: HISTORY_SPAN, statement: store.prepare("DELETE FROM attempt WHERE id >= ? AND id < ?") },
    { span: HISTORY_SPAN, statement: store.prepare("DELETE FROM history WHERE id >= ? AND id < ?") },
    { span: 1, statement: store.prepare("DELETE FROM message WHERE id >= ? AND id < ?") },
  ];
  let pass: { endedBefore: number; after: number } | undefined;

  function pruneSlice(): number {
    if (pass === undefined) return 0;
    const ids = candidates.all(pass.after, pass.endedBefore) as unknown as [number][];
    let removed = 0;
    for (const [id] of ids) {
      pass.after = id;
      const [waiting, changed] = ended.get(id * RECIPIENT_SPAN, (id + 1) * RECIPIENT_SPAN) as unknown as [number, number];
      if (waiting > 0 || changed >= pass.endedBefore) continue;
      for (const { span, statement } of removals) statement.run(id * span, (id + 1) * span);
      keep.forget(id);
      removed++;
    }
    if (ids.length < PRUNE_SLICE) pass = undefined;
    return removed;
  }

  return {
    act,
    bounce,
    releaseSender,
    move,
    tidy({ endedBefore, failedBefore, early }) {
      if (failedBefore !== undefined) keep.drop(failedBefore, early);
      if (endedBefore !== undefined) pass = { endedBefore, after: -1 };
    },
    get pruning() {
      return pass !== undefined;
    },
    pruneSlice,
  };
}
