import { networkInterfaces } from "node:os";
import { afterEach, expect, test } from "vitest";
import { LineClient } from "../../test/fakes/line-client.ts";
import { MemorySink } from "../../test/fakes/memory-sink.ts";
import type { MemorySinkOptions } from "../../test/fakes/memory-sink.ts";
import { PosternError } from "../mail/errors.ts";
import type { EventName, EventOf, PosternEvent } from "../mail/events.ts";
import { systemClock } from "../platform/clock.ts";
import { createReceiver } from "./receiver.ts";
import type { ClientOptions, Receiver, ReceiverLimits, ReceiverOptions } from "./receiver.ts";

interface Relay {
  readonly receiver: Receiver;
  readonly sink: MemorySink;
  readonly port: number;
  readonly events: PosternEvent[];
  /** The first event of this name, past or coming. */
  event<N extends EventName>(name: N): Promise<EventOf<N>>;
}

const FLOOR: ClientOptions = {
  name: "floor",
  networks: ["127.0.0.1"],
  senders: ["internal"],
  recipients: ["internal"],
  fallbackSender: "scans@contoso.com",
  maxMessageSizeBytes: 1_000_000,
  priority: "normal",
};

const running: Receiver[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((receiver) => receiver.stop(0)));
});

async function startRelay(
  options: {
    client?: Partial<ClientOptions>;
    limits?: Partial<ReceiverLimits>;
    sink?: MemorySinkOptions;
    with?: Partial<ReceiverOptions>;
  } = {},
): Promise<Relay> {
  const sink = new MemorySink(options.sink);
  const events: PosternEvent[] = [];
  const waiting: { name: EventName; resolve: (event: PosternEvent) => void }[] = [];
  const receiver = createReceiver({
    hostname: "relay.contoso.com",
    domains: { own: ["contoso.com"], first: "contoso.com" },
    listeners: [{ name: "printers", endpoints: [{ host: "127.0.0.1", port: 0 }], tls: { mode: "none" } }],
    clients: [
      {
        ...FLOOR,
        ...options.client,
      },
    ],
    limits: options.limits,
    sink,
    clock: systemClock,
    emit: (event) => {
      events.push(event);
      for (const waiter of waiting.filter(({ name }) => name === event.type)) waiter.resolve(event);
    },
    ...options.with,
  });
  running.push(receiver);
  await receiver.start();
  return {
    receiver,
    sink,
    port: receiver.addresses()[0]?.port ?? 0,
    events,
    event: <N extends EventName>(name: N) =>
      new Promise<EventOf<N>>((resolve) => {
        const past = events.find((event) => event.type === name);
        if (past !== undefined) resolve(past as EventOf<N>);
        else waiting.push({ name, resolve: (event) => resolve(event as EventOf<N>) });
      }),
  };
}

async function open(relay: Relay): Promise<LineClient> {
  const client = await LineClient.open(relay.port);
  expect(await client.reply()).toBe("220 relay.contoso.com ESMTP Postern");
  return client;
}

const MAIL = "From: a@contoso.com\r\nSubject: x\r\n\r\nbody\r\n.\r\n";

test("an address outside every client gets one 554 line and a close, and no command is taken", async () => {
  const relay = await startRelay();

  await using stranger = await LineClient.open(relay.port, "127.0.0.2");
  stranger.write("EHLO x\r\nMAIL FROM:<a@contoso.com>\r\nRCPT TO:<b@contoso.com>\r\nDATA\r\n");

  expect(await stranger.end()).toBe("554 5.7.1 relay.contoso.com 127.0.0.2 is not allowed to relay; ask the administrator to add it\r\n");
  expect(relay.sink.opened).toBe(0);
  expect(await relay.event("session.rejected")).toMatchObject({ device: "127.0.0.2", reason: "unlisted", client: undefined });
});

test("EHLO offers exactly what is supported, and never CHUNKING, AUTH or STARTTLS on a plain listener", async () => {
  const relay = await startRelay();
  await using client = await open(relay);

  const reply = await client.say("EHLO NPIF65E56");

  expect(reply.split("\n")).toEqual([
    "250-relay.contoso.com",
    "250-SIZE 1000000",
    "250-PIPELINING",
    "250-8BITMIME",
    "250-SMTPUTF8",
    "250 ENHANCEDSTATUSCODES",
  ]);
  expect(client.chunks).toHaveLength(2); // one write for each reply
});

test("a whole dialogue, with the replies of the contract", async () => {
  const relay = await startRelay({ client: { recipients: ["bob@contoso.com", "eve@contoso.com"] } });
  await using client = await open(relay);

  expect(await client.say("HELO")).toBe("250 relay.contoso.com");
  expect(await client.say("MAIL FROM:<ceo@fabrikam.com>")).toMatch(/^550 5\.7\.1 .*floor.*internal/);
  expect(await client.say("RCPT TO:<bob@contoso.com>")).toBe("503 5.5.1 Need MAIL first");
  expect(await client.say("MAIL FROM:<a@contoso.com> SIZE=2000000")).toMatch(/^552 5\.3\.4 /);
  expect(await client.say("MAIL FROM:???@")).toMatch(/^250 2\.1\.0 |^501 5\.1\.7 /);
  expect(await client.say("MAIL FROM:<a@b@c>")).toMatch(/^501 5\.1\.7 /);
  expect(await client.say("MAIL")).toMatch(/^501 /);
  expect(await client.say("MAIL FROM:<a@contoso.com>")).toBe("250 2.1.0 Ok");
  expect(await client.say("RCPT TO:<ann@contoso.com>")).toMatch(/^550 5\.7\.1 .*ann@contoso\.com.*floor/);
  expect(await client.say("RCPT TO:<>")).toMatch(/^501 5\.1\.3 /);
  expect(await client.say("DATA")).toBe("554 5.5.1 No valid recipients");
  expect(await client.say("RCPT TO:bob")).toBe("250 2.1.5 Ok");
  expect(await client.say("RCPT TO:<bob@CONTOSO.com>")).toBe("250 2.1.5 Ok");
  expect(await client.say("RCPT TO:<eve@contoso.com>")).toBe("250 2.1.5 Ok");
  expect(await client.say("VRFY bob")).toMatch(/^252 2\.0\.0 /);
  expect(await client.say("NOOP x")).toMatch(/^250 2\.0\.0 /);
  expect(await client.say("")).toMatch(/^250 2\.0\.0 /);
  expect(await client.say("BDAT 5 LAST")).toMatch(/^502 5\.5\.1 /);
  expect(await client.say("WIZ")).toMatch(/^500 5\.5\.2 /);
  expect(await client.say("DATA")).toMatch(/^354 /);
  expect(await client.say(MAIL.slice(0, -2))).toBe("250 2.0.0 Ok: queued as 01TEST00000000000000000001");
  expect(await client.say("DATA")).toBe("503 5.5.1 Need MAIL first");
  expect(await client.say("QUIT")).toMatch(/^221 2\.0\.0 /);
  expect(await client.end()).toBe("");

  expect(relay.sink.messages[0]?.message).toMatchObject({
    reversePath: "a@contoso.com",
    recipients: ["bob@contoso.com", "eve@contoso.com"],
    origin: { device: "127.0.0.1", listener: "printers", client: "floor" },
  });
  expect(await relay.event("message.accepted")).toMatchObject({
    queueId: "01TEST00000000000000000001",
    repairs: ["date-added", "message-id-added"],
  });
  expect(await relay.event("session.closed")).toMatchObject({ messages: 1 });
});

test("a mail without HELO, with the sender's name for itself, arrives from the fallback sender and says so", async () => {
  const relay = await startRelay();
  await using client = await open(relay);

  client.write(`MAIL FROM:root@esx.local\r\nRCPT TO:<postmaster>\r\nDATA\r\n`);
  await client.seen("354");
  client.write("Subject: x\r\n\r\nbody\r\n.\r\n");
  await relay.sink.received(1);

  const { message, content } = relay.sink.messages[0]!;
  expect(message).toMatchObject({
    reversePath: "scans@contoso.com",
    originalSender: "root@esx.local",
    recipients: ["postmaster@contoso.com"],
    headerFrom: "scans@contoso.com",
  });
  expect(content.toString()).toMatch(
    /^Received: from unknown \(\[127\.0\.0\.1\]\)\r\n\tby relay\.contoso\.com \(Postern\) with SMTP id 01TEST\d+;\r\n\t\w{3}, \d+ \w{3} \d{4} [\d:]{8} [+-]\d{4}\r\nX-Postern-Id: 01TEST/,
  );
  expect(content.toString()).toContain("\r\nX-Postern-Original-Sender: root@esx.local\r\n");
});

test("a client that says everything at once, before the greeting, gets every answer in order, in few writes", async () => {
  const relay = await startRelay();
  await using client = await LineClient.open(relay.port);

  client.write(
    `EHLO x\r\nMAIL FROM:<a@contoso.com>\r\nRCPT TO:<b@contoso.com>\r\nDATA\r\n${MAIL}MAIL FROM:<>\r\nRCPT TO:<b@contoso.com>\r\nDATA\r\n${MAIL}QUIT\r\n`,
  );
  const all = await client.end();

  expect(all.replace(/^250-.*\r\n/gm, "").match(/^\d{3}/gm)).toEqual([
    "220",
    "250",
    "250",
    "250",
    "354",
    "250",
    "250",
    "250",
    "354",
    "250",
    "221",
  ]);
  expect(client.chunks.length).toBeLessThanOrEqual(5);
  expect(relay.sink.messages.map(({ message }) => message.reversePath)).toEqual(["a@contoso.com", ""]);
});

test("a client that closes its side at once still gets its mail accepted and its 250", async () => {
  const relay = await startRelay();
  await using client = await LineClient.open(relay.port);

  client.write(`HELO x\r\nMAIL FROM:<a@contoso.com>\r\nRCPT TO:<b@contoso.com>\r\nDATA\r\n${MAIL}`);
  client.halfClose();

  expect(await client.end()).toMatch(/250 2\.0\.0 Ok: queued as 01TEST00000000000000000001\r\n$/);
});

test("a client that says QUIT and keeps its side open keeps no session, and its last reply and the end are there to be read", async () => {
  const relay = await startRelay();
  await using client = await LineClient.open(relay.port);
  await client.reply();

  expect(await client.say("QUIT")).toMatch(/^221 /);
  expect(await client.reply()).toBe("(closed)");
  expect(relay.receiver.sessionCount()).toBe(0);
});

test("what a client says after QUIT is not read, and does not cost it the reply", async () => {
  const relay = await startRelay();
  await using client = await LineClient.open(relay.port);

  client.write("EHLO x\r\nQUIT\r\nMAIL FROM:<a@contoso.com>\r\nRSET\r\n");

  expect(await client.end()).toMatch(/\r\n221 [^\r]*\r\n$/);
  await relay.event("session.closed");
});

test("when DATA is refused, what was sent behind it is never read as commands", async () => {
  const relay = await startRelay({ client: { recipients: ["bob@contoso.com"] } });
  await using client = await LineClient.open(relay.port);

  client.write(
    `HELO x\r\nMAIL FROM:<a@contoso.com>\r\nRCPT TO:<victim@fabrikam.com>\r\nDATA\r\nMAIL FROM:<a@contoso.com>\r\nRCPT TO:<bob@contoso.com>\r\nDATA\r\nsmuggled\r\n.\r\n`,
  );

  expect((await client.end()).match(/^\d{3}/gm)).toEqual(["220", "250", "250", "550", "554"]);
  expect(relay.sink.opened).toBe(0);
});

test("a second MAIL starts over", async () => {
  const relay = await startRelay();
  await using client = await open(relay);

  await client.say("MAIL FROM:<a@contoso.com>");
  await client.say("RCPT TO:<b@contoso.com>");

  expect(await client.say("MAIL FROM:<c@contoso.com>")).toBe("250 2.1.0 Ok");
  expect(await client.say("DATA")).toBe("503 5.5.1 Need RCPT first");
});

test.each([
  ["AUTH LOGIN", ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 2.7.0 Ok"]],
  ["auth login dXNlcg==", ["334 UGFzc3dvcmQ6", "235 2.7.0 Ok"]],
  ["AUTH PLAIN AHUAcA==", ["235 2.7.0 Ok"]],
  ["AUTH PLAIN", ["334", "235 2.7.0 Ok"]],
])("%s gets 235 whatever the password, and nothing of it is told", async (command, replies) => {
  const relay = await startRelay();
  await using client = await open(relay);

  const got = [await client.say(command)];
  while (got.length < replies.length) got.push(await client.say("c2VjcmV0"));

  expect(got).toEqual(replies);
  expect(JSON.stringify(relay.events)).not.toMatch(/c2VjcmV0|dXNlcg|AHUAcA/);
  expect(await client.say("MAIL FROM:<a@contoso.com>")).toBe("250 2.1.0 Ok");
});

test("other mechanisms are refused and an abandoned one is 501", async () => {
  const relay = await startRelay();
  await using client = await open(relay);

  expect(await client.say("AUTH CRAM-MD5")).toMatch(/^504 5\.5\.4 /);
  await client.say("AUTH LOGIN");
  expect(await client.say("*")).toMatch(/^501 5\.7\.0 /);
});

test.each([
  ["after a refused AUTH", ["AUTH CRAM-MD5", "dXNlcg==", " c2VjcmV0"], "(not shown: it may hold a password)"],
  ["behind AUTH in a spelling of its own", ["AUTH=LOGIN c2VjcmV0", " AUTHPLAIN c2VjcmV0"], "(not shown: it may hold a password)"],
  ["and other commands are shown again", ["AUTH CRAM-MD5", "NOOP", "HELLO there"], "HELLO there"],
])("no event shows a password that is sent without waiting: %s", async (_, lines, last) => {
  const relay = await startRelay();
  await using client = await open(relay);

  for (const line of lines) await client.say(line);

  const shown = relay.events.flatMap((event) => ("detail" in event ? [event.detail] : []));
  expect(JSON.stringify(relay.events)).not.toMatch(/c2VjcmV0|dXNlcg/);
  expect(shown.at(-1)).toBe(last);
});

test("oversized content without SIZE is read to its end, then refused, and the session goes on", async () => {
  const relay = await startRelay();
  await using client = await open(relay);
  await client.say("MAIL FROM:<a@contoso.com>");
  await client.say("RCPT TO:<b@contoso.com>");
  await client.say("DATA");

  client.write(`Subject: x\r\n\r\n${`${"x".repeat(998)}\r\n`.repeat(2000)}.\r\n`);

  expect(await client.reply()).toMatch(/^552 5\.3\.4 /);
  expect(await client.say("NOOP")).toMatch(/^250/);
  expect(relay.sink).toMatchObject({ committed: 0, aborted: 1 });
  expect(await relay.event("session.rejected")).toMatchObject({
    reason: "size",
    remedy: expect.stringContaining("or raise max_message_size of client floor and limits.max_message_size"),
  });
});

test("a size that the recipient's doors do not take is refused at RCPT", async () => {
  const relay = await startRelay({
    with: { sizeLimit: (_client, _sender, recipients) => (recipients[0]?.startsWith("small") === true ? 100 : 5000) },
  });
  await using client = await open(relay);

  expect(await client.say("MAIL FROM:<a@contoso.com> SIZE=6000")).toMatch(/^552 5\.3\.4 /);
  expect(await client.say("MAIL FROM:<a@contoso.com> SIZE=4000")).toMatch(/^250/);
  expect(await client.say("RCPT TO:<small@contoso.com>")).toMatch(/^552 5\.3\.4 /);
  const refused = relay.events.filter((event) => event.type === "session.rejected");
  expect(refused.map(({ remedy }) => remedy)).toEqual([
    expect.stringContaining("max_message_size"),
    expect.stringContaining("max_message_size"),
  ]);
  expect(await client.say("RCPT TO:<b@contoso.com>")).toMatch(/^250/);
});

test("a size of exactly the limit is taken; after recipients the smallest of their doors counts, also where no size was named", async () => {
  const relay = await startRelay({
    with: { sizeLimit: (_client, _sender, recipients) => (recipients[0]?.startsWith("small") === true ? 100 : 5000) },
  });
  await using client = await open(relay);
  await client.say("EHLO x");

  expect(await client.say("MAIL FROM:<a@contoso.com> SIZE=5001")).toMatch(/^552 5\.3\.4 /);
  expect(await client.say("MAIL FROM:<a@contoso.com> SIZE=5000")).toMatch(/^250/);
  expect(await client.say("RCPT TO:<small@contoso.com>")).toMatch(/^552 5\.3\.4 /);
  expect(await client.say("DATA")).toBe("554 5.5.1 No valid recipients");

  await client.say("MAIL FROM:<a@contoso.com>");
  await client.say("RCPT TO:<small@contoso.com>");
  await client.say("RCPT TO:<large@contoso.com>");
  await client.say("DATA");
  expect(await client.say(`From: a@contoso.com\r\n\r\n${"x".repeat(200)}\r\n.`)).toMatch(/^552 5\.3\.4 /);
  expect(relay.sink.messages).toEqual([]);
});

test("a full spool is 452 at MAIL, before anything is sent", async () => {
  const relay = await startRelay({ sink: { refusal: { code: 452, enhanced: "4.3.1", text: "Insufficient system storage" } } });
  await using client = await open(relay);

  expect(await client.say("MAIL FROM:<a@contoso.com>")).toBe("452 4.3.1 Insufficient system storage");
});

test("a commit that fails is 451 after the data, an unknown error as well, and never 250", async () => {
  const relay = await startRelay({ sink: { commitError: new PosternError("E_SPOOL_FAILED", "I/O error") } });
  await using client = await open(relay);
  const send = async (): Promise<string> => {
    await client.say("MAIL FROM:<a@contoso.com>");
    await client.say("RCPT TO:<b@contoso.com>");
    await client.say("DATA");
    client.write(MAIL);
    return client.reply();
  };

  expect(await send()).toMatch(/^451 4\.3\.0 /);
  relay.sink.options.commitError = new TypeError("bug");
  expect(await send()).toMatch(/^451 4\.3\.0 /);
  relay.sink.options.commitError = undefined;
  expect(await send()).toMatch(/^250 2\.0\.0 Ok: queued as /);
});

test("the 1,001st recipient is 452, and the mail to the others goes on", async () => {
  const relay = await startRelay();
  await using client = await open(relay);
  await client.say("MAIL FROM:<a@contoso.com>");

  client.write(Array.from({ length: 1001 }, (_, i) => `RCPT TO:<r${i}@contoso.com>\r\n`).join(""));
  const replies = [];
  for (let i = 0; i < 1001; i += 1) replies.push(await client.reply());

  expect(replies.filter((reply) => reply.startsWith("250"))).toHaveLength(1000);
  expect(replies[1000]).toMatch(/^452 4\.5\.3 /);
});

test("20 unknown commands, or 100 commands without a mail, end the session", async () => {
  const relay = await startRelay();
  await using rude = await open(relay);
  await using idle = await open(relay);

  rude.write("XYZZY\r\n".repeat(20));
  idle.write("RSET\r\n".repeat(101));

  expect((await rude.end()).match(/^(500|421)/gm)).toEqual([...Array<string>(19).fill("500"), "421"]);
  expect((await idle.end()).match(/^(250|421)/gm)).toEqual([...Array<string>(100).fill("250"), "421"]);
});

test.each([
  ["a TLS ClientHello", "\u0016\u0003\u0001\u0002\u0000\u0001\u0000", "tls-on-plain-port"],
  ["HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "http"],
  ["a PROXY v2 header", "\r\n\r\n\0\r\nQUIT\n!\u0011", "proxy-header"],
  ["a PROXY v1 header", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "proxy-header"],
])("%s on the plain port is closed at once, with a hint", async (_, octets, reason) => {
  const relay = await startRelay();
  await using client = await open(relay);

  client.write(octets);
  await client.end();

  expect(await relay.event("session.rejected")).toMatchObject({ reason });
  expect((await relay.event("session.rejected")).remedy).toBeDefined();
});

test("a line over the limit is 500 once, in bounded memory, and the next command works", async () => {
  const relay = await startRelay();
  await using client = await open(relay);

  client.write("x".repeat(200_000));
  expect(await client.say("")).toMatch(/^500 5\.5\.2 /);
  expect(await client.say("NOOP")).toMatch(/^250/);
});

test("further connections of a device wait for a place, and get 421 when none comes free", async () => {
  const relay = await startRelay({ limits: { sessionsPerDevice: 2, placeWaitMs: 100 } });
  await using first = await open(relay);
  await using _second = await open(relay);

  await using third = await LineClient.open(relay.port);
  expect(await third.reply()).toMatch(/^421 4\.3\.2 /);

  await using fourth = await LineClient.open(relay.port);
  await first.say("QUIT");
  expect(await fourth.reply()).toMatch(/^220 /);
});

test("over the cap of all sessions it is 421 at once", async () => {
  const relay = await startRelay({ limits: { sessions: 1 } });
  await using _first = await open(relay);

  await using second = await LineClient.open(relay.port);

  expect(await second.end()).toMatch(/^421 4\.3\.2 /);
});

test("silence ends a session with 421, in commands and in DATA, but not while we are the ones waited for", async () => {
  const { promise: slow, resolve: release } = Promise.withResolvers<void>();
  const relay = await startRelay({ limits: { commandIdleMs: 50, dataIdleMs: 50 }, sink: { beforeCommit: () => slow } });
  await using silent = await open(relay);
  await using busy = await open(relay);
  busy.write(`MAIL FROM:<a@contoso.com>\r\nRCPT TO:<b@contoso.com>\r\nDATA\r\n${MAIL}`);

  expect(await silent.end()).toMatch(/^421 4\.4\.2 /);
  release();

  await busy.seen("queued as");
});

test("a client that leaves in the middle of DATA leaves nothing behind; one that leaves before the 250 has its mail accepted", async () => {
  const { promise: slow, resolve: release } = Promise.withResolvers<void>();
  const relay = await startRelay({ sink: { beforeCommit: () => slow } });
  const half = await open(relay);
  half.write("MAIL FROM:<a@contoso.com>\r\nRCPT TO:<b@contoso.com>\r\nDATA\r\n");
  await half.seen("354");
  half.write("Subject: x\r\n\r\nhalf a bo");
  half.reset();
  await relay.event("session.closed");
  expect(relay.sink).toMatchObject({ opened: 1, aborted: 1, committed: 0 });

  const whole = await open(relay);
  whole.write(`MAIL FROM:<a@contoso.com>\r\nRCPT TO:<b@contoso.com>\r\nDATA\r\n`);
  await whole.seen("354");
  const committing = new Promise<void>((resolve) => (relay.sink.options.beforeCommit = () => (resolve(), slow)));
  whole.write(MAIL);
  await committing;
  whole.reset();
  release();

  await relay.event("message.accepted");
  expect(relay.sink.committed).toBe(1);
});

test("back-pressure stops reading, and nothing is lost", async () => {
  const { promise: room, resolve: makeRoom } = Promise.withResolvers<void>();
  let written = 0;
  const relay = await startRelay({ client: { maxMessageSizeBytes: 50_000_000 } });
  const blocked = new Promise<void>((resolve) => {
    relay.sink.options.onWrite = (octets) => {
      written += octets.length;
      resolve();
      return room;
    };
  });
  await using client = await open(relay);
  await client.say("MAIL FROM:<a@contoso.com>");
  await client.say("RCPT TO:<b@contoso.com>");
  await client.say("DATA");
  const body = `${"x".repeat(998)}\r\n`.repeat(20_000);

  client.write(`From: a@contoso.com\r\n\r\n${body}.\r\n`);
  await blocked;
  expect(written).toBeLessThan(200_000);
  makeRoom();

  expect(await client.reply()).toMatch(/^250/);
  expect(relay.sink.messages[0]?.content.toString().endsWith(`\r\n\r\n${body}`)).toBe(true);
});

test("stopping says 421 to idle sessions, lets a mail in progress finish, and takes no more", async () => {
  const relay = await startRelay();
  await using idle = await open(relay);
  await using busy = await open(relay);
  await busy.say("MAIL FROM:<a@contoso.com>");
  await busy.say("RCPT TO:<b@contoso.com>");
  await busy.say("DATA");
  busy.write("From: a@contoso.com\r\n\r\nbo");

  const stopped = relay.receiver.stop(10_000);
  expect(await idle.end()).toMatch(/^421 4\.3\.2 /);
  busy.write("dy\r\n.\r\n");

  expect(await busy.end()).toMatch(/^250 2\.0\.0 Ok: queued as \w+\r\n421 4\.3\.2 /);
  await stopped;
  await expect(LineClient.open(relay.port)).rejects.toThrow(/ECONNREFUSED/);
});

test("a client that does not finish is cut when the grace is over", async () => {
  const relay = await startRelay();
  await using client = await open(relay);
  await client.say("MAIL FROM:<a@contoso.com>");
  await client.say("RCPT TO:<b@contoso.com>");
  await client.say("DATA");

  await relay.receiver.stop(20);

  expect(relay.sink).toMatchObject({ committed: 0, aborted: 1 });
});

test("a listener without host takes IPv4 and IPv6, and IPv4 peers keep their address", async () => {
  const relay = await startRelay({
    client: { networks: ["127.0.0.1", "::1"] },
    with: { listeners: [{ name: "all", endpoints: [{ port: 0 }], tls: { mode: "none" } }] },
  });

  await using v4 = await open(relay);
  await using v6 = await LineClient.open(relay.port, "::1", "::1");
  await v6.reply();
  await v4.say("NOOP");

  expect(relay.events.filter((event) => event.type === "session.opened").map(({ device }) => device)).toEqual(["127.0.0.1", "::1"]);
});

test("a client restricted to another listener may not use this one", async () => {
  const listener = (name: string) => ({ name, endpoints: [{ host: "127.0.0.1", port: 0 }], tls: { mode: "none" as const } });
  const relay = await startRelay({ client: { listeners: ["b"] }, with: { listeners: [listener("a"), listener("b")] } });
  const [a, b] = relay.receiver.addresses();

  await using refused = await LineClient.open(a?.port ?? 0);
  await using taken = await LineClient.open(b?.port ?? 0);

  expect(await refused.reply()).toMatch(/^554 5\.7\.1 /);
  expect(await taken.reply()).toMatch(/^220 /);
});

test("a port that is taken is an error that names the listener, and nothing stays bound", async () => {
  const relay = await startRelay();
  const other = createReceiver({
    hostname: "relay.contoso.com",
    domains: { own: [], first: "contoso.com" },
    listeners: [
      { name: "free", endpoints: [{ host: "127.0.0.1", port: 0 }], tls: { mode: "none" } },
      { name: "taken", endpoints: [{ host: "127.0.0.1", port: relay.port }], tls: { mode: "none" } },
    ],
    clients: [],
    sink: relay.sink,
    clock: systemClock,
    emit: () => undefined,
  });

  await expect(other.start()).rejects.toThrow(
    new RegExp(`listener taken cannot be bound: .*EADDRINUSE.*; another program listens there: ss -ltnp 'sport = :\\d+' names it$`),
  );
});

const ALL_OF = { domains: { own: ["contoso.com"], first: "contoso.com" }, clients: [FLOOR] };
const listenerAt = (name: string, ...endpoints: { readonly host?: string; readonly port: number }[]) => ({
  name,
  endpoints,
  tls: { mode: "none" as const },
});

test.each([undefined, "0.0.0.0"])(
  "a listener is widened from one address to every one on its port (%s), and back; sessions go on",
  async (host) => {
    const relay = await startRelay();
    const { port } = relay;
    await using early = await open(relay);
    const wide = listenerAt("printers", host === undefined ? { port } : { host, port });

    await relay.receiver.update({ ...ALL_OF, listeners: [wide] });
    await using elsewhere = await LineClient.open(port, "127.0.0.1", "127.0.0.5");
    const greeting = await elsewhere.reply();
    await relay.receiver.update({ ...ALL_OF, listeners: [listenerAt("printers", { host: "127.0.0.1", port })] });

    await using late = await open(relay);
    expect(greeting).toMatch(/^220 /);
    expect(await early.say("NOOP")).toMatch(/^250 /);
    expect(await late.say("NOOP")).toMatch(/^250 /);
    await expect(LineClient.open(port, "127.0.0.1", "127.0.0.5")).rejects.toMatchObject({ code: "ECONNREFUSED" });
    expect(relay.events.flatMap((event) => (event.type === "listener.closed" ? [event.address] : []))).toEqual(["127.0.0.1", host ?? "::"]);
  },
);

test("an address that was closed for one that cannot be bound after all is bound again", async () => {
  const [relay, other] = [await startRelay(), await startRelay()];
  const { port } = relay;
  const listeners = [listenerAt("printers", { port }), listenerAt("taken", { host: "127.0.0.1", port: other.port })];

  await expect(relay.receiver.update({ ...ALL_OF, listeners })).rejects.toThrow(/listener taken cannot be bound: .*another program/);

  await using client = await open(relay);
  expect(await client.say("NOOP")).toMatch(/^250 /);
  expect(relay.receiver.addresses()).toEqual([{ listener: "printers", address: "127.0.0.1", port }]);
});

test("an address of the relay itself is not called another program", async () => {
  const relay = await startRelay();
  const kept = listenerAt("printers", { host: "127.0.0.1", port: 0 });

  await expect(relay.receiver.update({ ...ALL_OF, listeners: [kept, listenerAt("all", { port: relay.port })] })).rejects.toThrow(
    new RegExp(`listener all cannot be bound: .*EADDRINUSE.*; the relay itself listens at 127\\.0\\.0\\.1:${relay.port}$`),
  );
});

test("a client that never reads its replies does not fill our memory", async () => {
  const relay = await startRelay({ limits: { nonMailCommands: 1e9, commandIdleMs: 300 } });
  await using client = await open(relay);
  client.pause();

  client.write("HELP\r\n".repeat(500_000));
  await relay.event("session.closed");

  expect(process.memoryUsage.rss()).toBeLessThan(1e9);
});

test("the events of a repaired dialogue name each quirk once", async () => {
  const relay = await startRelay();
  await using client = await open(relay);

  await client.say("HELO");
  await client.say("HELO");
  await client.say("MAIL FROM: scanner");
  await client.say("RCPT TO: bob@contoso.com");
  await client.say("QUIT");

  expect(relay.events.filter((event) => event.type === "session.repaired").map(({ quirk }) => quirk)).toEqual([
    "helo-without-name",
    "space-after-colon",
    "missing-brackets",
    "address-without-domain",
  ]);
});

test("a sink that throws is a 451 and an event, and the session goes on", async () => {
  const relay = await startRelay();
  const working = relay.sink.open.bind(relay.sink);
  relay.sink.open = () => {
    throw new Error("no more handles");
  };
  await using client = await open(relay);
  await client.say("MAIL FROM:<a@contoso.com>");
  await client.say("RCPT TO:<b@contoso.com>");

  expect(await client.say("DATA")).toMatch(/^451 4\.3\.0 /);
  expect(await relay.event("session.rejected")).toMatchObject({ reason: "internal", detail: "no more handles" });

  relay.sink.open = working;
  expect(await client.say("DATA")).toMatch(/^354 /);
  expect(await client.say(MAIL.slice(0, -2))).toMatch(/^250 /);
});

test("content that was sent without waiting for the 451 to DATA is never read as commands", async () => {
  const relay = await startRelay();
  relay.sink.open = () => {
    throw new Error("no more handles");
  };
  await using client = await open(relay);

  client.write("MAIL FROM:<a@contoso.com>\r\nRCPT TO:<b@contoso.com>\r\nDATA\r\nMAIL FROM:<evil@contoso.com>\r\n.\r\n");

  const replies = (await client.end()).split("\r\n");
  expect(replies.map((line) => line.slice(0, 3))).toEqual(["250", "250", "451", ""]);
});

test("a size limit that throws is a 451, and the session goes on", async () => {
  let broken = true;
  const relay = await startRelay({
    with: {
      sizeLimit: (_client, sender) => {
        if (broken && sender !== undefined) throw new Error("no such door");
        return 1000;
      },
    },
  });
  await using client = await open(relay);

  expect(await client.say("MAIL FROM:<a@contoso.com>")).toMatch(/^451 4\.3\.0 /);
  expect(await relay.event("session.rejected")).toMatchObject({ reason: "internal", detail: "no such door" });
  broken = false;
  expect(await client.say("MAIL FROM:<a@contoso.com>")).toMatch(/^250 /);
});

test("a writer that throws in the middle is a 451 after the content, and the session goes on", async () => {
  const relay = await startRelay({
    sink: {
      onWrite: () => {
        throw new Error("broken");
      },
    },
  });
  await using client = await open(relay);
  await client.say("MAIL FROM:<a@contoso.com>");
  await client.say("RCPT TO:<b@contoso.com>");
  await client.say("DATA");

  expect(await client.say(MAIL.slice(0, -2))).toMatch(/^451 4\.3\.0 /);
  expect(await relay.event("session.rejected")).toMatchObject({ reason: "spool", detail: "broken" });
  expect(await client.say("NOOP")).toMatch(/^250 /);
});

test("connections that share a read buffer keep their octets apart, however slow the spool and however much is pipelined", async () => {
  const relay = await startRelay({ sink: { onWrite: () => new Promise((resolve) => setImmediate(resolve)) } });
  const bodies = Array.from({ length: 5 }, (_, at) => `${String(at).repeat(70)}\r\n`.repeat(3000));
  const clients = await Promise.all(bodies.map(() => open(relay)));

  for (const [at, client] of clients.entries()) {
    const mail = `MAIL FROM:<a@contoso.com>\r\nRCPT TO:<b${at}@contoso.com>\r\nDATA\r\nFrom: a@contoso.com\r\n\r\n${bodies[at]}.\r\n`;
    client.write(`${mail}NOOP\r\n${mail}QUIT\r\n`);
  }
  const replies = await Promise.all(clients.map((client) => client.end()));

  for (const text of replies)
    expect(text.match(/^\d{3}/gm)).toEqual(["250", "250", "354", "250", "250", "250", "250", "354", "250", "221"]);
  for (const { message, content } of relay.sink.messages) {
    const body = bodies[Number(message.recipients[0]?.[1])] ?? "";
    expect(content.toString("latin1").endsWith(`\r\n\r\n${body}`)).toBe(true);
  }
  expect(relay.sink.messages).toHaveLength(10);
  for (const client of clients) await client[Symbol.asyncDispose]();
});

test.skipIf(!hasIpv6())("`::` is IPv6 alone, so that all of IPv4 can be bound beside it on the same port", async () => {
  const relay = await startRelay({
    with: { listeners: [{ name: "six", endpoints: [{ host: "::", port: 0 }], tls: { mode: "none" } }] },
  });

  const other = await startRelay({
    with: { listeners: [{ name: "four", endpoints: [{ host: "0.0.0.0", port: relay.port }], tls: { mode: "none" } }] },
  });

  expect(other.port).toBe(relay.port);
});

function hasIpv6(): boolean {
  return Object.values(networkInterfaces()).some((list) => list?.some(({ family }) => family === "IPv6") === true);
}

test("a repeat that comes while the first is still being committed waits for it, and gets its queue id; when the first fails it is taken", async () => {
  let release: () => void = () => undefined;
  let held = new Promise<void>((resolve) => (release = resolve));
  const sink: MemorySinkOptions = { beforeCommit: () => held };
  const relay = await startRelay({ client: { quirks: { suppressRepeatsWithinMs: 600_000 } }, sink });
  const dialogue = "MAIL FROM:<a@contoso.com>\r\nRCPT TO:<b@contoso.com>\r\nDATA\r\n";
  const both = async (): Promise<string[]> => {
    await using first = await open(relay);
    await using second = await open(relay);
    for (const client of [first, second]) client.write(dialogue + MAIL);
    const replies = [];
    for (const client of [first, second]) {
      for (let skipped = 0; skipped < 3; skipped += 1) await client.reply();
      if (client === first) release();
      replies.push(await client.reply());
    }
    return replies;
  };

  const replies = await both();
  const stored = relay.sink.committed;
  held = new Promise<void>((resolve) => (release = resolve));
  relay.sink.options.commitError = new PosternError("E_SPOOL_FULL", "disk");
  await using third = await open(relay);
  third.write(dialogue + MAIL.replace("body", "other"));
  for (let skipped = 0; skipped < 3; skipped += 1) await third.reply();
  release();
  const failed = await third.reply();
  relay.sink.options.commitError = undefined;
  third.write(dialogue + MAIL.replace("body", "other"));
  for (let skipped = 0; skipped < 3; skipped += 1) await third.reply();
  const again = await third.reply();

  expect(replies[0]).toMatch(/^250 2\.0\.0 Ok: queued as /);
  expect(replies[1]).toBe(replies[0]);
  expect(stored).toBe(1);
  expect(failed).toMatch(/^4/);
  expect(again).toMatch(/^250 2\.0\.0 Ok: queued as /);
  expect(relay.sink.committed).toBe(2);
});

test("a device that leaves in the middle of its data is told of, with what it had sent", async () => {
  const relay = await startRelay();
  const client = await open(relay);
  for (const line of ["MAIL FROM:<a@contoso.com>", "RCPT TO:<b@contoso.com>", "DATA"]) await client.say(line);
  client.write("Subject: half\r\n\r\nof it\r\n");
  client.halfClose();
  await client.end();

  expect(await relay.event("session.unfinished")).toMatchObject({
    device: "127.0.0.1",
    client: "floor",
    recipients: ["b@contoso.com"],
    octets: 24,
    cause: "the device ended the connection",
    remedy: undefined,
  });
});
