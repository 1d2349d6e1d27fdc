/**
 * The thread that owns the database. It takes everything that waits for it, writes it in one transaction and answers after the commit: while a
 * commit runs the next requests pile up, so the busier the queue, the more messages share one sync.
 */
import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { backup, type DatabaseSync } from "node:sqlite";
import { describeError, PosternError } from "../mail/errors.ts";
import { systemClock } from "../platform/clock.ts";
import { releaseMemoryAtRest } from "../platform/memory.ts";
import { attemptCounter, type AttemptCounter } from "./counting.ts";
import { accepting, sweeping, type Accepting, type Sweeping } from "./accepting.ts";
import { claiming, type Claiming } from "./claiming.ts";
import { clockSteps, forgetDueTimesAhead, type ClockSteps } from "./clock-step.ts";
import { openForWriting } from "./connection.ts";
import { doors, type DoorProgress, type Doors } from "./doors.ts";
import { fileFault } from "./faults.ts";
import { history } from "./history.ts";
import { keeping, type Keeping } from "./keeping.ts";
import { operating, type Operating } from "./operating.ts";
import { postponing, type Postponing } from "./postponing.ts";
import type { Command, Refused, Report, WorkerSettings, WorkerStatistics } from "./protocol.ts";
import { nameSenders, recoverDelivering } from "./recovery.ts";
import { Room } from "./room.ts";
import { migrate } from "./schema.ts";
import { settling, type Settling } from "./settling.ts";
import { CONTENT_SPAN, FINAL_NAMES, STATE_NAMES } from "./states.ts";
import { isFatal, Store } from "./store.ts";
import { Upkeep } from "./upkeep.ts";
import { unpack, type Wire } from "./wire.ts";

/** Commands executed in one transaction at most, so that the first does not wait for ever. */
const BATCH_COMMANDS = 2_000;

/** What found no room in the background is done again after this. */
const NO_ROOM_MS = 1_000;

/** Everything the worker works with once the file is open. */
interface Tools {
  readonly store: Store;
  readonly accept: Accepting;
  readonly sweep: Sweeping;
  readonly keep: Keeping;
  readonly claims: Claiming;
  readonly settles: Settling;
  readonly postpones: Postponing;
  readonly doors: Doors;
  readonly operate: Operating;
  readonly clockSteps: ClockSteps;
  readonly upkeep: Upkeep;
  readonly attemptCounts: AttemptCounter;
}

const port = parentPort;
if (port === null) throw new Error("this file is started as a worker thread");
const settings = workerData as WorkerSettings;
const room = new Room(settings.path);
let closed = false;

function report(message: Report, transfer: ArrayBuffer[] = []): void {
  port?.postMessage(message, transfer);
}

/** How much durability a command needs: 0 none, 1 a write, 2 a write that must survive a power cut before it is answered. */
function weight(command: Command): 0 | 1 | 2 {
  switch (command.op) {
    case "chunk":
      return 1;
    case "accept":
    case "claim":
    case "probe":
    case "probeSender":
    case "releaseSender":
    case "settle":
    case "lapse":
    case "hold":
    case "release":
    case "act":
    case "bounce":
    case "move":
    case "tellPostponed":
    case "clockStep":
      return 2;
    default:
      return 0;
  }
}

function statistics(store: Store): WorkerStatistics {
  const waiting = { queued: 0, delivering: 0, deferred: 0, held: 0 };
  for (const lane of store.lanes.values()) for (const state of [0, 1, 2, 3] as const) waiting[STATE_NAMES[state]] += lane.counts[state];
  const final = { delivered: 0, bounced: 0, expired: 0, deleted: 0 };
  for (const name of FINAL_NAMES) final[name] = store.counter(name);
  return {
    waiting,
    accepted: store.counter("accepted"),
    generated: store.counter("generated"),
    final,
    contentBytes: store.counter("content_bytes"),
    oldestAcceptedAt: store.oldestAcceptedAt(),
    lanes: store.laneStates(),
  };
}

function execute(tools: Tools, command: Command): unknown {
  switch (command.op) {
    case "chunk":
      return tools.accept.chunk(command);
    case "abandon":
      tools.accept.forget(command.message);
      return tools.sweep.abandon(command);
    case "accept":
      return tools.accept.accept(command);
    case "claim":
      return tools.claims.claim(command);
    case "probe":
      return tools.claims.probe(command);
    case "heldSenders":
      return tools.claims.heldSenders(command);
    case "probeSender":
      return tools.claims.probeSender(command);
    case "releaseSender":
      return tools.operate.releaseSender(command);
    case "settle":
      return tools.settles.settle(command);
    case "postponed":
      return tools.postpones.windows();
    case "postponedEntries":
      return tools.postpones.entries(command);
    case "tellPostponed":
      return tools.postpones.tell(command);
    case "lapse":
      return tools.claims.lapse(command);
    case "hold":
      return tools.doors.hold(command);
    case "release":
      return tools.doors.release(command);
    case "act":
      return tools.operate.act(command);
    case "bounce":
      return tools.operate.bounce(command);
    case "move":
      return tools.operate.move(command);
    case "tidy":
      tools.doors.reconcile(command.now);
      return tools.operate.tidy(command);
    case "clockStep":
      return tools.clockSteps.step(command);
    case "keepFailed":
      return tools.keep.keep(command.keep);
    case "lanes":
      return tools.store.laneStates();
    case "attempts":
      return tools.attemptCounts(command.lane, command.since, command.stepMs);
    case "statistics":
      return statistics(tools.store);
    case "slab":
    case "read":
    case "close":
      throw new Error(`${command.op} is not part of a batch`);
    default:
      throw new Error(`no command ${String(command satisfies never)}`);
  }
}

/** The answer to a command that was not done, and what follows from that for the next ones. */
function refuse({ accept, sweep, doors: doorways }: Tools, command: Command, error: unknown): Refused {
  if (command.op === "chunk") accept.lose(command.message);
  else if (command.op === "accept") {
    accept.forget(command.message);
    // Rows that were stored before it have nobody left.
    sweep.add(command.message);
  } else if (command.op === "hold" || command.op === "release") doorways.forget(command.job);
  return { refused: error instanceof PosternError ? error.code : "E_TEMPORARY", detail: describeError(error) };
}

/** Runs a batch so that one command that fails takes nothing with it: only after a first try without such care has failed. */
function executeApart(tools: Tools, batch: readonly Command[]): unknown[] {
  return batch.map((command) => {
    tools.store.db.exec("SAVEPOINT command");
    try {
      const answer = execute(tools, command);
      tools.store.saveCounters();
      return answer;
    } catch (error) {
      if (isFatal(error)) throw error;
      tools.store.db.exec("ROLLBACK TO command");
      tools.store.load();
      return refuse(tools, command, error);
    } finally {
      if (tools.store.db.isTransaction) tools.store.db.exec("RELEASE command");
    }
  });
}

/**
 * Runs a batch for which there was no room. New mail is refused; what keeps mail leaving is written one by one, into the reserve and the pages of the
 * log that are free again. What finds no room even so is refused with all that follows it, and comes again.
 */
function executeWithoutRoom(tools: Tools, batch: readonly Command[]): unknown[] {
  const noRoom = new PosternError("E_SPOOL_FULL", `${settings.path}: the disk is full`);
  let isOut = false;
  const alone = (command: Command): unknown => {
    const { store } = tools;
    try {
      store.begin(true);
      const answer = execute(tools, command);
      store.commit();
      return answer;
    } catch (error) {
      const ranOut = room.ranOut(error);
      if (isFatal(error) && !ranOut) throw error;
      store.rollback();
      if (ranOut) return noRoom;
      return refuse(tools, command, error);
    }
  };
  tools.upkeep.makeRoom();
  return batch.map((command) => {
    if (weight(command) === 0) return execute(tools, command);
    if (isOut || command.op === "chunk" || (command.op === "accept" && !command.generated)) return refuse(tools, command, noRoom);
    let answer = alone(command);
    if (answer === noRoom) {
      tools.upkeep.makeRoom();
      answer = alone(command);
    }
    isOut = answer === noRoom;
    return isOut ? refuse(tools, command, noRoom) : answer;
  });
}

/** Executes a batch in one transaction. Returns the answers and how long a durable commit took. */
function transact(tools: Tools, batch: readonly Command[]): { answers: unknown[]; seconds: number | undefined } {
  const { store } = tools;
  let needed = 0;
  for (const command of batch) needed = Math.max(needed, weight(command));
  if (needed === 0) return { answers: batch.map((command) => execute(tools, command)), seconds: undefined };
  const startedAt = performance.now();
  let answers: unknown[];
  try {
    store.begin(needed === 2);
    try {
      answers = batch.map((command) => execute(tools, command));
    } catch (error) {
      if (isFatal(error)) throw error;
      store.rollback();
      store.begin(needed === 2);
      answers = executeApart(tools, batch);
    }
    store.commit();
  } catch (error) {
    if (!room.ranOut(error)) throw error;
    store.rollback();
    answers = executeWithoutRoom(tools, batch);
  }
  return { answers, seconds: needed === 2 ? (performance.now() - startedAt) / 1000 : undefined };
}

/** After a fault of the file nothing more is read from it or written to it by this process. */
function fail(error: unknown, noRoom = false): void {
  closed = true;
  const { code, message } = fileFault(error, settings.path, noRoom);
  report({ kind: "failed", code, detail: message });
}

/** One slice of whatever is to be done besides answering; false when there is nothing. */
function background(tools: Tools): boolean {
  const { store, doors: doorways, sweep, keep, operate } = tools;
  if (doorways.pending === 0 && sweep.pending === 0 && !keep.dropping && !operate.pruning) return false;
  const progress: DoorProgress = { jobs: [], lanes: [] };
  const moving = doorways.pending > 0;
  // Nothing here has to be durable: the row of the lane, the table of what to sweep and the age of messages say after a crash what is left to do.
  store.begin(false);
  doorways.slice(progress);
  const { dropped, early } = keep.dropSlice();
  if (!moving) sweep.slice();
  const prunedMessages = !moving && sweep.pending === 0 ? operate.pruneSlice() : 0;
  store.commit();
  report({ kind: "progress", ...progress, prunedMessages, dropped, early, contentBytes: store.counter("content_bytes") });
  return true;
}

/** Takes what waits, in order, up to a full batch; reads and slabs are dealt with on the way. */
function collect(tools: Tools, first: readonly Wire[], batch: Command[]): boolean {
  let closing = false;
  let commands: readonly Wire[] | undefined = first;
  while (commands !== undefined) {
    for (const wire of commands) {
      const command = unpack(wire);
      if (command.op === "slab") tools.store.addSlab(command.index, command.memory);
      else if (command.op === "read") {
        const octets = tools.claims.read(command.message, command.place);
        report({ kind: "read", id: command.id, octets }, octets === undefined ? [] : [octets.buffer as ArrayBuffer]);
      } else if (command.op === "close") closing = true;
      else batch.push(command);
    }
    if (closing || batch.length >= BATCH_COMMANDS) break;
    commands = receiveMessageOnPort(port as NonNullable<typeof port>)?.message as readonly Wire[] | undefined;
  }
  return closing;
}

function work(tools: Tools, first: readonly Wire[]): void {
  if (closed) return;
  try {
    const batch: Command[] = [];
    const closing = collect(tools, first, batch);
    if (batch.length > 0) {
      const { answers, seconds } = transact(tools, batch);
      report({ kind: "answers", answers, seconds, contentBytes: tools.store.counter("content_bytes") });
    }
    if (closing) {
      closed = true;
      tools.upkeep.close();
      port?.close();
      return;
    }
    tools.upkeep.afterBatch();
    idle(tools);
  } catch (error) {
    tools.upkeep.abandon();
    fail(error);
  }
}

let idling = false;

/** Lets background work go on between batches, one slice each time the port has been looked at. */
function idle(tools: Tools): void {
  if (idling || closed) return;
  idling = true;
  setImmediate(() => {
    idling = false;
    if (closed) return;
    try {
      if (background(tools)) idle(tools);
    } catch (error) {
      if (room.ranOut(error)) {
        const { store, doors: doorways, sweep, upkeep } = tools;
        store.rollback();
        doorways.undone();
        sweep.undone();
        upkeep.makeRoom();
        setTimeout(() => idle(tools), NO_ROOM_MS).unref();
        return;
      }
      tools.upkeep.abandon();
      fail(error);
    }
  });
}

async function start(): Promise<void> {
  const db = openForWriting(settings.path, settings.synchronous);
  try {
    await begin(db);
  } catch (error) {
    if (db.isOpen) db.close();
    throw error;
  }
}

async function begin(db: DatabaseSync): Promise<void> {
  const { path, now, synchronous } = settings;
  const copy = async (version: number): Promise<string> => {
    const target = `${path}.schema-${version}.backup`;
    await backup(db, target);
    return target;
  };
  const migrated = await migrate(db, path, copy);
  const store = new Store(db, synchronous);
  store.load();
  const log = history(store);
  const accept = accepting(store);
  const sweep = sweeping(store);
  const postpones = postponing(store, accept);
  const keep = keeping(store, sweep);
  const settles = settling(store, log, accept, keep, postpones);
  const tools: Tools = {
    store,
    accept,
    sweep,
    keep,
    claims: claiming(store),
    settles,
    postpones,
    doors: doors(store, log),
    operate: operating(store, log, settles, keep, accept, postpones),
    clockSteps: clockSteps(store),
    upkeep: new Upkeep(db, room, settings.checkpointBytes),
    attemptCounts: attemptCounter(store),
  };
  const recovered = recoverDelivering(store, log, now);
  nameSenders(store);
  forgetDueTimesAhead(store, now);
  sweep.loadAll();
  tools.doors.reconcile(now);
  const highest = store.prepare(
    `SELECT max(coalesce((SELECT max(id) FROM message), 0), coalesce((SELECT max(k) / ${CONTENT_SPAN} FROM content), 0), coalesce((SELECT max(message) FROM sweep), 0))`,
  );
  let waiting = 0;
  for (const lane of store.laneStates()) waiting += lane.waiting;
  report({
    kind: "opened",
    nextMessage: (highest.get() as unknown as [number])[0] + 1,
    schemaVersion: migrated.version,
    waiting,
    heldLanes: [...store.lanes.values()].filter((lane) => lane.hold !== null).map((lane) => lane.name),
    recovered,
    swept: sweep.pending,
    contentBytes: store.counter("content_bytes"),
    backup: migrated.backup,
  });
  port?.on("message", (commands: readonly Wire[]) => work(tools, commands));
  idle(tools);
  // Pages of the file that SQLite has in memory; the system has them in its own cache, too.
  releaseMemoryAtRest(systemClock, () => {
    if (db.isOpen) db.exec("PRAGMA shrink_memory");
  });
}

start()
  .catch(async (error: unknown) => {
    if (!room.ranOut(error) || !room.giveUpReserve()) throw error;
    await start();
  })
  .catch((error: unknown) => fail(error, room.ranOut(error)));
