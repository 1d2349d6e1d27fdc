/** What a reload makes of budgets: nothing that was used, or is under way, is forgotten. */
import { expect, test } from "vitest";
import { FakeUpstream } from "../../../test/fakes/fake-upstream.ts";
import { ManualClock } from "../../platform/clock.ts";
import type { CountedAs, UpstreamLimits } from "../../upstream/upstream.ts";
import { Budgets } from "./budgets.ts";
import type { DoorBudget } from "./door-budget.ts";

const MAILBOX: CountedAs = { mailbox: "contoso scanner@contoso.com" };
const TO = [{ address: "anna@contoso.com" }];

function door(name: string, limits: Partial<UpstreamLimits>, countedAs: CountedAs = MAILBOX): FakeUpstream {
  return new FakeUpstream({ name, type: "smtp-auth", limits, traits: { countedAs } });
}

function make(...upstreams: FakeUpstream[]): { budgets: Budgets; clock: ManualClock } {
  const clock = new ManualClock();
  return { clock, budgets: new Budgets({ upstreams, domains: ["contoso.com"], emit: () => undefined, clock }) };
}

/** Begins an attempt; the result ends it with the message taken. */
function begin(budget: DoorBudget, clock: ManualClock): () => void {
  budget.take(1, 1);
  const cost = budget.begin(TO, 1_000);
  return () =>
    void budget.end(cost, { recipients: TO, accepted: true, ambiguous: false }, "10.0.0.1", clock.monotonic(), clock.monotonic());
}

test("a changed door goes on with what was used; an attempt under way counts in its new budget until and after its end", () => {
  const { budgets, clock } = make(door("scans", { messagesPerMinute: 10 }));
  begin(budgets.door("scans"), clock)();
  const end = begin(budgets.door("scans"), clock);

  const { renewed, fresh } = budgets.update([door("scans", { messagesPerMinute: 5 })], ["contoso.com"], new Set(["scans"]));
  const under = budgets.door("scans").places(clock.monotonic()).messages;
  end();
  const after = budgets.door("scans").places(clock.monotonic()).messages;

  expect([...renewed]).toEqual(["scans"]);
  expect(fresh).toEqual([]);
  expect([under, after]).toEqual([3, 3]);
});

test("an attempt under way counts in a limit that it did not have when it began, over several reloads", () => {
  const { budgets, clock } = make(door("scans", { messagesPerMinute: 10 }));
  const end = begin(budgets.door("scans"), clock);
  const changed = new Set(["scans"]);

  budgets.update([door("scans", { messagesPerMinute: 10 }, { mailbox: "contoso other@contoso.com" })], ["contoso.com"], changed);
  budgets.update([door("scans", { messagesPerMinute: 10, recipientsPerDay: 4 })], ["contoso.com"], changed);
  const under = budgets.door("scans").places(clock.monotonic());
  end();
  const after = budgets.door("scans").places(clock.monotonic());

  expect(under).toEqual({ messages: 9, recipients: 3 });
  expect(after).toEqual({ messages: 9, recipients: 3 });
});

test("connections of the door as it was are taken off those of the new one until they end", () => {
  const { budgets, clock } = make(door("scans", { messagesPerMinute: 10 }));
  const end = begin(budgets.door("scans"), clock);

  budgets.update([door("scans", { messagesPerMinute: 10 })], ["contoso.com"], new Set(["scans"]));
  const under = budgets.door("scans").slots(2, 0, clock.monotonic());
  end();

  expect([under, budgets.door("scans").slots(2, 0, clock.monotonic())]).toEqual([1, 2]);
});

test("a door that did not change keeps its budget, unless another one comes to share a limit that it did not have", () => {
  const scans = door("scans", { messagesPerMinute: 10 });
  const { budgets } = make(scans);
  const before = budgets.door("scans");

  const same = budgets.update(
    [scans, door("bulk", { messagesPerMinute: 10 }, { mailbox: "contoso bulk@contoso.com" })],
    ["contoso.com"],
    new Set(),
  );
  const kept = budgets.door("scans");
  const shared = budgets.update([scans, door("bulk", { messagesPerMinute: 6 })], ["contoso.com"], new Set(["bulk"]));

  expect([...same.renewed]).toEqual(["bulk"]);
  expect(kept).toBe(before);
  // Two doors of one mailbox share its connections from now on.
  expect([...shared.renewed].toSorted()).toEqual(["bulk", "scans"]);
  expect(budgets.levels()).toMatchObject([{ limit: "messages_per_minute", most: 6, doors: ["scans", "bulk"] }]);
});
