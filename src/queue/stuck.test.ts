import { expect, test } from "vitest";
import type { PosternEvent } from "../mail/events.ts";
import { ManualClock } from "../platform/clock.ts";
import { StuckWatch } from "./stuck.ts";

/** A queue's thread that has not answered for so long. */
function waiting() {
  const clock = new ManualClock();
  const events: PosternEvent[] = [];
  const thread = { waitedMs: 0 };
  const watch = new StuckWatch(
    () => thread.waitedMs,
    clock,
    (event) => events.push(event),
  );
  watch.watch();
  const pass = (seconds: number): void => {
    for (let second = 0; second < seconds; second++) {
      thread.waitedMs += 1_000;
      clock.advance(1_000);
    }
  };
  return {
    clock,
    thread,
    watch,
    pass,
    told: () => events.map((event) => ("alert" in event ? `${event.type} ${event.alert}` : event.type)),
  };
}

test("half a minute without an answer is told once, and its end, too", () => {
  const { thread, watch, pass, told } = waiting();

  pass(29);
  const before = watch.isStuck;
  pass(600);
  const during = [watch.isStuck, told()];
  thread.waitedMs = 0;
  pass(10);

  expect(before).toBe(false);
  expect(during).toEqual([true, ["alert.raised spool.stuck"]]);
  expect([watch.isStuck, told()]).toEqual([false, ["alert.raised spool.stuck", "alert.cleared spool.stuck"]]);
});

test("a question that stays without an answer gets another one, and those answered before are forgotten", async () => {
  const { watch, pass } = waiting();
  const instead: string[] = [];
  const ask = (question: string, answer: Promise<string>): Promise<string> =>
    watch.orStuck(answer, () => {
      instead.push(question);
      return `as known before ${question}`;
    });

  const first = await ask("first", Promise.resolve("first answer"));
  const refused = await ask("second", Promise.reject(new Error("refused"))).catch(String);
  const third = ask("third", new Promise(() => {}));
  pass(60);

  expect([first, refused, await third]).toEqual(["first answer", "Error: refused", "as known before third"]);
  expect(instead).toEqual(["third"]);
});

test("a process that was stopped for minutes, and finds an old question when it goes on, raises no alarm", () => {
  const { thread, watch, pass, told } = waiting();

  pass(3);
  thread.waitedMs += 600_000;
  pass(2);
  thread.waitedMs = 0;
  pass(20);

  expect([watch.isStuck, told()]).toEqual([false, []]);
});

test("after its end nothing is looked at any more", () => {
  const { clock, watch } = waiting();

  watch.stop();

  expect(clock.pending).toBe(0);
});
