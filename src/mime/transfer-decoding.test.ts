import { expect, test } from "vitest";
import { transferDecoder } from "./transfer-decoding.ts";

function decoded(encoding: string, ...blocks: string[]): string {
  const decoder = transferDecoder(encoding);
  if (decoder === undefined) throw new Error(`no decoder for ${encoding}`);
  return Buffer.concat([...blocks.map((block) => decoder.push(Buffer.from(block, "latin1"))), decoder.end()]).toString("latin1");
}

test("blanks before a line end are no part of quoted-printable, and a soft line end goes", () => {
  expect(decoded("quoted-printable", "a \t\r\nb c=20\r\n", "d= \r\ne")).toBe("a\r\nb c \r\nde");
});

test("a quarter of a megabyte of blanks is decoded in a moment", () => {
  const before = process.threadCpuUsage();
  const text = decoded("quoted-printable", ...Array<string>(4).fill(" ".repeat(65_536)), "x");

  expect(text).toHaveLength(4 * 65_536 + 1);
  // Work that grows with the square of a run would take a minute.
  expect(process.threadCpuUsage(before).user).toBeLessThan(15_000_000);
});
