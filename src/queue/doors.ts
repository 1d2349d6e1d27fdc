/**
 * Closing and opening doors. The lane's own row says at once, in one durable commit, what holds; the recipients follow in slices. Whatever is
 * found out of step with its lane's row (a crash in between, an outcome written a moment after the door opened) is put in step the same way.
 */
import type { History } from "./history.ts";
import type { HoldCommand, ReleaseCommand } from "./protocol.ts";
import type { LaneHold } from "./queue.ts";
import { BY_UPSTREAM, HELD, LINE_DOOR, LINE_TIME, QUEUED, RECIPIENT_SPAN } from "./states.ts";
import type { LaneMemory, Store } from "./store.ts";

/** Recipients moved in one commit: about 10 ms. */
const SLICE = 1_000;

/** Work under way on one lane. */
interface Job {
  readonly lane: LaneMemory;
  /** Undefined when nobody waits for the answer. */
  readonly id: number | undefined;
  readonly now: number;
  moved: number;
  /** Row ids still to be moved, highest first; undefined until the first slice. */
  left: number[] | undefined;
}

/** What a slice did. */
export interface DoorProgress {
  /** Jobs that are done, with the recipients they moved. */
  readonly jobs: [job: number, recipients: number][];
  /** Lanes on which something became due. */
  readonly lanes: string[];
}

export interface Doors {
  readonly pending: number;
  hold(command: HoldCommand): void;
  release(command: ReleaseCommand): void;
  /** Starts work on every lane whose recipients do not agree with its row. */
  reconcile(now: number): void;
  /** Moves the next recipients, inside a transaction. */
  slice(progress: DoorProgress): void;
  /** The transaction of the last slice was given up. */
  undone(): void;
  /** The command that began a job was given up; it comes again. */
  forget(job: number): void;
}

/** Prepares the statements. */
export function doors(store: Store, log: History): Doors {
  const save = store.prepare("INSERT INTO lane(name, hold) VALUES(?, ?) ON CONFLICT(name) DO UPDATE SET hold = excluded.hold");
  const inLine = store.prepare("SELECT id FROM recipient INDEXED BY recipient_line WHERE lane = ? AND line = ?");
  const look = store.prepare("SELECT state, lane, line FROM recipient NOT INDEXED WHERE id = ?");
  // What the next hop said when the door closed was said about another message, or about none.
  const close = store.prepare(
    `UPDATE recipient SET state = ${HELD}, line = ${LINE_DOOR}, due = ?, held_by = ${BY_UPSTREAM}, held_since = ?, changed = ?, cause = ?, reply = NULL WHERE id = ?`,
  );
  const open = store.prepare(
    `UPDATE recipient SET state = ${QUEUED}, line = ${LINE_TIME}, due = ?, held_by = NULL, held_ms = held_ms + max(0, ? - held_since), held_since = NULL,
     changed = ? WHERE id = ?`,
  );
  let jobs: Job[] = [];
  /** The job of the last slice, as it was before. */
  let before: Job | undefined;

  function start(lane: LaneMemory, id: number | undefined, now: number): void {
    // A command that is executed once more, after its transaction was given up, begins no second one.
    if (id === undefined || !jobs.some((job) => job.id === id)) jobs.push({ lane, id, now, moved: 0, left: undefined });
  }

  /**
   * Moves the next recipients of a job. They are taken in the order of their rows, not of the index: rows of one device lie far apart, and taking them
   * together would write most of the table with every slice.
   *
   * @returns how many were moved
   */
  function move(job: Job): number {
    const { lane, now } = job;
    const from = lane.hold === null ? LINE_DOOR : LINE_TIME;
    job.left ??= (inLine.all(lane.name, from) as unknown as [number][]).map(([id]) => id).toSorted((a, b) => b - a);
    let noted = -1;
    let moved = 0;
    for (let count = 0; count < SLICE; count++) {
      const id = job.left.pop();
      if (id === undefined) break;
      const row = look.get(id) as unknown as [number, string, number | null] | undefined;
      if (row === undefined || row[1] !== lane.name || row[2] !== from) continue;
      const message = Math.floor(id / RECIPIENT_SPAN);
      store.leave(lane, row[0], from);
      if (lane.hold === null) {
        open.run(now, now, now, id);
        store.enter(lane, QUEUED, LINE_TIME);
        store.due(lane, now);
      } else {
        close.run(message, now, now, lane.hold.cause, id);
        store.enter(lane, HELD, LINE_DOOR);
      }
      moved++;
      if (message !== noted)
        log.note(message, now, lane.hold === null ? `released: ${lane.name} is open again` : `held: ${lane.name} is closed`, null);
      noted = message;
    }
    return moved;
  }

  return {
    get pending() {
      return jobs.length;
    },

    hold({ lane: name, hold, now, job }) {
      const lane = store.lane(name);
      lane.hold = JSON.parse(hold) as LaneHold;
      save.run(name, hold);
      start(lane, job, now);
    },

    release({ lane: name, now, job }) {
      const lane = store.lane(name);
      lane.hold = null;
      save.run(name, null);
      start(lane, job, now);
    },

    reconcile(now) {
      for (const lane of store.lanes.values()) {
        if (jobs.some((job) => job.lane.name === lane.name)) continue;
        const stray = lane.hold === null ? lane.heldByDoor : lane.counts[0] + lane.counts[2];
        if (stray > 0) start(lane, undefined, now);
      }
    },

    forget(id) {
      jobs = jobs.filter((job) => job.id !== id);
    },

    undone() {
      if (before === undefined) return;
      if (jobs[0]?.lane.name === before.lane.name && jobs[0].id === before.id && jobs[0].now === before.now) jobs[0] = before;
      else jobs.unshift(before);
      before = undefined;
    },

    slice(progress) {
      before = undefined;
      const first = jobs[0];
      if (first === undefined) return;
      // After a rollback the memory of lanes is new.
      const job = first.lane === store.lane(first.lane.name) ? first : { ...first, lane: store.lane(first.lane.name) };
      jobs[0] = job;
      before = { ...job, left: undefined };
      const moved = move(job);
      job.moved += moved;
      if (moved > 0 && job.lane.hold === null) progress.lanes.push(job.lane.name);
      if (job.left !== undefined && job.left.length > 0) return;
      jobs.shift();
      if (job.id !== undefined) progress.jobs.push([job.id, job.moved]);
    },
  };
}
