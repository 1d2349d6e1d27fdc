import { expect, test } from "vitest";
import type { AcceptCommand, SettleCommand } from "./protocol.ts";
import { pack, unpack } from "./wire.ts";

const accept: AcceptCommand = {
  op: "accept",
  message: 7,
  queueId: "Q",
  at: 1,
  generated: false,
  envelope: "{}",
  reversePath: "a@b",
  client: "c",
  line: "d",
  size: 9,
  chunks: 2,
  tail: { slab: 0, offset: 5, length: 4 },
  addresses: ["x@y", "z@y"],
  lanes: ["l", "m"],
  claims: [0, 3],
};
const settle: SettleCommand = {
  op: "settle",
  claim: 3,
  message: 7,
  now: 2,
  size: 9,
  recipients: 2,
  settled: [
    { index: 0, state: 4, due: 0, heldBy: null, ambiguous: false, cause: null, reply: "{}", moved: null },
    { index: 1, state: 3, due: 5, heldBy: 0, ambiguous: true, cause: "x", reply: null, moved: { lane: "graph", passed: true } },
  ],
  attempt: { lane: "l", at: 1, record: "{}" },
  generated: [accept],
  warned: true,
  postponed: [{ to: "it@contoso.com", topic: "refused", since: 1, entry: "{}" }],
};

test.each([
  ["accept", accept],
  ["accept with octets of its own", { ...accept, tail: new Uint8Array([1]) }],
  ["accept without a last row", { ...accept, tail: undefined }],
  ["settle", settle],
  ["settle without an attempt", { ...settle, attempt: undefined, generated: [], warned: false, postponed: [] }],
  ["another", { op: "lanes" as const }],
])("%s crosses unchanged", (_name, command) => {
  expect(unpack(structuredClone(pack(command)))).toEqual(command);
});
