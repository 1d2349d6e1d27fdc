/** The queue's tables, their versions and the way from one to the next. */
import type { DatabaseSync } from "node:sqlite";
import { PosternError } from "../mail/errors.ts";

/** One step of the schema, run in a transaction of its own. */
export interface Migration {
  readonly version: number;
  /** Oldest version of this program's schema that can still work on a file after this step. Equal to `version` for steps that are not additive. */
  readonly readableFrom: number;
  readonly sql: string;
}

const FIRST = `
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
-- Everything fixed at acceptance. Columns repeat what lists filter by; envelope is the whole as JSON.
CREATE TABLE message(
  id INTEGER PRIMARY KEY, queue_id TEXT NOT NULL UNIQUE, accepted_at INTEGER NOT NULL, recipients INTEGER NOT NULL, size INTEGER NOT NULL,
  chunks INTEGER NOT NULL, reverse_path TEXT NOT NULL, client TEXT NOT NULL, device TEXT NOT NULL, envelope TEXT NOT NULL) STRICT;
-- k = message * 16384 + place. Deleted with the last recipient that becomes final.
CREATE TABLE content(k INTEGER PRIMARY KEY, crc INTEGER NOT NULL, data BLOB NOT NULL) STRICT;
-- Messages whose content nobody answers for: not yet accepted, or finished and too large to delete in the commit that finished them.
CREATE TABLE sweep(message INTEGER PRIMARY KEY) STRICT;
-- id = message * 1024 + index. line: 0 waits for time, 1 held by the upstream, 2 held otherwise, 3 delivering, NULL final.
-- due of a recipient held by its upstream is its message's id: its place in the line.
CREATE TABLE recipient(
  id INTEGER PRIMARY KEY, state INTEGER NOT NULL, line INTEGER, lane TEXT NOT NULL, device TEXT NOT NULL, due INTEGER NOT NULL,
  was INTEGER NOT NULL, claim INTEGER NOT NULL, attempts INTEGER NOT NULL, ambiguous INTEGER NOT NULL, held_by INTEGER, held_since INTEGER,
  held_ms INTEGER NOT NULL, changed INTEGER NOT NULL, address TEXT NOT NULL, cause TEXT, reply TEXT) STRICT;
CREATE INDEX recipient_line ON recipient(lane, line, device, due, state) WHERE line IS NOT NULL;
-- id = message * 65536 + number
CREATE TABLE attempt(id INTEGER PRIMARY KEY, lane TEXT NOT NULL, at INTEGER NOT NULL, recipients TEXT NOT NULL, record TEXT NOT NULL) STRICT;
CREATE INDEX attempt_time ON attempt(lane, at);
CREATE TABLE history(id INTEGER PRIMARY KEY, at INTEGER NOT NULL, what TEXT NOT NULL, actor TEXT) STRICT;
CREATE TABLE lane(name TEXT PRIMARY KEY, hold TEXT) STRICT;
CREATE TABLE counter(name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
`;

/** Finds held mail by its sender. An older program leaves `sender` empty where it holds; see `nameSenders`. */
const HELD_SENDERS = `
-- The message's reverse-path in lower case, of recipients that were ever held by their sender.
ALTER TABLE recipient ADD COLUMN sender TEXT;
CREATE INDEX recipient_sender ON recipient(lane, sender, held_since) WHERE line = 2 AND held_by = 1;
`;

/** What the sender was told already, and what waits to be told together. An older program tells at once, and leaves what waits to the next one. */
const TOLD = `
-- When the sender was told that the message is late.
ALTER TABLE message ADD COLUMN warned INTEGER;
-- Failures of one sender and cause that are reported together; a row without an entry only opens the window.
CREATE TABLE postponed(id INTEGER PRIMARY KEY, addressee TEXT NOT NULL, topic TEXT NOT NULL, since INTEGER NOT NULL, entry TEXT) STRICT;
CREATE INDEX postponed_window ON postponed(addressee, topic, since);
`;

/** What a recipient remembers of the doors it was offered to. An older program leaves it as it is, and asks a door twice at worst. */
const DOORS_TRIED = `
-- JSON list of the lanes whose doors refused the message for this recipient; NULL for none.
ALTER TABLE recipient ADD COLUMN passed TEXT;
-- When the door of its lane first put it off; NULL where that did not happen yet.
ALTER TABLE recipient ADD COLUMN deferred_since INTEGER;
`;

/** Content that outlives its message for a while. An older program leaves both alone, and the next one drops it. */
const FAILED = `
-- Finished messages that somebody did not get, and when they ended: their content is still there.
CREATE TABLE failed(message INTEGER PRIMARY KEY, at INTEGER NOT NULL) STRICT;
CREATE INDEX failed_at ON failed(at);
`;

/** All steps, oldest first. Released ones never change. */
export const MIGRATIONS: readonly Migration[] = [
  { version: 1, readableFrom: 1, sql: FIRST },
  { version: 2, readableFrom: 1, sql: HELD_SENDERS },
  { version: 3, readableFrom: 1, sql: TOLD },
  { version: 4, readableFrom: 1, sql: DOORS_TRIED },
  { version: 5, readableFrom: 1, sql: FAILED },
];

/** Marks the file as ours ("PSTN"), see PRAGMA application_id. */
export const APPLICATION_ID = 0x5053_544e;

function pragmaNumber(db: DatabaseSync, name: string): number {
  const row = db.prepare(`PRAGMA ${name}`).get();
  return Number(Object.values(row ?? {})[0]);
}

/** The version of an open file's schema; 0 for an empty file. */
export function schemaVersion(db: DatabaseSync): number {
  if (pragmaNumber(db, "application_id") !== APPLICATION_ID) return 0;
  return Number(db.prepare("SELECT value FROM meta WHERE key = 'schema'").get()?.["value"]);
}

/**
 * Refuses a file that only a newer program can read. PRAGMA user_version holds the oldest schema version able to work on the file, so an additive
 * migration lets the program before it go on.
 *
 * @throws PosternError E_SPOOL_NEWER
 */
export function refuseNewer(readableFrom: number, path: string, migrations: readonly Migration[] = MIGRATIONS): void {
  const own = migrations.at(-1)?.version ?? 0;
  if (readableFrom > own)
    throw new PosternError(
      "E_SPOOL_NEWER",
      `${path} was written by a newer Postern (schema ${readableFrom}, this one knows ${own}); it was left as it is`,
    );
}

/** What `migrate` did. */
export interface MigrationResult {
  readonly version: number;
  /** The copy made before a step that older programs cannot read. */
  readonly backup: string | undefined;
}

/**
 * Brings a file to the newest version, step by step, each in its own transaction. Before a step that is not additive a copy of the file is made.
 *
 * @param backup - copies the open database to a path beside it and returns that path
 * @throws PosternError E_SPOOL_NEWER, E_CONFIG for a database of another program
 */
export async function migrate(
  db: DatabaseSync,
  path: string,
  backup: (version: number) => Promise<string>,
  migrations: readonly Migration[] = MIGRATIONS,
): Promise<MigrationResult> {
  refuseNewer(pragmaNumber(db, "user_version"), path, migrations);
  let version = schemaVersion(db);
  if (version === 0 && db.prepare("SELECT 1 FROM sqlite_schema").get() !== undefined)
    throw new PosternError("E_CONFIG", `${path} is the database of another program; move it out of the way`);
  let copy: string | undefined;
  for (const step of migrations) {
    if (step.version <= version) continue;
    if (version > 0 && step.readableFrom > version) copy ??= await backup(version);
    db.exec("BEGIN IMMEDIATE");
    try {
      db.exec(step.sql);
      db.prepare("INSERT INTO meta(key, value) VALUES('schema', ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value").run(
        String(step.version),
      );
      db.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${step.readableFrom}`);
      db.exec("COMMIT");
    } catch (error) {
      if (db.isTransaction) db.exec("ROLLBACK");
      throw error;
    }
    version = step.version;
  }
  // The version must stand in the file's first page and not only in the log, where an older program looks for it before it opens the file.
  db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  return { version, backup: copy };
}
