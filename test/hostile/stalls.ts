/** Prints what the heaviest inputs do to a listener: `node test/hostile/stalls.ts`. Exit status 1 when the event loop stood still for over 100 ms. */
import { HEAVY, send } from "./heavy.ts";
import { startHostileRelay } from "./hostile-relay.ts";

const LONGEST_STALL_MS = 100;
const MIB = 1024 * 1024;

await using relay = await startHostileRelay();
let worst = 0;
console.log(`${"INPUT".padEnd(44)}${"REPLY".padEnd(7)}${"SECONDS".padStart(8)}${"STALL ms".padStart(10)}${"GROWTH MiB".padStart(12)}`);
for (const heavy of HEAVY) {
  const before = await relay.figures(true);
  await relay.figures();
  const startedAt = performance.now();
  const reply = await send(relay.port, heavy);
  const seconds = (performance.now() - startedAt) / 1000;
  const { longestStallMs } = await relay.figures();
  const growth = ((await relay.figures(true)).rssBytes - before.rssBytes) / MIB;
  worst = Math.max(worst, longestStallMs);
  console.log(
    `${heavy.what.padEnd(44)}${reply.slice(0, 3).padEnd(7)}${seconds.toFixed(2).padStart(8)}${longestStallMs.toFixed(0).padStart(10)}${growth.toFixed(0).padStart(12)}`,
  );
}
for (const fault of relay.faults) console.log(fault);
console.log(`the longest stall was ${worst.toFixed(0)} ms`);
process.exitCode = worst > LONGEST_STALL_MS || relay.faults.length > 0 ? 1 : 0;
