/** The record of what was done to a message. */
import { HISTORY_SPAN } from "./states.ts";
import type { Store } from "./store.ts";

export interface History {
  /** @param recipients - indexes of those it was made for */
  attempt(message: number, lane: string, at: number, recipients: readonly number[], record: string): void;
  /** An act of an operator, or of the queue itself where `actor` is null. */
  note(message: number, at: number, what: string, actor: string | null): void;
}

/** Prepares the statements. */
export function history(store: Store): History {
  // Should a message ever use up its numbers, the last one is written over.
  const next = (table: string): string => `(SELECT min(coalesce(max(id) + 1, ?1), ?2) FROM ${table} WHERE id >= ?1 AND id <= ?2)`;
  const addFirst = store.prepare("INSERT OR IGNORE INTO attempt(id, lane, at, recipients, record) VALUES(?, ?, ?, ?, ?)");
  const addAttempt = store.prepare(
    `INSERT OR REPLACE INTO attempt(id, lane, at, recipients, record) VALUES(${next("attempt")}, ?3, ?4, ?5, ?6)`,
  );
  const addFirstNote = store.prepare("INSERT OR IGNORE INTO history(id, at, what, actor) VALUES(?, ?, ?, ?)");
  const addNote = store.prepare(`INSERT OR REPLACE INTO history(id, at, what, actor) VALUES(${next("history")}, ?3, ?4, ?5)`);
  const first = (message: number): number => message * HISTORY_SPAN + 1;
  const last = (message: number): number => (message + 1) * HISTORY_SPAN - 1;

  return {
    attempt(message, lane, at, recipients, record) {
      const indexes = recipients.length === 1 ? `[${recipients[0]}]` : JSON.stringify(recipients);
      // Most messages need one attempt: only the others pay for finding the next number.
      if (addFirst.run(first(message), lane, at, indexes, record).changes === 0)
        addAttempt.run(first(message), last(message), lane, at, indexes, record);
    },
    note(message, at, what, actor) {
      if (addFirstNote.run(first(message), at, what, actor).changes === 0) addNote.run(first(message), last(message), at, what, actor);
    },
  };
}
