import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTcp } from "node:net";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { LineClient } from "../../test/fakes/line-client.ts";
import { MemorySink } from "../../test/fakes/memory-sink.ts";
import { startProcess } from "../../test/support/process.ts";
import { hasTool } from "../../test/support/tools.ts";
import type { PosternEvent } from "../mail/events.ts";
import { systemClock } from "../platform/clock.ts";
import { ensureSelfMadeCertificate } from "./certificate.ts";
import { createReceiver } from "./receiver.ts";
import type { CertificatePair, ListenerTls, Receiver, ReceiverLimits } from "./receiver.ts";

let folder: string;
let certificate: CertificatePair;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "postern-tls-"));
  certificate = await ensureSelfMadeCertificate(folder, "relay.contoso.com", { named: ["127.0.0.1"] }, systemClock);
});
afterAll(() => rm(folder, { recursive: true }));

const running: Receiver[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((receiver) => receiver.stop(0)));
});

async function startRelay(
  tls: ListenerTls,
  limits: Partial<ReceiverLimits> = {},
): Promise<{ port: number; sink: MemorySink; events: PosternEvent[]; rejected: Promise<PosternEvent> }> {
  const sink = new MemorySink();
  const events: PosternEvent[] = [];
  const { promise: rejected, resolve } = Promise.withResolvers<PosternEvent>();
  const receiver = createReceiver({
    hostname: "relay.contoso.com",
    domains: { own: ["contoso.com"], first: "contoso.com" },
    listeners: [{ name: "printers", endpoints: [{ host: "127.0.0.1", port: 0 }], tls }],
    clients: [
      {
        name: "floor",
        networks: ["127.0.0.1"],
        senders: ["internal"],
        recipients: ["internal"],
        fallbackSender: "s@contoso.com",
        maxMessageSizeBytes: 1e7,
        priority: "normal",
      },
    ],
    limits,
    sink,
    clock: systemClock,
    emit: (event) => {
      events.push(event);
      if (event.type === "session.rejected") resolve(event);
    },
  });
  running.push(receiver);
  await receiver.start();
  return { port: receiver.addresses()[0]?.port ?? 0, sink, events, rejected };
}

const MAIL = "MAIL FROM:<a@contoso.com>\r\nRCPT TO:<b@contoso.com>\r\nDATA\r\nFrom: a@contoso.com\r\n\r\nbody\r\n.\r\n";

test("STARTTLS is offered, works without a new EHLO, and the mail says ESMTPS", async () => {
  const relay = await startRelay({ mode: "opportunistic", certificate });
  await using client = await LineClient.open(relay.port);
  await client.reply();
  expect(await client.say("EHLO x")).toContain("250-STARTTLS");
  await client.say("MAIL FROM:<z@contoso.com>");
  expect(await client.say("STARTTLS")).toMatch(/^220 /);

  await client.startTls();
  expect(await client.say("RCPT TO:<b@contoso.com>")).toMatch(/^503 /); // what was said in clear is forgotten
  client.write(MAIL);
  await relay.sink.received(1);

  const { message, content } = relay.sink.messages[0]!;
  expect(message.origin).toMatchObject({ tls: "TLSv1.3", helo: undefined });
  expect(content.toString()).toMatch(
    /from unknown .*\r\n\t\(version=TLSv1\.3 cipher=\w+\)\r\n\tby relay\.contoso\.com \(Postern\) with ESMTPS id/,
  );
  expect(relay.events.find(({ type }) => type === "session.secured")).toMatchObject({ tls: "TLSv1.3" });
});

test("STARTTLS is not offered again inside TLS, and a second one is 503", async () => {
  const relay = await startRelay({ mode: "opportunistic", certificate });
  await using client = await LineClient.open(relay.port);
  await client.reply();
  await client.say("STARTTLS");
  await client.startTls();

  expect(await client.say("EHLO x")).not.toContain("STARTTLS");
  expect(await client.say("STARTTLS")).toMatch(/^503 5\.5\.1 /);
});

test("commands sent in clear behind STARTTLS are thrown away", async () => {
  const relay = await startRelay({ mode: "opportunistic", certificate });
  await using client = await LineClient.open(relay.port);
  await client.reply();

  client.write("STARTTLS\r\nMAIL FROM:<evil@contoso.com>\r\nRCPT TO:<b@contoso.com>\r\n");
  expect(await client.reply()).toMatch(/^220 /);
  await client.startTls();

  expect(await client.say("RCPT TO:<b@contoso.com>")).toMatch(/^503 /);
  expect(await client.say("NOOP")).toMatch(/^250 /);
});

test("STARTTLS that was sent while a message was being committed upgrades all the same", async () => {
  const relay = await startRelay({ mode: "opportunistic", certificate });
  const { promise: committed, resolve: commit } = Promise.withResolvers<void>();
  relay.sink.options.beforeCommit = () => committed;
  await using client = await LineClient.open(relay.port);
  await client.reply();

  client.write(`EHLO x\r\n${MAIL}STARTTLS\r\n`);
  await client.seen("354 ");
  commit();
  await client.seen("220 2.0.0");
  await client.startTls();

  expect(await client.say("NOOP")).toMatch(/^250 /);
  client.write(MAIL);
  await relay.sink.received(2);
});

test.each(["opportunistic", "implicit"] as const)("a handshake that does not come to its end is cut (%s)", async (mode) => {
  const relay = await startRelay({ mode, certificate }, { tlsHandshakeMs: 20 });
  await using client = await LineClient.open(relay.port);

  if (mode === "opportunistic") client.write("STARTTLS\r\n");
  else client.write(Buffer.from([0x16, 0x03, 0x01])); // a record header, and then nothing

  expect(await relay.rejected).toMatchObject({ reason: "tls", detail: expect.stringContaining("longer than") });
  await client.end();
});

test.each(["end", "resetAndDestroy"] as const)(
  "a port of implicit TLS that is only looked at counts a session and refuses nobody (%s)",
  async (how) => {
    const relay = await startRelay({ mode: "implicit", certificate });
    const probe = connectTcp({ port: relay.port, host: "127.0.0.1" }).on("error", () => undefined);
    await once(probe, "connect");

    probe[how]();

    await expect.poll(() => relay.events.map(({ type }) => type)).toContain("session.closed");
    expect(relay.events.map(({ type }) => type).filter((type) => type.startsWith("session."))).toEqual([
      "session.opened",
      "session.closed",
    ]);
  },
);

test.each(["opportunistic", "implicit"] as const)(
  "who leaves within the handshake is told of at once, and why that may be (%s)",
  async (mode) => {
    const relay = await startRelay({ mode, certificate });
    const client = connectTcp({ port: relay.port, host: "127.0.0.1" });
    client.resume();
    await once(client, "connect");

    if (mode === "opportunistic") client.write("STARTTLS\r\n");
    else client.write(Buffer.from([0x16, 0x03, 0x01]));
    client.end();

    expect(await relay.rejected).toMatchObject({
      reason: "tls",
      detail: "the device ended the connection within the handshake",
      remedy: expect.stringContaining("does not trust the listener's certificate"),
    });
    await expect.poll(() => relay.events.map(({ type }) => type)).toContain("session.closed");
  },
);

test("a connection that waits for its handshake hears no line in clear when the relay stops", async () => {
  const relay = await startRelay({ mode: "implicit", certificate }, { handshakesPerDevice: 1 });
  await using first = await LineClient.open(relay.port);
  await using second = await LineClient.open(relay.port);
  const opened = (): number => relay.events.filter(({ type }) => type === "session.opened").length;
  await expect.poll(opened).toBe(2);

  await running[0]?.stop(0);

  expect([await first.end(), await second.end()]).toEqual(["", ""]);
});

test("a device that never gets through a handshake is seen before it is refused", async () => {
  const relay = await startRelay({ mode: "implicit", certificate });
  await using client = await LineClient.open(relay.port);

  client.write("EHLO x\r\n");
  await relay.rejected;

  expect(
    relay.events
      .map(({ type }) => type)
      .filter((type) => type.startsWith("session."))
      .slice(0, 2),
  ).toEqual(["session.opened", "session.rejected"]);
});

test("a mail larger than any buffer comes whole through TLS while the spool is slow", async () => {
  const relay = await startRelay({ mode: "implicit", certificate });
  relay.sink.options.onWrite = () => new Promise((resolve) => setImmediate(resolve));
  const body = "0123456789abcdef\r\n".repeat(30_000);
  await using client = await LineClient.openTls(relay.port);

  client.write(MAIL.replace("body\r\n", body));
  const [stored] = await relay.sink.received(1);

  expect(stored?.content.toString("latin1").endsWith(`\r\n\r\n${body}`)).toBe(true);
});

test("where TLS is required, MAIL before it is 530 5.7.0", async () => {
  const relay = await startRelay({ mode: "required", certificate });
  await using client = await LineClient.open(relay.port);
  await client.reply();

  expect(await client.say("MAIL FROM:<a@contoso.com>")).toMatch(/^530 5\.7\.0 /);
  await client.say("STARTTLS");
  await client.startTls();
  expect(await client.say("MAIL FROM:<a@contoso.com>")).toMatch(/^250 /);
});

test("a listener without TLS answers STARTTLS with 502", async () => {
  const relay = await startRelay({ mode: "none" });
  await using client = await LineClient.open(relay.port);
  await client.reply();

  expect(await client.say("STARTTLS")).toMatch(/^502 5\.5\.1 /);
});

test("implicit TLS greets inside TLS and takes mail", async () => {
  const relay = await startRelay({ mode: "implicit", certificate });
  await using client = await LineClient.openTls(relay.port);

  expect(await client.reply()).toMatch(/^220 relay\.contoso\.com /);
  expect(await client.say("EHLO x")).not.toContain("STARTTLS");
  client.write(MAIL);
  await relay.sink.received(1);

  expect(relay.sink.messages[0]?.message.origin.tls).toBe("TLSv1.3");
});

const WRONG_PORT = /TLS from the first octet on: switch the device to SSL\/TLS, or give it a port/;

test.each(["EHLO x\r\n", "GET / HTTP/1.1\r\n"])("a device that says %j to an implicit TLS listener has the wrong port", async (said) => {
  const relay = await startRelay({ mode: "implicit", certificate });
  const socket = connectTcp(relay.port, "127.0.0.1");
  socket.on("error", () => undefined);

  socket.write(said);

  const remedy = expect.stringMatching(/TLS from the first octet on: switch the device to SSL\/TLS, or give it a port/);
  expect(await relay.rejected).toMatchObject({ type: "session.rejected", reason: "tls", remedy });
  socket.destroy();
  await using client = await LineClient.openTls(relay.port);
  expect(await client.reply()).toMatch(/^220 /);
});

test("a device that knows only TLS 1.0 is one rejected event with a remedy on a default listener, and the process lives", async () => {
  const relay = await startRelay({ mode: "opportunistic", certificate });
  await using client = await LineClient.open(relay.port);
  await client.reply();
  await client.say("STARTTLS");

  await expect(client.startTls({ minVersion: "TLSv1", maxVersion: "TLSv1", ciphers: "AES128-SHA:@SECLEVEL=0" })).rejects.toThrow();

  expect(await relay.rejected).toMatchObject({ reason: "tls", remedy: expect.stringContaining("min_version") });
});

test.each([
  ["TLSv1", "AES128-SHA:@SECLEVEL=0", "TLSv1" as const],
  ["TLSv1.2", "AES128-SHA", undefined],
  ["TLSv1.2", "AES128-GCM-SHA256", undefined],
])("a device that knows only %s with %s gets through", async (version, ciphers, minVersion) => {
  const relay = await startRelay({ mode: "opportunistic", certificate, minVersion });
  await using client = await LineClient.open(relay.port);
  await client.reply();
  await client.say("STARTTLS");

  const socket = await client.startTls({ minVersion: "TLSv1", maxVersion: version as "TLSv1", ciphers });

  expect(socket.getProtocol()).toBe(version);
  expect(await client.say("NOOP")).toMatch(/^250 /);
});

test("a device that waits for a greeting where TLS comes first has the wrong port", async () => {
  const relay = await startRelay({ mode: "implicit", certificate }, { tlsHandshakeMs: 20 });
  await using client = await LineClient.open(relay.port);

  await client.end();

  expect(await relay.rejected).toMatchObject({ reason: "tls", remedy: expect.stringMatching(WRONG_PORT) });
});

test.skipIf(!hasTool("openssl"))(
  "openssl s_client with TLS 1.0 and AES128-SHA succeeds where TLSv1 is allowed, and only there",
  async () => {
    const dial = async (minVersion: "TLSv1" | undefined) => {
      const relay = await startRelay({ mode: "opportunistic", certificate, minVersion });
      const args = [
        "s_client",
        "-connect",
        `127.0.0.1:${relay.port}`,
        "-starttls",
        "smtp",
        "-tls1",
        "-cipher",
        "AES128-SHA:@SECLEVEL=0",
        "-ign_eof",
      ];
      await using client = await startProcess("openssl", args, { input: "QUIT\r\n" });
      return { exit: await client.exited, lines: client.lines.join("\n") };
    };

    const legacy = await dial("TLSv1");
    const modern = await dial(undefined);

    expect(legacy.lines).toMatch(/TLSv1, Cipher is AES128-SHA|Protocol\s*: TLSv1\b/);
    expect(legacy.exit.code).toBe(0);
    expect(modern.exit.code).not.toBe(0);
  },
);

test.skipIf(!hasTool("openssl"))("a device that does not trust the certificate is told of in its own words, with what helps", async () => {
  const relay = await startRelay({ mode: "implicit", certificate });

  await using client = await startProcess("openssl", ["s_client", "-connect", `127.0.0.1:${relay.port}`, "-verify_return_error"], {
    input: "",
  });
  await client.exited;

  expect(await relay.rejected).toMatchObject({
    reason: "tls",
    detail: expect.stringMatching(/^\S+ alert (?:unknown ca|bad certificate)$/),
    remedy: expect.stringContaining("the device does not trust the listener's certificate"),
  });
});

test("a certificate that does not fit its key is refused before anything listens", async () => {
  const other = await ensureSelfMadeCertificate(join(folder, "other"), "other.contoso.com", { named: [] }, systemClock);

  await expect(startRelay({ mode: "required", certificate: { certPem: certificate.certPem, keyPem: other.keyPem } })).rejects.toThrow();
});
