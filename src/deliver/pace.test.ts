import fc from "fast-check";
import { expect, test } from "vitest";
import { Pace, WINDOW_MS } from "./pace.ts";

test("the thirty-first message of a minute waits until 62 s after the first", () => {
  const pace = new Pace(30);
  for (let i = 0; i < 30; i += 1) {
    pace.start();
    pace.finish(i * 100, true);
  }

  expect(pace.available(3_000)).toBe(0);
  expect(pace.freeAt()).toBe(WINDOW_MS);
  expect(pace.available(WINDOW_MS)).toBe(1);
});

test("an attempt that never offered mail is not counted", () => {
  const pace = new Pace(1);
  pace.start();

  pace.finish(0, false);

  expect(pace.available(0)).toBe(1);
});

test("attempts of an earlier process are counted by their age", () => {
  const pace = new Pace(3);

  pace.restore([61_000, 10], 5_000);

  expect(pace.available(5_000)).toBe(1);
  expect(pace.available(6_000)).toBe(2);
});

test("whenever an attempt is counted between its start and end, no 60 s see more than the limit", () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ gap: fc.nat(9_000), lasts: fc.nat(20_000), part: fc.double({ min: 0, max: 1, noNaN: true }) }), {
        maxLength: 60,
      }),
      (plan) => {
        const pace = new Pace(5);
        const counted: number[] = [];
        let now = 0;
        let open: { end: number }[] = [];
        for (const { gap, lasts, part } of plan) {
          now += gap;
          for (const done of open.filter((attempt) => attempt.end <= now).toSorted((a, b) => a.end - b.end)) pace.finish(done.end, true);
          open = open.filter((attempt) => attempt.end > now);
          if (pace.available(now) === 0) continue;
          pace.start();
          open.push({ end: now + lasts });
          counted.push(now + lasts * part);
        }

        for (const at of counted) expect(counted.filter((other) => other >= at && other < at + 60_000).length).toBeLessThanOrEqual(5);
      },
    ),
  );
});
