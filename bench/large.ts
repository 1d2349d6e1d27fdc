/** By how much does memory grow while many large messages are under way at once? */
import { setTimeout as wait } from "node:timers/promises";
import { startRelay, writeRelayConfig, type RelayBuild } from "../test/support/postern.ts";
import { tempDir } from "../test/support/temp-dir.ts";
import { memoryBytes } from "./accounting.ts";
import { Cleanup } from "./cleanup.ts";
import { describeMachine, type Machine } from "./machine.ts";
import { CountingSink, sendLoad } from "./smtp-tools.ts";

export interface LargeBenchResult {
  readonly machine: Machine;
  readonly messages: number;
  readonly messageBytes: number;
  readonly seconds: number;
  readonly residentBeforeBytes: number;
  /** Highest seen, looking every 20 ms. */
  readonly residentPeakBytes: number;
}

export async function benchLarge(options: {
  messages: number;
  build: RelayBuild;
  progress: (text: string) => void;
}): Promise<LargeBenchResult> {
  const messageBytes = 35 * 2 ** 20;
  const cleanup = Cleanup.installed();
  try {
    const folder = await tempDir("postern-bench-");
    cleanup.add(() => folder.remove());
    const sink = await CountingSink.start(folder.path);
    cleanup.add(() => sink.stop());
    const files = await writeRelayConfig({ folder: folder.path, smartHostPort: sink.port, maxMessageSize: "40MiB" });
    const relay = await startRelay(files, { build: options.build });
    cleanup.add(async () => void (await relay.stop()));
    options.progress("one small message, so that all code is loaded");
    await Promise.all([sendLoad(files.smtpPort, { messages: 1, bodyBytes: 1000, sessions: 1, keepConnections: false }), sink.until(1)]);
    const residentBeforeBytes = memoryBytes(relay.pid, "VmRSS");
    let residentPeakBytes = residentBeforeBytes;
    const done = new AbortController();
    const watching = (async () => {
      while (!done.signal.aborted) {
        residentPeakBytes = Math.max(residentPeakBytes, memoryBytes(relay.pid, "VmRSS"));
        await wait(20);
      }
    })();
    options.progress(`${options.messages} messages of 35 MiB at once`);
    const startedAt = performance.now();
    try {
      const load = { messages: options.messages, bodyBytes: messageBytes, sessions: options.messages, keepConnections: false };
      await Promise.all([sendLoad(files.smtpPort, load), sink.until(options.messages + 1)]);
    } finally {
      done.abort();
      await watching;
    }
    const seconds = (performance.now() - startedAt) / 1000;
    return { machine: await describeMachine(), messages: options.messages, messageBytes, seconds, residentBeforeBytes, residentPeakBytes };
  } finally {
    await cleanup.run();
  }
}

export function formatLargeBench(result: LargeBenchResult): string {
  const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  return [
    `Postern ${result.machine.postern} (Node ${result.machine.node}), Linux ${result.machine.kernel}, ${result.machine.cpu}`,
    `${result.messages} messages of ${mebibytes(result.messageBytes)} at once, end to end in ${result.seconds.toFixed(1)} s`,
    `resident before ${mebibytes(result.residentBeforeBytes)}, highest ${mebibytes(result.residentPeakBytes)}, grown by ${mebibytes(result.residentPeakBytes - result.residentBeforeBytes)}`,
  ].join("\n");
}
