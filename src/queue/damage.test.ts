/** Pages of the queue's file that a disk made nonsense of. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, expect, test } from "vitest";
import { accept, claimOne, contentOf, settleAll } from "../../test/conformance/queue.ts";
import type { PosternEvent } from "../mail/events.ts";
import { ManualClock } from "../platform/clock.ts";
import { openQueue } from "./open.ts";
import { openQueueReader } from "./reader.ts";

const PAGE_BYTES = 16_384;
const undo: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const step of undo.splice(0).toReversed()) await step();
});

function directory(): string {
  const path = mkdtempSync(join(tmpdir(), "postern-damage-"));
  undo.push(async () => rmSync(path, { recursive: true }));
  return path;
}

async function start(where = directory()) {
  const events: PosternEvent[] = [];
  const clock = new ManualClock();
  const queue = await openQueue({
    directory: where,
    route: () => "scans",
    emit: (event) => events.push(event),
    clock,
    floorBytes: 0,
    historyKeepMs: 1e9,
  });
  undo.push(() => queue.close());
  return { queue, clock, events, where };
}

function changePages(where: string, change: (page: Buffer, number: number) => void): void {
  const path = join(where, "queue.db");
  const octets = readFileSync(path);
  for (let at = 0; at < octets.length; at += PAGE_BYTES) change(octets.subarray(at, at + PAGE_BYTES), at / PAGE_BYTES + 1);
  writeFileSync(path, octets);
}

/** Damages pages that are full of a letter: where they name the page that follows, there is none. */
function damagePagesOf(where: string, letter: string): void {
  let found = 0;
  changePages(where, (page) => {
    if (!page.subarray(4).every((octet) => octet === letter.charCodeAt(0))) return;
    page.fill(0xff, 0, 4);
    found++;
  });
  expect(found).toBeGreaterThan(0);
}

/** Makes nonsense of the first page of a table or an index. */
function damageTable(where: string, name: string): void {
  const db = new DatabaseSync(join(where, "queue.db"), { readOnly: true });
  const root = db.prepare("SELECT rootpage FROM sqlite_schema WHERE name = ?").get(name)?.["rootpage"];
  db.close();
  changePages(where, (page, number) => number === root && page.fill(0xa5));
}

test("a message in damaged pages is held, all others leave, and whoever deletes it does not end the relay", async () => {
  const before = await start();
  const damaged = await accept(before.queue, {}, "A".repeat(100_000));
  const whole = await accept(before.queue, {}, "B".repeat(100_000));
  await before.queue.close();
  damagePagesOf(before.where, "A");

  const { queue, clock, events, where } = await start(before.where);
  const first = await claimOne(queue);
  await expect(contentOf(first)).rejects.toMatchObject({ code: "E_CONTENT_CORRUPT" });
  await settleAll(queue, clock, first, { kind: "held", by: "corrupt", cause: "damaged" });
  const second = await claimOne(queue);
  expect((await contentOf(second)).toString()).toBe("B".repeat(100_000));
  await settleAll(queue, clock, second, { kind: "delivered" });
  const reader = await openQueueReader(where);
  await expect(reader.contentRow(damaged.queueId, 0)).rejects.toMatchObject({ code: "E_CONTENT_CORRUPT" });
  await reader.close();
  await queue.act({ verb: "delete", filter: { ids: [damaged.queueId] }, by: "anna" });
  await accept(queue);

  expect([first.message.queueId, second.message.queueId]).toEqual([damaged.queueId, whole.queueId]);
  expect(await queue.statistics()).toMatchObject({ accepted: 3, waiting: { queued: 1, held: 0 }, final: { delivered: 1, deleted: 1 } });
  expect(events.map(({ type }) => type)).not.toContain("queue.failed");
});

test("damage that concerns more than one message ends the relay with what to do, and no restart is asked for", async () => {
  const before = await start();
  await accept(before.queue);
  await before.queue.close();
  damageTable(before.where, "sqlite_autoindex_message_1");

  const { queue, events } = await start(before.where);
  await expect(accept(queue)).rejects.toMatchObject({ code: "E_SPOOL_DAMAGED", reply: { code: 451 } });

  expect(await queue.failed).toMatchObject({ code: "E_SPOOL_DAMAGED", exitCode: 78 });
  expect(events.filter(({ type }) => type === "queue.failed")).toEqual([
    { type: "queue.failed", damaged: true, cause: expect.stringMatching(/malformed: the file is damaged; move the folder aside \(mv /) },
  ]);
});

test("commands that look at a damaged queue say so", async () => {
  const { queue, where } = await start();
  await accept(queue);
  await queue.close();
  damageTable(where, "recipient_line");

  const reader = await openQueueReader(where);
  undo.push(() => reader.close());

  await expect(reader.list({ states: ["queued"] }, 10)).rejects.toMatchObject({
    code: "E_UNAVAILABLE",
    message: expect.stringMatching(/^the queue at \S+queue\.db cannot be read: database disk image is malformed$/),
  });
});
