/**
 * How long does an operator wait for an answer, with 100,000 messages in the database? The commands as typed, by the clock on the wall, with the daemon
 * and without it; and what of that is the answer: asked in this process, over the control socket or of the file.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { toFilter } from "../src/cli/queue-filter.ts";
import { queueSource } from "../src/cli/queue-source.ts";
import { findAnswer, readQuestion } from "../src/cli/trace.ts";
import { WAITING_STATES } from "../src/mail/message.ts";
import type { QueueFilter } from "../src/queue/queue.ts";
import { freePort } from "../test/support/ports.ts";
import { posternCommand, startRelay, type RelayBuild } from "../test/support/postern.ts";
import { runProcess } from "../test/support/process.ts";
import { tempDir } from "../test/support/temp-dir.ts";
import { Cleanup } from "./cleanup.ts";
import { makeLongHistory, type Landmark } from "./long-history.ts";
import { describeMachine, median, type Machine } from "./machine.ts";

/** The daemon ends its thread for looking after 30 s without questions. */
const REST_MS = 35_000;

/** What an operator should never wait longer than. */
const BAR_MS = 200;

interface Question {
  readonly words: readonly string[];
  /** The same question without the process around it. */
  readonly ask: (places: Places) => Promise<unknown>;
}

type Places = Parameters<typeof queueSource>[0] & { readonly organization: { readonly time_zone: string } };

/** Medians in ms. */
interface Times {
  readonly typedMs: number;
  readonly answerMs: number;
}

export interface OperatorBenchResult {
  readonly machine: Machine;
  readonly messages: number;
  readonly states: Readonly<Record<string, number>>;
  /** Node with nothing to do, and `postern version`: what no command can be faster than. */
  readonly nodeMs: number;
  readonly versionMs: number;
  /** `queue list` as the daemon's first command, with which it loads the API. One time, no median. */
  readonly firstMs: number;
  /** `queue list` after a while without questions: the daemon starts its thread for looking. One time, no median. */
  readonly afterRestMs: number;
  readonly commands: readonly { readonly command: string; readonly withDaemon: Times; readonly without: Times }[];
}

export interface OperatorBenchOptions {
  readonly rounds: number;
  readonly messages: number;
  readonly build: RelayBuild;
  readonly progress: (text: string) => void;
}

export async function benchOperator(options: OperatorBenchOptions): Promise<OperatorBenchResult> {
  const { rounds, messages, build, progress } = options;
  const cleanup = Cleanup.installed();
  try {
    const folder = await tempDir("postern-bench-");
    cleanup.add(() => folder.remove());
    const dataDir = join(folder.path, "data");
    const { landmark, states } = await makeLongHistory(join(dataDir, "queue"), messages, (done) => progress(`${done} messages`));
    const files = await writeConfig(folder.path, dataDir);
    const places: Places = { data_dir: dataDir, organization: { time_zone: "UTC" } };
    const questions = questionsAbout(landmark);
    const relay = await startRelay(files, { build });
    cleanup.add(async () => void (await relay.stop("SIGKILL")));
    const type = async (words: readonly string[]): Promise<void> => {
      const { code, stderr } = await runProcess(...posternCommand(build, files.configFile, ...words));
      if (code !== 0) throw new Error(`postern ${words.join(" ")} ended with ${code}: ${stderr}`);
    };
    const listOnce = async (): Promise<number> => {
      const startedAt = performance.now();
      await type(["queue", "list"]);
      return performance.now() - startedAt;
    };
    const firstMs = await listOnce();
    progress("a rest");
    await wait(REST_MS);
    const afterRestMs = await listOnce();
    const measure = async (): Promise<Times[]> => {
      const times: Times[] = [];
      for (const { words, ask } of questions) {
        progress(words.join(" "));
        times.push({
          typedMs: await timed(rounds, () => type(words)),
          answerMs: await timed(rounds, () => ask(places)),
        });
      }
      return times;
    };
    const withDaemon = await measure();
    await relay.stop();
    const without = await measure();
    return {
      machine: await describeMachine(),
      messages,
      states,
      nodeMs: await timed(rounds, () => runProcess(process.execPath, ["-e", "0"])),
      firstMs,
      afterRestMs,
      versionMs: await timed(rounds, () => runProcess(...posternCommand(build, files.configFile, "version"))),
      commands: questions.map(({ words }, at) => ({
        command: words.map((word) => (/[ <>]/.test(word) ? `'${word}'` : word)).join(" "),
        withDaemon: withDaemon[at] ?? NONE,
        without: without[at] ?? NONE,
      })),
    };
  } finally {
    await cleanup.run();
  }
}

const NONE: Times = { typedMs: NaN, answerMs: NaN };

function questionsAbout(landmark: Landmark): Question[] {
  const list = (...options: readonly [string, string][]): Question => {
    const given = Object.fromEntries(options.map(([option, value]) => [option === "older-than" ? "olderThan" : option, value]));
    const filter = (): QueueFilter => {
      const wanted = toFilter([], given, Date.now());
      return wanted.states === undefined ? { ...wanted, states: WAITING_STATES } : wanted;
    };
    return {
      words: ["queue", "list", ...options.flatMap(([option, value]) => [`--${option}`, value])],
      ask: (places) => queueSource(places).list(filter(), 100),
    };
  };
  const trace = (...words: readonly string[]): Question => ({
    words: ["trace", ...words],
    ask: (places) => findAnswer(places, readQuestion(words, Date.now(), places.organization.time_zone), 20),
  });
  const day = new Date(landmark.acceptedAt).toISOString();
  return [
    list(),
    list(["state", "held"], ["client", "erp"]),
    list(["state", "queued"]),
    list(["state", "deferred"], ["device", landmark.device]),
    list(["state", "bounced"], ["client", "erp"]),
    list(["state", "delivered"], ["to", "nobody@"]),
    list(["to", "nobody@"]),
    list(["older-than", "28d"]),
    { words: ["queue", "show", landmark.queueId], ask: (places) => queueSource(places).show(landmark.queueId) },
    trace(landmark.queueId),
    trace(landmark.messageId),
    trace(landmark.messageId.slice(1, -1)),
    trace(landmark.device),
    trace(landmark.recipient),
    trace("9:14"),
    trace("yesterday"),
    trace(day.slice(0, 16), landmark.device),
    trace(landmark.subject),
    trace(landmark.upstreamId),
    trace("there is no such word"),
  ];
}

/** Its door cannot be reached and pauses, so that nothing but the questions is at work. */
async function writeConfig(folder: string, dataDir: string) {
  const [smtpPort, adminPort, nobody] = [await freePort(), await freePort(), await freePort()];
  const configFile = join(folder, "postern.yaml");
  await writeFile(
    configFile,
    `hostname: relay.contoso.com
data_dir: ${JSON.stringify(dataDir)}
organization: { domains: [contoso.com], postmaster: it@contoso.com, time_zone: UTC }
listeners:
  printers: { listen: "127.0.0.1:${smtpPort}" }
clients:
  floor: { networks: [10.20.0.0/16] }
  erp: { networks: [10.30.1.5] }
upstreams:
  next: { type: smart-host, host: 127.0.0.1, port: ${nobody}, tls: none }
routes:
  - { name: default, via: next }
retry: { first: 30m, max: 30m, expire_after: 60d }
history: { keep: 60d }
admin: { listen: "127.0.0.1:${adminPort}" }
log: { level: warn }
`,
  );
  return { configFile, dataDir, smtpPort, adminPort };
}

/** Median ms of so many rounds, after one that does not count. */
async function timed(rounds: number, work: () => Promise<unknown>): Promise<number> {
  await work();
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const startedAt = performance.now();
    await work();
    times.push(performance.now() - startedAt);
  }
  return median(times);
}

export function formatOperatorBench({
  machine,
  messages,
  states,
  nodeMs,
  versionMs,
  firstMs,
  afterRestMs,
  commands,
}: OperatorBenchResult): string {
  const ms = (value: number): string => `${value.toFixed(value < 10 ? 1 : 0)}${value > BAR_MS ? " !" : ""}`.padStart(9);
  return [
    `Postern ${machine.postern} (Node ${machine.node}, SQLite ${machine.sqlite}), Linux ${machine.kernel}, ${machine.cpu}`,
    `${messages} messages; recipients: ${Object.entries(states)
      .map(([state, count]) => `${count} ${state}`)
      .join(", ")}`,
    `node alone ${nodeMs.toFixed(0)} ms, postern version ${versionMs.toFixed(0)} ms`,
    `queue list as the first command of the daemon ${firstMs.toFixed(0)} ms, after a while without questions ${afterRestMs.toFixed(0)} ms`,
    "",
    `${"ms, medians (! over 200)".padEnd(64)} ${"WITH THE DAEMON".padStart(19)} ${"WITHOUT".padStart(19)}`,
    `${"".padEnd(64)} ${"as typed".padStart(9)} ${"answer".padStart(9)} ${"as typed".padStart(9)} ${"answer".padStart(9)}`,
    ...commands.map(
      ({ command, withDaemon, without }) =>
        `${command.padEnd(64)} ${ms(withDaemon.typedMs)} ${ms(withDaemon.answerMs)} ${ms(without.typedMs)} ${ms(without.answerMs)}`,
    ),
  ].join("\n");
}
