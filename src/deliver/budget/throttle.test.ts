import { expect, test } from "vitest";
import { Throttle, THROTTLE_STEP_MS } from "./throttle.ts";

test("each throttling halves the rate, down to an eighth; quiet time doubles it again, step by step", () => {
  const throttle = new Throttle();
  const factors: number[] = [throttle.factor(0)];
  for (let at = 0; at < 4; at += 1) {
    throttle.hit(at * 60_000);
    factors.push(throttle.factor(at * 60_000));
  }
  for (let step = 1; step <= 3; step += 1) factors.push(throttle.factor(180_000 + step * THROTTLE_STEP_MS));

  expect(factors).toEqual([1, 0.5, 0.25, 0.125, 0.125, 0.25, 0.5, 1]);
});

test("answers to what was under way together are one throttling", () => {
  const throttle = new Throttle();

  throttle.hit(0);
  throttle.hit(5_000);

  expect(throttle.factor(5_000)).toBe(0.5);
  expect(throttle.growsAt(5_000)).toBe(THROTTLE_STEP_MS);
  expect(throttle.endsAt(5_000)).toBe(THROTTLE_STEP_MS);
});

test("a throttling in the middle of the recovery begins a new one from where the rate is", () => {
  const throttle = new Throttle();
  throttle.hit(0);
  throttle.hit(60_000);
  const later = 60_000 + THROTTLE_STEP_MS;
  expect(throttle.factor(later)).toBe(0.5);

  throttle.hit(later);

  expect(throttle.factor(later)).toBe(0.25);
  expect(throttle.endsAt(later)).toBe(later + 2 * THROTTLE_STEP_MS);
  expect(throttle.factor(later + 2 * THROTTLE_STEP_MS)).toBe(1);
  expect(throttle.growsAt(later + 2 * THROTTLE_STEP_MS)).toBeUndefined();
});
