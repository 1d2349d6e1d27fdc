import { Buffer } from "node:buffer";
import fc from "fast-check";
import { expect, test } from "vitest";

import { ContentReader } from "./content-reader.ts";

/** Text made of what is hard: line ends, dots, letters. */
const piece = fc.constantFrom("\r\n", ".", "..", "\r", "\n", "a", "\r\n.", ".\r\n");
const text = fc.array(piece, { maxLength: 30 }).map((parts) => parts.join(""));

function stuffed(content: string): string {
  return `\r\n${content}`.replaceAll("\r\n.", "\r\n..").slice(2);
}

function readInPieces(wire: Buffer, cuts: readonly number[]): { content: string; rest: string | undefined } {
  const received: Buffer[] = [];
  const reader = new ContentReader(
    (octets) => received.push(Buffer.from(octets)),
    () => undefined,
  );
  const edges = [...new Set(cuts.map((cut) => cut % (wire.length + 1))), wire.length].toSorted((a, b) => a - b);
  let from = 0;
  let rest: string | undefined;
  for (const to of edges) {
    const chunk = wire.subarray(from, to);
    from = to;
    if (rest !== undefined) rest += chunk.toString();
    else rest = reader.push(chunk)?.toString();
  }
  return { content: Buffer.concat(received).toString(), rest };
}

test("any content that ends a line arrives as it was, whatever the pieces, and what follows the final dot is left", () => {
  fc.assert(
    fc.property(text, fc.array(fc.nat(200), { maxLength: 20 }), (body, cuts) => {
      const content = body === "" || body.endsWith("\r\n") ? body : `${body}\r\n`;
      const wire = Buffer.from(`${stuffed(content)}.\r\nQUIT\r\n`);

      expect(readInPieces(wire, cuts)).toEqual({ content, rest: "QUIT\r\n" });
    }),
    { numRuns: 2000 },
  );
});

test("only CR LF dot CR LF ends the content", () => {
  for (const almost of ["a\n.\n", "a\r\n.\n", "a\n.\r\n", "a\r.\r\n"]) {
    expect(readInPieces(Buffer.from(almost), []).rest).toBeUndefined();
  }
});
