import fc from "fast-check";
import { expect, test } from "vitest";
import { findDots, findDotsByVector, findDotsByWord } from "./line-ends.ts";
import type { FindDots } from "./line-ends.ts";

const [CR, LF, DOT] = [0x0d, 0x0a, 0x2e];

/** The definition, octet by octet. */
function byDefinition(block: Uint8Array, before: number): number[] | undefined {
  const dots: number[] = [];
  for (const [at, octet] of block.entries()) {
    const last = at === 0 ? before : block[at - 1];
    if ((octet === LF) !== (last === CR)) return undefined;
    if (octet === DOT && last === LF) dots.push(at);
  }
  return dots;
}

// This runtime has vectors: without them the faster way would go untested.
const ways: [string, FindDots][] = [
  ["vectors", findDotsByVector() as FindDots],
  ["words", findDotsByWord],
  ["the way chosen", findDots],
];

const lines = fc.array(fc.constantFrom("\r\n", "\r\n.", "\r\n..\r\n", "a", ".", "x".repeat(31), "x".repeat(76), "\t\u000b\u000c\0", "é"));
const flaw = fc.constantFrom("", "", "\r", "\n", "\n\r", "\r\r\n", "\r\n\n", "\r.");
const content = fc.tuple(lines, flaw, lines).map(([a, b, c]) => Buffer.from(a.join("") + b + c.join("")));

test.each(ways)("%s: finds every dot to stuff and every CR or LF that stands alone, at every alignment", (_, find) => {
  fc.assert(
    fc.property(content, fc.nat(40), fc.constantFrom(CR, LF, DOT, 0x61), (whole, shift, before) => {
      const block = Buffer.concat([Buffer.alloc(shift, "\n"), whole, Buffer.from("\n.")]).subarray(shift, shift + whole.length);

      expect(find(block, before)).toEqual(byDefinition(block, before));
    }),
    { numRuns: 1000 },
  );
});

test.each(ways)("%s: octets of every value", (_, find) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 90 }), fc.constantFrom(LF, CR), (block, before) => {
      expect(find(block, before)).toEqual(byDefinition(block, before));
    }),
  );
});

test.each(ways)("%s: one flaw is found wherever it lies in a block larger than what is looked at in one go", (_, find) => {
  const block = Buffer.from(`${"x".repeat(76)}\r\n`.repeat(2000));
  const places = [0, 1, 77, 31_999, 65_535, 65_536, 65_537, 131_071, 131_072, block.length - 3];
  for (const place of places) {
    for (const octet of [CR, LF]) {
      const flawed = Buffer.from(block);
      if (flawed[place] === octet) continue;
      flawed[place] = octet;

      expect([place, octet, find(flawed, LF)]).toEqual([place, octet, undefined]);
    }
  }
  expect(find(block, LF)).toEqual([]);
});

test.each(ways)("%s: a dot on each line is found on each line", (_, find) => {
  const block = Buffer.from(`.${"x".repeat(75)}\r\n`.repeat(2000));

  expect(find(block, LF)).toEqual(Array.from({ length: 2000 }, (_each, index) => index * 78));
});
