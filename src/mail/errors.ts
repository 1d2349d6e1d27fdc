/** Every fault that Postern raises on purpose. The key is the stable code used in logs, docs and tests. */
import type { Reply } from "./reply.ts";

/** What a fault means outside: the reply an SMTP client gets, the code a command exits with (sysexits.h). */
interface Fault {
  readonly reply?: Reply;
  readonly exitCode?: number;
}

export const POSTERN_ERRORS = {
  E_USAGE: { exitCode: 64 },
  E_UNAVAILABLE: { exitCode: 69 },
  E_TEMPORARY: { exitCode: 75 },
  E_POLICY: { exitCode: 77 },
  E_CONFIG: { exitCode: 78 },
  /** Free space is below the floor: nothing new is accepted, what is queued goes on. */
  E_SPOOL_FULL: { reply: { code: 452, enhanced: "4.3.1", text: "Insufficient system storage, try again later" }, exitCode: 75 },
  /** The database was closed after an I/O error and the process is about to be restarted. */
  E_SPOOL_FAILED: { reply: { code: 451, enhanced: "4.3.0", text: "The mail could not be stored, try again later" }, exitCode: 75 },
  /** The open queue file is not where its path says: nothing new is accepted, what is queued goes on. */
  E_SPOOL_MOVED: { reply: { code: 451, enhanced: "4.3.0", text: "The store of mail is not in its place, try again later" }, exitCode: 75 },
  /** The disk neither writes nor fails: nothing new is accepted until it answers. */
  E_SPOOL_STUCK: { reply: { code: 451, enhanced: "4.3.0", text: "The store of mail does not answer, try again later" }, exitCode: 75 },
  /** The queue file was written by a newer Postern. */
  E_SPOOL_NEWER: { exitCode: 78 },
  /** The queue file is damaged: no restart mends it. */
  E_SPOOL_DAMAGED: { reply: { code: 451, enhanced: "4.3.0", text: "The mail could not be stored, try again later" }, exitCode: 78 },
  /** Stored content whose checksum does not agree: never sent. */
  E_CONTENT_CORRUPT: {},
  /** An id that the queue does not know. */
  E_NO_SUCH_MESSAGE: { exitCode: 64 },
  /** An address that the inventory does not know. */
  E_NO_SUCH_DEVICE: { exitCode: 64 },
  /** A secret reference that cannot be read. */
  E_SECRET: { exitCode: 78 },
} as const satisfies Record<string, Fault>;

export type PosternErrorCode = keyof typeof POSTERN_ERRORS;

/** A fault with its stable code, a detail for the operator, and the cause where there is one. */
export class PosternError extends Error {
  readonly code: PosternErrorCode;

  constructor(code: PosternErrorCode, detail: string, options?: { cause?: unknown }) {
    super(detail, options);
    this.name = "PosternError";
    this.code = code;
  }

  /** What an SMTP client is told; a generic temporary failure where the catalogue names none. Never the detail. */
  get reply(): Reply {
    const fault: Fault = POSTERN_ERRORS[this.code];
    return fault.reply ?? { code: 451, enhanced: "4.3.0", text: "Local error in processing, try again later" };
  }

  /** What a command exits with. */
  get exitCode(): number {
    const fault: Fault = POSTERN_ERRORS[this.code];
    return fault.exitCode ?? 70;
  }
}

/** How Node calls EDQUOT, for which it has no name. */
const QUOTA_USED_UP = /Unknown system error -122(?:: Unknown system error -122)?/g;

/** The message of anything thrown, on one line. */
export function describeError(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  // Node's advice is for those who write programs; ours is `ca` of the upstream.
  return text
    .replace("; if the root CA is installed locally, try running Node.js with --use-system-ca", "")
    .replace(QUOTA_USED_UP, "EDQUOT: disk quota exceeded")
    .replace(/\s*\n\s*/g, " ");
}
