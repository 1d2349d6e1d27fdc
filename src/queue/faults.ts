/** Faults of the database's file, as an operator is told of them. */
import { dirname } from "node:path";
import { describeError, PosternError } from "../mail/errors.ts";

const CORRUPT = 11;
const FULL = 13;
const NOT_A_DATABASE = 26;
/** No room for the log's index. */
const NO_ROOM_FOR_INDEX = 4874;

function codeOf(error: unknown): number | undefined {
  const { errcode } = error as { errcode?: unknown };
  return typeof errcode === "number" ? errcode : undefined;
}

/** True where there was no room: the transaction was given up whole, and the file and the connection are as good as before. */
export function isFull(error: unknown): boolean {
  const code = codeOf(error);
  return code !== undefined && (code & 0xff) === FULL;
}

/** True where a start found no room. */
export function isFullAtStart(error: unknown): boolean {
  return isFull(error) || codeOf(error) === NO_ROOM_FOR_INDEX;
}

/** What a fault at the start means, and what to do about it. One of our own stays what it is. */
export function startFault(error: unknown, path: string): PosternError {
  if (error instanceof PosternError) return error;
  const said = `${path}: ${describeError(error)}`;
  const kind = (codeOf(error) ?? 0) & 0xff;
  const folder = dirname(path);
  if (isFullAtStart(error))
    return new PosternError(
      "E_SPOOL_FULL",
      `${said}: the disk is full; make room on the file system of ${folder}: nothing that waits is lost, and the next start finds it`,
      { cause: error },
    );
  if (kind === CORRUPT || kind === NOT_A_DATABASE)
    return new PosternError(
      "E_SPOOL_DAMAGED",
      `${said}: the file is damaged; move the folder aside (mv ${folder} ${folder}.damaged) and start: a new queue begins, mail is taken again, and what waited is in ${folder}.damaged (docs/operations.md says how to look for it)`,
      { cause: error },
    );
  return new PosternError("E_SPOOL_FAILED", `${said}; look at the disk, at the rights of ${folder}, and at errors in the system's log`, {
    cause: error,
  });
}
