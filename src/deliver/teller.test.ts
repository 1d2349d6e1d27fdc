import { describe, expect, test } from "vitest";
import { FakeUpstream, facts, fault, refused } from "../../test/fakes/fake-upstream.ts";
import { MemoryQueue } from "../../test/fakes/memory-queue.ts";
import { oneDoor } from "../../test/fakes/one-door.ts";
import type { PosternEvent } from "../mail/events.ts";
import { ManualClock } from "../platform/clock.ts";
import { DEFAULT_RETRY } from "./retry.ts";
import { createDeliverer, type Deliverer, type DelivererOptions } from "./scheduler.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const UNKNOWN = refused("rcpt", "550 5.1.1 User unknown");

async function rest(): Promise<void> {
  for (let i = 0; i < 80; i += 1) await new Promise<void>((resolve) => setImmediate(resolve));
}

class Relay {
  readonly clock = new ManualClock();
  readonly events: PosternEvent[] = [];
  readonly upstream = new FakeUpstream();
  readonly queue = new MemoryQueue(this.clock, () => "scans");
  readonly #options: DelivererOptions;
  #deliverer: Deliverer;

  constructor(options: Partial<DelivererOptions> = {}) {
    this.#options = {
      queue: this.queue,
      upstreams: new Map([["scans", this.upstream]]),
      ...oneDoor("scans"),
      retry: DEFAULT_RETRY,
      hostname: "relay.contoso.com",
      domains: ["contoso.com"],
      postmaster: "it@contoso.com",
      fallbackSenders: ["scans@contoso.com"],
      bounces: { to: "sender" },
      timeZone: "UTC",
      emit: (event) => this.events.push(event),
      clock: this.clock,
      random: () => 0.5,
      ...options,
    };
    this.#deliverer = createDeliverer(this.#options);
    // Reports are delivered, mail is not.
    this.refuseMail();
  }

  refuseMail(refusal = UNKNOWN): void {
    this.upstream.answer = (delivery) => (this.#isReport(delivery.queueId) ? facts(delivery) : facts(delivery, { refusal }));
  }

  #isReport(queueId: string): boolean {
    return this.queue.messages.get(queueId)?.message.kind === "report";
  }

  async start(): Promise<this> {
    await this.#deliverer.start();
    await rest();
    return this;
  }

  /** Another process on the same queue, as after a kill. */
  async restart(): Promise<void> {
    await this.#deliverer.stop(0);
    this.#deliverer = createDeliverer(this.#options);
    await this.start();
  }

  async accept(envelope: Parameters<MemoryQueue["accept"]>[0] = {}): Promise<string> {
    const { queueId } = await this.queue.accept(envelope);
    await rest();
    return queueId;
  }

  /** Time passes in steps, as it does. */
  async pass(ms: number, step = 10 * MINUTE): Promise<void> {
    for (let left = ms; left > 0; left -= step) {
      this.clock.advance(Math.min(step, left));
      await rest();
    }
  }

  /** What people were told so far: addressee and subject. */
  told(): string[] {
    return this.queue.reports().map(({ message, text }) => `${message.recipients[0]}: ${/^Subject: (.*)$/m.exec(text)?.[1]?.trim() ?? ""}`);
  }
}

describe("a storm of equal failures", () => {
  test("is told at once the first time, and at the end of the hour as one list", async () => {
    const relay = await new Relay().start();
    const ids: string[] = [];
    for (let n = 0; n < 5; n += 1) ids.push(await relay.accept({ recipients: [`nobody${n}@contoso.com`] }));
    expect(relay.told()).toEqual(["printer@contoso.com: Not delivered: your message to nobody0@contoso.com"]);

    await relay.pass(HOUR - 1);
    expect(relay.told()).toHaveLength(1);
    await relay.pass(1);

    expect(relay.told().slice(1)).toEqual(["printer@contoso.com: Not delivered: 4 more messages from printer@contoso.com"]);
    const summary = relay.queue.reports()[1]?.text ?? "";
    expect(ids.map((id) => summary.includes(id))).toEqual([false, true, true, true, true]);
    expect(summary).toContain("nobody4@contoso.com");
    expect(relay.events.filter((event) => event.type === "recipient.bounced")).toHaveLength(5);
    expect(relay.queue.postponed).toEqual([]);
  });

  test("is told within the hour too when the clock was set back meanwhile", async () => {
    const relay = await new Relay().start();
    await relay.accept({ recipients: ["nobody0@contoso.com"] });
    await relay.accept({ recipients: ["nobody1@contoso.com"] });

    relay.clock.step(-50 * 24 * HOUR);
    await relay.pass(2 * HOUR);

    expect(relay.told()).toHaveLength(2);
    await relay.accept({ recipients: ["nobody2@contoso.com"] });
    expect(relay.told()).toHaveLength(3);
  });

  test("begins anew after the hour, and leaves nothing where nothing followed", async () => {
    const relay = await new Relay().start();
    await relay.accept();
    await relay.pass(HOUR);
    expect(relay.told()).toHaveLength(1);
    expect(relay.queue.postponed).toEqual([]);

    await relay.accept();

    expect(relay.told()).toHaveLength(2);
  });

  test("is kept apart by sender and by cause", async () => {
    const relay = await new Relay().start();
    await relay.accept();
    await relay.accept({ reversePath: "erp@contoso.com" });
    relay.refuseMail(refused("final", "554 5.6.0 Invalid message content"));
    await relay.accept();

    expect(relay.told()).toHaveLength(3);
  });

  test("is told after a crash in the middle of the hour, each failure once", async () => {
    const relay = await new Relay().start();
    for (let n = 0; n < 3; n += 1) await relay.accept();
    await relay.pass(30 * MINUTE);

    await relay.restart();
    await relay.accept();
    await relay.pass(30 * MINUTE);

    expect(relay.told().slice(1)).toEqual(["printer@contoso.com: Not delivered: 3 more messages from printer@contoso.com"]);
  });

  test("is told at the start when its hour ended while nothing ran", async () => {
    const relay = await new Relay().start();
    for (let n = 0; n < 3; n += 1) await relay.accept();
    relay.clock.advance(0);
    const stopped = relay.restart();
    await stopped;
    relay.clock.advance(3 * HOUR);
    await rest();

    expect(relay.told()).toHaveLength(2);
  });

  test("lists a hundred messages and counts the others", async () => {
    const relay = await new Relay().start();
    for (let n = 0; n < 104; n += 1) await relay.accept();

    await relay.pass(HOUR);

    const summary = relay.queue.reports()[1]?.text ?? "";
    expect(summary).toContain("103 more messages from printer@contoso.com");
    expect(summary).toContain("and 3 more messages.");
    expect(summary.match(/^Final-Recipient: /gm)).toHaveLength(100);
  });
});

describe("a message that is late", () => {
  /** Puts everything off that is no report. */
  async function puttingOff(options: Partial<DelivererOptions> = {}): Promise<Relay> {
    const relay = await new Relay(options).start();
    relay.refuseMail(refused("mail", "451 4.4.3 Temporary server error. Please try again later ATTR18"));
    return relay;
  }

  test("is told of once, after four hours, also over a restart", async () => {
    const relay = await puttingOff();
    await relay.accept({ recipients: ["anna@contoso.com", "ben@contoso.com"] });
    await relay.pass(4 * HOUR - MINUTE);
    expect(relay.told()).toEqual([]);

    await relay.pass(HOUR);
    expect(relay.told()).toEqual(["printer@contoso.com: Delayed: your message to anna@contoso.com and 1 more"]);
    await relay.restart();
    await relay.pass(6 * HOUR);

    expect(relay.told()).toHaveLength(1);
    const { text } = relay.queue.reports()[0] ?? { text: "" };
    expect(text).toContain("Action: delayed\r\nStatus: 4.4.3\r\n");
    expect(text).toContain("Will-Retry-Until: ");
    expect(relay.queue.states().filter((state) => state === "deferred")).toHaveLength(2);
  });

  test("is told of in French", async () => {
    const relay = await puttingOff({ bounces: { to: "sender", language: "fr" } });
    await relay.accept();
    await relay.pass(5 * HOUR);

    const { text } = relay.queue.reports()[0] ?? { text: "" };
    expect(text).toContain("le serveur suivant l'a remis");
    expect(text).toMatch(/^Subject: =\?UTF-8\?B\?/m);
  });

  test("does not count the time in which it was held", async () => {
    const relay = await new Relay().start();
    relay.refuseMail(fault("connect", "NO_STARTTLS"));
    relay.upstream.probeRefusal = fault("connect", "NO_STARTTLS");
    await relay.accept();
    await relay.pass(10 * HOUR, HOUR);
    expect(relay.queue.states()).toEqual(["held"]);

    relay.upstream.probeRefusal = undefined;
    relay.refuseMail(refused("mail", "451 4.4.3 Temporary server error. Please try again later ATTR18"));
    await relay.pass(3 * HOUR);
    expect(relay.told()).toEqual([]);
    await relay.pass(3 * HOUR);

    expect(relay.told()).toHaveLength(1);
  });

  test("is told to the postmaster where the sender is nobody, to nobody where it has none", async () => {
    const relay = await puttingOff({ bounces: { to: "both" } });
    await relay.accept({ reversePath: "scans@contoso.com" });
    await relay.accept({ reversePath: "" });
    await relay.accept({ reversePath: "printer@contoso.com" });

    await relay.pass(5 * HOUR);

    expect(relay.told().map((told) => told.split(":")[0])).toEqual(["it@contoso.com", "printer@contoso.com"]);
  });

  test("many of one sender are told together", async () => {
    const relay = await puttingOff();
    for (let n = 0; n < 4; n += 1) await relay.accept();

    await relay.pass(6 * HOUR);

    expect(relay.told()).toEqual([
      "printer@contoso.com: Delayed: your message to anna@contoso.com",
      "printer@contoso.com: Delayed: 3 more messages from printer@contoso.com",
    ]);
  });
});

test("a refused report is never told about together with others: the postmaster gets each, once, then an alarm", async () => {
  const relay = await new Relay().start();
  relay.upstream.answer = (delivery) => facts(delivery, { refusal: UNKNOWN });

  await relay.accept();
  await relay.accept({ reversePath: "erp@contoso.com" });

  expect(relay.told().map((told) => told.split(":")[0])).toEqual([
    "printer@contoso.com",
    "it@contoso.com",
    "erp@contoso.com",
    "it@contoso.com",
  ]);
  expect(relay.events.filter((event) => event.type === "alert.raised" && event.alert === "report.undeliverable")).toHaveLength(2);
});
