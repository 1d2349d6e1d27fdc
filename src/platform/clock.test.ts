import { test, expect } from "vitest";
import { ManualClock } from "./clock.ts";

test("timers fire in order of time, those set meanwhile included", () => {
  const clock = new ManualClock();
  const start = clock.now();
  const seen: [string, number][] = [];
  clock.after(200, () => seen.push(["second", clock.now() - start]));
  clock.after(100, () => {
    seen.push(["first", clock.now() - start]);
    clock.after(50, () => seen.push(["between", clock.now() - start]));
  });

  clock.advance(1000);

  expect(seen).toEqual([
    ["first", 100],
    ["between", 150],
    ["second", 200],
  ]);
  expect(clock.now() - start).toBe(1000);
});

test("a cancelled timer never fires", () => {
  const clock = new ManualClock();
  let fired = false;
  const cancel = clock.after(10, () => (fired = true));

  cancel();
  clock.advance(20);

  expect(fired).toBe(false);
  expect(clock.pending).toBe(0);
});
