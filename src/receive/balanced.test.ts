import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { LineClient } from "../../test/fakes/line-client.ts";
import { MemorySink } from "../../test/fakes/memory-sink.ts";
import type { PosternEvent } from "../mail/events.ts";
import { ManualClock, systemClock } from "../platform/clock.ts";
import { ensureSelfMadeCertificate } from "./certificate.ts";
import { createReceiver } from "./receiver.ts";
import type { CertificatePair, ListenerTls, Receiver } from "./receiver.ts";

let folder: string;
let certificate: CertificatePair;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "postern-balanced-"));
  certificate = await ensureSelfMadeCertificate(folder, "relay.contoso.com", { named: ["127.0.0.1"] }, systemClock);
});
afterAll(() => rm(folder, { recursive: true }));

const running: Receiver[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((receiver) => receiver.stop(0)));
});

const BALANCER = "127.0.0.9";

async function startRelay(tls: ListenerTls = { mode: "opportunistic", certificate }, networks: readonly string[] = []) {
  const clock = new ManualClock();
  const sink = new MemorySink();
  const events: PosternEvent[] = [];
  const { promise: rejected, resolve } = Promise.withResolvers<PosternEvent>();
  const receiver = createReceiver({
    hostname: "relay.contoso.com",
    domains: { own: ["contoso.com"], first: "contoso.com" },
    listeners: [{ name: "printers", endpoints: [{ host: "127.0.0.1", port: 0 }], tls, proxyProtocol: [`${BALANCER}/32`] }],
    clients: [
      {
        name: "floor",
        networks: ["10.20.0.0/16", "fd00:20::/32", "127.0.0.1", ...networks],
        senders: ["internal"],
        recipients: ["internal"],
        fallbackSender: "s@contoso.com",
        maxMessageSizeBytes: 1e7,
        priority: "normal",
      },
    ],
    sink,
    clock,
    emit: (event) => {
      events.push(event);
      if (event.type === "session.rejected") resolve(event);
    },
  });
  running.push(receiver);
  await receiver.start();
  return { clock, sink, events, rejected, port: receiver.addresses()[0]?.port ?? 0 };
}

const LINE = "PROXY TCP4 10.20.3.7 10.0.0.1 40000 25\r\n";
const MAIL = "EHLO x\r\nMAIL FROM:<a@contoso.com>\r\nRCPT TO:<b@contoso.com>\r\nDATA\r\nFrom: a@contoso.com\r\n\r\nx\r\n.\r\nQUIT\r\n";

test.each([
  ["version 1", Buffer.from(LINE), "10.20.3.7"],
  ["version 1, IPv6", Buffer.from("PROXY TCP6 fd00:20:0::7 ::1 40000 25\r\n"), "fd00:20::7"],
  ["version 2", Buffer.from("0d0a0d0a000d0a515549540a2111000c0a1403070a0000019c400019", "hex"), "10.20.3.7"],
])("behind a listed balancer the device is whom its header names, with everything in one packet (%s)", async (_, header, device) => {
  const relay = await startRelay();
  await using client = await LineClient.open(relay.port, BALANCER);

  client.write(Buffer.concat([header, Buffer.from(MAIL)]));

  expect((await client.end()).replace(/^250-.*\r\n/gm, "").match(/^\d{3}/gm)).toEqual(["220", "250", "250", "250", "354", "250", "221"]);
  expect(relay.sink.messages[0]?.message.origin).toMatchObject({ device, client: "floor" });
  expect(relay.sink.messages[0]?.content.toString()).toContain(device.includes(":") ? `[IPv6:${device}]` : `[${device}]`);
  expect(relay.events.find(({ type }) => type === "session.opened")).toMatchObject({ device, balancer: BALANCER });
});

test("a header that comes octet by octet is the same, and nothing is said before it is whole", async () => {
  const relay = await startRelay();
  await using client = await LineClient.open(relay.port, BALANCER);

  for (const octet of LINE) {
    client.write(octet);
    await new Promise((resolve) => setImmediate(resolve));
  }

  expect(await client.reply()).toMatch(/^220 /);
  expect(await client.say("NOOP")).toMatch(/^250 /);
});

test("TLS begins after the header: STARTTLS, and implicit with the hello in the same packet or later", async () => {
  const opportunistic = await startRelay();
  await using client = await LineClient.open(opportunistic.port, BALANCER);
  client.write(LINE);
  await client.reply();
  await client.say("STARTTLS");
  await client.startTls();
  expect(await client.say("NOOP")).toMatch(/^250 /);

  const implicit = await startRelay({ mode: "implicit", certificate });
  for (const together of [true, false]) {
    const socket = connect({ host: "127.0.0.1", port: implicit.port, localAddress: BALANCER });
    await new Promise((resolve) => socket.once("connect", resolve));
    if (together) socket.cork();
    socket.write(LINE);
    const secure = connectTls({ socket, rejectUnauthorized: false });
    if (together) setImmediate(() => socket.uncork());
    const greeting = await new Promise<string>((resolve) => secure.once("data", (chunk: Buffer) => resolve(chunk.toString())));
    expect(greeting).toMatch(/^220 /);
    secure.destroy();
  }
});

test("an address that the header names and no client has is refused like any other", async () => {
  const relay = await startRelay();
  await using client = await LineClient.open(relay.port, BALANCER);

  client.write("PROXY TCP4 192.0.2.9 10.0.0.1 40000 25\r\n");

  expect(await client.end()).toBe("554 5.7.1 relay.contoso.com 192.0.2.9 is not allowed to relay; ask the administrator to add it\r\n");
  expect(await relay.rejected).toMatchObject({ device: "192.0.2.9", reason: "unlisted" });
});

test("nobody else's header is believed: not a listed device's, and not a second one behind a balancer's", async () => {
  const relay = await startRelay();
  await using device = await LineClient.open(relay.port);
  await using twice = await LineClient.open(relay.port, BALANCER);
  await device.reply();

  device.write(LINE + MAIL);
  twice.write("PROXY TCP4 10.20.3.8 10.0.0.1 40000 25\r\nPROXY TCP4 10.20.3.7 10.0.0.1 40000 25\r\n");

  expect(await device.end()).not.toContain("250");
  expect(await twice.end()).not.toContain("250");
  expect(
    relay.events.flatMap((event) => (event.type === "session.rejected" ? [`${event.device} ${event.reason}`] : [])).toSorted(),
  ).toEqual(["10.20.3.8 proxy-header", "127.0.0.1 proxy-header"]);
  expect(relay.sink.messages).toEqual([]);
});

test.each([["PROXY UNKNOWN\r\n"], ["\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"]])(
  "a balancer's own look whether we live is greeted, may send nothing, and is no session of a device (%j)",
  async (header) => {
    const relay = await startRelay();
    await using client = await LineClient.open(relay.port, BALANCER);
    client.write(header);

    expect(await client.reply()).toMatch(/^220 /);
    expect(await client.say("EHLO balancer")).toMatch(/^250/);
    expect(await client.say("MAIL FROM:<a@contoso.com>")).toMatch(/^554 5\.7\.1 .*127\.0\.0\.9 is not allowed/);
    expect(await client.say("AUTH PLAIN AAAA")).toMatch(/^502 /);
    expect(await client.say("QUIT")).toMatch(/^221 /);
    await client.end();

    expect(relay.events.filter(({ type }) => type === "session.opened" || type === "session.closed")).toEqual([]);
  },
);

test("a listed balancer without a header gets a line, and the reason is logged", async () => {
  const relay = await startRelay();
  await using plain = await LineClient.open(relay.port, BALANCER);

  plain.write("EHLO x\r\n");

  expect(await plain.end()).toBe("554 5.5.1 PROXY header expected\r\n");
  expect(await relay.rejected).toMatchObject({
    reason: "proxy-header",
    device: BALANCER,
    detail: expect.stringContaining("does not begin with"),
  });
});

test("a header that is not whole after five seconds is none", async () => {
  const relay = await startRelay();
  const before = relay.clock.pending;
  await using silent = await LineClient.open(relay.port, BALANCER);
  silent.write("PROXY TCP4 ");
  while (relay.clock.pending <= before) await new Promise((resolve) => setImmediate(resolve));

  relay.clock.advance(5_000);

  expect(await silent.end()).toBe("554 5.5.1 PROXY header expected\r\n");
  expect(await relay.rejected).toMatchObject({ detail: "no whole PROXY header came within 5 s" });
});

test("a balancer that only connects is nothing", async () => {
  const relay = await startRelay();
  const before = relay.clock.pending;
  await using probe = await LineClient.open(relay.port, BALANCER);

  probe.halfClose();

  expect(await probe.end()).toBe("");
  while (relay.clock.pending > before) await new Promise((resolve) => setImmediate(resolve));
  expect(relay.events.filter(({ type }) => type !== "listener.bound")).toEqual([]);
});

test("a balancer that is a device of a client besides sends mail of its own by a header that names nobody", async () => {
  const relay = await startRelay(undefined, [BALANCER]);
  await using client = await LineClient.open(relay.port, BALANCER);

  client.write(Buffer.concat([Buffer.from("0d0a0d0a000d0a515549540a20000000", "hex"), Buffer.from(MAIL)]));
  await client.end();

  expect(relay.sink.messages[0]?.message.origin).toMatchObject({ client: "floor", device: BALANCER });
});

test("another address than the balancers' needs no header on the same listener", async () => {
  const relay = await startRelay();
  await using client = await LineClient.open(relay.port);

  expect(await client.reply()).toMatch(/^220 /);
});
