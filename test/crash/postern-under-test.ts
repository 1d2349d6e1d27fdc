/** Postern for the crash harness: a process of its own, killed by its pid. */
import { setTimeout as wait } from "node:timers/promises";
import { relayCommand, startRelay, writeRelayConfig, type RelayBuild } from "../support/postern.ts";
import { startProcess, type RunningProcess } from "../support/process.ts";
import type { RelayRun, RelayUnderTest } from "./harness.ts";

/** @param folder - takes configuration and queue; the same over all restarts */
export async function posternUnderTest(folder: string, smartHostPort: number, build: RelayBuild): Promise<RelayUnderTest> {
  const files = await writeRelayConfig({ folder, smartHostPort, connections: 8 });
  return {
    port: files.smtpPort,
    start: async (): Promise<RelayRun> => {
      const relay = await startRelay(files, { build });
      return {
        kill: async () => void (await relay.stop("SIGKILL")),
        stop: async () => void (await relay.stop("SIGTERM", 60_000)),
        ended: relay.exited,
        untilEmpty: () => untilEmpty(files.adminPort),
        ambiguous: recoveredAmbiguous(relay),
      };
    },
    startAndKill: async () => {
      const [command, args] = relayCommand(build, files.configFile);
      const relay = await startProcess(command, args);
      await relay.waitForEvent("queue.opened");
      await relay.stop("SIGKILL");
      return { ambiguous: recoveredAmbiguous(relay) };
    },
  };
}

/** What the relay said it found half delivered when it started. */
function recoveredAmbiguous(relay: RunningProcess): number {
  const line = relay.lines.find((text) => text.includes('"queue.recovered"'));
  return line === undefined ? 0 : ((JSON.parse(line) as { ambiguousRecipients?: number }).ambiguousRecipients ?? 0);
}

/**
 * Resolves when nothing waits in the queue.
 *
 * @throws Error when recipients still wait after a minute
 */
export async function untilEmpty(adminPort: number): Promise<void> {
  let waiting = -1;
  for (let look = 0; look < 600; look++) {
    const metrics = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();
    const rows = [...metrics.matchAll(/^postern_queue_recipients\{[^}]*\} (\d+)/gm)];
    if (rows.length === 0) throw new Error("the relay has no metric postern_queue_recipients");
    waiting = rows.reduce((sum, row) => sum + Number(row[1]), 0);
    if (waiting === 0) return;
    // Another process has no event for this.
    await wait(100);
  }
  throw new Error(`${waiting} recipients still wait in the queue`);
}
