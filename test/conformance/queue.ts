/** What every queue must do, whatever it is built on. Each implementation runs the whole suite. */
import { createHash } from "node:crypto";
import { afterEach, describe, expect, test } from "vitest";
import type { PosternEvent } from "../../src/mail/events.ts";
import { PRIORITIES, type Envelope } from "../../src/mail/message.ts";
import type { Reply } from "../../src/mail/reply.ts";
import { ManualClock } from "../../src/platform/clock.ts";
import type {
  AttemptRecord,
  Claim,
  ClaimRequest,
  GeneratedMessage,
  LaneHold,
  Queue,
  QueueFilter,
  QueueReader,
  RouteRecipient,
  Settlement,
  WaitingMessage,
} from "../../src/queue/queue.ts";

/** How a queue is opened for one test. */
export interface OpenQueue {
  readonly clock: ManualClock;
  readonly emit: (event: PosternEvent) => void;
  readonly route: RouteRecipient;
  readonly historyKeepMs: number;
  readonly failedContentMs?: number | undefined;
  readonly maxBytes?: number | undefined;
  readonly poolBytes?: number | undefined;
}

/** An implementation on a place of its own, empty at first. */
export interface QueuePlace {
  open(options: OpenQueue): Promise<Queue>;
  openReader(): Promise<QueueReader>;
  /** A second place that looks as this one would after the power went now. */
  afterPowerCut(): Promise<QueuePlace>;
  /** Damages one octet of the stored content of a message. */
  damage(queueId: string): Promise<void>;
  remove(): Promise<void>;
}

const LANE = "scans";
const HOUR = 3_600_000;

/** An envelope with what a test does not care about filled in. */
export function envelope(given: Partial<Envelope> & { readonly device?: string } = {}): Envelope {
  const { device = "10.0.0.1", ...rest } = given;
  return {
    reversePath: "scanner@contoso.com",
    recipients: ["anna@contoso.com"],
    origin: { listener: "printers", client: "floor", device },
    kind: "mail",
    priority: "normal",
    smtpUtf8: false,
    eightBit: false,
    sizeBytes: 0,
    messageId: "<1@relay.contoso.com>",
    repairs: [],
    sessionStartedAt: 0,
    ...rest,
  };
}

/** Stores one message. */
export async function accept(
  queue: Queue,
  given: Partial<Envelope> & { readonly device?: string } = {},
  content = "Subject: scan\r\n\r\npage\r\n",
) {
  const writer = queue.open();
  await writer.write(Buffer.from(content));
  return writer.commit(envelope(given));
}

export function attemptRecord(clock: ManualClock, outcome: AttemptRecord["outcome"] = "delivered"): AttemptRecord {
  return {
    startedAt: clock.now(),
    upstream: LANE,
    stage: "final",
    outcome,
    delays: { beforeQueueMs: 0, inQueueMs: 0, connectMs: 0, transmitMs: 0 },
  };
}

/** Gives all recipients of a claim the same outcome. */
export function settleAll(queue: Queue, clock: ManualClock, claim: Claim, settlement: Settlement): Promise<void> {
  const settlements = new Map(claim.recipients.map(({ index }) => [index, settlement]));
  return queue.settle({ claim, settlements, attempt: settlement.kind === "returned" ? undefined : attemptRecord(clock) });
}

export function holdOf(clock: ManualClock, closedBy?: string): LaneHold {
  return { since: clock.now(), cause: "secret expired", closedBy, nextProbeAt: clock.now() + 60_000, probes: 0 };
}

export async function claimOne(queue: Queue, request: Partial<ClaimRequest> = {}): Promise<Claim> {
  const [claim] = await queue.claim({ lane: LANE, limit: 1, recipientsPerMessage: 450, leaseMs: HOUR, ...request });
  if (claim === undefined) throw new Error("nothing to claim");
  return claim;
}

/** A report on its way into the queue. */
export function newReport(queue: Queue, recipient = "scanner@contoso.com"): GeneratedMessage {
  return {
    queueId: queue.newQueueId(),
    envelope: envelope({ kind: "report", reversePath: "", recipients: [recipient] }),
    content: Buffer.from("Subject: report\r\n\r\nno\r\n"),
  };
}

async function firstWaiting(queue: Queue): Promise<WaitingMessage | undefined> {
  for await (const message of queue.waitingMessages({})) return message;
  return undefined;
}

const states = async (queue: QueueReader): Promise<string[]> =>
  (await queue.list({}, 1_000)).map(
    ({ recipient, state, heldBy }) => `${recipient} ${state}${heldBy === undefined ? "" : ` by ${heldBy}`}`,
  );

export async function contentOf(claim: Claim): Promise<Buffer> {
  const blocks: Uint8Array[] = [];
  for await (const block of claim.content.blocks()) blocks.push(new Uint8Array(block));
  return Buffer.concat(blocks);
}

/** Runs the suite. */
export function queueConformance(name: string, makePlace: () => Promise<QueuePlace>): void {
  describe(name, () => {
    const cleanUp: (() => Promise<void>)[] = [];

    afterEach(async () => {
      for (const undo of cleanUp.splice(0).toReversed()) await undo();
    });

    async function start(options: Partial<OpenQueue> & { readonly place?: QueuePlace } = {}) {
      const place = options.place ?? (await makePlace());
      if (options.place === undefined) cleanUp.push(() => place.remove());
      const events: PosternEvent[] = [];
      const clock = options.clock ?? new ManualClock();
      const queue = await place.open({
        route: () => LANE,
        historyKeepMs: 30 * 24 * HOUR,
        ...options,
        clock,
        emit: (event) => events.push(event),
      });
      cleanUp.push(() => queue.close());
      const happened = (type: PosternEvent["type"]): PosternEvent[] => events.filter((event) => event.type === type);
      return { place, queue, clock, events, happened };
    }

    /** Opens what a power cut at this moment would leave. */
    async function powerCut(place: QueuePlace, clock: ManualClock) {
      const left = await place.afterPowerCut();
      cleanUp.push(() => left.remove());
      return start({ place: left, clock });
    }

    async function expectBalanced(queue: QueueReader): Promise<void> {
      const { accepted, generated, final, waiting } = await queue.statistics();
      const sum = (counts: Readonly<Record<string, number>>): number => Object.values(counts).reduce((total, count) => total + count, 0);
      expect(accepted + generated).toBe(sum(final) + sum(waiting));
    }

    describe("accepting", () => {
      test("a message is durable before its commit resolves", async () => {
        const { place, queue, clock } = await start();

        const message = await accept(queue, { recipients: ["anna@contoso.com", "ben@contoso.com"] });
        const after = await powerCut(place, clock);

        expect(message.acceptedAt).toBe(clock.now());
        expect(message.queueId).toMatch(/^[0-9A-Z]{26}$/);
        expect((await after.queue.show(message.queueId))?.message).toEqual(message);
        expect((await contentOf(await claimOne(after.queue))).toString()).toBe("Subject: scan\r\n\r\npage\r\n");
      });

      test("a message that was not committed leaves nothing behind, whether it was dropped or cut off", async () => {
        const { place, queue, clock } = await start();
        const cut = queue.open();
        await cut.write(Buffer.alloc(700_000, 1));
        const dropped = queue.open();
        await dropped.write(Buffer.alloc(700_000, 2));
        dropped.abort();
        await accept(queue);

        const after = await powerCut(place, clock);

        expect((await after.queue.statistics()).accepted).toBe(1);
        expect(after.happened("queue.recovered")).toMatchObject([{ ambiguousRecipients: 0 }]);
        await expect.poll(async () => (await after.queue.statistics()).contentBytes).toBe(23);
        cut.abort();
        await expect.poll(async () => (await queue.statistics()).contentBytes).toBe(23);
      });

      test("abort after commit does nothing", async () => {
        const { queue } = await start();
        const writer = queue.open();
        await writer.write(Buffer.from("x"));
        await writer.commit(envelope());

        writer.abort();

        expect(await states(queue)).toEqual(["anna@contoso.com queued"]);
      });

      test("the stored size is the octets written, an empty message included", async () => {
        const { queue } = await start();
        const writer = queue.open();

        const message = await writer.commit(envelope({ sizeBytes: 99 }));

        expect(message.sizeBytes).toBe(0);
        expect(await contentOf(await claimOne(queue))).toHaveLength(0);
      });

      test("contents of every size come back octet for octet, with the block borders in between", { timeout: 60_000 }, async () => {
        const { queue } = await start();
        const sizes = [1, 16_383, 16_384, 16_385, 65_536, 262_143, 262_144, 262_145, 600_000];

        for (const size of sizes) {
          const octets = Buffer.from(Array.from({ length: size }, (_, at) => (at * 7 + size) & 255));
          const writer = queue.open();
          for (let at = 0; at < size; at += 9_973) await writer.write(octets.subarray(at, at + 9_973));
          await writer.commit(envelope());
          const claim = await claimOne(queue);
          expect((await contentOf(claim)).equals(octets)).toBe(true);
          await settleAll(queue, new ManualClock(), claim, { kind: "delivered" });
        }

        expect((await queue.statistics()).contentBytes).toBe(0);
      });

      test("40 MB in pieces of 64 KiB come back octet for octet", { timeout: 60_000 }, async () => {
        const { queue, clock } = await start();
        const sent = createHash("sha256");
        const piece = Buffer.alloc(65_536);
        const writer = queue.open();
        for (let at = 0; at < 640; at++) {
          piece.fill(at & 255);
          piece.writeUInt32BE(at);
          sent.update(piece);
          await writer.write(piece);
        }
        await writer.commit(envelope());

        const claim = await claimOne(queue);
        const got = createHash("sha256");
        let longest = 0;
        for await (const block of claim.content.blocks()) {
          longest = Math.max(longest, block.byteLength);
          got.update(block);
        }

        expect(got.digest("hex")).toBe(sent.digest("hex"));
        expect(longest).toBeLessThanOrEqual(262_144);
        await settleAll(queue, clock, claim, { kind: "delivered" });
        await expect.poll(async () => (await queue.statistics()).contentBytes).toBe(0);
      });

      test("many slow senders with a little memory each neither stop one another nor a fast one", { timeout: 60_000 }, async () => {
        const { queue } = await start({ poolBytes: 4 * 262_144 });
        const slow = Array.from({ length: 12 }, () => queue.open());
        for (const writer of slow) await writer.write(Buffer.alloc(30_000, 1));

        const fast = queue.open();
        for (let at = 0; at < 32; at++) await fast.write(Buffer.alloc(65_536, 2));
        await fast.commit(envelope({ recipients: ["fast@contoso.com"] }));
        for (const writer of slow) {
          await writer.write(Buffer.alloc(30_000, 3));
          await writer.commit(envelope());
        }

        const claims = await queue.claim({ lane: LANE, limit: 20, recipientsPerMessage: 1, leaseMs: HOUR });
        expect(claims).toHaveLength(13);
        for (const claim of claims) {
          const content = await contentOf(claim);
          const expected =
            claim.recipients[0]?.address === "fast@contoso.com"
              ? Buffer.alloc(2_097_152, 2)
              : Buffer.concat([Buffer.alloc(30_000, 1), Buffer.alloc(30_000, 3)]);
          expect(content.equals(expected)).toBe(true);
        }
      });

      test("octets may be changed by the caller as soon as write has returned", async () => {
        const { queue } = await start({ poolBytes: 262_144 });
        const writer = queue.open();
        const octets = Buffer.alloc(400_000, 7);

        const room = writer.write(octets);
        octets.fill(9);
        await room;
        await writer.commit(envelope());

        expect((await contentOf(await claimOne(queue))).equals(Buffer.alloc(400_000, 7))).toBe(true);
      });

      test("queue ids grow", async () => {
        const { queue } = await start();

        const ids = [queue.open().queueId, queue.newQueueId(), queue.open().queueId];

        expect(ids.toSorted()).toEqual(ids);
      });
    });

    describe("a clock that is set", () => {
      const HOURS = 3_600_000;
      const putOff = async (queue: Queue, clock: ManualClock, byMs: number): Promise<void> =>
        settleAll(queue, clock, await claimOne(queue), { kind: "deferred", dueAt: clock.now() + byMs, cause: "450 later" });

      test("back makes due what was put off, or had only just come, by the clock as it was; nobody is younger for it", async () => {
        const { queue, clock } = await start();
        await accept(queue);
        clock.advance(HOURS);
        await putOff(queue, clock, HOURS / 2);
        await accept(queue);

        clock.step(-2 * HOURS);
        expect(await queue.claim({ lane: "scans", limit: 9, recipientsPerMessage: 9, leaseMs: HOURS })).toEqual([]);
        await queue.clockStepped(-2 * HOURS);
        const claims = await queue.claim({ lane: "scans", limit: 9, recipientsPerMessage: 9, leaseMs: HOURS });

        const ages = claims.map(({ message, recipients }) => clock.now() - message.acceptedAt - (recipients[0]?.heldMs ?? 0));
        expect(ages.toSorted((a, b) => a - b)).toEqual([0, HOURS]);
      });

      test("forward by years makes nobody older who was there, and leaves those alone who came after", async () => {
        const { queue, clock } = await start();
        await accept(queue);
        clock.advance(HOURS);
        clock.step(50_000 * HOURS);
        clock.advance(HOURS / 60);
        await accept(queue);

        await queue.clockStepped(50_000 * HOURS);

        const claims = await queue.claim({ lane: "scans", limit: 9, recipientsPerMessage: 9, leaseMs: HOURS });
        const ages = claims.map(({ message, recipients }) => clock.now() - message.acceptedAt - (recipients[0]?.heldMs ?? 0));
        expect(ages.toSorted((a, b) => a - b)).toEqual([0, HOURS + HOURS / 60]);
      });

      test("between two processes: what one put off for years is due at the next start, what it put off for hours is not", async () => {
        const { place, queue, clock } = await start();
        await accept(queue, { recipients: ["anna@contoso.com"] });
        await putOff(queue, clock, 40_000 * HOURS);
        await accept(queue, { recipients: ["ben@contoso.com"] });
        await putOff(queue, clock, 12 * HOURS);

        const after = await powerCut(place, clock);

        const claims = await after.queue.claim({ lane: "scans", limit: 9, recipientsPerMessage: 9, leaseMs: HOURS });
        expect(claims.flatMap(({ recipients }) => recipients.map(({ address }) => address))).toEqual(["anna@contoso.com"]);
      });

      test("back between two processes, by less than mail may be put off: what waits is due at the next start", async () => {
        const { place, queue, clock } = await start();
        await accept(queue, { recipients: ["anna@contoso.com"] });
        await putOff(queue, clock, HOURS / 2);

        clock.step(-2 * HOURS);
        const after = await powerCut(place, clock);

        const claims = await after.queue.claim({ lane: "scans", limit: 9, recipientsPerMessage: 9, leaseMs: HOURS });
        expect(claims.flatMap(({ recipients }) => recipients.map(({ address }) => address))).toEqual(["anna@contoso.com"]);
      });
    });

    describe("claiming", () => {
      test("a claim is durable before it is handed out: after a crash its recipients are ambiguous and due", async () => {
        const { place, queue, clock } = await start();
        const { queueId } = await accept(queue, { recipients: ["anna@contoso.com", "ben@contoso.com"] });
        await accept(queue, { recipients: ["carl@contoso.com"] });
        await claimOne(queue);

        const after = await powerCut(place, clock);

        expect(after.happened("queue.recovered")).toEqual([{ type: "queue.recovered", ambiguousRecipients: 2, sweptContent: 0 }]);
        expect(await states(after.queue)).toEqual(["anna@contoso.com queued", "ben@contoso.com queued", "carl@contoso.com queued"]);
        const claim = await claimOne(after.queue);
        expect(claim.message.queueId).toBe(queueId);
        expect(claim.recipients.map(({ ambiguous }) => ambiguous)).toEqual([true, true]);
        expect((await after.queue.show(queueId))?.history[0]?.what).toContain("recovered");
        expect((await claimOne(after.queue)).recipients[0]?.ambiguous).toBe(false);
      });

      test("a claim carries the message, its recipients and its content", async () => {
        const { queue } = await start();
        const message = await accept(queue, { recipients: ["anna@contoso.com", "ben@contoso.com"] }, "hello");

        const claim = await claimOne(queue);

        expect(claim.lane).toBe(LANE);
        expect(claim.message).toEqual(message);
        expect(claim.recipients).toEqual([
          { address: "anna@contoso.com", index: 0, attempts: 0, heldMs: 0, ambiguous: false, passed: [], deferredSince: undefined },
          { address: "ben@contoso.com", index: 1, attempts: 0, heldMs: 0, ambiguous: false, passed: [], deferredSince: undefined },
        ]);
        expect((await contentOf(claim)).toString()).toBe("hello");
        expect(claim.content.sizeBytes).toBe(5);
      });

      test("the recipients of one message are split into claims of the size asked for", async () => {
        const { queue } = await start();
        await accept(queue, { recipients: Array.from({ length: 1_000 }, (_, at) => `r${at}@contoso.com`) });

        const claims = await queue.claim({ lane: LANE, limit: 5, recipientsPerMessage: 450, leaseMs: HOUR });

        expect(claims.map(({ recipients }) => recipients.length)).toEqual([450, 450, 100]);
        expect(new Set(claims.flatMap(({ recipients }) => recipients.map(({ index }) => index))).size).toBe(1_000);
      });

      test("one device with a thousand messages does not keep others waiting", { timeout: 60_000 }, async () => {
        const { queue, clock } = await start();
        await Promise.all(Array.from({ length: 1_000 }, () => accept(queue, { device: "10.0.0.1" })));
        for (const device of ["10.0.0.2", "10.0.0.3"]) for (let at = 0; at < 3; at++) await accept(queue, { device });

        const order: string[] = [];
        for (let round = 0; round < 9; round++) {
          const claim = await claimOne(queue);
          order.push(claim.message.origin.device.at(-1) ?? "");
          await settleAll(queue, clock, claim, { kind: "delivered" });
        }

        expect(order.join("")).toBe("123123123");
      });

      test("devices with fewer deliveries in progress go first", async () => {
        const { queue } = await start();
        for (const device of ["a", "b", "c"]) for (let at = 0; at < 4; at++) await accept(queue, { device });

        const busyDevices = new Map([
          ["a", 3],
          ["b", 1],
        ]);
        const claims = await queue.claim({ lane: LANE, limit: 6, recipientsPerMessage: 1, leaseMs: HOUR, busyDevices });

        const taken = claims.map(({ message }) => message.origin.device);
        expect(taken[0]).toBe("c");
        expect(taken.filter((device) => device === "c")).toHaveLength(3);
        expect(taken.filter((device) => device === "b")).toHaveLength(2);
        expect(taken.filter((device) => device === "a")).toHaveLength(1);
      });

      /** Who is taken, one claim after the other: letters of devices, in capitals where the mail is interactive. */
      const takenInTurn = async (queue: Queue, rounds: number, strict: boolean, busyDevices?: ReadonlyMap<string, number>) => {
        const order: string[] = [];
        for (let round = 0; round < rounds; round++) {
          const request = { budget: { recipients: 450, strict }, ...(busyDevices === undefined ? {} : { busyDevices }) };
          const { priority, origin } = (await claimOne(queue, request)).message;
          order.push(priority === "interactive" ? origin.device.toUpperCase() : origin.device);
        }
        return order.join("");
      };

      test("on a door with a budget interactive mail goes ahead of bulk, one device's too, and bulk is not starved", async () => {
        const { queue } = await start();
        for (let at = 0; at < 12; at++) await accept(queue, { device: "a", priority: "bulk" });
        for (let at = 0; at < 12; at++) await accept(queue, { device: "b" });
        for (let at = 0; at < 12; at++) await accept(queue, { device: "a", priority: "interactive" });

        expect(await takenInTurn(queue, 20, false)).toBe("AAbAAbAAbaAAbAAbAAba");
      });

      test("when little is left of a day's budget, bulk waits for the rest and large senders for small ones", async () => {
        const { queue } = await start();
        for (let at = 0; at < 2; at++) await accept(queue, { device: "a", priority: "bulk" });
        for (let at = 0; at < 2; at++) await accept(queue, { device: "b", priority: "bulk" });
        for (let at = 0; at < 2; at++) await accept(queue, { device: "c" });
        for (let at = 0; at < 2; at++) await accept(queue, { device: "a", priority: "interactive" });

        const used = new Map([["~a", 300]]);

        expect(await takenInTurn(queue, 8, true, used)).toBe("AAccbbaa");
      });

      test("reports of our own wait with normal mail", async () => {
        const { queue } = await start();
        await accept(queue, { device: "b", priority: "bulk" });
        await accept(queue, { device: "", kind: "report", reversePath: "" });

        const first = await claimOne(queue, { budget: { recipients: 450, strict: true } });

        expect(first.message.kind).toBe("report");
      });

      test("claims have no more recipients together than the budget has left; the rest stays", async () => {
        const { queue } = await start();
        const many = (count: number): string[] => Array.from({ length: count }, (_, at) => `r${at}@contoso.com`);
        for (let at = 0; at < 3; at++) await accept(queue, { recipients: many(4), device: `10.0.0.${at}` });

        const request = { lane: LANE, limit: 5, recipientsPerMessage: 450, leaseMs: HOUR };
        const claims = await queue.claim({ ...request, budget: { recipients: 6, strict: false } });
        const rest = await queue.claim(request);

        expect(claims.map(({ recipients }) => recipients.length)).toEqual([4, 2]);
        expect(rest.map(({ recipients }) => recipients.length)).toEqual([2, 4]);
      });

      test("lists and filters know the device whatever the priority", async () => {
        const { queue } = await start();
        for (const priority of PRIORITIES) await accept(queue, { device: "10.0.0.7", priority });

        const entries = await queue.list({ device: "10.0.0.7" }, 10);

        expect(entries.map(({ device }) => device)).toEqual(["10.0.0.7", "10.0.0.7", "10.0.0.7"]);
      });

      test("filters find mail without a sender as <>, and one address whole in angle brackets", async () => {
        const { queue } = await start();
        await accept(queue, { kind: "report", reversePath: "", recipients: ["ann@contoso.com"], device: "" });
        await accept(queue, { recipients: ["joann@contoso.com"] });

        const found = async (filter: QueueFilter) => (await queue.list(filter, 10)).map(({ recipient }) => recipient);

        expect(await found({ from: "<>" })).toEqual(["ann@contoso.com"]);
        expect(await found({ to: "<Ann@contoso.com>" })).toEqual(["ann@contoso.com"]);
        expect(await found({ to: "ann@" })).toEqual(["ann@contoso.com", "joann@contoso.com"]);
      });

      test("the oldest of a device goes first, and nothing before it is due", async () => {
        const { queue, clock } = await start();
        const first = await accept(queue);
        clock.advance(1_000);
        const second = await accept(queue);
        await settleAll(queue, clock, await claimOne(queue), { kind: "deferred", dueAt: clock.now() + 60_000, cause: "busy" });

        const next = await claimOne(queue);
        const early = await queue.claim({ lane: LANE, limit: 9, recipientsPerMessage: 1, leaseMs: HOUR });
        clock.advance(60_000);
        const late = await claimOne(queue);

        expect(next.message.queueId).toBe(second.queueId);
        expect(early).toEqual([]);
        expect(late.message.queueId).toBe(first.queueId);
        expect(late.recipients[0]?.attempts).toBe(1);
      });

      test("lanes do not see each other's mail", async () => {
        const { queue } = await start({ route: (_envelope, recipient) => (recipient.endsWith("@contoso.com") ? LANE : "outside") });
        await accept(queue, { recipients: ["anna@contoso.com", "x@example.org", "ben@contoso.com"] });

        const inside = await claimOne(queue);
        const outside = await claimOne(queue, { lane: "outside" });

        expect(inside.recipients.map(({ index }) => index)).toEqual([0, 2]);
        expect(outside.recipients.map(({ address }) => address)).toEqual(["x@example.org"]);
      });

      test("a lease that ran out puts the recipients back as ambiguous, and tells of work", async () => {
        const { queue, clock } = await start();
        await accept(queue);
        await claimOne(queue, { leaseMs: 60_000 });
        const told = new Promise<string>((resolve) => queue.onWork(resolve));

        clock.advance(60_000);

        expect(await told).toBe(LANE);
        expect((await claimOne(queue)).recipients[0]?.ambiguous).toBe(true);
      });

      test("a renewed lease goes on", async () => {
        const { queue, clock } = await start();
        await accept(queue);
        const claim = await claimOne(queue, { leaseMs: 60_000 });

        clock.advance(50_000);
        await queue.renew(claim, 60_000);
        clock.advance(50_000);

        expect(await states(queue)).toEqual(["anna@contoso.com delivering"]);
      });

      test("an outcome that comes after the lease ran out counts while nobody else took the recipient", async () => {
        const { queue, clock } = await start();
        await accept(queue);
        const claim = await claimOne(queue, { leaseMs: 60_000 });
        clock.advance(60_000);

        await settleAll(queue, clock, claim, { kind: "delivered" });

        expect(await states(queue)).toEqual(["anna@contoso.com delivered"]);
        await expectBalanced(queue);
      });

      test("an outcome that comes too late changes nothing for whoever has the recipient now", async () => {
        const { queue, clock } = await start();
        await accept(queue);
        const late = await claimOne(queue, { leaseMs: 60_000 });
        clock.advance(60_000);
        const current = await claimOne(queue);

        await settleAll(queue, clock, late, { kind: "bounced", cause: "unknown" });

        expect(await states(queue)).toEqual(["anna@contoso.com delivering"]);
        await settleAll(queue, clock, current, { kind: "delivered" });
        expect(await states(queue)).toEqual(["anna@contoso.com delivered"]);
        await expectBalanced(queue);
      });
    });

    describe("settling", () => {
      const outcomes: [string, (now: number) => Settlement, string][] = [
        ["delivered", () => ({ kind: "delivered", reply: { code: 250, text: "ok" } }), "delivered"],
        ["deferred", (now) => ({ kind: "deferred", dueAt: now + 1_000, cause: "busy" }), "deferred"],
        ["held by sender", () => ({ kind: "held", by: "sender", cause: "SendAsDenied" }), "held by sender"],
        ["held by upstream", () => ({ kind: "held", by: "upstream", cause: "secret expired" }), "held by upstream"],
        ["held by corrupt", () => ({ kind: "held", by: "corrupt", cause: "checksum" }), "held by corrupt"],
        ["bounced", () => ({ kind: "bounced", cause: "unknown" }), "bounced"],
        ["expired", () => ({ kind: "expired", cause: "too old" }), "expired"],
        ["returned", (now) => ({ kind: "returned", dueAt: now }), "queued"],
      ];

      test.each(outcomes)("delivering, then %s: durable when settle resolves", async (_name, settlement, state) => {
        const { place, queue, clock } = await start();
        const { queueId } = await accept(queue);

        await settleAll(queue, clock, await claimOne(queue), settlement(clock.now()));
        const crashed = await place.afterPowerCut();
        cleanUp.push(() => crashed.remove());
        const reader = await crashed.openReader();
        cleanUp.push(() => reader.close());

        expect(await states(reader)).toEqual([`anna@contoso.com ${state}`]);
        expect((await reader.show(queueId))?.attempts).toHaveLength(state === "queued" ? 0 : 1);
        await expectBalanced(reader);
        await expectBalanced(queue);
      });

      test("returned counts no attempt and keeps a deferred recipient deferred", async () => {
        const { queue, clock } = await start();
        await accept(queue);
        await settleAll(queue, clock, await claimOne(queue), { kind: "deferred", dueAt: clock.now(), cause: "busy" });

        await settleAll(queue, clock, await claimOne(queue), { kind: "returned", dueAt: clock.now() });

        expect(await queue.list({}, 9)).toMatchObject([{ state: "deferred", attempts: 1, cause: "busy" }]);
      });

      test("content goes with the last recipient that becomes final, not before", async () => {
        const { queue, clock } = await start();
        const { queueId } = await accept(queue, { recipients: ["anna@contoso.com", "ben@contoso.com"] });
        const claim = await claimOne(queue);

        const settlements = new Map<number, Settlement>([
          [0, { kind: "bounced", cause: "unknown" }],
          [1, { kind: "deferred", dueAt: clock.now(), cause: "busy" }],
        ]);
        await queue.settle({ claim, settlements, attempt: attemptRecord(clock) });
        const between = await queue.show(queueId);
        await settleAll(queue, clock, await claimOne(queue), { kind: "delivered" });
        const end = await queue.show(queueId);

        expect(between?.hasContent).toBe(true);
        expect(end?.hasContent).toBe(false);
        expect(end?.attempts.map(({ number, recipients }) => [number, recipients])).toEqual([
          [1, ["anna@contoso.com", "ben@contoso.com"]],
          [2, ["ben@contoso.com"]],
        ]);
      });

      test("a message whose sender was told that it is late is known as that, also after a power cut", async () => {
        const { place, queue, clock } = await start();
        await accept(queue);
        const claim = await claimOne(queue);
        expect(claim.warned).toBe(false);
        const settlements = new Map<number, Settlement>([[0, { kind: "deferred", dueAt: clock.now(), cause: "later" }]]);

        await queue.settle({ claim, settlements, attempt: attemptRecord(clock), warned: true });
        const after = await powerCut(place, clock);

        expect((await claimOne(after.queue)).warned).toBe(true);
      });

      test("what is postponed is durable with its settlement, and told in one commit", async () => {
        const { place, queue, clock } = await start();
        const window = { to: "it@contoso.com", topic: "refused", since: 7 };
        for (const [n, entry] of [undefined, "first", "second"].entries()) {
          await accept(queue, { messageId: `<${n}@x>` });
          const settlements = new Map<number, Settlement>([[0, { kind: "bounced", cause: "unknown" }]]);
          const claim = await claimOne(queue);
          await queue.settle({ claim, settlements, attempt: attemptRecord(clock), postponed: [{ ...window, entry }] });
        }

        const after = await powerCut(place, clock);
        expect(await after.queue.postponedReports()).toEqual([{ ...window, entries: 2 }]);
        const found = await after.queue.postponedEntries(window, 1);
        expect(found).toMatchObject({ entries: ["first"], count: 2 });

        const report = {
          queueId: after.queue.newQueueId(),
          envelope: envelope({ kind: "report", reversePath: "", recipients: ["it@contoso.com"], device: "" }),
          content: Buffer.from("summary"),
        };
        expect(await after.queue.tellPostponed(window, found.last, report)).toBe(0);
        expect(await after.queue.postponedReports()).toEqual([]);
        expect(await after.queue.statistics()).toMatchObject({ generated: 1, waiting: { queued: 1 } });
        expect((await contentOf(await claimOne(after.queue))).toString()).toBe("summary");
      });

      test("a message of our own that no settlement causes is durable, counts as generated, tells of work, and leaves", async () => {
        const { place, queue, clock } = await start();
        const told: string[] = [];
        queue.onWork((lane) => told.push(lane));
        const alert = {
          queueId: queue.newQueueId(),
          envelope: envelope({ kind: "alert", reversePath: "", recipients: ["it@contoso.com"], device: "" }),
          content: Buffer.from("alert"),
        };

        await queue.generate(alert);
        const after = await powerCut(place, clock);

        expect(told).toEqual([LANE]);
        expect(await after.queue.statistics()).toMatchObject({ accepted: 0, generated: 1, waiting: { queued: 1 } });
        const claim = await claimOne(after.queue);
        expect(claim.message).toMatchObject({ queueId: alert.queueId, kind: "alert" });
        expect((await contentOf(claim)).toString()).toBe("alert");
        await expectBalanced(after.queue);
      });

      test("what is postponed while a report is written stays", async () => {
        const { queue, clock } = await start();
        const window = { to: "it@contoso.com", topic: "refused", since: 7 };
        const postpone = async (entry: string): Promise<void> => {
          await accept(queue);
          const settlements = new Map<number, Settlement>([[0, { kind: "bounced", cause: "unknown" }]]);
          const claim = await claimOne(queue);
          await queue.settle({ claim, settlements, attempt: attemptRecord(clock), postponed: [{ ...window, entry }] });
        };
        await postpone("first");
        const found = await queue.postponedEntries(window, 9);
        await postpone("late");

        expect(await queue.tellPostponed(window, found.last, undefined)).toBe(1);
        expect(await queue.postponedEntries(window, 9)).toMatchObject({ entries: ["late"], count: 1 });
      });

      test("a report enters in the commit that bounces, and counts as generated", async () => {
        const { place, queue, clock } = await start();
        await accept(queue);
        const claim = await claimOne(queue);
        const report = {
          queueId: queue.newQueueId(),
          envelope: envelope({ kind: "report", reversePath: "", recipients: ["scanner@contoso.com"], device: "" }),
          content: Buffer.from("report"),
        };

        const settlements = new Map<number, Settlement>([
          [0, { kind: "bounced", cause: "unknown", reply: { code: 550, enhanced: "5.1.1", text: "no" } }],
        ]);
        await queue.settle({ claim, settlements, attempt: attemptRecord(clock), generated: [report] });
        const after = await powerCut(place, clock);

        expect(await after.queue.statistics()).toMatchObject({ accepted: 1, generated: 1, final: { bounced: 1 }, waiting: { queued: 1 } });
        const next = await claimOne(after.queue);
        expect(next.message).toMatchObject({ queueId: report.queueId, kind: "report", sizeBytes: 6 });
        expect((await contentOf(next)).toString()).toBe("report");
        expect(await after.queue.list({ states: ["bounced"] }, 9)).toMatchObject([
          { reply: { code: 550, enhanced: "5.1.1", text: "no" }, cause: "unknown" },
        ]);
      });

      test("the answer lost after the final dot stays known as ambiguous", async () => {
        const { queue, clock } = await start();
        await accept(queue);

        await settleAll(queue, clock, await claimOne(queue), { kind: "deferred", dueAt: clock.now(), cause: "lost", ambiguous: true });

        expect((await claimOne(queue)).recipients[0]?.ambiguous).toBe(true);
      });

      test("attempts are found by lane and time, after a restart too", async () => {
        const { place, queue, clock } = await start();
        const began = clock.now();
        for (let at = 0; at < 3; at++) {
          await accept(queue);
          await settleAll(queue, clock, await claimOne(queue), { kind: "delivered" });
          clock.advance(1_000);
        }

        const after = await powerCut(place, clock);

        const one = { messages: 1, recipients: 1, external: 1, bytes: 32 };
        expect(await after.queue.attemptCounts(LANE, began + 1_000, 1)).toEqual([
          { ...one, startedAt: began + 1_000, endedAt: began + 1_000 },
          { ...one, startedAt: began + 2_000, endedAt: began + 2_000 },
        ]);
        expect(await after.queue.attemptCounts("other", 0, 1)).toEqual([]);
      });

      test("attempts are counted as their records say, those close together at once", async () => {
        const { queue, clock } = await start();
        clock.advance(60_000 - (clock.now() % 60_000));
        const began = clock.now();
        for (let at = 0; at < 3; at++) {
          await accept(queue, { recipients: ["anna@contoso.com", "bob@example.com", "carla@example.com"] });
          const claim = await claimOne(queue);
          const settlements = new Map(claim.recipients.map(({ index }) => [index, { kind: "delivered" } as const]));
          const counted = { endedAt: clock.now() + 500, messages: 1, recipients: 3, external: 2, bytes: 100 };
          await queue.settle({ claim, settlements, attempt: { ...attemptRecord(clock), counted } });
          clock.advance(40_000);
        }

        const counts = await queue.attemptCounts(LANE, began, 60_000);

        expect(counts).toEqual([
          { startedAt: began + 40_000, endedAt: began + 40_500, messages: 2, recipients: 6, external: 4, bytes: 200 },
          { startedAt: began + 80_000, endedAt: began + 80_500, messages: 1, recipients: 3, external: 2, bytes: 100 },
        ]);
      });

      test("what was not taken costs no recipients, what may have been counts in full", async () => {
        const { queue, clock } = await start();
        const recipients = ["anna@contoso.com", "bob@example.com"];
        for (const outcome of ["bounced", "deferred", "ambiguous"] as const) {
          await accept(queue, { recipients });
          const claim = await claimOne(queue);
          const settlements = new Map(claim.recipients.map(({ index }) => [index, { kind: "bounced", cause: "no" } as const]));
          await queue.settle({ claim, settlements, attempt: attemptRecord(clock, outcome) });
        }

        const [counts] = await queue.attemptCounts(LANE, 0, HOUR);

        expect(counts).toMatchObject({ messages: 3, recipients: 2, external: 2 });
      });

      test("an attempt under way at a power cut is counted in full, from its start to the next start", async () => {
        const { place, queue, clock } = await start();
        const began = clock.now();
        await accept(queue, { recipients: ["anna@contoso.com", "bob@example.com"] });
        await claimOne(queue);
        clock.advance(5_000);

        const after = await powerCut(place, clock);
        const [claim] = await after.queue.claim({ lane: LANE, limit: 1, recipientsPerMessage: 450, leaseMs: HOUR });

        expect(await after.queue.attemptCounts(LANE, 0, 1)).toEqual([
          { startedAt: began, endedAt: began + 5_000, messages: 1, recipients: 2, external: 2, bytes: 32 },
        ]);
        expect((await after.queue.show(claim?.message.queueId ?? ""))?.attempts).toMatchObject([
          {
            outcome: "ambiguous",
            fault: "INTERRUPTED: the process ended during the attempt",
            recipients: ["anna@contoso.com", "bob@example.com"],
          },
        ]);
      });

      test("damaged content is never handed out: it is reported, and held for ever", async () => {
        const { place, queue, clock, happened } = await start();
        const { queueId } = await accept(queue);
        await place.damage(queueId);
        const claim = await claimOne(queue);

        await expect(contentOf(claim)).rejects.toMatchObject({ code: "E_CONTENT_CORRUPT" });
        await settleAll(queue, clock, claim, { kind: "held", by: "corrupt", cause: "checksum" });
        await queue.act({ verb: "release", filter: {}, by: "anna" });
        await queue.holdLane(LANE, holdOf(clock));
        await queue.releaseLane(LANE);

        expect(happened("queue.corrupt")).toMatchObject([{ queueId }]);
        expect(await states(queue)).toEqual(["anna@contoso.com held by corrupt"]);
      });
    });

    describe("doors", () => {
      test("a closed door holds what waits and what arrives, and survives a restart", async () => {
        const { place, queue, clock } = await start();
        await accept(queue, { recipients: ["anna@contoso.com"] });
        await accept(queue, { recipients: ["ben@contoso.com"] });

        const moved = await queue.holdLane(LANE, holdOf(clock));
        await accept(queue, { recipients: ["carl@contoso.com"] });
        const after = await powerCut(place, clock);

        expect(moved).toBe(2);
        expect(await states(after.queue)).toEqual([
          "anna@contoso.com held by upstream",
          "ben@contoso.com held by upstream",
          "carl@contoso.com held by upstream",
        ]);
        expect(await after.queue.claim({ lane: LANE, limit: 9, recipientsPerMessage: 9, leaseMs: HOUR })).toEqual([]);
        expect(await after.queue.lanes()).toMatchObject([
          { lane: LANE, waiting: 3, nextDueAt: undefined, hold: { cause: "secret expired" } },
        ]);
      });

      test("what the next hop said when the door closed is not put down to mail that it never saw", async () => {
        const { queue, clock } = await start();
        await accept(queue);
        const reply = { code: 535, enhanced: "5.7.3", text: "Authentication unsuccessful" };

        await queue.holdLane(LANE, { ...holdOf(clock), reply });

        expect(await queue.list({}, 9)).toMatchObject([{ state: "held", cause: "secret expired", reply: undefined }]);
        expect((await firstWaiting(queue))?.recipients).toMatchObject([{ state: "held", reply: undefined }]);
        expect((await queue.lanes())[0]?.hold).toMatchObject({ reply });
      });

      test("opening it makes all it held due, tells of work, and counts the time", async () => {
        const { queue, clock } = await start();
        await accept(queue);
        await queue.holdLane(LANE, holdOf(clock));
        const told: string[] = [];
        queue.onWork((lane) => told.push(lane));

        clock.advance(HOUR);
        const released = await queue.releaseLane(LANE);

        expect(released).toBe(1);
        expect(told).toEqual([LANE]);
        expect((await claimOne(queue)).recipients).toMatchObject([{ heldMs: HOUR, attempts: 0 }]);
        expect((await queue.lanes())[0]?.hold).toBeUndefined();
      });

      test("held time adds up over several holds of every kind", async () => {
        const { queue, clock } = await start();
        await accept(queue);
        await queue.act({ verb: "hold", filter: {}, by: "anna" });
        clock.advance(1_000);
        await queue.act({ verb: "release", filter: {}, by: "anna" });
        clock.advance(500);
        await settleAll(queue, clock, await claimOne(queue), { kind: "held", by: "sender", cause: "no" });
        clock.advance(2_000);
        await queue.act({ verb: "release", filter: {}, by: "anna" });
        await queue.holdLane(LANE, holdOf(clock));
        clock.advance(4_000);
        await queue.releaseLane(LANE);

        expect((await claimOne(queue)).recipients[0]?.heldMs).toBe(7_000);
      });

      test("an outcome that would wait waits at the closed door", async () => {
        const { queue, clock } = await start();
        await accept(queue);
        await accept(queue);
        const [first, second] = [await claimOne(queue), await claimOne(queue)];
        await queue.holdLane(LANE, holdOf(clock));

        await settleAll(queue, clock, first, { kind: "deferred", dueAt: clock.now() + 1_000, cause: "busy" });
        await settleAll(queue, clock, second, { kind: "returned", dueAt: clock.now() });

        expect(await states(queue)).toEqual(["anna@contoso.com held by upstream", "anna@contoso.com held by upstream"]);
        expect(await queue.releaseLane(LANE)).toBe(2);
      });

      test("a probe takes the oldest that did not close the door, and that one only when no other waits", async () => {
        const { queue, clock } = await start();
        const closer = await accept(queue, { device: "a" });
        clock.advance(1);
        const older = await accept(queue, { device: "b" });
        clock.advance(1);
        await accept(queue, { device: "a" });
        await queue.holdLane(LANE, holdOf(clock, closer.queueId));

        const probes: string[] = [];
        for (let at = 0; at < 3; at++) probes.push((await queue.claimProbe(LANE, 9, HOUR))?.message.queueId ?? "none");

        expect(probes[0]).toBe(older.queueId);
        expect(probes[2]).toBe(closer.queueId);
        expect(await queue.claimProbe(LANE, 9, HOUR)).toBeUndefined();
      });

      test("probes go on behind the message that met the fault last, and from the newest to the oldest again, so that none is kept from its turn", async () => {
        const { queue, clock } = await start();
        const ids: string[] = [];
        for (const device of ["a", "b", "a", "c"]) {
          ids.push((await accept(queue, { device })).queueId);
          clock.advance(1);
        }
        const probed: string[] = [];

        for (let last = ids[0] ?? ""; probed.length < 5; last = probed.at(-1) ?? "") {
          await queue.holdLane(LANE, holdOf(clock, last));
          const claim = (await queue.claimProbe(LANE, 9, HOUR)) as Claim;
          probed.push(claim.message.queueId);
          await settleAll(queue, clock, claim, { kind: "held", by: "upstream", cause: "full" });
        }

        expect(probed).toEqual([ids[1], ids[2], ids[3], ids[0], ids[1]]);
      });

      test("what a door held a moment after it was opened does not stay held", async () => {
        const { queue, clock } = await start();
        await accept(queue);
        const claim = await claimOne(queue);
        await queue.holdLane(LANE, holdOf(clock));
        await queue.releaseLane(LANE);

        await settleAll(queue, clock, claim, { kind: "held", by: "upstream", cause: "late" });
        clock.advance(60_000);

        await expect.poll(() => states(queue)).toEqual(["anna@contoso.com queued"]);
      });

      test("a door closed and opened in haste ends open, with nothing left behind", async () => {
        const { queue, clock } = await start();
        await Promise.all(Array.from({ length: 1_200 }, () => accept(queue)));

        await Promise.all([
          queue.holdLane(LANE, holdOf(clock)),
          queue.releaseLane(LANE),
          queue.holdLane(LANE, holdOf(clock)),
          queue.releaseLane(LANE),
        ]);

        expect((await queue.statistics()).waiting).toEqual({ queued: 1_200, delivering: 0, deferred: 0, held: 0 });
        await expectBalanced(queue);
      });
    });

    describe("senders", () => {
      const refused: Settlement = { kind: "held", by: "sender", cause: "SendAsDenied" };

      /** Accepts a message for each sender, and has all of them refused for their sender. */
      async function heldMail(senders: readonly string[], options: Parameters<typeof start>[0] = {}) {
        const started = await start(options);
        const { queue, clock } = started;
        const ids: string[] = [];
        for (const reversePath of senders) {
          ids.push((await accept(queue, { reversePath })).queueId);
          await settleAll(queue, clock, await claimOne(queue), refused);
          clock.advance(1_000);
        }
        return { ...started, ids };
      }

      test("those with held mail are found once each, whatever the case of their letters, also after a restart", async () => {
        const { place, queue, clock } = await heldMail(["Scan@contoso.com", "erp@contoso.com", "scan@contoso.com", ""]);
        await accept(queue, { reversePath: "free@contoso.com" });

        const after = await powerCut(place, clock);

        expect(await queue.heldSenders(LANE, 100)).toEqual(["", "erp@contoso.com", "scan@contoso.com"]);
        expect(await queue.heldSenders(LANE, 2)).toEqual(["", "erp@contoso.com"]);
        expect(await queue.heldSenders("other", 100)).toEqual([]);
        expect(await after.queue.heldSenders(LANE, 100)).toEqual(["", "erp@contoso.com", "scan@contoso.com"]);
      });

      test("one message is tried, the longest held first; held again it lets the next one go first", async () => {
        const { queue, clock, ids } = await heldMail(["scan@contoso.com", "erp@contoso.com", "scan@contoso.com"]);

        const first = await queue.claimHeldBySender(LANE, "SCAN@contoso.com", 9, HOUR);
        await settleAll(queue, clock, first as Claim, refused);
        clock.advance(1_000);
        const second = await queue.claimHeldBySender(LANE, "scan@contoso.com", 9, HOUR);

        expect(first).toMatchObject({ lane: LANE, message: { queueId: ids[0] }, recipients: [{ attempts: 1, heldMs: 3_000 }] });
        expect(second?.message.queueId).toBe(ids[2]);
        expect(await queue.claimHeldBySender(LANE, "nobody@contoso.com", 9, HOUR)).toBeUndefined();
        await expectBalanced(queue);
      });

      test("one that is returned untried is held by its sender as before, with the time that it was held", async () => {
        const { queue, clock } = await heldMail(["scan@contoso.com"]);

        await settleAll(queue, clock, (await queue.claimHeldBySender(LANE, "scan@contoso.com", 9, HOUR)) as Claim, {
          kind: "returned",
          dueAt: clock.now(),
        });
        clock.advance(500);

        expect(await queue.list({}, 9)).toMatchObject([{ state: "held", heldBy: "sender", cause: "SendAsDenied", attempts: 1 }]);
        expect((await queue.claimHeldBySender(LANE, "scan@contoso.com", 9, HOUR))?.recipients).toMatchObject([
          { heldMs: 1_500, attempts: 1 },
        ]);
      });

      test("one that was being tried when the power went is tried like any other mail", async () => {
        const { place, queue, clock } = await heldMail(["scan@contoso.com"]);
        await queue.claimHeldBySender(LANE, "scan@contoso.com", 9, HOUR);

        const after = await powerCut(place, clock);

        expect(await states(after.queue)).toEqual(["anna@contoso.com queued"]);
        expect(await after.queue.act({ verb: "release", filter: {}, by: "anna" })).toMatchObject({ changed: [] });
        expect((await claimOne(after.queue)).recipients).toMatchObject([{ ambiguous: true }]);
      });

      test("a released sender's mail is due now, tells of work, and is only its own", async () => {
        const { queue, clock, ids } = await heldMail(["Scan@contoso.com", "erp@contoso.com", "scan@contoso.com"]);
        const told: string[] = [];
        queue.onWork((lane) => told.push(lane));

        const released = await queue.releaseSender(LANE, "scan@CONTOSO.com");
        const claims = await queue.claim({ lane: LANE, limit: 9, recipientsPerMessage: 9, leaseMs: HOUR });

        expect(released).toBe(2);
        expect(told).toEqual([LANE]);
        expect(claims.map(({ message }) => message.queueId)).toEqual([ids[0], ids[2]]);
        expect(claims.map(({ recipients }) => recipients[0]?.heldMs)).toEqual([3_000, 1_000]);
        expect(await queue.heldSenders(LANE, 100)).toEqual(["erp@contoso.com"]);
        expect((await queue.show(ids[0] ?? ""))?.history.map(({ what }) => what)).toEqual([expect.stringContaining("released")]);
        await settleAll(queue, clock, claims[0] as Claim, { kind: "delivered" });
        await expectBalanced(queue);
      });

      test("what an operator holds stays, and at a closed door a released sender's mail waits for the door", async () => {
        const { queue, clock, ids } = await heldMail(["scan@contoso.com", "scan@contoso.com"]);
        await queue.act({ verb: "hold", filter: { ids: [ids[0] ?? ""] }, by: "anna" });
        await queue.holdLane(LANE, holdOf(clock));

        const released = await queue.releaseSender(LANE, "scan@contoso.com");

        expect(released).toBe(1);
        expect(await states(queue)).toEqual(["anna@contoso.com held by operator", "anna@contoso.com held by upstream"]);
        expect(await queue.claimHeldBySender(LANE, "scan@contoso.com", 9, HOUR)).toBeUndefined();
      });

      test("more than one commit's worth is released whole", { timeout: 60_000 }, async () => {
        const { queue, clock } = await start();
        const recipients = Array.from({ length: 1_000 }, (_, at) => `r${at}@contoso.com`);
        await accept(queue, { recipients });
        await accept(queue, { recipients: recipients.slice(0, 200) });
        for (const claim of await queue.claim({ lane: LANE, limit: 2, recipientsPerMessage: 1_000, leaseMs: HOUR }))
          await settleAll(queue, clock, claim, refused);

        const released = await queue.releaseSender(LANE, "scanner@contoso.com");

        expect(released).toBe(1_200);
        expect((await queue.statistics()).waiting).toEqual({ queued: 1_200, delivering: 0, deferred: 0, held: 0 });
      });
    });

    describe("express lane", () => {
      test("a message with a free place is claimed in the commit that accepts it", async () => {
        const { place, queue, clock } = await start();
        const got: Claim[] = [];
        queue.setExpress({
          reserve: (_lane, _envelope, recipients) => recipients,
          deliver: (claim) => got.push(claim),
          forget: () => undefined,
        });

        const message = await accept(queue, { recipients: ["anna@contoso.com", "ben@contoso.com"] }, "hello");
        await expect.poll(() => got.length).toBe(1);
        const after = await powerCut(place, clock);

        expect(got[0]).toMatchObject({ lane: LANE, message, recipients: [{ index: 0 }, { index: 1 }] });
        expect(Buffer.from(got[0]?.content.inMemory ?? []).toString()).toBe("hello");
        expect(after.happened("queue.recovered")).toMatchObject([{ ambiguousRecipients: 2 }]);
        await settleAll(queue, clock, got[0] as Claim, { kind: "delivered" });
        expect((await queue.statistics()).final.delivered).toBe(2);
        await expectBalanced(queue);
      });

      test("what finds no place waits in the normal line, and work is told of", async () => {
        const { queue } = await start();
        const got: Claim[] = [];
        const told: string[] = [];
        queue.onWork((lane) => told.push(lane));
        queue.setExpress({ reserve: () => 1, deliver: (claim) => got.push(claim), forget: () => undefined });

        await accept(queue, { recipients: ["anna@contoso.com", "ben@contoso.com"] });

        expect(got[0]?.recipients.map(({ address }) => address)).toEqual(["anna@contoso.com"]);
        expect(told).toEqual([LANE]);
        expect((await claimOne(queue)).recipients.map(({ address }) => address)).toEqual(["ben@contoso.com"]);
      });

      test("a closed door is not asked for places", async () => {
        const { queue, clock } = await start();
        let asked = 0;
        queue.setExpress({ reserve: () => ++asked, deliver: () => undefined, forget: () => undefined });
        await queue.holdLane(LANE, holdOf(clock));

        await accept(queue);

        expect(asked).toBe(0);
        expect(await states(queue)).toEqual(["anna@contoso.com held by upstream"]);
      });

      test("large content is read from the disk", async () => {
        const { queue } = await start();
        const got: Claim[] = [];
        queue.setExpress({ reserve: () => 1, deliver: (claim) => got.push(claim), forget: () => undefined });

        await accept(queue, {}, "x".repeat(300_000));

        expect(got[0]?.content.inMemory).toBeUndefined();
        expect(await contentOf(got[0] as Claim)).toHaveLength(300_000);
      });
    });

    describe("operating", () => {
      test("retry makes deferred mail due now", async () => {
        const { queue, clock } = await start();
        await accept(queue);
        await settleAll(queue, clock, await claimOne(queue), { kind: "deferred", dueAt: clock.now() + HOUR, cause: "busy" });

        const result = await queue.act({ verb: "retry", filter: {}, by: "anna" });

        expect(result).toMatchObject({ changed: [{ recipient: "anna@contoso.com", lane: LANE }], busy: 0 });
        expect((await claimOne(queue)).recipients[0]?.attempts).toBe(1);
      });

      test("hold stops, release lets go, both are recorded with who asked", async () => {
        const { queue } = await start();
        const { queueId } = await accept(queue);

        await queue.act({ verb: "hold", filter: { ids: [queueId] }, by: "anna" });
        const held = await states(queue);
        await queue.act({ verb: "release", filter: { ids: [queueId] }, by: "ben" });

        expect(held).toEqual(["anna@contoso.com held by operator"]);
        expect(await states(queue)).toEqual(["anna@contoso.com queued"]);
        expect((await queue.show(queueId))?.history.map(({ what, by }) => [what, by])).toEqual([
          ["hold", "anna"],
          ["release", "ben"],
        ]);
      });

      test("delete ends what waits with its content, but not what is being delivered", async () => {
        const { queue, happened } = await start();
        const first = await accept(queue);
        await claimOne(queue);
        const second = await accept(queue);

        const result = await queue.act({ verb: "delete", filter: {}, by: "anna" });

        expect(result).toEqual({
          changed: [{ queueId: second.queueId, recipient: "anna@contoso.com", lane: LANE }],
          recipients: 1,
          messages: 1,
          busy: 1,
        });
        expect((await queue.show(second.queueId))?.hasContent).toBe(false);
        expect((await queue.show(first.queueId))?.hasContent).toBe(true);
        expect(happened("recipient.deleted")).toEqual([
          { type: "recipient.deleted", queueId: second.queueId, recipient: "anna@contoso.com", upstream: LANE, operator: "anna" },
        ]);
        await expectBalanced(queue);
      });

      test("an act on a whole queue counts all that it changed, names the first thousand, and tells of each recipient that it deletes", async () => {
        const { queue, happened } = await start();
        const recipients = Array.from({ length: 700 }, (_, number) => `user${number}@contoso.com`);
        await accept(queue, { recipients });
        await accept(queue, { recipients });

        const held = await queue.act({ verb: "hold", filter: {}, by: "anna" });
        const deleted = await queue.act({ verb: "delete", filter: {}, by: "anna" });

        expect([held, deleted].map(({ changed, ...counts }) => [changed.length, counts])).toEqual(
          [1, 2].map(() => [1000, { recipients: 1400, messages: 2, busy: 0 }]),
        );
        expect(happened("recipient.deleted")).toHaveLength(1400);
        await expectBalanced(queue);
      });

      test("a bounce ends what waits of one message, with its reports, what is postponed and who asked; its content goes", async () => {
        const { queue, clock } = await start();
        const { queueId } = await accept(queue, { recipients: ["anna@contoso.com", "ben@contoso.com"] });
        const first = await claimOne(queue, { recipientsPerMessage: 1 });
        const said = { code: 451, enhanced: "4.4.3", text: "later" } as Reply;
        await settleAll(queue, clock, first, { kind: "deferred", dueAt: clock.now() + HOUR, cause: "busy", reply: said });
        await queue.act({ verb: "hold", filter: { to: "ben" }, by: "anna" });
        const waiting = await firstWaiting(queue);
        const told: string[] = [];
        queue.onWork((lane) => told.push(lane));

        const bounced = await queue.bounce({
          queueId,
          recipients: waiting?.recipients ?? [],
          by: "anna",
          cause: "given up by anna",
          generated: [newReport(queue)],
          postponed: [{ to: "it@contoso.com", topic: "t", since: 1, entry: "e" }],
        });

        expect(waiting).toMatchObject({
          message: { queueId },
          recipients: [
            { address: "anna@contoso.com", index: 0, lane: LANE, state: "deferred", reply: said },
            { address: "ben@contoso.com", index: 1, lane: LANE, state: "held", reply: undefined },
          ],
          lastAttempt: { startedAt: clock.now() },
        });
        expect(bounced).toBe(true);
        expect(told).toEqual([LANE]);
        expect(await queue.list({ ids: [queueId] }, 9)).toMatchObject(
          ["anna@contoso.com", "ben@contoso.com"].map((recipient) => ({
            recipient,
            state: "bounced",
            heldBy: undefined,
            cause: "given up by anna",
            reply: undefined,
          })),
        );
        expect(await queue.show(queueId)).toMatchObject({ hasContent: false, attempts: [{ number: 1 }] });
        expect((await queue.show(queueId))?.history.at(-1)).toMatchObject({ what: "bounce", by: "anna" });
        expect(await queue.postponedReports()).toMatchObject([{ to: "it@contoso.com", entries: 1 }]);
        expect((await claimOne(queue)).message.kind).toBe("report");
        const { accepted, generated, final } = await queue.statistics();
        expect({ accepted, generated, bounced: final.bounced }).toEqual({ accepted: 2, generated: 1, bounced: 2 });
        await expectBalanced(queue);
      });

      test.each<[string, (queue: Queue, clock: ManualClock) => Promise<unknown>]>([
        ["is being delivered by now", (queue) => claimOne(queue, { recipientsPerMessage: 1 })],
        ["is final by now", (queue) => queue.act({ verb: "delete", filter: { to: "anna" }, by: "ben" })],
      ])("a bounce of a message of which a recipient %s does nothing at all", async (_, meanwhile) => {
        const { queue, clock } = await start();
        const { queueId } = await accept(queue, { recipients: ["anna@contoso.com", "ben@contoso.com"] });
        const waiting = await firstWaiting(queue);
        await meanwhile(queue, clock);
        const before = await states(queue);

        const postponed = [{ to: "it@contoso.com", topic: "t", since: 1 }];
        const request = { queueId, recipients: waiting?.recipients ?? [], by: "anna", cause: "given up by anna" };
        const bounced = await queue.bounce({ ...request, generated: [newReport(queue)], postponed });

        expect(bounced).toBe(false);
        expect(await states(queue)).toEqual(before);
        expect(await queue.postponedReports()).toEqual([]);
        expect(await queue.show(queueId)).toMatchObject({ hasContent: true });
        await expectBalanced(queue);
      });

      test("a bounce of what is not there, or not what it was taken for, does nothing", async () => {
        const { queue } = await start();
        const { queueId } = await accept(queue);
        const request = { queueId, by: "anna", cause: "given up by anna", recipients: [{ index: 0, address: "anna@contoso.com" }] };

        const done = [
          await queue.bounce({ ...request, queueId: queue.newQueueId() }),
          await queue.bounce({ ...request, recipients: [{ index: 0, address: "ben@contoso.com" }] }),
          await queue.bounce({ ...request, recipients: [...request.recipients, { index: 1, address: "ben@contoso.com" }] }),
        ];

        expect(done).toEqual([false, false, false]);
        expect(await states(queue)).toEqual(["anna@contoso.com queued"]);
      });

      test("mail held by a closed door and by a checksum is bounced as well, and leaves the door nothing to release", async () => {
        const { queue, clock } = await start();
        const corrupt = await accept(queue);
        await settleAll(queue, clock, await claimOne(queue), { kind: "held", by: "corrupt", cause: "damaged" });
        await accept(queue, { recipients: ["ben@contoso.com"] });
        await queue.holdLane(LANE, holdOf(clock));

        for await (const { message, recipients } of queue.waitingMessages({}))
          expect(await queue.bounce({ queueId: message.queueId, recipients, by: "anna", cause: "given up by anna" })).toBe(true);

        expect(await states(queue)).toEqual(["anna@contoso.com bounced", "ben@contoso.com bounced"]);
        expect((await queue.show(corrupt.queueId))?.hasContent).toBe(false);
        expect(await queue.releaseLane(LANE)).toBe(0);
        await expectBalanced(queue);
      });

      test("waiting messages are whole, each once, and none that came after the question", async () => {
        const { queue } = await start();
        const many = Array.from({ length: 700 }, (_entry, at) => `r${at}@contoso.com`);
        const ids: string[] = [];
        for (const recipients of [["anna@contoso.com"], many, ["ben@contoso.com"]]) ids.push((await accept(queue, { recipients })).queueId);

        const found: [string, number][] = [];
        for await (const { message, recipients } of queue.waitingMessages({})) {
          if (found.length === 0) await accept(queue);
          found.push([message.queueId, recipients.length]);
        }

        expect(found).toEqual(ids.map((id, at) => [id, at === 1 ? 700 : 1]));
      });

      test("an operator's hold outlives the opening of the door", async () => {
        const { queue, clock } = await start();
        await accept(queue);
        await queue.act({ verb: "hold", filter: {}, by: "anna" });

        await queue.holdLane(LANE, holdOf(clock));
        await queue.releaseLane(LANE);
        const still = await states(queue);
        await queue.holdLane(LANE, holdOf(clock));
        await queue.act({ verb: "release", filter: {}, by: "anna" });

        expect(still).toEqual(["anna@contoso.com held by operator"]);
        expect(await states(queue)).toEqual(["anna@contoso.com held by upstream"]);
      });

      test("filters name what they say", async () => {
        const { queue, clock } = await start();
        await accept(queue, { reversePath: "Scan@contoso.com", recipients: ["anna@contoso.com"], device: "10.0.0.1" });
        clock.advance(1_000);
        const { queueId } = await accept(queue, {
          reversePath: "erp@contoso.com",
          recipients: ["ben@contoso.com", "x_y%@example.org"],
          device: "10.0.0.2",
        });
        const found = async (filter: Parameters<Queue["list"]>[0]) => (await queue.list(filter, 9)).map(({ recipient }) => recipient);

        expect(await found({ from: "SCAN" })).toEqual(["anna@contoso.com"]);
        expect(await found({ to: "Y%@" })).toEqual(["x_y%@example.org"]);
        expect(await found({ device: "10.0.0.2" })).toEqual(["ben@contoso.com", "x_y%@example.org"]);
        expect(await found({ ids: [queueId], to: "ben" })).toEqual(["ben@contoso.com"]);
        expect(await found({ acceptedBefore: clock.now() })).toEqual(["anna@contoso.com"]);
        expect(await found({ states: ["held"] })).toEqual([]);
        expect(await found({ lane: "other" })).toEqual([]);
        expect(await found({ client: "floor" })).toHaveLength(3);
      });

      test("pages follow one another and never cut a message in two", async () => {
        const { queue } = await start();
        for (let at = 0; at < 5; at++) await accept(queue, { recipients: [`a${at}@contoso.com`, `b${at}@contoso.com`] });

        const first = await queue.list({}, 3);
        const second = await queue.list({}, 3, first.at(-1)?.queueId);
        const third = await queue.list({}, 3, second.at(-1)?.queueId);

        expect([first, second, third].map((page) => page.length)).toEqual([4, 4, 2]);
        expect(new Set([...first, ...second, ...third].map(({ recipient }) => recipient)).size).toBe(10);
      });

      test("after a start with another configuration recipients move to the lanes they belong to now", async () => {
        const clock = new ManualClock();
        let lane = LANE;
        const { queue } = await start({ clock, route: () => lane });
        await accept(queue);
        await queue.holdLane(LANE, holdOf(clock));
        lane = "graph";

        const moved = await queue.reroute();

        expect(moved).toBe(1);
        expect(await queue.list({}, 9)).toMatchObject([{ lane: "graph", state: "queued" }]);
        expect((await claimOne(queue, { lane: "graph" })).recipients).toHaveLength(1);
        await expectBalanced(queue);
      });

      test("mail that moves to the lane of a closed door is held there, in the commit that moves it", async () => {
        const { queue, clock } = await start();
        await accept(queue);
        await queue.holdLane("graph", holdOf(clock));

        await settleAll(queue, clock, await claimOne(queue), {
          kind: "moved",
          lane: "graph",
          dueAt: clock.now(),
          cause: "no",
          passed: true,
        });

        expect(await queue.list({}, 9)).toMatchObject([{ lane: "graph", state: "held", heldBy: "upstream", attempts: 1, cause: "no" }]);
        await queue.releaseLane("graph");
        expect((await claimOne(queue, { lane: "graph" })).recipients).toMatchObject([{ passed: [LANE] }]);
        await expectBalanced(queue);
      });

      test("a refusal by a door is remembered through moves and restarts, until an operator asks again", async () => {
        const { place, queue, clock } = await start();
        const { queueId } = await accept(queue);
        const first = await claimOne(queue);
        expect(first.recipients).toMatchObject([{ passed: [], deferredSince: undefined }]);
        await settleAll(queue, clock, first, { kind: "moved", lane: "graph", dueAt: clock.now(), cause: "too large", passed: true });
        const second = await claimOne(queue, { lane: "graph" });
        await settleAll(queue, clock, second, { kind: "moved", lane: "third", dueAt: clock.now(), cause: "not served", passed: true });

        const { queue: again } = await powerCut(place, clock);

        const third = await claimOne(again, { lane: "third" });
        expect(third.recipients).toMatchObject([{ passed: [LANE, "graph"] }]);
        await settleAll(again, clock, third, { kind: "deferred", dueAt: clock.now() + HOUR, cause: "busy" });
        expect((await again.show(queueId))?.history.map(({ what }) => what)).toEqual([
          "moved to graph: too large",
          "moved to third: not served",
        ]);
        await again.act({ verb: "retry", filter: {}, by: "ann" });
        expect((await claimOne(again, { lane: "third" })).recipients).toMatchObject([{ passed: [], deferredSince: undefined }]);
      });

      test("how long a door puts a recipient off is counted from the first time, and begins anew on another lane", async () => {
        const { queue, clock } = await start();
        await accept(queue);
        const since = clock.now();
        for (let i = 0; i < 2; i += 1) {
          await settleAll(queue, clock, await claimOne(queue), { kind: "deferred", dueAt: clock.now() + 1_000, cause: "busy" });
          clock.advance(1_000);
        }
        const third = await claimOne(queue);
        expect(third.recipients).toMatchObject([{ deferredSince: since }]);

        await settleAll(queue, clock, third, { kind: "moved", lane: "graph", dueAt: clock.now(), cause: "busy", passed: false });

        expect((await claimOne(queue, { lane: "graph" })).recipients).toMatchObject([{ deferredSince: undefined, passed: [] }]);
      });

      test("one lane is routed anew: what waits there moves and is due now, with a line in its history; others stay", async () => {
        let open = LANE;
        const route: RouteRecipient = (_envelope, recipient, standing) =>
          recipient.startsWith("stay") || standing?.ambiguous === true ? LANE : open;
        const { queue, clock, happened } = await start({ route });
        const { queueId } = await accept(queue, { recipients: ["anna@contoso.com", "stay@contoso.com"] });
        await settleAll(queue, clock, await claimOne(queue), { kind: "deferred", dueAt: clock.now() + HOUR, cause: "busy" });
        await accept(queue, { device: "b", recipients: ["ben@contoso.com"] });
        await accept(queue, { device: "c", recipients: ["cleo@contoso.com"] });
        await queue.act({ verb: "hold", filter: { to: "ben@" }, by: "ann" });
        const cleo = await claimOne(queue);
        await settleAll(queue, clock, cleo, { kind: "deferred", dueAt: clock.now(), cause: "lost", ambiguous: true });
        await queue.holdLane(LANE, holdOf(clock));
        open = "graph";

        const moved = await queue.reroute({ lane: LANE, cause: "scans is held" });

        expect(moved).toBe(1);
        expect((await queue.list({}, 9)).map(({ recipient, lane, state }) => `${recipient} ${lane} ${state}`)).toEqual([
          "anna@contoso.com graph queued",
          "stay@contoso.com scans held",
          "ben@contoso.com scans held",
          "cleo@contoso.com scans held",
        ]);
        expect((await claimOne(queue, { lane: "graph" })).recipients).toMatchObject([{ address: "anna@contoso.com", attempts: 1 }]);
        expect((await queue.show(queueId))?.history.map(({ what }) => what)).toContain("moved from scans to graph: scans is held");
        expect(happened("recipient.moved")).toEqual([
          { type: "recipient.moved", queueId, recipient: "anna@contoso.com", from: LANE, to: "graph", cause: "scans is held" },
        ]);
        await expectBalanced(queue);
      });

      test("a lane with thousands is emptied, in slices, and no more than asked for", async () => {
        let open = LANE;
        const { queue, clock } = await start({ route: () => open });
        await Promise.all(Array.from({ length: 1_200 }, (_, i) => accept(queue, { device: `d${i % 7}` })));
        await queue.holdLane(LANE, holdOf(clock));
        open = "graph";

        expect(await queue.reroute({ lane: LANE, cause: "spilled", limit: 3 })).toBe(3);
        expect(await queue.reroute({ lane: LANE, cause: "closed" })).toBe(1_197);

        expect(await queue.lanes()).toMatchObject([
          { lane: LANE, waiting: 0 },
          { lane: "graph", waiting: 1_200 },
        ]);
        await expectBalanced(queue);
      });

      test("the queue can be looked at without its owner", async () => {
        const { place, queue } = await start();
        const { queueId } = await accept(queue);
        const beside = await place.openReader();
        cleanUp.push(() => beside.close());

        expect(await states(beside)).toEqual(["anna@contoso.com queued"]);
        expect((await beside.show(queueId))?.hasContent).toBe(true);
        expect(await beside.show(queue.newQueueId())).toBeUndefined();
        const { freeBytes: _free, ...counted } = await queue.statistics();
        expect(await beside.statistics()).toMatchObject(counted);
      });
    });

    describe("content of mail that somebody did not get", () => {
      const DAY = 24 * HOUR;
      const bounced: Settlement = { kind: "bounced", cause: "550 5.1.10 recipient not found" };
      const stored = async (queue: QueueReader, queueId: string): Promise<string | undefined> => {
        const row = await queue.contentRow(queueId, 0);
        return row === undefined ? undefined : Buffer.from(row).toString();
      };
      const isGone = async (queue: QueueReader, queueId: string): Promise<void> => {
        await expect.poll(() => stored(queue, queueId)).toBeUndefined();
      };

      test("stays for its time, over restarts, and goes then; that of delivered and of deleted mail goes at once", async () => {
        const { place, queue, clock, happened } = await start({ failedContentMs: 7 * DAY });
        const failed = await accept(queue, {}, "Subject: bounced\r\n\r\n1\r\n");
        await settleAll(queue, clock, await claimOne(queue), bounced);
        const late = await accept(queue, {}, "Subject: expired\r\n\r\n2\r\n");
        await settleAll(queue, clock, await claimOne(queue), { kind: "expired", cause: "no answer for 5 days" });
        const delivered = await accept(queue);
        await settleAll(queue, clock, await claimOne(queue), { kind: "delivered" });
        const removed = await accept(queue);
        await queue.act({ verb: "delete", filter: { ids: [removed.queueId] }, by: "anna" });

        await isGone(queue, delivered.queueId);
        await isGone(queue, removed.queueId);
        expect((await queue.show(failed.queueId))?.hasContent).toBe(true);
        await queue.close();

        const after = await start({ place, clock, failedContentMs: 7 * DAY });
        clock.advance(6 * DAY);
        expect(await stored(after.queue, failed.queueId)).toBe("Subject: bounced\r\n\r\n1\r\n");
        expect(await stored(after.queue, late.queueId)).toBe("Subject: expired\r\n\r\n2\r\n");
        expect(happened("content.dropped")).toEqual([]);

        clock.advance(1 * DAY + HOUR);
        await isGone(after.queue, failed.queueId);
        await isGone(after.queue, late.queueId);
        await expect.poll(async () => (await after.queue.statistics()).contentBytes).toBe(0);
        expect(after.happened("content.dropped")).toEqual([{ type: "content.dropped", messages: 2, early: false }]);
        expect(await after.queue.show(failed.queueId)).toMatchObject({ hasContent: false });
      });

      test("one recipient of several is enough, whoever ends last", async () => {
        const { queue, clock } = await start({ failedContentMs: 7 * DAY });
        const both = await accept(queue, { recipients: ["anna@contoso.com", "ben@contoso.com"] });
        const [first] = await queue.claim({ lane: LANE, limit: 1, recipientsPerMessage: 1, leaseMs: HOUR });
        if (first === undefined) throw new Error("nothing to claim");
        await settleAll(queue, clock, first, bounced);
        await settleAll(queue, clock, await claimOne(queue), { kind: "delivered" });

        expect(await stored(queue, both.queueId)).toBe("Subject: scan\r\n\r\npage\r\n");
      });

      test("mail that an operator gave up stays too", async () => {
        const { queue } = await start({ failedContentMs: 7 * DAY });
        const given = await accept(queue);
        const [entry] = await queue.list({ ids: [given.queueId] }, 1);
        if (entry === undefined) throw new Error("nothing to give up");
        await queue.bounce({
          queueId: given.queueId,
          recipients: [{ index: 0, address: "anna@contoso.com" }],
          by: "anna",
          cause: "given up by anna",
          generated: [],
          postponed: [],
        });

        expect((await queue.show(given.queueId))?.hasContent).toBe(true);
      });

      test("is not kept where it is not to be, and goes when that changes or the message is forgotten", async () => {
        const { queue, clock } = await start();
        const fail = async (): Promise<string> => {
          const { queueId } = await accept(queue);
          await settleAll(queue, clock, await claimOne(queue), bounced);
          return queueId;
        };
        await isGone(queue, await fail());

        queue.update({ floorBytes: 0, historyKeepMs: 30 * DAY, failedContentMs: 7 * DAY });
        const kept = await fail();
        expect((await queue.show(kept))?.hasContent).toBe(true);
        queue.update({ floorBytes: 0, historyKeepMs: 30 * DAY });
        await isGone(queue, kept);

        queue.update({ floorBytes: 0, historyKeepMs: 1 * DAY, failedContentMs: 7 * DAY });
        const forgotten = await fail();
        clock.advance(1 * DAY + 2 * HOUR);
        await expect.poll(() => queue.show(forgotten)).toBeUndefined();
        await expect.poll(async () => (await queue.statistics()).contentBytes).toBe(0);
      });

      test("gives way to new mail, and that is told", async () => {
        const { queue, clock, happened } = await start({ failedContentMs: 7 * DAY, maxBytes: 500_000 });
        const large = await accept(queue, {}, `Subject: large\r\n\r\n${"x".repeat(600_000)}\r\n`);
        await settleAll(queue, clock, await claimOne(queue), bounced);
        expect((await queue.show(large.queueId))?.hasContent).toBe(true);

        await expect.poll(() => queue.refusal()).toBeUndefined();
        await accept(queue);
        expect(happened("content.dropped")).toEqual([{ type: "content.dropped", messages: 1, early: true }]);
        expect((await queue.show(large.queueId))?.hasContent).toBe(false);
      });
    });

    describe("history", () => {
      test("finished messages are forgotten after their time, waiting ones never", async () => {
        const { queue, clock, happened } = await start({ historyKeepMs: 24 * HOUR });
        const done = await accept(queue);
        await settleAll(queue, clock, await claimOne(queue), { kind: "delivered" });
        const waiting = await accept(queue);
        clock.advance(23 * HOUR);
        const young = await accept(queue, { device: "b" });
        expect(await queue.show(done.queueId)).toBeDefined();

        clock.advance(2 * HOUR);

        await expect.poll(() => queue.show(done.queueId)).toBeUndefined();
        expect(await queue.show(waiting.queueId)).toBeDefined();
        expect(await queue.show(young.queueId)).toBeDefined();
        expect(happened("history.pruned")).toEqual([{ type: "history.pruned", messages: 1 }]);
        expect((await queue.statistics()).final.delivered).toBe(1);
        await expectBalanced(queue);
      });
    });
  });
}
