/** How long from the start of the process until it is ready, and how much memory does it keep when nothing happens? */
import { setTimeout as wait } from "node:timers/promises";
import { startRelay, writeRelayConfig, type RelayBuild } from "../test/support/postern.ts";
import { freePort } from "../test/support/ports.ts";
import { tempDir } from "../test/support/temp-dir.ts";
import { memoryBytes } from "./accounting.ts";
import { Cleanup } from "./cleanup.ts";
import { describeMachine, median, type Machine } from "./machine.ts";

export interface IdleBenchResult {
  readonly machine: Machine;
  /** Start of the process to the first 200 of /readyz, in ms. */
  readonly readyMs: number;
  readonly readyRounds: readonly number[];
  /** Resident after `idleSeconds` without mail. */
  readonly residentBytes: number;
  readonly idleSeconds: number;
}

export async function benchIdle(options: {
  rounds: number;
  build: RelayBuild;
  progress: (text: string) => void;
}): Promise<IdleBenchResult> {
  const idleSeconds = 10;
  const cleanup = Cleanup.installed();
  try {
    const folder = await tempDir("postern-bench-");
    cleanup.add(() => folder.remove());
    const files = await writeRelayConfig({ folder: folder.path, smartHostPort: await freePort() });
    const rounds: number[] = [];
    let residentBytes = 0;
    for (let round = 1; round <= options.rounds; round++) {
      options.progress(`start ${round} of ${options.rounds}`);
      const relay = await startRelay(files, { build: options.build });
      cleanup.add(async () => void (await relay.stop("SIGKILL")));
      rounds.push(relay.readyMs);
      if (round === options.rounds) {
        options.progress(`idle for ${idleSeconds} s`);
        await wait(idleSeconds * 1000);
        residentBytes = memoryBytes(relay.pid, "VmRSS");
      }
      await relay.stop();
    }
    return { machine: await describeMachine(), readyMs: median(rounds), readyRounds: rounds.map(Math.round), residentBytes, idleSeconds };
  } finally {
    await cleanup.run();
  }
}

export function formatIdleBench(result: IdleBenchResult): string {
  return [
    `Postern ${result.machine.postern} (Node ${result.machine.node}), Linux ${result.machine.kernel}, ${result.machine.cpu}`,
    `start to ready: ${result.readyMs.toFixed(0)} ms (median of ${result.readyRounds.join(" ")})`,
    `resident after ${result.idleSeconds} s without mail: ${(result.residentBytes / 2 ** 20).toFixed(1)} MiB`,
  ].join("\n");
}
