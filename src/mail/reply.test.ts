import { test, expect } from "vitest";
import fc from "fast-check";
import { formatReply, parseReply } from "./reply.ts";

test("a reply of several lines is one value with the enhanced code of its first line", () => {
  const reply = parseReply("550-5.7.1 Service unavailable\r\n550-5.7.1 for this client\r\n550 5.7.1 [HOST]\r\n");

  expect(reply).toEqual({ code: 550, enhanced: "5.7.1", text: "Service unavailable\nfor this client\n[HOST]" });
  expect(formatReply(reply!)).toBe("550 5.7.1 Service unavailable for this client [HOST]");
});

test("an enhanced code of another class than the reply stays in the text", () => {
  const reply = parseReply("550 4.4.4 Mail received as unauthenticated");

  expect(reply).toEqual({ code: 550, enhanced: undefined, text: "4.4.4 Mail received as unauthenticated" });
  expect(formatReply(reply!)).toBe("550 4.4.4 Mail received as unauthenticated");
});

test("a number that only looks like an enhanced code is text", () => {
  expect(parseReply("250 2.0.0x ok")?.enhanced).toBeUndefined();
  expect(parseReply("220 2.1.example ready")?.enhanced).toBeUndefined();
});

test("what does not start with a code is no reply", () => {
  expect(parseReply("* OK IMAP4rev1")).toBeUndefined();
  expect(parseReply("")).toBeUndefined();
});

test("any reply survives its way to one line and back", () => {
  const text = fc.stringMatching(/^[a-z][ -~]{0,40}$/).map((value) => value.trim());
  fc.assert(
    fc.property(fc.integer({ min: 200, max: 599 }), fc.boolean(), text, (code, hasStatus, words) => {
      const reply = { code, enhanced: hasStatus && code >= 400 ? `${Math.floor(code / 100)}.7.1` : undefined, text: words };

      expect(parseReply(formatReply(reply))).toEqual(reply);
    }),
  );
});
