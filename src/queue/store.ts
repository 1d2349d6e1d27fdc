/** The database as the worker holds it: the connection, what it keeps in memory beside it, and the bracket of one commit. */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { LaneHold, LaneState } from "./queue.ts";
import { setSynchronous } from "./connection.ts";
import type { Octets } from "./protocol.ts";
import { FINAL_NAMES, DELIVERED, LINE_DOOR, LINE_TIME } from "./states.ts";

/** What is known of a lane without asking the database. */
export interface LaneMemory {
  readonly name: string;
  /** The LaneHold as stored; null while the door is open. */
  hold: LaneHold | null;
  /** Waiting recipients by state number. */
  readonly counts: [queued: number, delivering: number, deferred: number, held: number];
  /** Those of the held ones that the door holds. */
  heldByDoor: number;
  /** Nothing on the lane is due before this; Infinity when nothing waits for time. */
  nextDue: number;
  /** True when `nextDue` may be too early, because the recipient it came from was taken. */
  nextDueStale: boolean;
  /** The device served last. */
  cursor: string;
}

/** Names of the counters that accepted + generated = final + waiting is made of, and the octets of stored content. */
const COUNTER_NAMES = ["accepted", "generated", "content_bytes", ...FINAL_NAMES] as const;
export type CounterName = (typeof COUNTER_NAMES)[number];

/** Owner of the write connection. Not safe for use after a method threw a fault of the database: see `isFatal`. */
export class Store {
  readonly db: DatabaseSync;
  readonly lanes = new Map<string, LaneMemory>();
  readonly #synchronous: "FULL" | "OFF";
  #level: "FULL" | "NORMAL" | "OFF";
  readonly #slabs: SharedArrayBuffer[] = [];
  readonly #counters = new Map<CounterName, number>();
  readonly #changedCounters = new Set<CounterName>();
  readonly #saveCounter: StatementSync;
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  readonly #nextDevice: StatementSync;
  #lowestWaiting = 0;
  readonly #findWaiting: StatementSync;
  readonly #firstWaiting: StatementSync;

  constructor(db: DatabaseSync, synchronous: "FULL" | "OFF") {
    this.db = db;
    this.#synchronous = synchronous;
    this.#level = synchronous;
    this.#begin = db.prepare("BEGIN IMMEDIATE");
    this.#commit = db.prepare("COMMIT");
    this.#saveCounter = db.prepare("INSERT INTO counter(name, value) VALUES(?, ?) ON CONFLICT(name) DO UPDATE SET value = excluded.value");
    this.#nextDevice = this.prepare(
      `SELECT device, due FROM recipient INDEXED BY recipient_line WHERE lane = ? AND line = ${LINE_TIME} AND device > ? ORDER BY device, due LIMIT 1`,
    );
    this.#findWaiting = this.prepare(
      `SELECT r.id, r.line, m.accepted_at FROM recipient r NOT INDEXED JOIN message m ON m.id = r.id / 1024 WHERE r.id >= ? ORDER BY r.id LIMIT 2000`,
    );
    this.#firstWaiting = this.prepare("SELECT min(id) FROM recipient INDEXED BY recipient_line WHERE line IS NOT NULL");
  }

  /** A statement whose rows are arrays, which cost less than objects. */
  prepare(sql: string): StatementSync {
    const statement = this.db.prepare(sql);
    statement.setReturnArrays(true);
    return statement;
  }

  /** Reads lanes and counters again from the tables: at the start, and after a batch was rolled back. */
  load(): void {
    const cursors = new Map([...this.lanes.values()].map((lane) => [lane.name, lane.cursor]));
    this.lanes.clear();
    this.#counters.clear();
    this.#changedCounters.clear();
    this.#lowestWaiting = 0;
    for (const { name, value } of this.db.prepare("SELECT name, value FROM counter").all())
      this.#counters.set(String(name) as CounterName, Number(value));
    for (const { name, hold } of this.db.prepare("SELECT name, hold FROM lane").all())
      this.lane(String(name)).hold = hold === null ? null : (JSON.parse(String(hold)) as LaneHold);
    const waiting = this.db.prepare(
      "SELECT lane, line, state, count(*) AS n, min(due) AS due FROM recipient INDEXED BY recipient_line WHERE line IS NOT NULL GROUP BY lane, line, state",
    );
    for (const row of waiting.all()) {
      const lane = this.lane(String(row["lane"]));
      const state = Number(row["state"]);
      const line = Number(row["line"]);
      lane.counts[state] = (lane.counts[state] ?? 0) + Number(row["n"]);
      if (line === LINE_DOOR) lane.heldByDoor += Number(row["n"]);
      if (line === LINE_TIME) lane.nextDue = Math.min(lane.nextDue, Number(row["due"]));
    }
    for (const [name, cursor] of cursors) this.lane(name).cursor = cursor;
  }

  /** The lane of a name, made on first use. */
  lane(name: string): LaneMemory {
    let lane = this.lanes.get(name);
    if (lane === undefined) {
      lane = { name, hold: null, counts: [0, 0, 0, 0], heldByDoor: 0, nextDue: Infinity, nextDueStale: false, cursor: "" };
      this.lanes.set(name, lane);
    }
    return lane;
  }

  // ---- counting --------------------------------------------------------------------------------------------------------

  counter(name: CounterName): number {
    return this.#counters.get(name) ?? 0;
  }

  add(name: CounterName, amount: number): void {
    this.#counters.set(name, this.counter(name) + amount);
    this.#changedCounters.add(name);
  }

  /** Counts a recipient into a waiting or final state. */
  enter(lane: LaneMemory, state: number, line: number | null): void {
    if (state >= DELIVERED) {
      const name = FINAL_NAMES[state - DELIVERED];
      if (name !== undefined) this.add(name, 1);
      return;
    }
    lane.counts[state] = (lane.counts[state] ?? 0) + 1;
    if (line === LINE_DOOR) lane.heldByDoor++;
  }

  /** Counts a recipient out of a waiting state. */
  leave(lane: LaneMemory, state: number, line: number | null): void {
    lane.counts[state] = (lane.counts[state] ?? 0) - 1;
    if (line === LINE_DOOR) lane.heldByDoor--;
    if (line === LINE_TIME) lane.nextDueStale = true;
  }

  /** Notes that something on the lane is due then. */
  due(lane: LaneMemory, at: number): void {
    if (at < lane.nextDue) lane.nextDue = at;
  }

  /** Earliest due time of a lane; looks it up by one step per device when the one in memory may be too early. */
  nextDue(lane: LaneMemory): number | undefined {
    if (lane.counts[0] + lane.counts[2] === 0) {
      lane.nextDue = Infinity;
      lane.nextDueStale = false;
      return undefined;
    }
    if (lane.nextDueStale) {
      lane.nextDue = Infinity;
      for (let device = ""; ;) {
        const row = this.#nextDevice.get(lane.name, device) as unknown as [string, number] | undefined;
        if (row === undefined) break;
        device = row[0];
        lane.nextDue = Math.min(lane.nextDue, row[1]);
      }
      lane.nextDueStale = false;
    }
    return lane.nextDue === Infinity ? undefined : lane.nextDue;
  }

  /** The states of all lanes that have a hold or something waiting. */
  laneStates(): LaneState[] {
    const states: LaneState[] = [];
    for (const lane of this.lanes.values()) {
      const waiting = lane.counts[0] + lane.counts[1] + lane.counts[2] + lane.counts[3];
      if (waiting === 0 && lane.hold === null) continue;
      states.push({ lane: lane.name, waiting, nextDueAt: this.nextDue(lane), hold: lane.hold ?? undefined });
    }
    return states;
  }

  /**
   * Acceptance time of the oldest message that waits. Row ids grow with acceptance and final recipients stay final, so the search goes on where it
   * ended: it costs each row once. Where 2,000 final ones lie between, as after a start or a busy day, all that waits is looked through instead.
   */
  oldestAcceptedAt(): number | undefined {
    let any = false;
    for (const lane of this.lanes.values()) any ||= lane.counts.some((count) => count > 0);
    if (!any) return undefined;
    const found = this.#nextWaiting();
    if (found !== undefined) return found;
    const [first] = this.#firstWaiting.get() as unknown as [number | null];
    this.#lowestWaiting = first ?? this.#lowestWaiting;
    return this.#nextWaiting();
  }

  /** Of the next 2,000 recipients the first that waits; undefined where none does. */
  #nextWaiting(): number | undefined {
    for (const [id, line, acceptedAt] of this.#findWaiting.iterate(this.#lowestWaiting) as unknown as Iterable<
      [number, number | null, number]
    >) {
      this.#lowestWaiting = id;
      if (line !== null) return acceptedAt;
    }
    return undefined;
  }

  // ---- shared memory -----------------------------------------------------------------------------------------------------

  addSlab(index: number, memory: SharedArrayBuffer): void {
    this.#slabs[index] = memory;
  }

  /** The octets a command refers to, not copied. */
  octets(octets: Octets): Uint8Array {
    if (octets instanceof Uint8Array) return octets;
    const slab = this.#slabs[octets.slab];
    if (slab === undefined) throw new Error(`no slab ${octets.slab}`);
    return new Uint8Array(slab, octets.offset, octets.length);
  }

  // ---- committing --------------------------------------------------------------------------------------------------------

  /**
   * Opens a transaction.
   *
   * @param durable - false for content whose envelope is still to come: its commit only writes to the log, without a sync. That is safe
   *   because the log is one file, written from front to back: the sync of the commit that adds the envelope covers every frame before it, and a
   *   checkpoint syncs the log before it touches the database. A crash in between loses the tail of the log, which nobody was promised.
   */
  begin(durable: boolean): void {
    const level = this.#synchronous === "OFF" ? "OFF" : durable ? "FULL" : "NORMAL";
    if (level !== this.#level) {
      setSynchronous(this.db, level);
      this.#level = level;
    }
    this.#begin.run();
  }

  /** Writes the counters that changed. */
  saveCounters(): void {
    for (const name of this.#changedCounters) this.#saveCounter.run(name, this.counter(name));
    this.#changedCounters.clear();
  }

  /** Commits, counters included. */
  commit(): void {
    this.saveCounters();
    this.#commit.run();
  }

  /** Gives up the transaction and what memory took from it. */
  rollback(): void {
    if (this.db.isTransaction) this.db.exec("ROLLBACK");
    this.load();
  }
}

/** Primary result codes that concern one statement and not the file: error, mismatch, constraint, too big, range. */
const HARMLESS = new Set([1, 18, 19, 20, 25]);

/** True for faults of the database after which nothing it says can be trusted: I/O, full disk, corruption, a lock that is not ours. */
export function isFatal(error: unknown): boolean {
  const code = (error as { errcode?: unknown }).errcode;
  return typeof code === "number" && !HARMLESS.has(code & 0xff);
}
