/**
 * Random and mutated dialogues against a real listener: `npm run fuzz -- --minutes N`.
 *
 *     node test/fuzz/fuzz.ts [--minutes N] [--seed S] [--case K]
 *
 * The seed is printed; `--seed S --case K` plays one case again. Exit status 1 when the relay took what it must not take, said what is no reply,
 * had an error that nobody caught, ended, hung, or grew.
 */
import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { startHostileRelay } from "../hostile/hostile-relay.ts";
import { CASES_AT_A_TIME, FuzzRun } from "./run.ts";
import type { Finding } from "./run.ts";

const { values } = parseArgs({
  options: { minutes: { type: "string", default: "1" }, seed: { type: "string" }, case: { type: "string" } },
});
const seed = values.seed === undefined ? randomInt(2 ** 31) : Number(values.seed);
const only = values.case === undefined ? undefined : Number(values.case);
const minutes = Number(values.minutes);
if (![seed, only ?? 0, minutes].every(Number.isFinite)) throw new Error("--minutes, --seed and --case are numbers");
/** What a process of this size may gain: bar of 20 %, and what a young heap varies by. */
const MOST_GROWTH = 1.2;
const WARM_UP_CASES = 2_000;
const MIB = 1024 * 1024;

await using relay = await startHostileRelay();
const run = new FuzzRun(relay, seed);
const startedAt = performance.now();
const findings: Finding[] = [];
let next = only ?? 0;
let warmRss: number | undefined;
let longestStallMs = 0;
console.log(`seed ${seed}, relay process ${relay.pid}`);
do {
  findings.push(...(await run.play(next, only === undefined ? CASES_AT_A_TIME : 1)));
  next += CASES_AT_A_TIME;
  if (only !== undefined) break;
  if (warmRss === undefined && next >= WARM_UP_CASES) {
    warmRss = (await relay.figures(true)).rssBytes;
    await relay.figures();
  } else if (next % 1_000 < CASES_AT_A_TIME) longestStallMs = Math.max(longestStallMs, (await relay.figures()).longestStallMs);
} while (findings.length === 0 && performance.now() - startedAt < minutes * 60_000);

for (const { number, what, sent, heard } of findings) {
  console.log(`case ${number}: ${what}`);
  console.log(`    again: npm run fuzz -- --seed ${seed} --case ${number}`);
  console.log(`    sent ${JSON.stringify(sent.toString("latin1").slice(0, 2_000))}`);
  console.log(`    heard ${JSON.stringify(heard.slice(0, 2_000))}`);
}
const { rssBytes } = await relay.figures(true);
const grown = warmRss !== undefined && rssBytes > warmRss * MOST_GROWTH;
const memory =
  warmRss === undefined
    ? ""
    : `, memory ${(warmRss / MIB).toFixed(0)} MiB after ${WARM_UP_CASES} cases, ${(rssBytes / MIB).toFixed(0)} MiB at the end`;
const stall = longestStallMs > 0 ? `, longest stall ${longestStallMs.toFixed(0)} ms` : "";
console.log(`${only === undefined ? next : 1} cases, ${relay.accepted.length} messages taken${memory}${stall}`);
console.log(findings.length > 0 ? `${findings.length} FAILED` : grown ? "FAILED: memory grew" : "nothing found");
process.exitCode = findings.length > 0 || grown ? 1 : 0;
