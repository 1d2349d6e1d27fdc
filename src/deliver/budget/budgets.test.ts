import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FakeUpstream } from "../../../test/fakes/fake-upstream.ts";
import type { PosternEvent } from "../../mail/events.ts";
import { ManualClock } from "../../platform/clock.ts";
import { releaseMemory } from "../../platform/memory.ts";
import type { AttemptCounts, Counted } from "../../queue/queue.ts";
import type { CountedAs, UpstreamLimits, UpstreamType } from "../../upstream/upstream.ts";
import { Budgets } from "./budgets.ts";
import type { Cost, DoorBudget, Taken } from "./door-budget.ts";

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

function door(name: string, limits: Partial<UpstreamLimits>, countedAs: CountedAs = {}, type: UpstreamType = "smtp-auth"): FakeUpstream {
  return new FakeUpstream({ name, type, limits, traits: { countedAs } });
}

/** Budgets over doors, with a history like the queue's. */
class Bench {
  readonly clock = new ManualClock();
  readonly events: PosternEvent[] = [];
  readonly history: (AttemptCounts & { lane: string })[] = [];
  readonly #upstreams: FakeUpstream[];
  budgets: Budgets;

  constructor(...upstreams: FakeUpstream[]) {
    this.#upstreams = upstreams;
    this.budgets = this.#make();
  }

  #make(): Budgets {
    return new Budgets({
      upstreams: this.#upstreams,
      domains: ["contoso.com"],
      emit: (event) => this.events.push(event),
      clock: this.clock,
    });
  }

  get now(): number {
    return this.clock.monotonic();
  }

  door(name: string): DoorBudget {
    return this.budgets.door(name);
  }

  /** A new process on the same history. */
  async restart(): Promise<void> {
    this.budgets = this.#make();
    await this.budgets.restore({
      attemptCounts: (lane, since) => Promise.resolve(this.history.filter((one) => one.lane === lane && one.endedAt >= since)),
    });
  }

  record(lane: string, startedAt: number, counted: Counted): void {
    this.history.push({ lane, startedAt, endedAt: this.clock.now(), ...counted });
  }

  /** One message that is taken at once. */
  send(name: string, ...recipients: string[]): void {
    const budget = this.door(name);
    const addresses = recipients.map((address) => ({ address }));
    budget.take(1, addresses.length);
    const cost = budget.begin(addresses, 1_000);
    const counted = budget.end(cost, { recipients: addresses, accepted: true, ambiguous: false }, "10.0.0.1", this.now, this.now);
    if (counted !== undefined) this.record(name, this.clock.now(), counted);
  }

  sendTo(name: string, count: number, domain = "contoso.com"): void {
    this.send(name, ...Array.from({ length: count }, (_, at) => `r${at}@${domain}`));
  }

  remaining(): Record<string, number> {
    return Object.fromEntries(this.budgets.levels().map(({ budget, limit, remaining }) => [`${budget} ${limit}`, remaining]));
  }
}

describe("what is counted together", () => {
  test("doors of one mailbox share its minute and its day, those of the tenant its external recipients, each door of its own the rest", () => {
    const scanner = { mailbox: "contoso scanner@contoso.com", tenant: "contoso" };
    const bench = new Bench(
      door("scans", { messagesPerMinute: 30, recipientsPerDay: 9_500, externalRecipientsPerDay: 1_000 }, scanner),
      door("again", { messagesPerMinute: 20 }, scanner),
      door("erp", { messagesPerMinute: 30, recipientsPerDay: 9_500 }, { mailbox: "contoso erp@contoso.com", tenant: "contoso" }),
      door("acs", { messagesPerHour: 100 }),
      door("onprem", {}, {}, "smart-host"),
    );

    bench.send("scans", "anna@contoso.com", "bob@fabrikam.com");
    bench.send("again", "anna@contoso.com");
    bench.send("erp", "bob@fabrikam.com", "carla@fabrikam.com");
    bench.send("acs", "bob@fabrikam.com");
    bench.send("onprem", "bob@fabrikam.com");

    expect(bench.remaining()).toEqual({
      "scans+again messages_per_minute": 18,
      "erp messages_per_minute": 29,
      "acs messages_per_hour": 99,
      "scans+again recipients_per_day": 9_497,
      "erp recipients_per_day": 9_498,
      "scans+again+erp external_recipients_per_day": 997,
    });
    expect(bench.budgets.remaining("onprem")).toEqual({ messages: Infinity, recipients: Infinity });
  });

  test("Graph is counted by its application, but its recipients by the mailbox, and not by the minute", () => {
    const bench = new Bench(
      door("scans", { messagesPerMinute: 30, recipientsPerDay: 100 }, { mailbox: "m" }),
      door("graph", { recipientsPerDay: 100, connections: 4 }, { mailbox: "m", application: "app" }, "graph"),
      door("other", { connections: 4 }, { mailbox: "n", application: "app" }, "graph"),
    );

    bench.send("graph", "anna@contoso.com");
    bench.send("other", "anna@contoso.com");

    expect(bench.remaining()).toMatchObject({
      "scans messages_per_minute": 30,
      "scans+graph recipients_per_day": 99,
      "graph+other requests_per_10_minutes": 9_998,
      "graph+other bytes_per_5_minutes": 150_000_000 - 2 * 1_336,
    });
  });

  test("attempts of doors that share a mailbox are together as many as one of them may have, and the other is told when one ends", async () => {
    const bench = new Bench(door("a", { connections: 2 }, { mailbox: "m" }), door("b", { connections: 2 }, { mailbox: "m" }));
    let woken = 0;
    bench.door("b").onFree(() => (woken += 1));

    const cost = bench.door("a").begin([], 0);
    bench.door("a").begin([], 0);
    expect(bench.door("a").slots(2, 2, 0)).toBe(2);
    expect(bench.door("b").slots(2, 0, 0)).toBe(0);
    bench.door("a").end(cost, undefined, "", 0, 0);
    await Promise.resolve();

    expect(bench.door("b").slots(2, 0, 0)).toBe(1);
    expect(woken).toBe(1);
  });

  test("requests of one Graph application are four at once, whatever its doors say", () => {
    const bench = new Bench(
      door("a", { connections: 10 }, { application: "app" }, "graph"),
      door("b", { connections: 4 }, { application: "app" }, "graph"),
    );

    expect(bench.door("a").slots(10, 0, 0)).toBe(4);
  });
});

describe("what counts", () => {
  const bench = (): Bench => new Bench(door("scans", { messagesPerMinute: 30, recipientsPerDay: 100 }));
  const two = [{ address: "anna@contoso.com" }, { address: "bob@contoso.com" }];
  const end = (taken: Taken | undefined): Record<string, number> => {
    const on = bench();
    const budget = on.door("scans");
    budget.take(1, 2);
    budget.end(budget.begin(two, 10), taken, "", on.now, on.now);
    expect(budget.places(on.now)).toEqual({
      messages: on.remaining()["scans messages_per_minute"],
      recipients: on.remaining()["scans recipients_per_day"],
    });
    return on.remaining();
  };

  test.each([
    ["a message that was taken", { recipients: two, accepted: true, ambiguous: false }, 29, 98],
    [
      "one of which a recipient was refused",
      { recipients: [two[0], { ...two[1], refusal: true }], accepted: true, ambiguous: false },
      29,
      99,
    ],
    ["one whose answer was lost", { recipients: two, ambiguous: true }, 29, 98],
    ["one that was refused: the message, but no recipient", { recipients: two, ambiguous: false }, 29, 100],
    ["one of which nothing is known", { recipients: [], ambiguous: false }, 29, 98],
    ["one that the next hop never saw", undefined, 30, 100],
  ])("%s", (_what, taken, messages, recipients) => {
    expect(end(taken as Taken | undefined)).toEqual({ "scans messages_per_minute": messages, "scans recipients_per_day": recipients });
  });

  test("what is set aside or under way is not there for others", () => {
    const on = bench();
    const budget = on.door("scans");

    budget.take(2, 60);

    expect(budget.places(on.now)).toEqual({ messages: 28, recipients: 40 });
    budget.giveBack(1, 50);
    expect(budget.places(on.now)).toEqual({ messages: 29, recipients: 90 });
  });
});

describe("what is known only with the message in hand", () => {
  const indexed = (...addresses: string[]) => addresses.map((address, index) => ({ address, index }));

  test("recipients outside that do not fit wait, the others go", () => {
    const bench = new Bench(door("scans", { externalRecipientsPerDay: 3 }));
    bench.send("scans", "x@fabrikam.com", "y@fabrikam.com");
    bench.clock.advance(MINUTE);

    const waits = bench.door("scans").mustWait(indexed("a@contoso.com", "b@fabrikam.com", "c@fabrikam.com"), 10, bench.now);

    expect([...(waits?.keys() ?? [])]).toEqual([2]);
    expect(waits?.get(2)).toBeGreaterThan(DAY - 2 * MINUTE);
    expect(bench.door("scans").mustWait(indexed("a@contoso.com", "b@fabrikam.com"), 10, bench.now)).toBeUndefined();
  });

  test("a message waits for octets to get free; one larger than all of them goes when nothing else does", () => {
    const bench = new Bench(door("graph", {}, { application: "app" }, "graph"));
    const budget = bench.door("graph");
    const large = 100_000_000;
    expect(budget.mustWait(indexed("a@contoso.com"), 200_000_000, bench.now)).toBeUndefined();
    const cost = budget.begin([{ address: "a@contoso.com" }], large);

    // Under way: nobody knows how long.
    expect(budget.mustWait(indexed("a@contoso.com"), large, bench.now)?.get(0)).toBe(MINUTE);
    budget.end(cost, { recipients: [{ address: "a@contoso.com" }], accepted: true, ambiguous: false }, "", bench.now, bench.now);

    expect(budget.mustWait(indexed("a@contoso.com"), large, bench.now)?.get(0)).toBe(5 * MINUTE + 2_000);
    expect(budget.mustWait(indexed("a@contoso.com"), 1_000, bench.now)).toBeUndefined();
  });
});

describe("after a throttling", () => {
  test("half the rate is used for ten minutes, by all doors of the mailbox; days and octets stay", () => {
    const bench = new Bench(
      door("a", { messagesPerMinute: 30, recipientsPerDay: 100, connections: 2 }, { mailbox: "m" }),
      door("b", { messagesPerMinute: 30, connections: 2 }, { mailbox: "m" }),
    );

    bench.door("a").throttled(bench.now);

    expect(bench.budgets.remaining("b")).toEqual({ messages: 15, recipients: 100 });
    expect(bench.door("b").slots(2, 0, bench.now)).toBe(1);
    bench.clock.advance(10 * MINUTE);
    expect(bench.budgets.remaining("b")).toEqual({ messages: 30, recipients: 100 });
  });

  test("a full minute waits until it fits the half rate, or until the rate is whole again", () => {
    const bench = new Bench(door("scans", { messagesPerMinute: 4 }));
    for (let at = 0; at < 4; at += 1) {
      bench.send("scans", "anna@contoso.com");
      bench.clock.advance(1_000);
    }
    const budget = bench.door("scans");

    budget.throttled(bench.now);

    // The third of the four leaves at 64 s: then one is counted, and two may be.
    expect(budget.freeAt(bench.now)).toBe(64_000);
  });
});

describe("a day that runs low", () => {
  test("is warned of once, and the warning is taken back once", () => {
    const bench = new Bench(door("scans", { recipientsPerDay: 100 }));
    for (let hour = 0; hour < 5; hour += 1) {
      bench.sendTo("scans", 19);
      bench.clock.advance(60 * MINUTE);
    }
    expect(bench.door("scans").isLow(bench.now)).toBe(true);
    bench.send("scans", "one@contoso.com");
    for (let minute = 0; minute < 25 * 60; minute += 1) {
      bench.clock.advance(MINUTE);
      bench.budgets.watch();
    }

    expect(bench.events).toMatchObject([
      {
        type: "alert.raised",
        alert: "budget.low",
        subject: "scans recipients_per_day",
        text: expect.stringContaining("5 of 100 recipients are left") as string,
      },
      { type: "alert.cleared", alert: "budget.low", subject: "scans recipients_per_day" },
    ]);
  });

  test("senders are told apart by what they sent in it", () => {
    const bench = new Bench(door("scans", { recipientsPerDay: 100 }));
    const budget = bench.door("scans");
    const send = (line: string, recipients: number): void => {
      const its = Array.from({ length: recipients }, (_, at) => ({ address: `r${at}@contoso.com` }));
      budget.take(1, recipients);
      budget.end(budget.begin(its, 1), { recipients: its, accepted: true, ambiguous: false }, line, bench.now, bench.now);
    };
    send("10.0.0.1", 5);
    bench.clock.advance(13 * 60 * MINUTE);
    send("10.0.0.1", 5);
    send("~10.0.0.2", 3);

    expect(budget.senderShares(bench.now)).toEqual(
      new Map([
        ["10.0.0.1", 10],
        ["~10.0.0.2", 3],
      ]),
    );
    bench.clock.advance(DAY);
    expect(budget.senderShares(bench.now)).toEqual(new Map());
  });
});

type Act =
  | { readonly do: "start"; readonly door: 0 | 1; readonly recipients: number; readonly seenAt: number }
  | { readonly do: "end"; readonly which: number; readonly taken: boolean }
  | { readonly do: "wait"; readonly ms: number }
  | { readonly do: "crash"; readonly downMs: number };

const acts: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("start" as const),
      door: fc.constantFrom(0 as const, 1 as const),
      recipients: fc.integer({ min: 1, max: 5 }),
      seenAt: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("end" as const), which: fc.nat(5), taken: fc.boolean() }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("wait" as const),
      ms: fc.oneof(fc.nat(2_000), fc.integer({ min: 10_000, max: 40_000 }), fc.nat(6 * 60 * MINUTE)),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("crash" as const), downMs: fc.oneof(fc.nat(1_000), fc.nat(MINUTE)) }) },
);

test("whatever the order of starts, ends and crashes, by two doors of one mailbox: no minute and no day sees more than the limit", async () => {
  const perMinute = 2;
  const perDay = 30;
  await fc.assert(
    fc.asyncProperty(fc.array(acts, { minLength: 20, maxLength: 150, size: "max" }), async (plan) => {
      const limits = { messagesPerMinute: perMinute, recipientsPerDay: perDay };
      const bench = new Bench(door("a", limits, { mailbox: "m" }), door("b", limits, { mailbox: "m" }));
      await bench.restart();
      interface Open {
        readonly lane: string;
        readonly startedAt: number;
        readonly monotonic: number;
        readonly cost: Cost | undefined;
        readonly recipients: { address: string }[];
        readonly seenAt: number;
      }
      let open: Open[] = [];
      const hopes: number[] = [];
      const seen: { at: number; recipients: number }[] = [];
      const see = ({ startedAt, recipients, seenAt }: Open, taken: boolean): void => {
        seen.push({ at: startedAt + seenAt * (bench.clock.now() - startedAt), recipients: taken ? recipients.length : 0 });
      };
      for (const act of plan) {
        if (act.do === "wait") bench.clock.advance(act.ms);
        else if (act.do === "crash") {
          // Nobody recorded these; the queue counts them in full at the next start.
          bench.clock.advance(act.downMs);
          for (const one of open) {
            see(one, true);
            const { length } = one.recipients;
            bench.record(one.lane, bench.clock.now(), { messages: 1, recipients: length, external: length, bytes: 0 });
          }
          open = [];
          await bench.restart();
        } else if (act.do === "start") {
          const lane = act.door === 0 ? "a" : "b";
          const budget = bench.door(lane);
          const { messages, recipients } = budget.places(bench.now);
          const count = Math.min(act.recipients, recipients);
          if (messages < 1 || count < 1) {
            const freeAt = budget.freeAt(bench.now);
            // Either it is known when there is room again, or something is under way that will tell.
            hopes.push(freeAt === undefined ? open.length : freeAt - bench.now);
            continue;
          }
          const its = Array.from({ length: count }, (_, at) => ({ address: `r${at}@contoso.com` }));
          budget.take(1, count);
          const cost = budget.begin(its, 10);
          open.push({ lane, startedAt: bench.clock.now(), monotonic: bench.now, cost, recipients: its, seenAt: act.seenAt });
        } else {
          const [one] = open.splice(act.which % Math.max(1, open.length), 1);
          if (one === undefined) continue;
          see(one, act.taken);
          const taken = { recipients: one.recipients, ambiguous: false, ...(act.taken ? { accepted: true } : {}) };
          const counted = bench.door(one.lane).end(one.cost, taken, "10.0.0.1", one.monotonic, bench.now);
          if (counted !== undefined) bench.record(one.lane, one.startedAt, counted);
        }
      }
      for (const one of open) see(one, true);

      expect(hopes.filter((hope) => hope <= 0)).toEqual([]);
      for (const { at } of seen) {
        expect(seen.filter((other) => other.at >= at && other.at < at + MINUTE).length).toBeLessThanOrEqual(perMinute);
        const day = seen.filter((other) => other.at >= at && other.at < at + DAY);
        expect(day.reduce((sum, { recipients }) => sum + recipients, 0)).toBeLessThanOrEqual(perDay);
      }
    }),
    { numRuns: 300 },
  );
});

describe("the budgets of doors that reloads replaced", () => {
  /** Each has its lane wait for it, as the deliverer does. */
  function reloads(times: number, underWay: (budget: DoorBudget, at: number) => void): { bench: Bench; old: WeakRef<object>[] } {
    const bench = new Bench(door("a", { recipientsPerDay: 100 }));
    const old: WeakRef<object>[] = [];
    for (let at = 0; at < times; at++) {
      const lane = { name: `lane ${at}` };
      bench.door("a").onFree(() => void lane.name);
      underWay(bench.door("a"), at);
      old.push(new WeakRef(lane));
      bench.budgets.update([door("a", { recipientsPerDay: 100 })], ["contoso.com"], new Set(["a"]));
    }
    return { bench, old };
  }

  async function kept(old: readonly WeakRef<object>[]): Promise<number> {
    await new Promise((resolve) => setImmediate(resolve));
    releaseMemory();
    return old.filter((one) => one.deref() !== undefined).length;
  }

  test("are forgotten, with their lanes, once nothing is under way by them", async () => {
    const { bench, old } = reloads(20, () => {});

    expect(await kept(old)).toBe(0);
    expect(bench.remaining()).toEqual({ "a recipients_per_day": 100 });
  });

  test("hand on what is under way, over several reloads, and what begins after them", () => {
    const costs: [DoorBudget, Cost | undefined][] = [];
    const { bench } = reloads(3, (budget) => {
      budget.take(1, 1);
      costs.push([budget, budget.begin([{ address: "anna@contoso.com" }], 10)]);
    });
    const idle = bench.door("a");
    bench.budgets.update([door("a", { recipientsPerDay: 100 })], ["contoso.com"], new Set(["a"]));
    bench.budgets.update([door("a", { recipientsPerDay: 100 })], ["contoso.com"], new Set(["a"]));
    idle.take(1, 1);
    costs.push([idle, idle.begin([{ address: "anna@contoso.com" }], 10)]);
    const during = bench.door("a").places(bench.now).recipients;

    for (const [budget, cost] of costs) budget.end(cost, undefined, "10.0.0.1", bench.now, bench.now);

    expect([during, bench.door("a").places(bench.now).recipients]).toEqual([96, 100]);
  });
});
