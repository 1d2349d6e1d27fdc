/** What devices send, played against a real listener; `npm run test:dialogues` cuts each dialogue at every octet and prints a table. */
import { expect, test } from "vitest";
import { parseRow, readRows } from "./dialogue.ts";
import { openStage, play } from "./player.ts";
import { judgeRow } from "./verdict.ts";

const rows = readRows();

test("every row of the catalogue has its file", () => {
  expect(rows.map(({ row }) => row)).toEqual(Array.from({ length: 62 }, (_, at) => at + 1));
});

test.each(rows)("row $row, $product: $story", async (row) => {
  const { faults } = await judgeRow(row, 12);

  expect(faults).toEqual([]);
});

test.each([
  ["S: 250 9.9.9", /instead of 250 9\.9\.9/],
  ["S: (closed)", /instead of ending the connection/],
  ["S: 250 2.0.0\nQ: from=x@contoso.com", /0 messages arrived, not 1/],
  ["S: 250 2.0.0\nE: session.rejected reason=x", /no event session\.rejected/],
  ["S: 250 2.0.0\nE! session.opened", /an event session\.opened/],
])("a dialogue that asks for %j after NOOP fails", async (expectation, fault) => {
  const [dialogue] = parseRow("x", `row: 1\nproduct: x\nstory: x\n== x\nS: 220\nC: NOOP\n${expectation}\n`).dialogues;
  if (dialogue === undefined) throw new Error("no dialogue");
  const stage = await openStage(dialogue);

  const said = await play(dialogue, stage, "in turn");

  await stage.close();
  expect(said).toMatch(fault);
});
