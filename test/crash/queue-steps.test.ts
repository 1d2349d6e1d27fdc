/** The power goes after each durable step of a message's life; what a start makes of the files is the table in ARCHITECTURE.md. */
import { afterEach, expect, test } from "vitest";
import { ManualClock } from "../../src/platform/clock.ts";
import type { Claim, Queue } from "../../src/queue/queue.ts";
import { accept, attemptRecord, claimOne, envelope, holdOf, newReport, settleAll, type QueuePlace } from "../conformance/queue.ts";
import { sqlitePlace } from "../conformance/sqlite-place.ts";

const HOUR = 3_600_000;
const undo: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const step of undo.splice(0).toReversed()) await step();
});

const options = (clock: ManualClock) => ({ clock, emit: () => undefined, route: () => "scans", historyKeepMs: 720 * HOUR });

async function open(place: QueuePlace, clock: ManualClock): Promise<Queue> {
  const queue = await place.open(options(clock));
  undo.push(() => queue.close());
  return queue;
}

interface Left {
  readonly before: string;
  readonly after: string;
  readonly attempts: number;
  readonly ambiguous: boolean | undefined;
  readonly hasContent: boolean;
}

/** What is on the disk now, and what a start makes of it. */
async function look(place: QueuePlace, clock: ManualClock, queueId: string): Promise<Left | "unknown"> {
  const cut = await place.afterPowerCut();
  undo.push(() => cut.remove());
  const reader = await cut.openReader();
  const stored = await reader.show(queueId);
  await reader.close();
  const queue = await open(cut, clock);
  const view = await queue.show(queueId);
  if (stored === undefined || view === undefined) return "unknown";
  const { accepted, generated, final, waiting } = await queue.statistics();
  const sum = (counts: object): number => Object.values(counts).reduce((total: number, count: number) => total + count, 0);
  expect(accepted + generated).toBe(sum(final) + sum(waiting));
  clock.advance(0);
  const [claim] = await queue.claim({ lane: "scans", limit: 1, recipientsPerMessage: 9, leaseMs: HOUR });
  return {
    before: stored.entries.map(({ state }) => state).join(),
    after: view.entries.map(({ state }) => state).join(),
    attempts: view.attempts.length,
    ambiguous: claim?.recipients[0]?.ambiguous,
    hasContent: view.hasContent,
  };
}

test("after each step of a message's life the disk has what the step promised", { timeout: 60_000 }, async () => {
  const clock = new ManualClock();
  const place = await sqlitePlace();
  undo.push(() => place.remove());
  const queue = await open(place, clock);
  const seen: [string, Left | "unknown"][] = [];
  const note = async (step: string, queueId: string): Promise<void> => void seen.push([step, await look(place, clock, queueId)]);

  const writer = queue.open();
  await writer.write(Buffer.alloc(600_000, 1));
  await queue.lanes();
  await note("content is arriving", writer.queueId);
  const { queueId } = await writer.commit(envelope());
  await note("accepted", queueId);
  const first = await claimOne(queue);
  await note("claimed", queueId);
  await settleAll(queue, clock, first, { kind: "deferred", dueAt: clock.now(), cause: "busy" });
  await note("deferred", queueId);
  await queue.holdLane("scans", holdOf(clock));
  await note("door closed", queueId);
  const probe = (await queue.claimProbe("scans", 9, HOUR)) as Claim;
  await note("probing", queueId);
  await settleAll(queue, clock, probe, { kind: "returned", dueAt: clock.now() });
  await note("probe returned", queueId);
  await queue.releaseLane("scans");
  await note("door open", queueId);
  await settleAll(queue, clock, await claimOne(queue), { kind: "delivered" });
  await note("delivered", queueId);

  expect(seen).toEqual([
    ["content is arriving", "unknown"],
    ["accepted", { before: "queued", after: "queued", attempts: 0, ambiguous: false, hasContent: true }],
    ["claimed", { before: "delivering", after: "queued", attempts: 0 + 1, ambiguous: true, hasContent: true }],
    ["deferred", { before: "deferred", after: "deferred", attempts: 1, ambiguous: false, hasContent: true }],
    ["door closed", { before: "held", after: "held", attempts: 1, ambiguous: undefined, hasContent: true }],
    ["probing", { before: "delivering", after: "held", attempts: 1 + 1, ambiguous: undefined, hasContent: true }],
    ["probe returned", { before: "held", after: "held", attempts: 1, ambiguous: undefined, hasContent: true }],
    ["door open", { before: "queued", after: "queued", attempts: 1, ambiguous: false, hasContent: true }],
    ["delivered", { before: "delivered", after: "delivered", attempts: 1 + 1, ambiguous: undefined, hasContent: false }],
  ]);
});

test(
  "a move to another door is on the disk whole or not at all, and a lane that is half emptied loses nobody",
  { timeout: 60_000 },
  async () => {
    const clock = new ManualClock();
    const place = await sqlitePlace();
    undo.push(() => place.remove());
    let open_ = "scans";
    const queue = await place.open({ ...options(clock), route: () => open_ });
    undo.push(() => queue.close());
    const { queueId } = await accept(queue);
    const claim = await claimOne(queue);

    const before = await look(place, clock, queueId);
    await settleAll(queue, clock, claim, { kind: "moved", lane: "graph", dueAt: clock.now(), cause: "too large", passed: true });
    const after = await look(place, clock, queueId);

    expect(before).toMatchObject({ before: "delivering", after: "queued", ambiguous: true });
    expect(after).toMatchObject({ before: "queued", after: "queued", attempts: 1, hasContent: true });
    await Promise.all(Array.from({ length: 700 }, () => accept(queue)));
    await queue.holdLane("scans", holdOf(clock));
    open_ = "graph";
    const moving = queue.reroute({ lane: "scans", cause: "closed" });
    const midway = await place.afterPowerCut();
    undo.push(() => midway.remove());
    await moving;
    const left = await open(midway, clock);
    const { waiting } = await left.statistics();
    expect(waiting.queued + waiting.held).toBe(701);
    expect((await left.list({}, 1_000)).every(({ lane, state }) => (lane === "graph" ? state === "queued" : state === "held"))).toBe(true);
  },
);

test("an express message is delivering as soon as it is accepted, and ambiguous after a power cut", async () => {
  const clock = new ManualClock();
  const place = await sqlitePlace();
  undo.push(() => place.remove());
  const queue = await open(place, clock);
  queue.setExpress({ reserve: (_lane, _envelope, recipients) => recipients, deliver: () => undefined, forget: () => undefined });

  const { queueId } = await accept(queue);

  expect(await look(place, clock, queueId)).toMatchObject({ before: "delivering", after: "queued", ambiguous: true });
});

test("a bounce and its report are on the disk together or not at all", async () => {
  const clock = new ManualClock();
  const place = await sqlitePlace();
  undo.push(() => place.remove());
  const queue = await open(place, clock);
  const { queueId } = await accept(queue);
  const claim = await claimOne(queue);
  const report = { queueId: queue.newQueueId(), envelope: envelope({ kind: "report", reversePath: "" }), content: Buffer.from("report") };

  const before = await look(place, clock, report.queueId);
  await queue.settle({
    claim,
    settlements: new Map([[0, { kind: "bounced" as const, cause: "unknown" }]]),
    attempt: attemptRecord(clock, "bounced"),
    generated: [report],
  });

  expect(before).toBe("unknown");
  expect(await look(place, clock, queueId)).toMatchObject({ before: "bounced", hasContent: false });
  expect(await look(place, clock, report.queueId)).toMatchObject({ before: "queued", hasContent: true });
});

test("mail that an operator gave up and the report of it are on the disk together or not at all, and what he held is never let go", async () => {
  const clock = new ManualClock();
  const place = await sqlitePlace();
  undo.push(() => place.remove());
  const queue = await open(place, clock);
  const { queueId } = await accept(queue);
  await queue.act({ verb: "hold", filter: {}, by: "anna" });
  const told = newReport(queue);
  const recipients = [{ index: 0, address: "anna@contoso.com" }];

  const before = await look(place, clock, queueId);
  const bouncing = queue.bounce({ queueId, recipients, by: "anna", cause: "given up by anna", generated: [told] });
  // Wherever the commit is by then.
  const cut = await place.afterPowerCut();
  undo.push(() => cut.remove());
  expect(await bouncing).toBe(true);
  const midway = await open(cut, clock);

  expect(before).toMatchObject({ before: "held", after: "held", hasContent: true });
  const isTold = (await midway.show(told.queueId)) !== undefined;
  const left = await midway.show(queueId);
  expect(left).toMatchObject(
    isTold
      ? { entries: [{ state: "bounced" }], hasContent: false }
      : { entries: [{ state: "held", heldBy: "operator" }], hasContent: true },
  );
  expect(await look(place, clock, queueId)).toMatchObject({ before: "bounced", after: "bounced", hasContent: false });
  expect(await look(place, clock, told.queueId)).toMatchObject({ before: "queued", hasContent: true });
});

test("a door that was closing or opening when the power went ends as its own row says", { timeout: 60_000 }, async () => {
  const clock = new ManualClock();
  const place = await sqlitePlace();
  undo.push(() => place.remove());
  const queue = await open(place, clock);
  await Promise.all(Array.from({ length: 1_500 }, () => accept(queue)));

  const closing = queue.holdLane("scans", holdOf(clock));
  await queue.lanes();
  const whileClosing = await place.afterPowerCut();
  undo.push(() => whileClosing.remove());
  await closing;
  const opening = queue.releaseLane("scans");
  await queue.lanes();
  const whileOpening = await place.afterPowerCut();
  undo.push(() => whileOpening.remove());
  await opening;

  const closed = await open(whileClosing, clock);
  await expect.poll(async () => (await closed.statistics()).waiting.held).toBe(1_500);
  const opened = await open(whileOpening, clock);
  await expect.poll(async () => (await opened.statistics()).waiting.queued).toBe(1_500);
});
