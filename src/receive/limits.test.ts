import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { LineClient } from "../../test/fakes/line-client.ts";
import { MemorySink } from "../../test/fakes/memory-sink.ts";
import type { PosternEvent } from "../mail/events.ts";
import { ManualClock, systemClock } from "../platform/clock.ts";
import { ensureSelfMadeCertificate } from "./certificate.ts";
import { deviceGroup } from "./networks.ts";
import { Rates } from "./rates.ts";
import { createReceiver } from "./receiver.ts";
import type { CertificatePair, ClientOptions, Receiver, ReceiverLimits } from "./receiver.ts";
import { Turns } from "./turns.ts";

let folder: string;
let certificate: CertificatePair;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "postern-limits-"));
  certificate = await ensureSelfMadeCertificate(folder, "relay.contoso.com", { named: ["127.0.0.1"] }, systemClock);
});
afterAll(() => rm(folder, { recursive: true }));

const running: Receiver[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((receiver) => receiver.stop(0)));
});

/** A relay whose time the test moves. */
async function startRelay(limits: Partial<ReceiverLimits>, client: Partial<ClientOptions> = {}) {
  const clock = new ManualClock();
  const sink = new MemorySink();
  const events: PosternEvent[] = [];
  const wanted: { fits: () => boolean; resolve: () => void }[] = [];
  const receiver = createReceiver({
    hostname: "relay.contoso.com",
    domains: { own: ["contoso.com"], first: "contoso.com" },
    listeners: [{ name: "printers", endpoints: [{ host: "127.0.0.1", port: 0 }], tls: { mode: "opportunistic", certificate } }],
    clients: [
      {
        name: "floor",
        networks: ["127.0.0.0/8"],
        senders: ["internal"],
        recipients: ["internal"],
        fallbackSender: "s@contoso.com",
        maxMessageSizeBytes: 1e7,
        priority: "normal",
        ...client,
      },
    ],
    limits,
    sink,
    clock,
    emit: (event) => {
      events.push(event);
      for (const one of wanted) if (one.fits()) one.resolve();
    },
  });
  running.push(receiver);
  await receiver.start();
  const opened = (device: string): number => events.filter((event) => event.type === "session.opened" && event.device === device).length;
  return {
    clock,
    sink,
    events,
    opened,
    port: receiver.addresses()[0]?.port ?? 0,
    rejected: () => events.flatMap((event) => (event.type === "session.rejected" ? [event.reason] : [])),
    until: (fits: () => boolean) => (fits() ? Promise.resolve() : new Promise<void>((resolve) => wanted.push({ fits, resolve }))),
    /** Resolves once a command made the relay wait for its clock. */
    async waits(act: () => void): Promise<void> {
      const before = clock.pending;
      act();
      while (clock.pending <= before) await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

async function open(relay: { port: number }, from = "127.0.0.1"): Promise<LineClient> {
  const client = await LineClient.open(relay.port, from);
  expect(await client.reply()).toMatch(/^220 /);
  return client;
}

describe("one device does not keep another out", () => {
  test("with 300 connections held open from one address, another device is greeted and its mail is accepted", async () => {
    const relay = await startRelay({});
    const crowd = await Promise.all(Array.from({ length: 300 }, () => LineClient.open(relay.port, "127.0.0.2")));
    await relay.until(() => relay.opened("127.0.0.2") === 20);

    await using client = await open(relay);
    await client.say("EHLO x");
    await client.say("MAIL FROM:<a@contoso.com>");
    await client.say("RCPT TO:<b@contoso.com>");
    await client.say("DATA");

    expect(await client.say("From: a@contoso.com\r\n\r\nx\r\n.")).toMatch(/^250 /);
    expect(relay.opened("127.0.0.2")).toBe(20);
    // The greeting waits twenty seconds for a place, then says so.
    relay.clock.advance(20_000);
    expect(await crowd[299]?.end()).toBe("421 4.3.2 Too many connections from your address, try again later\r\n");
    await Promise.all(crowd.map((one) => one[Symbol.asyncDispose]()));
  });

  test("where the waiting room is full, the device that fills it gives way", async () => {
    const relay = await startRelay({ sessions: 3, sessionsPerDevice: 1 });
    await using first = await open(relay, "127.0.0.2");
    const crowd: LineClient[] = [];
    for (let i = 0; i < 3; i += 1) await relay.waits(() => void LineClient.open(relay.port, "127.0.0.2").then((one) => crowd.push(one)));
    await using other = await open(relay, "127.0.0.3");

    await using late = await LineClient.open(relay.port, "127.0.0.3");
    await relay.until(() => relay.rejected().length === 1);
    await using more = await LineClient.open(relay.port, "127.0.0.2");

    expect(await more.end()).toMatch(/^421 4\.3\.2 /);
    await other.say("QUIT");
    await other.end();
    expect(await late.reply()).toMatch(/^220 /);
    expect(relay.events.flatMap((event) => (event.type === "session.rejected" ? [`${event.device} ${event.reason}`] : []))).toEqual([
      "127.0.0.2 device-sessions",
      "127.0.0.2 device-sessions",
    ]);
    expect(await first.say("NOOP")).toMatch(/^250 /);
    await Promise.all(crowd.map((one) => one[Symbol.asyncDispose]()));
  });

  test("handshakes of one device take turns, and no other device waits for them", async () => {
    const relay = await startRelay({ handshakesPerDevice: 1 });
    await using slow = await open(relay, "127.0.0.2");
    expect(await slow.say("STARTTLS")).toMatch(/^220 /);
    await using second = await open(relay, "127.0.0.2");
    await relay.waits(() => second.write("STARTTLS\r\n"));
    await using other = await open(relay);

    expect(await other.say("STARTTLS")).toMatch(/^220 /);
    await other.startTls();
    expect(await other.say("NOOP")).toMatch(/^250 /);
    expect(second.chunks).toHaveLength(1);
    slow.reset();
    expect(await second.reply()).toMatch(/^220 /);
    await second.startTls();
    expect(await second.say("NOOP")).toMatch(/^250 /);
  });

  test("an IPv6 device is its /64, an IPv4 device its address", () => {
    expect([deviceGroup("fd00:20::1"), deviceGroup("fd00:20:0:0:ffff::9"), deviceGroup("fd00:20:0:1::1")]).toEqual([
      "fd00002000000000::/64",
      "fd00002000000000::/64",
      "fd00002000000001::/64",
    ]);
    expect(deviceGroup("10.0.0.1")).toBe("10.0.0.1");
  });
});

describe("rates", () => {
  test("over its rate a device is kept waiting, then refused with 451; another device is not", async () => {
    const relay = await startRelay({}, { rate: { count: 2, perMs: 60_000 } });
    await using client = await open(relay);
    await using other = await open(relay, "127.0.0.2");
    for (let i = 0; i < 2; i += 1) expect(await client.say("MAIL FROM:<a@contoso.com>")).toMatch(/^250 /);

    await relay.waits(() => client.write("MAIL FROM:<a@contoso.com>\r\nNOOP\r\n"));
    expect(await other.say("MAIL FROM:<a@contoso.com>")).toMatch(/^250 /);
    relay.clock.advance(5_000);
    expect(await client.reply()).toBe("451 4.7.1 Too many messages in this time, try again later");
    expect(await client.reply()).toMatch(/^250 /);
    expect(await client.say("RCPT TO:<b@contoso.com>")).toMatch(/^503 /);

    // Half a minute after the two there is room for one; waiting for it is worth it when it comes soon.
    relay.clock.advance(22_000);
    await relay.waits(() => client.write("MAIL FROM:<a@contoso.com>\r\n"));
    relay.clock.advance(3_000);
    expect(await client.reply()).toMatch(/^250 2\.1\.0 /);
    expect(relay.events.find((event) => event.type === "session.rejected" && event.reason === "rate")).toMatchObject({
      remedy: expect.stringContaining("raise rate of client floor"),
    });
  });

  test("recipients have a rate of their own; once it is over, the others of the message do not wait again", async () => {
    const relay = await startRelay({}, { recipientRate: { count: 2, perMs: 3_600_000 } });
    await using client = await open(relay);
    await client.say("MAIL FROM:<a@contoso.com>");
    for (const name of ["b", "c"]) expect(await client.say(`RCPT TO:<${name}@contoso.com>`)).toMatch(/^250 /);

    await relay.waits(() => client.write("RCPT TO:<d@contoso.com>\r\nRCPT TO:<e@contoso.com>\r\n"));
    relay.clock.advance(5_000);

    expect(await client.reply()).toMatch(/^451 4\.7\.1 /);
    expect(await client.reply()).toMatch(/^451 4\.7\.1 /);
    await client.say("DATA");
    expect(await client.say("From: a@contoso.com\r\n\r\nx\r\n.")).toMatch(/^250 /);
    expect(relay.sink.messages[0]?.message.recipients).toEqual(["b@contoso.com", "c@contoso.com"]);
  });

  test("a device that leaves while it is kept waiting leaves nothing behind", async () => {
    const relay = await startRelay({}, { rate: { count: 1, perMs: 60_000 } });
    await using client = await open(relay);
    await client.say("MAIL FROM:<a@contoso.com>");
    await relay.waits(() => client.write("MAIL FROM:<a@contoso.com>\r\n"));

    client.reset();
    await client.end();
    await relay.until(() => relay.events.some(({ type }) => type === "session.closed"));
    relay.clock.advance(5_000);

    await using again = await open(relay);
    expect(await again.say("NOOP")).toMatch(/^250 /);
  });

  test("whatever the times, no span lets more through than the bucket and what came free meanwhile", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 50 }), fc.array(fc.integer({ min: 0, max: 2000 }), { maxLength: 200 }), (count, steps) => {
        const rates = new Rates();
        const rate = { count, perMs: 10_000 };
        let now = 0;
        const passed: number[] = [];
        for (const step of steps) {
          now += step;
          const waitMs = rates.take("a", rate, now, 1000);
          if (waitMs !== undefined) passed.push(now + waitMs);
        }
        for (const [index, from] of passed.entries()) {
          const within = passed.slice(index).filter((at) => at <= from + rate.perMs).length;
          expect(within).toBeLessThanOrEqual(2 * count + 1);
        }
        expect(passed.filter((at) => at <= (passed[0] ?? 0)).length).toBeLessThanOrEqual(count);
      }),
    );
  });
});

describe("time", () => {
  test("a command that comes an octet at a time is not waited for beyond the idle time", async () => {
    const relay = await startRelay({});
    await using client = await open(relay);

    for (let i = 0; i < 62; i += 1) {
      client.write("N");
      relay.clock.advance(5_000);
    }

    expect(await client.reply()).toMatch(/^421 4\.4\.2 /);
    expect(relay.rejected()).toEqual(["command-time"]);
  });

  test("content that trickles is cut after the idle time, content that flows is not", async () => {
    const relay = await startRelay({});
    await using client = await open(relay);
    await client.say("MAIL FROM:<a@contoso.com>");
    await client.say("RCPT TO:<b@contoso.com>");
    expect(await client.say("DATA")).toMatch(/^354 /);
    let octets = 0;
    const { promise: arrived, resolve } = Promise.withResolvers<void>();
    relay.sink.options.onWrite = (piece) => {
      octets += piece.length;
      if (octets > 50_000) resolve();
      return undefined;
    };
    const fiveMinutes = (): void => {
      for (let i = 0; i < 61; i += 1) relay.clock.advance(5_000);
    };

    relay.clock.advance(5_000);
    client.write(`From: a@contoso.com\r\n\r\n${"x".repeat(60_000)}`);
    await arrived;
    fiveMinutes();
    expect(relay.rejected()).toEqual([]);
    fiveMinutes();

    expect(await client.reply()).toMatch(/^421 4\.4\.2 The data came too slowly/);
    expect(relay.rejected()).toEqual(["data-rate"]);
    expect(relay.sink.messages).toEqual([]);
    await client.end();
    await relay.until(() => relay.events.some(({ type }) => type === "session.closed"));
    expect(relay.events.find(({ type }) => type === "session.unfinished")).toMatchObject({ cause: "fewer than 1024 octets a minute came" });
  });

  test("content that trickles is cut too where the session has lasted too long, and nobody says that the relay was stopped", async () => {
    const relay = await startRelay({ sessionMs: 60_000 });
    await using client = await open(relay);
    await client.say("MAIL FROM:<a@contoso.com>");
    await client.say("RCPT TO:<b@contoso.com>");
    expect(await client.say("DATA")).toMatch(/^354 /);

    for (let i = 0; i < 75; i += 1) {
      client.write("x");
      relay.clock.advance(5_000);
    }

    expect(await client.reply()).toMatch(/^421 4\.4\.2 The data came too slowly/);
    await client.end();
    await relay.until(() => relay.events.some(({ type }) => type === "session.closed"));
    expect(relay.rejected()).toEqual(["session-time", "data-rate"]);
    expect(relay.events.find(({ type }) => type === "session.unfinished")).toMatchObject({ cause: "fewer than 1024 octets a minute came" });
  });

  test("a session that lasts too long ends between messages, not within one", async () => {
    const relay = await startRelay({ sessionMs: 60_000, minBytesPerMinute: 0 });
    await using idle = await open(relay);
    await using busy = await open(relay, "127.0.0.2");
    await busy.say("MAIL FROM:<a@contoso.com>");
    await busy.say("RCPT TO:<b@contoso.com>");
    await busy.say("DATA");

    relay.clock.advance(65_000);

    expect(await idle.reply()).toMatch(/^421 4\.3\.2 The session lasted too long/);
    expect(await busy.say("From: a@contoso.com\r\n\r\nx\r\n.")).toMatch(/^250 /);
    expect(await busy.reply()).toMatch(/^421 4\.3\.2 /);
    expect(relay.rejected()).toEqual(["session-time", "session-time"]);
  });
});

describe("commands", () => {
  test("refused commands without a mail in between end the session, and so do mails that are begun and never sent", async () => {
    const relay = await startRelay({ errors: 3, nonMailCommands: 5 });
    await using refused = await open(relay);
    await using endless = await open(relay, "127.0.0.2");

    for (let i = 0; i < 3; i += 1) expect(await refused.say("RCPT TO:<b@contoso.com>")).toMatch(/^503 /);
    refused.write("RCPT TO:<b@contoso.com>\r\n");
    expect(await refused.reply()).toMatch(/^503 /);
    expect(await refused.reply()).toMatch(/^421 4\.7\.0 Too many errors/);
    for (let i = 0; i < 5; i += 1) expect(await endless.say("MAIL FROM:<a@contoso.com>")).toMatch(/^250 /);
    expect(await endless.say("MAIL FROM:<a@contoso.com>")).toMatch(/^421 4\.7\.0 /);
  });

  test("a client's own limits count for its devices", async () => {
    const relay = await startRelay({ recipients: 5 }, { limits: { recipients: 1 } });
    await using client = await open(relay);
    await client.say("MAIL FROM:<a@contoso.com>");
    await client.say("RCPT TO:<b@contoso.com>");

    expect(await client.say("RCPT TO:<c@contoso.com>")).toMatch(/^452 4\.5\.3 /);
  });
});

test("turns: first come first served, whoever leaves the line is forgotten, and a place is given back once", () => {
  const turns = new Turns();
  const started: string[] = [];
  const leaveA = turns.enter("d", 1, () => started.push("a"));
  const leaveB = turns.enter("d", 1, () => started.push("b"));
  turns.enter("d", 1, () => started.push("c"));
  turns.enter("e", 1, () => started.push("e"));

  leaveB();
  leaveA();
  leaveA();

  expect(started).toEqual(["a", "e", "c"]);
});
