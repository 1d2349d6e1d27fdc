import fc from "fast-check";
import { expect, test } from "vitest";
import { PosternError } from "../mail/errors.ts";
import type { EditFacts } from "./edit.ts";
import { Intake } from "./intake.ts";

const RECEIVED = "Received: from printer ([192.0.2.1]);\r\n\tdate\r\n";
const ADDED = `${RECEIVED}X-Postern-Id: ID\r\n`;
const REST = "Date: Mon, 5 Jan 2026 10:00:00 +0100\r\nMessage-ID: <1@contoso.com>\r\n";
const GOOD = `From: a@contoso.com\r\n${REST}`;

const facts: EditFacts = {
  queueId: "ID",
  hostname: "relay.contoso.com",
  received: RECEIVED,
  date: "Mon, 5 Jan 2026 10:00:00 +0100",
  sender: "scanner@contoso.com",
  originalSender: undefined,
  client: { name: "printers", senders: ["internal"], recipients: ["internal"], fallbackSender: "fallback@contoso.com" },
  domains: { own: ["contoso.com"], first: "contoso.com" },
  receivedLimit: 50,
  wantSubject: true,
};

/** The trace header as it stands for these repairs, folded where it must be. */
function repairedLine(repairs: readonly string[]): string {
  const line = `X-Postern-Repaired: ${repairs.join(", ")}`;
  return `${line.length <= 78 ? line : line.replace(/^(.{1,77}) /, "$1\r\n ")}\r\n`;
}

interface Taken {
  readonly text: string;
  readonly repairs: readonly string[];
  readonly reply: string | undefined;
  readonly eightBit: boolean;
  readonly messageId: string | undefined;
  readonly headerFrom: string | undefined;
  readonly subject: string | undefined;
  readonly writes: number;
  readonly signed: boolean | undefined;
  readonly longLines: boolean;
  readonly returned: boolean | undefined;
  readonly aborted: boolean;
}

/** Feeds `content` (without the final dot) in pieces of `size` octets. */
function take(content: string | Buffer, changes: Partial<EditFacts> = {}, size = Number.MAX_SAFE_INTEGER, limits = {}): Taken {
  const pieces: Buffer[] = [];
  let aborted = false;
  const writer = {
    write: (octets: Uint8Array) => {
      pieces.push(Buffer.from(octets));
      return undefined;
    },
    commit: () => Promise.reject(new Error("not here")),
    abort: () => (aborted = true),
  };
  const intake = new Intake(writer, { ...facts, ...changes }, { contentBytes: 50_000_000, headerBytes: 262_144, ...limits });
  const wire = Buffer.concat([Buffer.isBuffer(content) ? content : Buffer.from(content, "latin1"), Buffer.from(".\r\n")]);
  for (let at = 0; at < wire.length; at += size) if (intake.feed(Buffer.from(wire.subarray(at, at + size)), 0) >= 0) break;
  const { refusal, header, repairs, eightBit, longLines, sizeBytes } = intake.result();
  const stored = Buffer.concat(pieces);
  if (refusal === undefined && sizeBytes !== stored.length) throw new Error(`${sizeBytes} octets counted, ${stored.length} written`);
  return {
    text: stored.toString("latin1"),
    repairs,
    reply: refusal === undefined ? undefined : `${refusal.reply.code} ${refusal.reply.enhanced}`,
    eightBit,
    messageId: header?.messageId,
    headerFrom: header?.headerFrom,
    subject: header?.subject,
    writes: pieces.length,
    signed: header?.signed,
    longLines,
    returned: header?.returned,
    aborted,
  };
}

test("good mail gets Received and X-Postern-Id, and nothing else is touched", () => {
  const mail = `${GOOD}Subject: =?utf-8?q?Scan_=C3=BC?=\r\n  folded\r\nX-Odd :  spaces \t\r\n\r\nBody\r\n\r\n  .\r\n`;

  const taken = take(mail);

  expect(taken.text).toBe(ADDED + mail);
  expect(taken.repairs).toEqual([]);
  expect(taken).toMatchObject({
    messageId: "<1@contoso.com>",
    headerFrom: "a@contoso.com",
    subject: "Scan \u00fc  folded",
    eightBit: false,
  });
});

test("a small message is one write", () => {
  expect(take(`${GOOD}\r\n${"x".repeat(70)}\r\n`).writes).toBe(1);
});

test.each([
  ["no header at all, body straight away", "XXXX\r\nYYYY\r\n", ["header-missing"], "\r\n\r\nXXXX\r\nYYYY\r\n"],
  ["nothing at all", "", [], "\r\n\r\n"],
  ["an empty line first", "\r\nbody\r\n", [], "\r\n\r\nbody\r\n"],
  ["a header without the empty line", "Subject: x\r\nbody text\r\n", ["header-unterminated"], "Subject: x\r\n\r\nbody text\r\n"],
  ["a header and nothing else", "Subject: x\r\n", [], "Subject: x\r\n\r\n"],
  ["a first line that is indented", " text\r\n", ["header-missing"], "\r\n\r\n text\r\n"],
])("%s", (_, mail, repairs, end) => {
  const taken = take(mail);

  expect(
    taken.text.startsWith(
      `${ADDED}${repairedLine(taken.repairs)}From: scanner@contoso.com\r\nDate: Mon, 5 Jan 2026 10:00:00 +0100\r\nMessage-ID: <ID@relay.contoso.com>\r\n`,
    ),
  ).toBe(true);
  expect(taken.text.endsWith(end)).toBe(true);
  expect(taken.repairs).toEqual([...repairs, "from-added", "date-added", "message-id-added"]);
});

test("headers that must not leave are removed, with their folding", () => {
  const bad = [
    "Bcc: a@b.example,\r\n c@d.example\r\n",
    "RESENT-BCC: x@y.example\r\n",
    "Return-Path: <a@b.example>\r\n",
    "Content-Length: 12\r\n",
    "X-MS-Exchange-Organization-SCL: -1\r\n",
    "x-ms-exchange-CrossPremises-x: 1\r\n",
    "X-MS-Exchange-CrossTenant-y: 1\r\n",
  ];
  const kept = "X-MS-Exchange-Other: 1\r\nTo: root\r\n";

  const taken = take(`${bad[0]}${GOOD}${bad.slice(1).join("")}${kept}\r\nBcc: in the body\r\n`);

  expect(taken.text).toBe(`${ADDED}${repairedLine(taken.repairs)}${GOOD}${kept}\r\nBcc: in the body\r\n`);
  expect(taken.repairs).toEqual([
    "bcc-removed",
    "resent-bcc-removed",
    "return-path-removed",
    "content-length-removed",
    "exchange-header-removed",
  ]);
});

test("a UUCP line is dropped", () => {
  expect(take(`From root Mon Jan  5 10:00:00 2026\r\n${GOOD}\r\nb\r\n`)).toMatchObject({
    text: `${ADDED}X-Postern-Repaired: uucp-line-removed\r\n${GOOD}\r\nb\r\n`,
    repairs: ["uucp-line-removed"],
  });
});

test.each([
  ["the first line", "a space", (from: string) => `${from}${REST}`, " "],
  ["the first line", "a tab", (from: string) => `${from}${REST}`, "\t"],
  ["a later line", "a space", (from: string) => `${REST}${from}`, " "],
  ["a later line", "a tab", (from: string) => `${REST}${from}`, "\t"],
])("a From field as %s with %s before its colon is a field: kept, and its address is judged", (_line, _blank, place, blank) => {
  const mail = `${place(`From${blank}: Anna <anna@contoso.com>\r\n`)}\r\nb\r\n`;

  expect(take(mail)).toMatchObject({ text: ADDED + mail, repairs: [], headerFrom: "anna@contoso.com" });
  expect(take(`${place(`From${blank}: evil@example.org\r\n`)}\r\nb\r\n`).reply).toBe("550 5.7.1");
});

test.each([
  ["root (Cron Daemon)", 'From: "root (Cron Daemon)" <scanner@contoso.com>'],
  ["MAILER-DAEMON <>", "From: MAILER-DAEMON <scanner@contoso.com>"],
  ["Scanner 1 <scanner>", "From: Scanner 1 <scanner@contoso.com>"],
  ['"A, B" <root@nas.local>', 'From: "A, B" <scanner@contoso.com>'],
  ["root@vcenter.local", "From: root <scanner@contoso.com>"],
  ["=?utf-8?q?=C3=BC?= <x@[192.0.2.1]>", "From: =?utf-8?q?=C3=BC?= <scanner@contoso.com>"],
  ["J\u00fcrgen <x>", "From: =?UTF-8?B?SsO8cmdlbg==?= <scanner@contoso.com>"],
  ["", "From: scanner@contoso.com"],
])("From: %s becomes %s", (from, line) => {
  const taken = take(`Date: x\r\nFrom: ${from}\r\nMessage-ID: <1@b>\r\n\r\n`);

  expect(taken.text).toContain(`\r\n${line}\r\n`);
  expect(taken.text.match(/^From:/gm)).toHaveLength(1);
  expect(taken.repairs).toEqual(["from-repaired"]);
  expect(taken.headerFrom).toBe("scanner@contoso.com");
});

test("of several From the first stays", () => {
  const taken = take(`${GOOD}From: b@contoso.com\r\nFROM: c@contoso.com\r\n\r\n`);

  expect(taken.text).toBe(`${ADDED}X-Postern-Repaired: from-reduced\r\n${GOOD}\r\n`);
  expect(taken.repairs).toEqual(["from-reduced"]);
});

test.each([
  ["Anna <a@contoso.com>, b@contoso.com", "From: Anna <a@contoso.com>"],
  ["root@nas.local, Ben <b@contoso.com>", "From: Ben <b@contoso.com>"],
])("of several mailboxes in %s one stays: Microsoft takes no more (550 5.1.20)", (from, line) => {
  const taken = take(`Date: x\r\nFrom: ${from}\r\nMessage-ID: <1@b>\r\n\r\n`);

  expect(taken.text).toContain(`\r\n${line}\r\n`);
  expect(taken.text.match(/^From:/gm)).toHaveLength(1);
});

test("a stranger among several senders is refused, wherever it stands, signed or not", () => {
  const own = "Message-ID: <1@b>\r\nFrom: a@contoso.com";

  expect(take(`${own}, ceo@fabrikam.com\r\n\r\n`).reply).toBe("550 5.7.1");
  expect(take(`${own}, ceo@fabrikam.com\r\nDKIM-Signature: x\r\n\r\n`).reply).toBe("550 5.7.1");
  expect(take(`${own}\r\nDKIM-Signature: x\r\nFrom: ceo@fabrikam.com\r\n\r\n`).reply).toBe("550 5.7.1");
});

test.each(["ceo@fabrikam.com (x <a@contoso.com>)", "<ceo@fabrikam.com> <a@contoso.com>", '"x" <ceo@fabrikam.com> (<a@contoso.com>)'])(
  "the sender that others read in %s is the one that is judged",
  (from) => {
    expect(take(`From: ${from}\r\n\r\n`).reply).toBe("550 5.7.1");
    expect(take(`From: ${from}\r\nDKIM-Signature: x\r\n\r\n`).reply).toBe("550 5.7.1");
  },
);

test("a From in which two addresses may be read is replaced, and refused where a signature covers it", () => {
  const from = "From: ceo@fabrikam.com@contoso.com\r\n";

  expect(take(`${from}\r\n`)).toMatchObject({ headerFrom: "scanner@contoso.com", reply: undefined });
  expect(take(`${from}DKIM-Signature: x\r\n\r\n`).reply).toBe("550 5.7.1");
});

test("a Message-ID longer than any line is not noted whole, and stays as it is in the mail", () => {
  const field = `Message-ID: <${"m".repeat(200_000)}@contoso.com>\r\n`;

  const taken = take(`From: a@contoso.com\r\n${field}\r\n`);

  expect(taken.messageId).toHaveLength(998);
  expect(taken.text).toContain(field);
});

test("an address that no mailbox can have is neither kept nor noted whole", () => {
  const taken = take(`${REST}From: ${"a".repeat(100_000)}@contoso.com\r\n\r\n`);

  expect(taken.headerFrom).toBe("scanner@contoso.com");
  expect(taken.text.length).toBeLessThan(2_000);
});

test("where From is replaced its address stays in X-Postern-Original-Sender, if the envelope has none to keep", () => {
  expect(take("From: NAS <root@nas.local>\r\n\r\n").text).toContain("\r\nX-Postern-Original-Sender: root@nas.local\r\n");
  const both = take("From: NAS <root@nas.local>\r\n\r\n", { originalSender: "scan@nas.local" }).text;
  expect(both.match(/^X-Postern-Original-Sender: .*$/gm)).toEqual(["X-Postern-Original-Sender: scan@nas.local"]);
});

test("what a delivery needs to know later is noted: a signature, long lines, mail of ours that came back", () => {
  expect(take(`${GOOD}\r\n${"x".repeat(998)}\r\n`)).toMatchObject({ signed: false, longLines: false, returned: false });
  expect(take(`${GOOD}DKIM-Signature: v=1\r\n\r\n${"x".repeat(999)}\r\n`)).toMatchObject({ signed: true, longLines: true });
  expect(take(`${GOOD}X: ${"y".repeat(996)}\r\n\r\nb\r\n`).longLines).toBe(true);
  expect(take(`${GOOD}X-Postern-Loop: Relay.contoso.com\r\n\r\n`).returned).toBe(true);
  expect(take(`${GOOD}X-Postern-Loop: relay.contoso.com\r\n\r\n`, { hostname: "Relay.Contoso.com" }).returned).toBe(true);
  expect(take(`${GOOD}X-Postern-Loop: other.contoso.com\r\n\r\n`).returned).toBe(false);
});

test("with the null reverse-path a missing From is the fallback sender", () => {
  expect(take("Subject: x\r\n\r\n", { sender: "" }).headerFrom).toBe("fallback@contoso.com");
});

test("a From that the client may not use is refused after the data, and nothing is kept", () => {
  const taken = take("From: CEO <ceo@fabrikam.com>\r\n\r\nbody\r\n");

  expect(taken).toMatchObject({ reply: "550 5.7.1", text: "", aborted: true });
});

test.each([
  "DKIM-Signature: v=1; d=contoso.com\r\n",
  "Content-Type: multipart/signed; boundary=x\r\n",
  "Content-Type: application/pkcs7-mime\r\n",
])("in mail signed with %j From and Content-Length stay as they are", (signature) => {
  const mail = `${signature}${GOOD}Content-Length: 5\r\nFrom: b@contoso.com\r\n\r\nbody\r\n`;

  expect(take(mail)).toMatchObject({ text: ADDED + mail, repairs: [] });
});

test("Bcc goes from signed mail too: hidden recipients matter more than a signature over it", () => {
  const signature = "DKIM-Signature: v=1; d=contoso.com; h=from:bcc\r\n";

  const taken = take(`${signature}${GOOD}Bcc: boss@contoso.com\r\n\r\nbody\r\n`);

  expect(taken).toMatchObject({ repairs: ["bcc-removed"], signed: true });
  expect(taken.text).not.toContain("boss@");
});

test("the original of a replaced sender is kept, never as raw octets", () => {
  expect(take(`${GOOD}\r\n`, { originalSender: "root@nas.local" }).text).toContain("\r\nX-Postern-Original-Sender: root@nas.local\r\n");
  expect(take(`${GOOD}\r\n`, { originalSender: "r\u00fc\u0416@nas" }).text).toMatch(
    /\r\nX-Postern-Original-Sender: =\?UTF-8\?B\?[A-Za-z0-9+/=]+\?=\r\n/,
  );
});

test("more than 50 Received fields are a loop", () => {
  expect(take(`${"Received: x\r\n".repeat(50)}${GOOD}\r\n`).reply).toBeUndefined();
  expect(take(`${"Received: x\r\n".repeat(51)}${GOOD}\r\n`).reply).toBe("554 5.4.6");
});

test("bare LF, lone CR and NUL are repaired in header and body", () => {
  const taken = take("From: a@contoso.com\nDate: x\nMessage-ID: <1@b>\nX: a\rb\0c\n\nbody\r\r\na\rb\0\n\r\n");

  const line = "X-Postern-Repaired: bare-lf, lone-cr, nul-replaced\r\n"; // extra-cr came with the body only
  expect(taken.text).toBe(`${ADDED}${line}From: a@contoso.com\r\nDate: x\r\nMessage-ID: <1@b>\r\nX: a b c\r\n\r\nbody\r\na\r\nb \r\n\r\n`);
  expect(taken.repairs).toEqual(["bare-lf", "extra-cr", "lone-cr", "nul-replaced"]);
});

test("octets over 127 are kept and noted", () => {
  const mail = `${GOOD}Subject: \u00e4\r\n\r\n${"x".repeat(100)}\u00ff\r\n`;

  expect(take(mail)).toMatchObject({ text: ADDED + mail, eightBit: true });
});

test("100,000 short header fields are refused, not searched for ever", () => {
  const started = performance.now();

  expect(take(`${"X: y\r\n".repeat(100_000)}\r\nbody\r\n`).reply).toBe("552 5.3.4");
  expect(take(`${"X: y\r\n".repeat(40_000)}${GOOD}\r\nbody\r\n`).reply).toBeUndefined();
  expect(performance.now() - started).toBeLessThan(3000);
});

test("a header of 10 MB in one field is refused in bounded memory", () => {
  expect(take(Buffer.from(`Subject: ${"x".repeat(10_000_000)}\r\n\r\n`), {}, 65_536)).toMatchObject({
    reply: "552 5.3.4",
    text: "",
    aborted: true,
  });
});

test("10 MB in one line without any header are a body", () => {
  const taken = take(Buffer.from(`${"x".repeat(10_000_000)}\r\n`), {}, 65_536);

  expect(taken.reply).toBeUndefined();
  expect(taken.text.endsWith(`\r\n\r\n${"x".repeat(10_000_000)}\r\n`)).toBe(true);
});

test("content over the limit is refused and dropped", () => {
  expect(take(`${GOOD}\r\n${"x".repeat(1000)}\r\n`, {}, 64, { contentBytes: 1000 })).toMatchObject({ reply: "552 5.3.4", aborted: true });
});

test("content and header of exactly the limit are taken, an octet more is not", () => {
  const mail = `${GOOD}\r\nbody\r\n`;

  expect(take(mail, {}, 7, { contentBytes: mail.length }).reply).toBeUndefined();
  expect(take(mail, {}, 7, { contentBytes: mail.length - 1 }).reply).toBe("552 5.3.4");
  // The empty line is looked at before it is known to end the header.
  expect(take(mail, {}, 7, { headerBytes: GOOD.length + 2 })).toMatchObject({ reply: undefined, repairs: [] });
  expect(take(`${GOOD.slice(0, -2)}x\r\n\r\nbody\r\n`, {}, 7, { headerBytes: GOOD.length }).reply).toBe("552 5.3.4");
});

test("a spool that fails while writing becomes the reply", async () => {
  const failure = new PosternError("E_SPOOL_FULL", "disk");
  const intake = new Intake(
    { write: () => Promise.reject(failure), commit: () => Promise.reject(failure), abort: () => undefined },
    facts,
    {
      contentBytes: 1e6,
      headerBytes: 1e5,
    },
  );

  intake.feed(Buffer.from(`${GOOD}\r\nbody\r\n.\r\n`), 0);
  await intake.takeBackPressure();

  expect(intake.result().refusal?.reply).toMatchObject({ code: 452, enhanced: "4.3.1" });
});

test("it does not matter where the network cuts the stream", () => {
  const part = fc.constantFrom(
    "From: a@contoso.com",
    "Bcc: x@y",
    "Subject: t",
    " folded",
    "",
    "body",
    "..dot",
    "a\rb",
    "\0",
    "\u00fc",
    "x".repeat(300),
  );
  const end = fc.constantFrom("\r\n", "\n", "\r\r\n");
  fc.assert(
    fc.property(fc.array(fc.tuple(part, end), { maxLength: 30 }), fc.integer({ min: 1, max: 40 }), (lines, size) => {
      const mail = `${lines.map(([text, eol]) => text + eol).join("")}\r\n`;

      const whole = take(mail);
      const cut = take(mail, {}, size);

      expect({ ...cut, writes: 0 }).toEqual({ ...whole, writes: 0 });
    }),
    { numRuns: 500 },
  );
});
