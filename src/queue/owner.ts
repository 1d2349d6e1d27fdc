/** One owner of the queue at a time: a lock that the kernel takes back when its holder ends, however that ends. */
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describeError, PosternError } from "../mail/errors.ts";

/** Stays when the queue is closed. */
export const LOCK_NAME = "owner.lock";
/** How long somebody who is just ending is waited for. */
const PATIENCE_MS = 500;
const SQLITE_BUSY = 5;
/** Held here as well: a connection that nobody refers to is closed by the garbage collector, and its lock is gone. */
const held = new Set<DatabaseSync>();

/**
 * Takes the queue for this process. To be called before the database is opened: opening it counts what is being delivered as interrupted, so a
 * second daemon would deliver the mail of the first again.
 *
 * The lock is SQLite's own, on an empty database beside the queue's; the queue's cannot be locked whole, because others may look at it.
 *
 * @param directory - of the queue, which exists
 * @returns gives the queue free again
 * @throws PosternError E_UNAVAILABLE when another process, or another queue of this one, has it; E_SPOOL_FAILED when the file system refuses
 */
export function takeOwnership(directory: string): () => void {
  const file = join(directory, LOCK_NAME);
  let lock: DatabaseSync | undefined;
  try {
    makePrivate(file);
    lock = new DatabaseSync(file, { timeout: PATIENCE_MS });
    lock.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
  } catch (error) {
    lock?.close();
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) {
      throw new PosternError("E_UNAVAILABLE", `another daemon is running on this data_dir (it holds ${file})`, { cause: error });
    }
    throw new PosternError("E_SPOOL_FAILED", `${file} cannot be locked: ${describeError(error)}`, { cause: error });
  }
  const owned = lock;
  held.add(owned);
  return () => {
    if (held.delete(owned)) owned.close();
  };
}

/** Made for us alone. One that is there is not opened: closing it would drop the locks that this process has on it (fcntl(2)). */
function makePrivate(file: string): void {
  try {
    closeSync(openSync(file, "wx", 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}
