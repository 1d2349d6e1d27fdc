import { readFileSync, writeFileSync } from "node:fs";
import { simpleParser } from "mailparser";
import { describe, expect, test } from "vitest";
import { ENVELOPE } from "../../test/fakes/memory-queue.ts";
import { parseReply } from "../mail/reply.ts";
import { encodedText, mailDate, quotedPrintable } from "./mime.ts";
import { buildReport, type ReportFacts } from "./report.ts";
import { WORDS } from "./words.ts";
import { buildSummary, type SummaryFacts } from "./summary.ts";

const HEADER = "Subject: Scan of 9:14\r\nFrom: printer@contoso.com\r\nMessage-ID: <scan-1@contoso.com>\r\n";
const FACTS: ReportFacts = {
  queueId: "01TESTREPORT00000000000000",
  now: Date.UTC(2026, 0, 5, 9, 0, 10),
  timeZone: "Europe/Paris",
  hostname: "relay.contoso.com",
  language: "en",
  from: "scanner@contoso.com",
  to: "printer@contoso.com",
  about: { ...ENVELOPE, queueId: "01TESTSCAN0000000000000000", acceptedAt: Date.UTC(2026, 0, 5, 9, 0, 0) },
  failures: [
    {
      address: "nobody@contoso.com",
      kind: "failed",
      id: "recipient-unknown",
      reply: parseReply("550 5.4.1 Recipient address rejected: Access denied. [AM0P190CA0005.EURP190.PROD.OUTLOOK.COM]"),
      cause: "there is no such recipient",
      remedy: "Check the address; a new mailbox needs up to an hour before it is known",
    },
  ],
  remote: "smtp.office365.com:587 [192.0.2.1]",
  lastAttemptAt: Date.UTC(2026, 0, 5, 9, 0, 9),
  original: { kind: "header", octets: Buffer.from(HEADER) },
};

const WARNING: ReportFacts = {
  ...FACTS,
  now: Date.UTC(2026, 0, 5, 13, 0, 10),
  failures: [
    {
      address: "anna@contoso.com",
      kind: "delayed",
      id: "deferred",
      reply: parseReply("451 4.3.2 Temporary server error. Please try again later ATTR17"),
      cause: "Microsoft cannot look up the organization right now",
      remedy: "Wait; see Microsoft 365 admin center > Health > Service health",
    },
  ],
  retryUntil: Date.UTC(2026, 0, 10, 9, 0, 0),
};
const SUMMARY: SummaryFacts = {
  ...FACTS,
  messages: 2,
  entries: [1, 2].map((n) => ({
    queueId: `01TESTSCAN000000000000000${n}`,
    sender: "printer@contoso.com",
    device: "10.20.0.5",
    acceptedAt: Date.UTC(2026, 0, 5, 9, n, 0),
    lastAttemptAt: Date.UTC(2026, 0, 5, 9, n, 1),
    remote: "smtp.office365.com:587 [192.0.2.1]",
    recipients: FACTS.failures.map((failure) => ({ ...failure, address: `nobody${n}@contoso.com` })),
  })),
};

/** Dates are masked, so that a golden file says what matters. POSTERN_GOLDEN=write makes them anew, to be read before they are kept. */
function expectGolden(name: string, content: Buffer): void {
  const file = new URL(`../../test/golden/${name}.eml`, import.meta.url);
  const masked = content.toString().replace(/[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}/g, "DATE");
  if (process.env["POSTERN_GOLDEN"] === "write") writeFileSync(file, masked);
  expect(masked).toBe(readFileSync(file, "utf8"));
}

function expectSound(content: Buffer): void {
  const text = content.toString("latin1");
  expect(text.replaceAll("\r\n", "")).not.toMatch(/[\r\n]/);
  for (const line of text.split("\r\n")) expect(line.length).toBeLessThanOrEqual(998);
}

describe("golden reports", () => {
  test("a recipient refused", () => {
    expectGolden("report-failed", buildReport(FACTS).content);
  });

  test("two recipients expired, without a next hop reached", () => {
    const failures = ["a@contoso.com", "b@contoso.com"].map((address) => ({
      address,
      kind: "expired" as const,
      id: "unreachable",
      cause: "the next hop cannot be reached (ECONNREFUSED: 192.0.2.1:587)",
      remedy: "Check the firewall",
    }));

    expectGolden("report-expired", buildReport({ ...FACTS, failures, remote: undefined }).content);
  });

  test("what Graph said is an HTTP status, not SMTP", () => {
    const failures = FACTS.failures.map((failure) => ({
      ...failure,
      reply: { code: 404, text: "ErrorInvalidUser: no", protocol: "http" as const },
    }));

    const text = buildReport({ ...FACTS, failures }).content.toString();

    expect(text).toContain("\r\nDiagnostic-Code: X-HTTP; 404 ErrorInvalidUser: no\r\n");
    expect(text).not.toContain("smtp;");
  });

  test("given up by an operator before anything was tried, in French", () => {
    const { givenUpBy, askFirst } = WORDS.fr;
    const failures = [
      { address: "anna@contoso.com", kind: "given-up" as const, id: "given-up", cause: givenUpBy("kim"), remedy: askFirst },
    ];
    const facts: ReportFacts = { ...FACTS, language: "fr", failures, remote: undefined, lastAttemptAt: undefined };

    expectGolden("report-given-up-french", buildReport(facts).content);
  });

  test("addresses and replies beyond ASCII", () => {
    const failures = [
      {
        address: "jörg@contoso.com",
        kind: "failed" as const,
        id: "recipient-not-found",
        reply: parseReply("550 5.1.1 Empfänger unbekannt"),
        cause: "there is no such recipient",
      },
    ];

    expectGolden("report-utf8", buildReport({ ...FACTS, failures }).content);
  });

  test("a warning that the message is late, with the time until which it is tried", () => {
    expectGolden("warning", buildReport(WARNING).content);
  });

  test("in French", () => {
    const failures = [
      {
        address: "nobody@contoso.com",
        kind: "failed" as const,
        id: "recipient-unknown",
        reply: parseReply("550 5.4.1 Recipient address rejected: Access denied."),
        cause: "ce destinataire n'existe pas",
        remedy: "Vérifiez l'adresse ; une nouvelle boîte met jusqu'à une heure à être connue",
      },
    ];

    expectGolden("report-french", buildReport({ ...FACTS, language: "fr", failures }).content);
  });

  test("a warning in French", () => {
    const failures = [
      {
        address: "anna@contoso.com",
        kind: "delayed" as const,
        id: "unreachable",
        cause: "le serveur suivant est injoignable (ECONNREFUSED: 192.0.2.1:587)",
        remedy: "Vérifiez le pare-feu",
      },
    ];

    expectGolden("warning-french", buildReport({ ...WARNING, language: "fr", failures }).content);
  });

  test("many messages of one sender and cause, told together", () => {
    expectGolden("summary", buildSummary(SUMMARY).content);
  });

  test("many messages in French, more than the list takes", () => {
    const entries = SUMMARY.entries.map((entry) => ({
      ...entry,
      recipients: entry.recipients.map((recipient) => ({
        ...recipient,
        cause: "ce destinataire n'existe pas",
        remedy: "Vérifiez l'adresse ; une nouvelle boîte met jusqu'à une heure à être connue",
      })),
    }));

    expectGolden("summary-french", buildSummary({ ...SUMMARY, language: "fr", entries, messages: 250 }).content);
  });

  test("a report that could not be delivered goes to the postmaster with the report in it", () => {
    const report = buildReport(FACTS);
    const about = {
      ...FACTS.about,
      queueId: FACTS.queueId,
      kind: "report" as const,
      reversePath: "",
      messageId: report.messageId,
      origin: { listener: "", client: "", device: "" },
    };

    expectGolden(
      "report-of-report",
      buildReport({
        ...FACTS,
        queueId: "01TESTREPORT00000000000001",
        to: "it@contoso.com",
        about,
        original: { kind: "message", octets: report.content },
      }).content,
    );
  });
});

test("a mail program reads it: words first, then the machine's part, then the header", async () => {
  const { content, messageId } = buildReport(FACTS);

  const mail = await simpleParser(content);

  expectSound(content);
  expect(mail.messageId).toBe(messageId);
  expect(mail.from?.text).toBe('"Mail relay relay.contoso.com" <scanner@contoso.com>');
  expect(mail.headers.get("auto-submitted")).toBe("auto-replied");
  expect(mail.headers.get("content-type")).toMatchObject({ value: "multipart/report", params: { "report-type": "delivery-status" } });
  expect(mail.text).toContain("nobody@contoso.com");
  expect(mail.text?.replaceAll(/\s+/g, " ")).toContain(
    "550 5.4.1 Recipient address rejected: Access denied. [AM0P190CA0005.EURP190.PROD.OUTLOOK.COM]",
  );
  expect(mail.headers.get("in-reply-to")).toBe("<scan-1@contoso.com>");
  expect(content.toString()).toContain(
    "Final-Recipient: rfc822; nobody@contoso.com\r\nAction: failed\r\nStatus: 5.4.1\r\nRemote-MTA: dns; smtp.office365.com\r\n",
  );
  expect(mail.date).toEqual(new Date(FACTS.now));
});

test("a summary is read by a mail program too, and each recipient says whose message it is of", async () => {
  const { content, messageId } = buildSummary(SUMMARY);

  const mail = await simpleParser(content);

  expectSound(content);
  expect(mail.messageId).toBe(messageId);
  expect(mail.headers.get("content-type")).toMatchObject({ value: "multipart/report", params: { "report-type": "delivery-status" } });
  expect(mail.text).toContain("01TESTSCAN0000000000000002");
  expect(content.toString()).toContain("Final-Recipient: rfc822; nobody2@contoso.com\r\nAction: failed\r\nStatus: 5.4.1\r\n");
  expect(content.toString().match(/X-Postern-Id: 01TESTSCAN/g)).toHaveLength(2);
});

test("in a summary nothing from outside can add a header field either", async () => {
  const evil = `x\r\nBcc: all@contoso.com\r\n\r\n--postern-${FACTS.queueId}--`;
  const entries = SUMMARY.entries.map((entry) => ({
    ...entry,
    sender: evil,
    device: evil,
    recipients: [{ address: evil, kind: "failed" as const, id: "refused", cause: evil, remedy: evil }],
  }));

  const report = buildSummary({ ...SUMMARY, entries });

  expectSound(report.content);
  expect((await simpleParser(report.content)).headers.has("bcc")).toBe(false);
});

test("nothing from outside can add a header field or end a part", async () => {
  const evil = `x\r\nBcc: all@contoso.com\r\n\r\n--postern-${FACTS.queueId}--`;
  const report = buildReport({
    ...FACTS,
    failures: [
      { address: evil, kind: "failed", id: "refused", cause: evil, reply: { code: 550, enhanced: "5.1.1", text: evil }, remedy: evil },
    ],
    original: { kind: "header", octets: Buffer.from(evil) },
    about: { ...FACTS.about, messageId: `<${evil}>` },
  });

  const mail = await simpleParser(report.content);

  expectSound(report.content);
  expect(mail.headers.has("bcc")).toBe(false);
  expect(mail.headers.has("in-reply-to")).toBe(false);
  expect(report.content.toString()).toContain(`boundary="postern-${FACTS.queueId}x"`);
});

test("headers with octets beyond ASCII, bare line feeds and endless lines are quoted safely", () => {
  const octets = Buffer.from(`Subject: caf\u00e9\nX: ${"y".repeat(5_000)}\r\n`, "latin1");

  expectSound(buildReport({ ...FACTS, original: { kind: "header", octets } }).content);
});

describe("the little MIME", () => {
  test("encoded words are at most 75 characters and never cut a character", () => {
    const encoded = encodedText("é€😀".repeat(40));

    for (const word of encoded.split("\r\n ")) expect(word.length).toBeLessThanOrEqual(75);
    expect(
      encoded
        .split("\r\n ")
        .map((word) => Buffer.from(word.slice(10, -2), "base64").toString())
        .join(""),
    ).toBe("é€😀".repeat(40));
  });

  test("quoted-printable keeps line ends and hides spaces at the end of a line", () => {
    expect(quotedPrintable(Buffer.from("a=b \r\nc"))).toBe("a=3Db=20\r\nc");
  });

  test("dates carry the zone they were asked for", () => {
    expect(mailDate(Date.UTC(2026, 6, 1, 12), "Europe/Paris")).toBe("Wed, 01 Jul 2026 14:00:00 +0200");
    expect(mailDate(Date.UTC(2026, 0, 1, 0), "UTC")).toBe("Thu, 01 Jan 2026 00:00:00 +0000");
    expect(mailDate(Date.UTC(2026, 0, 1, 0), "America/New_York")).toBe("Wed, 31 Dec 2025 19:00:00 -0500");
  });
});

test("no sender that a shell would take for more than a word stands in the command of a summary", () => {
  const entries = SUMMARY.entries.map((entry) => ({ ...entry, sender: "`reboot`@contoso.com" }));

  const { content } = buildSummary({ ...SUMMARY, entries });

  expect(content.toString()).toMatch(/postern queue list --state bounced,expired\r\n/);
});
