/** The main thread's end of the conversation with the worker that owns the database. */
import { Worker } from "node:worker_threads";
import { describeError, PosternError } from "../mail/errors.ts";
import { entryPoint } from "../platform/place.ts";
import { BlockPool, type Block } from "./pool.ts";
import { isRefused, type Command, type Octets, type Report, type WorkerSettings } from "./protocol.ts";
import { ROW_BYTES } from "./states.ts";
import { pack, type Wire } from "./wire.ts";

/** Called with the answer, or with the fault that took its place. */
export type Done = (answer: unknown, fault: PosternError | undefined) => void;

type Opened = Extract<Report, { kind: "opened" }>;
type Progress = Extract<Report, { kind: "progress" }>;

/** What the link tells its owner. */
export interface LinkListener {
  committed(seconds: number, operations: number): void;
  progress(progress: Progress): void;
  lost(error: PosternError): void;
}

/** Longest wait of a patient command, and how many wait together at most. */
const PATIENCE_MS = 5;
const MOST_PATIENT = 64;

/** A block that several small messages of one batch share. */
interface Arena {
  readonly block: Block;
  used: number;
  users: number;
}

/** Sends commands in batches, one message per turn of the event loop, and hands out the answers in order. */
export class WorkerLink {
  readonly pool: BlockPool;
  readonly #worker: Worker;
  readonly #listener: LinkListener;
  #batch: Wire[] = [];
  #flushPlanned = false;
  readonly #plannedFlush = (): void => this.#flush();
  #patience: NodeJS.Timeout | undefined;
  /** Answers are awaited in the order of the commands: a ring that grows. */
  #pending: (Done | undefined)[] = [];
  #head = 0;
  readonly #reads = new Map<number, (octets: Uint8Array | undefined) => void>();
  #nextRead = 1;
  #arena: Arena | undefined;
  /** When the worker last answered, or the first was asked after a rest (performance.now). */
  #answeredAt = 0;
  #fault: PosternError | undefined;
  #closing = false;
  #exited: (() => void) | undefined;
  /** Octets of stored content as of the last answer. */
  contentBytes = 0;

  private constructor(worker: Worker, listener: LinkListener, poolBytes: number) {
    this.#worker = worker;
    this.#listener = listener;
    this.pool = new BlockPool(poolBytes, (index, memory) => this.#worker.postMessage([{ op: "slab", index, memory }]));
  }

  /** Starts the worker and waits until it has opened the file. */
  static open(settings: WorkerSettings, listener: LinkListener, poolBytes: number): Promise<{ link: WorkerLink; opened: Opened }> {
    const worker = new Worker(entryPoint("queue/worker"), { workerData: settings, name: "postern-queue" });
    return new Promise((resolve, reject) => {
      let link: WorkerLink | undefined;
      worker.on("message", (report: Report) => {
        if (link !== undefined) link.#receive(report);
        else if (report.kind === "opened") {
          link = new WorkerLink(worker, listener, poolBytes);
          link.contentBytes = report.contentBytes;
          resolve({ link, opened: report });
        } else if (report.kind === "failed") {
          // Its end follows by itself: it has no port to wait on yet.
          reject(new PosternError(report.code, report.detail));
        }
      });
      worker.on("error", (error) => {
        const fault = new PosternError("E_SPOOL_FAILED", describeError(error), { cause: error });
        if (link === undefined) reject(fault);
        else link.#fail(fault);
      });
      worker.on("exit", (code) => {
        if (link === undefined) reject(new PosternError("E_SPOOL_FAILED", `the queue's thread ended with ${code}`));
        else link.#exit(code);
      });
    });
  }

  /** Why the database is closed for good; undefined while it works. */
  get fault(): PosternError | undefined {
    return this.#fault;
  }

  /** Commands that wait for their answer. */
  get pendingCommands(): number {
    return this.#pending.length - this.#head;
  }

  /** For how long the worker has answered nothing although it was asked; 0 when it owes no answer. */
  get waitedMs(): number {
    return this.pendingCommands === 0 ? 0 : performance.now() - this.#answeredAt;
  }

  /**
   * Sends a command with this turn's batch.
   *
   * @param patient - nobody waits for it, so that it may ride along with the next command that somebody waits for, instead of costing a
   *   sync of its own. It waits for a few milliseconds at most.
   */
  post(command: Command, done: Done | undefined, patient = false): void {
    if (this.#fault !== undefined || this.#closing) {
      done?.(undefined, this.#fault ?? new PosternError("E_SPOOL_FAILED", "the queue is closed"));
      return;
    }
    if (this.pendingCommands === 0) this.#answeredAt = performance.now();
    this.#batch.push(pack(command));
    this.#pending.push(done);
    if (this.#flushPlanned) return;
    if (patient && this.#batch.length < MOST_PATIENT) {
      this.#patience ??= setTimeout(this.#plannedFlush, PATIENCE_MS);
      return;
    }
    this.#flushPlanned = true;
    setImmediate(this.#plannedFlush);
  }

  /** Sends a command and waits for its answer. */
  ask<T>(command: Command): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.post(command, (answer, fault) => {
        if (fault === undefined) resolve(answer as T);
        else reject(fault);
      });
    });
  }

  /** Reads a row of content at once, without waiting for commits. Undefined when it is missing or damaged. */
  read(message: number, place: number): Promise<Uint8Array | undefined> {
    return new Promise((resolve, reject) => {
      if (this.#fault !== undefined || this.#closing) {
        reject(this.#fault ?? new PosternError("E_SPOOL_FAILED", "the queue is closed"));
        return;
      }
      const id = this.#nextRead++;
      this.#reads.set(id, (octets) => (this.#fault === undefined ? resolve(octets) : reject(this.#fault)));
      this.#worker.postMessage([{ op: "read", id, message, place }]);
    });
  }

  /**
   * Puts octets where the worker can see them: beside others of this batch in one shared block while there is one, else as a copy.
   * The returned function is to be called when the answer is there.
   */
  share(octets: Uint8Array): { octets: Octets; done: (() => void) | undefined } {
    let arena = this.#arena;
    if (arena !== undefined && ROW_BYTES - arena.used < octets.byteLength) {
      this.#sealArena();
      arena = undefined;
    }
    if (arena === undefined) {
      const block = octets.byteLength > ROW_BYTES || this.pool.isShort ? undefined : this.pool.acquire();
      if (block === undefined) return { octets: new Uint8Array(octets), done: undefined };
      arena = { block, used: 0, users: 1 };
      this.#arena = arena;
    }
    const { block, used } = arena;
    block.bytes.set(octets, used);
    arena.used += octets.byteLength;
    arena.users++;
    const mine = arena;
    return { octets: { slab: block.slab, offset: block.offset + used, length: octets.byteLength }, done: () => this.#leaveArena(mine) };
  }

  #leaveArena(arena: Arena): void {
    if (--arena.users === 0) this.pool.release(arena.block);
  }

  #sealArena(): void {
    const arena = this.#arena;
    this.#arena = undefined;
    if (arena !== undefined) this.#leaveArena(arena);
  }

  #flush(): void {
    this.#flushPlanned = false;
    clearTimeout(this.#patience);
    this.#patience = undefined;
    this.#sealArena();
    if (this.#batch.length === 0) return;
    const batch = this.#batch;
    this.#batch = [];
    this.#worker.postMessage(batch);
  }

  #receive(report: Report): void {
    this.#answeredAt = performance.now();
    switch (report.kind) {
      case "answers":
        this.contentBytes = report.contentBytes;
        if (report.seconds !== undefined) this.#listener.committed(report.seconds, report.answers.length);
        for (const answer of report.answers)
          this.#next()?.(answer, isRefused(answer) ? new PosternError(answer.refused, answer.detail) : undefined);
        break;
      case "progress":
        this.contentBytes = report.contentBytes;
        this.#listener.progress(report);
        break;
      case "read": {
        const read = this.#reads.get(report.id);
        this.#reads.delete(report.id);
        read?.(report.octets);
        break;
      }
      case "failed":
        this.#fail(new PosternError(report.code, report.detail));
        break;
      case "opened":
        break;
      default:
        report satisfies never;
    }
  }

  #next(): Done | undefined {
    const done = this.#pending[this.#head];
    this.#pending[this.#head++] = undefined;
    if (this.#head === this.#pending.length) {
      this.#pending = [];
      this.#head = 0;
    } else if (this.#head > 4096) {
      this.#pending = this.#pending.slice(this.#head);
      this.#head = 0;
    }
    return done;
  }

  #fail(fault: PosternError): void {
    if (this.#fault !== undefined) return;
    this.#fault = fault;
    this.#batch = [];
    while (this.#head < this.#pending.length) this.#next()?.(undefined, fault);
    for (const read of this.#reads.values()) read(undefined);
    this.#reads.clear();
    this.#listener.lost(fault);
  }

  #exit(code: number): void {
    if (!this.#closing) this.#fail(new PosternError("E_SPOOL_FAILED", `the queue's thread ended with ${code}`));
    this.#exited?.();
  }

  /** Waits for the commands under way, then has the file closed cleanly and ends the worker. */
  async close(): Promise<void> {
    if (this.#closing) return;
    this.#flush();
    this.#closing = true;
    const exited = new Promise<void>((resolve) => {
      this.#exited = resolve;
    });
    if (this.#fault === undefined) {
      this.#worker.postMessage([{ op: "close" }]);
      await exited;
    } else await this.#worker.terminate();
    for (const read of this.#reads.values()) read(undefined);
    this.#reads.clear();
  }
}
