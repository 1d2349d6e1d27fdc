import { expect, test } from "vitest";
import { renderPreview } from "./render.ts";

test("header, text, attachments and what is not shown, each under its title", () => {
  const lines = renderPreview({
    headers: [
      { name: "From", value: "a@contoso.com" },
      { name: "Subject", value: "Numéro 7" },
    ],
    text: "first\tline\n\nthird\n",
    htmlCharacters: 12,
    attachments: [
      { name: "a.pdf", type: "application/pdf", sizeBytes: 2048, complete: true },
      { type: "image/png", sizeBytes: 10, complete: false },
    ],
    cut: ["3 more header fields are not shown"],
  });

  expect(lines.join("\n")).toBe(`
Message
  From     a@contoso.com
  Subject  Numéro 7

  | first    line
  |
  | third

  the same as HTML, 12 characters, not shown

Attachments
  a.pdf, application/pdf, 2.0 KiB
  (without a name), image/png, at least 10 B

Not shown
  3 more header fields are not shown`);
});

test("nothing in it steers the terminal or turns the direction of writing", () => {
  const evil = "\u001b[2J\u009b31m\u202egpj.exe\u2066\u0007\r";

  const lines = renderPreview({
    headers: [{ name: `X-${evil}`, value: evil }],
    text: `${evil}\n${evil}`,
    attachments: [{ name: evil, type: evil, sizeBytes: 1, complete: true }],
    cut: [evil],
  });

  expect(lines.join("\n")).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/);
  expect(lines.join("\n")).toContain(String.raw`\x1b[2J\x9b31m\u202egpj.exe\u2066\x07\x0d`);
});

test("long text is cut after forty lines, which is said; a long line in itself", () => {
  const lines = renderPreview({ headers: [], text: `${"x".repeat(5_000)}\n`.repeat(60), attachments: [], cut: [] });

  expect(lines.filter((line) => line.startsWith("  | "))).toHaveLength(40);
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(210);
  expect(lines.at(-1)).toBe("  only the first 40 lines of its text are shown");
});

test("where there is none, one line says why", () => {
  expect(
    renderPreview({
      unavailable: "the content is deleted by now: of mail that has left at once, of mail that failed after history.failed_content",
    }),
  ).toEqual([
    "",
    "no preview: the content is deleted by now: of mail that has left at once, of mail that failed after history.failed_content",
  ]);
});
