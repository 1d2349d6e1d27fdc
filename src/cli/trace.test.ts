import { expect, test } from "vitest";
import { readQuestion } from "./trace.ts";

const NOW = Date.UTC(2026, 10, 27, 12, 0, 0);

test.each([
  [["2026-11-27 06:13:53"], ["2026-11-27", "06:13:53"]],
  [
    ["yesterday 9:14", "10.20.3.7"],
    ["yesterday", "9:14", "10.20.3.7"],
  ],
])("a time in quotes is its words: %j", (quoted, words) => {
  const { query } = readQuestion(quoted, NOW, "UTC");

  expect(query.acceptedFrom).toBeDefined();
  expect(query).toEqual(readQuestion(words, NOW, "UTC").query);
});

test("other words in quotes stay one text", () => {
  expect(readQuestion(["scan of 9:14"], NOW, "UTC").query).toMatchObject({ text: "scan of 9:14", acceptedFrom: undefined });
});
