/**
 * A hundred thousand strangers, then random and mutated dialogues, against one relay as `postern run` starts it.
 *
 *     npm run test:hostile -- [--connections 100000] [--minutes 10] [--seed N] [--source] [--json]
 *
 * Exit status 1 when a stranger heard anything but its one line, the fuzzer found something, the process ended or had an error that nobody caught,
 * or memory at rest grew by more than 20 %.
 */
import { parseArgs } from "node:util";
import { runHostileTest, type HostileReport } from "./harness.ts";

const { values } = parseArgs({
  options: {
    connections: { type: "string", default: "100000" },
    minutes: { type: "string", default: "10" },
    seed: { type: "string" },
    source: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const connections = Number(values.connections);
const minutes = Number(values.minutes);
const seed = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed);
if (![connections, minutes, seed].every((value) => Number.isFinite(value) && value >= 0))
  throw new Error("--connections, --minutes and --seed take numbers");
const MOST_GROWTH = 1.2;
const WARM_UP = 4_000;
const MIB = 2 ** 20;

// An interrupt ends the relay too: its starter stops it at the exit.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));

console.error(`${connections} refused connections and ${minutes} minutes of fuzzing, --seed ${seed}`);
let fuzzingSince: number | undefined;
const report = await runHostileTest({
  connections,
  seed,
  build: values.source ? "source" : "dist",
  warmUp: WARM_UP,
  atRest: true,
  goOn: () => performance.now() - (fuzzingSince ??= performance.now()) < minutes * 60_000,
  progress: process.stderr.isTTY ? (what) => process.stderr.write(`\r\u001b[K${what}`) : undefined,
});
if (process.stderr.isTTY) process.stderr.write("\r\u001b[K");
const growth = report.rssBytes.after / report.rssBytes.before;
const failed = report.findings.length > 0 || report.faults.length > 0 || growth > MOST_GROWTH;
console.log(values.json ? JSON.stringify(report, null, 2) : summary(report));
process.exitCode = failed ? 1 : 0;

function summary({ pid, connectionsPerSecond, cases, accepted, rssBytes, findings, faults }: HostileReport): string {
  const mib = (bytes: number): string => `${(bytes / MIB).toFixed(1)} MiB`;
  return [
    `relay process ${pid}, the same from beginning to end`,
    `${connections} connections refused, ${connectionsPerSecond.toFixed(0)} a second; ${cases} cases played, ${accepted} messages taken`,
    `memory at rest: ${mib(rssBytes.before)} after the warm-up, ${mib(rssBytes.afterConnections)} after the connections, ${mib(rssBytes.after)} at the end (${((growth - 1) * 100).toFixed(1)} %)`,
    ...findings.map(({ number, what }) => `FINDING: case ${number}: ${what} (npm run fuzz -- --seed ${seed} --case ${number})`),
    ...faults.map((fault) => `FAULT: ${fault}`),
    failed ? "NOT as promised" : "nothing found",
  ].join("\n");
}
