import { expect, test } from "vitest";
import { needsConfirmation } from "./queue.ts";

const NOBODY = { everything: false, named: false, onTerminal: false };

test.each([
  ["a delete by filters is always asked about", "delete", NOBODY, true],
  ["a bounce too", "bounce", NOBODY, true],
  ["so is one by id on a terminal", "delete", { ...NOBODY, named: true, onTerminal: true }, true],
  ["a script that names the ids means them", "bounce", { ...NOBODY, named: true }, false],
  ["the whole queue on a terminal as well", "retry", { ...NOBODY, everything: true, onTerminal: true }, true],
  ["a script that names the whole queue means it", "release", { ...NOBODY, everything: true }, false],
  ["what can be undone for named mail is not", "hold", { ...NOBODY, named: true, onTerminal: true }, false],
] as const)("%s", (_, verb, circumstances, asks) => {
  expect(needsConfirmation(verb, circumstances)).toBe(asks);
});
