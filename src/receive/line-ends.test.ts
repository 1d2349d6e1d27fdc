import fc from "fast-check";
import { expect, test } from "vitest";
import { LineEndScan } from "./line-ends.ts";

function lineEnds(octets: Uint8Array, from = 0): number[] {
  const scan = new LineEndScan(octets);
  const found: number[] = [];
  for (let at = scan.next(from); at < octets.length; at = scan.next(at + 1)) found.push(at);
  return found;
}

test("every CR and LF is found, whatever stands around it and wherever the octets lie in memory", () => {
  const octet = fc.oneof(
    { weight: 4, arbitrary: fc.integer({ min: 0, max: 255 }) },
    fc.constantFrom(0, 9, 10, 13, 14, 128 + 10, 128 + 13, 255),
  );
  fc.assert(
    fc.property(fc.array(octet, { maxLength: 100 }), fc.integer({ min: 0, max: 7 }), fc.nat({ max: 100 }), (values, offset, from) => {
      const octets = new Uint8Array(new ArrayBuffer(offset + values.length), offset);
      octets.set(values);

      expect(lineEnds(octets, from)).toEqual([...values.keys()].filter((at) => at >= from && (values[at] === 10 || values[at] === 13)));
    }),
  );
});

test("long lines are skipped to their very end", () => {
  for (let length = 0; length < 70; length += 1) {
    expect(lineEnds(Buffer.from(`${"x".repeat(length)}\r\n${"y".repeat(length)}`))).toEqual([length, length + 1]);
  }
});

test("octets at the very end of their memory are read no further", () => {
  expect(lineEnds(new Uint8Array(new ArrayBuffer(5), 5))).toEqual([]);
  expect(lineEnds(new Uint8Array(new ArrayBuffer(5), 3).fill(13))).toEqual([0, 1]);
});
