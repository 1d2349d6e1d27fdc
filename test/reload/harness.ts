/**
 * Reloads a relay again and again while mail flows through it, by the command and by the signal in turn, and compares what was promised with what
 * arrived. The stream goes on until the reloads are over: nothing but its rate is a matter of the clock.
 */
import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { judge } from "../crash/ledger.ts";
import { readDelivery, type Delivery } from "../crash/message.ts";
import { untilEmpty } from "../crash/postern-under-test.ts";
import { SmtpReceiver } from "../crash/smtp-receiver.ts";
import { Submitter } from "../crash/submitter.ts";
import { askEverything } from "../support/canaries/relay.ts";
import { freePort } from "../support/ports.ts";
import { posternCommand, startRelay, type RelayBuild } from "../support/postern.ts";
import { runProcess, type RunningProcess } from "../support/process.ts";
import { Load } from "./load.ts";
import { firstConfiguration, turns, type Ports, type Turn, type TurnChecks } from "./turns.ts";

export interface ReloadTestOptions {
  /** Takes configuration and queue. */
  readonly folder: string;
  /** Messages a second. */
  readonly rate: number;
  /** Asked before each turn. */
  readonly goOn: (turns: number) => boolean;
  readonly seed: number;
  readonly build: RelayBuild;
  readonly progress?: ((accepted: number, delivered: number, turns: number) => void) | undefined;
}

export interface ReloadReport {
  readonly reloads: number;
  /** Of them with a configuration that was wrong. */
  readonly refused: number;
  readonly seconds: number;
  readonly accepted: number;
  readonly delivered: number;
  /** From the first word to the 250: the middle, the 99th of a hundred, the longest. */
  readonly answerMs: { readonly median: number; readonly p99: number; readonly longest: number };
  /** One line for each thing that is not as promised; empty when all is well. */
  readonly faults: readonly string[];
}

const KEPT = 4;
const FRESH = 4;

/** @throws Error when the relay does not start or ends */
export async function runReloadTest(options: ReloadTestOptions): Promise<ReloadReport> {
  const deliveries: Delivery[] = [];
  const watchers = new Map<string, () => void>();
  const hop = (name: string) =>
    new SmtpReceiver((content) => {
      deliveries.push(readDelivery(content));
      watchers.get(name)?.();
      return "250 2.0.0 Ok: taken";
    });
  const [first, second] = [hop("first"), hop("second")];
  const ports: Ports = {
    smtp: await freePort(),
    admin: await freePort(),
    extra: await freePort(),
    first: await first.listen(),
    second: await second.listen(),
  };
  const configFile = join(options.folder, "postern.yaml");
  await writeFile(configFile, JSON.stringify(firstConfiguration(ports)));
  const files = { configFile, dataDir: join(options.folder, "data"), smtpPort: ports.smtp, adminPort: ports.admin };
  const relay = await startRelay(files, { build: options.build });
  const load = new Load({ port: ports.smtp, rate: options.rate, kept: KEPT, fresh: FRESH, seed: options.seed });
  let byExtra = new Submitter(ports.extra);
  const checks: TurnChecks = {
    submitByExtra: () => load.submit(byExtra),
    closeExtra: () => {
      byExtra.close();
      byExtra = new Submitter(ports.extra);
    },
    deliveredBy: (name) => new Promise((resolve) => watchers.set(name, resolve)),
  };
  const faults: string[] = [];
  let done = 0;
  let refused = 0;
  try {
    for (const turn of turns(ports)) {
      if (!options.goOn(done)) break;
      const fault = await play(turn, done % 2 === 0 ? "command" : "signal", configFile, relay, options.build, checks);
      if (fault !== undefined) faults.push(`${turn.what}: ${fault}`);
      if ("fault" in turn.expect) refused++;
      done++;
      options.progress?.(load.accepted.size, deliveries.length, done);
      if (relay.child.exitCode !== null || relay.child.signalCode !== null) break;
    }
    const seconds = (await load.stop()) / 1000;
    byExtra.close();
    await untilEmpty(ports.admin);
    await askEverything(files.dataDir, ports.admin);
    const verdict = judge(load.accepted, deliveries);
    const exit = await relay.stop();
    if (exit.code !== 0) faults.push(`the relay ended with ${exit.signal ?? exit.code}`);
    if (verdict.lost.length > 0) faults.push(`${verdict.lost.length} accepted messages were lost: ${verdict.lost.slice(0, 5).join(" ")}`);
    if (verdict.duplicates > 0) faults.push(`${verdict.duplicates} messages arrived twice`);
    if (verdict.unacknowledged > 0) faults.push(`${verdict.unacknowledged} messages arrived whose 250 nobody saw`);
    return {
      reloads: done,
      refused,
      seconds,
      accepted: verdict.accepted,
      delivered: verdict.delivered,
      answerMs: spread(load.answerMs),
      faults: [...faults, ...load.faults, ...verdict.wrong],
    };
  } finally {
    await load.stop();
    await relay.stop("SIGKILL");
    await first.close();
    await second.close();
  }
}

/** What came of a reload. */
type Outcome = { readonly changed: readonly string[] } | { readonly faults: readonly string[] };

/** @returns what was not as it should be */
async function play(
  turn: Turn,
  by: "command" | "signal",
  configFile: string,
  relay: RunningProcess,
  build: RelayBuild,
  checks: TurnChecks,
): Promise<string | undefined> {
  // In one step, as editors do.
  await writeFile(`${configFile}.new`, turn.text);
  await rename(`${configFile}.new`, configFile);
  const outcome = by === "command" ? await byCommand(configFile, build) : await bySignal(relay);
  if ("fault" in turn.expect) {
    const wanted = turn.expect.fault;
    if ("changed" in outcome) return "a broken configuration was taken up";
    return outcome.faults.some((fault) => wanted.test(fault)) ? undefined : `the reason is not told: ${outcome.faults.join("; ")}`;
  }
  if ("faults" in outcome) return `not taken up: ${outcome.faults.join("; ")}`;
  const [wanted, found] = [turn.expect.changed.toSorted().join(", "), outcome.changed.toSorted().join(", ")];
  if (wanted !== found) return `changed are said to be ${found}, not ${wanted}`;
  try {
    await turn.check?.(checks);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return undefined;
}

async function byCommand(configFile: string, build: RelayBuild): Promise<Outcome> {
  const { stdout, stderr } = await runProcess(...posternCommand(build, configFile, "reload", "--json"));
  try {
    return JSON.parse(stdout) as Outcome;
  } catch {
    return { faults: [stderr] };
  }
}

async function bySignal(relay: RunningProcess): Promise<Outcome> {
  const before = new Set(relay.lines);
  // The line of a reload by command may come after the command's end; it names the operator.
  const told = relay.waitForLine(
    (line) => /"event":"config\.reload(ed|\.failed)"/.test(line) && !line.includes('"operator"') && !before.has(line),
    60_000,
  );
  relay.child.kill("SIGHUP");
  return JSON.parse(await told) as Outcome;
}

function spread(values: readonly number[]): ReloadReport["answerMs"] {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (part: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
  return { median: at(0.5), p99: at(0.99), longest: at(1) };
}
