/** Postern for the crash harness: a process of its own, killed by its pid. */
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { openQueueReader } from "../../src/queue/reader.ts";
import { relayCommand, startRelay, writeRelayConfig, type RelayBuild } from "../support/postern.ts";
import { startProcess } from "../support/process.ts";
import type { RelayRun, RelayUnderTest } from "./harness.ts";

/** Messages asked for at once. */
const PAGE = 1_000;

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
      };
    },
    startAndKill: async () => {
      const [command, args] = relayCommand(build, files.configFile);
      const relay = await startProcess(command, args);
      await relay.waitForEvent("queue.opened");
      await relay.stop("SIGKILL");
    },
    ambiguousDeliveries: () => ambiguousDeliveries(join(files.dataDir, "queue")),
  };
}

/** Recipients of attempts whose end the queue never learned, summed over its whole history. */
async function ambiguousDeliveries(queueDirectory: string): Promise<number> {
  const reader = await openQueueReader(queueDirectory);
  try {
    let sum = 0;
    let after: string | undefined;
    for (;;) {
      const entries = await reader.list({}, PAGE, after);
      for (const { queueId } of entries) {
        const attempts = (await reader.show(queueId))?.attempts ?? [];
        for (const { outcome, recipients } of attempts) if (outcome === "ambiguous") sum += recipients.length;
      }
      after = entries.at(-1)?.queueId;
      if (entries.length < PAGE) return sum;
    }
  } finally {
    await reader.close();
  }
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
