/** Random acts on a queue, compared with a small model: nobody is lost, nobody is counted twice, the end is the end. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, test } from "vitest";
import { TERMINAL_STATES, WAITING_STATES, type RecipientState } from "../../src/mail/message.ts";
import { ManualClock } from "../../src/platform/clock.ts";
import type { Claim, Queue, Settlement } from "../../src/queue/queue.ts";
import { accept, attemptRecord, holdOf, newReport, type QueuePlace } from "./queue.ts";

const LANES = ["scans", "graph"] as const;

type Act =
  | { readonly do: "accept"; readonly recipients: number; readonly device: number; readonly bytes: number }
  | { readonly do: "claim"; readonly lane: 0 | 1; readonly limit: number; readonly perMessage: number; readonly leaseMs: number }
  | { readonly do: "probe" | "probe sender" | "release sender"; readonly lane: 0 | 1 }
  | { readonly do: "settle"; readonly which: number; readonly kinds: readonly number[] }
  | { readonly do: "hold" | "release"; readonly lane: 0 | 1 }
  | { readonly do: "bounce"; readonly device: number }
  | { readonly do: "operate"; readonly verb: "retry" | "hold" | "release" | "delete"; readonly device: number }
  | { readonly do: "reroute"; readonly lane: 0 | 1 }
  | { readonly do: "wait"; readonly ms: number }
  | { readonly do: "power cut" };

const lane = fc.constantFrom(0 as const, 1 as const);
const device = fc.nat(2);
const acts: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("accept" as const),
      recipients: fc.integer({ min: 1, max: 4 }),
      device,
      bytes: fc.constantFrom(10, 20_000, 300_000),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("claim" as const),
      lane,
      limit: fc.integer({ min: 1, max: 3 }),
      perMessage: fc.integer({ min: 1, max: 3 }),
      leaseMs: fc.constantFrom(1_000, 100_000),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom("probe" as const, "probe sender" as const, "release sender" as const), lane }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("settle" as const),
      which: fc.nat(9),
      kinds: fc.array(fc.nat(10), { minLength: 4, maxLength: 4 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("hold" as const, "release" as const), lane }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("operate" as const),
      verb: fc.constantFrom("retry" as const, "hold" as const, "release" as const, "delete" as const),
      device,
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("bounce" as const), device }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("reroute" as const), lane }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.constantFrom(500, 5_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("power cut" as const) }) },
);

function settlementOf(kind: number, now: number): Settlement {
  const cause = "model";
  const all: readonly Settlement[] = [
    { kind: "delivered" },
    { kind: "delivered" },
    { kind: "deferred", dueAt: now + 2_000, cause },
    { kind: "held", by: "sender", cause },
    { kind: "held", by: "upstream", cause },
    { kind: "held", by: "operator", cause },
    { kind: "bounced", cause },
    { kind: "expired", cause },
    { kind: "returned", dueAt: now },
    { kind: "moved", lane: "graph", dueAt: now, cause, passed: true },
    { kind: "moved", lane: "scans", dueAt: now + 1_000, cause, passed: false },
  ];
  return all[kind] ?? { kind: "delivered" };
}

const isFinal = (state: RecipientState): boolean => (TERMINAL_STATES as readonly string[]).includes(state);

/** One run of acts on one place. */
class Run {
  readonly clock = new ManualClock();
  readonly #places: QueuePlace[] = [];
  #queue!: Queue;
  #claims: Claim[] = [];
  /** Every recipient ever accepted; its final state once it has one. */
  readonly #known = new Map<string, RecipientState | undefined>();
  #next = 0;

  async start(place: QueuePlace): Promise<void> {
    this.#places.push(place);
    const route = (_envelope: unknown, recipient: string): string => LANES[recipient.charCodeAt(1) % 2] ?? "scans";
    this.#queue = await place.open({ clock: this.clock, route, emit: () => undefined, historyKeepMs: Number.MAX_SAFE_INTEGER });
  }

  async stop(): Promise<void> {
    await this.#queue.close();
    for (const place of this.#places) await place.remove();
  }

  async act(act: Act): Promise<void> {
    switch (act.do) {
      case "accept": {
        const recipients = Array.from({ length: act.recipients }, () => `r${this.#next++}@contoso.com`);
        await accept(this.#queue, { recipients, device: `10.0.0.${act.device}` }, "x".repeat(act.bytes));
        for (const recipient of recipients) this.#known.set(recipient, undefined);
        break;
      }
      case "claim":
        this.#claims.push(
          ...(await this.#queue.claim({
            lane: LANES[act.lane],
            limit: act.limit,
            recipientsPerMessage: act.perMessage,
            leaseMs: act.leaseMs,
          })),
        );
        break;
      case "probe": {
        const probe = await this.#queue.claimProbe(LANES[act.lane], 2, 100_000);
        if (probe !== undefined) this.#claims.push(probe);
        break;
      }
      case "probe sender": {
        const [sender] = await this.#queue.heldSenders(LANES[act.lane], 1);
        const probe = sender === undefined ? undefined : await this.#queue.claimHeldBySender(LANES[act.lane], sender, 2, 100_000);
        assert.equal(probe === undefined, sender === undefined);
        if (probe !== undefined) this.#claims.push(probe);
        break;
      }
      case "release sender": {
        const held = (await this.#queue.list({ lane: LANES[act.lane] }, 100_000)).filter(({ heldBy }) => heldBy === "sender");
        assert.equal(await this.#queue.releaseSender(LANES[act.lane], "scanner@contoso.com"), held.length);
        break;
      }
      case "settle": {
        const [claim] = this.#claims.splice(act.which % Math.max(1, this.#claims.length), 1);
        if (claim === undefined) break;
        const settlements = new Map(claim.recipients.map(({ index }, at) => [index, settlementOf(act.kinds[at] ?? 0, this.clock.now())]));
        await this.#queue.settle({ claim, settlements, attempt: attemptRecord(this.clock) });
        break;
      }
      case "hold":
        await this.#queue.holdLane(LANES[act.lane], holdOf(this.clock));
        break;
      case "release":
        await this.#queue.releaseLane(LANES[act.lane]);
        break;
      case "reroute":
        await this.#queue.reroute({ lane: LANES[act.lane], cause: "model" });
        break;
      case "operate":
        await this.#queue.act({ verb: act.verb, filter: { device: `10.0.0.${act.device}` }, by: "model" });
        break;
      case "bounce":
        for await (const { message, recipients } of this.#queue.waitingMessages({ device: `10.0.0.${act.device}` })) {
          const told = `r${this.#next++}@contoso.com`;
          const generated = [newReport(this.#queue, told)];
          const bounced = await this.#queue.bounce({ queueId: message.queueId, recipients, by: "model", cause: "model", generated });
          assert.equal(
            bounced,
            recipients.every(({ state }) => state !== "delivering"),
          );
          if (bounced) this.#known.set(told, undefined);
        }
        break;
      case "wait":
        this.clock.advance(act.ms);
        break;
      case "power cut": {
        const left = await this.#places.at(-1)?.afterPowerCut();
        await this.#queue.close();
        this.#claims = [];
        if (left !== undefined) await this.start(left);
        break;
      }
      default:
        act satisfies never;
    }
    await this.#check();
  }

  async #check(): Promise<void> {
    const { accepted, generated, waiting, final } = await this.#queue.statistics();
    const counted = { ...waiting, ...final };
    const entries = await this.#queue.list({}, 100_000);
    const found = Object.fromEntries(
      [...WAITING_STATES, ...TERMINAL_STATES].map((state) => [state, entries.filter((entry) => entry.state === state).length]),
    );
    assert.deepEqual(counted, found);
    assert.equal(
      accepted + generated,
      Object.values(counted).reduce((sum, count) => sum + count, 0),
    );
    assert.deepEqual(entries.map(({ recipient }) => recipient).toSorted(), [...this.#known.keys()].toSorted());
    for (const { recipient, state } of entries) {
      const ended = this.#known.get(recipient);
      if (ended !== undefined) assert.equal(state, ended);
      if (isFinal(state)) this.#known.set(recipient, state);
    }
    const open = new Map(entries.filter(({ state }) => !isFinal(state)).map(({ queueId, sizeBytes }) => [queueId, sizeBytes]));
    const expected = [...open.values()].reduce((sum, size) => sum + size, 0);
    // Large content goes in slices after the commit that ended its message; each question lets one slice pass.
    for (let left = 200; left > 0 && (await this.#queue.statistics()).contentBytes !== expected; left--);
    assert.equal((await this.#queue.statistics()).contentBytes, expected);
  }
}

/** Runs the properties. */
export function queueProperties(name: string, makePlace: () => Promise<QueuePlace>): void {
  describe(name, () => {
    test("accepted + generated = final + waiting, nobody is lost, and no content outlives its message", { timeout: 120_000 }, async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(acts, { minLength: 10, maxLength: 40 }), async (sequence) => {
          const run = new Run();
          await run.start(await makePlace());
          try {
            for (const act of sequence) await run.act(act);
          } finally {
            await run.stop();
          }
        }),
        { numRuns: Number(process.env["QUEUE_MODEL_RUNS"] ?? 12), interruptAfterTimeLimit: 90_000 },
      );
    });
  });
}
