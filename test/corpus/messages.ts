/**
 * Odd but real messages, made from a seed: each kind of header and of body that devices and programs were seen to send, with each kind of line
 * end, and a mix of all of them.
 */
import { Random } from "../crash/random.ts";

export interface CorpusMessage {
  /** What it is made of, for the report of a failure. */
  readonly name: string;
  /** Octets as the device has them, before dots are stuffed. */
  readonly content: Buffer;
}

type Fields = readonly string[];
interface Body {
  /** Fields that belong to it. */
  readonly fields?: Fields;
  readonly text: string;
}

const FROM = "From: Scanner <scanner@contoso.com>";
const DATE = "Date: Mon, 5 Jan 2026 10:00:00 +0100";
const ID = "Message-ID: <scan-1@printer.contoso.com>";
const REST = ["To: anna@contoso.com", "Subject: A scan"];
const PLAIN: Fields = [FROM, DATE, ID, ...REST];
const PEM = "MIIGJgYJKoZIhvcNAQcCoIIGFzCCBhMCAQExDzANBglghkgBZQMEAgEFADALBgkqhkiG9w0B";

/** Header sections by what is odd about them. */
const HEADERS: Readonly<Record<string, (random: Random) => Fields>> = {
  plain: () => PLAIN,
  "no date": () => [FROM, ID, ...REST],
  "no message-id": () => [FROM, DATE, ...REST],
  "empty message-id": () => [FROM, DATE, "Message-ID:", ...REST],
  "no from": () => [DATE, ID, ...REST],
  "two from": () => [FROM, DATE, "From: other@contoso.com", ID, ...REST],
  "three from, folded": () => ["From:\n Scanner\n <scanner@contoso.com>", "FROM: b@contoso.com", "from: c@contoso.com", DATE, ID],
  "nothing that is wanted": () => ["X-Mailer: none"],
  "no header fields": () => [],
  bcc: () => ["Bcc: secret@contoso.com", ...PLAIN],
  "folded bcc in the middle": () => [FROM, "Resent-BCC: a@contoso.com,\n\tb@contoso.com,\n c@contoso.com", DATE, ID, "bcc: x@y.example"],
  "return-path and content-length": () => ["Return-Path: <x@example.net>", ...PLAIN, "Content-Length: 4711"],
  "trust headers": () => [
    ...PLAIN,
    "X-MS-Exchange-Organization-SCL: -1",
    "X-MS-Exchange-CrossTenant-Id: 1",
    "X-MS-Exchange-Generated: kept",
  ],
  "uucp line": () => ["From scanner Mon Jan  5 10:00:00 2026", ...PLAIN],
  "two quoted uucp lines": () => [">From a Mon Jan  5", ">From b Mon Jan  5", ...PLAIN],
  "duplicate fields": () => [...PLAIN, "Subject: again", "To: other@contoso.com", "Message-ID: <second@x>", "Date: other"],
  "utf-8 subject": () => [...PLAIN, "X-Title: \u00c3\u00bcber \u00e2\u0082\u00ac"],
  "latin-1 subject": () => [...PLAIN, "X-Title: \u00fcber \u00df"],
  "nul in a field": () => [...PLAIN, "X-Title: a\0b"],
  "lone cr in a field": () => [...PLAIN, "X-Title: a\rb\rc"],
  "long folded field": (random) => [...PLAIN, `References:${Array.from({ length: 200 }, () => `\n <${random.letters(30)}@x>`).join("")}`],
  "long unfolded field": (random) => [...PLAIN, `References:${Array.from({ length: 100 }, () => ` <${random.letters(30)}@x>`).join("")}`],
  "long field without blanks": (random) => [...PLAIN, `X-Token: ${random.letters(3000)}`],
  "odd names": () => [...PLAIN, "X-a.b!#$%&'*+/=?^_`{|}~: 1", "Subject : blanks", "Y\t: tab", "_: short", "Empty:", "Empty-Too:  "],
  "a fold of blanks": () => [...PLAIN, "X-Fold: a\n \t \n b"],
  "many received": () => [...Array.from({ length: 30 }, (_, at) => `Received: from a${at} by b${at}; x`), ...PLAIN],
  "many fields": () => [...PLAIN, ...Array.from({ length: 2000 }, (_, at) => `X-${at}: ${at}`)],
  __proto__: () => [...PLAIN, "__proto__: x", "constructor: y", "toString: z"],
  dkim: () => ["DKIM-Signature: v=1; a=rsa-sha256; d=contoso.com; s=x;\n\tbh=abc=; b=def=", ...PLAIN, "Content-Length: 12"],
  "dkim, two from": () => ["DKIM-Signature: v=1; b=x", ...PLAIN, "From: b@contoso.com"],
  "a line that is no field": () => [FROM, "this is no field", DATE],
  "indented first line": () => [" indented", ...PLAIN],
};

/** Bodies by what is odd about them; lines end with LF here. */
const BODIES: Readonly<Record<string, (random: Random) => Body>> = {
  text: () => ({ text: "\nHello,\n\nhere is the scan.\n" }),
  empty: () => ({ text: "\n" }),
  "no empty line": () => ({ text: "" }),
  "no last line end": () => ({ text: "\nlast line" }),
  "only dots": () => ({ text: "\n.\n..\n...\n.\n" }),
  "leading dots": () => ({ text: "\n.a\n..b\n . c\n.\n\n.\n" }),
  blanks: () => ({ text: "\n   \n\t\n trailing  \t\n\n\n\n" }),
  "8-bit": () => ({ text: "\n\u00e4\u00f6\u00fc \u00ff\u0080\u009f\u00a0\n" }),
  "form feed and escape": () => ({ text: "\n\f\u001b[31mred\u0007\u0008\n" }),
  "from lines": () => ({ text: "\nFrom here on\n>From there\nBcc: not a field\nReturn-Path: <x>\n" }),
  "like a header": () => ({ text: "\nFrom: x@example.net\nDate: none\n\nbody\n" }),
  "utf-16": () => ({
    fields: ["MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-16le"],
    text: `\n${Buffer.from("\ufeffUmlaut \u00e4\r\n\u010a\u0a0d line\r\n", "utf16le").toString("latin1")}`,
  }),
  "utf-16 in base64": () => ({
    fields: ["MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-16", "Content-Transfer-Encoding: base64"],
    text: `\n${Buffer.from("\ufeffGr\u00fc\u00dfe\r\n".repeat(20), "utf16le").toString("base64").replace(/.{76}/g, "$&\n")}\n`,
  }),
  binary: (random) => ({
    fields: ["Content-Type: application/pdf", "Content-Transfer-Encoding: binary"],
    text: `\n%PDF-1.4\n${octets(random, 5000)}\n`,
  }),
  "nul octets": () => ({ text: "\na\0b\n\0\n\0\0\0\n" }),
  "a huge line": (random) => ({ text: `\n${random.letters(20_000)}\nafter\n` }),
  "998 and 999": (random) => ({ text: `\n${random.letters(998)}\n${random.letters(999)}\n` }),
  "base64 in one line": (random) => ({
    fields: ["MIME-Version: 1.0", "Content-Type: application/pdf", "Content-Transfer-Encoding: base64"],
    text: `\n${Buffer.from(octets(random, 45_000), "latin1").toString("base64")}\n`,
  }),
  "quoted-printable in one line": () => ({
    fields: ["MIME-Version: 1.0", "Content-Type: text/html", "Content-Transfer-Encoding: quoted-printable"],
    text: `\n${"<td>=C3=BC</td>".repeat(300)}\n`,
  }),
  "message/partial": () => ({
    fields: ["MIME-Version: 1.0", 'Content-Type: message/partial; id="scan@contoso.com"; number=2; total=5'],
    text: "\nJVBERi0xLjQKJeLjz9MK\n",
  }),
  "message/rfc822": () => ({
    fields: ["MIME-Version: 1.0", "Content-Type: message/rfc822"],
    text: "\nBcc: inner@contoso.com\nFrom: inner@example.net\nFrom: second@example.net\n\ninner\n",
  }),
  "multipart/signed": () => ({
    fields: ["MIME-Version: 1.0", 'Content-Type: multipart/signed; micalg=sha-256;\n protocol="application/pkcs7-signature"; boundary=S'],
    text: `\n--S\nContent-Type: text/plain\n\nsigned  \n.\n--S\nContent-Type: application/pkcs7-signature\nContent-Transfer-Encoding: base64\n\n${PEM}\n--S--\n`,
  }),
  "pkcs7-mime": () => ({
    fields: ["MIME-Version: 1.0", "Content-Type: application/pkcs7-mime; smime-type=signed-data", "Content-Transfer-Encoding: base64"],
    text: `\n${PEM}\n`,
  }),
  "nested parts": () => ({ fields: ["MIME-Version: 1.0", "Content-Type: multipart/mixed; boundary=b0"], text: nested(30) }),
  "a boundary that never ends": () => ({
    fields: ['Content-Type: multipart/mixed; boundary="x y"'],
    text: "\n--x y\nContent-Type: text/plain\n\nno end\n--x y",
  }),
  "a boundary of a thousand": (random) => ({
    fields: [`Content-Type: multipart/mixed;\n boundary=${random.letters(900)}`],
    text: "\n--x\n\ny\n--x--\n",
  }),
  html: () => ({ fields: ["Content-Type: text/html; charset=iso-8859-1"], text: "\n<html><body bgcolor=#FFFFFF>\n\u00e9</body></html>\n" }),
  "many lines": () => ({ text: `\n${"a line of text\n".repeat(3000)}` }),
  "many empty lines": () => ({ text: "\n".repeat(500) }),
};

/** Line ends, applied to every LF of header and body. */
const LINE_ENDS: Readonly<Record<string, (text: string, random: Random) => string>> = {
  crlf: (text) => text.replaceAll("\n", "\r\n"),
  lf: (text) => text,
  "cr cr lf": (text) => text.replaceAll("\n", "\r\r\n"),
  "a mix": (text, random) => text.replaceAll("\n", () => random.pick(["\n", "\r\n", "\r\r\n", "\r\r\r\n"])),
  "cr in the body": (text) => {
    const at = text.indexOf("\n\n");
    const end = at < 0 ? text.length : at + 2;
    return text.slice(0, end).replaceAll("\n", "\r\n") + text.slice(end).replaceAll("\n", "\r");
  },
};

/** The corpus of a seed: the same for the same seed. */
export function corpus(seed: number, mixed: number): CorpusMessage[] {
  const random = new Random(seed);
  const messages: CorpusMessage[] = [];
  const add = (header: string, body: string, ends: string): void => {
    const made = BODIES[body]?.(random) ?? { text: "" };
    const lines = [...(HEADERS[header]?.(random) ?? []), ...(made.fields ?? [])];
    const text = `${lines.map((line) => `${line}\n`).join("")}${made.text}`;
    messages.push({ name: `${header} + ${body} + ${ends}`, content: Buffer.from(LINE_ENDS[ends]?.(text, random) ?? text, "latin1") });
  };
  for (const header of Object.keys(HEADERS)) for (const ends of ["crlf", "lf"]) add(header, "text", ends);
  for (const body of Object.keys(BODIES)) for (const ends of Object.keys(LINE_ENDS)) add("plain", body, ends);
  const [headers, bodies, ends] = [HEADERS, BODIES, LINE_ENDS].map((table) => Object.keys(table) as [string, ...string[]]);
  if (headers === undefined || bodies === undefined || ends === undefined) return messages;
  for (let at = 0; at < mixed; at += 1) add(random.pick(headers), random.pick(bodies), random.pick(ends));
  messages.push({ name: "nothing at all", content: Buffer.alloc(0) });
  return messages;
}

function octets(random: Random, count: number): string {
  return Array.from({ length: count }, () => String.fromCharCode(random.between(0, 255))).join("");
}

function nested(depth: number): string {
  const open = Array.from({ length: depth }, (_, at) => `\n--b${at}\nContent-Type: multipart/mixed; boundary=b${at + 1}\n`).join("");
  const close = Array.from({ length: depth }, (_, at) => `--b${depth - 1 - at}--\n`).join("");
  return `${open}\n--b${depth}\nContent-Type: text/plain\n\ndeep\n--b${depth}--\n${close}`;
}
