/**
 * `npm run test:dialogues`: plays every row of the quirk catalogue against a real listener and prints what came of it.
 *
 *     node test/dialogues/table.ts [--row N]
 */
import { parseArgs } from "node:util";
import { readRows } from "./dialogue.ts";
import { judgeRow } from "./verdict.ts";

const { values } = parseArgs({ options: { row: { type: "string" } } });
const rows = readRows().filter(({ row }) => values.row === undefined || row === Number(values.row));
let failed = 0;

console.log(`${"ROW".padEnd(4)}${"PRODUCT".padEnd(52)}${"PLAYS".padStart(6)}  VERDICT`);
for (const row of rows) {
  const { faults, plays } = await judgeRow(row, "every");
  const product = row.product.length > 50 ? `${row.product.slice(0, 49)}\u2026` : row.product;
  const covered = row.coveredBy.map(({ file }) => file).filter((file, at, all) => all.indexOf(file) === at);
  const good = row.dialogues.length === 0 ? `covered by ${covered.join(", ")}` : `ok: ${row.story}`;
  console.log(`${String(row.row).padEnd(4)}${product.padEnd(52)}${String(plays).padStart(6)}  ${faults.length === 0 ? good : "FAILED"}`);
  for (const fault of faults) console.log(`    ${row.file}: ${fault}`);
  if (faults.length > 0) failed += 1;
}
console.log(failed === 0 ? `all ${rows.length} rows hold` : `${failed} of ${rows.length} rows FAILED`);
process.exitCode = failed === 0 && rows.length > 0 ? 0 : 1;
