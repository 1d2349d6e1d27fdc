/** Budgets with everything around them but a real queue: how much of a limit is used, and that nobody sees more. */
import { describe, expect, test } from "vitest";
import { FakeUpstream, facts, fault, refused } from "../../test/fakes/fake-upstream.ts";
import { ENVELOPE, MemoryQueue } from "../../test/fakes/memory-queue.ts";
import type { EventName, EventOf, PosternEvent } from "../mail/events.ts";
import { ManualClock } from "../platform/clock.ts";
import { DoorBoard } from "./door-board.ts";
import { DEFAULT_RETRY } from "./retry.ts";
import { makeRouter, type Route } from "./routes.ts";
import { createDeliverer, type Deliverer, type DelivererOptions } from "./scheduler.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

type DoorOptions = NonNullable<ConstructorParameters<typeof FakeUpstream>[0]>;

/** Lets everything that was begun come to rest. */
async function rest(turns = 40): Promise<void> {
  for (let i = 0; i < turns; i += 1) await new Promise<void>((resolve) => setImmediate(resolve));
}

class Relay {
  readonly clock = new ManualClock();
  readonly events: PosternEvent[] = [];
  readonly queue: MemoryQueue;
  readonly doors: Readonly<Record<string, FakeUpstream>>;
  /** When each message was offered, and to how many. */
  readonly offered: { readonly at: number; readonly door: string; readonly recipients: readonly string[] }[] = [];
  readonly #routes: readonly Route[];
  deliverer: Deliverer;
  /** How long an attempt takes. */
  lastsMs = 0;

  constructor(doors: Readonly<Record<string, DoorOptions>>, routes?: readonly Route[]) {
    this.doors = Object.fromEntries(Object.entries(doors).map(([name, options]) => [name, new FakeUpstream({ name, ...options })]));
    this.#routes = routes ?? [{ name: "default", via: Object.keys(doors) }];
    let current = this.#parts();
    this.queue = new MemoryQueue(this.clock, (...asked) => current.router.choose(...asked));
    this.#renew = () => {
      current = this.#parts();
      return this.#deliverer(current);
    };
    this.deliverer = this.#deliverer(current);
    for (const [name, door] of Object.entries(this.doors)) {
      door.answer = async (delivery) => {
        this.offered.push({ at: this.clock.monotonic(), door: name, recipients: delivery.recipients });
        if (this.lastsMs > 0) await new Promise<void>((resolve) => this.clock.after(this.lastsMs, resolve));
        return facts(delivery);
      };
    }
  }

  readonly #renew: () => Deliverer;

  #parts(): Pick<DelivererOptions, "router" | "board"> {
    const board = new DoorBoard();
    const known = Object.values(this.doors).map(
      ({ name, traits, limits }) => [name, { traits, maxMessageSizeBytes: limits.maxMessageSizeBytes }] as const,
    );
    return { board, router: makeRouter({ routes: this.#routes, domains: ["contoso.com"], doors: new Map(known), board }) };
  }

  #deliverer(parts: Pick<DelivererOptions, "router" | "board">): Deliverer {
    return createDeliverer({
      queue: this.queue,
      upstreams: new Map(Object.entries(this.doors)),
      ...parts,
      fallbackAfterMs: 15 * MINUTE,
      retry: DEFAULT_RETRY,
      hostname: "relay.contoso.com",
      domains: ["contoso.com"],
      postmaster: "it@contoso.com",
      fallbackSenders: [],
      bounces: { to: "postmaster" },
      timeZone: "UTC",
      emit: (event) => this.events.push(event),
      clock: this.clock,
      random: () => 0.5,
    });
  }

  async start(): Promise<this> {
    await this.deliverer.start();
    await rest();
    return this;
  }

  async restart(): Promise<void> {
    await this.deliverer.stop(0);
    this.deliverer = this.#renew();
    await this.start();
  }

  async pass(ms: number, stepMs = ms): Promise<void> {
    for (let at = 0; at < ms; at += stepMs) {
      this.clock.advance(stepMs);
      await rest();
    }
  }

  of<N extends EventName>(type: N): EventOf<N>[] {
    return this.events.filter((event): event is EventOf<N> => event.type === type);
  }

  /** The most messages that one door was offered in any time so long. */
  mostIn(lengthMs: number, door: string): number {
    const its = this.offered.filter((one) => one.door === door).map(({ at }) => at);
    return Math.max(...its.map((from) => its.filter((at) => at >= from && at < from + lengthMs).length));
  }

  sent(door: string): string[] {
    return this.offered.filter((one) => one.door === door).flatMap(({ recipients }) => recipients);
  }
}

const many = (count: number, domain = "contoso.com"): string[] => Array.from({ length: count }, (_, at) => `r${at}@${domain}`);
const mailbox = { limits: { connections: 2, messagesPerMinute: 30 } } as const;

describe("messages a minute", () => {
  test.each([
    [0, 1],
    [1_500, 1],
    [3_000, 1],
    [0, 3],
  ])("600 messages that take %i ms each by %i mailboxes: between 95 and 100 % of 30 a minute each", async (lastsMs, mailboxes) => {
    const names = ["one", "two", "three"].slice(0, mailboxes);
    const limits = { connections: 4, messagesPerMinute: 30 };
    const doors = Object.fromEntries(names.map((name) => [name, { limits }]));
    const relay = new Relay(doors, [{ name: "default", via: names, spread: true }]);
    relay.lastsMs = lastsMs;
    for (let i = 0; i < 600; i += 1) await relay.queue.accept({ recipients: [`r${i}@contoso.com`] });

    await relay.start();
    const whole = 600 / (30 * mailboxes);
    await relay.pass((whole / 0.95) * MINUTE, SECOND / 2);

    expect(relay.queue.states().filter((state) => state === "delivered").length).toBe(600);
    for (const name of names) expect(relay.mostIn(MINUTE, name)).toBe(30);
  });

  test("two doors of one mailbox take turns at one budget", async () => {
    const traits = { countedAs: { mailbox: "m" } };
    const relay = new Relay({ a: { ...mailbox, traits }, b: { ...mailbox, traits } }, [
      { name: "inside", match: { recipients: "internal" }, via: ["a"] },
      { name: "default", via: ["b"] },
    ]);
    for (let i = 0; i < 40; i += 1) await relay.queue.accept({ recipients: [i % 2 === 0 ? "x@fabrikam.com" : "anna@contoso.com"] });

    await relay.start();
    await rest(400);

    expect(relay.offered.length).toBe(30);
    await relay.pass(62 * SECOND);
    await rest(400);
    expect(relay.offered.length).toBe(40);
    expect(new Set(relay.offered.map(({ door }) => door))).toEqual(new Set(["a", "b"]));
  });

  test("the express lane has no more places than the budget", async () => {
    const relay = await new Relay({ scans: { limits: { connections: 50, messagesPerMinute: 5 } } }).start();

    await Promise.all(Array.from({ length: 20 }, () => relay.queue.accept()));
    await rest(100);

    expect(relay.offered.length).toBe(5);
  });

  test("100 messages an hour, as Azure Communication Services wants it", async () => {
    const relay = new Relay({ acs: { limits: { messagesPerHour: 100 } } });
    for (let i = 0; i < 150; i += 1) await relay.queue.accept();

    await relay.start();
    await rest(800);
    expect(relay.offered.length).toBe(100);

    await relay.pass(HOUR + 2 * SECOND);
    await rest(400);
    expect(relay.offered.length).toBe(150);
  });
});

describe("recipients a day", () => {
  test("the message that does not fit is cut, the rest of its recipients goes when the day is over, also after a restart", async () => {
    const relay = await new Relay({ scans: { limits: { recipientsPerDay: 100 } } }).start();
    for (let i = 0; i < 3; i += 1) {
      await relay.queue.accept({ recipients: many(40) });
      await rest();
      await relay.pass(HOUR);
    }
    expect(relay.offered.map(({ recipients }) => recipients.length)).toEqual([40, 40, 20]);

    await relay.restart();
    await relay.pass(20 * HOUR, HOUR);
    expect(relay.sent("scans").length).toBe(100);
    await relay.pass(2 * HOUR, MINUTE);

    expect(relay.sent("scans").length).toBe(120);
    expect(relay.queue.states().filter((state) => state === "delivered").length).toBe(120);
  });

  test("what was refused is not counted, what may have arrived is", async () => {
    const relay = await new Relay({ scans: { limits: { recipientsPerDay: 100 } } }).start();
    const door = relay.doors["scans"];
    if (door === undefined) throw new Error("no door");
    door.answer = (delivery) => facts(delivery, { refusal: refused("final", "554 5.6.0 no") });
    await relay.queue.accept({ recipients: many(60) });
    await rest();
    door.answer = (delivery) => facts(delivery, { ambiguous: true, refusal: fault("final", "TIMEOUT") });
    await relay.queue.accept({ recipients: many(10) });
    await rest();

    expect(relay.deliverer.budgets()).toMatchObject([{ budget: "scans", limit: "recipients_per_day", most: 100, remaining: 90 }]);
  });

  test("less than a tenth left: one alert, interactive mail first, bulk last", async () => {
    const relay = await new Relay({ scans: { limits: { connections: 1, recipientsPerDay: 100 } } }).start();
    await relay.queue.accept({ recipients: many(91) });
    await rest();
    relay.lastsMs = SECOND;
    await relay.queue.accept({ recipients: ["first@contoso.com"] });
    await rest();
    for (const priority of ["bulk", "normal", "interactive"] as const)
      for (let i = 0; i < 3; i += 1) await relay.queue.accept({ priority, recipients: [`${priority}@contoso.com`] });

    await relay.pass(20 * SECOND, SECOND);

    expect(relay.of("alert.raised").filter(({ alert }) => alert === "budget.low")).toHaveLength(1);
    const order = relay.sent("scans").slice(92);
    expect(order.map((address) => address[0]).join("")).toBe("iiinnnbb");
    expect(relay.queue.states().filter((state) => state === "delivered").length).toBe(100);
    await relay.pass(DAY + HOUR, MINUTE * 10);
    expect(relay.of("alert.cleared").filter(({ alert }) => alert === "budget.low")).toHaveLength(1);
    expect(relay.sent("scans").at(-1)).toBe("bulk@contoso.com");
  });

  test("recipients outside wait for the tenant's day, those inside of the same message do not", async () => {
    const relay = await new Relay({ scans: { limits: { externalRecipientsPerDay: 3 } } }).start();
    await relay.queue.accept({ recipients: many(2, "fabrikam.com") });
    await rest();
    await relay.queue.accept({ recipients: ["anna@contoso.com", ...many(3, "northwind.com"), "bob@contoso.com"] });
    await rest(100);

    expect(relay.sent("scans").slice(2)).toEqual(["anna@contoso.com", "r0@northwind.com", "bob@contoso.com"]);
    await relay.queue.accept({ recipients: ["carla@contoso.com"] });
    await rest();
    expect(relay.sent("scans").at(-1)).toBe("carla@contoso.com");
    await relay.pass(DAY + HOUR, 10 * MINUTE);

    expect(relay.queue.states().every((state) => state === "delivered")).toBe(true);
    expect(relay.sent("scans").length).toBe(8);
  });
});

describe("other limits", () => {
  test("octets by Graph: what does not fit in 5 minutes waits for them", async () => {
    const traits = { countedAs: { application: "app" } };
    const relay = await new Relay({ graph: { type: "graph", limits: { connections: 4 }, traits } }).start();
    const content = "x".repeat(30_000_000);
    for (let i = 0; i < 5; i += 1) {
      await relay.queue.accept({}, content);
      await rest();
    }

    expect(relay.offered.length).toBe(3);
    await relay.pass(5 * MINUTE + 2 * SECOND);
    await rest(100);
    expect(relay.offered.length).toBe(5);
  });

  test("a held door's message of probing waits for the budget, too", async () => {
    const relay = new Relay({ scans: { limits: { connections: 1, messagesPerHour: 1 } } });
    const door = relay.doors["scans"];
    if (door === undefined) throw new Error("no door");
    const hold = { since: 0, cause: "policy", closedBy: "01OTHER", nextProbeAt: relay.clock.now(), probes: 1 };
    await relay.queue.holdLane("scans", hold);
    for (let i = 0; i < 3; i += 1) await relay.queue.accept();
    door.answer = (delivery) => facts(delivery, { refusal: refused("final", "550 5.7.750 unregistered domain") });
    await relay.start();
    expect(door.deliveries.length).toBe(1);

    await relay.pass(HOUR, MINUTE);
    expect(door.deliveries.length).toBe(1);
    await relay.pass(2 * MINUTE, MINUTE);

    expect(door.deliveries.length).toBe(2);
  });

  test("a held door is tried as soon as the limit itself allows, also while it goes slower after a throttling", async () => {
    const relay = await new Relay({
      acs: { type: "smtp-auth", limits: { connections: 1, messagesPerMinute: 30, messagesPerHour: 100 } },
    }).start();
    const door = relay.doors["acs"];
    if (door === undefined) throw new Error("no door");
    for (let n = 0; n < 48; n += 1) await relay.queue.accept().then(() => rest(5));
    await relay.pass(3 * MINUTE, MINUTE);
    const takes = door.answer;
    door.answer = (delivery) =>
      facts(delivery, { refusal: refused("final", "450 4.5.127 Message rejected. Excessive message rate from sender.") });
    await relay.queue.accept().then(() => rest());
    door.answer = (delivery) => facts(delivery, { refusal: refused("final", "550 5.7.705 Access denied, tenant has exceeded threshold.") });
    await relay.pass(2 * MINUTE, SECOND);
    const [slowed, held] = [relay.deliverer.slowed().get("acs")?.factor, relay.of("upstream.held").length];
    door.answer = takes;

    await relay.pass(5 * MINUTE, SECOND);

    expect([slowed, held]).toEqual([0.5, 1]);
    expect(relay.of("upstream.released")).toHaveLength(1);
  });

  test("a throttling is an event, not a failure of the message: half the rate for ten minutes, told in status", async () => {
    const relay = new Relay({ scans: { ...mailbox, type: "smtp-auth" } });
    const door = relay.doors["scans"];
    if (door === undefined) throw new Error("no door");
    const takes = door.answer;
    door.answer = (delivery) =>
      facts(delivery, { refusal: refused("final", "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded") });
    await relay.start();
    await relay.queue.accept();
    await rest();
    expect(relay.of("upstream.throttled")).toHaveLength(1);
    expect(relay.deliverer.slowed().get("scans")).toEqual({ factor: 0.5, until: relay.clock.now() + 10 * MINUTE });

    door.answer = takes;
    for (let i = 0; i < 200; i += 1) await relay.queue.accept();
    await relay.pass(9 * MINUTE, SECOND);
    const slowly = relay.offered.length;
    await relay.pass(9 * MINUTE, SECOND);

    expect(relay.mostIn(MINUTE, "scans")).toBe(30);
    // The throttled message counts in the first of about eight and a half minutes.
    expect(slowly).toBeGreaterThan(8 * 14);
    expect(slowly).toBeLessThanOrEqual(9 * 15);
    expect(relay.queue.states().every((state) => state === "delivered")).toBe(true);
    expect(relay.deliverer.slowed().size).toBe(0);
  });
});

describe("a place in the budget that is not used after all is free again", () => {
  const two = { limits: { messagesPerMinute: 2, recipientsPerDay: 10 } };

  test("when the commit of the message that it was promised to fails", async () => {
    const relay = await new Relay({ scans: two }).start();
    const { express } = relay.queue;
    if (express === undefined) throw new Error("no express lane");
    const envelope = { ...ENVELOPE, recipients: ["a@contoso.com"] };

    const promised = [express.reserve("scans", envelope, 1), express.reserve("scans", envelope, 1), express.reserve("scans", envelope, 1)];
    for (const places of promised) if (places > 0) express.forget("scans", places);
    for (let n = 0; n < 2; n += 1) await relay.queue.accept().then(() => rest());

    expect(promised).toEqual([1, 1, 0]);
    expect(relay.offered).toHaveLength(2);
  });

  test("when nothing is left of the held sender that it was meant for", async () => {
    const relay = await new Relay({ scans: two }).start();
    const door = relay.doors["scans"];
    const takes = door?.answer;
    if (door === undefined || takes === undefined) throw new Error("no door");
    door.answer = (delivery) =>
      facts(delivery, { refusal: refused("final", "554 5.2.252 SendAsDenied; scanner not allowed to send as erp") });
    await relay.queue.accept({ reversePath: "erp@contoso.com" }).then(() => rest());
    const [held] = relay.queue.recipients();
    if (held !== undefined) held.state = "deleted";
    await relay.pass(2 * MINUTE);

    door.answer = takes;
    for (let n = 0; n < 2; n += 1) await relay.queue.accept().then(() => rest());

    expect(relay.offered).toHaveLength(2);
  });

  test("when the message does not fit the door, which was never asked", async () => {
    const relay = await new Relay({ scans: { limits: { ...two.limits, maxMessageSizeBytes: 1_000 } } }).start();
    for (let n = 0; n < 3; n += 1) await relay.queue.accept({ reversePath: "" }, "x".repeat(100_000)).then(() => rest());
    const refused = relay.queue.states();

    for (let n = 0; n < 2; n += 1) await relay.queue.accept().then(() => rest());

    expect(refused).toEqual(["bounced", "bounced", "bounced"]);
    expect(relay.offered).toHaveLength(2);
    expect(relay.queue.states()).toEqual([...refused, "delivered", "delivered"]);
  });
});
