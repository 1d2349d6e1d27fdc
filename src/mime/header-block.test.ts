import fc from "fast-check";
import { expect, test } from "vitest";
import { fieldOctets } from "./fields.ts";
import { headerIn, MOST_HEADER_OCTETS, readHeader, withHeader } from "./header-block.ts";
import type { MessageContent } from "./header-block.ts";

const MAIL = "From: a@contoso.com\r\nSubject: one\r\n  two\r\nX-Odd :  spaces \t\r\nfrom: b@contoso.com\r\n\r\nBody\r\n\r\nFrom: body\r\n";
const HEADER_LENGTH = MAIL.indexOf("\r\n\r\n") + 2;

/** Content in blocks of some size; like the queue's, a block is gone when the next one is asked for. */
function inBlocks(text: string, size: number): MessageContent {
  return {
    inMemory: undefined,
    async *blocks() {
      const octets = Buffer.from(text, "latin1");
      for (let at = 0; at < octets.length; at += size) {
        const block = Buffer.from(octets.subarray(at, at + size));
        yield block;
        block.fill(0);
      }
    },
  };
}

function inMemory(text: string): MessageContent {
  const octets = Buffer.from(text, "latin1");
  return {
    inMemory: octets,
    async *blocks() {
      yield octets;
    },
  };
}

async function textOf(content: MessageContent): Promise<string> {
  let text = "";
  for await (const block of content.blocks()) text += Buffer.from(block).toString("latin1");
  return text;
}

test("fields are found with their folding, whatever the case of their name", () => {
  const header = headerIn(Buffer.from(MAIL));

  expect(header?.octets.length).toBe(HEADER_LENGTH);
  expect(header?.fields.map(({ name }) => name)).toEqual(["from", "subject", "x-odd", "from"]);
  expect(header?.named("from").map((field) => header.valueOf(field))).toEqual(["a@contoso.com", "b@contoso.com"]);
  expect(header?.named("subject").map((field) => header.valueOf(field))).toEqual(["one  two"]);
});

test("a changed header changes nothing else, at every cut of the content", async () => {
  const expected = MAIL.replace("From: a@contoso.com\r\n", "From: c@contoso.com\r\n").replace(
    "from: b@contoso.com\r\n",
    "Sender: d@contoso.com\r\n",
  );

  for (const content of [inMemory(MAIL), ...Array.from({ length: MAIL.length }, (_, size) => inBlocks(MAIL, size + 1))]) {
    const header = (await readHeader(content))!;
    header.set(header.named("from"), fieldOctets("From", "c@contoso.com"));
    header.set(header.named("sender"), fieldOctets("Sender", "d@contoso.com"));
    const changed = withHeader(content, header.octets.length, header.parts());

    expect(await textOf(changed)).toBe(expected);
    // Read twice: a connection may break before the content was taken.
    expect(await textOf(changed)).toBe(expected);
    expect(changed.inMemory === undefined).toBe(content.inMemory === undefined);
  }
});

test("any header, changed anywhere, keeps all other octets", async () => {
  const line = fc.constantFrom("From: x", "Subject: \u00fc", " folded", "\tfolded", "no field", "X: y", "Bcc: a,", "X-Long: ", "=");
  await fc.assert(
    fc.asyncProperty(
      fc.array(line, { maxLength: 12 }),
      fc.string({ maxLength: 40 }),
      fc.nat(),
      fc.integer({ min: 1, max: 60 }),
      async (lines, body, pick, size) => {
        const head = lines.map((text) => `${text}\r\n`).join("");
        const mail = `${head}\r\n${Buffer.from(body).toString("latin1")}`;
        const header = (await readHeader(inBlocks(mail, size)))!;
        const field = header.fields[pick % Math.max(1, header.fields.length)];
        if (field !== undefined) header.remove([field]);

        const text = await textOf(withHeader(inBlocks(mail, size), header.octets.length, header.parts()));

        expect(header.octets.toString("latin1")).toBe(head);
        expect(text).toBe(field === undefined ? mail : mail.slice(0, field.start) + mail.slice(field.end));
      },
    ),
  );
});

test("content that begins with the empty line has no header; one without any is header to its end", async () => {
  expect((await readHeader(inBlocks("\r\nFrom: body\r\n", 3)))?.octets.length).toBe(0);
  expect((await readHeader(inBlocks("From: a\r\nX: y\r\n", 3)))?.fields.length).toBe(2);
  expect(await readHeader(inBlocks("", 3))).toBeUndefined();
});

test("a header without end is not collected without end", async () => {
  let blocks = 0;
  const endless: MessageContent = {
    inMemory: undefined,
    async *blocks() {
      for (;;) {
        blocks += 1;
        yield Buffer.alloc(65_536, "x");
      }
    },
  };

  expect(await readHeader(endless)).toBeUndefined();
  expect(blocks).toBe(MOST_HEADER_OCTETS / 65_536 + 1);
});
