import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, expect, test } from "vitest";
import { accept as acceptEnvelope, claimOne, settleAll } from "../../test/conformance/queue.ts";
import type { PosternEvent } from "../mail/events.ts";
import type { Envelope } from "../mail/message.ts";
import { ManualClock } from "../platform/clock.ts";
import { MIGRATIONS } from "./schema.ts";
import { openQueue, type QueueOptions } from "./open.ts";
import type { Queue } from "./queue.ts";
import { openQueueReader } from "./reader.ts";

const undo: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const step of undo.splice(0).toReversed()) await step();
});

function directory(): string {
  const path = mkdtempSync(join(tmpdir(), "postern-queue-"));
  undo.push(async () => rmSync(path, { recursive: true }));
  return path;
}

async function start(options: Partial<QueueOptions> = {}) {
  const events: PosternEvent[] = [];
  const clock = new ManualClock();
  const where = options.directory ?? directory();
  const emit = (event: PosternEvent): void => void events.push(event);
  const queue = await openQueue({ directory: where, route: () => "scans", emit, clock, floorBytes: 0, historyKeepMs: 1e9, ...options });
  undo.push(() => queue.close());
  return { queue, clock, events, where };
}

const envelope: Envelope = {
  reversePath: "scanner@contoso.com",
  recipients: ["anna@contoso.com"],
  origin: { listener: "printers", client: "floor", device: "10.0.0.1" },
  kind: "mail",
  priority: "normal",
  smtpUtf8: false,
  eightBit: false,
  sizeBytes: 0,
  messageId: "<1@relay.contoso.com>",
  repairs: [],
  sessionStartedAt: 0,
};

async function accept(queue: Queue, bytes = 100) {
  const writer = queue.open();
  await writer.write(Buffer.alloc(bytes, 65));
  return writer.commit(envelope);
}

test("nobody else can read the queue's directory and files", async () => {
  const { queue, where, clock } = await start();
  await accept(queue);
  clock.advance(10_000);
  await expect.poll(() => existsSync(join(where, "reserve"))).toBe(true);

  const modes = new Map(readdirSync(where).map((name) => [name, (statSync(join(where, name)).mode & 0o777).toString(8)]));

  expect((statSync(where).mode & 0o777).toString(8)).toBe("700");
  expect(Object.fromEntries(modes)).toEqual({
    "owner.lock": "600",
    "queue.db": "600",
    "queue.db-shm": "600",
    "queue.db-wal": "600",
    reserve: "600",
  });
});

test("a file of a newer version is refused and left as it is, by the owner and by a reader", async () => {
  const where = directory();
  const path = join(where, "queue.db");
  const db = new DatabaseSync(path);
  db.exec("PRAGMA user_version = 99; CREATE TABLE future(x)");
  db.close();
  const before = readFileSync(path);

  await expect(start({ directory: where })).rejects.toMatchObject({ code: "E_SPOOL_NEWER", exitCode: 78 });
  await expect(openQueueReader(where)).rejects.toMatchObject({ code: "E_SPOOL_NEWER" });

  expect(readFileSync(path).equals(before)).toBe(true);
  expect(readdirSync(where)).toEqual(["owner.lock", "queue.db"]);
});

test("a file that is no database is refused", async () => {
  const where = directory();
  writeFileSync(join(where, "queue.db"), "this is not a database, but it is long enough to be taken for one at first sight ".repeat(5));

  await expect(start({ directory: where })).rejects.toMatchObject({ code: "E_CONFIG" });
});

test("a database of another program is refused", async () => {
  const where = directory();
  const db = new DatabaseSync(join(where, "queue.db"));
  db.exec("CREATE TABLE theirs(x)");
  db.close();

  await expect(start({ directory: where })).rejects.toMatchObject({ code: "E_CONFIG" });
});

test("a damaged file is told by its path, with what to do, and no restart is asked for", async () => {
  const { queue, where } = await start();
  await accept(queue);
  await queue.close();
  truncateSync(join(where, "queue.db"), 4096);

  await expect(start({ directory: where })).rejects.toMatchObject({
    code: "E_SPOOL_DAMAGED",
    exitCode: 78,
    message: expect.stringMatching(
      /^\S+\/queue\.db: .*malformed: the file is damaged; move the folder aside \(mv \S+ \S+\.damaged\) and start/,
    ),
  });
});

test("a reader without a queue says so", async () => {
  await expect(openQueueReader(directory())).rejects.toMatchObject({ code: "E_UNAVAILABLE", exitCode: 69 });
});

test("closing leaves the database in one file, and opening it again finds everything", async () => {
  const { queue, where, clock } = await start();
  const message = await accept(queue, 400_000);
  await queue.close();
  const files = readdirSync(where);

  const again = await start({ directory: where, clock });

  expect(files).toEqual(["owner.lock", "queue.db"]);
  expect((await again.queue.show(message.queueId))?.message).toEqual(message);
  expect(again.events).toMatchObject([{ type: "queue.opened", schemaVersion: MIGRATIONS.length, waiting: 1 }]);
});

test("mail that a program before schema 2 held by its sender is found by its sender", async () => {
  const where = directory();
  const { queue, clock } = await start({ directory: where });
  await acceptEnvelope(queue, { reversePath: "Scan@contoso.com" });
  await settleAll(queue, clock, await claimOne(queue), { kind: "held", by: "sender", cause: "SendAsDenied" });
  await queue.close();
  const db = new DatabaseSync(join(where, "queue.db"));
  db.exec(
    "DROP INDEX recipient_sender; ALTER TABLE recipient DROP COLUMN sender; DROP TABLE postponed; ALTER TABLE message DROP COLUMN warned; ALTER TABLE recipient DROP COLUMN passed; ALTER TABLE recipient DROP COLUMN deferred_since; DROP TABLE failed; UPDATE meta SET value = '1' WHERE key = 'schema'",
  );
  db.close();

  const again = await start({ directory: where });

  expect(again.events).toMatchObject([{ type: "queue.opened", schemaVersion: MIGRATIONS.length, waiting: 1 }]);
  expect(await again.queue.heldSenders("scans", 9)).toEqual(["scan@contoso.com"]);
  expect(await again.queue.releaseSender("scans", "scan@contoso.com")).toBe(1);
});

test.each([
  ["nothing", (file: string) => rmSync(file)],
  ["an empty file", (file: string) => truncateSync(file)],
] as const)("where a queue was there is %s now: it begins anew, and says so", async (found, lose) => {
  const { queue, where, events } = await start();
  await accept(queue);
  await queue.close();
  lose(join(where, "queue.db"));

  const again = await start({ directory: where });

  expect(events.map(({ type }) => type)).not.toContain("queue.begun");
  expect(again.events).toMatchObject([
    { type: "queue.begun", path: join(where, "queue.db"), found },
    { type: "queue.opened", waiting: 0 },
  ]);
});

test("below the floor nothing new is accepted, what is there goes on, and space makes it work again", async () => {
  let free = 1e12;
  const { queue, clock, events } = await start({ floorBytes: 5e8, measureFree: async () => free });
  await accept(queue);
  const midway = queue.open();
  await midway.write(Buffer.alloc(1000));

  free = 4e8;
  clock.advance(10_000);
  await expect.poll(() => queue.refusal()).toMatchObject({ code: 452, enhanced: "4.3.1" });
  await expect(midway.commit(envelope)).rejects.toMatchObject({ code: "E_SPOOL_FULL" });
  const [claim] = await queue.claim({ lane: "scans", limit: 1, recipientsPerMessage: 1, leaseMs: 1e6 });
  clock.advance(1_000);
  free = 6e8;
  await expect
    .poll(() => {
      clock.advance(1_000);
      return queue.refusal();
    })
    .toBeUndefined();
  await accept(queue);

  expect(claim).toBeDefined();
  expect(events.filter(({ type }) => type === "queue.full")).toEqual([{ type: "queue.full", freeBytes: 4e8, floorBytes: 5e8 }]);
});

test("octets on their way count before the next look at the disk", async () => {
  const { queue, events } = await start({ floorBytes: 10_000_000, measureFree: async () => 11_000_000 });

  await accept(queue, 600_000);

  expect(queue.refusal()).toMatchObject({ code: 452 });
  expect(events.map(({ type }) => type)).toContain("queue.full");
});

const MOVES: readonly [string, (where: string, aside: string) => void, (where: string, aside: string) => void][] = [
  ["the folder is moved", (where, aside) => renameSync(where, aside), (where, aside) => renameSync(aside, where)],
  [
    "a copy replaces the file",
    (where, aside) => {
      renameSync(join(where, "queue.db"), aside);
      copyFileSync(aside, join(where, "queue.db"));
    },
    (where, aside) => renameSync(aside, join(where, "queue.db")),
  ],
  [
    "the log is removed",
    (where, aside) => renameSync(join(where, "queue.db-wal"), aside),
    (where, aside) => renameSync(aside, join(where, "queue.db-wal")),
  ],
];

test.each(MOVES)(
  "where %s under the open queue nothing new is accepted, what is there goes on, until it is back",
  async (_what, away, back) => {
    const where = join(directory(), "queue");
    const { queue, clock, events } = await start({ directory: where });
    const kept = await accept(queue);
    const midway = queue.open();
    await midway.write(Buffer.alloc(1000));

    away(where, `${where}.aside`);
    clock.advance(1_000);
    await expect.poll(() => queue.refusal()).toMatchObject({ code: 451, enhanced: "4.3.0" });
    await expect(midway.commit(envelope)).rejects.toMatchObject({ code: "E_SPOOL_MOVED" });
    await settleAll(queue, clock, await claimOne(queue), { kind: "delivered" });
    back(where, `${where}.aside`);
    await expect
      .poll(() => {
        clock.advance(1_000);
        return queue.refusal();
      })
      .toBeUndefined();
    const later = await accept(queue);

    await queue.close();
    const again = await start({ directory: where, clock });
    expect((await again.queue.show(kept.queueId))?.entries).toMatchObject([{ state: "delivered" }]);
    expect(await again.queue.show(later.queueId)).toBeDefined();
    expect(events.filter(({ type }) => type.startsWith("alert."))).toMatchObject([
      { type: "alert.raised", alert: "spool.moved", subject: "queue", severity: "critical" },
      { type: "alert.cleared", alert: "spool.moved", subject: "queue" },
    ]);
  },
);

test("a folder that is moved after a long rest is noticed by the message that comes next", async () => {
  const where = join(directory(), "queue");
  const { queue, clock } = await start({ directory: where });
  clock.advance(5_000);
  renameSync(where, `${where}.aside`);

  const writer = queue.open();
  await expect.poll(() => queue.refusal()).toMatchObject({ code: 451 });

  await expect(writer.commit(envelope)).rejects.toMatchObject({ code: "E_SPOOL_MOVED" });
});

test("the limit of the queue's size refuses like a full disk, until content leaves", async () => {
  const { queue } = await start({ maxBytes: 1_000 });
  await accept(queue, 1_000);
  const refused = queue.refusal();

  await queue.act({ verb: "delete", filter: {}, by: "anna" });

  expect(refused).toMatchObject({ code: 452 });
  expect(queue.refusal()).toBeUndefined();
});

test("a command that cannot be done takes nothing of the same commit with it", async () => {
  const { queue } = await start();
  const first = await accept(queue);
  const [claim] = await queue.claim({ lane: "scans", limit: 1, recipientsPerMessage: 1, leaseMs: 1e6 });
  if (claim === undefined) throw new Error("nothing to claim");
  const twice = { queueId: first.queueId, envelope, content: Buffer.from("x") };

  const before = accept(queue);
  const broken = queue.settle({ claim, settlements: new Map([[0, { kind: "bounced" as const, cause: "x" }]]), generated: [twice] });
  const after = accept(queue, 300_000);

  await expect(broken).rejects.toMatchObject({ code: "E_TEMPORARY" });
  await Promise.all([before, after]);
  const { accepted, generated, waiting, final, contentBytes } = await queue.statistics();
  expect({ accepted, generated, waiting, final, contentBytes }).toEqual({
    accepted: 3,
    generated: 0,
    waiting: { queued: 2, delivering: 1, deferred: 0, held: 0 },
    final: { delivered: 0, bounced: 0, expired: 0, deleted: 0 },
    contentBytes: 300_200,
  });
});

test("when the database cannot be written it is closed for good: all that waits is refused, and the process is told", async () => {
  const { queue, where, events } = await start();
  await accept(queue);
  const coming = queue.open();
  // The queue may still be busy with itself for a moment.
  const other = new DatabaseSync(join(where, "queue.db"), { timeout: 10_000 });
  other.exec("BEGIN IMMEDIATE");

  await expect(accept(queue)).rejects.toMatchObject({ code: "E_SPOOL_FAILED" });
  other.exec("ROLLBACK");
  other.close();

  expect(queue.refusal()).toMatchObject({ code: 451, enhanced: "4.3.0" });
  expect((await queue.failed).message).toContain("locked");
  await expect(accept(queue)).rejects.toMatchObject({ code: "E_SPOOL_FAILED" });
  await expect(queue.statistics()).rejects.toMatchObject({ code: "E_SPOOL_FAILED" });
  expect(events.filter(({ type }) => type === "queue.failed")).toHaveLength(1);
  // Of one chunk receive writes several pieces before it waits: a second promise would reject with nobody there.
  const [first, second] = [coming.write(Buffer.alloc(20_000)), coming.write(Buffer.alloc(20_000))];
  await expect(first).rejects.toMatchObject({ code: "E_SPOOL_FAILED" });
  expect(second).toBeUndefined();
  await expect(coming.commit(envelope)).rejects.toMatchObject({ code: "E_SPOOL_FAILED" });
});

test("a start knows at once how long the oldest mail waits, behind whatever history", async () => {
  const { queue, clock, where } = await start();
  const recipients = Array.from({ length: 900 }, (_, n) => `r${n}@contoso.com`);
  for (let n = 0; n < 3; n++) {
    await acceptEnvelope(queue, { recipients });
    await settleAll(queue, clock, await claimOne(queue, { recipientsPerMessage: 1_000 }), { kind: "delivered" });
  }
  clock.advance(10 * 86_400_000);
  const { acceptedAt } = await acceptEnvelope(queue);
  await queue.close();

  const again = await start({ directory: where });

  expect((await again.queue.statistics()).oldestAcceptedAt).toBe(acceptedAt);
});
