import { simpleParser } from "mailparser";
import { expect, test } from "vitest";
import { ALERTS } from "../observe/alerts/alert.ts";
import { ALERT_WORDS } from "./alert-words.ts";
import { buildAlertMail, type AlertFacts, type AlertMailFacts } from "./alert.ts";

const AT = Date.UTC(2026, 0, 5, 9, 0, 0);
const HELD: AlertFacts = {
  state: "raised",
  alert: "upstream.held",
  subject: "scans",
  text: "upstream scans is held: 535 5.7.3\r\nBcc: x@evil.example",
  remedy: "renew the secret",
  severity: "critical",
  since: AT,
  at: AT,
};

function build(alerts: readonly AlertFacts[], more: Partial<AlertMailFacts> = {}) {
  const facts = {
    queueId: "01A",
    now: AT,
    timeZone: "UTC",
    hostname: "relay.contoso.com",
    from: "it@contoso.com",
  } as const;
  return buildAlertMail({ ...facts, to: ["anna@contoso.com", "bruno@contoso.com"], alerts, ...more });
}

test("reads as what it is, in ASCII, to all who get it, and nothing foreign becomes a header", async () => {
  const mail = build([HELD]);
  const parsed = await simpleParser(mail.content);

  expect(mail).toMatchObject({ messageId: "<01A@relay.contoso.com>", eightBit: false });
  expect(mail.content.toString()).toContain("\r\nSubject: [critical] upstream.held scans (relay.contoso.com)\r\n");
  expect(mail.content.toString()).toContain("\r\nTo: <anna@contoso.com>,\r\n <bruno@contoso.com>\r\n");
  expect(parsed.headers.has("bcc")).toBe(false);
  expect(parsed.headers.get("auto-submitted")).toBe("auto-generated");
  expect(parsed.text).toBe(`This is the mail relay relay.contoso.com.

[critical] upstream.held scans
  An upstream is closed by a fault that needs hands. Its mail waits, or goes
  by the next upstream.
  upstream scans is held: 535 5.7.3 Bcc: x@evil.example
  What to do: renew the secret
  Since Mon, 05 Jan 2026 09:00:00 +0000.

What is open now, and what to do about it: postern status
`);
});

test.each([
  [
    "the worst of several",
    [
      { ...HELD, severity: "info", subject: "a" },
      { ...HELD, subject: "b" },
    ],
    "[critical] 2 alerts: upstream.held a, upstream.held b",
  ],
  [
    "what is open alone, with its severity",
    [
      { ...HELD, subject: "a" },
      { ...HELD, subject: "b", state: "cleared" },
      { ...HELD, alert: "budget.low", subject: "c", severity: "warning" },
      { ...HELD, subject: "a", state: "cleared" },
    ],
    "[warning] budget.low c",
  ],
  ["what lasts", [{ ...HELD, state: "repeated", severity: "warning" }], "[still warning] upstream.held scans"],
  ["what is over, though it began in the same mail", [HELD, { ...HELD, state: "cleared" }], "[over] upstream.held scans"],
  ["foreign letters without their accents", [{ ...HELD, subject: "scans é\r\nBcc: x 日本" }], "[critical] upstream.held scans e Bcc: x ?"],
] as const)("the subject names %s", (_what, alerts, subject) => {
  expect(build(alerts).content.toString()).toContain(`\r\nSubject: ${subject} (relay.contoso.com)\r\n`);
});

test("what is over is told once, after what is open, as what was", async () => {
  const over: AlertFacts = { ...HELD, state: "cleared", at: AT + 60_000 };
  const mail = build([HELD, over, { ...HELD, alert: "budget.low", severity: "warning", text: "10 left", remedy: undefined }]);
  const { text = "" } = await simpleParser(mail.content);

  expect(mail.content.toString()).not.toContain("Importance:");
  expect(text).toBe(`This is the mail relay relay.contoso.com.

[warning] budget.low scans
  Little is left of a day's recipients.
  10 left
  Since Mon, 05 Jan 2026 09:00:00 +0000.

[over] upstream.held scans
  It is over. From Mon, 05 Jan 2026 09:00:00 +0000 until Mon, 05 Jan 2026
  09:01:00 +0000 it was:
    upstream scans is held: 535 5.7.3 Bcc: x@evil.example

What is open now, and what to do about it: postern status
`);
});

test("hundreds of alerts are one mail with the first fifty and a number, and a subject of bounded length", async () => {
  const alerts = Array.from({ length: 200 }, (_, i) => ({ ...HELD, subject: `sender${i}@contoso.com`, text: "x".repeat(1000) }));
  const { text = "", subject = "" } = await simpleParser(build(alerts).content);

  expect(text.match(/^\[critical\]/gm)).toHaveLength(50);
  expect(text).toContain("\nand 150 more.\n");
  expect(subject).toMatch(/^\[critical\] 200 alerts: .{60,100}\.\.\. \(relay\.contoso\.com\)$/);
});

test("every kind of alert has its sentence", () => {
  expect(Object.keys(ALERT_WORDS.kinds).toSorted()).toEqual([...Object.keys(ALERTS), "test"].toSorted());
});
