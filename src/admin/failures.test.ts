import { expect, test } from "vitest";
import { ManualClock } from "../platform/clock.ts";
import { Failures } from "./failures.ts";

test("the first failure is answered at once, each further one later, at most 8 s; ten quiet minutes make up for all", () => {
  const clock = new ManualClock();
  const failures = new Failures(clock);
  const fail = (): number | undefined => {
    const { delayMs } = failures.note("10.0.0.1");
    failures.answered("10.0.0.1");
    return delayMs;
  };

  const delays = Array.from({ length: 9 }, fail);
  clock.advance(10 * 60_000);

  expect(delays).toEqual([0, 250, 500, 1000, 2000, 4000, 8000, 8000, 8000]);
  expect(fail()).toBe(0);
});

test("of one address four answers wait at a time, of all 32; what does not wait is refused at once", () => {
  const failures = new Failures(new ManualClock());
  const noteAll = (address: string): boolean[] => Array.from({ length: 5 }, () => failures.note(address).delayMs !== undefined);

  const first = noteAll("10.0.0.1");
  const others = Array.from({ length: 8 }, (_, index) => noteAll(`10.0.1.${index}`)).flat();
  failures.answered("10.0.0.1");
  const again = failures.note("10.0.0.1").delayMs;

  expect(first).toEqual([true, true, true, true, false]);
  expect(others.filter(Boolean)).toHaveLength(28);
  expect(again).toBeTypeOf("number");
});

test("ten thousand addresses cost no more than a thousand", () => {
  const failures = new Failures(new ManualClock());
  const note = (address: string): number => {
    const { failures: count, delayMs } = failures.note(address);
    if (delayMs !== undefined) failures.answered(address);
    return count;
  };
  note("10.0.0.1");
  for (let at = 0; at < 10_000; at += 1) note(`fd00::${at.toString(16)}`);

  expect(note("10.0.0.1")).toBe(1);
});
