import { expect, test } from "vitest";
import { DEFAULT_RETRY, nextAttemptAt, retryDelayMs } from "./retry.ts";

const MINUTE = 60_000;
const DAY = 86_400_000;

test("the whole schedule: 1, 2, 4, 8, 16, then every 30 minutes", () => {
  const waits = Array.from({ length: 10 }, (_, i) => retryDelayMs(DEFAULT_RETRY, i + 1, 0.5) / MINUTE);

  expect(waits).toEqual([1, 2, 4, 8, 16, 30, 30, 30, 30, 30]);
});

test("five days of failure make 245 attempts, the last at the very end, then it expires", () => {
  const attempts: number[] = [];
  let at: number | undefined = 0;
  while (at !== undefined) {
    attempts.push(at);
    at = nextAttemptAt(DEFAULT_RETRY, { now: at, acceptedAt: 0, heldMs: 0, attempts: attempts.length, random: 0.5 });
  }

  expect(attempts.length).toBe(245);
  expect(attempts.slice(0, 7).map((ms) => ms / MINUTE)).toEqual([0, 1, 3, 7, 15, 31, 61]);
  expect(attempts.at(-1)).toBe(5 * DAY);
});

test("jitter moves a wait by at most a tenth to both sides", () => {
  expect(retryDelayMs(DEFAULT_RETRY, 1, 0)).toBe(54_000);
  expect(retryDelayMs(DEFAULT_RETRY, 1, 0.999999)).toBe(66_000);
});

test("attempt ten thousand still waits 30 minutes", () => {
  expect(retryDelayMs(DEFAULT_RETRY, 10_000, 0.5)).toBe(30 * MINUTE);
});

test("time spent held does not count as age", () => {
  const input = { now: 6 * DAY, acceptedAt: 0, attempts: 3, random: 0.5 };

  expect(nextAttemptAt(DEFAULT_RETRY, { ...input, heldMs: 0 })).toBeUndefined();
  expect(nextAttemptAt(DEFAULT_RETRY, { ...input, heldMs: 2 * DAY })).toBe(6 * DAY + 4 * MINUTE);
});

test("nothing is due before its door opens", () => {
  expect(nextAttemptAt(DEFAULT_RETRY, { now: 0, acceptedAt: 0, heldMs: 0, attempts: 1, random: 0.5, notBefore: 5 * MINUTE })).toBe(
    5 * MINUTE,
  );
});
