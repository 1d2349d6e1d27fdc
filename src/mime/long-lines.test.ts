import fc from "fast-check";
import { simpleParser } from "mailparser";
import { describe, expect, test } from "vitest";
import type { MessageContent } from "./header-block.ts";
import { LineBreaker, withShortLines } from "./long-lines.ts";

/** Breaks the lines of `mail`, cut into blocks of some size. */
function broken(mail: string, { size = 1 << 20, signed = false } = {}): string {
  const breaker = new LineBreaker(signed);
  const octets = Buffer.from(mail, "latin1");
  const out: Buffer[] = [];
  for (let at = 0; at < octets.length; at += size) {
    const block = Buffer.from(octets.subarray(at, at + size));
    out.push(Buffer.from(breaker.push(block)));
    block.fill(0);
  }
  return Buffer.concat([...out, breaker.end()]).toString("latin1");
}

const longest = (text: string): number => Math.max(...text.split("\r\n").map((line) => line.length));
const PDF = Buffer.from(Array.from({ length: 30_000 }, (_, at) => (at * 7919) % 251));

describe("lines over 998 octets", () => {
  test("a whole file as one base64 line is wrapped at 76 and stays the same file", async () => {
    const mail = `Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n${PDF.toString("base64")}\r\n`;

    const out = broken(mail);

    expect(longest(out)).toBe(76);
    expect(Buffer.from(out.slice(out.indexOf("\r\n\r\n")), "base64").equals(PDF)).toBe(true);
    expect(out.endsWith("\r\n") && !out.endsWith("\r\n\r\n")).toBe(true);
  });

  test("in a multipart only the long line of the base64 part is wrapped; text next to it is broken by a line end and a space", async () => {
    const head =
      'MIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n boundary="a b"\r\n\r\npreamble\r\n--a b\r\nContent-Type: text/plain\r\n\r\n';
    const log = "x".repeat(2_500);
    const part = "\r\n--a b\r\nContent-Type: application/pdf; name=s.pdf\r\nContent-transfer-ENCODING: Base64\r\n\r\n";
    const mail = `${head}${log}\r\nshort${part}${PDF.toString("base64")}\r\n--a b--\r\n${log}\r\n`;

    const out = broken(mail);
    const parsed = await simpleParser(Buffer.from(out, "latin1"));

    const cut = `${"x".repeat(998)}\r\n ${"x".repeat(997)}\r\n ${"x".repeat(505)}`;
    expect(out.startsWith(`${head}${cut}\r\nshort${part}`)).toBe(true);
    expect(out.endsWith(`\r\n--a b--\r\n${cut}\r\n`)).toBe(true);
    expect(longest(out)).toBe(998);
    expect(parsed.attachments[0]?.content.equals(PDF)).toBe(true);
  });

  test("quoted-printable gets soft line breaks and never loses an octet", async () => {
    const text = "caf\u00e9 = ".repeat(400);
    const encoded = Buffer.from(text)
      .toString("latin1")
      .replaceAll("=", "=3D")
      .replace(/[\u0080-\u00ff]/g, (octet) => `=${octet.charCodeAt(0).toString(16).toUpperCase()}`);
    const head = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n";

    const out = broken(`${head}${encoded}end\r\n`);
    const parsed = await simpleParser(Buffer.from(out, "latin1"));

    expect(longest(out)).toBeLessThanOrEqual(76);
    expect(parsed.text?.trim()).toBe(`${text}end`);
  });

  test("a header line is folded at white space, and unfolding gives it back", () => {
    const words = `References: ${Array.from({ length: 120 }, (_, at) => `<${at}@plant.contoso.com>`).join(" ")}`;

    const out = broken(`${words}\r\nSubject: x\r\n\r\nbody\r\n`);

    expect(longest(out)).toBeLessThanOrEqual(998);
    expect(out.replace(/\r\n(?=[ \t])/g, "")).toBe(`${words}\r\nSubject: x\r\n\r\nbody\r\n`);
  });

  test("a header line without white space is broken all the same, not after its name", () => {
    const out = broken(`Subject: ${"x".repeat(1_500)}\r\n\r\nbody\r\n`);

    expect(out).toBe(`Subject: ${"x".repeat(989)}\r\n ${"x".repeat(511)}\r\n\r\nbody\r\n`);
  });

  test("a header line of many blanks leaves no line of blanks", () => {
    const out = broken(`Subject: a${" ".repeat(3_000)}b${" ".repeat(3_000)}\r\nTo: x\r\n\r\nbody\r\n`);

    expect(
      out
        .split("\r\n\r\n")[0]
        ?.split("\r\n")
        .some((line) => line.trim() === ""),
    ).toBe(false);
    expect(out.replace(/\r\n(?=[ \t])/g, "").replace(/ +/g, " ")).toBe("Subject: a b \r\nTo: x\r\n\r\nbody\r\n");
  });

  test("a character of UTF-8 is not cut", () => {
    const text = `a${"\u20ac".repeat(700)}`;
    const out = Buffer.from(broken(`\r\n${Buffer.from(text).toString("latin1")}\r\n`), "latin1").toString();

    expect(out).toBe(`\r\na${"\u20ac".repeat(332)}\r\n ${"\u20ac".repeat(332)}\r\n ${"\u20ac".repeat(36)}\r\n`);
  });

  test("in signed content no line is broken further than SMTP demands", () => {
    const out = broken(`Content-Transfer-Encoding: base64\r\n\r\n${PDF.toString("base64")}\r\n`, { signed: true });

    expect(longest(out)).toBe(996);
  });

  test("an attached message is followed into its own header", () => {
    const inner = `Subject: inner\r\nContent-Transfer-Encoding: base64\r\n\r\n${PDF.toString("base64")}`;
    const out = broken(`Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n${inner}\r\n--b--\r\n`);

    expect(longest(out)).toBe(76);
  });

  test("a boundary that only looks like one does not end the base64", () => {
    const out = broken(
      `Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\n--bc\r\n${PDF.toString("base64")}\r\n--b--\r\n`,
    );

    expect(longest(out)).toBe(76);
  });
});

const line = fc.oneof(
  fc.constantFrom(
    "Subject: x",
    " folded",
    "",
    "--b",
    "--b--",
    "Content-Type: multipart/mixed; boundary=b",
    "Content-Type: message/rfc822",
    "Content-Transfer-Encoding: base64",
    "Content-Transfer-Encoding: quoted-printable",
    "text",
    ".",
  ),
  fc
    .tuple(fc.constantFrom("x", "ab ", "=3D", " ", "QUJD", "\u00c3\u00a9"), fc.integer({ min: 200, max: 1500 }))
    .map(([unit, count]) => unit.repeat(count)),
);

test("whatever comes: no line is too long, short ones stay as they were, and the cut of the blocks does not matter", () => {
  fc.assert(
    fc.property(fc.array(line, { maxLength: 14 }), fc.integer({ min: 1, max: 2_000 }), fc.boolean(), (lines, size, signed) => {
      const mail = lines.map((text) => `${text}\r\n`).join("");

      const out = broken(mail, { signed });

      expect(broken(mail, { size, signed })).toBe(out);
      expect(longest(out)).toBeLessThanOrEqual(998);
      expect(out.replace(/[\r\n =]/g, "")).toBe(mail.replace(/[\r\n =]/g, ""));
      expect(lines.some((text) => text.length > 998) ? mail : out).toBe(mail);
    }),
    { numRuns: 300 },
  );
});

test("blocks come broken as one piece does", async () => {
  const mail = Buffer.from(`Subject: x\r\n\r\n${"y".repeat(5_000)}\r\n`);
  const blocks: MessageContent = {
    inMemory: undefined,
    async *blocks() {
      for (let at = 0; at < mail.length; at += 700) yield mail.subarray(at, at + 700);
    },
  };
  const pieces: Uint8Array[] = [];
  for await (const block of withShortLines(blocks, false).blocks()) pieces.push(Buffer.from(block));

  expect(Buffer.concat(pieces).toString()).toBe(broken(mail.toString()));
});

test("10 MB in one line need time for each octet once", () => {
  const started = performance.now();

  const out = broken(`\r\n${"x".repeat(10_000_000)}\r\n`, { size: 262_144 });

  expect(out.length).toBeGreaterThan(10_000_000);
  expect(performance.now() - started).toBeLessThan(5_000);
});
