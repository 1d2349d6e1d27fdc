import fc from "fast-check";
import { expect, test } from "vitest";
import { leafParts, PlaceReader } from "./parts.ts";
import { readParameterField } from "./parameters.ts";
import { transferDecoder } from "./transfer-decoding.ts";

const MESSAGE = [
  "Subject: x",
  'Content-Type: multipart/mixed;\r\n boundary="out"',
  "",
  "preamble",
  "--out",
  "Content-Type: multipart/alternative; boundary=in",
  "",
  "--in",
  "",
  "plain",
  "--in  ",
  "Content-Type: text/html",
  "",
  "<p>--in</p>",
  "--inside",
  "--in--",
  "between",
  "--out",
  "Content-Type: application/pdf",
  "Content-Transfer-Encoding: base64",
  "",
  "JVBERi0x",
  "--out--",
  "epilogue",
  "",
].join("\r\n");

async function read(text: string, block: number): Promise<string[] | undefined> {
  const whole = Buffer.from(text, "latin1");
  const content = {
    inMemory: undefined,
    async *blocks() {
      for (let at = 0; at < whole.length; at += block) yield Buffer.from(whole.subarray(at, at + block));
    },
  };
  const leaves = await leafParts(content);
  if (leaves === undefined) return undefined;
  const reader = new PlaceReader(content);
  const found: string[] = [];
  for (const { contentType, within, start, end } of leaves) {
    const pieces: Buffer[] = [];
    for await (const octets of reader.read(start, end)) pieces.push(Buffer.from(octets));
    found.push(`${[...within, contentType.value].join(" > ")}: ${Buffer.concat(pieces).toString("latin1")}`);
  }
  return found;
}

const mixed = (...parts: string[]): string =>
  `Content-Type: multipart/mixed; boundary=b\r\n\r\n${parts.map((part) => `--b\r\n${part}\r\n`).join("")}--b--\r\n`;

test.each([
  ["a header alone", mixed("Content-Type: text/csv; name=e.csv", "\r\nx"), ["text/csv: ", "text/plain: x"]],
  ["a header alone at the end", mixed("\r\nx", "Content-Type: text/csv").replace("\r\n--b--\r\n", ""), ["text/plain: x", "text/csv: "]],
  ["no header and no empty line", mixed("Just text\r\nof two lines", "\r\nx"), ["text/plain: Just text\r\nof two lines", "text/plain: x"]],
  ["no empty line behind its header", mixed("Content-Type: text/html\r\n<p>x</p>"), ["text/html: <p>x</p>"]],
  [
    "parts of its own, and no empty line before them",
    mixed("Content-Type: multipart/alternative; boundary=c\r\n--c\r\n\r\nx\r\n--c--"),
    ["multipart/alternative > text/plain: x"],
  ],
  ["nothing at all", mixed("").replace("--b\r\n\r\n", "--b\r\n"), []],
])("no octet of a part is lost that has %s", async (_, text, expected) => {
  for (const block of [1, 7, 1000]) expect(await read(text, block)).toEqual(expected.map((part) => `multipart/mixed > ${part}`));
});

test("parts are found at every cut into blocks", async () => {
  const expected = [
    "multipart/mixed > multipart/alternative > text/plain: plain",
    "multipart/mixed > multipart/alternative > text/html: <p>--in</p>\r\n--inside",
    "multipart/mixed > application/pdf: JVBERi0x",
  ];

  for (let block = 1; block < 80; block += 1) expect(await read(MESSAGE, block)).toEqual(expected);
});

test("a message without parts is one, and so is one whose boundary never comes", async () => {
  expect(await read("Subject: x\r\n\r\nhello\r\n", 7)).toEqual(["text/plain: hello\r\n"]);
  expect(await read("Subject: x\r\n", 7)).toEqual(["text/plain: "]);
  expect(await read("Content-Type: multipart/mixed; boundary=b\r\n\r\nnothing\r\n", 7)).toEqual([]);
});

test("a delimiter of an outer part ends the inner ones", async () => {
  const text =
    "Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\none\r\n--o\r\n\r\ntwo\r\n--o--\r\n";

  expect(await read(text, 11)).toEqual(["multipart/mixed > multipart/mixed > text/plain: one", "multipart/mixed > text/plain: two"]);
});

test("lines longer than any boundary pass, wherever they are cut", async () => {
  const long = "x".repeat(5_000);
  const text = `Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n${long}\r\n--b--\r\n`;

  for (const block of [1, 999, 1_000_000]) expect(await read(text, block)).toEqual([`multipart/mixed > text/plain: ${long}`]);
});

test("too many parts, too deep: not read", async () => {
  const many = `Content-Type: multipart/mixed; boundary=b\r\n\r\n${"--b\r\n\r\nx\r\n".repeat(300)}`;
  const deep = Array.from(
    { length: 12 },
    (_, i) => `${i === 0 ? "" : `--b${i - 1}\r\n`}Content-Type: multipart/mixed; boundary=b${i}\r\n\r\n`,
  ).join("");

  expect(await read(many, 1_000)).toBeUndefined();
  expect(await read(deep, 1_000)).toBeUndefined();
});

test.each([
  ['Text/Plain; charset="utf-8" (comment); name=a.txt', "text/plain", { name: "a.txt" }],
  ['application/pdf; name="=?utf-8?B?w6kucGRm?="', "application/pdf", { name: "é.pdf" }],
  ["attachment; filename*=utf-8''%e2%82%ac%20rates.pdf; filename=plain.pdf", "attachment", { filename: "€ rates.pdf" }],
  ['attachment; filename*0="a;\\"b"; filename*1=c.pdf', "attachment", { filename: 'a;"bc.pdf' }],
  ["attachment; filename*0*=iso-8859-1''%e9; filename*1*=%e8.pdf", "attachment", { filename: "éè.pdf" }],
  ["attachment; filename", "attachment", {}],
])("parameters of %s", (text, value, parameters) => {
  const read = readParameterField(text);

  expect(read.value).toBe(value);
  expect(Object.fromEntries(read.parameters)).toMatchObject(parameters);
});

test("base64 comes back at every cut, whatever stands between its characters", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 9 }), (octets, line, cut) => {
      const text = Buffer.from(octets)
        .toString("base64")
        .replace(new RegExp(`(.{${line}})`, "g"), "$1 \r\n");
      expect(decode("BASE64 ", text, cut)).toEqual(Buffer.from(octets));
    }),
  );
});

test("quoted-printable comes back at every cut", () => {
  const text = "J=C3=BCrgen  \r\nsoft =\r\nline=20\r\n=3D=3d end";

  for (let cut = 1; cut < 20; cut += 1) expect(decode("quoted-printable", text, cut).toString()).toBe("Jürgen\r\nsoft line \r\n== end");
});

test("an encoding that is none has no decoder", () => {
  expect(transferDecoder("x-uuencode")).toBeUndefined();
});

function decode(encoding: string, text: string, cut: number): Buffer {
  const decoder = transferDecoder(encoding);
  if (decoder === undefined) throw new Error("no decoder");
  const octets = Buffer.from(text, "latin1");
  const pieces: Buffer[] = [];
  for (let at = 0; at < octets.length; at += cut) pieces.push(Buffer.from(decoder.push(octets.subarray(at, at + cut))));
  pieces.push(decoder.end());
  return Buffer.concat(pieces);
}
