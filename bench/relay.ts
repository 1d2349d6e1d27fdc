/**
 * How many messages a second pass through Postern, and through Postfix, on this machine?
 *
 * Both relay plain SMTP from smtp-source to smtp-sink, both answer 250 only when the message is durable, both write a log file, Postern its
 * history too. Time is taken END TO END: from the start of smtp-source until the next hop has the last message. CPU is counted until the
 * relay is at rest again, so work put off (deletes, checkpoints) is in it. Rounds alternate between the two; one round of each
 * is thrown away as warm-up; medians are printed.
 */
import { chmod } from "node:fs/promises";
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { startRelay, writeRelayConfig, type RelayBuild } from "../test/support/postern.ts";
import { tempDir } from "../test/support/temp-dir.ts";
import { cpuSeconds, memoryBytes, proportionalMemoryBytes } from "./accounting.ts";
import { Cleanup } from "./cleanup.ts";
import { describeMachine, measureSync, median, type Machine } from "./machine.ts";
import { OwnPostfix } from "./postfix.ts";
import { CountingSink, sendLoad, type Load } from "./smtp-tools.ts";

interface Scenario extends Load {
  readonly title: string;
}

const SCENARIOS = {
  "4k-new": {
    title: "4 KB, one message per connection, 10 sessions",
    messages: 4000,
    bodyBytes: 4096,
    sessions: 10,
    keepConnections: false,
  },
  "4k-kept": { title: "4 KB, 20 kept connections", messages: 8000, bodyBytes: 4096, sessions: 20, keepConnections: true },
  "1m": {
    title: "1 MB, one message per connection, 10 sessions",
    messages: 300,
    bodyBytes: 1024 * 1024,
    sessions: 10,
    keepConnections: false,
  },
} as const satisfies Record<string, Scenario>;

export type ScenarioName = keyof typeof SCENARIOS;
export const SCENARIO_NAMES = Object.keys(SCENARIOS) as ScenarioName[];

export interface RelayBenchOptions {
  readonly rounds: number;
  readonly only: readonly ScenarioName[];
  /** Messages a round, instead of each scenario's own number. */
  readonly messages?: number | undefined;
  readonly build: RelayBuild;
  /** Folder on the file system to measure. Default the system's for temporary files. */
  readonly folder?: string | undefined;
  /** Measure Postfix alone. */
  readonly postfixOnly: boolean;
  readonly progress: (text: string) => void;
}

/** Medians of one relay in one scenario. */
export interface Figures {
  readonly messagesPerSecond: number;
  readonly cpuMsPerMessage: number;
  /** Sum of the processes' own peaks since they started. */
  readonly peakMemoryBytes: number;
  /** At the end, shared pages divided among those who share them. */
  readonly proportionalMemoryBytes: number;
  /** Messages a second of each round, to see the spread. */
  readonly rounds: readonly number[];
}

export interface RelayBenchResult {
  readonly machine: Machine;
  readonly fdatasyncMs: number;
  readonly scenarios: readonly {
    readonly name: ScenarioName;
    readonly title: string;
    readonly messages: number;
    readonly postfix: Figures;
    readonly postern: Figures | undefined;
    /** Postern's messages a second over Postfix's. */
    readonly ratio: number | undefined;
  }[];
}

/** A relay under test with its own next hop. */
interface Contender {
  readonly name: "postfix" | "postern";
  readonly port: number;
  readonly pid: number;
  readonly sink: CountingSink;
}

/** @throws Error when Postfix is missing or a relay does not start or stops relaying */
export async function benchRelay(options: RelayBenchOptions): Promise<RelayBenchResult> {
  const obstacle = OwnPostfix.obstacle();
  if (obstacle !== undefined) throw new Error(obstacle);
  const cleanup = Cleanup.installed();
  try {
    const machine = await describeMachine();
    const folder = await tempDir("postern-bench-", options.folder);
    cleanup.add(() => folder.remove());
    // Postfix's processes are of another user.
    await chmod(folder.path, 0o755);
    const fdatasyncMs = measureSync(folder.path);
    const scenarios = [];
    for (const name of options.only) scenarios.push(await runScenario(name, options, folder.path, cleanup));
    return { machine, fdatasyncMs, scenarios };
  } finally {
    await cleanup.run();
  }
}

/** Fresh relays for each scenario, so that peaks of memory belong to it; stopped before the next one starts its own. */
async function runScenario(name: ScenarioName, options: RelayBenchOptions, parent: string, cleanup: Cleanup) {
  const own = new Cleanup();
  cleanup.add(() => own.run());
  try {
    const scenario: Scenario = { ...SCENARIOS[name], ...(options.messages === undefined ? {} : { messages: options.messages }) };
    const contenders = await startContenders(name, options, parent, own);
    const samples = new Map(contenders.map(({ name: contender }) => [contender, [] as Sample[]]));
    for (let round = 0; round <= options.rounds; round++) {
      // Who goes first alternates, in case the machine gets slower or faster.
      for (const contender of round % 2 === 0 ? contenders : contenders.toReversed()) {
        options.progress(`${name}: ${round === 0 ? "warm-up" : `round ${round} of ${options.rounds}`}, ${contender.name}`);
        const sample = await runRound(contender, scenario);
        if (round > 0) samples.get(contender.name)?.push(sample);
      }
    }
    const figuresOf = (wanted: Contender["name"]) => {
      const contender = contenders.find(({ name: found }) => found === wanted);
      return contender && summarize(contender, samples.get(wanted) ?? []);
    };
    const [postfix, postern] = [figuresOf("postfix"), figuresOf("postern")];
    if (postfix === undefined) throw new Error("no figures of Postfix");
    const ratio = postern && postern.messagesPerSecond / postfix.messagesPerSecond;
    return { name, title: scenario.title, messages: scenario.messages, postfix, postern, ratio };
  } finally {
    await own.run();
  }
}

async function startContenders(name: ScenarioName, options: RelayBenchOptions, parent: string, own: Cleanup): Promise<Contender[]> {
  const contenders: Contender[] = [];

  const postfixFolder = await tempDir(`${name}-postfix-`, parent);
  await chmod(postfixFolder.path, 0o755);
  const postfixSink = await CountingSink.start(parent);
  own.add(() => postfixSink.stop());
  const postfix = await OwnPostfix.start(postfixFolder.path, postfixSink.port);
  own.add(() => postfix.stop());
  contenders.push({ name: "postfix", port: postfix.port, pid: postfix.pid, sink: postfixSink });
  if (options.postfixOnly) return contenders;

  const posternFolder = await tempDir(`${name}-postern-`, parent);
  const posternSink = await CountingSink.start(parent);
  own.add(() => posternSink.stop());
  const files = await writeRelayConfig({ folder: posternFolder.path, smartHostPort: posternSink.port });
  const log = openSync(join(posternFolder.path, "postern.log"), "a");
  const relay = await startRelay(files, { build: options.build, stdoutFd: log });
  closeSync(log);
  own.add(() => relay.stop());
  contenders.push({ name: "postern", port: files.smtpPort, pid: relay.pid, sink: posternSink });
  return contenders;
}

interface Sample {
  readonly messagesPerSecond: number;
  readonly cpuMsPerMessage: number;
}

async function runRound(contender: Contender, scenario: Scenario): Promise<Sample> {
  const target = contender.sink.received() + scenario.messages;
  const cpuBefore = cpuSeconds(contender.pid);
  const startedAt = performance.now();
  const [, elapsedMs] = await Promise.all([
    sendLoad(contender.port, scenario),
    contender.sink.until(target).then(() => performance.now() - startedAt),
  ]);
  const cpuAfter = await cpuAtRest(contender.pid);
  return {
    messagesPerSecond: (scenario.messages * 1000) / elapsedMs,
    cpuMsPerMessage: ((cpuAfter - cpuBefore) * 1000) / scenario.messages,
  };
}

/** CPU seconds once the relay used at most 1 % of a processor for half a second; looks for at most 5 s. */
async function cpuAtRest(pid: number): Promise<number> {
  let used = cpuSeconds(pid);
  for (let look = 0; look < 10; look++) {
    await wait(500);
    const now = cpuSeconds(pid);
    if (now - used <= 0.01) return now;
    used = now;
  }
  return used;
}

function summarize(contender: Contender, samples: readonly Sample[]): Figures {
  return {
    messagesPerSecond: median(samples.map((sample) => sample.messagesPerSecond)),
    cpuMsPerMessage: median(samples.map((sample) => sample.cpuMsPerMessage)),
    peakMemoryBytes: memoryBytes(contender.pid, "VmHWM"),
    proportionalMemoryBytes: proportionalMemoryBytes(contender.pid),
    rounds: samples.map((sample) => Math.round(sample.messagesPerSecond)),
  };
}

/** The result as text for people. */
export function formatRelayBench({ machine, fdatasyncMs, scenarios }: RelayBenchResult): string {
  const lines = [
    `Postern ${machine.postern} (Node ${machine.node}, SQLite ${machine.sqlite}) and Postfix ${machine.postfix ?? "?"}, Linux ${machine.kernel}, ${machine.cpu}`,
    `4 KB write and fdatasync on this disk: ${fdatasyncMs.toFixed(3)} ms (median)`,
  ];
  for (const { title, messages, postfix, postern, ratio } of scenarios) {
    lines.push("", `${title} (${messages} messages a round, ${postfix.rounds.length} rounds)`);
    lines.push(
      `  ${"".padEnd(8)} ${"messages/s".padStart(11)} ${"CPU ms/message".padStart(15)} ${"peak MB".padStart(8)} ${"shared-out MB".padStart(14)}   each round`,
    );
    for (const [name, figures] of [
      ["Postfix", postfix],
      ["Postern", postern],
    ] as const)
      if (figures) lines.push(row(name, figures));
    if (postern && ratio !== undefined) {
      lines.push(
        `  Postern / Postfix: ${ratio.toFixed(2)} x messages/s, ${(postern.cpuMsPerMessage / postfix.cpuMsPerMessage).toFixed(2)} x CPU, ${(postern.peakMemoryBytes / postfix.peakMemoryBytes).toFixed(2)} x peak memory`,
      );
    }
  }
  return lines.join("\n");
}

function row(name: string, figures: Figures): string {
  const megabytes = (bytes: number, width: number) => (bytes / 1e6).toFixed(0).padStart(width);
  return `  ${name.padEnd(8)} ${figures.messagesPerSecond.toFixed(0).padStart(11)} ${figures.cpuMsPerMessage.toFixed(3).padStart(15)} ${megabytes(figures.peakMemoryBytes, 8)} ${megabytes(figures.proportionalMemoryBytes, 14)}   ${figures.rounds.join(" ")}`;
}
