/**
 * `postern demo`: the whole way on embedded defaults. A stand-in for Microsoft 365, the relay, a printer's scan through it, and the trace of
 * its way; then everything stays up to play with, or with `--once` it is proved and over.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseDocument } from "yaml";
import { formatFinding } from "../config/finding.ts";
import { loadConfig } from "../config/load.ts";
import type { Config } from "../config/config.ts";
import { startDaemon } from "../daemon/daemon.ts";
import type { Daemon } from "../daemon/daemon.ts";
import { PosternError } from "../mail/errors.ts";
import { formatReply } from "../mail/reply.ts";
import { createObserver, type Observer } from "../observe/observer.ts";
import { systemClock } from "../platform/clock.ts";
import { packageFile } from "../platform/place.ts";
import { watchSignals } from "../platform/signals.ts";
import type { MessageView } from "../queue/queue.ts";
import type { ReceivedMessage } from "../simulator/mail-store.ts";
import { DEFAULT_PORTS, startSimulator } from "../simulator/simulator.ts";
import type { Simulator } from "../simulator/simulator.ts";
import type { GlobalOptions } from "./options.ts";
import { printScan } from "./printer.ts";
import type { PrinterResult } from "./printer.ts";
import { makeSamplePdf, makeSampleScan } from "./sample-scan.ts";
import { paint, print, printJson, renderPairs } from "./table.ts";

export interface DemoOptions extends GlobalOptions {
  /** Prove it and end. */
  readonly once: boolean;
}

const EX_TEMPFAIL = 75;
const SENDER = "scanner@contoso.com";
const RECIPIENT = "anna@contoso.com";
/** A short name without a domain, as such devices say it. */
const PRINTER_NAME = "KMBT4A21F0";
/** The whole way takes well under a second; a machine under load may need longer. */
const ARRIVAL_TIMEOUT_MS = 60_000;

/**
 * 0 when the scan arrived unchanged.
 *
 * @throws PosternError E_UNAVAILABLE when it did not arrive
 */
export async function demoCommand(options: DemoOptions): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), "postern-demo-"));
  const ended = Promise.withResolvers<void>();
  const unwatch = watchSignals({
    stop: (_signal, again) => {
      if (!again) return ended.resolve();
      // Whoever asks twice does not want to wait; what was not proved is not said to be, and keys are not left behind.
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
      process.exit(EX_TEMPFAIL);
    },
    reload: () => {},
  });
  const say = (...lines: string[]): void => {
    if (!options.json) print(...lines);
  };
  let simulator: Simulator | undefined;
  let daemon: Daemon | undefined;
  const logFile = join(folder, "postern.log");
  const observer = createObserver({ log: { level: "info", destination: logFile }, clock: systemClock });
  try {
    simulator = await startStandIn(folder);
    const configFile = join(folder, "postern.yaml");
    daemon = await startRelay(configFile, simulator, observer);
    const port = daemon.addresses[0]?.port ?? 0;
    say(
      paint("bold", "Postern demo"),
      ...renderPairs([
        ["stand-in", `Microsoft 365 played on 127.0.0.1: submission ${simulator.ports.submission}, sign-in ${simulator.ports.entra}`],
        ["relay", `listens on 127.0.0.1:${port}`],
      ]),
      "",
      "A printer sends the scan of a page (PDF, about 1 MB; no Date, no Message-ID, a short name in HELO):",
    );

    const pdf = makeSamplePdf();
    const job = await printScan({
      host: "127.0.0.1",
      port,
      helo: PRINTER_NAME,
      from: SENDER,
      to: RECIPIENT,
      content: makeSampleScan({ from: SENDER, to: RECIPIENT }),
    });
    for (const { who, line } of job.dialogue) say(`  ${paint("dim", who.padEnd(7))} ${who === "relay" ? paint("cyan", line) : line}`);
    const { message, view } = await arrival(daemon, simulator, job);
    const proof = prove(message, pdf);
    if (!proof.ok) throw new PosternError("E_UNAVAILABLE", `the scan arrived, but not as it was sent: ${proof.why}`);
    say("", "What became of it:", ...trace(view, message, job));
    if (options.json)
      printJson({
        ok: true,
        queueId: view.message.queueId,
        answeredMs: Math.round(job.answeredMs),
        attempts: view.attempts,
        arrived: { mailbox: RECIPIENT, id: message.id, sizeBytes: message.sizeBytes },
      });
    say("", paint("green", `The scan arrived in the mailbox of ${RECIPIENT}, its PDF byte for byte as the printer sent it.`));
    if (options.once) return 0;

    say("", ...hints(daemon, configFile, logFile, simulator, port));
    await ended.promise;
    return 0;
  } finally {
    unwatch();
    await daemon?.stop();
    await simulator?.close();
    observer.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** On its own ports where they are free, on others else: some time passes between the look and the taking. */
async function startStandIn(folder: string): Promise<Simulator> {
  const directory = join(folder, "stand-in");
  const ports = {
    submission: await portOrFree(DEFAULT_PORTS.submission),
    mx: await portOrFree(DEFAULT_PORTS.mx),
    hve: await portOrFree(DEFAULT_PORTS.hve),
    acs: await portOrFree(DEFAULT_PORTS.acs),
    // Two protocols on one port: what looks free need not be.
    dns: 0,
    entra: await portOrFree(DEFAULT_PORTS.entra),
    graph: await portOrFree(DEFAULT_PORTS.graph),
    arc: await portOrFree(DEFAULT_PORTS.arc),
    view: await portOrFree(DEFAULT_PORTS.view),
  };
  try {
    return await startSimulator({ directory, ports, demoCredentials: true });
  } catch (error) {
    if (!isPortTaken(error)) throw error;
  }
  return await startSimulator({ directory, demoCredentials: true });
}

async function startRelay(configFile: string, simulator: Simulator, observer: Observer): Promise<Daemon> {
  const start = async (portFor: (port: number) => Promise<number>): Promise<Daemon> =>
    await startDaemon(await writeConfig(configFile, simulator, portFor), { observer, clock: systemClock });
  try {
    return await start(portOrFree);
  } catch (error) {
    if (!isPortTaken(error)) throw error;
  }
  return await start(() => Promise.resolve(0));
}

/** Whether another program has it, wherever in what came of that it is said. */
function isPortTaken(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return ("code" in error && error.code === "EADDRINUSE") || isPortTaken(error.cause);
}

/** The port itself when it can be bound on loopback, else 0. */
async function portOrFree(port: number): Promise<number> {
  const server = createServer();
  try {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    return port;
  } catch {
    return 0;
  } finally {
    server.close();
  }
}

/** config/demo.yaml with the ports and folders of this run. */
async function writeConfig(file: string, simulator: Simulator, portFor: (port: number) => Promise<number>): Promise<Config> {
  const document = parseDocument(await readFile(packageFile("config/demo.yaml"), "utf8"));
  const listen = async (port: number): Promise<string> => `127.0.0.1:${await portFor(port)}`;
  document.commentBefore = " Written by postern demo; gone when it ends.";
  document.setIn(["data_dir"], "relay");
  document.setIn(["listeners", "printers", "listen"], await listen(2525));
  document.setIn(["admin", "listen"], await listen(8025));
  document.setIn(["upstreams", "scans", "port"], simulator.ports.submission);
  document.setIn(["upstreams", "scans", "authority"], simulator.authority);
  document.setIn(["upstreams", "scans", "ca"], "stand-in/ca.pem");
  document.setIn(["upstreams", "scans", "credential", "secret", "file"], "stand-in/client-secret");
  await writeFile(file, document.toString(), { mode: 0o600 });
  const loaded = await loadConfig(file);
  if (loaded.ok) return loaded.config;
  throw new PosternError("E_CONFIG", loaded.faults.map(formatFinding).join("; "));
}

/** Waits for the scan in the mailbox, and for the relay to have noted it. */
async function arrival(daemon: Daemon, simulator: Simulator, job: PrinterResult): Promise<{ message: ReceivedMessage; view: MessageView }> {
  const queueId = /queued as (\S+)/.exec(job.reply)?.[1] ?? "";
  const timeout = Promise.withResolvers<never>();
  const cancel = systemClock.after(ARRIVAL_TIMEOUT_MS, () =>
    timeout.reject(new PosternError("E_UNAVAILABLE", "the scan did not arrive in a minute")),
  );
  try {
    const message = await Promise.race([
      simulator.waitFor((candidate) =>
        candidate.headers.some(({ name, value }) => name.toLowerCase() === "x-postern-id" && value.trim() === queueId),
      ),
      timeout.promise,
    ]);
    for (;;) {
      const view = await daemon.queue.show(queueId);
      if (view !== undefined && view.entries.every((entry) => entry.state === "delivered")) return { message, view };
      // The answer of the stand-in is on its way through the relay's commit; there is nothing to wait on but the next look.
      await Promise.race([new Promise((resolve) => setImmediate(resolve)), timeout.promise]);
    }
  } finally {
    cancel();
  }
}

/** Whether the PDF in the mailbox is the one that was scanned. */
function prove(message: ReceivedMessage, pdf: Buffer): { ok: true } | { ok: false; why: string } {
  const content = message.content;
  if (content === undefined) return { ok: false, why: "the stand-in kept only its size" };
  const text = Buffer.from(content).toString("latin1");
  const part = /filename="SCAN0001\.pdf"\r\n\r\n([A-Za-z0-9+/=\r\n]+?)\r\n--/.exec(text)?.[1];
  if (part === undefined) return { ok: false, why: "no PDF in it" };
  const hash = (octets: Buffer): string => createHash("sha256").update(octets).digest("hex");
  return hash(Buffer.from(part, "base64")) === hash(pdf) ? { ok: true } : { ok: false, why: "the PDF is another one" };
}

function trace(view: MessageView, message: ReceivedMessage, job: PrinterResult): string[] {
  const [attempt] = view.attempts;
  const { message: accepted } = view;
  const ms = (value: number): string => `${value.toFixed(value < 10 ? 1 : 0)} ms`;
  return renderPairs([
    ["accepted", `safe on disk and answered ${ms(job.answeredMs)} after the last octet, as ${accepted.queueId}`],
    ["repaired", accepted.repairs.length === 0 ? "nothing" : accepted.repairs.join(", ")],
    ["sent", attempt === undefined ? "" : `by ${attempt.upstream} to ${attempt.remote ?? ""} over ${attempt.tls ?? "no TLS"}`],
    [
      "delays",
      attempt === undefined
        ? ""
        : `in queue ${ms(attempt.delays.inQueueMs)}, connect and sign in ${ms(attempt.delays.connectMs)}, transmit ${ms(attempt.delays.transmitMs)}`,
    ],
    ["answer", attempt?.reply === undefined ? "" : formatReply(attempt.reply)],
    ["arrived", `in the mailbox of ${message.recipients.join(", ")}, ${message.sizeBytes} octets, Message-ID ${accepted.messageId}`],
  ]);
}

function hints(daemon: Daemon, configFile: string, logFile: string, simulator: Simulator, port: number): string[] {
  const [admin] = daemon.adminAddresses;
  const postern = `npx postern --config ${configFile}`;
  return [
    paint("bold", "Everything stays up until Ctrl-C. Try in another terminal:"),
    `  swaks --server 127.0.0.1:${port} --helo PRINTER --from ${SENDER} --to ${RECIPIENT} --header "Subject: Hello" --body "Hello"`,
    `  printf 'From: ${SENDER}\\nSubject: Hello\\n\\nHello\\n' | curl -s smtp://127.0.0.1:${port}/PRINTER --mail-from ${SENDER} --mail-rcpt ${RECIPIENT} -T -`,
    `  ${postern} status`,
    `  ${postern} queue list --state delivered`,
    ...(admin === undefined ? [] : [`  curl -s http://127.0.0.1:${admin.port}/metrics | grep ^postern_`]),
    "",
    ...renderPairs([
      ["mailboxes, faults", simulator.viewUrl],
      ["log", logFile],
      ["configuration", configFile],
    ]),
  ];
}
