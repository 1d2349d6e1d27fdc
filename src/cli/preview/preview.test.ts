import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { PosternError } from "../../mail/errors.ts";
import { makeSampleScan } from "../sample-scan.ts";
import { PREVIEW_LIMITS, previewOf, shownPreview, type Preview } from "./preview.ts";

const HEAD = "From: Scanner <scanner@contoso.com>\r\nSubject: =?utf-8?Q?Num=C3=A9ro_7?=\r\n";
const MIXED = `${HEAD}Content-Type: multipart/mixed; boundary=b\r\n\r\n`;

/** Content as the queue gives it. */
function stored(content: string | Buffer, rowOctets = 256 * 1024): () => AsyncGenerator<Uint8Array> {
  const octets = Buffer.from(content);
  return async function* () {
    await Promise.resolve();
    for (let at = 0; at < octets.length; at += rowOctets) yield new Uint8Array(octets.subarray(at, at + rowOctets));
  };
}

const look = (content: string | Buffer, limits = PREVIEW_LIMITS): Promise<Preview> => previewOf(stored(content), limits);
const subjectOf = ({ headers }: Preview): string | undefined => headers.find(({ name }) => name === "Subject")?.value;

describe("of usual mail", () => {
  test("a scan: its header decoded, its text, its file by name, type and size", async () => {
    const scan = makeSampleScan({ from: "scanner@contoso.com", to: "anna@contoso.com", subject: "=?utf-8?Q?Num=C3=A9ro_7?=" });

    const preview = await look(scan);

    expect(preview).toEqual({
      headers: [
        { name: "From", value: "scanner@contoso.com" },
        { name: "To", value: "anna@contoso.com" },
        { name: "Subject", value: "Numéro 7" },
        { name: "MIME-Version", value: "1.0" },
        { name: "Content-Type", value: 'multipart/mixed; boundary="----=_Scan_0001_7D2C31"' },
      ],
      text: expect.stringMatching(/^Scanned document is attached\.\nResolution: 150 dpi/),
      attachments: [{ name: "SCAN0001.pdf", type: "application/pdf", sizeBytes: expect.any(Number), complete: true }],
      cut: [],
    });
    expect(preview.attachments[0]?.sizeBytes).toBeGreaterThan(1_000_000);
  });

  test("text in a transfer encoding and a character set; names of files in encoded words; one without a name", async () => {
    const preview = await look(
      `${MIXED}--b\r\nContent-Type: text/plain; charset=iso-8859-15\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nPrix : 5 =A4 =E9t=E9\r\n` +
        `--b\r\nContent-Type: image/tiff; name="=?utf-8?B?w6l0w6kudGlm?="\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJD\r\n` +
        `--b\r\nContent-Type: application/x-unknown\r\n\r\nwhat\r\n--b--\r\n`,
    );

    expect(preview.text?.trim()).toBe("Prix : 5 € été");
    expect(preview.attachments).toEqual([
      { name: "été.tif", type: "image/tiff", sizeBytes: 3, complete: true },
      { type: "application/x-unknown", sizeBytes: 4, complete: true },
    ]);
    expect(preview.cut).toEqual([]);
  });

  test("HTML is measured, never turned into text", async () => {
    const preview = await look(`${HEAD}Content-Type: text/html\r\n\r\n<p>Hello <b>Anna</b></p>\r\n`);

    expect(preview).toMatchObject({ htmlCharacters: "<p>Hello <b>Anna</b></p>\n".length, attachments: [], cut: [] });
    expect(preview.text).toBeUndefined();
  });

  test.each([
    ["nothing but a header", HEAD, undefined],
    ["no header", "\r\nbody\r\n", "body\n"],
    ["nothing at all", "", undefined],
    ["a character set that does not exist", `${HEAD}Content-Type: text/plain; charset=x-none\r\n\r\nbody\r\n`, "body\n"],
    ["a multipart without its end", `${MIXED}--b\r\n\r\nbody\r\n`, expect.stringContaining("body")],
  ])("%s", async (_, content, text) => {
    expect(await look(content)).toMatchObject(text === undefined ? { attachments: [], cut: [] } : { text, attachments: [], cut: [] });
  });

  test("rows may end anywhere, in the middle of the empty line after the header too", async () => {
    const content = `${MIXED}--b\r\n\r\nbody\r\n--b\r\nContent-Type: text/csv; name=a.csv\r\n\r\na,b\r\n--b--\r\n`;
    const whole = await look(content);

    for (const rowOctets of [1, 7, MIXED.length - 3, MIXED.length - 2, MIXED.length - 1, MIXED.length])
      expect(await previewOf(stored(content, rowOctets))).toEqual(whole);
    expect(whole).toMatchObject({ text: "body", attachments: [{ name: "a.csv", sizeBytes: 3 }] });
  });
});

describe("of hostile mail", { timeout: 60_000 }, () => {
  test("thousands of nested parts: what was found, and that there is more", async () => {
    let content = `${HEAD}Content-Type: multipart/mixed; boundary=b0\r\n\r\n`;
    for (let depth = 0; depth < 3_000; depth++) content += `--b${depth}\r\nContent-Type: multipart/mixed; boundary=b${depth + 1}\r\n\r\n`;

    const preview = await look(`${content}--b3000\r\n\r\ndeep\r\n--b3000--\r\n`);

    expect(subjectOf(preview)).toBe("Numéro 7");
    expect(preview.cut).toEqual(["it has more than 1000 parts, which are not looked at to the end", "its text was not reached"]);
  });

  test("thousands of parts side by side: the text and the first of them", async () => {
    const parts = Array.from({ length: 4_000 }, (_entry, at) => `--b\r\nContent-Type: image/png; name=p${at}.png\r\n\r\nxxxx\r\n`).join("");

    const preview = await look(`${MIXED}--b\r\n\r\nhello\r\n${parts}--b--\r\n`);

    expect(preview.text).toContain("hello");
    expect(preview.attachments).toHaveLength(PREVIEW_LIMITS.attachments);
    expect(preview.attachments[0]).toEqual({ name: "p0.png", type: "image/png", sizeBytes: 4, complete: true });
    expect(preview.cut).toEqual([
      "it has more than 1000 parts, which are not looked at to the end",
      expect.stringMatching(/^its text is that of its first \d+ KiB$/),
      expect.stringMatching(/^\d+ more attachments are not listed$/),
    ]);
  });

  test("a hundred thousand header fields: the first, and those one asks for", async () => {
    const many = Array.from({ length: 100_000 }, (_entry, at) => `X-${at}: ${at}\r\n`);
    many.splice(10_000, 0, "To: anna@contoso.com\r\n", "To: ben@contoso.com\r\n");

    const preview = await look(`${HEAD}${many.join("")}\r\nhello\r\n`);

    expect(preview.headers).toHaveLength(PREVIEW_LIMITS.fields + 1);
    expect(preview.headers.at(-1)).toEqual({ name: "To", value: "anna@contoso.com" });
    expect(preview.text).toBe("hello\n");
    expect(preview.cut).toEqual([
      expect.stringMatching(/^\d+ more header fields are not shown$/),
      "the header is too long to be looked at to its end",
    ]);
  });

  test("a header of 10 MB in one field, and one of a part", async () => {
    const [root, part] = await Promise.all([
      look(`${HEAD}X-Long: ${"a ".repeat(5_000_000)}\r\n\r\nhello\r\n`),
      look(`${MIXED}--b\r\n\r\nhello\r\n--b\r\nX: ${"a\r\n ".repeat(2_500_000)}\r\n\r\nx\r\n--b--\r\n`),
    ]);

    expect(root).toMatchObject({ text: "hello\n", cut: ["the header is too long to be looked at to its end"] });
    expect(subjectOf(root)).toBe("Numéro 7");
    expect(part.text).toContain("hello");
    expect(part.cut).toEqual([
      "the header of a part is longer than 1 MiB; what follows is not looked at",
      "its text is that of its first 256 KiB",
    ]);
  });

  test("more text than there is memory for: its beginning", async () => {
    const preview = await look(`${HEAD}\r\n${"a line of text\r\n".repeat(1_500_000)}`, { ...PREVIEW_LIMITS, heapMiB: 64 });

    expect(preview.text).toHaveLength(PREVIEW_LIMITS.textCharacters);
    expect(preview.cut).toEqual([
      "to look at all of it takes more than 64 MiB of memory",
      "its text is that of its first 256 KiB",
      "only the first 8000 characters of its text are shown",
    ]);
  });

  test("one that takes too long is not waited for", async () => {
    const endless = async function* () {
      yield Buffer.from(`${MIXED}--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n`);
      for (;;) yield Buffer.from("QUJD".repeat(16_000));
    };

    const preview = await previewOf(endless, { ...PREVIEW_LIMITS, octets: [Infinity], milliseconds: 1_000 });

    expect(preview.cut).toEqual(["to look at all of it takes longer than 1 s", "its text was not reached"]);
  });

  test("one that is larger than what is looked at: a file of which the end is missing is as large as that at least", async () => {
    const content = `${MIXED}--b\r\n\r\nhello\r\n--b\r\nContent-Type: text/csv; name=a.csv\r\n\r\n${"a,b\r\n".repeat(10_000)}--b--\r\n`;

    const preview = await look(content, { ...PREVIEW_LIMITS, octets: [32 * 1024] });

    expect(preview.text).toContain("hello");
    expect(preview.attachments).toMatchObject([{ name: "a.csv", complete: false }]);
    expect(preview.attachments[0]?.sizeBytes).toBeLessThan(32 * 1024);
    expect(preview.cut).toEqual(["only its first 32 KiB are looked at"]);
  });
});

test("damage in the middle leaves what comes before it; damage at the beginning leaves no preview, and is told", async () => {
  const broken = (good: readonly string[]) =>
    async function* () {
      for (const row of good) yield Buffer.from(row);
      await Promise.resolve();
      throw new PosternError("E_CONTENT_CORRUPT", "row 2 fails its checksum");
    };

  const [middle, beginning] = await Promise.all([
    shownPreview({ hasContent: true }, broken([`${HEAD}\r\nhello\r\n`])),
    shownPreview({ hasContent: true }, broken([])),
  ]);

  expect(middle).toMatchObject({ text: "hello\n", cut: ["what is stored of it is damaged: row 2 fails its checksum"] });
  expect(beginning).toEqual({ unavailable: "row 2 fails its checksum" });
});

test("of mail that has left there is none, and nothing is read", async () => {
  const preview = await shownPreview({ hasContent: false }, () => {
    throw new Error("read");
  });

  expect(preview).toEqual({
    unavailable: "the content is deleted by now: of mail that has left at once, of mail that failed after history.failed_content",
  });
});

test("the parser is loaded by the preview's thread alone: the daemon never has it in its memory", () => {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const sources = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((name) => /(?<!\.test|\.d)\.ts$/.test(name));

  const loading = sources.filter((name) => /from "mailparser"|import\("mailparser"\)/.test(readFileSync(`${root}/${name}`, "utf8")));

  expect(loading).toEqual(["cli/preview/worker.ts"]);
});
