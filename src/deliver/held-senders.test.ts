import { expect, test } from "vitest";
import type { PosternEvent } from "../mail/events.ts";
import { HeldSenders, MOST_HELD_SENDERS } from "./held-senders.ts";

const MINUTE = 60_000;
const REFUSAL = { cause: "may not send", remedy: "grant it" };

function held(senders: readonly string[] = []) {
  const events: PosternEvent[] = [];
  const held = new HeldSenders(
    "scans",
    (event) => events.push(event),
    (probes) => MINUTE * 2 ** probes,
  );
  held.found(senders, 0);
  return { held, events };
}

test("a sender waits a minute, then twice as long after each trial, however often it is met in between", () => {
  const { held: senders } = held();
  senders.refused("Erp@contoso.com", REFUSAL, 0);
  const waits: (number | undefined)[] = [senders.nextProbeAt];

  for (let now = MINUTE; waits.length < 4; now = senders.nextProbeAt ?? 0) {
    expect(senders.due(now - 1)).toBeUndefined();
    expect(senders.due(now)).toBe("erp@contoso.com");
    senders.tried("erp@contoso.com", now);
    senders.refused("erp@contoso.com", REFUSAL, now);
    waits.push((senders.nextProbeAt ?? 0) - now);
  }

  expect(waits).toEqual([MINUTE, 2 * MINUTE, 4 * MINUTE, 8 * MINUTE]);
});

test("the alarm is raised once and cleared once, whatever the case of the letters", () => {
  const { held: senders, events } = held(["erp@contoso.com"]);

  senders.refused("Erp@contoso.com", REFUSAL, 0);
  senders.refused("erp@contoso.com", REFUSAL, 1);
  senders.cleared("erp@contoso.com");
  senders.cleared("erp@contoso.com");

  expect(events).toEqual([
    {
      type: "alert.raised",
      alert: "sender.held",
      subject: "scans erp@contoso.com",
      text: "mail of Erp@contoso.com is held: may not send",
      remedy: "grant it",
    },
    { type: "alert.cleared", alert: "sender.held", subject: "scans erp@contoso.com" },
  ]);
  expect(senders.nextProbeAt).toBeUndefined();
});

test("what is quiet is looked after without an alarm; the next mail of the sender raises it", () => {
  const { held: senders, events } = held();

  senders.refused("erp@contoso.com", REFUSAL, 0, true);
  const quiet = [...events];
  senders.refused("erp@contoso.com", REFUSAL, 1);

  expect(quiet).toEqual([]);
  expect(senders.nextProbeAt).toBe(MINUTE);
  expect(events).toMatchObject([{ type: "alert.raised", subject: "scans erp@contoso.com" }]);
});

test("a sender of which the queue had nothing is forgotten, unless it was met while the queue was asked", () => {
  const { held: senders } = held(["a@contoso.com", "b@contoso.com"]);

  expect(senders.due(MINUTE)).toBe("a@contoso.com");
  senders.missing("a@contoso.com", MINUTE);
  expect(senders.due(MINUTE)).toBe("b@contoso.com");
  senders.refused("b@contoso.com", REFUSAL, MINUTE);
  senders.missing("b@contoso.com", MINUTE);

  expect(senders.nextProbeAt).toBe(3 * MINUTE);
});

test("whoever has nothing held any more is done with, unless more of it was held while the queue was asked", () => {
  const { held: senders, events } = held(["gone@contoso.com", "held@contoso.com"]);
  senders.refused("gone@contoso.com", REFUSAL, 0);
  senders.refused("again@contoso.com", REFUSAL, 0);
  const before = senders.meetings();

  senders.refused("again@contoso.com", REFUSAL, 1);
  senders.refused("new@contoso.com", REFUSAL, 1);
  senders.recounted(before, new Set(["held@contoso.com"]));

  expect(events.filter(({ type }) => type === "alert.cleared")).toEqual([
    { type: "alert.cleared", alert: "sender.held", subject: "scans gone@contoso.com" },
  ]);
  expect([...senders.meetings().keys()]).toEqual(["held@contoso.com", "again@contoso.com", "new@contoso.com"]);
});

test("many senders are tried one after the other with time in between, and hurried ones no faster", () => {
  const { held: senders } = held(["a@contoso.com", "b@contoso.com"]);

  senders.hurry(1_000);
  const first = senders.due(1_000);
  senders.tried("a@contoso.com", 1_000);
  const early = senders.due(10_999);
  const second = senders.due(11_000);

  expect([first, early, second]).toEqual(["a@contoso.com", undefined, "b@contoso.com"]);
});

test("memory is bounded: what finds no room is asked of the queue again when there is some", () => {
  const { held: senders } = held(Array.from({ length: MOST_HELD_SENDERS }, (_, at) => `s${at}@contoso.com`));
  senders.refused("late@contoso.com", REFUSAL, 0);
  const full = senders.isIncomplete;

  senders.cleared("s7@contoso.com");
  const roomy = senders.isIncomplete;
  senders.found(["late@contoso.com"], 0);

  expect([full, roomy, senders.isIncomplete]).toEqual([false, true, false]);
});
