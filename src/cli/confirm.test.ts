import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { saysYes } from "./confirm.ts";

test.each([
  ["y\r", true],
  ["YES\r", true],
  ["n\r", false],
  ["\r", false],
  ["yesterday\r", false],
  // Ctrl-C and Ctrl-D.
  ["\u0003", false],
  ["\u0004", false],
])("%j is %s", async (typed, meant) => {
  const [input, output] = [new PassThrough(), new PassThrough()];

  const answer = saysYes("Delete 1 recipient?", input, output);
  input.write(typed);

  expect(await answer).toBe(meant);
});
