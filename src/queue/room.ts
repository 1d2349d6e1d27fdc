/** Room for the queue's files: which faults mean that there was none, and the reserve that is given up then. */
import { randomFillSync } from "node:crypto";
import { closeSync, existsSync, openSync, rmSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { isOutOfRoom } from "../platform/files.ts";
import { isFull, isRefusedWrite } from "./faults.ts";

/** File beside the database that only takes up room. */
export const RESERVE_NAME = "reserve";
/** Written and removed again, to ask the file system why it refused a write. */
const TRIAL_NAME = "trial";
const TRIAL_BYTES = 1024 * 1024;

/** Path of the reserve of a database. */
export function reserveOf(path: string): string {
  return join(dirname(path), RESERVE_NAME);
}

export class Room {
  readonly #reserve: string;
  readonly #trial: string;
  readonly #write: (path: string) => void;

  /**
   * @param path - of the database
   * @param write - writes a file of a megabyte, or throws what the file system says; another one for tests
   */
  constructor(path: string, write: (path: string) => void = writeTrial) {
    this.#reserve = reserveOf(path);
    this.#trial = join(dirname(path), TRIAL_NAME);
    this.#write = write;
  }

  /**
   * True where a fault of the database means that there was no room: the transaction was given up whole, and file and connection are as good as before.
   *
   * SQLite knows only ENOSPC as that. A quota that is used up (EDQUOT) is an I/O error to it, and its number gets lost on the way: the file system is asked
   * again. Faults of a sync are never among them, after which nobody knows what the disk has.
   */
  ranOut(error: unknown): boolean {
    if (isFull(error)) return true;
    return isRefusedWrite(error) && !this.#isThere();
  }

  #isThere(): boolean {
    try {
      this.#write(this.#trial);
      return true;
    } catch (error) {
      return !isOutOfRoom(error);
    } finally {
      rmSync(this.#trial, { force: true });
    }
  }

  /** @returns whether there was one */
  giveUpReserve(): boolean {
    const was = existsSync(this.#reserve);
    rmSync(this.#reserve, { force: true });
    return was;
  }
}

function writeTrial(path: string): void {
  const file = openSync(path, "w", 0o600);
  try {
    // Zeros would take no room on a file system that compresses.
    const noise = randomFillSync(new Uint8Array(TRIAL_BYTES));
    for (let written = 0; written < TRIAL_BYTES;) written += writeSync(file, noise, written);
  } finally {
    closeSync(file);
  }
}
