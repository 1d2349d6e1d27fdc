/** Strangers and fuzzed clients against one relay, which must stay the same process, of the same size, without an error that nobody caught. */
import { CASES_AT_A_TIME, FuzzRun, type Finding } from "../fuzz/run.ts";
import type { RelayBuild } from "../support/postern.ts";
import { HostileDaemon } from "./hostile-daemon.ts";
import { Strangers } from "./strangers.ts";

export interface HostileTestOptions {
  /** Refused connections. */
  readonly connections: number;
  /** Asked before each round of cases. */
  readonly goOn: (cases: number) => boolean;
  readonly seed: number;
  readonly build: RelayBuild;
  /** Of both before memory is measured first: what they need once and for good is no growth. */
  readonly warmUp: number;
  /** Memory is measured once the process had rest and does not shrink any more, which takes some minutes each time; else at once. */
  readonly atRest: boolean;
  readonly progress?: ((what: string) => void) | undefined;
}

export interface HostileReport {
  readonly pid: number;
  readonly connections: number;
  readonly connectionsPerSecond: number;
  readonly cases: number;
  /** Messages that the fuzzed clients got in, as they may. */
  readonly accepted: number;
  /** Resident memory after the warm-up, after the strangers and at the end. */
  readonly rssBytes: { readonly before: number; readonly afterConnections: number; readonly after: number };
  readonly findings: readonly Finding[];
  /** One line for each thing that is not as promised, findings apart. */
  readonly faults: readonly string[];
}

export async function runHostileTest(options: HostileTestOptions): Promise<HostileReport> {
  const { connections, goOn, seed, build, warmUp, atRest, progress } = options;
  await using relay = await HostileDaemon.start(build);
  const { pid } = relay;
  const strangers = new Strangers(relay.port);
  const fuzz = new FuzzRun(relay, seed);
  const findings: Finding[] = [];
  let cases = 0;
  const memory = (): Promise<number> => (atRest ? relay.restingRssBytes() : relay.rssBytes());
  const play = async (goesOn: (played: number) => boolean): Promise<void> => {
    const from = cases;
    while (goesOn(cases - from) && findings.length === 0 && relay.faults.length === 0) {
      findings.push(...(await fuzz.play(cases, CASES_AT_A_TIME)));
      cases += CASES_AT_A_TIME;
      progress?.(`${cases} cases`);
    }
  };

  progress?.("warm-up");
  await strangers.knock(warmUp);
  await play((played) => played < warmUp);
  const before = await memory();

  progress?.(`${connections} refused connections`);
  const startedAt = performance.now();
  await strangers.knock(connections);
  const seconds = (performance.now() - startedAt) / 1000;
  const afterConnections = await memory();

  await play(goOn);
  const after = await memory();
  return {
    pid,
    connections,
    connectionsPerSecond: connections / seconds,
    cases,
    accepted: relay.accepted.length,
    rssBytes: { before, afterConnections, after },
    findings,
    faults: [...strangers.faults, ...relay.faults],
  };
}
