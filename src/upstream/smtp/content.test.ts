import fc from "fast-check";
import { once } from "node:events";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { Transform } from "node:stream";
import { expect, test } from "vitest";
import { DotStuffer, wireForm } from "./content.ts";

// The library does not export its stream; the file lies beside the module that it does.
const require = createRequire(import.meta.url);
const { default: LibraryStream } = require(join(dirname(require.resolve("nodemailer/lib/smtp-connection")), "data-stream.js")) as {
  default: new () => Transform;
};

async function byLibrary(pieces: readonly Uint8Array[]): Promise<Buffer> {
  const stream = new LibraryStream();
  const out: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => out.push(chunk));
  const ended = once(stream, "end");
  for (const piece of pieces) stream.write(piece);
  stream.end();
  await ended;
  return Buffer.concat(out);
}

function byUs(pieces: readonly Uint8Array[]): Buffer {
  const stuffer = new DotStuffer();
  const wire = pieces.map((piece) => stuffer.push(piece));
  return Buffer.concat([...wire, stuffer.end()]);
}

function cut(whole: Buffer, at: readonly number[]): Buffer[] {
  const places = [0, ...at.map((place) => place % (whole.length + 1)), whole.length].toSorted((a, b) => a - b);
  return places.slice(1).map((to, index) => whole.subarray(places[index], to));
}

const line = fc.array(fc.constantFrom(".", "..", "a", "é", " ", "-", "\0"), { maxLength: 6 }).map((parts) => parts.join(""));
const canonical = fc
  .array(line, { maxLength: 12 })
  .chain((lines) => fc.boolean().map((open) => Buffer.from(lines.map((one) => `${one}\r\n`).join("") + (open ? ".x" : ""))));
const anything = fc
  .array(fc.constantFrom("\r", "\n", ".", "a", "\r\n", "\r\n."), { maxLength: 24 })
  .map((parts) => Buffer.from(parts.join("")));
const cuts = fc.array(fc.nat(200), { maxLength: 6 });

test("canonical content goes out exactly as the library would send it, however it is cut", async () => {
  await fc.assert(
    fc.asyncProperty(canonical, cuts, async (whole, at) => {
      expect(byUs(cut(whole, at))).toEqual(await byLibrary([whole]));
    }),
  );
});

test("content with bare CR or LF is repaired as the library does it", async () => {
  await fc.assert(
    fc.asyncProperty(anything, cuts, async (whole, at) => {
      expect(byUs(cut(whole, at))).toEqual(await byLibrary(cut(whole, at)));
    }),
  );
});

test("no content can end the data early, or leave a bare CR or LF for someone to take as a line end", () => {
  fc.assert(
    fc.property(anything, cuts, (whole, at) => {
      const wire = byUs(cut(whole, at)).toString("latin1");

      expect(wire).not.toMatch(/\r(?!\n)|(?<!\r)\n/);
      expect(`\r\n${wire}`.indexOf("\r\n.\r\n")).toBe(wire.length - 3);
    }),
  );
});

test("the search holds at every alignment, and for octets of every value", async () => {
  const octets = fc.uint8Array({ maxLength: 40 }).map((some) => Buffer.from(some));
  await fc.assert(
    fc.asyncProperty(octets, fc.nat(7), fc.constantFrom("\r\n.", "\r", "\n", ""), async (some, shift, special) => {
      const whole = Buffer.concat([Buffer.alloc(shift), some, Buffer.from(special), some]).subarray(shift);

      expect(byUs([whole])).toEqual(await byLibrary([whole]));
    }),
  );
});

test("whole content is one piece with its terminator", () => {
  expect(Buffer.from(wireForm(Buffer.from(".a\r\n..\r\n"))).toString()).toBe("..a\r\n...\r\n.\r\n");
  expect(Buffer.from(wireForm(Buffer.from(""))).toString()).toBe("\r\n.\r\n");
});

test("whole content is put together in the memory given where it fits, and is the same where it does not", () => {
  const content = Buffer.from(".a\r\n.b\r\n");
  const expected = "..a\r\n..b\r\n.\r\n";
  const [roomy, tight] = [new Uint8Array(expected.length), new Uint8Array(expected.length - 1)];

  const [inside, outside] = [wireForm(content, roomy), wireForm(content, tight)];

  expect([inside.buffer === roomy.buffer, outside.buffer === tight.buffer]).toEqual([true, false]);
  expect([inside, outside].map((wire) => Buffer.from(wire).toString())).toEqual([expected, expected]);
});
