import { expect, test } from "vitest";
import { judge } from "./ledger.ts";

const accepted = new Map([
  ["Q1", "<one@plant.example>"],
  ["Q2", "<two@plant.example>"],
]);
const first = { posternId: "Q1", messageId: "<one@plant.example>", intact: true };
const second = { posternId: "Q2", messageId: "<two@plant.example>", intact: true };

test("all accepted messages that arrived once are as promised", () => {
  expect(judge(accepted, [first, second])).toEqual({ accepted: 2, delivered: 2, lost: [], duplicates: 0, unacknowledged: 0, wrong: [] });
});

test("an accepted message that did not arrive is lost", () => {
  expect(judge(accepted, [first]).lost).toEqual(["Q2"]);
});

test("a second delivery of one queue id is a duplicate, not an error", () => {
  const verdict = judge(accepted, [first, second, first]);

  expect(verdict).toMatchObject({ duplicates: 1, wrong: [] });
});

test("a message whose 250 was lost with the process is counted, not blamed", () => {
  const verdict = judge(accepted, [first, second, { posternId: "Q3", messageId: "<two@plant.example>", intact: true }]);

  expect(verdict).toMatchObject({ unacknowledged: 1, duplicates: 0, wrong: [] });
});

test("a duplicate under another Message-ID is wrong", () => {
  expect(judge(accepted, [first, second, { ...first, messageId: "<other@plant.example>" }]).wrong).toEqual([
    "Q1 was <one@plant.example> and is delivered as <other@plant.example>",
  ]);
});

test("a changed body and a missing X-Postern-Id are wrong", () => {
  const verdict = judge(accepted, [{ ...first, intact: false }, second, { ...first, posternId: "" }]);

  expect(verdict.wrong).toEqual(["the body of Q1 changed on the way", "a delivery of <one@plant.example> has no X-Postern-Id"]);
});
