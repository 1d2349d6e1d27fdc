/**
 * Reloads Postern again and again while mail flows through it, and proves that no connection was refused or dropped and no message lost.
 *
 *     npm run test:reload -- [--minutes 1] [--rate 200] [--seed N] [--source] [--json]
 */
import { parseArgs } from "node:util";
import { tempDir } from "../support/temp-dir.ts";
import { runReloadTest, type ReloadReport } from "./harness.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" },
    rate: { type: "string", default: "200" },
    seed: { type: "string" },
    source: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const minutes = Number(values.minutes);
const rate = Number(values.rate);
const seed = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed);
if (![minutes, rate, seed].every((value) => Number.isFinite(value) && value >= 0) || rate === 0)
  throw new Error("--minutes, --rate and --seed take numbers");

// An interrupt ends the relay too: its starter stops it at the exit.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));

console.error(`${minutes} minutes of reloads under ${rate} messages a second, --seed ${seed}`);
const folder = await tempDir("postern-reload-");
const startedAt = performance.now();
try {
  const report = await runReloadTest({
    folder: folder.path,
    rate,
    seed,
    build: values.source ? "source" : "dist",
    goOn: () => performance.now() - startedAt < minutes * 60_000,
    progress: process.stderr.isTTY
      ? (accepted, delivered, turns) => process.stderr.write(`\r\u001b[K${accepted} accepted, ${delivered} delivered, ${turns} reloads`)
      : undefined,
  });
  if (process.stderr.isTTY) process.stderr.write("\r\u001b[K");
  console.log(values.json ? JSON.stringify(report, null, 2) : summary(report));
  process.exitCode = report.faults.length === 0 ? 0 : 1;
} finally {
  await folder.remove();
}

function summary({ reloads, refused, seconds, accepted, delivered, answerMs, faults }: ReloadReport): string {
  const ms = (value: number): string => value.toFixed(value < 10 ? 1 : 0);
  return [
    `${reloads} reloads in ${seconds.toFixed(1)} s, ${refused} of them of broken configurations`,
    `${accepted} messages accepted (${(accepted / seconds).toFixed(0)} a second), ${delivered} delivered`,
    `from the first word to the 250: median ${ms(answerMs.median)} ms, 99 % under ${ms(answerMs.p99)} ms, longest ${ms(answerMs.longest)} ms`,
    ...faults.map((fault) => `FAULT: ${fault}`),
    faults.length === 0 ? "no connection was refused or dropped, every message arrived exactly once" : "NOT as promised",
  ].join("\n");
}
