/**
 * What becomes of the content of a finished message. It is deleted, except where somebody did not get the mail: then it can be exported for a while
 * (`history.failed_content`), until the time is over or the room is needed.
 */
import type { Sweeping } from "./accepting.ts";
import { BOUNCED, CONTENT_SPAN, EXPIRED, RECIPIENT_SPAN, ROW_BYTES } from "./states.ts";
import type { Store } from "./store.ts";

/**
 * Content up to this size is deleted in the commit that makes its last recipient final: that costs nothing extra. Larger content is entered in `sweep`
 * by that commit and deleted in slices right after, because overwriting 35 MB would hold up every message that waits for its own 250. After a crash
 * the table says what is left to do.
 */
const INLINE_DELETE_BYTES = 4 * ROW_BYTES;
/** Messages whose kept content is given up in one slice. */
const DROP_SLICE = 200;

export interface Keeping {
  /** Whether content of failed mail is kept from now on. */
  keep(failed: boolean): void;
  /**
   * The last recipient of a message became final.
   *
   * @param size - of its content, in octets
   * @param failed - whether somebody did not get it; undefined: to be looked up
   */
  finished(message: number, size: number, now: number, failed?: boolean): void;
  /** The message is forgotten: its content, if it was kept, has nobody left. */
  forget(message: number): void;
  /** Begins to drop the content of what failed before a time; `early`: sooner than was promised. */
  drop(before: number, early: boolean): void;
  readonly dropping: boolean;
  /** Hands the next ones to the sweep, inside a transaction. */
  dropSlice(): { readonly dropped: number; readonly early: boolean };
}

/** Prepares the statements. */
export function keeping(store: Store, sweep: Sweeping): Keeping {
  const deleteContent = store.prepare("DELETE FROM content WHERE k >= ? AND k < ?");
  const markSweep = store.prepare("INSERT OR IGNORE INTO sweep(message) VALUES(?)");
  const someFailed = store.prepare(
    `SELECT 1 FROM recipient NOT INDEXED WHERE id >= ? AND id < ? AND state IN (${BOUNCED}, ${EXPIRED}) LIMIT 1`,
  );
  const markFailed = store.prepare("INSERT OR REPLACE INTO failed(message, at) VALUES(?, ?)");
  const unmarkFailed = store.prepare("DELETE FROM failed WHERE message = ?");
  const due = store.prepare(`SELECT message FROM failed WHERE at < ? ORDER BY at LIMIT ${DROP_SLICE}`);
  let keepsFailed = false;
  let pass: { before: number; early: boolean } | undefined;

  function sweepAway(message: number): void {
    markSweep.run(message);
    sweep.add(message);
  }

  return {
    keep(failed) {
      keepsFailed = failed;
    },

    finished(message, size, now, failed) {
      if (keepsFailed && (failed ?? someFailed.get(message * RECIPIENT_SPAN, (message + 1) * RECIPIENT_SPAN) !== undefined)) {
        markFailed.run(message, now);
      } else if (size > INLINE_DELETE_BYTES) sweepAway(message);
      else if (deleteContent.run(message * CONTENT_SPAN, (message + 1) * CONTENT_SPAN).changes !== 0) store.add("content_bytes", -size);
    },

    forget(message) {
      if (unmarkFailed.run(message).changes !== 0) sweepAway(message);
    },

    drop(before, early) {
      pass = { before, early };
    },

    get dropping() {
      return pass !== undefined;
    },

    dropSlice() {
      if (pass === undefined) return { dropped: 0, early: false };
      const { before, early } = pass;
      const messages = due.all(before) as unknown as [number][];
      for (const [message] of messages) {
        unmarkFailed.run(message);
        sweepAway(message);
      }
      if (messages.length < DROP_SLICE) pass = undefined;
      return { dropped: messages.length, early };
    },
  };
}
