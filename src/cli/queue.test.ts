import { expect, test } from "vitest";
import { needsConfirmation } from "./queue.ts";

test.each([
  ["a delete is always asked about", "delete", false, false, true],
  ["a bounce too", "bounce", false, false, true],
  ["the whole queue on a terminal as well", "retry", true, true, true],
  ["a script that names the whole queue means it", "release", true, false, false],
  ["what can be undone for named mail is not", "hold", false, true, false],
] as const)("%s", (_, verb, everything, onTerminal, asks) => {
  expect(needsConfirmation(verb, everything, onTerminal)).toBe(asks);
});
