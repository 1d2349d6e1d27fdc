import fc from "fast-check";
import { expect, test } from "vitest";
import { SlidingWindow } from "./window.ts";

const LENGTH = 62_000;
const AFTER_END = 60_000;

test("the thirty-first message of a minute waits until 62 s after the first", () => {
  const window = new SlidingWindow(LENGTH, AFTER_END);
  for (let i = 0; i < 30; i += 1) window.count(1, i * 100, i * 100);

  expect(window.used(3_000)).toBe(30);
  expect(window.freeAt(3_000, 29)).toBe(LENGTH);
  expect(window.used(LENGTH)).toBe(29);
});

test("what takes long counts for a minute from its end, because the next hop may have counted it there", () => {
  const window = new SlidingWindow(LENGTH, AFTER_END);

  window.count(1, 0, 20_000);

  expect(window.used(79_999)).toBe(1);
  expect(window.used(80_000)).toBe(0);
});

test("what is under way counts, and nobody knows until when", () => {
  const window = new SlidingWindow(LENGTH, AFTER_END);

  window.take(2);

  expect(window.used(0)).toBe(2);
  expect(window.freeAt(0, 1)).toBeUndefined();
  window.giveBack(1);
  expect(window.freeAt(0, 1)).toBe(0);
});

test("a hundred thousand of a day are kept in about a thousand entries", () => {
  const day = new SlidingWindow(86_402_000, 86_400_000);
  for (let i = 0; i < 100_000; i += 1) day.count(1, i * 864, i * 864 + 500);

  expect(day.entries).toBeLessThan(1_100);
  expect(day.used(86_400_000)).toBe(100_000);
});

const attempts = fc.array(
  fc.record({
    gap: fc.oneof(fc.nat(50), fc.nat(9_000)),
    lasts: fc.oneof(fc.nat(100), fc.nat(20_000)),
    amount: fc.integer({ min: 1, max: 4 }),
    part: fc.double({ min: 0, max: 1, noNaN: true }),
  }),
  { maxLength: 80 },
);

test("whenever an attempt is counted between its start and end, no minute sees more than the limit", () => {
  fc.assert(
    fc.property(attempts, (plan) => {
      const window = new SlidingWindow(LENGTH, AFTER_END);
      const seen: { at: number; amount: number }[] = [];
      const starts: { at: number; amount: number }[] = [];
      let now = 0;
      let open: { start: number; end: number; amount: number }[] = [];
      for (const { gap, lasts, amount, part } of plan) {
        now += gap;
        for (const { start, end, amount: its } of open.filter((one) => one.end <= now).toSorted((a, b) => a.end - b.end)) {
          window.giveBack(its);
          window.count(its, start, end);
        }
        open = open.filter((one) => one.end > now);
        if (window.used(now) + amount > 5) continue;
        window.take(amount);
        open.push({ start: now, end: now + lasts, amount });
        starts.push({ at: now, amount });
        seen.push({ at: now + lasts * part, amount });
      }

      for (const { at } of seen) expect(sumOf(seen, at, AFTER_END)).toBeLessThanOrEqual(5);
      for (const { at } of starts) expect(sumOf(starts, at, LENGTH)).toBeLessThanOrEqual(5);
    }),
  );
});

test("it never counts less than there is, and not much more: what left the window a step ago is gone", () => {
  fc.assert(
    fc.property(attempts, fc.array(fc.nat(200_000)), (plan, looks) => {
      const window = new SlidingWindow(LENGTH, AFTER_END);
      const entries: { until: number; amount: number }[] = [];
      let now = 0;
      for (const { gap, lasts, amount } of plan) {
        now += gap;
        // In the order of their ends, as a clock hands them in.
        window.count(amount, now - lasts, now);
        entries.push({ until: Math.max(now - lasts + LENGTH, now + AFTER_END), amount });
      }
      for (const ahead of looks.toSorted((a, b) => a - b)) {
        const left = (slack: number): number =>
          entries.filter(({ until }) => until + slack > now + ahead).reduce((sum, { amount }) => sum + amount, 0);

        expect(window.used(now + ahead)).toBeGreaterThanOrEqual(left(0));
        expect(window.used(now + ahead)).toBeLessThanOrEqual(left(2 * (LENGTH / 1_000)));
      }
    }),
  );
});

function sumOf(amounts: readonly { at: number; amount: number }[], from: number, lengthMs: number): number {
  return amounts.filter(({ at }) => at >= from && at < from + lengthMs).reduce((sum, { amount }) => sum + amount, 0);
}
