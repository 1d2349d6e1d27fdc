/**
 * Kills Postern again and again while mail goes through it, and proves that nothing accepted was lost.
 *
 *     npm run test:crash -- [--kills 20] [--messages N] [--seed N] [--source] [--json]
 */
import { parseArgs } from "node:util";
import { tempDir } from "../support/temp-dir.ts";
import { runCrashTest, type CrashReport } from "./harness.ts";
import { posternUnderTest } from "./postern-under-test.ts";

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "20" },
    messages: { type: "string" },
    seed: { type: "string" },
    source: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const kills = Number(values.kills);
// A hundred messages between two kills, as in the short form.
const messages = values.messages === undefined ? Math.max(2000, kills * 100) : Number(values.messages);
const seed = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed);
if (![kills, messages, seed].every((value) => Number.isInteger(value) && value >= 0))
  throw new Error("--kills, --messages and --seed take whole numbers");

// An interrupt ends the relay too: its starter stops it at the exit.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));

console.error(`${kills} kills while ${messages} messages go through 8 connections, --seed ${seed}`);
const folder = await tempDir("postern-crash-");
try {
  const report = await runCrashTest((nextHop) => posternUnderTest(folder.path, nextHop, values.source ? "source" : "dist"), {
    kills,
    messages,
    connections: 8,
    seed,
    progress: process.stderr.isTTY
      ? (accepted, delivered, done) => process.stderr.write(`\r\u001b[K${accepted} accepted, ${delivered} delivered, ${done} kills`)
      : undefined,
  });
  if (process.stderr.isTTY) process.stderr.write("\r\u001b[K");
  console.log(values.json ? JSON.stringify(report, null, 2) : summary(report));
  process.exitCode = report.faults.length === 0 ? 0 : 1;
} finally {
  await folder.remove();
}

function summary(report: CrashReport): string {
  return [
    `${report.kills} kills, ${report.accepted} messages accepted, ${report.lost.length} lost`,
    `${report.delivered} deliveries: ${report.duplicates} duplicates of at most ${report.ambiguous ?? "?"} in flight at the kills, ${report.unacknowledged} whose 250 was lost`,
    ...report.faults.map((fault) => `FAULT: ${fault}`),
    report.faults.length === 0 ? "every accepted message arrived, whole and under its own Message-ID" : "NOT as promised",
  ].join("\n");
}
