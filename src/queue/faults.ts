/** Faults of the database's file, as an operator is told of them. */
import { dirname } from "node:path";
import { describeError, PosternError } from "../mail/errors.ts";

const CORRUPT = 11;
const FULL = 13;
const NOT_A_DATABASE = 26;
/** Writes that the system refused: of a page (SQLITE_IOERR_WRITE), and of the log's index (SQLITE_IOERR_SHMSIZE). */
const REFUSED_WRITES = new Set([778, 4874]);

function codeOf(error: unknown): number | undefined {
  const { errcode } = error as { errcode?: unknown };
  return typeof errcode === "number" ? errcode : undefined;
}

/** True where SQLite itself says that there was no room; `Room` knows of the other cases. */
export function isFull(error: unknown): boolean {
  const code = codeOf(error);
  return code !== undefined && (code & 0xff) === FULL;
}

/** True where the system refused a write, without SQLite saying why. */
export function isRefusedWrite(error: unknown): boolean {
  return REFUSED_WRITES.has(codeOf(error) ?? 0);
}

/** True where what the file has does not fit together. */
export function isDamaged(error: unknown): boolean {
  const kind = (codeOf(error) ?? 0) & 0xff;
  return kind === CORRUPT || kind === NOT_A_DATABASE;
}

/**
 * What a fault of the file means, and what to do about it. One of our own stays what it is.
 *
 * @param noRoom - whether there was no room at the start
 */
export function fileFault(error: unknown, path: string, noRoom = false): PosternError {
  if (error instanceof PosternError) return error;
  const said = `${path}: ${describeError(error)}`;
  const folder = dirname(path);
  if (noRoom)
    return new PosternError(
      "E_SPOOL_FULL",
      `${said}: the disk is full; make room on the file system of ${folder}, or in its quota: nothing that waits is lost, and the next start finds it`,
      { cause: error },
    );
  if (isDamaged(error))
    return new PosternError(
      "E_SPOOL_DAMAGED",
      `${said}: the file is damaged; move the folder aside (mv ${folder} ${folder}.damaged) and start: a new queue begins, mail is taken again, and what waited is in ${folder}.damaged (docs/operations.md says how to look for it)`,
      { cause: error },
    );
  // A bug of ours is not the disk's fault.
  if (!(error instanceof Error && "code" in error)) return new PosternError("E_SPOOL_FAILED", said, { cause: error });
  return new PosternError("E_SPOOL_FAILED", `${said}; look at the disk, at the rights of ${folder}, and at errors in the system's log`, {
    cause: error,
  });
}
