import { expect, test } from "vitest";
import { watchClockSteps } from "./clock-steps.ts";
import { ManualClock } from "./clock.ts";

const HOUR = 3_600_000;

test("a clock that is set is noticed once, with how far and in which direction; time that passes and NTP's small corrections are not", () => {
  const clock = new ManualClock();
  const steps: number[] = [];
  const end = watchClockSteps(clock, (byMs) => steps.push(byMs));
  const pass = (): void => clock.advance(60_000);

  pass();
  clock.step(-2 * HOUR);
  pass();
  clock.step(29_000);
  pass();
  clock.step(30 * 24 * HOUR);
  pass();
  end();
  clock.step(HOUR);
  pass();

  expect(steps).toEqual([-2 * HOUR, 30 * 24 * HOUR + 29_000]);
});
