/** What happens to mail when a door does not take it and its route has another one: the table of the product's rules, row by row. */
import { describe, expect, test } from "vitest";
import { FakeUpstream, facts, fault, refused, type Answer } from "../../test/fakes/fake-upstream.ts";
import { MemoryQueue } from "../../test/fakes/memory-queue.ts";
import { parseReply, type Reply } from "../mail/reply.ts";
import type { EventName, EventOf, PosternEvent } from "../mail/events.ts";
import { ManualClock } from "../platform/clock.ts";
import type { Refusal } from "../upstream/upstream.ts";
import { DoorBoard } from "./door-board.ts";
import { DEFAULT_RETRY } from "./retry.ts";
import { makeRouter, type Route } from "./routes.ts";
import { createDeliverer, type Deliverer } from "./scheduler.ts";

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

/** Lets everything that was begun come to rest: commits of the fake queue take one turn of the event loop each. */
async function rest(turns = 80): Promise<void> {
  for (let i = 0; i < turns; i += 1) await new Promise<void>((resolve) => setImmediate(resolve));
}

type DoorOptions = NonNullable<ConstructorParameters<typeof FakeUpstream>[0]>;

/** A relay whose one route has several doors. */
class Relay {
  readonly clock = new ManualClock();
  readonly events: PosternEvent[] = [];
  readonly queue: MemoryQueue;
  readonly doors: Readonly<Record<string, FakeUpstream>>;
  readonly #routes: readonly Route[];
  deliverer!: Deliverer;

  constructor(doors: Readonly<Record<string, DoorOptions>> = { scans: {}, graph: {} }, route: Partial<Route> = {}) {
    this.doors = Object.fromEntries(Object.entries(doors).map(([name, options]) => [name, new FakeUpstream({ name, ...options })]));
    this.#routes = [{ name: "default", via: Object.keys(doors), ...route }];
    let choose = this.#build();
    this.queue = new MemoryQueue(this.clock, (...asked) => choose(...asked));
    this.#restart = () => (choose = this.#build());
    this.#restart();
  }

  #restart: () => void;

  #build(): ReturnType<typeof makeRouter>["choose"] {
    const board = new DoorBoard();
    const upstreams = new Map(Object.values(this.doors).map((door) => [door.name, door] as const));
    const facts_ = [...upstreams.values()].map(({ name, traits, limits }) => {
      const { maxMessageSizeBytes } = limits;
      return [name, { traits, maxMessageSizeBytes }] as const;
    });
    const router = makeRouter({ routes: this.#routes, domains: ["contoso.com"], doors: new Map(facts_), board });
    if (this.queue !== undefined)
      this.deliverer = createDeliverer({
        queue: this.queue,
        upstreams,
        router,
        board,
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
    return router.choose;
  }

  async start(): Promise<this> {
    await this.deliverer.start();
    await rest();
    return this;
  }

  /** Another process on the same queue. */
  async restart(): Promise<void> {
    await this.deliverer.stop(0);
    this.#restart();
    await this.start();
  }

  door(name: string): FakeUpstream {
    const door = this.doors[name];
    if (door === undefined) throw new Error(`no door ${name}`);
    return door;
  }

  answers(name: string, answer: Answer): void {
    this.door(name).answer = answer;
  }

  async accept(envelope: Parameters<MemoryQueue["accept"]>[0] = {}, content?: string): Promise<string> {
    const message = await this.queue.accept(envelope, content);
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

  /** How often each recipient was offered to a door, by door. */
  offered(name: string): string[] {
    return this.door(name).deliveries.flatMap((delivery) => delivery.recipients);
  }
}

const takes: Answer = (delivery) => facts(delivery);
function always(refusal: Refusal): Answer {
  return (delivery) => facts(delivery, { refusal });
}

const AUTH = refused("auth", "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.");
const smtp = { type: "smtp-auth", mailbox: "scanner@contoso.com" } as const;

describe("a door that closes", () => {
  test.each([
    ["its sign-in is refused", AUTH],
    ["its secret has expired", fault("token", "AADSTS7000222", "The provided client secret keys are expired")],
    ["it cannot be reached", fault("connect", "ECONNREFUSED")],
    ["its certificate is not to be trusted", fault("starttls", "CERTIFICATE")],
  ])("because %s: what it was given, what waits and what arrives leaves by the next at once", async (_why, refusal) => {
    const relay = await new Relay({ scans: { ...smtp, limits: { connections: 1 } }, graph: {} }).start();
    const gate = Promise.withResolvers<void>();
    relay.answers("scans", async (delivery) => {
      await gate.promise;
      return facts(delivery, { refusal });
    });
    for (let i = 0; i < 20; i += 1) await relay.accept({ recipients: [`r${i}@contoso.com`] });
    relay.door("scans").probeRefusal = refusal;
    gate.resolve();
    await rest();
    for (let i = 20; i < 30; i += 1) await relay.accept({ recipients: [`r${i}@contoso.com`] });

    expect(new Set(relay.queue.states())).toEqual(new Set(["delivered"]));
    expect(relay.door("scans").deliveries.length).toBe(1);
    expect(relay.offered("graph").toSorted()).toEqual(Array.from({ length: 30 }, (_, i) => `r${i}@contoso.com`).toSorted());
    expect(relay.of("recipient.bounced")).toEqual([]);
    expect(relay.queue.recipients().every(({ finals, passed }) => finals === 1 && passed.length === 0)).toBe(true);
  });

  test("takes its mail again once it works, tried by connecting and not with mail", async () => {
    const relay = await new Relay({ scans: smtp, graph: {} }).start();
    relay.answers("scans", always(AUTH));
    relay.door("scans").probeRefusal = AUTH;
    await relay.accept();
    await relay.pass(MINUTE);
    expect(relay.door("scans").deliveries.length).toBe(1);

    relay.door("scans").probeRefusal = undefined;
    relay.answers("scans", takes);
    await relay.pass(30 * MINUTE);
    await relay.accept({ recipients: ["later@contoso.com"] });

    expect(relay.of("upstream.released").length).toBe(1);
    expect(relay.offered("scans")).toContain("later@contoso.com");
    expect(relay.of("alert.raised").map(({ alert }) => alert)).toEqual(["upstream.held"]);
    expect(relay.of("alert.cleared").map(({ alert }) => alert)).toEqual(["upstream.held"]);
  });

  test("an unreachable door gets no mail until a connection to it works", async () => {
    const relay = await new Relay().start();
    relay.answers("scans", always(fault("connect", "ETIMEDOUT")));
    relay.door("scans").probeRefusal = fault("connect", "ETIMEDOUT");
    await relay.accept();
    for (let i = 0; i < 5; i += 1) {
      await relay.pass(5 * MINUTE);
      await relay.accept();
    }
    expect(relay.door("scans").deliveries.length).toBe(1);
    expect(relay.door("graph").deliveries.length).toBe(6);

    relay.door("scans").probeRefusal = undefined;
    relay.answers("scans", takes);
    await relay.pass(5 * MINUTE);
    await relay.accept();

    expect(relay.door("scans").deliveries.length).toBe(2);
    expect(new Set(relay.queue.states())).toEqual(new Set(["delivered"]));
  });

  test("when all are closed mail is held by the first, one alarm each, and leaves by whichever opens first", async () => {
    const relay = await new Relay({ scans: smtp, graph: { ...smtp, mailbox: "other@contoso.com" } }).start();
    for (const name of ["scans", "graph"]) {
      relay.answers(name, always(AUTH));
      relay.door(name).probeRefusal = AUTH;
    }
    for (let i = 0; i < 10; i += 1) await relay.accept({ recipients: [`r${i}@contoso.com`] });
    expect(relay.queue.recipients().every(({ state, heldBy }) => state === "held" && heldBy === "upstream")).toBe(true);
    expect(relay.of("alert.raised").map(({ subject }) => subject)).toEqual(["scans", "graph"]);
    const later = relay.queue.recipients().slice(2);
    expect(new Set(later.map(({ lane }) => lane))).toEqual(new Set(["scans"]));

    relay.answers("graph", takes);
    relay.door("graph").probeRefusal = undefined;
    await relay.pass(30 * MINUTE);

    expect(new Set(relay.queue.states())).toEqual(new Set(["delivered"]));
    expect(relay.offered("graph").filter((address) => address === "r5@contoso.com").length).toBe(1);
    expect(relay.of("recipient.bounced")).toEqual([]);
  });

  test("from Friday to Monday expires nothing, with or without another door", async () => {
    const relay = await new Relay({ scans: smtp }).start();
    relay.answers("scans", always(AUTH));
    relay.door("scans").probeRefusal = AUTH;
    await relay.accept();

    for (let day = 0; day < 12; day += 1) await relay.pass(DAY / 4);
    relay.door("scans").probeRefusal = undefined;
    relay.answers("scans", takes);
    await relay.pass(DAY / 24);

    expect(relay.queue.states()).toEqual(["delivered"]);
    expect(relay.of("recipient.expired")).toEqual([]);
  });

  test("after a restart the closed door is known before mail is routed", async () => {
    const relay = await new Relay({ scans: smtp, graph: {} }).start();
    relay.answers("scans", always(AUTH));
    relay.door("scans").probeRefusal = AUTH;
    await relay.accept();

    await relay.restart();
    await relay.accept();

    expect(relay.door("scans").deliveries.length).toBe(1);
    expect(relay.door("graph").deliveries.length).toBe(2);
    expect(relay.queue.moves).toEqual([]);
  });

  test("for a refusal of messages asks for one message when none waits, and opens when that passes", async () => {
    const relay = await new Relay({ scans: smtp, graph: {} }).start();
    await relay.deliverer.stop(0);
    await relay.queue.holdLane("scans", {
      since: relay.clock.now(),
      cause: "three senders met the same",
      closedBy: "01TEST00000000000000000099",
      nextProbeAt: relay.clock.now() + MINUTE,
      probes: 0,
    });
    await relay.restart();
    await relay.accept({ recipients: ["a@contoso.com"] });
    expect(relay.offered("graph")).toEqual(["a@contoso.com"]);
    await relay.pass(MINUTE);

    await relay.accept({ recipients: ["b@contoso.com"] });
    await relay.accept({ recipients: ["c@contoso.com"] });

    expect(relay.offered("scans")).toEqual(["b@contoso.com", "c@contoso.com"]);
    expect(relay.of("upstream.released").length).toBe(1);
  });

  test("keeps what an operator holds: no probe and no other door lets it go", async () => {
    const relay = await new Relay({ scans: smtp, graph: {} }).start();
    const gate = Promise.withResolvers<void>();
    relay.answers("scans", async (delivery) => {
      await gate.promise;
      return facts(delivery, { refusal: AUTH });
    });
    await relay.accept();
    const recipient = relay.queue.recipients()[0];
    gate.resolve();
    await rest();
    expect(recipient?.state).toBe("delivered");
    relay.queue.setExpress(undefined);
    const held = await relay.queue.accept({ recipients: ["kept@contoso.com"] });
    const kept = relay.queue.recipients().find(({ queueId }) => queueId === held.queueId);
    if (kept !== undefined) Object.assign(kept, { state: "held", heldBy: "operator" });

    relay.door("scans").probeRefusal = undefined;
    await relay.pass(DAY);

    expect(kept).toMatchObject({ state: "held", heldBy: "operator" });
  });
});

describe("a message that a door does not take", () => {
  const TOO_LARGE = fault("mail", "TOO_LARGE", "over the size that the next hop announced");

  test("goes to the next door now, and that door is not asked again after a restart", async () => {
    const relay = await new Relay({ scans: { ...smtp, limits: { connections: 1 } }, graph: {} }).start();
    relay.answers("scans", always(TOO_LARGE));
    relay.answers("graph", always(refused("rcpt", "451 4.7.1 later")));
    await relay.accept();
    expect(relay.queue.recipients()).toMatchObject([{ lane: "graph", state: "deferred", passed: ["scans"] }]);

    await relay.restart();
    relay.answers("graph", takes);
    await relay.pass(5 * MINUTE);

    expect(relay.queue.states()).toEqual(["delivered"]);
    expect(relay.door("scans").deliveries.length).toBe(1);
    expect(relay.of("recipient.moved")).toMatchObject([{ from: "scans", to: "graph" }]);
    expect(relay.queue.attempts.map(({ upstream, outcome }) => `${upstream} ${outcome}`)).toEqual([
      "scans deferred",
      "graph deferred",
      "graph delivered",
    ]);
  });

  test("ends as the last door says when all have refused it, each asked once", async () => {
    const relay = await new Relay({ scans: smtp, graph: smtp, third: smtp }).start();
    for (const name of ["scans", "graph", "third"]) relay.answers(name, always(TOO_LARGE));

    await relay.accept();
    await relay.pass(DAY);

    const offered = ["scans", "graph", "third"].map(
      (name) => relay.offered(name).filter((address) => address === "anna@contoso.com").length,
    );
    expect(offered).toEqual([1, 1, 1]);
    expect(relay.queue.recipients()[0]).toMatchObject({ state: "bounced", passed: ["scans", "graph"] });
  });

  test("for its sender goes to the next door as it is, and only by the last one rewritten", async () => {
    const mailbox = (address: string): DoorOptions => ({
      ...smtp,
      traits: { sender: { mode: "keep", address, sendAs: [] } },
    });
    const denied = refused("final", "554 5.2.252 SendAsDenied; scanner@contoso.com not allowed to send as printer@contoso.com");
    const relay = await new Relay({ scans: mailbox("scanner@contoso.com"), graph: mailbox("other@contoso.com") }).start();
    relay.answers("scans", always(denied));
    relay.answers("graph", (delivery) =>
      delivery.reversePath === "other@contoso.com" ? facts(delivery) : facts(delivery, { refusal: denied }),
    );

    await relay.accept({ headerFrom: "printer@contoso.com" }, "From: printer@contoso.com\r\nSubject: scan\r\n\r\nbody\r\n");
    await relay.pass(1_000);

    expect(relay.queue.states()).toEqual(["delivered"]);
    expect(relay.door("scans").deliveries.map(({ reversePath }) => reversePath)).toEqual(["printer@contoso.com"]);
    expect(relay.door("graph").deliveries.map(({ reversePath }) => reversePath)).toEqual(["printer@contoso.com", "other@contoso.com"]);
  });

  test("waits for the next door when that one is closed, instead of being bounced", async () => {
    const relay = await new Relay({ scans: smtp, graph: smtp }).start();
    relay.answers("scans", always(TOO_LARGE));
    relay.answers("graph", always(AUTH));
    relay.door("graph").probeRefusal = AUTH;
    await relay.accept();
    await relay.pass(MINUTE);
    expect(relay.queue.recipients()).toMatchObject([{ lane: "graph", state: "held", heldBy: "upstream" }]);

    relay.answers("graph", takes);
    relay.door("graph").probeRefusal = undefined;
    await relay.pass(30 * MINUTE);

    expect(relay.queue.states()).toEqual(["delivered"]);
  });

  test("one recipient that is unknown bounces, never goes on, and harms nobody else", async () => {
    const relay = await new Relay().start();
    relay.answers("scans", (delivery) =>
      facts(delivery, {
        recipients: delivery.recipients.map((address) =>
          address.startsWith("nobody") ? { address, refusal: refused("rcpt", "550 5.1.1 User unknown") } : { address },
        ),
      }),
    );

    await relay.accept({ recipients: ["anna@contoso.com", "nobody@contoso.com", "ben@contoso.com"] });

    expect(
      relay.queue
        .recipients()
        .slice(0, 3)
        .map(({ state }) => state),
    ).toEqual(["delivered", "bounced", "delivered"]);
    expect(relay.offered("graph").filter((address) => address !== "it@contoso.com")).toEqual([]);
  });
});

describe("a temporary answer", () => {
  test("keeps the door for a quarter of an hour, then the next one gets the recipient", async () => {
    const relay = await new Relay().start();
    relay.answers("scans", always(refused("rcpt", "451 4.7.1 greylisted")));
    await relay.accept();
    await relay.pass(MINUTE);
    await relay.pass(2 * MINUTE);
    await relay.pass(4 * MINUTE);
    await relay.pass(8 * MINUTE - 1);
    expect(relay.door("graph").deliveries.length).toBe(0);

    await relay.pass(1);

    expect(relay.queue.states()).toEqual(["delivered"]);
    expect(relay.door("graph").deliveries.length).toBe(1);
    expect(relay.of("recipient.moved").map(({ from, to }) => `${from} ${to}`)).toEqual(["scans graph"]);
  });

  test("to everything for a quarter of an hour sends all that waits to the next door, tried or not, and what arrives, until the door takes mail again", async () => {
    const relay = await new Relay({ scans: smtp, graph: {} }).start();
    relay.answers(
      "scans",
      always(refused("mail", "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending")),
    );
    for (let i = 0; i < 8; i += 1) await relay.accept({ recipients: [`r${i}@contoso.com`] });
    for (let quarter = 0; quarter < 60 - 1; quarter += 1) await relay.pass(MINUTE / 4);
    expect(relay.offered("graph")).toEqual([]);

    await relay.pass(MINUTE / 4);
    await relay.accept({ recipients: ["new@contoso.com"] });

    expect(relay.offered("graph").toSorted()).toEqual(["new@contoso.com", ...Array.from({ length: 8 }, (_, i) => `r${i}@contoso.com`)]);
    expect(new Set(relay.queue.states())).toEqual(new Set(["delivered"]));
    expect(relay.offered("scans").length).toBeLessThan(8);

    relay.answers("scans", takes);
    await relay.pass(20 * MINUTE);
    await relay.accept({ recipients: ["later@contoso.com"] });
    expect(relay.offered("scans")).toContain("later@contoso.com");
  });

  test("that asks for more time than the quarter of an hour keeps no mail from the next door, and the door is left alone for so long", async () => {
    const relay = await new Relay({ graph: { ...smtp, type: "graph" }, scans: {} }).start();
    const busy = parseReply("429 ApplicationThrottled: Application is over its Requests limit.");
    relay.answers("graph", always({ stage: "final", reply: { ...(busy as Reply), protocol: "http" }, retryAfterMs: 4 * 60 * MINUTE }));
    await relay.accept({ recipients: ["first@contoso.com"] });
    await relay.accept({ recipients: ["second@contoso.com"] });
    await relay.pass(15 * MINUTE - 1);
    expect(relay.offered("scans")).toEqual([]);

    await relay.pass(1);
    await relay.accept({ recipients: ["new@contoso.com"] });
    await relay.pass(3 * 60 * MINUTE);

    expect(relay.offered("scans").toSorted()).toEqual(["first@contoso.com", "new@contoso.com", "second@contoso.com"]);
    expect(relay.offered("graph")).toEqual(["first@contoso.com"]);

    relay.answers("graph", takes);
    await relay.pass(60 * MINUTE);
    await relay.accept({ recipients: ["later@contoso.com"] });
    expect(relay.offered("graph")).toContain("later@contoso.com");
  });

  test("to everything keeps the mail where there is no other door, and it leaves when the door takes it again", async () => {
    const relay = await new Relay({ scans: smtp }).start();
    relay.answers(
      "scans",
      always(refused("mail", "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending")),
    );
    for (let i = 0; i < 8; i += 1) await relay.accept({ recipients: [`r${i}@contoso.com`] });
    for (let quarter = 0; quarter < 4 * 60; quarter += 1) await relay.pass(MINUTE / 4);
    expect(relay.queue.states().filter((state) => state === "delivered")).toEqual([]);

    relay.answers("scans", takes);
    for (let quarter = 0; quarter < 4 * 60; quarter += 1) await relay.pass(MINUTE / 4);

    expect(new Set(relay.queue.states())).toEqual(new Set(["delivered"]));
  });

  test("by all doors goes round by the quarter of an hour, and expires in time", async () => {
    const relay = await new Relay().start();
    for (const name of ["scans", "graph"]) relay.answers(name, always(refused("rcpt", "451 4.7.1 greylisted")));
    await relay.accept();

    for (let hour = 0; hour < 5 * 24 + 2; hour += 1) for (let i = 0; i < 4; i += 1) await relay.pass(15 * MINUTE);

    expect(relay.queue.recipients()[0]?.state).toBe("expired");
    const attempts = ["scans", "graph"].flatMap((name) => relay.offered(name)).filter((address) => address === "anna@contoso.com").length;
    expect(attempts).toBeGreaterThan(200);
    expect(attempts).toBeLessThan(1_000);
  });
});

test("an answer that was lost after the final dot stays with its door, whatever happens to that", async () => {
  const relay = await new Relay({ scans: smtp, graph: {} }).start();
  relay.answers("scans", (delivery) => facts(delivery, { ambiguous: true, refusal: fault("final", "ECONNRESET") }));
  await relay.accept();
  expect(relay.queue.recipients()).toMatchObject([{ lane: "scans", state: "deferred", ambiguous: true }]);

  relay.answers("scans", always(AUTH));
  relay.door("scans").probeRefusal = AUTH;
  await relay.pass(MINUTE);
  await relay.pass(DAY);
  expect(relay.queue.recipients()).toMatchObject([{ lane: "scans", state: "held", heldBy: "upstream" }]);
  expect(relay.door("graph").deliveries).toEqual([]);

  relay.answers("scans", takes);
  relay.door("scans").probeRefusal = undefined;
  await relay.pass(30 * MINUTE);
  expect(relay.queue.states()).toEqual(["delivered"]);
});

test("an answer that is lost just when a door has put mail off too long stays with that door as well", async () => {
  const relay = await new Relay({ scans: smtp, graph: {} }).start();
  relay.answers("scans", always(refused("rcpt", "451 4.7.1 greylisted")));
  await relay.accept();
  for (let minute = 0; minute < 14; minute += 1) await relay.pass(MINUTE);
  relay.answers("scans", (delivery) => facts(delivery, { ambiguous: true, refusal: fault("final", "ECONNRESET") }));

  for (let minute = 0; minute < 2; minute += 1) await relay.pass(MINUTE);

  expect(relay.queue.recipients()).toMatchObject([{ lane: "scans", state: "deferred", ambiguous: true }]);
  expect(relay.door("graph").deliveries).toEqual([]);
});

describe("budgets", () => {
  const limited = { limits: { messagesPerMinute: 2, connections: 4 } };

  test("mail waits for its door's budget, and another door does not get it", async () => {
    const relay = await new Relay({ scans: limited, graph: {} }).start();
    for (let i = 0; i < 5; i += 1) await relay.accept();

    expect(relay.door("scans").deliveries.length).toBe(2);
    expect(relay.door("graph").deliveries.length).toBe(0);
  });

  test("with spill the next door takes what the budget has no room for, what waits already included", async () => {
    const relay = new Relay({ scans: limited, graph: limited, third: {} }, { spill: true });
    for (let i = 0; i < 9; i += 1) await relay.queue.accept({ recipients: [`r${i}@contoso.com`] });
    await relay.start();
    for (let i = 0; i < 3; i += 1) await relay.accept();
    await relay.pass(6_000);

    expect(new Set(relay.queue.states())).toEqual(new Set(["delivered"]));
    expect(["scans", "graph"].map((name) => relay.door(name).deliveries.length)).toEqual([2, 2]);
    expect(relay.door("third").deliveries.length).toBe(8);
  });

  test("with spill mail goes on being handed to the next door when the clock was set back", async () => {
    const relay = await new Relay({ scans: limited, graph: limited }, { spill: true }).start();
    for (let i = 0; i < 9; i += 1) await relay.accept();
    const first = ["scans", "graph"].map((name) => relay.door(name).deliveries.length);

    relay.clock.step(-2 * 60 * MINUTE);
    for (let second = 0; second < 80; second += 1) await relay.pass(1_000);

    expect(first).toEqual([2, 2]);
    expect(["scans", "graph"].map((name) => relay.door(name).deliveries.length)).toEqual([4, 4]);
  });

  test("three mailboxes that share the mail use all that they have: three times as much a minute", async () => {
    const relay = await new Relay({ one: limited, two: limited, three: limited }, { spread: true }).start();
    for (let i = 0; i < 60; i += 1) await relay.accept();

    for (let second = 0; second < 620; second += 1) await relay.pass(1_000);

    expect(new Set(relay.queue.states())).toEqual(new Set(["delivered"]));
    expect(["one", "two", "three"].map((name) => relay.door(name).deliveries.length)).toEqual([20, 20, 20]);
  });
});

test("internal recipients go by Direct Send and external ones by the mailbox, in one message, and none waits at a door that could not take it", async () => {
  const relay = await new Relay({
    inside: { type: "direct-send", traits: { serves: "internal" } },
    scans: { type: "smtp-auth", mailbox: "scanner@contoso.com" },
  }).start();

  await relay.accept({ recipients: ["a@contoso.com", "x@fabrikam.example", "b@contoso.com", "y@fabrikam.example", "c@contoso.com"] });

  expect(relay.offered("inside")).toEqual(["a@contoso.com", "b@contoso.com", "c@contoso.com"]);
  expect(relay.offered("scans")).toEqual(["x@fabrikam.example", "y@fabrikam.example"]);
});

test("a message over a door's size passes it by", async () => {
  const relay = await new Relay({ graph: { limits: { maxMessageSizeBytes: 1_000 } }, scans: {} }).start();

  await relay.accept({ sizeBytes: 900 });
  await relay.accept({ sizeBytes: 1_001 });

  expect(relay.door("graph").deliveries.length).toBe(1);
  expect(relay.door("scans").deliveries.length).toBe(1);
});
