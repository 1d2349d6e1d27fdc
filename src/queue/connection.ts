/** Opening the database file with the settings that its promises rest on. */
import { closeSync, openSync, readSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { PosternError } from "../mail/errors.ts";
import { refuseNewer } from "./schema.ts";

/** Name of the database inside the queue's directory. */
export const FILE_NAME = "queue.db";

/**
 * Deleted content is overwritten with zeros in the file (ON), not only where that costs no further write (FAST): mail may be confidential.
 * It costs about 1 ms of the worker's time per MB.
 */
export const SECURE_DELETE = "ON";

/** Releases before this one can corrupt a database whose log is reset by two connections at once (https://sqlite.org/wal.html#walresetbug). */
const OLDEST_SQLITE = [3, 51, 3] as const;

/** How every SQLite file begins. */
const MAGIC = Buffer.from("SQLite format 3\0");

/** Octets at which a checkpoint cuts the log file back. */
const JOURNAL_BYTES = 64 * 1024 * 1024;

/** True for SQLite versions that keep their promises, `3.51.3` and newer. */
export function isUsableSqlite(version: string): boolean {
  const parts = version.split(".").map(Number);
  for (const [at, least] of OLDEST_SQLITE.entries()) {
    const part = parts[at] ?? 0;
    if (part !== least) return part > least;
  }
  return true;
}

/**
 * Sets how far a commit of this connection goes, and reads it back: a driver or a build that ignores the setting would make every 250 a lie.
 * FULL syncs the log at each commit, NORMAL only at checkpoints, OFF never.
 */
export function setSynchronous(db: DatabaseSync, level: "FULL" | "NORMAL" | "OFF"): void {
  db.exec(`PRAGMA synchronous = ${level}`);
  const wanted = level === "FULL" ? 2 : level === "NORMAL" ? 1 : 0;
  const found = db.prepare("PRAGMA synchronous").get()?.["synchronous"];
  if (found !== wanted)
    throw new PosternError("E_SPOOL_FAILED", `SQLite keeps synchronous=${String(found)} although ${level} was asked for`);
}

/**
 * Refuses a newer file by its first page, without opening it as a database: opening alone may already change it.
 *
 * @throws PosternError E_SPOOL_NEWER, E_CONFIG for a file that is no database
 */
export function refuseNewerFile(path: string): void {
  const header = Buffer.alloc(100);
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  try {
    const length = readSync(file, header, 0, header.length, 0);
    if (length === 0) return;
    if (!header.subarray(0, MAGIC.length).equals(MAGIC))
      throw new PosternError("E_CONFIG", `${path} is not a database; move it out of the way`);
  } finally {
    closeSync(file);
  }
  // user_version, a big-endian number at offset 60 (https://sqlite.org/fileformat2.html#database_header)
  refuseNewer(header.readUInt32BE(60), path);
}

function checkVersion(db: DatabaseSync): void {
  const version = String(db.prepare("SELECT sqlite_version() AS version").get()?.["version"]);
  if (!isUsableSqlite(version))
    throw new PosternError("E_UNAVAILABLE", `SQLite ${version} is too old: ${OLDEST_SQLITE.join(".")} or newer is needed`);
}

/** Opens the one connection that writes. */
export function openForWriting(path: string, synchronous: "FULL" | "OFF"): DatabaseSync {
  refuseNewerFile(path);
  const db = new DatabaseSync(path);
  try {
    checkVersion(db);
    // page_size and auto_vacuum only take effect on an empty file, and before it becomes a WAL database.
    db.exec("PRAGMA busy_timeout = 5000; PRAGMA page_size = 16384; PRAGMA auto_vacuum = INCREMENTAL");
    const mode = db.prepare("PRAGMA journal_mode = WAL").get()?.["journal_mode"];
    if (mode !== "wal")
      throw new PosternError("E_SPOOL_FAILED", `SQLite refuses its write-ahead log on ${path} (journal_mode=${String(mode)})`);
    setSynchronous(db, synchronous);
    db.exec(`PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = ${JOURNAL_BYTES}; PRAGMA cache_size = -8192;
      PRAGMA secure_delete = ${SECURE_DELETE}; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF`);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** Opens a connection that can only look. */
export function openForReading(path: string): DatabaseSync {
  refuseNewerFile(path);
  const db = new DatabaseSync(path, { readOnly: true });
  try {
    checkVersion(db);
    db.exec("PRAGMA busy_timeout = 5000; PRAGMA cache_size = -4096; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF");
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}
