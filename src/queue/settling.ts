/** Writing outcomes: every recipient of a claim moves on in one commit, together with the attempt's record and any report. */
import type { Accepting } from "./accepting.ts";
import type { History } from "./history.ts";
import type { Keeping } from "./keeping.ts";
import type { Postponing } from "./postponing.ts";
import type { SettleCommand, SettledRow } from "./protocol.ts";
import {
  BOUNCED,
  BY_SENDER,
  BY_UPSTREAM,
  DEFERRED,
  DELIVERED,
  DELIVERING,
  EXPIRED,
  HELD,
  LINE_DELIVERING,
  LINE_DOOR,
  LINE_HELD,
  LINE_TIME,
  QUEUED,
  RECIPIENT_SPAN,
} from "./states.ts";
import type { LaneMemory, Store } from "./store.ts";

export interface Settling {
  settle(command: SettleCommand): void;
  /** True when no recipient of the message waits any more. */
  isFinished(message: number): boolean;
}

/** Prepares the statements. */
export function settling(store: Store, log: History, accept: Accepting, keep: Keeping, postponing: Postponing): Settling {
  const mine = `WHERE id = ? AND claim = ? AND state = ${DELIVERING}`;
  const finish = store.prepare(
    `UPDATE recipient SET state = ?, line = NULL, claim = 0, held_by = NULL, attempts = attempts + ?, ambiguous = max(ambiguous, ?), changed = ?, cause = ?, reply = ? ${mine}`,
  );
  const wait = store.prepare(
    `UPDATE recipient SET state = ?, line = ?, due = ?, claim = 0, attempts = attempts + ?, ambiguous = max(ambiguous, ?), held_by = ?, held_since = ?,
     changed = ?, cause = ?, reply = ?, deferred_since = coalesce(deferred_since, ?) ${mine}`,
  );
  // A door's refusal is remembered where the recipient is, so that no crash and no restart asks that door again.
  const move = store.prepare(
    `UPDATE recipient SET lane = ?, state = ?, line = ?, due = ?, claim = 0, attempts = attempts + ?, held_by = ?, held_since = ?, changed = ?, cause = ?,
     reply = ?, deferred_since = NULL, passed = CASE WHEN ? THEN json_insert(coalesce(passed, '[]'), '$[#]', lane) ELSE passed END ${mine}`,
  );
  const giveBack = store.prepare(
    `UPDATE recipient SET state = ?, line = ?, due = ?, claim = 0, held_by = ?, held_since = ?, changed = ? ${mine}`,
  );
  const look = store.prepare("SELECT lane, state, line, claim, was, held_ms, held_since, held_by FROM recipient NOT INDEXED WHERE id = ?");
  const takeAgain = store.prepare(
    `UPDATE recipient SET state = ${DELIVERING}, line = ${LINE_DELIVERING}, held_by = NULL, held_since = NULL, held_ms = ? WHERE id = ?`,
  );
  const senderOf = store.prepare("SELECT reverse_path FROM message WHERE id = ?");
  const nameSender = store.prepare("UPDATE recipient SET sender = ? WHERE id = ?");
  const waiting = store.prepare("SELECT 1 FROM recipient NOT INDEXED WHERE id >= ? AND id < ? AND line IS NOT NULL LIMIT 1");
  const warn = store.prepare("UPDATE message SET warned = ? WHERE id = ?");

  function isFinished(message: number): boolean {
    return waiting.get(message * RECIPIENT_SPAN, (message + 1) * RECIPIENT_SPAN) === undefined;
  }

  type Looked = [
    lane: string,
    state: number,
    line: number | null,
    claim: number,
    was: number,
    heldMs: number,
    heldSince: number | null,
    heldBy: number | null,
  ];

  /**
   * The lane and earlier state of a recipient that this claim may settle. A claim whose lease ran out still counts while nobody else took or
   * changed the recipient: its outcome is better knowledge than none.
   */
  function open(id: number, claim: number, now: number): { lane: LaneMemory; was: number; probesSender: boolean } | undefined {
    const row = look.get(id) as unknown as Looked | undefined;
    if (row === undefined || row[3] !== claim || row[2] === null) return undefined;
    const [name, state, line, , was, heldMs, heldSince, heldBy] = row;
    const lane = store.lane(name);
    if (state !== DELIVERING) {
      takeAgain.run(heldMs + (heldSince === null ? 0 : Math.max(0, now - heldSince)), id);
      store.leave(lane, state, line);
      store.enter(lane, DELIVERING, LINE_DELIVERING);
    }
    return { lane, was, probesSender: state === DELIVERING && heldBy === BY_SENDER };
  }

  function settleOne(command: SettleCommand, row: SettledRow): boolean {
    const { claim, message, now } = command;
    const id = message * RECIPIENT_SPAN + row.index;
    const found = open(id, claim, now);
    if (found === undefined) return false;
    const { lane, was, probesSender } = found;
    const tried = command.attempt === undefined ? 0 : 1;
    const ambiguous = row.ambiguous ? 1 : 0;
    store.leave(lane, DELIVERING, LINE_DELIVERING);
    if (row.state >= DELIVERED) {
      finish.run(row.state, tried, ambiguous, now, row.cause, row.reply, id, claim);
      store.enter(lane, row.state, null);
      return true;
    }
    if (row.moved !== null) {
      const to = store.lane(row.moved.lane);
      const closed = to.hold !== null;
      const state = closed ? HELD : QUEUED;
      const line = closed ? LINE_DOOR : LINE_TIME;
      const due = closed ? message : row.due;
      const [holder, since] = closed ? [BY_UPSTREAM, now] : [null, null];
      move.run(to.name, state, line, due, tried, holder, since, now, row.cause, row.reply, row.moved.passed ? 1 : 0, id, claim);
      store.enter(to, state, line);
      if (!closed) store.due(to, due);
      return false;
    }
    const returned = row.state < 0;
    let state = !returned ? row.state : probesSender ? HELD : was === DEFERRED ? DEFERRED : QUEUED;
    let heldBy = returned && probesSender ? BY_SENDER : row.heldBy;
    if (state !== HELD && lane.hold !== null) {
      state = HELD;
      heldBy = BY_UPSTREAM;
    }
    const line = state !== HELD ? LINE_TIME : heldBy === BY_UPSTREAM ? LINE_DOOR : LINE_HELD;
    const due = line === LINE_DOOR ? message : row.due;
    const since = state === HELD ? now : null;
    if (returned) giveBack.run(state, line, due, heldBy, since, now, id, claim);
    else {
      const deferredAt = row.state === DEFERRED ? now : null;
      wait.run(state, line, due, tried, ambiguous, heldBy, since, now, row.cause, row.reply, deferredAt, id, claim);
    }
    if (heldBy === BY_SENDER && !returned) nameSender.run((senderOf.get(message) as unknown as [string])[0].toLowerCase(), id);
    store.enter(lane, state, line);
    if (line === LINE_TIME) store.due(lane, due);
    return false;
  }

  function settle(command: SettleCommand): void {
    const { message, attempt, settled } = command;
    let finals = 0;
    const moves = new Set<string>();
    for (const row of settled) {
      if (settleOne(command, row)) finals++;
      if (row.moved !== null) moves.add(`moved to ${row.moved.lane}: ${row.cause ?? ""}`);
    }
    for (const what of moves) log.note(message, command.now, what, null);
    if (attempt !== undefined) {
      const tried = settled.filter((row) => row.state >= 0).map((row) => row.index);
      log.attempt(message, attempt.lane, attempt.at, tried, attempt.record);
    }
    for (const report of command.generated) accept.accept(report);
    if (command.warned) warn.run(command.now, message);
    for (const report of command.postponed) postponing.add(report);
    if (finals === command.recipients) {
      const failed = settled.some(({ state }) => state === BOUNCED || state === EXPIRED);
      keep.finished(message, command.size, command.now, failed);
    } else if (finals > 0 && isFinished(message)) keep.finished(message, command.size, command.now);
  }

  return { settle, isFinished };
}
