/**
 * What does one message cost on its way out? Messages over kept connections to a Postfix smtp-sink, CPU of this process per message, beside
 * that of a bare client which writes the same octets and waits for the same replies without reading them: what the system calls cost.
 *
 * Run: node bench/upstream.ts [messages] [connections] [octets]
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import net from "node:net";
import { systemClock } from "../src/platform/clock.ts";
import { createSmartHostUpstream } from "../src/upstream/smart-host.ts";
import type { Delivery } from "../src/upstream/upstream.ts";
import { freePort } from "../test/support/ports.ts";

const [messages = 20_000, connections = 8, octets = 4096] = process.argv.slice(2).map(Number);

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

/** A client that knows beforehand what is said, and counts the lines of the answers. */
class BareClient {
  readonly #socket: net.Socket;
  #awaited = 0;
  #answered: (() => void) | undefined;

  constructor(socket: net.Socket) {
    this.#socket = socket.setNoDelay();
    socket.on("data", (chunk: Buffer) => {
      for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) this.#awaited -= 1;
      if (this.#awaited <= 0) this.#answered?.();
    });
  }

  async say(what: readonly (string | Uint8Array)[], answers: number): Promise<void> {
    this.#awaited += answers;
    await new Promise<void>((resolve) => {
      this.#answered = resolve;
      for (const piece of what) this.#socket.write(piece);
    });
  }

  end(): void {
    this.#socket.destroy();
  }
}

const ENVELOPE = `MAIL FROM:<a@contoso.com> SIZE=${content.length}\r\nRCPT TO:<b@contoso.com>\r\nDATA\r\n`;
const END = Buffer.from(".\r\n");

async function openBare(): Promise<BareClient[]> {
  return await Promise.all(
    Array.from({ length: connections }, async () => {
      const socket = net.connect(port, "127.0.0.1");
      await once(socket, "data"); // the greeting
      socket.write("EHLO relay.contoso.com\r\n");
      await once(socket, "data");
      return new BareClient(socket);
    }),
  );
}

async function runBare(clients: readonly BareClient[], count: number): Promise<void> {
  let left = count;
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < content.length; at += 256 * 1024) pieces.push(content.subarray(at, at + 256 * 1024));
  const last = small ? [Buffer.concat([content, END])] : [...pieces, END];
  await Promise.all(
    clients.map(async (client) => {
      while (left-- > 0) {
        await client.say([ENVELOPE], 3);
        await client.say(last, 1);
      }
    }),
  );
}

async function measured(what: string, work: (count: number) => Promise<void>, count: number): Promise<number> {
  const startedAt = performance.now();
  const cpu = process.cpuUsage();
  await work(count);
  const { user, system } = process.cpuUsage(cpu);
  const seconds = (performance.now() - startedAt) / 1000;
  const each = (microseconds: number): string => (microseconds / count).toFixed(1);
  console.log(
    `  ${what}: ${each(user + system)} us CPU per message (${each(user)} user, ${each(system)} system), ${Math.round(count / seconds)}/s`,
  );
  return (user + system) / count;
}

console.log(`${messages} messages of ${content.length} octets, ${connections} connections, three rounds`);
const bare = await openBare();
const share = Math.ceil(messages / 3);
const warmUp = Math.min(10_000, share);
await runBare(bare, warmUp);
await run(warmUp);
const ratios: number[] = [];
for (let round = 0; round < 3; round++) {
  const least = await measured("bare client", async (count) => await runBare(bare, count), share);
  const ours = await measured("upstream   ", run, share);
  ratios.push(ours / least);
}
console.log(`  ratio: ${ratios.toSorted((a, b) => a - b)[1]?.toFixed(2)} (median)`);
for (const client of bare) client.end();
await upstream.close();
sink.kill();
