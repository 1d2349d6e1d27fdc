import { expect, test } from "vitest";
import { repeatKey, Repeats } from "./repeats.ts";

const KEY = repeatKey("10.0.0.1", "a@contoso.com", ["b@contoso.com"], "digest");

test("a repeat is known within its span, by the clock that never goes back", () => {
  const repeats = new Repeats();
  repeats.remember(KEY, "Q1", 1_000, Promise.resolve(true));

  expect(repeats.find(KEY, 61_000, 60_000)?.queueId).toBe("Q1");
  expect(repeats.find(KEY, 61_001, 60_000)).toBeUndefined();
});

test("device, sender, recipients and content each make another message; the order of recipients does not", () => {
  const keys = [
    KEY,
    repeatKey("10.0.0.2", "a@contoso.com", ["b@contoso.com"], "digest"),
    repeatKey("10.0.0.1", "", ["b@contoso.com"], "digest"),
    repeatKey("10.0.0.1", "a@contoso.com", ["b@contoso.com", "c@contoso.com"], "digest"),
    repeatKey("10.0.0.1", "a@contoso.com", ["b@contoso.com"], "other"),
  ];

  expect(new Set(keys).size).toBe(keys.length);
  expect(repeatKey("d", "s", ["x", "y"], "c")).toBe(repeatKey("d", "s", ["y", "x"], "c"));
});

test("a message whose commit failed is no earlier one", async () => {
  const repeats = new Repeats();
  const accepted = Promise.resolve(false);
  repeats.remember(KEY, "Q1", 0, accepted);
  expect(await repeats.find(KEY, 0, 1)?.accepted).toBe(false);

  expect(repeats.find(KEY, 0, 1)).toBeUndefined();
});

test("memory is bounded: the oldest are forgotten", () => {
  const repeats = new Repeats();
  for (let at = 0; at <= 10_000; at += 1) repeats.remember(`${at}`, `Q${at}`, 0, Promise.resolve(true));

  expect([repeats.find("0", 0, 1), repeats.find("1", 0, 1)?.queueId, repeats.find("10000", 0, 1)?.queueId]).toEqual([
    undefined,
    "Q1",
    "Q10000",
  ]);
});
