/**
 * What does one message cost on its way out? Small messages over kept connections to a Postfix smtp-sink, CPU of this process per message.
 *
 * Run: node bench/upstream.ts [messages] [connections] [octets]
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import net from "node:net";
import type { AddressInfo } from "node:net";
import { systemClock } from "../src/platform/clock.ts";
import { createSmartHostUpstream } from "../src/upstream/smart-host.ts";
import type { Delivery } from "../src/upstream/upstream.ts";

const [messages = 20_000, connections = 8, octets = 4096] = process.argv.slice(2).map(Number);

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** Resolves once the port takes connections. */
async function reachable(port: number): Promise<void> {
  for (;;) {
    const socket = net.connect(port, "127.0.0.1");
    const open = await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(true));
      socket.once("error", () => resolve(false));
    });
    socket.destroy();
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function message(size: number): Uint8Array {
  const line = `${"x".repeat(74)}\r\n`;
  const header = "From: a@contoso.com\r\nTo: b@contoso.com\r\nSubject: bench\r\n\r\n";
  return Buffer.from((header + line.repeat(Math.ceil(size / line.length))).slice(0, size - 2) + "\r\n");
}

const port = await freePort();
const sink = spawn("/usr/sbin/smtp-sink", [...(process.getuid?.() === 0 ? ["-u", "root"] : []), `127.0.0.1:${port}`, "1000"], {
  stdio: ["ignore", "ignore", "inherit"],
});
await reachable(port);

const upstream = createSmartHostUpstream({
  name: "bench",
  host: "127.0.0.1",
  port,
  tls: "none",
  ehloName: "relay.contoso.com",
  limits: { connections, messagesPerMinute: undefined, recipientsPerMessage: 100, maxMessageSizeBytes: 1e9 },
  clock: systemClock,
  emit: () => {},
});
const content = message(octets);
const small = octets <= 256 * 1024;
async function* blocks(): AsyncIterable<Uint8Array> {
  for (let at = 0; at < content.length; at += 256 * 1024) yield content.subarray(at, at + 256 * 1024);
}
const delivery: Delivery = {
  queueId: "01BENCH",
  reversePath: "a@contoso.com",
  recipients: ["b@contoso.com"],
  smtpUtf8: false,
  eightBit: false,
  sizeBytes: content.length,
  content: { inMemory: small ? content : undefined, blocks },
};
const { signal } = new AbortController();

async function run(count: number): Promise<void> {
  let left = count;
  await Promise.all(
    Array.from({ length: connections }, async () => {
      while (left-- > 0) {
        const facts = await upstream.attempt(delivery, signal);
        if (facts.accepted === undefined) throw new Error(JSON.stringify(facts));
      }
    }),
  );
}

await run(Math.min(2000, messages));
const startedAt = performance.now();
const cpu = process.cpuUsage();
await run(messages);
const used = process.cpuUsage(cpu);
const seconds = (performance.now() - startedAt) / 1000;
console.log(
  `${messages} messages of ${content.length} octets, ${connections} connections: ${Math.round(messages / seconds)}/s, ` +
    `${((used.user + used.system) / messages).toFixed(1)} us CPU per message (${(used.user / messages).toFixed(1)} user, ${(used.system / messages).toFixed(1)} system)`,
);
await upstream.close();
sink.kill();
