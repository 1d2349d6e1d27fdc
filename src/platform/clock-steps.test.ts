import { expect, test } from "vitest";
import { ClockSteps } from "./clock-steps.ts";
import { ManualClock } from "./clock.ts";

const HOUR = 3_600_000;

test("a clock that is set is noticed once, with how far and in which direction; time that passes and NTP's small corrections are not", () => {
  const clock = new ManualClock();
  const steps: number[] = [];
  const watch = new ClockSteps(clock, (byMs) => steps.push(byMs));
  watch.watch();
  const pass = (): void => clock.advance(60_000);

  pass();
  clock.step(-2 * HOUR);
  pass();
  clock.step(29_000);
  pass();
  clock.step(30 * 24 * HOUR);
  pass();
  watch.end();
  clock.step(HOUR);
  pass();

  expect(steps).toEqual([-2 * HOUR, 30 * 24 * HOUR + 29_000]);
});

test("who asks how far the clock went forward is told of a step that was not noticed yet, and nothing of one back", () => {
  const clock = new ManualClock();
  const steps: number[] = [];
  const watch = new ClockSteps(clock, (byMs) => steps.push(byMs));

  clock.step(6 * HOUR);
  clock.advance(1_000);
  const afterSleep = watch.forwardMs();
  clock.step(-2 * HOUR);

  expect([afterSleep, watch.forwardMs()]).toEqual([6 * HOUR, 6 * HOUR]);
  expect(steps).toEqual([6 * HOUR, -2 * HOUR]);
});
