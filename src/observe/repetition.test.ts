import { expect, test } from "vitest";
import { LINES_PER_SPAN, Repetition, SPAN_MS } from "./repetition.ts";

test("twenty lines of a kind are written in a minute; the first of the next tells how many were left out", () => {
  const lines = new Repetition();
  const written = Array.from({ length: 100 }, (_, at) => lines.admit("10.0.0.1 sender", at)).filter((count) => count !== undefined);

  expect(written).toEqual(Array.from({ length: LINES_PER_SPAN }, () => 0));
  expect(lines.admit("10.0.0.2 sender", 100)).toBe(0);
  expect(lines.admit("10.0.0.1 sender", SPAN_MS)).toBe(80);
  expect(lines.admit("10.0.0.1 sender", SPAN_MS + 1)).toBe(0);
});

test("memory is bounded: kinds that were not seen for long are forgotten", () => {
  const lines = new Repetition();
  for (let at = 0; at < 30; at += 1) lines.admit("first", 0);
  for (let at = 0; at < 10_000; at += 1) lines.admit(`other ${at}`, 0);

  expect(lines.admit("first", 1)).toBe(0);
});
