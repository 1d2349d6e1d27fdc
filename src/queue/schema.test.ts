import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { afterEach, expect, test } from "vitest";
import { isUsableSqlite, openForWriting, setSynchronous } from "./connection.ts";
import { migrate, schemaVersion, type Migration } from "./schema.ts";

const undo: (() => void)[] = [];

afterEach(() => {
  for (const step of undo.splice(0).toReversed()) step();
});

function open(): DatabaseSync {
  const directory = mkdtempSync(join(tmpdir(), "postern-schema-"));
  const db = openForWriting(join(directory, "queue.db"), "FULL");
  undo.push(() => {
    db.close();
    rmSync(directory, { recursive: true });
  });
  return db;
}

const FIRST: Migration = {
  version: 1,
  readableFrom: 1,
  sql: "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT; CREATE TABLE a(x)",
};
const ADDITIVE: Migration = { version: 2, readableFrom: 1, sql: "CREATE TABLE b(x)" };
const BREAKING: Migration = { version: 3, readableFrom: 3, sql: "DROP TABLE a" };

test("migrations go forward one by one; only one that older programs cannot read is preceded by a backup", async () => {
  const db = open();
  const backups: number[] = [];
  const backup = async (version: number): Promise<string> => {
    backups.push(version);
    return "copy";
  };

  const first = await migrate(db, "queue.db", backup, [FIRST]);
  const second = await migrate(db, "queue.db", backup, [FIRST, ADDITIVE]);
  const back = await migrate(db, "queue.db", backup, [FIRST]);
  const third = await migrate(db, "queue.db", backup, [FIRST, ADDITIVE, BREAKING]);

  expect([first, second, back, third]).toEqual([
    { version: 1, backup: undefined },
    { version: 2, backup: undefined },
    { version: 2, backup: undefined },
    { version: 3, backup: "copy" },
  ]);
  expect(backups).toEqual([2]);
  await expect(migrate(db, "queue.db", backup, [FIRST, ADDITIVE])).rejects.toMatchObject({ code: "E_SPOOL_NEWER" });
});

test("a migration that fails leaves the version before", async () => {
  const db = open();
  await migrate(db, "queue.db", async () => "copy", [FIRST]);

  await expect(
    migrate(db, "queue.db", async () => "copy", [FIRST, { version: 2, readableFrom: 1, sql: "CREATE TABLE c(x); nonsense" }]),
  ).rejects.toThrow("syntax error");

  expect(schemaVersion(db)).toBe(1);
  expect(db.prepare("SELECT name FROM sqlite_schema WHERE name = 'c'").all()).toEqual([]);
});

test("the settings that a 250 rests on are in force", () => {
  const db = open();

  const settings = ["synchronous", "journal_mode", "page_size", "auto_vacuum", "wal_autocheckpoint", "secure_delete"].map(
    (name) => Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {})[0],
  );

  expect(settings).toEqual([2, "wal", 16_384, 2, 0, 1]);
});

test("a setting that does not hold is found out, also where SQLite says nothing", () => {
  const db = open();
  const deaf = { exec: () => undefined, prepare: (sql: string) => db.prepare(sql) } as unknown as DatabaseSync;
  setSynchronous(db, "NORMAL");

  expect(() => setSynchronous(deaf, "FULL")).toThrow("SQLite keeps synchronous=1 although FULL was asked for");
});

test.each([
  ["3.51.3", true],
  ["3.51.2", false],
  ["3.50.9", false],
  ["3.52.0", true],
  ["4.0.0", true],
])("SQLite %s is usable: %s", (version, usable) => {
  expect(isUsableSqlite(version)).toBe(usable);
});
