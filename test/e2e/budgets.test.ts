/** Budgets on a real queue file over kills, and against the stand-in, which would throttle what comes too fast. */
import { afterEach, describe, expect, test, vi } from "vitest";
import { DoorBoard } from "../../src/deliver/door-board.ts";
import { DEFAULT_RETRY } from "../../src/deliver/retry.ts";
import { makeRouter } from "../../src/deliver/routes.ts";
import { createDeliverer, type Deliverer } from "../../src/deliver/scheduler.ts";
import { ManualClock } from "../../src/platform/clock.ts";
import type { Queue } from "../../src/queue/queue.ts";
import type { Simulator } from "../../src/simulator/simulator.ts";
import { DEFAULT_CLIENT_ID } from "../../src/simulator/tenant.ts";
import { accept, type QueuePlace } from "../conformance/queue.ts";
import { sqlitePlace } from "../conformance/sqlite-place.ts";
import { FakeUpstream, facts } from "../fakes/fake-upstream.ts";
import { ANNA, SCANNER, startContoso, type Contoso } from "./tenant.ts";

const SECOND = 1_000;
const HOUR = 3_600_000;
const cleanUp: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const undo of cleanUp.splice(0).toReversed()) await undo();
});

/** One process: a queue on a file, and the deliverer. */
class Process {
  readonly upstream = new FakeUpstream({ limits: { connections: 4, messagesPerMinute: 30, recipientsPerDay: 100 } });
  readonly place: QueuePlace;
  readonly clock: ManualClock;
  queue!: Queue;
  deliverer!: Deliverer;

  constructor(place: QueuePlace, clock: ManualClock) {
    this.place = place;
    this.clock = clock;
    cleanUp.push(() => place.remove());
  }

  async start(): Promise<this> {
    const { upstream, clock } = this;
    const board = new DoorBoard();
    const doors = new Map([[upstream.name, { traits: upstream.traits, maxMessageSizeBytes: upstream.limits.maxMessageSizeBytes }]]);
    const router = makeRouter({ routes: [{ name: "default", via: [upstream.name] }], domains: ["contoso.com"], doors, board });
    this.queue = await this.place.open({ clock, route: router.choose, emit: () => undefined, historyKeepMs: 25 * HOUR });
    cleanUp.push(() => this.queue.close());
    this.deliverer = createDeliverer({
      queue: this.queue,
      upstreams: new Map([[upstream.name, upstream]]),
      router,
      board,
      fallbackAfterMs: HOUR,
      retry: DEFAULT_RETRY,
      hostname: "relay.contoso.com",
      domains: ["contoso.com"],
      postmaster: "it@contoso.com",
      fallbackSenders: [],
      bounces: { to: "postmaster" },
      timeZone: "UTC",
      emit: () => undefined,
      clock,
      random: () => 0.5,
    });
    await this.deliverer.start();
    cleanUp.push(() => this.deliverer.stop(0));
    return this;
  }

  /** What a process finds that starts after this one was killed just now. */
  async killed(): Promise<Process> {
    return new Process(await this.place.afterPowerCut(), this.clock);
  }

  /** Waits until so many are delivered, on the disk too. */
  async delivered(recipients: number): Promise<void> {
    await vi.waitUntil(async () => (await this.queue.statistics()).final.delivered === recipients, { timeout: 20_000, interval: 5 });
  }

  left(): Record<string, number> {
    return Object.fromEntries(this.deliverer.budgets().map(({ limit, remaining }) => [limit, remaining]));
  }
}

describe("after a kill", () => {
  test("in the middle of a minute, the minute's budget is what it was", async () => {
    const before = await new Process(await sqlitePlace(), new ManualClock()).start();
    for (let i = 0; i < 20; i += 1) await accept(before.queue);
    await before.delivered(20);
    before.clock.advance(20 * SECOND);

    const after = await (await before.killed()).start();

    expect(after.left()).toEqual({ messages_per_minute: 10, recipients_per_day: 80 });
    for (let i = 0; i < 20; i += 1) await accept(after.queue);
    await after.delivered(30);
    after.clock.advance(41 * SECOND);
    await after.queue.lanes();
    expect(after.upstream.deliveries.length).toBe(10);
    after.clock.advance(SECOND);
    await after.delivered(40);
  });

  test("in the middle of a day, the day's budget is what it was, twice over", { timeout: 60_000 }, async () => {
    const recipients = Array.from({ length: 40 }, (_, at) => `r${at}@contoso.com`);
    let process = await new Process(await sqlitePlace(), new ManualClock()).start();
    await accept(process.queue, { recipients });
    await process.delivered(40);
    for (const hours of [10, 10]) {
      process.clock.advance(hours * HOUR);
      process = await (await process.killed()).start();
      expect(process.left()["recipients_per_day"]).toBe(60);
    }
    await accept(process.queue, { recipients: [...recipients, ...recipients.map((address) => `x${address}`)] });
    await process.delivered(100);
    expect(process.left()["recipients_per_day"]).toBe(0);

    process.clock.advance(4 * HOUR + 100 * SECOND);
    await process.delivered(120);

    expect(process.left()["recipients_per_day"]).toBe(20);
  });

  test("what was under way counts in full, and is sent again within the budget", async () => {
    const before = new Process(await sqlitePlace(), new ManualClock());
    const gate = Promise.withResolvers<void>();
    before.upstream.answer = async (delivery) => {
      await gate.promise;
      return facts(delivery);
    };
    await before.start();
    for (let i = 0; i < 4; i += 1) await accept(before.queue, { recipients: ["anna@contoso.com", "bob@contoso.com"] });
    await vi.waitFor(() => expect(before.upstream.deliveries.length).toBe(4));

    const killed = await before.killed();
    killed.upstream.answer = (delivery) => facts(delivery);
    gate.resolve();
    const after = await killed.start();
    await after.delivered(8);

    expect(after.left()).toEqual({ messages_per_minute: 22, recipients_per_day: 84 });
  });
});

describe("against the stand-in", () => {
  let contoso: Contoso | undefined;

  afterEach(async () => {
    await contoso?.close();
    contoso = undefined;
  });

  test("two upstreams of one mailbox that are busy in turn never meet its limit of connections", async () => {
    const erp = (sim: Simulator) => ({
      type: "smtp-auth",
      host: sim.host,
      port: sim.ports.submission,
      authority: sim.authority,
      ca: [sim.caFile],
      mailbox: SCANNER,
      sender: { mode: "rewrite" },
      credential: { type: "client-secret", client_id: DEFAULT_CLIENT_ID, secret: { file: "secret" } },
    });
    contoso = await startContoso({
      upstreams: (sim) => ({ erp: erp(sim) }),
      routes: [
        { name: "erp", match: { sender: "erp@contoso.com" }, via: "erp" },
        { name: "default", via: "scans" },
      ],
    });
    const { scan, event, all } = contoso;
    for (const sender of [SCANNER, "erp@contoso.com", SCANNER]) {
      const queueIds = await Promise.all([1, 2, 3, 4].map(() => scan(sender, ANNA)));
      await Promise.all(queueIds.map((queueId) => event("attempt.finished", (attempt) => attempt.queueId === queueId)));
    }

    expect(all("attempt.finished").map(({ outcome, reply }) => (outcome === "delivered" ? outcome : reply))).toEqual(
      Array(12).fill("delivered"),
    );
  });

  test(
    "600 messages for one mailbox: between 95 and 100 % of 30 a minute, and it never has to throttle",
    { timeout: 120_000 },
    async () => {
      contoso = await startContoso();
      const { clock, relay, sim, scan } = contoso;
      const began = clock.monotonic();
      for (let i = 0; i < 600; i += 1) await scan(SCANNER, ANNA);

      // The clock runs while the minute's share is through, creeps while nothing is on its way, and stands while something is.
      const { queue } = relay();
      for (;;) {
        const { final, waiting } = await queue.statistics();
        if (final.delivered === 600) break;
        const due = Math.min(600, (Math.floor((clock.monotonic() - began) / (62 * SECOND)) + 1) * 30);
        if (final.delivered >= due) clock.advance(2 * SECOND);
        else if (waiting.delivering === 0) clock.advance(0.1 * SECOND);
      }

      // The first 30 go at once: what counts is the time of the others.
      expect(clock.monotonic() - began).toBeLessThan((570 / 30 / 0.95) * 60 * SECOND);
      expect(Object.values(sim.throttled()).every((count) => count === 0)).toBe(true);
      await contoso.expectSound(true);
    },
  );
});
