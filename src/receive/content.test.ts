import fc from "fast-check";
import { expect, test } from "vitest";
import { ContentDecoder } from "./content.ts";
import type { ContentConsumer } from "./content.ts";

/** Collects octets; the header section ends at the first empty line, or before it starts. */
class Collector implements ContentConsumer {
  readonly pieces: Buffer[] = [];
  octets(source: Buffer, start: number, end: number): void {
    this.pieces.push(Buffer.from(source.subarray(start, end)));
  }
  headerLineEnded(): boolean {
    return this.text.endsWith("\r\n\r\n") || this.text === "\r\n";
  }
  get text(): string {
    return Buffer.concat(this.pieces).toString("latin1");
  }
}

function decode(pieces: readonly Buffer[], body = true): { text: string; rest: string | undefined; findings: object } {
  const collector = new Collector();
  const decoder = new ContentDecoder(collector);
  if (body) decoder.endHeader();
  for (const [at, piece] of pieces.entries()) {
    const end = decoder.feed(Buffer.from(piece), 0);
    if (end >= 0) {
      const rest = Buffer.concat([piece.subarray(end), ...pieces.slice(at + 1)]).toString("latin1");
      return { text: collector.text, rest, findings: decoder.findings };
    }
  }
  return { text: collector.text, rest: undefined, findings: decoder.findings };
}

/** The same by other means: whole strings and regular expressions. Runs of up to 16 CRs. */
function reference(wire: string): { text: string; rest: string | undefined } {
  const at = wire.startsWith(".\r\n") ? -2 : wire.indexOf("\r\n.\r\n");
  const ended = at !== -1;
  const content = ended ? wire.slice(0, at + 2) : wire;
  const unstuffed = content.replace(/(^|\n)\.\./g, "$1.");
  const text = unstuffed.replace(/\r*\n|\r/g, "\r\n");
  return { text, rest: ended ? wire.slice(at + 5) : undefined };
}

test.each([
  ["\n.\n", "LF . LF"],
  ["\n.\r\n", "LF . CRLF"],
  ["\r\n.\n", "CRLF . LF"],
  ["\r.\r", "CR . CR"],
  ["\r.\r\n", "CR . CRLF"],
  ["\r\n.\r", "CRLF . CR"],
  ["\r\n.\0\r\n", "CRLF . NUL CRLF"],
])("%j (%s) does not end DATA", (sequence) => {
  const { rest } = decode([Buffer.from(`body${sequence}MAIL FROM:<evil@example.com>\r\n`)]);

  expect(rest).toBeUndefined();
});

test.each([
  ["a\r\n.\r\nQUIT\r\n", "a\r\n", "QUIT\r\n"],
  [".\r\n", "", ""],
  ["..\r\n.\r\n", ".\r\n", ""],
  ["..a\r\n...\r\n.b\r\n.\r\n", ".a\r\n..\r\n.b\r\n", ""],
  ["a\n..b\n.\n.\r\n\r\n.\r\n", "a\r\n.b\r\n.\r\n.\r\n\r\n", ""],
  ["a\r\r\nb\r\r\r\n.\r\n", "a\r\nb\r\n", ""],
  ["a\rb\r\n.\r\n", "a\r\nb\r\n", ""],
])("%j becomes %j, and %j is left", (wire, text, rest) => {
  const decoded = decode([Buffer.from(wire)]);

  expect(decoded.text).toBe(text);
  expect(decoded.rest).toBe(rest);
});

test("a lone CR in the header section is a space, in the body a line end", () => {
  const { text } = decode([Buffer.from("A: b\rc\r\n\r\nd\re\r\n.\r\n")], false);

  expect(text).toBe("A: b c\r\n\r\nd\r\ne\r\n");
});

test("findings name what was repaired", () => {
  const none = { bareLf: false, loneCr: false, extraCr: false, lenientEnd: false };
  expect(decode([Buffer.from("a\r\nb\r\n.\r\n")]).findings).toEqual(none);
  expect(decode([Buffer.from("a\nb\rc\r\r\n.\r\n")]).findings).toEqual({ ...none, bareLf: true, loneCr: true, extraCr: true });
});

test.each(["\n.\n", "\n.\r\n", "\r\n.\n", "\r\n.\r\n"])("a lenient decoder takes %j for the end, wherever the stream is cut", (end) => {
  const wire = Buffer.from(`a${end}QUIT`);
  for (let cut = 0; cut <= wire.length; cut += 1) {
    const collector = new Collector();
    const decoder = new ContentDecoder(collector, true);
    decoder.endHeader();
    const first = decoder.feed(Buffer.from(wire.subarray(0, cut)), 0);
    const at = first >= 0 ? first : cut + decoder.feed(Buffer.from(wire.subarray(cut)), 0);

    expect([collector.text, wire.toString("latin1", at)]).toEqual(["a\r\n", "QUIT"]);
    expect(decoder.findings.lenientEnd).toBe(end !== "\r\n.\r\n");
  }
});

test("a lenient decoder does not take CR forms for the end, nor a line that only starts with a dot", () => {
  for (const text of ["a\r.\r", "a\n.b\n", "a\n..\n", "a\r.\rb"]) {
    const decoder = new ContentDecoder(new Collector(), true);

    expect(decoder.feed(Buffer.from(text), 0)).toBe(-1);
  }
});

test.each([
  ["a\n.\n", true],
  ["a\r\n.\n", true],
  ["a\n.\r\n", true],
  ["a\r\n.\r", true],
  ["a\r\n.", true],
  ["a\n.\nb", false],
  ["a\n..\n", false],
  ["a\r\n", false],
])("%j ends with a dot alone: %s", (text, expected) => {
  const decoder = new ContentDecoder(new Collector());
  for (const octet of Buffer.from(text)) decoder.feed(Buffer.from([octet]), 0);

  expect(decoder.endsWithDot).toBe(expected);
});

const wires = fc
  .array(fc.constantFrom("\r", "\n", "\r\n", ".", "..", "\r\n.\r\n", "a", "line", "\0", "\u00ff"), { maxLength: 40 })
  .map((parts) => parts.join(""))
  .filter((wire) => !/\r{17}/.test(wire));

test("decoding agrees with the reference, wherever the stream is cut", () => {
  fc.assert(
    fc.property(wires, fc.array(fc.nat(60), { maxLength: 12 }), (wire, cuts) => {
      const octets = Buffer.from(`${wire}\r\n.\r\nNOOP\r\n`, "latin1");
      const at = [...new Set(cuts.map((cut) => cut % octets.length))].toSorted((a, b) => a - b);
      const pieces = [0, ...at].map((start, i) => octets.subarray(start, at[i] ?? octets.length));

      const decoded = decode(pieces);

      expect({ text: decoded.text, rest: decoded.rest }).toEqual(reference(octets.toString("latin1")));
    }),
    { numRuns: 2000 },
  );
});

test("octet by octet gives the same as all at once", () => {
  fc.assert(
    fc.property(wires, (wire) => {
      const octets = Buffer.from(`${wire}\r\n.\r\nNOOP\r\n`, "latin1");

      const single = decode([...octets].map((octet) => Buffer.from([octet])));

      expect(single).toEqual(decode([octets]));
    }),
    { numRuns: 1000 },
  );
});

test("canonical content comes out in one piece per chunk, byte for byte", () => {
  const line = `${"QUJD".repeat(19)}\r\n`;
  const collector = new Collector();
  const decoder = new ContentDecoder(collector);
  decoder.endHeader();

  decoder.feed(Buffer.from(line.repeat(800)), 0);

  expect(collector.pieces).toHaveLength(1);
  expect(collector.text).toBe(line.repeat(800));
});

test("a megabyte of lines that start with two dots, or of bare LFs, does not hold up the event loop", () => {
  const time = (unit: string): number => {
    const chunk = Buffer.from(unit.repeat(Math.floor(65536 / unit.length)));
    const decoder = new ContentDecoder({ octets: () => undefined, headerLineEnded: () => true });
    decoder.endHeader();
    const started = performance.now();
    for (let i = 0; i < 16; i += 1) decoder.feed(chunk, 0);
    return performance.now() - started;
  };
  time("..\r\n");

  expect(time("..\r\n")).toBeLessThan(2000);
  expect(time("\n")).toBeLessThan(2000);
  expect(time("\r")).toBeLessThan(2000);
});
