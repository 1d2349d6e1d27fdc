import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FakeUpstream } from "../../test/fakes/fake-upstream.ts";
import { ENVELOPE } from "../../test/fakes/memory-queue.ts";
import { PosternError } from "../mail/errors.ts";
import type { Envelope } from "../mail/message.ts";
import type { Claim, ContentSource } from "../queue/queue.ts";
import type { DoorTraits, Refusal, SenderPolicy } from "../upstream/upstream.ts";
import { outgoing, type Outgoing } from "./outgoing.ts";

const OPTIONS = { hostname: "relay.contoso.com", domains: ["contoso.com"] };
const PRINTER = "printer@contoso.com";
const SCANNER = "scanner@contoso.com";
const REST = "Subject: Scan\r\n  of 9:14\r\nX-Odd :  spaces \t\r\n";
const BODY = "\r\nFrom: not a header\r\n\r\n.\r\nend\r\n";

/** Stored content; in blocks of some size, each gone when the next one is asked for. */
function stored(text: string, size?: number): ContentSource {
  const octets = Buffer.from(text, "latin1");
  return {
    sizeBytes: octets.length,
    inMemory: size === undefined ? octets : undefined,
    async *blocks() {
      for (let at = 0; at < octets.length; at += size ?? octets.length) {
        const block = Buffer.from(octets.subarray(at, at + (size ?? octets.length)));
        yield block;
        block.fill(0);
      }
    },
  };
}

function claimOf(text: string, envelope: Partial<Envelope> = {}, size?: number): Claim {
  const content = stored(text, size);
  const from = /^From:.*?([^\s<]+@[^\s>]+)/m.exec(text)?.[1];
  const message = {
    ...ENVELOPE,
    reversePath: PRINTER,
    headerFrom: from,
    signed: false,
    longLines: false,
    sizeBytes: content.sizeBytes,
    queueId: "01TESTSCAN0000000000000000",
    acceptedAt: 0,
    ...envelope,
  };
  const recipients = message.recipients.map((address, index) => ({
    address,
    index,
    attempts: 0,
    heldMs: 0,
    ambiguous: false,
    passed: [],
    deferredSince: undefined,
  }));
  return { id: 1, lane: "scans", message, recipients, content, warned: false };
}

function door(sender: Partial<SenderPolicy> = {}, traits: Partial<DoorTraits> = {}, mailbox: string | null = SCANNER): FakeUpstream {
  const policy: SenderPolicy = { mode: "auto", address: mailbox ?? undefined, sendAs: [], ...sender };
  return new FakeUpstream({ type: "smtp-auth", ...(mailbox === null ? {} : { mailbox }), traits: { sender: policy, ...traits } });
}

interface Sent {
  readonly reversePath: string;
  readonly text: string;
}

async function sent(made: Outgoing | Promise<Outgoing>): Promise<Sent> {
  const result = await made;
  if (result.kind === "refused") throw new Error(JSON.stringify(result.refusal));
  const { content, sizeBytes, reversePath } = result.delivery;
  const pieces: Buffer[] = [];
  for await (const block of content.blocks()) pieces.push(Buffer.from(block));
  const octets = Buffer.concat(pieces);
  expect(octets.length).toBe(sizeBytes);
  expect(Buffer.from(content.inMemory ?? octets).equals(octets)).toBe(true);
  return { reversePath, text: octets.toString("latin1") };
}

async function refusalOf(made: Outgoing | Promise<Outgoing>): Promise<Refusal | undefined> {
  const result = await made;
  return result.kind === "refused" ? result.refusal : undefined;
}

const mail = (...fields: string[]): string => `${fields.map((field) => `${field}\r\n`).join("")}${REST}${BODY}`;
const ORIGINAL = `X-Postern-Original-Sender: ${PRINTER}`;

describe("auto", () => {
  test("the mailbox's own mail goes as it is, at once, with the very content", () => {
    const claim = claimOf(mail(`From: Scanner <${SCANNER.toUpperCase()}>`), { reversePath: SCANNER });

    const made = outgoing(claim, door(), OPTIONS);

    expect(made).toMatchObject({
      kind: "delivery",
      senderIsOwn: true,
      delivery: { reversePath: SCANNER, sizeBytes: claim.message.sizeBytes },
    });
    expect((made as Extract<Outgoing, { kind: "delivery" }>).delivery.content).toBe(claim.content);
  });

  test("so does what send_as lists", () => {
    const claim = claimOf(mail(`From: ${PRINTER}`));

    const made = outgoing(claim, door({ sendAs: ["*@contoso.com"] }), OPTIONS);

    expect(made).toMatchObject({ kind: "delivery", senderIsOwn: false, delivery: { reversePath: PRINTER, content: claim.content } });
  });

  test("anything else is rewritten: the name stays, answers go where they went", async () => {
    const claim = claimOf(mail("Received: x", `From: "Floor 2, left" <${PRINTER}>`));

    expect(await sent(outgoing(claim, door(), OPTIONS))).toEqual({
      reversePath: SCANNER,
      text: `Received: x\r\nFrom: "Floor 2, left" <${SCANNER}>\r\n${REST}Reply-To: ${PRINTER}\r\n${ORIGINAL}\r\n${BODY}`,
    });
  });

  test("where From may stay only the envelope is changed", async () => {
    expect(await sent(outgoing(claimOf(mail(`From: ${SCANNER}`)), door(), OPTIONS))).toEqual({
      reversePath: SCANNER,
      text: `From: ${SCANNER}\r\n${REST}${ORIGINAL}\r\n${BODY}`,
    });
  });

  test("where only the envelope may stay both are changed", async () => {
    const made = await sent(
      outgoing(claimOf(mail(`From: ${PRINTER}`), { reversePath: "erp@contoso.com" }), door({ sendAs: ["erp@contoso.com"] }), OPTIONS),
    );

    expect(made.reversePath).toBe(SCANNER);
    expect(made.text).toContain(`From: "10.20.0.5" <${SCANNER}>\r\n`);
  });
});

test.each([
  [
    "auto",
    PRINTER,
    "From: printer@contoso.com rewritten to scanner@contoso.com; reverse-path printer@contoso.com replaced by scanner@contoso.com",
  ],
  ["auto", "", "From: printer@contoso.com rewritten to scanner@contoso.com; null reverse-path replaced by scanner@contoso.com"],
  [
    "on-behalf-of",
    PRINTER,
    "reverse-path printer@contoso.com replaced by scanner@contoso.com; sent on behalf of From: by scanner@contoso.com",
  ],
] as const)("with %s and the sender <%s> the history says what was changed", async (mode, reversePath, note) => {
  expect(await outgoing(claimOf(mail(`From: ${PRINTER}`), { reversePath }), door({ mode }), OPTIONS)).toMatchObject({ note });
});

describe("rewrite", () => {
  const rewriting = door({ mode: "rewrite", address: "noreply@contoso.com" });

  test.each([
    ["printer-2", "printer-2"],
    ["XC-B8C463", "XC-B8C463"],
    ["localhost", '"192.0.2.1"'],
    ["[192.0.2.9]", '"192.0.2.1"'],
    ["192.0.2.9", '"192.0.2.1"'],
    ["a\\x0d\\x0aBcc: x", '"192.0.2.1"'],
    [undefined, '"192.0.2.1"'],
  ])("a sender without a name gets the device's: HELO %s is %s", async (helo, name) => {
    const claim = claimOf(mail(`From: ${PRINTER}`), { origin: { ...ENVELOPE.origin, device: "192.0.2.1", helo } });

    expect((await sent(outgoing(claim, rewriting, OPTIONS))).text).toContain(`From: ${name} <noreply@contoso.com>\r\n`);
  });

  test("a name beyond ASCII is encoded, an encoded one stays", async () => {
    const raw = claimOf(mail(`From: J\u00fcrgen <${PRINTER}>`), { eightBit: true });
    const encoded = claimOf(mail(`From: =?utf-8?q?J=C3=BCrgen?= <${PRINTER}>`));

    expect((await sent(outgoing(raw, rewriting, OPTIONS))).text).toContain("From: =?UTF-8?B?SsO8cmdlbg==?= <noreply@contoso.com>\r\n");
    expect((await sent(outgoing(encoded, rewriting, OPTIONS))).text).toContain("From: =?utf-8?q?J=C3=BCrgen?= <noreply@contoso.com>\r\n");
  });

  test("a Reply-To that is there stays, and none is made for an address that nobody can answer", async () => {
    const there = await sent(outgoing(claimOf(mail(`From: ${PRINTER}`, "Reply-To: team@contoso.com")), rewriting, OPTIONS));
    const nowhere = await sent(outgoing(claimOf(mail("From: root <root@nas.local>")), rewriting, OPTIONS));

    expect(there.text.match(/^Reply-To:.*$/gm)).toEqual(["Reply-To: team@contoso.com"]);
    expect(nowhere.text).not.toContain("Reply-To");
    expect(nowhere.text).toContain("From: root <noreply@contoso.com>\r\n");
  });

  test("a Sender: of somebody else goes, and the original in the envelope is kept once", async () => {
    const claim = claimOf(mail("X-Postern-Original-Sender: root@nas.local", `From: ${PRINTER}`, "Sender: x@fabrikam.com"));

    const { text } = await sent(outgoing(claim, rewriting, OPTIONS));

    expect(text).not.toContain("fabrikam");
    expect(text.match(/^X-Postern-Original-Sender:.*$/gm)).toEqual(["X-Postern-Original-Sender: root@nas.local"]);
  });

  test("several From fields become one", async () => {
    const { text } = await sent(outgoing(claimOf(mail(`From: A <${PRINTER}>`, "FROM: b@contoso.com")), rewriting, OPTIONS));

    expect(text.match(/^From:.*$/gim)?.slice(0, 1)).toEqual(["From: A <noreply@contoso.com>"]);
    expect(text).not.toContain("b@contoso.com");
  });
});

describe("on-behalf-of", () => {
  const onBehalf = door({ mode: "on-behalf-of" });

  test("From stays, Sender and the envelope are the address", async () => {
    expect(await sent(outgoing(claimOf(mail(`From: P <${PRINTER}>`, "Sender: x@contoso.com")), onBehalf, OPTIONS))).toEqual({
      reversePath: SCANNER,
      text: `From: P <${PRINTER}>\r\nSender: ${SCANNER}\r\n${REST}${ORIGINAL}\r\n${BODY}`,
    });
  });

  test("what says so already is not touched", async () => {
    const ours = claimOf(mail(`From: ${SCANNER}`), { reversePath: SCANNER });
    const told = claimOf(mail(`From: ${PRINTER}`, `Sender: <${SCANNER}>`), { reversePath: SCANNER });

    for (const claim of [ours, told])
      expect((await sent(outgoing(claim, onBehalf, OPTIONS))).text).toBe(claim.content.inMemory?.toString());
  });
});

describe("keep", () => {
  const keeping = door({ mode: "keep" }, { nullSender: "any" }, null);

  test("nothing is changed or read", () => {
    const claim = claimOf(mail(`From: ${PRINTER}`));

    expect(outgoing(claim, keeping, OPTIONS)).toMatchObject({ delivery: { reversePath: PRINTER, content: claim.content } });
    // There is nothing to rewrite to.
    expect(outgoing(claim, keeping, { ...OPTIONS, force: "rewrite" })).toMatchObject({ delivery: { reversePath: PRINTER } });
  });

  test("after a refusal it is rewritten to the door's mailbox all the same", async () => {
    const made = await outgoing(claimOf(mail(`From: ${PRINTER}`)), door({ mode: "keep", address: undefined }), {
      ...OPTIONS,
      force: "rewrite",
    });

    expect(made).toMatchObject({ kind: "delivery", senderIsOwn: true });
    expect((await sent(made)).text).toContain(`<${SCANNER}>`);
  });
});

describe("signed mail", () => {
  const SIGNATURES = [
    "DKIM-Signature: v=1; d=contoso.com",
    "Content-Type: multipart/signed; boundary=x",
    "Content-Type: application/pkcs7-mime",
  ];

  test.each(SIGNATURES)("with %s is not rewritten", async (signature) => {
    for (const signed of [true, undefined]) {
      const claim = claimOf(mail(signature, `From: ${PRINTER}`), { signed });

      for (const mode of ["auto", "rewrite", "on-behalf-of"] as const)
        expect((await refusalOf(outgoing(claim, door({ mode }), OPTIONS)))?.fault?.code).toBe("SIGNED_SENDER");
      expect((await sent(outgoing(claim, door({ mode: "keep" }), OPTIONS))).text).toBe(claim.content.inMemory?.toString());
    }
  });

  test("may have its envelope changed", async () => {
    const claim = claimOf(mail(SIGNATURES[0]!, `From: ${SCANNER}`), { signed: true });

    expect((await sent(outgoing(claim, door(), OPTIONS))).reversePath).toBe(SCANNER);
  });

  test("is looked at for a second author that the envelope does not tell", async () => {
    const claim = claimOf(mail(SIGNATURES[0]!, `From: ${SCANNER}, ${PRINTER}`), { signed: true, reversePath: SCANNER });

    expect((await refusalOf(outgoing(claim, door(), OPTIONS)))?.fault?.code).toBe("SIGNED_SENDER");
  });
});

describe("the null reverse-path", () => {
  const report = claimOf(mail(`From: ${SCANNER}`), { reversePath: "" });

  test("is carried by doors that may", () => {
    expect(outgoing(report, door({ mode: "keep" }, { nullSender: "any" }), OPTIONS)).toMatchObject({
      delivery: { reversePath: "", content: report.content },
    });
  });

  test("becomes the mailbox elsewhere, and says that nobody must answer", async () => {
    expect(await sent(outgoing(report, door(), OPTIONS))).toEqual({
      reversePath: SCANNER,
      text: `From: ${SCANNER}\r\n${REST}Auto-Submitted: auto-replied\r\nX-Postern-Loop: relay.contoso.com\r\n${BODY}`,
    });
  });

  test("what says so already is not said twice", async () => {
    const claim = claimOf(mail(`From: ${SCANNER}`, "Auto-Submitted: auto-generated", "X-Postern-Loop: Relay.contoso.com"), {
      reversePath: "",
    });

    expect((await sent(outgoing(claim, door(), OPTIONS))).text).toBe(claim.content.inMemory?.toString());
  });

  test("gets no Reply-To and no original sender when its From is rewritten", async () => {
    const { text } = await sent(outgoing(claimOf(mail(`From: ${PRINTER}`), { reversePath: "" }), door(), OPTIONS));

    expect(text).toContain(`From: "10.20.0.5" <${SCANNER}>\r\n`);
    expect(text).not.toMatch(/Reply-To|Original-Sender/);
  });

  test("stays null where a door rewrites senders but may carry it", async () => {
    const made = await sent(outgoing(report, door({ mode: "rewrite" }, { nullSender: "any" }), OPTIONS));

    expect(made.reversePath).toBe("");
  });

  test("goes to internal recipients only where the door may not carry it further", async () => {
    const claim = claimOf(mail(`From: ${SCANNER}`), { reversePath: "", recipients: ["anna@contoso.com", "ben@fabrikam.com"] });
    const connector = door({ mode: "keep" }, { nullSender: "internal" }, null);

    expect(await outgoing(claim, connector, OPTIONS)).toMatchObject({
      delivery: { reversePath: "", recipients: ["anna@contoso.com"] },
      notServed: [{ address: "ben@fabrikam.com", refusal: { fault: { code: "NOT_SERVED" } } }],
    });
  });
});

test("a door for internal mail takes nothing else", async () => {
  const claim = claimOf(mail(`From: ${PRINTER}`), { recipients: ["ben@fabrikam.com"] });

  expect((await refusalOf(outgoing(claim, door({ mode: "keep" }, { serves: "internal" }), OPTIONS)))?.fault?.code).toBe("NOT_SERVED");
});

test("a message over the door's limit is refused before anything is read; a few lines of our own do not count", async () => {
  const limit = door().limits.maxMessageSizeBytes;
  const claim = (sizeBytes: number): Claim => claimOf(mail(`From: ${SCANNER}`), { reversePath: SCANNER, sizeBytes });

  expect(outgoing(claim(limit + 1_000), door(), OPTIONS)).toMatchObject({ kind: "delivery" });
  expect((await refusalOf(outgoing(claim(limit + 100_000), door(), OPTIONS)))?.fault?.code).toBe("TOO_LARGE");
});

test("an address beyond ASCII asks for SMTPUTF8 only where it is used", async () => {
  const claim = claimOf(mail(`From: ${PRINTER}`), { reversePath: "z\u00f6e@contoso.com", smtpUtf8: true });

  expect(await outgoing(claim, door({ mode: "keep" }), OPTIONS)).toMatchObject({ delivery: { smtpUtf8: true } });
  expect(await outgoing(claim, door(), OPTIONS)).toMatchObject({ delivery: { smtpUtf8: false } });
});

test("damaged content is a refusal like any other", async () => {
  const claim = claimOf(mail(`From: ${PRINTER}`));
  const content: ContentSource = {
    sizeBytes: 1,
    inMemory: undefined,
    // eslint-disable-next-line require-yield -- it fails at once
    async *blocks() {
      throw new PosternError("E_CONTENT_CORRUPT", "row 1");
    },
  };

  expect(await refusalOf(outgoing({ ...claim, content }, door(), OPTIONS))).toEqual({
    stage: "content",
    fault: { code: "E_CONTENT_CORRUPT", detail: "row 1" },
  });
});

describe("long lines", () => {
  const long = `${mail(`From: ${SCANNER}`)}${"x".repeat(3_000)}\r\n`;

  test.each([undefined, 500])("are broken, and the size is what is sent (blocks of %s)", async (size) => {
    for (const longLines of [true, undefined]) {
      const { text } = await sent(outgoing(claimOf(long, { reversePath: SCANNER, longLines }, size), door(), OPTIONS));

      expect(Math.max(...text.split("\r\n").map((line) => line.length))).toBe(998);
      expect(text.replaceAll("\r\n x", "x")).toBe(long);
    }
  });

  test("are not looked for where intake saw none", () => {
    const claim = claimOf(long, { reversePath: SCANNER, longLines: false });

    expect(outgoing(claim, door(), OPTIONS)).toMatchObject({ delivery: { content: claim.content } });
  });
});

test("whatever the message and the cut of its blocks: only the fields in question change", async () => {
  const field = fc.constantFrom(
    "Subject: \u00e4",
    "X: y\r\n folded",
    "X-Odd :  spaces \t",
    "Received: a\r\n\tb",
    "To: anna@contoso.com",
    "from-x: a@b",
    "no colon here",
  );
  const body = fc.array(fc.constantFrom("From: a@b", "", ".", "text", "\u00fc", "x".repeat(900)), { maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(field, { maxLength: 6 }),
      fc.nat(),
      body,
      fc.integer({ min: 1, max: 300 }),
      async (fields, at, lines, size) => {
        const before = fields
          .slice(0, at % (fields.length + 1))
          .map((one) => `${one}\r\n`)
          .join("");
        const after = fields
          .slice(at % (fields.length + 1))
          .map((one) => `${one}\r\n`)
          .join("");
        const rest = `\r\n${lines.map((one) => `${one}\r\n`).join("")}`;
        const text = `X-First: 1\r\n${before}From: Name <${PRINTER}>\r\n${after}${rest}`;

        const { text: out } = await sent(outgoing(claimOf(text, { headerFrom: PRINTER }, size), door(), OPTIONS));

        expect(out).toBe(`X-First: 1\r\n${before}From: Name <${SCANNER}>\r\n${after}Reply-To: ${PRINTER}\r\n${ORIGINAL}\r\n${rest}`);
      },
    ),
  );
});
