import { expect, test } from "vitest";
import { inColour } from "./colour.ts";

test.each([
  ["on a terminal", true, {}, true],
  ["on a terminal with NO_COLOR", true, { NO_COLOR: "1" }, false],
  ["on a terminal with any NO_COLOR", true, { NO_COLOR: "0" }, false],
  ["on a terminal with an empty NO_COLOR", true, { NO_COLOR: "" }, true],
  ["in a pipe", undefined, {}, false],
])("colour %s", (_, isTTY, env, expected) => {
  expect(inColour(isTTY === undefined ? {} : { isTTY }, env)).toBe(expected);
});
