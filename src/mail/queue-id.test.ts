import { expect, test } from "vitest";
import { isQueueId, queueIdSource } from "./queue-id.ts";

test("queue ids are ULIDs that carry their time", () => {
  const next = queueIdSource(() => 1469918176385);

  const id = next();

  expect(id).toHaveLength(26);
  expect(id.slice(0, 10)).toBe("01ARYZ6S41");
  expect(isQueueId(id)).toBe(true);
});

test("ids sort in the order they were made, even while the clock stands still or goes back", () => {
  const times = [1000, 1000, 1000, 900, 900, 1001, 1001, 5];
  const next = queueIdSource(() => times.shift() ?? 0);

  const ids = Array.from({ length: 500 }, () => next());

  expect(ids.toSorted()).toEqual(ids);
  expect(new Set(ids).size).toBe(500);
});

test("what is no queue id is told apart", () => {
  expect(
    ["", "01ARYZ6S41", "81ARYZ6S410000000000000000", "01ARYZ6S41000000000000000U", "01aryz6s410000000000000000"].filter(isQueueId),
  ).toEqual([]);
});
