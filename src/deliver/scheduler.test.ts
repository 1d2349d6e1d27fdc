import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FakeUpstream, facts, fault, refused, type Answer } from "../../test/fakes/fake-upstream.ts";
import { ENVELOPE, MemoryQueue } from "../../test/fakes/memory-queue.ts";
import { oneDoor } from "../../test/fakes/one-door.ts";
import type { EventName, EventOf, PosternEvent } from "../mail/events.ts";
import { ManualClock } from "../platform/clock.ts";
import type { Refusal, Stage } from "../upstream/upstream.ts";
import { DEFAULT_RETRY } from "./retry.ts";
import { createDeliverer, type Deliverer, type DelivererOptions, type DelivererSettings } from "./scheduler.ts";

const MINUTE = 60_000;

const SETTINGS: DelivererSettings = {
  retry: DEFAULT_RETRY,
  fallbackAfterMs: 15 * MINUTE,
  domains: ["contoso.com"],
  postmaster: "it@contoso.com",
  fallbackSenders: ["scans@contoso.com"],
  bounces: { to: "both" },
  timeZone: "UTC",
};

/** Lets everything that was begun come to rest: commits of the fake queue take one turn of the event loop each. */
async function rest(turns = 60): Promise<void> {
  for (let i = 0; i < turns; i += 1) await new Promise<void>((resolve) => setImmediate(resolve));
}

class Relay {
  readonly clock = new ManualClock();
  readonly events: PosternEvent[] = [];
  readonly queue: MemoryQueue;
  readonly upstream: FakeUpstream;
  deliverer: Deliverer;
  readonly #options: DelivererOptions;

  constructor(upstream = new FakeUpstream(), options: Partial<DelivererOptions> = {}) {
    this.upstream = upstream;
    const routing = oneDoor(upstream.name);
    this.queue = new MemoryQueue(this.clock, routing.router.choose);
    this.#options = {
      queue: this.queue,
      upstreams: new Map([[upstream.name, upstream]]),
      ...routing,
      ...SETTINGS,
      hostname: "relay.contoso.com",
      emit: (event) => this.events.push(event),
      clock: this.clock,
      random: () => 0.5,
      ...options,
    };
    this.deliverer = createDeliverer(this.#options);
  }

  async start(): Promise<this> {
    await this.deliverer.start();
    await rest();
    return this;
  }

  /** Another process on the same queue. */
  async restart(): Promise<void> {
    this.deliverer = createDeliverer(this.#options);
    await this.start();
  }

  async accept(envelope: Parameters<MemoryQueue["accept"]>[0] = {}): Promise<string> {
    const message = await this.queue.accept(envelope);
    await rest();
    return message.queueId;
  }

  async pass(ms: number): Promise<void> {
    this.clock.advance(ms);
    await rest();
  }

  of<N extends EventName>(type: N): EventOf<N>[] {
    return this.events.filter((event): event is EventOf<N> => event.type === type);
  }
}

function always(refusal: Refusal): Answer {
  return (delivery) => facts(delivery, { refusal });
}

describe("the way of a message", () => {
  test("it is delivered by the express lane without a claim call, and told only after the commit", async () => {
    const relay = await new Relay().start();
    const calls = relay.queue.claimCalls.length;

    await relay.accept();

    expect(relay.queue.states()).toEqual(["delivered"]);
    expect(relay.queue.claimCalls.length).toBe(calls);
    expect(relay.events.map((event) => event.type)).toEqual(["attempt.finished", "recipient.delivered"]);
    expect(relay.queue.attempts[0]).toMatchObject({
      outcome: "delivered",
      stage: "final",
      delays: { beforeQueueMs: 20, inQueueMs: 0, connectMs: 5, transmitMs: 10 },
    });
  });

  test("it is put off by a 451, and tried again a minute later", async () => {
    const relay = await new Relay().start();
    relay.upstream.answer = always(refused("rcpt", "451 4.9.1 later"));
    await relay.accept();
    expect(relay.of("recipient.deferred")[0]?.nextAttemptAt).toBe(relay.clock.now() + MINUTE);

    relay.upstream.answer = (delivery) => facts(delivery);
    await relay.pass(MINUTE - 1);
    expect(relay.queue.states()).toEqual(["deferred"]);
    await relay.pass(1);

    expect(relay.queue.states()).toEqual(["delivered"]);
  });

  test("what waits at the start is delivered", async () => {
    const relay = new Relay();
    for (let i = 0; i < 50; i += 1) await relay.queue.accept();

    await relay.start();

    expect(new Set(relay.queue.states())).toEqual(new Set(["delivered"]));
    expect(relay.upstream.mostUnderWay).toBe(4);
  });

  test("a message for 1,000 is split by what the door takes in one go", async () => {
    const relay = await new Relay().start();

    await relay.accept({ recipients: Array.from({ length: 1_000 }, (_, i) => `r${i}@contoso.com`) });

    expect(relay.upstream.deliveries.map((delivery) => delivery.recipients.length)).toEqual([450, 450, 100]);
    expect(new Set(relay.queue.states())).toEqual(new Set(["delivered"]));
  });

  test("no place is given to new mail while older mail waits", async () => {
    const relay = new Relay(new FakeUpstream({ limits: { connections: 1 } }));
    const blocked = Promise.withResolvers<void>();
    relay.upstream.answer = async (delivery) => {
      await blocked.promise;
      return facts(delivery);
    };
    await relay.start();
    const ids = [await relay.accept(), await relay.accept(), await relay.accept()];

    blocked.resolve();
    await rest();

    expect(relay.upstream.deliveries.map((delivery) => delivery.queueId)).toEqual(ids);
  });

  test("no place is given while a claim for older mail is on its way, though places are free", async () => {
    const relay = await new Relay().start();
    const { express } = relay.queue;
    relay.queue.setExpress(undefined);
    await relay.queue.accept();

    const whileClaiming = express?.reserve("scans", ENVELOPE, 1);
    await rest();

    expect(whileClaiming).toBe(0);
    expect(express?.reserve("scans", ENVELOPE, 1)).toBe(1);
  });

  test("a busy device does not keep others waiting", async () => {
    const relay = new Relay(new FakeUpstream({ limits: { connections: 2 } }));
    for (let i = 0; i < 20; i += 1) await relay.queue.accept({ origin: { listener: "p", client: "c", device: "10.0.0.1" } });
    const other = await relay.queue.accept({ origin: { listener: "p", client: "c", device: "10.0.0.2" } });

    await relay.start();

    expect(relay.upstream.deliveries.slice(0, 2).map((delivery) => delivery.queueId)).toContain(other.queueId);
  });

  test("an exception in the upstream is temporary", async () => {
    const relay = await new Relay().start();
    relay.upstream.answer = () => Promise.reject(new Error("a bug"));

    await relay.accept();

    expect(relay.queue.states()).toEqual(["deferred"]);
  });

  test("a door with a mailbox sends the null reverse-path as the mailbox", async () => {
    const relay = await new Relay(new FakeUpstream({ mailbox: "scanner@contoso.com" })).start();

    await relay.accept({ reversePath: "" });

    expect(relay.upstream.deliveries[0]?.reversePath).toBe("scanner@contoso.com");
  });

  test("after four hours the sender is told that it is late; after five days it expires, and sender and postmaster are told", async () => {
    const relay = await new Relay().start();
    relay.upstream.answer = (delivery) =>
      delivery.reversePath === "" ? facts(delivery) : facts(delivery, { refusal: refused("rcpt", "451 4.9.1 later") });
    await relay.accept();

    for (let i = 0; i < 250; i += 1) await relay.pass(30 * MINUTE);

    expect(relay.queue.states()[0]).toBe("expired");
    expect(relay.queue.reports().map((report) => report.message.recipients)).toEqual([
      ["printer@contoso.com"],
      ["printer@contoso.com"],
      ["it@contoso.com"],
    ]);
  });
});

describe("the budget", () => {
  test("thirty a minute go out as thirty in any 62 s, also after a kill", async () => {
    const relay = new Relay(new FakeUpstream({ limits: { connections: 2, messagesPerMinute: 30 } }));
    await relay.start();
    for (let i = 0; i < 100; i += 1) await relay.queue.accept();
    await rest(300);
    expect(relay.upstream.deliveries.length).toBe(30);

    await relay.deliverer.stop(0);
    await relay.restart();
    await rest(300);
    expect(relay.upstream.deliveries.length).toBe(30);
    await relay.pass(61_999);
    expect(relay.upstream.deliveries.length).toBe(30);
    await relay.pass(1);
    await rest(300);

    expect(relay.upstream.deliveries.length).toBe(60);
  });
});

describe("reports", () => {
  async function bounced(
    envelope: Parameters<MemoryQueue["accept"]>[0],
    options: Partial<DelivererOptions> = {},
    upstream = new FakeUpstream(),
  ): Promise<Relay> {
    const relay = await new Relay(upstream, options).start();
    relay.upstream.answer = (delivery) =>
      delivery.recipients[0] === "nobody@contoso.com"
        ? facts(delivery, { refusal: refused("final", "554 5.1.1 no such user") })
        : facts(delivery);
    await relay.accept({ recipients: ["nobody@contoso.com"], ...envelope });
    return relay;
  }
  const told = (relay: Relay): string[] => relay.queue.reports().flatMap((report) => report.message.recipients);

  test("sender and postmaster are told of a bounce, in the commit that settles it", async () => {
    const relay = await bounced({});

    expect(told(relay)).toEqual(["printer@contoso.com", "it@contoso.com"]);
    expect(relay.queue.settled[0]?.generated?.length).toBe(2);
    expect(relay.of("message.generated").length).toBe(2);
    expect(relay.queue.reports()[0]?.text).toContain("554 5.1.1 no such user");
  });

  test("what no reply refused has the status of its report in the event too", async () => {
    const relay = await new Relay().start();
    relay.upstream.answer = always(fault("mail", "NO_SMTPUTF8"));

    await relay.accept();

    expect(relay.of("recipient.bounced")[0]).toMatchObject({ reply: undefined, status: "5.6.7" });
    expect(relay.queue.reports()[0]?.text).toContain("Status: 5.6.7\r\n");
  });

  test.each([
    ["an external sender", { reversePath: "x@fabrikam.com" }],
    ["the fallback sender", { reversePath: "Scans@Contoso.com" }],
    ["the door's own mailbox", { reversePath: "scanner@contoso.com" }],
  ])("nothing is reported to %s: the postmaster is told", async (_who, envelope) => {
    const relay = await bounced(envelope, {}, new FakeUpstream({ mailbox: "scanner@contoso.com" }));

    expect(told(relay)).toEqual(["it@contoso.com"]);
  });

  test("nobody is told of mail with the null reverse-path", async () => {
    expect(told(await bounced({ reversePath: "" }))).toEqual([]);
  });

  test("nobody is told of mail that we sent ourselves and that came back", async () => {
    expect(told(await bounced({ returned: true }))).toEqual([]);
  });

  test("bounces.to chooses who is told", async () => {
    expect(told(await bounced({}, { bounces: { to: "sender" } }))).toEqual(["printer@contoso.com"]);
    expect(told(await bounced({}, { bounces: { to: "postmaster" } }))).toEqual(["it@contoso.com"]);
  });

  test("a report goes out from the mailbox of its door", async () => {
    const relay = await bounced({}, {}, new FakeUpstream({ mailbox: "scanner@contoso.com" }));

    expect(relay.queue.reports()[0]?.message).toMatchObject({ reversePath: "", headerFrom: "scanner@contoso.com" });
    expect(relay.queue.reports()[0]?.text).toContain("<scanner@contoso.com>\r\n");
  });

  test("a refused report goes to the postmaster once, then it is an alarm", async () => {
    const relay = await new Relay(new FakeUpstream(), { bounces: { to: "sender" } }).start();
    relay.upstream.answer = always(refused("final", "554 5.1.1 no such user"));

    await relay.accept();
    await rest();

    expect(told(relay)).toEqual(["printer@contoso.com", "it@contoso.com"]);
    expect(relay.of("alert.raised").map((event) => event.alert)).toEqual(["report.undeliverable"]);
    expect(new Set(relay.queue.states())).toEqual(new Set(["bounced"]));
  });
});

describe("a door that is unreachable", () => {
  test("pauses for 5, 10, 20 s …, tries one message first, then opens for all", async () => {
    const relay = await new Relay().start();
    relay.upstream.answer = always(fault("connect", "ECONNREFUSED"));
    await relay.accept();
    for (let i = 0; i < 10; i += 1) await relay.accept();
    expect(relay.upstream.deliveries.length).toBe(1);
    const pausedFor = (): number[] => relay.of("upstream.paused").map((event) => (event.resumeAt - Date.UTC(2026, 0, 5, 9)) / 1000);
    expect(pausedFor()).toEqual([5]);

    await relay.pass(5_000);
    expect(relay.upstream.deliveries.length).toBe(2);
    expect(pausedFor()).toEqual([5, 15]);
    relay.upstream.answer = (delivery) => facts(delivery);
    await relay.pass(10_000);
    await relay.pass(2 * MINUTE);

    expect(new Set(relay.queue.states())).toEqual(new Set(["delivered"]));
    expect(relay.of("recipient.bounced")).toEqual([]);
  });

  test("a throttling answer makes it wait, and is told", async () => {
    const relay = await new Relay(new FakeUpstream({ type: "smtp-auth" })).start();
    relay.upstream.answer = always(
      refused("final", "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information."),
    );

    await relay.accept();
    await relay.accept();

    expect(relay.of("upstream.throttled")[0]).toMatchObject({ upstream: "scans", waitMs: 30_000 });
    expect(relay.upstream.deliveries.length).toBe(1);
    relay.upstream.answer = (delivery) => facts(delivery);
    await relay.pass(30_000);
    expect(relay.queue.states()).toEqual(["delivered", "delivered"]);
  });
});

describe("a door that is held", () => {
  const WRONG = fault("token", "AADSTS7000215", "Invalid client secret provided");

  test("a wrong secret holds it at the start, with one alarm, and accepted mail is held, not tried", async () => {
    const upstream = new FakeUpstream({ type: "smtp-auth" });
    upstream.probeRefusal = WRONG;
    const relay = await new Relay(upstream).start();

    await relay.accept();

    expect(relay.of("alert.raised")).toMatchObject([{ alert: "upstream.held", subject: "scans" }]);
    expect(relay.of("upstream.held")[0]?.remedy).toContain("Certificates & secrets");
    expect(relay.queue.states()).toEqual(["held"]);
    expect(upstream.deliveries).toEqual([]);
  });

  test("a certificate that cannot be read holds it at the start, without a connection, and until it can be read", async () => {
    const upstream = new FakeUpstream({ type: "connector" });
    upstream.prepareRefusal = upstream.probeRefusal = fault("connect", "CERTIFICATE_FILE", "no.pem: no such file");
    const relay = await new Relay(upstream).start();

    await relay.accept();

    expect(relay.of("alert.raised")).toMatchObject([{ alert: "upstream.held", subject: "scans" }]);
    expect(relay.queue.states()).toEqual(["held"]);
    expect([upstream.probes, upstream.deliveries]).toEqual([0, []]);

    upstream.prepareRefusal = upstream.probeRefusal = undefined;
    await relay.pass(4 * MINUTE);

    expect(relay.queue.states()).toEqual(["delivered"]);
    expect(relay.of("alert.cleared")).toHaveLength(1);
  });

  test("it is probed by connecting on the retry schedule, and all leaves once that works", async () => {
    const relay = await new Relay().start();
    relay.upstream.answer = always(WRONG);
    relay.upstream.probeRefusal = WRONG;
    await relay.accept();
    await relay.accept();
    expect(relay.queue.states()).toEqual(["held", "held"]);
    await relay.pass(MINUTE);
    await relay.pass(MINUTE);
    expect(relay.upstream.probes).toBe(1);
    await relay.pass(MINUTE);
    expect(relay.upstream.probes).toBe(2);

    relay.upstream.probeRefusal = undefined;
    relay.upstream.answer = (delivery) => facts(delivery);
    await relay.pass(4 * MINUTE);

    expect(relay.queue.states()).toEqual(["delivered", "delivered"]);
    expect(relay.of("upstream.released")).toMatchObject([{ heldMs: 7 * MINUTE, recipients: 2 }]);
    expect(relay.of("alert.raised").length).toBe(1);
    expect(relay.of("alert.cleared").length).toBe(1);
  });

  test("a fault that a message met is probed with another one", async () => {
    const relay = await new Relay(new FakeUpstream({ type: "smtp-auth" })).start();
    relay.upstream.answer = always(refused("final", "554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException"));
    const first = await relay.accept();
    const second = await relay.accept();

    relay.upstream.answer = (delivery) => facts(delivery);
    await relay.pass(MINUTE);

    expect(relay.upstream.deliveries.map((delivery) => delivery.queueId)).toEqual([first, second, first]);
    expect(relay.queue.states()).toEqual(["delivered", "delivered"]);
  });

  test("of a door that two messages close for themselves the rest is not kept: a probe finds one that passes", async () => {
    const relay = await new Relay(new FakeUpstream({ type: "smtp-auth" })).start();
    const used = refused("final", "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message");
    relay.upstream.answer = (delivery) => facts(delivery, delivery.recipients.length > 1 ? { refusal: used } : {});
    for (const sender of ["a", "b"])
      await relay.accept({ reversePath: `${sender}@contoso.com`, recipients: ["x@contoso.com", "y@contoso.com"] });
    for (let i = 0; i < 3; i += 1) await relay.accept({ recipients: ["z@contoso.com"] });

    await relay.pass(MINUTE);
    await relay.pass(2 * MINUTE);
    await relay.pass(MINUTE);

    expect(relay.queue.states()).toEqual(["held", "held", "held", "held", "delivered", "delivered", "delivered"]);
  });

  test("a message that meets alone what would be the door's closes it once, then is held by itself until it passes", async () => {
    const relay = await new Relay(new FakeUpstream({ type: "smtp-auth" })).start();
    const used = refused("final", "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message");
    relay.upstream.answer = (delivery) => facts(delivery, delivery.recipients.length > 1 ? { refusal: used } : {});
    await relay.accept({ recipients: ["a@contoso.com", "b@contoso.com", "c@contoso.com"] });
    for (let i = 0; i < 20; i += 1) {
      await relay.accept({ reversePath: `s${i}@contoso.com`, recipients: ["d@contoso.com"] });
      await relay.pass(MINUTE);
    }

    expect(relay.queue.states()).toEqual(["held", "held", "held", ...Array.from({ length: 20 }, () => "delivered")]);
    expect(relay.queue.recipients()[0]?.heldBy).toBe("sender");
    expect(relay.of("alert.raised").map(({ alert }) => alert)).toEqual(["upstream.held", "sender.held"]);

    relay.upstream.answer = (delivery) => facts(delivery);
    await relay.pass(30 * MINUTE);

    expect(new Set(relay.queue.states())).toEqual(new Set(["delivered"]));
  });

  test("a restart does not forget it", async () => {
    const relay = await new Relay(new FakeUpstream({ type: "smtp-auth" })).start();
    relay.upstream.answer = always(refused("final", "554 5.2.2 mailbox full"));
    await relay.accept();
    await relay.deliverer.stop(0);

    await relay.restart();
    await relay.accept();

    expect(relay.upstream.deliveries.length).toBe(1);
    expect(relay.queue.states()).toEqual(["held", "held"]);
    expect(relay.of("alert.raised").length).toBe(2);
  });

  test("an operator's kick probes at once", async () => {
    const relay = await new Relay().start();
    relay.upstream.answer = always(WRONG);
    relay.upstream.probeRefusal = WRONG;
    await relay.accept();

    relay.upstream.probeRefusal = undefined;
    relay.upstream.answer = (delivery) => facts(delivery);
    relay.deliverer.kick("scans");
    await rest();

    expect(relay.queue.states()).toEqual(["delivered"]);
  });

  test("a logon failure that lasts two hours becomes a hold", async () => {
    const relay = await new Relay(new FakeUpstream({ type: "smtp-auth" })).start();
    relay.upstream.answer = always(refused("final", "430 4.2.0 STOREDRV; mailbox logon failure; MapiExceptionLogonFailed"));
    await relay.accept();
    expect(relay.queue.states()).toEqual(["deferred"]);

    for (let i = 0; i < 30; i += 1) await relay.pass(5 * MINUTE);

    expect(relay.queue.holds.get("scans")?.cause).toContain("may not open the mailbox");
    expect(relay.queue.states()).toEqual(["held"]);
  });

  test("throttling that lets nothing pass for two hours becomes a hold with an alarm: no mail expires, all leaves when the door takes it", async () => {
    const relay = await new Relay(new FakeUpstream({ type: "connector" })).start();
    relay.upstream.answer = always(refused("mail", "451 4.7.500 Server busy. Please try again later from [203.0.113.7]. (S77714)"));
    for (let i = 0; i < 3; i += 1) await relay.accept();
    for (let i = 0; i < 7; i += 1) await relay.pass(15 * MINUTE);
    expect(relay.queue.holds.size).toBe(0);

    for (let i = 0; i < 6 * 24 * 4; i += 1) await relay.pass(15 * MINUTE);

    expect(relay.queue.states()).toEqual(["held", "held", "held"]);
    expect(relay.of("alert.raised")).toMatchObject([{ alert: "upstream.held", text: expect.stringContaining("slows our address down") }]);

    relay.upstream.answer = (delivery) => facts(delivery);
    for (let i = 0; i < 4; i += 1) await relay.pass(15 * MINUTE);
    expect(relay.queue.states()).toEqual(["delivered", "delivered", "delivered"]);
  });

  test("a door that waits is tried at once when the clock was set back, and what it put off leaves", async () => {
    const relay = await new Relay(new FakeUpstream()).start();
    relay.upstream.answer = always(fault("connect", "ECONNREFUSED"));
    await relay.accept();
    relay.upstream.answer = (delivery) => facts(delivery);

    relay.clock.step(-2 * 60 * MINUTE);
    await relay.accept();
    await relay.pass(MINUTE / 4);

    expect(relay.queue.states()).toEqual(["delivered", "delivered"]);
    expect(relay.of("clock.stepped")).toEqual([{ type: "clock.stepped", byMs: -2 * 60 * MINUTE }]);
  });

  test("a held door is probed at once when the clock was set back", async () => {
    const relay = await new Relay(new FakeUpstream({ type: "connector" })).start();
    relay.upstream.answer = always(refused("rcpt", "550 5.7.51 TenantInboundAttribution; There is a partner connector configured"));
    await relay.accept();
    expect(relay.queue.states()).toEqual(["held"]);
    relay.upstream.answer = (delivery) => facts(delivery);

    relay.clock.step(-2 * 60 * MINUTE);
    await relay.pass(MINUTE / 4);

    expect(relay.queue.states()).toEqual(["delivered"]);
  });

  test("a clock that was years behind when it was set gives nobody's mail up", async () => {
    const relay = await new Relay(new FakeUpstream()).start();
    relay.upstream.answer = always(refused("rcpt", "450 4.2.0 try again later"));
    await relay.accept();

    relay.clock.step(6 * 365 * 24 * 60 * MINUTE);
    for (let i = 0; i < 12; i += 1) await relay.pass(15 * MINUTE);

    expect(relay.queue.states()).toEqual(["deferred"]);
    for (let i = 0; i < 6 * 24 * 4; i += 1) await relay.pass(15 * MINUTE);
    expect(relay.queue.states()).toContain("expired");
  });

  test("mail that is tried in the first seconds after a long sleep, before anybody noticed it, is not given up", async () => {
    const relay = await new Relay(new FakeUpstream()).start();
    relay.upstream.answer = always(refused("rcpt", "450 4.2.0 try again later"));
    await relay.pass(5_000);
    await relay.accept();

    await relay.pass(56_000);
    relay.clock.step(6 * 24 * 60 * MINUTE);
    await relay.pass(4_000);

    expect(relay.upstream.deliveries).toHaveLength(2);
    expect(relay.queue.states()).toEqual(["deferred"]);
    expect(relay.of("clock.stepped")).toHaveLength(1);
  });

  test("mail that was under way while the machine slept is not given up", async () => {
    const relay = await new Relay(new FakeUpstream()).start();
    const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
    relay.upstream.answer = async (delivery) => {
      await answered;
      return facts(delivery, { refusal: refused("final", "450 4.2.0 try again later") });
    };
    await relay.accept();

    relay.clock.step(6 * 24 * 60 * MINUTE);
    await relay.pass(MINUTE);
    answer();
    await rest();

    expect(relay.queue.states()).toEqual(["deferred"]);
    expect(relay.events.map(({ type }) => type)).toEqual(["clock.stepped", "attempt.finished", "recipient.deferred"]);
  });

  test("while the step of the clock cannot be written, doors are tried all the same", async () => {
    const relay = await new Relay(new FakeUpstream()).start();
    relay.upstream.answer = always(fault("connect", "ECONNREFUSED"));
    await relay.accept();
    relay.upstream.answer = (delivery) => facts(delivery);
    relay.queue.clockStepped = () => new Promise<never>(() => undefined);

    relay.clock.step(-2 * 60 * MINUTE);
    await relay.pass(MINUTE / 4);
    await relay.accept();

    expect(relay.queue.states()).toEqual(["deferred", "delivered"]);
  });

  test("the limit on recipients outside never closes a door: mail inside still passes", async () => {
    const relay = await new Relay(new FakeUpstream({ type: "connector" })).start();
    relay.upstream.answer = always(refused("final", "550 5.7.233 Your message can't be sent because your tenant exceeded its daily limit"));
    for (const sender of ["a@contoso.com", "b@contoso.com", "c@contoso.com", "d@contoso.com"]) await relay.accept({ reversePath: sender });

    expect(relay.queue.holds.size).toBe(0);
    expect(relay.queue.recipients().map((recipient) => recipient.heldBy)).toEqual(["sender", "sender", "sender", "sender"]);

    relay.upstream.answer = (delivery) => facts(delivery);
    await relay.accept({ reversePath: "a@contoso.com" });
    expect(relay.queue.states().at(-1)).toBe("delivered");
  });

  test("a connector that Microsoft does not recognize holds the message of one sender, and closes with the third", async () => {
    const relay = await new Relay(new FakeUpstream({ type: "connector" })).start();
    relay.upstream.answer = always(refused("rcpt", "550 5.7.64 TenantAttribution; Relay Access Denied ATTR36"));

    await relay.accept({ reversePath: "a@contoso.com" });
    await relay.accept({ reversePath: "b@contoso.com" });
    expect(relay.queue.holds.size).toBe(0);
    await relay.accept({ reversePath: "c@contoso.com" });

    expect(relay.queue.holds.get("scans")?.remedy).toContain("Get-InboundConnector");
  });

  test("a block of the whole organization closes the door with the first message", async () => {
    const relay = await new Relay(new FakeUpstream({ type: "connector" })).start();
    relay.upstream.answer = always(refused("final", "550 5.7.705 Access denied, tenant has exceeded threshold."));

    await relay.accept();

    expect(relay.queue.holds.get("scans")?.cause).toContain("organization");
    expect(relay.queue.recipients()[0]).toMatchObject({ state: "held", heldBy: "upstream" });
  });

  test("a policy refusal that three senders meet closes the door, a missing right to send does not", async () => {
    const relay = await new Relay(new FakeUpstream({ type: "smtp-auth" })).start();
    relay.upstream.answer = always(refused("final", "550 5.7.60 SMTP; Client does not have permissions to send as this sender"));
    for (const reversePath of ["a@contoso.com", "b@contoso.com", "c@contoso.com"]) await relay.accept({ reversePath });
    expect(relay.queue.holds.size).toBe(0);
    expect(relay.queue.recipients().map((recipient) => recipient.heldBy)).toEqual(["sender", "sender", "sender"]);
    expect(relay.of("alert.raised").map((event) => event.alert)).toEqual(["sender.held", "sender.held", "sender.held"]);

    relay.upstream.answer = always(refused("final", "550 5.7.999 some new policy"));
    for (const reversePath of ["a@contoso.com", "b@contoso.com", "c@contoso.com"]) await relay.accept({ reversePath });

    expect(relay.queue.holds.size).toBe(1);
  });
});

describe("mail held by its sender", () => {
  const SEND_AS_DENIED = refused("final", "554 5.2.252 SendAsDenied; scans@contoso.com not allowed to send as erp@contoso.com");

  async function denied(senders: readonly string[]): Promise<Relay> {
    const relay = await new Relay(new FakeUpstream({ type: "smtp-auth" })).start();
    relay.upstream.answer = always(SEND_AS_DENIED);
    for (const reversePath of senders) await relay.accept({ reversePath });
    return relay;
  }

  /** Lets so many minutes pass, one after the other. */
  async function minutes(relay: Relay, count: number): Promise<void> {
    for (let i = 0; i < count; i += 1) await relay.pass(MINUTE);
  }

  const delivers: Answer = (delivery) => facts(delivery);

  test("one message is tried on the retry schedule, quietly; the first that is delivered takes the others along", async () => {
    const relay = await denied(["erp@contoso.com", "ERP@contoso.com", "erp@contoso.com"]);
    const tries: number[] = [];
    const began = relay.clock.now();
    relay.upstream.answer = (delivery) => {
      tries.push((relay.clock.now() - began) / MINUTE);
      return facts(delivery, { refusal: SEND_AS_DENIED });
    };

    await minutes(relay, 70);
    const attempts = relay.queue.attempts.length;
    relay.upstream.answer = delivers;
    await minutes(relay, 30);

    expect(tries).toEqual([1, 3, 7, 15, 31, 61]);
    expect(attempts).toBe(3 + 6);
    expect(relay.queue.states()).toEqual(["delivered", "delivered", "delivered"]);
    expect(relay.queue.recipients().map((recipient) => recipient.heldMs)).toEqual([91 * MINUTE, 91 * MINUTE, 91 * MINUTE]);
    expect(relay.of("recipient.held")).toHaveLength(3);
    expect(relay.of("alert.raised")).toMatchObject([{ alert: "sender.held", subject: "scans erp@contoso.com" }]);
    expect(relay.of("alert.cleared")).toEqual([{ type: "alert.cleared", alert: "sender.held", subject: "scans erp@contoso.com" }]);
  });

  test("a test mail is held without an alarm: whoever sent it is told", async () => {
    const relay = await new Relay(new FakeUpstream({ type: "direct-send", traits: { serves: "internal" } })).start();

    await relay.accept({ origin: { listener: "", client: "", device: "" }, recipients: ["ben@fabrikam.com"] });
    const told = relay.of("alert.raised");
    await relay.accept({ recipients: ["ben@fabrikam.com"] });

    expect(relay.of("recipient.held")).toHaveLength(2);
    expect(told).toEqual([]);
    expect(relay.of("alert.raised")).toMatchObject([{ text: expect.stringContaining("this upstream does not reach the recipient") }]);
  });

  test("each sender is tried by itself, and at most one in ten seconds", async () => {
    const relay = await denied(["a@contoso.com", "b@contoso.com"]);
    relay.upstream.answer = (delivery) => facts(delivery, delivery.reversePath === "a@contoso.com" ? { refusal: SEND_AS_DENIED } : {});

    await relay.pass(MINUTE);
    const first = relay.queue.states();
    await relay.pass(10_000);

    expect(first).toEqual(["held", "held"]);
    expect(relay.queue.states()).toEqual(["held", "delivered"]);
    expect(relay.of("alert.cleared").map((event) => event.subject)).toEqual(["scans b@contoso.com"]);
  });

  test("they are tried at once when the clock was set back after a trial", async () => {
    const relay = await denied(["a@contoso.com", "b@contoso.com"]);
    await relay.pass(MINUTE);
    relay.upstream.answer = (delivery) => facts(delivery);

    relay.clock.step(-2 * 60 * MINUTE);
    for (let i = 0; i < 4; i += 1) await relay.pass(MINUTE / 4);

    expect(relay.queue.states()).toEqual(["delivered", "delivered"]);
  });

  test("after a restart they are found again; the alarm comes back with the first refusal, once", async () => {
    const relay = await denied(["erp@contoso.com", "erp@contoso.com"]);
    await relay.deliverer.stop(0);
    relay.events.length = 0;

    await relay.restart();
    await minutes(relay, 4);
    const raised = relay.of("alert.raised");
    relay.upstream.answer = delivers;
    await minutes(relay, 4);

    expect(raised).toMatchObject([{ alert: "sender.held", text: expect.stringContaining("may not send as this sender") }]);
    expect(relay.of("recipient.held")).toEqual([]);
    expect(relay.queue.states()).toEqual(["delivered", "delivered"]);
    expect(relay.of("alert.cleared")).toHaveLength(1);
  });

  test("a message that Microsoft refuses by policy lets another of its sender go first next time, and closes no door by staying held", async () => {
    const relay = await new Relay(new FakeUpstream({ type: "smtp-auth" })).start();
    const bad = refused("final", "550 5.7.999 some new policy");
    relay.upstream.answer = always(bad);
    const first = await relay.accept({ reversePath: "a@contoso.com" });
    await relay.pass(1_000);
    const second = await relay.accept({ reversePath: "a@contoso.com" });
    await relay.accept({ reversePath: "b@contoso.com" });
    relay.upstream.answer = delivers;
    await relay.accept({ reversePath: "c@contoso.com" });
    relay.upstream.answer = always(bad);
    await relay.accept({ reversePath: "d@contoso.com" });
    relay.upstream.answer = (delivery) => facts(delivery, delivery.queueId === second ? {} : { refusal: bad });
    relay.upstream.deliveries.length = 0;

    await minutes(relay, 4);

    const tried = relay.upstream.deliveries
      .filter((delivery) => delivery.reversePath === "a@contoso.com")
      .map((delivery) => delivery.queueId);
    expect(tried.slice(0, 2)).toEqual([first, second]);
    expect(relay.of("upstream.held")).toEqual([]);
    expect(relay.queue.recipients().map((recipient) => recipient.heldBy)).toEqual(["sender", undefined, "sender", undefined, "sender"]);
  });

  test("nothing is tried at a closed door; when it opens, the senders are", async () => {
    const relay = await denied(["erp@contoso.com"]);
    relay.upstream.answer = always(refused("auth", "535 5.7.3 Authentication unsuccessful"));
    relay.upstream.probeRefusal = refused("auth", "535 5.7.3 Authentication unsuccessful");
    await relay.accept({ reversePath: "b@contoso.com" });
    relay.upstream.deliveries.length = 0;

    await minutes(relay, 10);
    const whileClosed = relay.upstream.deliveries.length;
    const heldBy = relay.queue.recipients().map((recipient) => recipient.heldBy);
    relay.upstream.probeRefusal = undefined;
    relay.upstream.answer = delivers;
    await minutes(relay, 31);

    expect(whileClosed).toBe(0);
    expect(heldBy).toEqual(["sender", "upstream"]);
    expect(relay.queue.states()).toEqual(["delivered", "delivered"]);
  });

  test("what an operator released or deleted clears the alarm, what he holds is never tried", async () => {
    const relay = await denied(["erp@contoso.com"]);
    for (const recipient of relay.queue.recipients()) recipient.heldBy = "operator";
    relay.upstream.deliveries.length = 0;

    await minutes(relay, 10);

    expect(relay.upstream.deliveries).toEqual([]);
    expect(relay.of("alert.cleared")).toHaveLength(1);
    expect(relay.queue.states()).toEqual(["held"]);
  });

  test("a trial that the process's end breaks off leaves the mail held by its sender", async () => {
    const relay = await denied(["erp@contoso.com"]);
    relay.upstream.answer = (delivery, signal) =>
      new Promise((resolve) => signal.addEventListener("abort", () => resolve(facts(delivery, { refusal: fault("content", "ABORTED") }))));
    await relay.pass(MINUTE);
    expect(relay.queue.states()).toEqual(["delivering"]);

    const stopped = relay.deliverer.stop(1_000);
    await relay.pass(1_000);
    await stopped;

    expect(relay.queue.recipients()).toMatchObject([{ state: "held", heldBy: "sender", attempts: 1 }]);
  });
});

describe("stopping", () => {
  test("waits for what is under way, and takes nothing new", async () => {
    const relay = await new Relay().start();
    const blocked = Promise.withResolvers<void>();
    relay.upstream.answer = async (delivery) => {
      await blocked.promise;
      return facts(delivery);
    };
    await relay.accept();

    const stopped = relay.deliverer.stop(10_000);
    await relay.accept();
    blocked.resolve();
    await stopped;

    expect(relay.queue.states()).toEqual(["delivered", "queued"]);
  });

  test("a door that a reload replaced while it was busy is known to be done once its last delivery is, also when the end comes meanwhile", async () => {
    const relay = await new Relay().start();
    const blocked = Promise.withResolvers<void>();
    relay.upstream.answer = async (delivery) => {
      await blocked.promise;
      return facts(delivery);
    };
    await relay.accept();
    const { name } = relay.upstream;
    const done: string[] = [];
    const ended = await relay.deliverer.update(SETTINGS, new Set([name]), false);
    void ended.get(name)?.then(() => done.push(name));

    const stopped = relay.deliverer.stop(10_000);
    blocked.resolve();
    await stopped;
    await rest();

    expect(relay.queue.states()).toEqual(["delivered"]);
    expect(done).toEqual([name]);
  });

  test("what a replaced door learns with its last deliveries closes nothing: they go by the one in its place", async () => {
    const relay = await new Relay().start();
    const blocked = Promise.withResolvers<void>();
    relay.upstream.answer = async (delivery) => {
      await blocked.promise;
      return facts(delivery, { refusal: refused("auth", "535 5.7.3 Authentication unsuccessful") });
    };
    await relay.accept();
    await relay.deliverer.update(SETTINGS, new Set([relay.upstream.name]), false);

    relay.upstream.answer = (delivery) => facts(delivery);
    blocked.resolve();
    await rest();
    await relay.pass(MINUTE);

    expect(relay.queue.holds.size).toBe(0);
    expect(relay.of("alert.raised")).toEqual([]);
    expect(relay.queue.states()).toEqual(["delivered"]);
  });

  test.each([
    [false, "queued", 0],
    [true, "deferred", 1],
  ])("after the grace time attempts are broken off (whole message sent: %s) and go back %s", async (ambiguous, state, attempts) => {
    const relay = await new Relay().start();
    relay.upstream.answer = (delivery, signal) =>
      new Promise((resolve) =>
        signal.addEventListener("abort", () =>
          resolve(facts(delivery, { ambiguous, refusal: fault(ambiguous ? "final" : "content", "ABORTED") })),
        ),
      );
    await relay.accept();

    const stopped = relay.deliverer.stop(1_000);
    await relay.pass(1_000);
    await stopped;

    expect(relay.queue.recipients()).toMatchObject([{ state, attempts, ambiguous }]);
  });

  test("leases of long deliveries are renewed", async () => {
    const relay = await new Relay().start();
    relay.upstream.answer = () => new Promise(() => undefined);
    await relay.accept();

    for (let i = 0; i < 12; i += 1) await relay.pass(50_000);

    expect(relay.queue.renewals).toBeGreaterThanOrEqual(3);
  });

  test("a queue that cannot commit stops everything and says so", async () => {
    const relay = await new Relay().start();
    relay.upstream.answer = (delivery) => {
      relay.queue.failure = new Error("disk I/O error");
      return facts(delivery);
    };
    await relay.accept();

    expect((await relay.deliverer.failed).message).toBe("disk I/O error");
    expect(relay.queue.states()).toEqual(["delivering"]);
    expect(relay.of("recipient.delivered")).toEqual([]);
    await relay.deliverer.stop(0);
  });

  test("after the queue failed the end waits for nothing that cannot be written any more", async () => {
    const relay = await new Relay().start();
    const answers = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    relay.upstream.answer = async (delivery) => {
      await answers[relay.upstream.deliveries.length - 1]?.promise;
      return facts(delivery);
    };
    await relay.accept();
    await relay.accept();
    relay.queue.failure = new Error("disk I/O error");
    answers[0]?.resolve();
    await relay.deliverer.failed;
    answers[1]?.resolve();
    await rest();
    let ended = false;

    void relay.deliverer.stop(20_000).then(() => (ended = true));
    await rest();

    expect(ended).toBe(true);
  });
});

test("whatever the next hop answers, every recipient ends exactly once, and no fault of the upstream bounces anybody", async () => {
  const stage = fc.constantFrom<Stage>(
    "connect",
    "greeting",
    "ehlo",
    "starttls",
    "token",
    "auth",
    "mail",
    "rcpt",
    "data",
    "content",
    "final",
  );
  const wire = fc.constantFrom(
    "421 4.3.2 no",
    "450 4.9.9 later",
    "432 4.3.2 Concurrent connections limit exceeded",
    "535 5.7.3 Authentication unsuccessful",
    "550 5.1.1 unknown",
    "554 5.2.2 mailbox full",
    "554 5.9.9 no",
    "530 5.7.57 no",
  );
  const code = fc.constantFrom(
    "ECONNREFUSED",
    "TIMEOUT",
    "RESET",
    "CERTIFICATE",
    "NO_STARTTLS",
    "SECRET",
    "AADSTS7000222",
    "AADSTS90033",
    "EODD",
  );
  const refusal = fc.oneof(
    fc.tuple(stage, wire).map(([at, text]) => refused(at, text)),
    fc.tuple(stage, code).map(([at, what]) => fault(at, what)),
  );
  const step = fc.oneof(
    { weight: 2, arbitrary: fc.constant(undefined) },
    { weight: 3, arbitrary: refusal },
    { weight: 1, arbitrary: fc.constant("lost" as const) },
  );

  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 25 }),
      fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 5 }),
      fc.boolean(),
      async (script, sizes, microsoft) => {
        const relay = new Relay(new FakeUpstream({ type: microsoft ? "smtp-auth" : "smart-host" }));
        const beforeMail = new Set<string>(["connect", "greeting", "ehlo", "starttls", "token", "auth"]);
        const innocent = new Set<string>();
        relay.upstream.answer = (delivery) => {
          const next = script.shift();
          if (next === undefined) return facts(delivery);
          if (next === "lost") return facts(delivery, { ambiguous: true, refusal: fault("final", "RESET") });
          if (beforeMail.has(next.stage)) innocent.add(delivery.queueId);
          else innocent.delete(delivery.queueId);
          return facts(delivery, { refusal: next });
        };
        await relay.start();
        for (const size of sizes) await relay.accept({ recipients: Array.from({ length: size }, (_, i) => `r${i}@contoso.com`) });

        for (let i = 0; i < 60; i += 1) {
          await relay.pass(31 * MINUTE);
          for (const { queueId } of relay.of("recipient.bounced")) expect(innocent.has(queueId)).toBe(false);
        }

        for (const recipient of relay.queue.recipients()) expect(recipient).toMatchObject({ finals: 1 });
        const finals = [...relay.of("recipient.delivered"), ...relay.of("recipient.bounced"), ...relay.of("recipient.expired")];
        expect(finals.length).toBe(relay.queue.recipients().filter((recipient) => recipient.finals === 1).length);
        for (const alert of ["upstream.held", "sender.held"]) {
          const told = (type: "alert.raised" | "alert.cleared") => relay.of(type).filter((event) => event.alert === alert).length;
          expect(told("alert.raised")).toBe(told("alert.cleared"));
        }
        await relay.deliverer.stop(0);
      },
    ),
    { numRuns: 30 },
  );
}, 60_000);
