/** Free space below the queue, and whether the file system can be trusted with a database. */
import { chmod, mkdir, open, statfs } from "node:fs/promises";
import { join } from "node:path";
import { PosternError } from "../mail/errors.ts";
import type { Emit } from "../mail/events.ts";
import type { Clock } from "../platform/clock.ts";
import { FILE_NAME } from "./connection.ts";

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

/** Free octets for an unprivileged process on the file system of a path. */
export async function freeBytes(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}

const ACTIVE_POLL_MS = 1_000;
const IDLE_POLL_MS = 10_000;

/** Watches free space, so that asking costs nothing. */
export class DiskWatch {
  readonly #directory: string;
  #floorBytes: number;
  readonly #clock: Clock;
  readonly #emit: Emit;
  readonly #measure: (path: string) => Promise<number>;
  #free = Infinity;
  #written = 0;
  #below = false;
  #stopped = false;
  #cancel: (() => void) | undefined;
  #looking: Promise<void> | undefined;

  /** @param measure - free octets at a path; another one for tests */
  constructor(directory: string, floorBytes: number, clock: Clock, emit: Emit, measure: (path: string) => Promise<number> = freeBytes) {
    this.#directory = directory;
    this.#floorBytes = floorBytes;
    this.#clock = clock;
    this.#emit = emit;
    this.#measure = measure;
  }

  /** Measures once, then goes on by itself: each second while mail comes in, every ten otherwise. */
  async start(): Promise<void> {
    await this.#look();
    this.#plan();
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

  /** Counts octets on their way to the disk: they are there twice for a while, in the log and in the file. */
  wrote(bytes: number): void {
    this.#written += 2 * bytes;
    if (!this.#below) this.#judge();
  }

  #plan(): void {
    if (this.#stopped) return;
    this.#cancel = this.#clock.after(this.#written > 0 || this.#below ? ACTIVE_POLL_MS : IDLE_POLL_MS, () => {
      this.#looking = this.#look().then(() => this.#plan());
    });
  }

  /** Settles when no measurement is under way. */
  async settled(): Promise<void> {
    await this.#looking;
  }

  async #look(): Promise<void> {
    this.#written = 0;
    try {
      this.#free = await this.#measure(this.#directory);
    } catch {
      // Without an answer nothing is known: the last figure stands, and a disk that is really gone fails the next commit.
    }
    this.#judge();
  }

  #judge(): void {
    const below = this.freeBytes < this.#floorBytes;
    if (below && !this.#below) this.#emit({ type: "queue.full", freeBytes: this.freeBytes, floorBytes: this.#floorBytes });
    this.#below = below;
  }
}
