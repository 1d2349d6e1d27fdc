/** Keeps the log file short and the database file no larger than needed, between commits and mostly when nothing else is to be done. */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Room } from "./room.ts";

/** Quiet time after which the log is copied into the database. */
const QUIET_MS = 250;
/** Quiet time between two steps of giving free pages back to the file system. */
const VACUUM_STEP_MS = 50;
/** Free pages kept for the next messages: 64 MiB. Growing a file costs more than using it again. */
const SPARE_PAGES = 4096;
/** Pages given back in one step: 4 MiB. */
const VACUUM_PAGES = 256;

export class Upkeep {
  readonly #db: DatabaseSync;
  readonly #room: Room;
  readonly #checkpointPages: number;
  readonly #look: StatementSync;
  readonly #checkpoint: StatementSync;
  readonly #free: StatementSync;
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param checkpointBytes - length of the log from which a checkpoint no longer waits for a quiet moment
   */
  constructor(db: DatabaseSync, room: Room, checkpointBytes: number) {
    this.#db = db;
    this.#room = room;
    const pageSize = Number(db.prepare("PRAGMA page_size").get()?.["page_size"]);
    this.#checkpointPages = Math.max(1, Math.floor(checkpointBytes / pageSize));
    this.#look = db.prepare("PRAGMA wal_checkpoint(NOOP)");
    this.#checkpoint = db.prepare("PRAGMA wal_checkpoint(PASSIVE)");
    this.#free = db.prepare("PRAGMA freelist_count");
  }

  /** To be called after each commit, when its answers are on their way. */
  afterBatch(): void {
    const { log, checkpointed } = this.#look.get() as { log: number; checkpointed: number };
    if (log - checkpointed >= this.#checkpointPages) this.#copyLog();
    if (this.#timer === undefined) this.#timer = setTimeout(() => this.#quiet(), QUIET_MS).unref();
    else this.#timer.refresh();
  }

  #quiet(): void {
    this.#timer = undefined;
    if (!this.#db.isOpen) return;
    this.#copyLog();
    if (this.#freePages() > SPARE_PAGES) this.#timer = setTimeout(() => this.#vacuum(), VACUUM_STEP_MS).unref();
  }

  /** Copies what it can of the log into the database: written pages of the log are used again then. */
  #copyLog(): void {
    this.#unlessFull(() => this.#checkpoint.get());
  }

  /** What finds no room changes nothing, and is done later: the log keeps what was committed. */
  #unlessFull(work: () => void): boolean {
    try {
      work();
      return true;
    } catch (error) {
      if (!this.#room.ranOut(error)) throw error;
      this.#room.giveUpReserve();
      return false;
    }
  }

  /** The disk is full: gives up the reserve, and makes the log usable from its front. */
  makeRoom(): void {
    this.#room.giveUpReserve();
    this.#copyLog();
  }

  #freePages(): number {
    return Number(this.#free.get()?.["freelist_count"]);
  }

  #vacuum(): void {
    this.#timer = undefined;
    if (!this.#db.isOpen) return;
    const isDone = this.#unlessFull(() => this.#db.exec(`PRAGMA incremental_vacuum(${VACUUM_PAGES})`));
    if (!isDone) return;
    if (this.#freePages() > SPARE_PAGES) this.#timer = setTimeout(() => this.#vacuum(), VACUUM_STEP_MS).unref();
    else this.#timer = setTimeout(() => this.#quiet(), QUIET_MS).unref();
  }

  /** Copies the whole log into the database, cuts it to nothing and closes the file. */
  close(): void {
    clearTimeout(this.#timer);
    this.#unlessFull(() => this.#db.exec("PRAGMA wal_checkpoint(TRUNCATE)"));
    this.#db.close();
  }

  /** Closes the file after a fault, without any further write that could be avoided. */
  abandon(): void {
    clearTimeout(this.#timer);
    if (this.#db.isOpen) this.#db.close();
  }
}
