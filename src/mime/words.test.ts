import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fieldOctets, headerFields, unfoldedValue } from "./fields.ts";
import { mailboxField, readMailboxes } from "./mailboxes.ts";
import { decodeEncodedWords, encodedPhrase, encodedWords } from "./words.ts";

describe("a display name", () => {
  test.each([
    ["Scanner 1", "Scanner 1"],
    ["Smith, John", '"Smith, John"'],
    ['say "x"\\', '"say \\"x\\"\\\\"'],
    ["=?utf-8?q?=C3=BC?=", "=?utf-8?q?=C3=BC?="],
    ["=?utf-8?q?=C3=BC?= (1)", `=?UTF-8?B?${Buffer.from("\u00fc (1)").toString("base64")}?=`],
    ["J\u00fcrgen", "=?UTF-8?B?SsO8cmdlbg==?="],
    [Buffer.from("J\u00fcrgen").toString("latin1"), "=?UTF-8?B?SsO8cmdlbg==?="],
    ["a\r\nBcc: x@y", '"a Bcc: x@y"'],
    ["", ""],
  ])("%j is written %j", (display, written) => {
    expect(encodedPhrase(display)).toBe(written);
  });
});

test("encoded words are at most 75 characters and give the text back", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", minLength: 1, maxLength: 200 }), (text) => {
      const words = encodedWords(text);

      expect(words.every((word) => word.length <= 75)).toBe(true);
      expect(words.map((word) => Buffer.from(word.slice(10, -2), "base64").toString()).join("")).toBe(text);
    }),
  );
});

test("no value can end its field, and unfolding gives it back", () => {
  const value = fc.array(fc.constantFrom("a", "word", "\r\n", "\n", "\0", " ", "Bcc: x@y", "\u00fc", "=?", "z".repeat(1200)), {
    maxLength: 30,
  });
  fc.assert(
    fc.property(value, (pieces) => {
      const text = pieces.join("");
      const octets = fieldOctets("Subject", text);

      const fields = headerFields(octets);

      expect(fields.map(({ name }) => name)).toEqual(["subject"]);
      expect(octets.includes(0)).toBe(false);
      const lines = octets.toString("latin1").split("\r\n");
      expect(lines.pop()).toBe("");
      expect(lines.every((line) => line.length <= 998 && !/[\r\n]/.test(line) && line.trim() !== "")).toBe(true);
      const unfolded = Buffer.from(unfoldedValue(octets, fields[0]!), "latin1").toString();
      const flat = text.replace(/[\0\r\n]+/g, " ").trim();
      expect(unfolded.replaceAll(" ", "")).toBe(flat.replaceAll(" ", ""));
      // A word that had to be broken has a blank more.
      expect(text.includes("z") ? "" : unfolded).toBe(text.includes("z") ? "" : flat);
    }),
  );
});

test("a field's name is checked", () => {
  for (const name of ["", "a b", "a:", "a\r\nb", "\u00fc"]) expect(() => fieldOctets(name, "x")).toThrow("no header field name");
});

test("an address field is read back as it was written, with no address but its own", () => {
  const name = fc.string({
    unit: fc.constantFrom("a", " ", '"', "\\", ",", "<", ">", "@", ":", ";", "\u00fc", "\r\n", "("),
    maxLength: 20,
  });
  fc.assert(
    fc.property(name, (display) => {
      const octets = mailboxField("From", display, "a@contoso.com");

      const [field, ...more] = headerFields(octets);
      const mailboxes = readMailboxes(unfoldedValue(octets, field!));

      expect(more).toEqual([]);
      expect(mailboxes.map(({ address }) => address)).toEqual(["a@contoso.com"]);
      expect(decodeEncodedWords(mailboxes[0]!.display, 300).replaceAll(/\s+/g, " ")).toBe(display.replaceAll(/\s+/g, " ").trim());
    }),
  );
});

test("an address cannot break out of its brackets", () => {
  expect(mailboxField("From", "x", "a@b>\r\nBcc: <c@d").toString()).toBe("From: x <a@bBcc:c@d>\r\n");
});
