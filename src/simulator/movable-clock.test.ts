import { expect, test } from "vitest";

import { ManualClock } from "../platform/clock.ts";
import { MovableClock, moveClock } from "./movable-clock.ts";

const START = Date.UTC(2026, 10, 26, 9);

test("it runs as its base does, and is moved besides", () => {
  const base = new ManualClock(START);
  const clock = new MovableClock(base);
  const elapsed = clock.monotonic();

  base.advance(1000);
  clock.advance(90_000);

  expect(clock.now()).toBe(START + 91_000);
  expect(clock.monotonic() - elapsed).toBe(91_000);
  expect(base.now()).toBe(START + 1000);
});

test("what comes due in a move fires in its order, timers set by it included; the rest waits for what is left", () => {
  const base = new ManualClock(START);
  const clock = new MovableClock(base);
  const fired: string[] = [];
  const note = (name: string) => (): void => void fired.push(`${name} at ${clock.now() - START}`);
  clock.after(2000, note("second"));
  clock.after(1000, () => {
    note("first")();
    clock.after(500, note("between"));
  });
  clock.after(4000, note("later"));
  const cancel = clock.after(10, note("cancelled"));
  cancel();

  clock.advance(3000);
  expect(fired).toEqual(["first at 1000", "between at 1500", "second at 2000"]);
  base.advance(999);
  expect(fired).toHaveLength(3);
  base.advance(1);

  expect(fired.at(-1)).toBe("later at 4000");
});

test("a date in the future lets the time between pass; one in the past changes the date alone", () => {
  const clock = new MovableClock(new ManualClock(START));
  let fired = 0;
  clock.after(60_000, () => (fired += 1));

  expect(moveClock(clock, { set: new Date(START + 60_000).toISOString() })).toBeUndefined();
  expect(fired).toBe(1);
  const elapsed = clock.monotonic();
  expect(moveClock(clock, { set: new Date(START).toISOString() })).toBeUndefined();

  expect(clock.now()).toBe(START);
  expect(clock.monotonic()).toBe(elapsed);
});

test.each([
  [{ advance: "90" }, "advance: expected a duration"],
  [{ advance: "-5s" }, "advance: expected a duration"],
  [{ advance: "400d" }, "advance: expected a duration"],
  [{ set: "tomorrow" }, "set: expected a time"],
  [{ advance: "1s", set: "2026-11-26T09:00:00Z" }, "expected either"],
  [{}, "expected either"],
  [{ forward: "1s" }, "forward: unknown"],
])("%j moves nothing and says why", (body, message) => {
  const clock = new MovableClock(new ManualClock(START));

  expect(moveClock(clock, body)).toContain(message);
  expect(clock.now()).toBe(START);
});
