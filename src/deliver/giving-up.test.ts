import { describe, expect, test } from "vitest";
import { FakeUpstream, facts, fault, refused } from "../../test/fakes/fake-upstream.ts";
import { MemoryQueue } from "../../test/fakes/memory-queue.ts";
import { oneDoor } from "../../test/fakes/one-door.ts";
import type { PosternEvent } from "../mail/events.ts";
import { ManualClock } from "../platform/clock.ts";
import type { BounceRequest } from "../queue/queue.ts";
import { DEFAULT_RETRY } from "./retry.ts";
import { createDeliverer, type Deliverer, type DelivererOptions } from "./scheduler.ts";

const LATER = refused("mail", "451 4.4.3 Temporary server error. Please try again later ATTR18");
const HEADER = "Subject: Scan of 9:14\r\n";

async function rest(): Promise<void> {
  for (let i = 0; i < 80; i += 1) await new Promise<void>((resolve) => setImmediate(resolve));
}

/** A queue that waits before it bounces, and may find that somebody was faster. */
class WatchedQueue extends MemoryQueue {
  bounces: BounceRequest[] = [];
  meanwhile: ((request: BounceRequest) => void) | undefined;

  override async bounce(request: BounceRequest): Promise<boolean> {
    this.bounces.push(request);
    this.meanwhile?.(request);
    return await super.bounce(request);
  }
}

class Relay {
  readonly clock = new ManualClock();
  readonly events: PosternEvent[] = [];
  readonly upstream = new FakeUpstream();
  readonly queue = new WatchedQueue(this.clock, () => "scans");
  readonly deliverer: Deliverer;

  constructor(options: Partial<DelivererOptions> = {}) {
    this.deliverer = createDeliverer({
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
    });
    // Mail is put off, reports are delivered.
    this.upstream.answer = (delivery) =>
      this.queue.messages.get(delivery.queueId)?.message.kind === "report" ? facts(delivery) : facts(delivery, { refusal: LATER });
  }

  async start(): Promise<this> {
    await this.deliverer.start();
    await rest();
    return this;
  }

  async accept(envelope: Parameters<MemoryQueue["accept"]>[0] = {}): Promise<string> {
    const { queueId } = await this.queue.accept(envelope, `${HEADER}\r\nbody\r\n`);
    await rest();
    return queueId;
  }

  /** Of the mail, not of reports. */
  states(): string[] {
    return this.queue
      .recipients()
      .flatMap(({ queueId, state }) => (this.queue.messages.get(queueId)?.message.kind === "mail" ? [state] : []));
  }

  reports(): { to: string; text: string }[] {
    return this.queue.reports().map(({ message, text }) => ({ to: message.recipients[0] ?? "", text }));
  }

  told(type: PosternEvent["type"]): PosternEvent[] {
    return this.events.filter((event) => event.type === type);
  }
}

describe("mail that an operator gives up", () => {
  test("ends as bounced; its sender is told who gave it up and what the next hop said last", async () => {
    const relay = await new Relay().start();
    const queueId = await relay.accept({ recipients: ["anna@contoso.com", "ben@contoso.com"] });

    const result = await relay.deliverer.giveUp({ ids: [queueId] }, "kim");

    expect(result).toEqual({
      changed: ["anna@contoso.com", "ben@contoso.com"].map((recipient) => ({ queueId, recipient, lane: "scans" })),
      recipients: 2,
      messages: 1,
      busy: 0,
    });
    expect(relay.states()).toEqual(["bounced", "bounced"]);
    expect(relay.queue.recipients()[0]).toMatchObject({ cause: "given up by kim", finals: 1 });
    const [{ to, text } = { to: "", text: "" }, ...more] = relay.reports();
    expect(more).toEqual([]);
    expect(to).toBe("printer@contoso.com");
    expect(text).toMatch(/^Subject: Not delivered: your message to anna@contoso\.com and 1 more\r$/m);
    expect(text).toContain("No further attempt is made: given up by kim");
    expect(text).toContain("Temporary server error. Please try again later ATTR18");
    expect(text).toContain("Action: failed\r\nStatus: 5.0.0\r\n");
    expect(text).toContain("Last attempt: ");
    expect(text).toContain(HEADER);
    expect(relay.told("recipient.bounced")).toMatchObject(
      ["anna@contoso.com", "ben@contoso.com"].map((recipient) => ({
        type: "recipient.bounced",
        queueId,
        recipient,
        upstream: "scans",
        mail: { reversePath: "printer@contoso.com", recipients: 2 },
        cause: "given up by kim",
      })),
    );
    expect(relay.told("message.generated")).toMatchObject([{ about: queueId, recipients: ["printer@contoso.com"] }]);
  });

  test("is told of in French", async () => {
    const relay = await new Relay({ bounces: { to: "sender", language: "fr" } }).start();
    await relay.accept();

    await relay.deliverer.giveUp({}, "kim");

    const text = relay.reports()[0]?.text ?? "";
    const body = Buffer.from(/\r\n\r\n([A-Za-z0-9+/=\r\n]+)/.exec(text.slice(text.indexOf("base64")))?.[1] ?? "", "base64").toString();
    expect(`${text}${body}`.replaceAll(/=\r\n/g, "")).toMatch(/abandonn(?:é|=C3=A9) par kim/);
    // The log stays English.
    expect(relay.told("recipient.bounced")).toMatchObject([{ cause: "given up by kim" }]);
  });

  test("is told of as the configuration says now, after a reload", async () => {
    const relay = await new Relay().start();
    await relay.accept();
    const settings = { retry: DEFAULT_RETRY, fallbackAfterMs: 900_000, domains: ["contoso.com"], fallbackSenders: [], timeZone: "UTC" };
    const bounces = { to: "postmaster" as const, language: "fr" as const };
    await relay.deliverer.update({ ...settings, postmaster: "help@contoso.com", bounces }, new Set(), false);

    await relay.deliverer.giveUp({}, "kim");

    expect(relay.reports()).toMatchObject([{ to: "help@contoso.com", text: expect.stringMatching(/abandonn=C3=A9 par kim/) }]);
  });

  test("was never tried, behind a closed door: the report says so, and leaves with the rest once the door opens", async () => {
    const relay = await new Relay().start();
    relay.upstream.answer = (delivery) => facts(delivery, { refusal: fault("connect", "NO_STARTTLS") });
    relay.upstream.probeRefusal = fault("connect", "NO_STARTTLS");
    await relay.accept();
    const second = await relay.accept();
    expect(relay.states()).toEqual(["held", "held"]);

    await relay.deliverer.giveUp({ ids: [second] }, "kim");

    expect(relay.states()).toEqual(["held", "bounced"]);
    const text = relay.reports()[0]?.text ?? "";
    expect(text).toContain("It was not tried before.");
    expect(text).not.toMatch(/Last-Attempt-Date/);
    expect(text).toContain("Diagnostic-Code: X-Postern; given up by kim");
    expect(relay.queue.recipients().at(-1)).toMatchObject({ state: "held", heldBy: "upstream" });
  });

  test("was in hand while another one's refusal closed the door: what was said to that one is not told of it", async () => {
    const relay = new Relay();
    relay.upstream.answer = (delivery) => facts(delivery, { refusal: refused("auth", "535 5.7.3 Authentication unsuccessful") });
    relay.upstream.probeRefusal = fault("connect", "NO_STARTTLS");
    await Promise.all(Array.from({ length: 20 }, () => relay.queue.accept({}, `${HEADER}\r\nbody\r\n`)));
    await relay.start();
    const untried = relay.queue.recipients().filter(({ attempts, state }) => attempts === 0 && state === "held");

    expect(untried.length).toBeGreaterThan(0);
    expect(untried.filter(({ reply }) => reply !== undefined)).toEqual([]);
  });

  test.each(["operator", "sender", "corrupt"] as const)("may be held by %s", async (by) => {
    const relay = await new Relay().start();
    await relay.accept();
    Object.assign(relay.queue.recipients()[0] ?? {}, { state: "held", heldBy: by });

    const result = await relay.deliverer.giveUp({}, "kim");

    expect(result).toMatchObject({ changed: [{ recipient: "anna@contoso.com" }], busy: 0 });
    expect(relay.states()).toEqual(["bounced"]);
    expect(relay.reports()).toHaveLength(1);
  });

  test("cannot be read any more: the report has no header of it, and is sent all the same", async () => {
    const relay = await new Relay().start();
    const queueId = await relay.accept();
    relay.queue.unreadable.add(queueId);

    await relay.deliverer.giveUp({}, "kim");

    expect(relay.states()).toEqual(["bounced"]);
    expect(relay.reports().map(({ text }) => text.includes("text/rfc822-headers"))).toEqual([false]);
  });

  test("has the null sender, or came back: nobody is told", async () => {
    const relay = await new Relay().start();
    await relay.accept({ reversePath: "" });
    await relay.accept({ returned: true });

    const { changed } = await relay.deliverer.giveUp({}, "kim");

    expect(changed).toHaveLength(2);
    expect(relay.states()).toEqual(["bounced", "bounced"]);
    expect(relay.reports()).toEqual([]);
  });

  test("is a report itself: it ends without another one, and without an alarm", async () => {
    const relay = await new Relay().start();
    relay.upstream.answer = (delivery) => facts(delivery, { refusal: LATER });
    for (const recipient of ["printer@contoso.com", "it@contoso.com"])
      await relay.accept({ kind: "report", reversePath: "", recipients: [recipient] });

    const { changed } = await relay.deliverer.giveUp({}, "kim");

    expect(changed).toHaveLength(2);
    expect(relay.queue.reports()).toHaveLength(2);
    expect(relay.queue.states()).toEqual(["bounced", "bounced"]);
    expect(relay.told("alert.raised")).toEqual([]);
  });

  test.each([
    ["nobody reads its sender", { reversePath: "scans@contoso.com" }, "sender", ["it@contoso.com"]],
    ["its sender is outside", { reversePath: "me@fabrikam.com" }, "sender", ["it@contoso.com"]],
    ["the postmaster is told of all", {}, "postmaster", ["it@contoso.com"]],
    ["both are", {}, "both", ["printer@contoso.com", "it@contoso.com"]],
  ] as const)("%s", async (_, envelope, to, expected) => {
    const relay = await new Relay({ bounces: { to } }).start();
    await relay.accept(envelope);

    await relay.deliverer.giveUp({}, "kim");

    expect(relay.reports().map((report) => report.to)).toEqual(expected);
  });

  test("is much of one sender: one report at once, the others in one list at the end of the hour", async () => {
    const relay = await new Relay().start();
    for (let n = 0; n < 50; n += 1) await relay.accept({ recipients: [`r${n}@contoso.com`] });

    const { changed } = await relay.deliverer.giveUp({}, "kim");
    const atOnce = relay.reports().length;
    for (let minutes = 0; minutes < 60; minutes += 10) {
      relay.clock.advance(600_000);
      await rest();
    }

    expect(changed).toHaveLength(50);
    expect(atOnce).toBe(1);
    expect(relay.reports()).toHaveLength(2);
    expect(relay.reports()[1]?.text).toContain("49 more messages from printer@contoso.com");
  });

  test("is being delivered in part: that part is left alone and counted, the rest is given up", async () => {
    const relay = await new Relay().start();
    await relay.accept({ recipients: ["anna@contoso.com", "ben@contoso.com"] });
    Object.assign(relay.queue.recipients()[0] ?? {}, { state: "delivering" });

    const result = await relay.deliverer.giveUp({}, "kim");

    expect(result).toMatchObject({ changed: [{ recipient: "ben@contoso.com" }], busy: 1 });
    expect(relay.states()).toEqual(["delivering", "bounced"]);
    expect(relay.reports()[0]?.text).not.toContain("anna@contoso.com");
  });
});

test("a message that is taken for delivery meanwhile is busy, nobody is told of it, and its next failure is told at once", async () => {
  const relay = await new Relay().start();
  await relay.accept();
  relay.queue.meanwhile = ({ queueId }) => Object.assign(relay.queue.messages.get(queueId)?.recipients[0] ?? {}, { state: "delivering" });

  const result = await relay.deliverer.giveUp({}, "kim");

  expect(result).toEqual({ changed: [], recipients: 0, messages: 0, busy: 1 });
  expect(relay.states()).toEqual(["delivering"]);
  expect(relay.reports()).toEqual([]);
  expect(relay.queue.postponed).toEqual([]);
  expect(relay.told("recipient.bounced")).toEqual([]);
  relay.queue.meanwhile = undefined;
  Object.assign(relay.queue.recipients()[0] ?? {}, { state: "deferred" });
  await relay.deliverer.giveUp({}, "kim");
  expect(relay.reports()).toHaveLength(1);
});

test("a queue that fails in the middle: what was given up is told of, the operator gets the fault, nothing is half done", async () => {
  const relay = await new Relay().start();
  for (let n = 0; n < 3; n += 1) await relay.accept();
  relay.queue.meanwhile = () => {
    if (relay.queue.bounces.length === 2) throw new Error("the disk is gone");
  };

  await expect(relay.deliverer.giveUp({}, "kim")).rejects.toThrow("the disk is gone");

  expect(relay.states().toSorted()).toEqual(["bounced", "bounced", "deferred"]);
  expect(relay.told("recipient.bounced")).toHaveLength(2);
});

test("the end of the relay waits for the messages in hand, and begins no further one", async () => {
  const relay = await new Relay().start();
  for (let n = 0; n < 80; n += 1) await relay.accept();
  let stopped: Promise<void> | undefined;
  relay.queue.meanwhile = () => {
    stopped ??= relay.deliverer.stop(0);
  };

  await expect(relay.deliverer.giveUp({}, "kim")).rejects.toMatchObject({ code: "E_UNAVAILABLE" });
  const begun = relay.queue.bounces.length;
  const ended = relay.states().filter((state) => state === "bounced").length;
  await stopped;

  expect(begun).toBeLessThan(80);
  expect(ended).toBe(begun);
  expect(relay.states().filter((state) => state === "bounced")).toHaveLength(begun);
});
