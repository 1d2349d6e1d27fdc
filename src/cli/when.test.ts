import { describe, expect, test } from "vitest";
import { isWhen, spanOf } from "./when.ts";

const ZONE = "Europe/Paris";
/** Wednesday, 10:30 in Paris. */
const NOW = Date.parse("2026-11-25T09:30:00Z");

function span(...words: string[]): [string, string] | undefined {
  const found = spanOf(words, NOW, ZONE);
  return found && [new Date(found.from).toISOString(), new Date(found.until).toISOString()];
}

describe("a time as people say it", () => {
  test.each([
    ["9:14", "this morning", ["2026-11-25T08:11:00.000Z", "2026-11-25T08:19:00.000Z"]],
    ["09:14:30", "to the second", ["2026-11-25T08:11:30.000Z", "2026-11-25T08:19:30.000Z"]],
    ["23:50", "not yet today, so yesterday's", ["2026-11-24T22:47:00.000Z", "2026-11-24T22:55:00.000Z"]],
    ["today", "the day so far", ["2026-11-24T23:00:00.000Z", "2026-11-25T23:00:00.000Z"]],
    ["yesterday", "the whole day", ["2026-11-23T23:00:00.000Z", "2026-11-24T23:00:00.000Z"]],
    ["Monday", "the last one", ["2026-11-22T23:00:00.000Z", "2026-11-23T23:00:00.000Z"]],
    ["2h", "the last two hours", ["2026-11-25T07:30:00.000Z", "2026-11-25T09:30:00.001Z"]],
    ["2026-10-25", "a day of 25 hours", ["2026-10-24T22:00:00.000Z", "2026-10-25T23:00:00.000Z"]],
    ["2026-10-25T2:30", "a time that the clock showed twice: both", ["2026-10-25T00:27:00.000Z", "2026-10-25T01:35:00.000Z"]],
    ["2026-03-29T2:30", "a time that the clock left out", ["2026-03-29T01:27:00.000Z", "2026-03-29T01:35:00.000Z"]],
    ["2026-07-01T9:14", "a day and a time", ["2026-07-01T07:11:00.000Z", "2026-07-01T07:19:00.000Z"]],
  ])("%s is %s", (word, _meaning, expected) => {
    expect(isWhen(word)).toBe(true);
    expect(span(word)).toEqual(expected);
  });

  test("a day and a time together, in any order", () => {
    expect(span("yesterday", "9:14")).toEqual(["2026-11-24T08:11:00.000Z", "2026-11-24T08:19:00.000Z"]);
    expect(span("9:14", "yesterday")).toEqual(span("yesterday", "9:14"));
  });

  test.each([[["25:00"]], [["9:60"]], [["2026-02-30"]], [["9:14", "9:15"]], [["today", "yesterday"]], [["2h", "yesterday"]]])(
    "%j is none",
    (words) => {
      expect(span(...words)).toBeUndefined();
    },
  );

  test.each(["10.20.3.7", "anna@contoso.com", "invoice", "01JD8ZQ3V5W6X7Y8Z9A0B1C2D3", "9.14", "914"])("%s is something else", (word) => {
    expect(isWhen(word)).toBe(false);
  });
});
