/**
 * Real clients through the whole relay to a next hop that keeps every octet. What a client says to the next hop directly is what must
 * arrive there through the relay, apart from the header fields that the relay adds.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import { startDaemon, type Daemon } from "../../src/daemon/daemon.ts";
import { createObserver, type Observer } from "../../src/observe/observer.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { SmtpReceiver } from "../crash/smtp-receiver.ts";
import { LineClient } from "../fakes/line-client.ts";
import { runProcess } from "../support/process.ts";
import { overheardLog } from "../support/canaries/relay.ts";
import { tempDir, type TempDir } from "../support/temp-dir.ts";
import { findTool, hasTool } from "../support/tools.ts";
import { queueIdOf } from "./submit.ts";

const FROM = "scanner@contoso.com";
const TO = "anna@contoso.com";

let folder: TempDir;
let sink: SmtpReceiver;
let sinkPort: number;
let relay: Daemon;
let observer: Observer;
/** What arrived at the next hop since the test began. */
let arrived: Buffer[];
const waiting = new Set<() => void>();

beforeAll(async () => {
  folder = await tempDir();
  sink = new SmtpReceiver((content) => {
    arrived.push(content);
    for (const wake of waiting) wake();
    return "250 2.0.0 Ok: taken";
  });
  sinkPort = await sink.listen();
  const configFile = join(folder.path, "postern.yaml");
  await writeFile(
    configFile,
    JSON.stringify({
      hostname: "relay.contoso.com",
      data_dir: "data",
      organization: { domains: ["contoso.com"], postmaster: "it@contoso.com" },
      listeners: {
        plain: { listen: "127.0.0.1:0" },
        old: { listen: "127.0.0.1:0", tls: { min_version: "TLSv1" } },
        modern: { listen: "127.0.0.1:0", tls: {} },
      },
      clients: { floor: { networks: ["127.0.0.1"], recipients: "any" } },
      upstreams: { next: { type: "smart-host", host: "127.0.0.1", port: sinkPort, tls: "none" } },
      routes: [{ name: "default", via: "next" }],
      admin: { listen: "127.0.0.1:0" },
    }),
  );
  const loaded = await loadConfig(configFile);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.faults));
  observer = createObserver({ log: { level: "info", destination: overheardLog() }, clock: systemClock });
  relay = await startDaemon(loaded.config, { observer, clock: systemClock });
});

afterAll(async () => {
  await relay.stop();
  observer.close();
  await sink.close();
  await folder.remove();
});

beforeEach(() => {
  arrived = [];
});

const portOf = (listener: string): number => relay.addresses.find((address) => address.listener === listener)?.port ?? 0;

/** Resolves once so many messages have arrived in all. */
async function arrivals(count: number): Promise<readonly Buffer[]> {
  while (arrived.length < count) {
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        waiting.delete(wake);
        resolve();
      };
      waiting.add(wake);
    });
  }
  return arrived;
}

/** Runs a client to its end. */
async function run(tool: string, args: readonly string[], input?: string | Uint8Array): Promise<void> {
  const { code, stdout, stderr } = await runProcess(findTool(tool) ?? tool, args, { input });
  if (code !== 0) throw new Error(`${tool} ended with ${code}:\n${stdout}${stderr}`);
}

/** Header block and body of a content with CRLF line ends. */
function split(content: Buffer): { readonly head: string; readonly body: string } {
  const text = content.toString("latin1");
  const end = text.indexOf("\r\n\r\n");
  return { head: text.slice(0, end), body: text.slice(end + 4) };
}

const HEADER = `From: ${FROM}\r\nTo: ${TO}\r\nSubject: A scan\r\n\r\n`;
/** All that has broken relays: dots at the start of lines, 8-bit octets, empty lines, blanks at the end, lines as long as SMTP allows and longer. */
const HARD = `.one dot\r\n..two dots\r\n.\r\n\r\n\r\n  blanks \t \r\n\xe4\xf6\xfc\xff\x80 8-bit\r\n.${"x".repeat(997)}\r\n${"y".repeat(5000)}\r\nFrom here\r\nlast line\r\n`;
/** What the next hop must get of it: the same octets, but for the line that SMTP does not allow, broken as Postfix breaks it. */
function broken(body: string): string {
  return body.replace(/y{5000}/, (line) => `${line.slice(0, 998)}${line.slice(998).replace(/.{1,997}/g, "\r\n $&")}`);
}

interface Client {
  readonly tool: string;
  readonly what: string;
  readonly send: (port: number) => Promise<void>;
}

const CLIENTS: readonly Client[] = [
  {
    tool: "swaks",
    what: "swaks --pipeline",
    send: async (port) => {
      const file = join(folder.path, "swaks.eml");
      await writeFile(file, HEADER + HARD, "latin1");
      await run("swaks", ["--server", "127.0.0.1", "--port", `${port}`, "--pipeline", "--from", FROM, "--to", TO, "--data", `@${file}`]);
    },
  },
  {
    tool: "curl",
    what: "curl smtp://",
    send: async (port) => {
      const file = join(folder.path, "curl.eml");
      await writeFile(file, HEADER + HARD, "latin1");
      await run("curl", ["-sS", "--url", `smtp://127.0.0.1:${port}/nas`, "--mail-from", FROM, "--mail-rcpt", TO, "--upload-file", file]);
    },
  },
  {
    tool: "python3",
    what: "Python's smtplib",
    send: (port) =>
      run(
        "python3",
        [
          "-c",
          `import smtplib, sys
with smtplib.SMTP("127.0.0.1", ${port}) as s: s.sendmail("${FROM}", ["${TO}"], sys.stdin.buffer.read())`,
        ],
        Buffer.from(HEADER + HARD, "latin1"),
      ),
  },
];

for (const { tool, what, send } of CLIENTS) {
  test.skipIf(!hasTool(tool))(`${what} delivers, body byte for byte`, async () => {
    await send(sinkPort);
    await send(portOf("plain"));
    const [direct, relayed] = (await arrivals(2)).map(split);

    expect(relayed?.body).toBe(broken(direct?.body ?? ""));
    // Some clients end the data with one line end more of their own.
    expect(relayed?.body.replace(/(\r\n)+$/, "\r\n")).toBe(broken(HARD));
    expect(relayed?.head).toContain("Subject: A scan");
    expect(relayed?.head).toMatch(/^X-Postern-Id: [0-9A-Z]{26}$/m);
  });
}

test.skipIf(!hasTool("smtp-source"))("smtp-source -o, without HELO and without headers, delivers; all it sends is body", async () => {
  const send = (port: number) => run("smtp-source", ["-o", "-m", "5", "-l", "3000", "-f", FROM, "-t", TO, `127.0.0.1:${port}`]);

  await send(sinkPort);
  await send(portOf("plain"));
  const contents = await arrivals(10);

  const direct = contents.slice(0, 5).map((content) => content.toString("latin1"));
  const relayed = contents.slice(5).map(split);
  expect(direct[0]?.length).toBeGreaterThanOrEqual(3000);
  expect(relayed.map(({ body }) => body)).toEqual(direct);
  for (const { head } of relayed)
    for (const name of ["Received", "Date", "Message-ID", "From"]) expect(head).toMatch(new RegExp(`^${name}: `, "m"));
});

test("bare line feeds become CR LF, and nothing else changes", async () => {
  await using client = await LineClient.open(portOf("plain"));
  await client.reply();
  for (const command of ["EHLO nas", `MAIL FROM:<${FROM}> BODY=8BITMIME`, `RCPT TO:<${TO}>`, "DATA"])
    expect(await client.say(command)).toMatch(/^[23]/);
  // The device stuffs dots after its own idea of a line end; LF . LF is no end of data.
  const sent = (HEADER + HARD).replaceAll("\r\n", "\n").replace(/^\./gm, "..");

  client.write(`${sent.slice(0, -1)}\r\n.\r\n`);
  const queueId = queueIdOf(await client.reply());
  const [content] = await arrivals(1);

  const { head, body } = split(content ?? Buffer.of());
  expect(body).toBe(broken(HARD));
  expect(head).toContain(`X-Postern-Id: ${queueId}`);
});

test("an address outside every client gets one 554 line and a close; commands sent behind it do nothing", async () => {
  await using stranger = await LineClient.open(portOf("plain"), "127.0.0.2");
  const before = await relay.queue.statistics();

  stranger.write(`EHLO x\r\nMAIL FROM:<${FROM}>\r\nRCPT TO:<${TO}>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\nQUIT\r\n`);
  const heard = await stranger.end();

  expect(heard).toMatch(/^554 5\.7\.1 [^\r\n]*127\.0\.0\.2 is not allowed to relay[^\r\n]*\r\n$/);
  expect((await relay.queue.statistics()).accepted).toBe(before.accepted);
  expect(arrived).toEqual([]);
});

const OPENSSL_TLS1 = ["-starttls", "smtp", "-tls1", "-cipher", "AES128-SHA:@SECLEVEL=0"];

test.skipIf(!hasTool("openssl"))(
  "openssl gets TLS 1.0 with AES128-SHA on a listener with min_version TLSv1, and none on a default one",
  async () => {
    const dial = (listener: string) =>
      runProcess("openssl", ["s_client", "-connect", `127.0.0.1:${portOf(listener)}`, ...OPENSSL_TLS1], { input: "QUIT\r\n" });

    const old = await dial("old");
    const modern = await dial("modern");

    expect(old.code).toBe(0);
    expect(old.stdout).toMatch(/Protocol *: TLSv1\n/);
    expect(old.stdout).toMatch(/Cipher *: AES128-SHA\n/);
    expect(modern.code).not.toBe(0);
    expect(modern.stdout).toMatch(/Cipher is \(NONE\)/);
  },
);
