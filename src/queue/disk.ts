/** Free space below the queue, whether its files are in their place, and whether the file system can be trusted with a database. */
import { randomFillSync } from "node:crypto";
import { chmod, mkdir, open, rm, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import { PosternError } from "../mail/errors.ts";
import type { Emit } from "../mail/events.ts";
import type { Clock } from "../platform/clock.ts";
import { isOutOfRoom } from "../platform/files.ts";
import { FILE_NAME } from "./connection.ts";
import { LOCK_NAME } from "./owner.ts";
import { RESERVE_NAME, reserveOf } from "./room.ts";

/** File systems of other machines, by the magic number of statfs(2): locks and shared memory do not hold there, and a lost connection is a lost queue. */
const NETWORK_FILE_SYSTEMS = new Map([
  [0x6969, "NFS"],
  [0x517b, "SMB"],
  [0xff534d42, "CIFS"],
  [0xfe534d42, "SMB2"],
  [0x564c, "NCP"],
  [0x5346414f, "AFS"],
  [0x73757245, "Coda"],
  [0x01021997, "9P"],
  [0x00c36400, "Ceph"],
  [0x0bd00bd0, "Lustre"],
  [0x01161970, "GFS2"],
  [0x7461636f, "OCFS2"],
]);

/** The name of a network file system by its magic number; undefined for local ones. */
export function networkFileSystem(type: number): string | undefined {
  return NETWORK_FILE_SYSTEMS.get(type >>> 0);
}

/**
 * Makes the directory (0700) and the database file (0600), which its log and index inherit.
 *
 * @returns the path of the database file
 * @throws PosternError E_CONFIG on a network file system
 */
export async function prepareDirectory(directory: string): Promise<string> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const network = networkFileSystem((await statfs(directory)).type);
  if (network !== undefined)
    throw new PosternError("E_CONFIG", `${directory} is on a network file system (${network}); the queue needs a local disk`);
  await chmod(directory, 0o700);
  const path = join(directory, FILE_NAME);
  const file = await open(path, "a", 0o600);
  await file.chmod(0o600);
  await file.close();
  const parent = await open(directory, "r");
  await parent.sync();
  await parent.close();
  return path;
}

/**
 * What a folder that was used before has in the place of its database, where that is none. To be asked before anything is made in it: SQLite begins a new one
 * without a word, and also removes the log of the one before.
 */
export async function foundInstead(directory: string): Promise<"nothing" | "an empty file" | undefined> {
  const sizeOf = async (name: string): Promise<number | undefined> =>
    await stat(join(directory, name)).then(
      ({ size }) => size,
      () => undefined,
    );
  const size = await sizeOf(FILE_NAME);
  if (size !== undefined && size > 0) return undefined;
  const beside = await Promise.all([LOCK_NAME, RESERVE_NAME, `${FILE_NAME}-wal`].map(sizeOf));
  if (beside.every((one) => one === undefined)) return undefined;
  return size === undefined ? "nothing" : "an empty file";
}

/** Free octets for an unprivileged process on the file system of a path. */
export async function freeBytes(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}

const ACTIVE_POLL_MS = 1_000;
const IDLE_POLL_MS = 10_000;

/**
 * Where another program fills the disk to the last octet, this much is given up for what must be written so that mail goes on leaving. A delivery
 * takes about 200 KiB of the log, which is used again.
 */
const RESERVE_BYTES = 8 * 1024 * 1024;
const RESERVE_STEP = 1024 * 1024;
/** A start has better things to write, and what waits comes before what may. */
const RESERVE_AFTER_MS = 10_000;

/** What SQLite keeps of an open queue: the file, its log, and the log's index. */
const FILES = [FILE_NAME, `${FILE_NAME}-wal`, `${FILE_NAME}-shm`];

/** Which file a path names; undefined for none. Never opens it: closing it would drop the locks that this process has on it (fcntl(2)). */
async function identityOf(path: string): Promise<string | undefined> {
  try {
    const { dev, ino } = await stat(path, { bigint: true });
    return `${dev}:${ino}`;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}

/** Watches free space, and that the open files are still those that their paths name, so that asking costs nothing. */
export class DiskWatch {
  readonly #directory: string;
  /** The open files, by path. */
  readonly #opened = new Map<string, string | undefined>();
  #floorBytes: number;
  readonly #clock: Clock;
  readonly #emit: Emit;
  readonly #measure: (path: string) => Promise<number>;
  #free = Infinity;
  /** A commit found no room, and the reserve was not made again since. */
  #ranOut = false;
  #written = 0;
  #below = false;
  #misplaced: string | undefined;
  #lookedAt = -Infinity;
  #stopped = false;
  #cancel: (() => void) | undefined;
  #looking: Promise<void> | undefined;
  #reserving: Promise<void> | undefined;
  #reserveFrom = Infinity;

  /** @param measure - free octets at a path; another one for tests */
  constructor(directory: string, floorBytes: number, clock: Clock, emit: Emit, measure: (path: string) => Promise<number> = freeBytes) {
    this.#directory = directory;
    this.#floorBytes = floorBytes;
    this.#clock = clock;
    this.#emit = emit;
    this.#measure = measure;
  }

  /**
   * To be called when the files are open. Looks once, then goes on by itself: each second while mail comes in or nothing can be accepted, every ten
   * otherwise.
   */
  async start(): Promise<void> {
    for (const name of FILES) {
      const path = join(this.#directory, name);
      this.#opened.set(path, await identityOf(path));
    }
    this.#reserveFrom = this.#clock.monotonic() + RESERVE_AFTER_MS;
    await this.#look();
    this.#plan();
  }

  /** Mail is about to come in: looks again, unless that was done within a second. */
  freshen(): void {
    if (this.#stopped || this.#clock.monotonic() - this.#lookedAt < ACTIVE_POLL_MS) return;
    this.#looking = this.#look();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
  }

  /** Another floor from now on. */
  setFloor(bytes: number): void {
    this.#floorBytes = bytes;
    this.#judge();
  }

  /** Free octets, less what was written since they were measured. */
  get freeBytes(): number {
    return Math.max(0, this.#free - this.#written);
  }

  get floorBytes(): number {
    return this.#floorBytes;
  }

  get isBelowFloor(): boolean {
    return this.#below;
  }

  /** The path that no longer names the file that is open; undefined while all are in their place. */
  get misplaced(): string | undefined {
    return this.#misplaced;
  }

  /** Counts octets on their way to the disk: they are there twice for a while, in the log and in the file. */
  wrote(bytes: number): void {
    this.#written += 2 * bytes;
    if (!this.#below) this.#judge();
  }

  #plan(): void {
    if (this.#stopped) return;
    const isBusy = this.#written > 0 || this.#below || this.#misplaced !== undefined;
    this.#cancel = this.#clock.after(isBusy ? ACTIVE_POLL_MS : IDLE_POLL_MS, () => {
      this.#looking = this.#look().then(() => this.#plan());
    });
  }

  /** Settles when nothing is looked at or written any more. */
  async settled(): Promise<void> {
    await this.#looking;
    await this.#reserving;
  }

  /**
   * A commit found no room, whatever was measured: a quota of the user does not show in what is free. Nothing counts as free from here on until the
   * reserve could be made again, which shows that there is room.
   */
  ranOut(): void {
    this.#ranOut = true;
    this.#free = 0;
    this.#judge();
  }

  async #look(): Promise<void> {
    this.#written = 0;
    this.#lookedAt = this.#clock.monotonic();
    await this.#lookForFiles();
    try {
      const measured = await this.#measure(this.#directory);
      if (!this.#ranOut) this.#free = measured;
      this.#reserving ??= this.#keepReserve(measured).finally(() => {
        this.#reserving = undefined;
      });
    } catch {
      // Without an answer nothing is known: the last figure stands, and a disk that is really gone fails the next commit.
    }
    this.#judge();
  }

  /** Makes the reserve while there is room for it and as much again above the floor. It holds nothing: one that a crash cut short is made anew. */
  async #keepReserve(freeBytes: number): Promise<void> {
    if (this.#stopped || this.#misplaced !== undefined || this.#clock.monotonic() < this.#reserveFrom) return;
    if (freeBytes < this.#floorBytes + 2 * RESERVE_BYTES) return;
    const path = reserveOf(join(this.#directory, FILE_NAME));
    try {
      const { size } = await stat(path).catch(() => ({ size: 0 }));
      if (size >= RESERVE_BYTES) {
        this.#ranOut = false;
        return;
      }
      const file = await open(path, "w", 0o600);
      try {
        // Zeros would take no room on a file system that compresses.
        const noise = randomFillSync(new Uint8Array(RESERVE_STEP));
        for (let written = 0; written < RESERVE_BYTES && !this.#stopped; written += RESERVE_STEP) await file.write(noise);
      } finally {
        await file.close();
      }
      this.#ranOut = false;
    } catch (error) {
      // Kept from making it by something else, the figures are all there is to go by.
      if (!isOutOfRoom(error)) this.#ranOut = false;
      // There is none then; what there is of it only takes up room.
      await rm(path, { force: true }).catch(() => undefined);
    }
  }

  /** A file that was moved or removed goes on taking mail that nobody finds again. */
  async #lookForFiles(): Promise<void> {
    let misplaced: string | undefined;
    try {
      for (const [path, opened] of this.#opened) if ((await identityOf(path)) !== opened) misplaced ??= path;
    } catch {
      // Not to be seen is not gone.
      return;
    }
    const before = this.#misplaced;
    this.#misplaced = misplaced;
    if (misplaced !== undefined && before === undefined) {
      this.#emit({
        type: "alert.raised",
        alert: "spool.moved",
        subject: "queue",
        text: `no mail is accepted: ${misplaced} is not the file that the relay has open; it was moved, removed or replaced while the relay runs`,
        remedy:
          "Put the folder back where it was, in place of what was made there anew, and mail is accepted again. Where that cannot be done, let what waits leave, then stop the relay: what it accepted is in the file that was moved, and lost with one that was deleted",
        severity: "critical",
      });
    }
    if (misplaced === undefined && before !== undefined) this.#emit({ type: "alert.cleared", alert: "spool.moved", subject: "queue" });
  }

  #judge(): void {
    const below = this.freeBytes < this.#floorBytes;
    if (below && !this.#below) this.#emit({ type: "queue.full", freeBytes: this.freeBytes, floorBytes: this.#floorBytes });
    this.#below = below;
  }
}
