/** A disk that another program fills to the last octet. Needs a file system of its own: skipped where none can be mounted. */
import { spawnSync } from "node:child_process";
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, expect, test } from "vitest";
import { accept, claimOne, envelope, holdOf, newReport, settleAll } from "../../test/conformance/queue.ts";
import type { PosternEvent } from "../mail/events.ts";
import { ManualClock } from "../platform/clock.ts";
import { openQueue } from "./open.ts";
import type { Queue } from "./queue.ts";

const FLOOR = 8 * 1024 * 1024;
const RESERVE_BYTES = 8 * 1024 * 1024;
const disk = mkdtempSync(join(tmpdir(), "postern-full-"));
const hasDisk = spawnSync("mount", ["-t", "tmpfs", "-o", "size=40m", "postern-full", disk]).status === 0;
const directory = join(disk, "queue");
const reserve = join(directory, "reserve");
const filling = join(disk, "filling");
const undo: (() => Promise<void>)[] = [];

afterEach(async () => {
  makeRoom();
  for (const step of undo.splice(0).toReversed()) await step();
  rmSync(directory, { recursive: true, force: true });
});

afterAll(() => {
  if (hasDisk) spawnSync("umount", [disk]);
  rmSync(disk, { recursive: true });
});

/** Takes every octet there is. */
function fill(): void {
  const file = openSync(filling, "a");
  try {
    for (let size = 1024 * 1024; size >= 1; size = Math.floor(size / 4)) {
      try {
        for (;;) writeSync(file, Buffer.alloc(size));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
      }
    }
  } finally {
    closeSync(file);
  }
}

function makeRoom(): void {
  rmSync(filling, { force: true });
}

async function start(measureFree?: () => Promise<number>) {
  const events: PosternEvent[] = [];
  const clock = new ManualClock();
  const emit = (event: PosternEvent): void => void events.push(event);
  const queue = await openQueue({ directory, route: () => "scans", emit, clock, floorBytes: FLOOR, historyKeepMs: 1e9, measureFree });
  undo.push(() => queue.close());
  clock.advance(10_000);
  // Whole: the rest of one that is still written, and removed meanwhile, would be room.
  await expect.poll(() => statSync(reserve, { throwIfNoEntry: false })?.size ?? 0).toBe(hasRoom() ? RESERVE_BYTES : 0);
  return { queue, clock, events };
}

function hasRoom(): boolean {
  return !existsSync(filling);
}

/** Lets seconds pass until the queue takes mail again. */
async function untilAccepting(queue: Queue, clock: ManualClock): Promise<void> {
  await expect
    .poll(() => {
      clock.advance(1_000);
      return queue.refusal();
    })
    .toBeUndefined();
}

test.skipIf(!hasDisk)("what waits goes on leaving by the reserve, new mail is refused, and room makes the reserve anew", async () => {
  const { queue, clock, events } = await start();
  for (let count = 0; count < 20; count++) await accept(queue, {}, "x".repeat(1_000));
  await queue.close();
  const again = await start();
  fill();

  await expect(accept(again.queue, {}, "x".repeat(3_000_000))).rejects.toMatchObject({ code: "E_SPOOL_FULL" });
  const refused = again.queue.refusal();
  for (let count = 0; count < 20; count++) await settleAll(again.queue, clock, await claimOne(again.queue), { kind: "delivered" });
  const whileFull = await again.queue.statistics();
  const gaveUp = !existsSync(reserve);
  makeRoom();
  await untilAccepting(again.queue, again.clock);
  await accept(again.queue, {}, "x".repeat(1_000));

  expect(refused).toMatchObject({ code: 452, enhanced: "4.3.1" });
  expect(whileFull).toMatchObject({ accepted: 20, waiting: { queued: 0, delivering: 0 }, final: { delivered: 20 }, contentBytes: 0 });
  expect(gaveUp).toBe(true);
  await expect.poll(() => existsSync(reserve)).toBe(true);
  expect([...events, ...again.events].map(({ type }) => type)).not.toContain("queue.failed");
  expect(again.events.map(({ type }) => type)).toContain("queue.full");
});

test.skipIf(!hasDisk)(
  "without any room claims wait, mail of our own is refused, and of what was said of a door the last word is written",
  async () => {
    const before = await start();
    await accept(before.queue, {}, "x".repeat(1_000));
    await before.queue.close();
    const { queue, clock } = await start();
    rmSync(reserve);
    fill();

    let isAnswered = false;
    const claimed = claimOne(queue).finally(() => (isAnswered = true));
    const held = queue.holdLane("scans", holdOf(clock));
    await expect.poll(() => queue.refusal()).toMatchObject({ code: 452 });
    const released = queue.releaseLane("scans");
    await queue.statistics();
    await expect(queue.generate(newReport(queue))).rejects.toMatchObject({ code: "E_SPOOL_FULL" });
    const wasAnswered = isAnswered;
    makeRoom();
    clock.advance(1_000);
    const claim = await claimed;
    const moved = await Promise.all([held, released]);

    expect(wasAnswered).toBe(false);
    expect(claim.recipients).toHaveLength(1);
    expect(moved).toEqual([0, 0]);
    expect(await queue.lanes()).toMatchObject([{ lane: "scans", waiting: 1, hold: undefined }]);
  },
);

test.skipIf(!hasDisk)("without any room an outcome is kept until it is written", async () => {
  const { queue, clock, events } = await start();
  await accept(queue, {}, "x".repeat(1_000));
  await accept(queue, {}, "x".repeat(1_000));
  const claim = await claimOne(queue);
  rmSync(reserve);
  fill();

  // More than the log has ever held.
  const generated = [{ ...newReport(queue), content: Buffer.alloc(3_000_000, 65) }];
  let isWritten = false;
  const settled = queue
    .settle({ claim, settlements: new Map([[0, { kind: "bounced", cause: "no such user" }]]), generated })
    .then(() => (isWritten = true));
  await expect.poll(() => queue.refusal()).toMatchObject({ code: 452 });
  clock.advance(1_000);
  await queue.statistics();
  const wasWritten = isWritten;
  makeRoom();
  clock.advance(1_000);
  await settled;

  expect(wasWritten).toBe(false);
  expect(await queue.statistics()).toMatchObject({
    accepted: 2,
    generated: 1,
    waiting: { queued: 2, delivering: 0 },
    final: { bounced: 1 },
  });
  expect(events.map(({ type }) => type)).not.toContain("queue.failed");
});

test.skipIf(!hasDisk)(
  "where what is free is not ours to take, as over a quota, mail is refused until the reserve can be made again",
  async () => {
    const { queue, clock, events } = await start(() => Promise.resolve(1024 ** 3));
    fill();

    await expect(accept(queue, {}, "x".repeat(9_000_000))).rejects.toMatchObject({ code: "E_SPOOL_FULL" });
    const refusals: unknown[] = [];
    for (let second = 0; second < 5; second++) {
      fill();
      clock.advance(1_000);
      await queue.statistics();
      refusals.push(queue.refusal()?.code);
    }
    const { freeBytes } = await queue.statistics();
    makeRoom();
    await untilAccepting(queue, clock);

    expect(refusals).toEqual([452, 452, 452, 452, 452]);
    expect(freeBytes).toBe(0);
    expect(existsSync(reserve)).toBe(true);
    expect(events.filter(({ type }) => type === "queue.full")).toHaveLength(1);
  },
);

test.skipIf(!hasDisk)("a message that the disk fills up under is refused whole, and what was stored of it is deleted", async () => {
  const { queue, clock } = await start();
  const writer = queue.open();
  await writer.write(Buffer.alloc(600_000, 65));
  await queue.statistics();
  rmSync(reserve);
  fill();

  await writer.write(Buffer.alloc(6_000_000, 65));
  await expect(writer.commit(envelope())).rejects.toMatchObject({ code: "E_SPOOL_FULL" });
  makeRoom();
  await untilAccepting(queue, clock);
  await accept(queue, {}, "x".repeat(1_000));

  await expect.poll(async () => (await queue.statistics()).contentBytes).toBe(1_000);
  expect(await queue.statistics()).toMatchObject({ accepted: 1, waiting: { queued: 1 } });
});

test.skipIf(!hasDisk)("a message of which a part found no room is refused, also where there is room again by its end", async () => {
  const { queue } = await start();
  const writer = queue.open();
  await writer.write(Buffer.alloc(600_000, 65));
  await queue.statistics();
  rmSync(reserve);
  fill();

  await writer.write(Buffer.alloc(6_000_000, 65));
  await queue.statistics();
  makeRoom();

  await expect(writer.commit(envelope())).rejects.toMatchObject({ code: "E_SPOOL_FULL" });
  await expect.poll(async () => (await queue.statistics()).contentBytes).toBe(0);
  expect(await queue.statistics()).toMatchObject({ accepted: 0, waiting: { queued: 0 } });
});

test.skipIf(!hasDisk)("a start on a full disk takes the reserve; without one it names the file and the remedy", async () => {
  const { queue } = await start();
  await accept(queue, {}, "x".repeat(1_000));
  await claimOne(queue);
  await queue.close();
  fill();

  const again = await start();
  expect(again.events.map(({ type }) => type)).toEqual(expect.arrayContaining(["queue.recovered", "queue.full"]));
  expect(again.queue.refusal()).toMatchObject({ code: 452 });
  await again.queue.close();
  fill();

  await expect(start()).rejects.toMatchObject({
    code: "E_SPOOL_FULL",
    exitCode: 75,
    message: expect.stringMatching(
      /queue\.db: .*: the disk is full; make room on the file system of \S+queue, or in its quota: nothing that waits is lost/,
    ),
  });
});
