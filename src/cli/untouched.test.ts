import { expect, test } from "vitest";
import type { QueueEntry } from "../queue/queue.ts";
import { whyUntouched } from "./untouched.ts";

const entry = (state: QueueEntry["state"], heldBy?: QueueEntry["heldBy"]) => ({ state, heldBy, lane: "scans" }) as QueueEntry;

test.each([
  [
    "retry",
    entry("held", "upstream"),
    "held by upstream scans, which is tried now and then lets all go: postern upstreams says how it went",
  ],
  ["retry", entry("held", "sender"), "held by the sender: one message is tried now, and takes the others along"],
  ["retry", entry("held", "operator"), "held by an operator: postern queue release lets that go"],
  ["retry", entry("held", "corrupt"), "damaged in the store, never to be sent: postern queue delete ends that"],
  ["retry", entry("delivered"), "delivered already"],
  ["release", entry("deferred"), "not held, only waiting: postern queue retry tries that now"],
  ["hold", entry("held", "upstream"), "held already"],
  ["delete", entry("bounced"), "bounced already"],
] as const)("%s of %j", (verb, left, reason) => {
  expect(whyUntouched(verb, [left])).toEqual([`1 recipient ${reason}`]);
});

test("each reason is told once, with how many it is of", () => {
  expect(whyUntouched("release", [entry("queued"), entry("delivered"), entry("deferred")])).toEqual([
    "2 recipients not held, only waiting: postern queue retry tries that now",
    "1 recipient delivered already",
  ]);
});
