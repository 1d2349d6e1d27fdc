/** What a start makes of a file that a crash or an older program left behind. */
import type { AttemptRecord } from "./queue.ts";
import type { History } from "./history.ts";
import {
  BY_SENDER,
  BY_UPSTREAM,
  DELIVERING,
  HELD,
  LINE_DELIVERING,
  LINE_DOOR,
  LINE_HELD,
  LINE_TIME,
  QUEUED,
  RECIPIENT_SPAN,
} from "./states.ts";
import type { Store } from "./store.ts";

/**
 * Everything that was being delivered may have arrived: it goes back to the queue, due now, marked ambiguous. The attempt that was broken off gets its
 * record, counted in full, because the next hop may have counted it. Returns how many recipients.
 */
export function recoverDelivering(store: Store, log: History, now: number): number {
  const find = store.prepare(`SELECT id FROM recipient INDEXED BY recipient_line WHERE lane = ? AND line = ${LINE_DELIVERING}`);
  // At a closed door they wait like the others.
  const toDoor = store.prepare(
    `UPDATE recipient SET state = ${HELD}, line = ${LINE_DOOR}, due = id / ${RECIPIENT_SPAN}, held_by = ${BY_UPSTREAM}, held_since = ?, claim = 0, ambiguous = 1,
     changed = ? WHERE id = ?`,
  );
  const back = store.prepare(
    `UPDATE recipient SET state = ${QUEUED}, line = ${LINE_TIME}, due = ?, held_by = NULL, claim = 0, ambiguous = 1, changed = ? WHERE id = ?`,
  );
  const startOf = store.prepare("SELECT changed FROM recipient NOT INDEXED WHERE id = ?");
  const sizeOf = store.prepare("SELECT size FROM message WHERE id = ?");
  let recovered = 0;
  store.begin(true);
  for (const lane of store.lanes.values()) {
    const interrupted = new Map<number, { startedAt: number; indexes: number[] }>();
    for (const [id] of find.all(lane.name) as unknown as [number][]) {
      const [startedAt] = startOf.get(id) as unknown as [number];
      store.leave(lane, DELIVERING, LINE_DELIVERING);
      if (lane.hold !== null) {
        toDoor.run(now, now, id);
        store.enter(lane, HELD, LINE_DOOR);
      } else {
        back.run(now, now, id);
        store.enter(lane, QUEUED, LINE_TIME);
        store.due(lane, now);
      }
      recovered++;
      const message = Math.floor(id / RECIPIENT_SPAN);
      const attempt = interrupted.get(message) ?? { startedAt, indexes: [] };
      interrupted.set(message, attempt);
      attempt.indexes.push(id - message * RECIPIENT_SPAN);
    }
    for (const [message, { startedAt, indexes }] of interrupted) {
      log.note(message, now, "recovered: the process ended during an attempt, which may have delivered it", null);
      const [size] = sizeOf.get(message) as unknown as [number];
      const record = interruptedAttempt(lane.name, startedAt, now, indexes.length, size);
      log.attempt(message, lane.name, now, indexes, JSON.stringify(record));
    }
  }
  store.commit();
  return recovered;
}

/** Nobody knows how far it came, when it ended, or who of the recipients is outside: the worst is assumed. */
function interruptedAttempt(lane: string, startedAt: number, now: number, recipients: number, size: number): AttemptRecord {
  return {
    startedAt,
    upstream: lane,
    stage: "unknown",
    outcome: "ambiguous",
    fault: "INTERRUPTED: the process ended during the attempt",
    delays: { beforeQueueMs: 0, inQueueMs: 0, connectMs: 0, transmitMs: 0 },
    counted: { endedAt: now, messages: 1, recipients, external: recipients, bytes: Math.ceil(size / 3) * 4 },
  };
}

/** Recipients named in one commit. */
const NAMED_AT_ONCE = 1_000;

/** Notes the sender of mail that a program before schema 2 held by it, so that it is found by its sender like all other. */
export function nameSenders(store: Store): void {
  const find = store.prepare(
    `SELECT r.id, m.reverse_path FROM recipient r INDEXED BY recipient_sender JOIN message m ON m.id = r.id / ${RECIPIENT_SPAN}
     WHERE r.lane = ? AND r.sender IS NULL AND r.line = ${LINE_HELD} AND r.held_by = ${BY_SENDER} LIMIT ${NAMED_AT_ONCE}`,
  );
  const name = store.prepare("UPDATE recipient SET sender = ? WHERE id = ?");
  for (const lane of store.lanes.values()) {
    for (;;) {
      const found = find.all(lane.name) as unknown as [number, string][];
      if (found.length === 0) break;
      store.begin(true);
      for (const [id, reversePath] of found) name.run(reversePath.toLowerCase(), id);
      store.commit();
    }
  }
}
