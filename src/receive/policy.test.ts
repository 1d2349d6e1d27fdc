import { expect, test } from "vitest";
import { isUnusableDomain } from "../mail/address.ts";
import { judgeHeaderFrom, judgeRecipient, judgeSender } from "./policy.ts";

const domains = { own: ["contoso.com", "*.contoso.net"], first: "contoso.com" };
const printers = { name: "printers", senders: ["internal"], recipients: ["internal"], fallbackSender: "scans@contoso.com" };
const erp = { name: "erp", senders: ["erp@contoso.com"], recipients: ["any"], fallbackSender: "erp@contoso.com" };

test.each([
  ["", "", undefined],
  ["scanner@contoso.com", "scanner@contoso.com", undefined],
  ["scanner@a.contoso.net", "scanner@a.contoso.net", undefined],
  ["ESP-CAM_MJPEG", "ESP-CAM_MJPEG@contoso.com", undefined],
  ["root@vcenter.company.local", "scans@contoso.com", "root@vcenter.company.local"],
  ["www-data@ip-10-0-0-1.ec2.internal", "scans@contoso.com", "www-data@ip-10-0-0-1.ec2.internal"],
  ["a@[192.0.2.1]", "scans@contoso.com", "a@[192.0.2.1]"],
  ["a@192.0.2.1", "scans@contoso.com", "a@192.0.2.1"],
  ["root@nas", "scans@contoso.com", "root@nas"],
  [undefined, "scans@contoso.com", ""],
])("sender %j goes on as %j, original %j", (path, sender, original) => {
  expect(judgeSender(path, printers, domains)).toEqual({ kind: "accepted", sender, original });
});

test("a sender outside the patterns is refused, naming client and rule", () => {
  const verdict = judgeSender("ceo@fabrikam.com", printers, domains);

  expect(verdict).toMatchObject({ kind: "refused", reply: { code: 550, enhanced: "5.7.1" } });
  expect(verdict.kind === "refused" && verdict.reply.text).toMatch(/ceo@fabrikam\.com.*printers.*internal/);
});

test("a refusal of the fallback sender names what the device itself said", () => {
  const strict = { ...printers, senders: ["erp@contoso.com"] };
  const words = (path: string | undefined): unknown => {
    const verdict = judgeSender(path, strict, domains);
    return verdict.kind === "refused" && verdict.reply.text;
  };

  expect(words("root@nas.local")).toMatch(/sender scans@contoso\.com, in place of root@nas\.local, is not among the senders/);
  expect(words(undefined)).toMatch(/sender scans@contoso\.com, in place of none, is not among/);
});

test("the null reverse-path passes where only one sender is allowed", () => {
  expect(judgeSender("", erp, domains).kind).toBe("accepted");
  expect(judgeSender("scan@contoso.com", erp, domains).kind).toBe("refused");
});

test("an organization's own domain is never private", () => {
  expect(isUnusableDomain("corp.local", ["corp.local"])).toBe(false);
  expect(isUnusableDomain("corp.local", ["contoso.com"])).toBe(true);
});

test.each([
  ["bob@contoso.com", "bob@contoso.com"],
  ["bob@b.contoso.net", "bob@b.contoso.net"],
  ["postmaster", "postmaster@contoso.com"],
  ["50%off@contoso.com", "50%off@contoso.com"],
  ["anna.doe/sales/fabrikam%notes@contoso.com", "anna.doe/sales/fabrikam%notes@contoso.com"],
  ["really!@contoso.com", "really!@contoso.com"],
])("recipient %j of an internal client is %j", (path, recipient) => {
  expect(judgeRecipient(path, printers, domains)).toEqual({ kind: "accepted", recipient });
});

test.each([
  "victim@fabrikam.com",
  "victim%fabrikam.com@contoso.com",
  "fabrikam.com!victim@contoso.com",
  '"victim@fabrikam.com"@contoso.com',
  "victim@fabrikam.com@contoso.com",
  "victim%fabrikam.com",
  "victim%fabrikam.com%contoso.com@contoso.com",
  "contoso.com!fabrikam.com!victim@contoso.com",
  '"fabrikam.com!victim%contoso.com"@contoso.com',
  "nas!fabrikam.com!victim@contoso.com",
  "victim%fabrikam.com%nas@contoso.com",
  "victim%fabrikam.com%@contoso.com",
  '"victim@[IPv6:2001:db8::1]"@contoso.com',
  "a@contoso.com.evil.example",
  "a@xcontoso.net",
  "a@[192.0.2.1]",
])("an internal client cannot relay to %j", (path) => {
  expect(judgeRecipient(path, printers, domains)).toMatchObject({ kind: "refused", reply: { code: 550, enhanced: "5.7.1" } });
});

test("a client with any recipients may send anywhere", () => {
  expect(judgeRecipient("victim%fabrikam.com@contoso.com", erp, domains).kind).toBe("accepted");
});

test("From: is judged by the same senders", () => {
  expect(judgeHeaderFrom(["a@contoso.com"], printers, domains)).toBeUndefined();
  expect(judgeHeaderFrom(["a@contoso.com", "ceo@fabrikam.com"], printers, domains)).toMatchObject({ code: 550, enhanced: "5.7.1" });
});

test("a refusal names the rule and stays a line that devices can read", () => {
  const many = Array.from({ length: 200 }, (_, at) => `user${at}@contoso.com`);

  const reply = judgeHeaderFrom([`${"x".repeat(10_000)}@contoso.com`], { ...printers, senders: many }, domains);

  expect(reply?.text).toMatch(/ is not among the senders of client \S+ \(user0@contoso\.com, .* and 196 more\)$/);
  // RFC 5321 §4.5.3.1.5, code and line end included.
  expect(reply?.text.length).toBeLessThan(500);
});
