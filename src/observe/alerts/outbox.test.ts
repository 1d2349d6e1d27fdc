import { expect, test } from "vitest";
import type { PosternEvent } from "../../mail/events.ts";
import { ManualClock } from "../../platform/clock.ts";
import type { Carried, Notice } from "./alert.ts";
import { Outbox } from "./outbox.ts";
import type { Carrier } from "./outbox.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const PACE = { gatherMs: 5 * SECOND, gapMs: MINUTE, mostGapMs: 15 * MINUTE, mostWaitMs: MINUTE };

function notice(subject: string, at: number, alert = "upstream.held"): Notice {
  return { state: "raised", at, alert: { alert, subject, text: "x", severity: "critical", since: at, toldAt: at, metAt: at } };
}

/** An outbox whose carrier notes when, and what, it was given: `5 s: a b`. */
function start(more: Partial<Carrier> = {}) {
  const clock = new ManualClock();
  const begun = clock.now();
  const events: PosternEvent[] = [];
  const carried: string[] = [];
  let answer: Carried = { taken: true };
  const carry: Carrier["carry"] = (owed) => {
    carried.push(`${(clock.now() - begun) / SECOND} s: ${owed.map((one) => one.notice.alert.subject).join(" ")}`);
    return Promise.resolve(answer);
  };
  const outbox = new Outbox({ way: "mail", clock, emit: (event) => void events.push(event), changed: () => {} }, { carry, ...more });
  outbox.start();
  return {
    outbox,
    events,
    carried,
    tell: (subject: string, alert?: string) => outbox.notify(notice(subject, clock.now(), alert)),
    answer: (next: Carried) => (answer = next),
    /** In small steps, so that what an attempt sets off comes at its own time. */
    pass: async (ms: number) => {
      for (let left = ms; left > 0; left -= SECOND) {
        clock.advance(SECOND);
        await new Promise(setImmediate);
      }
    },
  };
}

test("what comes within seconds goes together, what follows waits for its minute, and nothing is left behind", async () => {
  const { outbox, carried, tell, pass } = start({ pace: PACE });
  for (const subject of ["a", "b", "c"]) tell(subject);
  await pass(10 * SECOND);
  tell("d");
  await pass(20 * SECOND);
  tell("e");
  await pass(2 * MINUTE);

  expect(carried).toEqual(["5 s: a b c", "65 s: d e"]);
  expect(outbox.owed).toEqual([]);
});

test("a storm that does not end is soon one message in a quarter of an hour, and a quiet hour makes it quick again", async () => {
  const { carried, tell, pass } = start({ pace: PACE });
  for (let minute = 0; minute < 60; minute++) {
    tell(`m${minute}`);
    await pass(MINUTE);
  }
  await pass(20 * MINUTE);
  const storm = carried.map((line) => Number(line.split(" ")[0]));
  await pass(70 * MINUTE);
  tell("calm");
  await pass(10 * SECOND);

  expect(storm).toEqual([5, 65, 185, 425, 905, 1805, 2705, 3605]);
  expect(carried).toHaveLength(storm.length + 1);
  expect(carried.at(-1)).toBe(`${(60 + 20 + 70) * 60 + 5} s: calm`);
});

test("failures are tried again each minute at the latest, all that waits together, and are said once an hour", async () => {
  const { carried, events, tell, pass, answer } = start({ pace: PACE });
  answer({ taken: false, cause: "no upstream is open" });
  tell("a");
  await pass(4 * MINUTE);
  tell("b");
  answer({ taken: true });
  await pass(MINUTE);

  expect(carried.slice(0, 5)).toEqual(["5 s: a", "15 s: a", "35 s: a", "75 s: a", "135 s: a"]);
  expect(carried.at(-1)).toMatch(/: a b$/);
  const failed = events.filter((event) => event.type === "alert.notify.failed");
  expect(failed.map(({ isRepeated }) => isRepeated)).toEqual([false, ...Array.from({ length: failed.length - 1 }, () => true)]);
  expect(events.filter(({ type }) => type === "alert.notified")).toHaveLength(2);
});

test("what must not go this way does not, also not when it is taken over from another way", () => {
  const { outbox, tell } = start({ pace: PACE, leavesOut: ({ alert }) => alert.alert === "alert.undeliverable" });
  tell("a", "alert.undeliverable");
  outbox.restore([{ id: "1", notice: notice("b", 0, "alert.undeliverable"), attempts: 0 }]);
  tell("c");

  expect(outbox.owed.map(({ notice: { alert } }) => alert.subject)).toEqual(["c"]);
});

test("what a carrier says that was replaced meanwhile holds nobody up: the new one is tried at once", async () => {
  const late = Promise.withResolvers<Carried>();
  const carried: string[] = [];
  const { outbox, events, tell, pass } = start({ carry: () => late.promise });
  tell("a");

  outbox.replace({
    carry: async (owed) => {
      carried.push(...owed.map((one) => one.notice.alert.subject));
      return { taken: true };
    },
  });
  late.resolve({ taken: false, cause: "ECONNREFUSED" });
  await pass(SECOND);

  expect(carried).toEqual(["a"]);
  expect(events.map(({ type }) => type)).toEqual(["alert.notified"]);
});
