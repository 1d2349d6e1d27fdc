import fc from "fast-check";
import { expect, test } from "vitest";
import { LineLengths } from "./line-lengths.ts";

function tooLong(text: string, size: number): boolean {
  const lengths = new LineLengths();
  const octets = Buffer.from(text);
  for (let at = 0; at < octets.length; at += size) lengths.look(octets.subarray(at, at + size));
  return lengths.end();
}

test.each([
  ["", false],
  [`${"x".repeat(998)}\r\n`, false],
  [`${"x".repeat(999)}\r\n`, true],
  [`a\r\n${"x".repeat(999)}`, true],
  [`${"x".repeat(998)}\r\n${"x".repeat(998)}\r\n`, false],
])("a line of 998 octets is not too long, one of 999 is", (text, expected) => {
  for (const size of [1, 7, 997, 998, 999, 1000, 1001, 4096]) expect(tooLong(text, size)).toBe(expected);
});

test("any text at any cut is judged as line by line", () => {
  const length = fc.oneof(fc.integer({ min: 0, max: 90 }), fc.integer({ min: 990, max: 1005 }));
  fc.assert(
    fc.property(fc.array(length, { maxLength: 12 }), fc.integer({ min: 1, max: 1500 }), (lengths, size) => {
      const text = lengths.map((octets) => `${"x".repeat(octets)}\r\n`).join("");

      expect(tooLong(text, size)).toBe(lengths.some((octets) => octets > 998));
    }),
  );
});
