import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";

import { usedKeys } from "../../test/support/keys.ts";
import { RawSmtpClient } from "../../test/fakes/raw-smtp-client.ts";
import { ManualClock } from "../platform/clock.ts";
import { FAULTS } from "./fault-table.ts";
import type { FaultDefinition } from "./fault-model.ts";
import { faultNamed } from "./faults.ts";
import { startSimulator } from "./simulator.ts";
import type { Simulator } from "./simulator.ts";
import { DEFAULT_CLIENT_ID, DEFAULT_LIMITS, DEFAULT_SECRET, findMailbox } from "./tenant.ts";
import type { TenantMailbox } from "./tenant.ts";
import { fetchToken } from "../../test/fakes/token-request.ts";

const BRACKET = String.raw` \[AS4P192CA0006\.EURP192\.PROD\.OUTLOOK\.COM \d{4}-\d\d-\d\dT[\d:.]+Z [0-9A-F]{16}\]`;
const HOSTNAME = String.raw` \[Hostname=AM0P192MB0456\.EURP192\.PROD\.OUTLOOK\.COM\]`;
const CONTENT = "From: Scanner <scanner@contoso.com>\r\nTo: anna@contoso.com\r\nSubject: Scan\r\n\r\nbody\r\n";

const directory = mkdtempSync(path.join(tmpdir(), "stand-in-"));
const clock = new ManualClock(Date.now());
let simulator: Simulator;
let scanner: TenantMailbox;
const clients: RawSmtpClient[] = [];

beforeAll(async () => {
  simulator = await startSimulator({ keys: usedKeys(), directory, clock, submission: { tarpitMs: 0 } });
  scanner = findMailbox(simulator.tenant, "scanner@contoso.com") as TenantMailbox;
});

afterEach(() => {
  for (const client of clients.splice(0)) client.drop();
  simulator.reset();
  clock.advance(24 * 60 * 60_000);
  Object.assign(scanner, {
    smtpAuth: true,
    basicAuth: "off",
    password: undefined,
    fullAccess: [DEFAULT_CLIENT_ID],
    limits: { ...DEFAULT_LIMITS },
  });
  Object.assign(simulator.settings, { overRate: "delay", tarpitMs: 0 });
});

afterAll(async () => {
  await simulator.close();
  rmSync(directory, { recursive: true });
});

const exactly = (text: string, tail = BRACKET): RegExp => new RegExp(`^${text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}${tail}$`);
const xoauth2 = (user: string, token: string): string => Buffer.from(`user=${user}\x01auth=Bearer ${token}\x01\x01`).toString("base64");

async function connected(): Promise<RawSmtpClient> {
  const client = await RawSmtpClient.connect(simulator.ports.submission);
  clients.push(client);
  return client;
}

async function greeted(): Promise<RawSmtpClient> {
  const client = await connected();
  await client.reply();
  await client.say("EHLO relay.contoso.com");
  return client;
}

async function secured(): Promise<RawSmtpClient> {
  const client = await greeted();
  await client.say("STARTTLS");
  await client.secure({ ca: simulator.caPem });
  await client.say("EHLO relay.contoso.com");
  return client;
}

async function signedIn(): Promise<RawSmtpClient> {
  const client = await secured();
  expect(await client.say(`AUTH XOAUTH2 ${xoauth2("scanner@contoso.com", await fetchToken(simulator))}`)).toMatch(/^235/);
  return client;
}

/** Sends one message on a signed-in session; gives the answer to the final dot. */
async function submit(
  client: RawSmtpClient,
  content = CONTENT,
  recipient = "anna@contoso.com",
  sender = "scanner@contoso.com",
): Promise<string | undefined> {
  await client.say(`MAIL FROM:<${sender}>`);
  await client.say(`RCPT TO:<${recipient}>`);
  await client.say("DATA");
  client.write(content);
  return await client.say(".");
}

describe("the dialogue", () => {
  test("every reply of an accepted message is Microsoft's, word for word", async () => {
    const client = await connected();
    const list = "SIZE 157286400,PIPELINING,DSN,ENHANCEDSTATUSCODES,?,8BITMIME,BINARYMIME,CHUNKING";
    const ehlo = (special: string): string =>
      ["AS4P192CA0006.outlook.office365.com Hello [127.0.0.1]", ...list.replace("?", special).split(",")]
        .map((line) => `250-${line}\n`)
        .join("") + "250 SMTPUTF8";

    expect(await client.reply()).toMatch(
      /^220 AS4P192CA0006\.outlook\.office365\.com Microsoft ESMTP MAIL Service ready at \w{3}, \d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d \+0000 \[[0-9A-F]{16}\]$/,
    );
    expect(await client.say("EHLO relay.contoso.com")).toBe(ehlo("STARTTLS"));
    expect(await client.say("STARTTLS")).toBe("220 2.0.0 SMTP server ready");
    await client.secure({ ca: simulator.caPem });
    expect(await client.say("EHLO relay.contoso.com")).toBe(ehlo("AUTH LOGIN XOAUTH2"));
    expect(await client.say("AUTH XOAUTH2")).toBe("334 ");
    expect(await client.say(xoauth2("scanner@contoso.com", await fetchToken(simulator)))).toBe("235 2.7.0 Authentication successful");
    expect(await client.say("MAIL FROM:<scanner@contoso.com> SIZE=100 BODY=8BITMIME")).toBe("250 2.1.0 Sender OK");
    expect(await client.say("RCPT TO:<anna@contoso.com>")).toBe("250 2.1.5 Recipient OK");
    expect(await client.say("DATA")).toBe("354 Start mail input; end with <CRLF>.<CRLF>");
    client.write(CONTENT);
    expect(await client.say(".")).toMatch(
      new RegExp(`^250 2\\.0\\.0 OK <[A-Z0-9]+@AM0P192MB0456\\.EURP192\\.PROD\\.OUTLOOK\\.COM>${HOSTNAME}$`),
    );
    expect(await client.say("QUIT")).toBe("221 2.0.0 Service closing transmission channel");
    expect(simulator.violations).toEqual([]);
  });

  test("content is kept byte for byte, doubled dots undone, whatever the pieces it comes in", async () => {
    const client = await signedIn();
    const body = `.leading dot\r\n..two\r\n${randomBytes(300).toString("hex")}\r\n`;
    const wire = CONTENT.replace("body\r\n", body.replace(/^\./gm, ".."));
    await client.say("MAIL FROM:<scanner@contoso.com>");
    await client.say("RCPT TO:<anna@contoso.com>");
    await client.say("DATA");

    for (const octet of Buffer.from(wire)) client.write(new Uint8Array([octet]));
    await client.say(".");

    const [message] = simulator.messages();
    expect(message?.content?.toString()).toBe(CONTENT.replace("body\r\n", body));
    expect(message).toMatchObject({
      mailbox: "scanner@contoso.com",
      method: "XOAUTH2",
      tls: "TLSv1.3",
      subject: "Scan",
      answered: true,
      internal: ["anna@contoso.com"],
    });
    expect(simulator.violations).toEqual([]);
  });

  test("BDAT takes the content in chunks", async () => {
    const client = await signedIn();
    await client.say("MAIL FROM:<scanner@contoso.com>");
    await client.say("RCPT TO:<anna@contoso.com>");
    client.write("BDAT 10\r\n" + CONTENT.slice(0, 10));
    expect(await client.reply()).toBe("250 2.6.0 CHUNK received OK, 10 octets");

    client.write(`BDAT ${CONTENT.length - 10} LAST\r\n${CONTENT.slice(10)}`);

    expect(await client.reply()).toMatch(/^250 2\.0\.0 OK </);
    expect(simulator.messages()[0]?.content?.toString()).toBe(CONTENT);
  });

  test.each([
    ["bare LF in the content", CONTENT.replace("body\r\n", "bo\ndy\r\n")],
    ["bare CR in the content", CONTENT.replace("body\r\n", "bo\rdy\r\n")],
    ["line over 998 octets in the content", CONTENT.replace("body", "b".repeat(999))],
    ["a dot at the start of a line was not doubled", CONTENT.replace("body", ".body")],
    ["8-bit content without BODY=8BITMIME", CONTENT.replace("body", "été")],
  ])("%s is recorded as a violation", async (what, content) => {
    const client = await signedIn();

    await submit(client, content);

    expect(simulator.violations.map((violation) => violation.what)).toEqual([what]);
  });

  test("content sent before 354 is recorded as a violation", async () => {
    const client = await signedIn();
    await client.say("MAIL FROM:<scanner@contoso.com>");
    await client.say("RCPT TO:<anna@contoso.com>");

    client.write(`DATA\r\n${CONTENT}.\r\n`);
    await client.reply();
    await client.reply();

    expect(simulator.violations.map((violation) => violation.what)).toEqual(["data sent before the reply to DATA"]);
  });

  test("commands slipped in after STARTTLS do not survive the handshake: the connection is dropped", async () => {
    const client = await greeted();

    client.write("STARTTLS\r\nMAIL FROM:<a@b.example>\r\n");
    await client.ended();

    expect(simulator.violations).toHaveLength(1);
  });
});

describe("what is refused", () => {
  test.each([
    ["EHLO relay_1.contoso.com", "501 5.5.4 Invalid domain name"],
    ["EHLO relay.contoso.com.", "501 5.5.4 Invalid domain name"],
    ["EHLO", "501 5.5.4 Invalid domain name"],
    ["AUTH LOGIN", "504 5.7.4 Unrecognized authentication type"],
    ["MAIL FROM:<scanner@contoso.com>", "451 5.7.3 STARTTLS is required to send mail"],
    ["XYZZY", "500 5.3.3 Unrecognized command"],
    ["DATA", "503 5.5.2 Need mail command"],
  ])("%s before TLS: %s", async (line, text) => {
    const client = await greeted();

    expect(await client.say(line)).toMatch(exactly(text));
  });

  test.each([
    ["AUTH PLAIN AGEAYg==", "504 5.7.4 Unrecognized authentication type"],
    ["MAIL FROM:<scanner@contoso.com>", "530 5.7.57 Client not authenticated to send mail."],
    ["AUTH XOAUTH2 damaged!", "451 4.7.0 Temporary server error. Please try again later. PRX4"],
    [`AUTH XOAUTH2 ${xoauth2("scanner@contoso.com", "a.b.c")}`, "535 5.7.3 Authentication unsuccessful"],
  ])("%s after TLS without signing in: %s", async (line, text) => {
    const client = await secured();

    expect(await client.say(line)).toMatch(exactly(text));
  });

  test("MAIL after a failed AUTH repeats the reason", async () => {
    scanner.smtpAuth = false;
    const client = await secured();
    const inner =
      "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox. Visit https://aka.ms/smtp_auth_disabled for more information.";
    expect(await client.say(`AUTH XOAUTH2 ${xoauth2("scanner@contoso.com", await fetchToken(simulator))}`)).toMatch(exactly(inner));

    const reply = await client.say("MAIL FROM:<scanner@contoso.com>");

    expect(reply).toMatch(exactly(`530 5.7.57 Client not authenticated to send mail. Error: ${inner}`));
  });

  test("a mailbox that follows the organisation is refused in the tenant's name", async () => {
    scanner.smtpAuth = undefined;
    const client = await secured();

    const reply = await client.say(`AUTH XOAUTH2 ${xoauth2("scanner@contoso.com", await fetchToken(simulator))}`);

    expect(reply).toMatch(/^535 5\.7\.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant\. /);
  });

  test.each([
    ["another audience", { scope: "https://graph.microsoft.com/.default" }],
    ["a token that has expired", { expired: true }],
    ["another user's mailbox name", { user: "nobody@contoso.com" }],
    ["a token without the role SMTP.SendAsApp", { permissions: ["Mail.Send"] }],
    ["a damaged signature", { damaged: true }],
  ])("%s: 535 5.7.3", async (_, how: { scope?: string; expired?: boolean; user?: string; permissions?: string[]; damaged?: boolean }) => {
    const app = simulator.tenant.apps[0];
    if (app === undefined) throw new Error("no app");
    app.permissions = how.permissions ?? ["SMTP.SendAsApp"];
    let token = await fetchToken(simulator, how.scope);
    app.permissions = ["SMTP.SendAsApp"];
    if (how.expired === true) clock.advance(91 * 60_000);
    if (how.damaged === true) token = token.slice(0, -20) + (token.endsWith("AAAAAAAAAAAAAAAAAAAA") ? "B" : "A").repeat(20);
    const client = await secured();

    const reply = await client.say(`AUTH XOAUTH2 ${xoauth2(how.user ?? "scanner@contoso.com", token)}`);

    expect(reply).toMatch(exactly("535 5.7.3 Authentication unsuccessful"));
  });

  test.each([
    ["off", undefined, "535 5.7.139 Authentication unsuccessful, basic authentication is disabled."],
    ["retired", undefined, "550 5.7.30 Basic authentication is not supported for Client Submission."],
    ["on", "other", "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect."],
  ] as const)("a password where basic authentication is %s (%s)", async (basicAuth, password, text) => {
    Object.assign(scanner, { basicAuth, password });
    const client = await secured();

    expect(await client.say("AUTH LOGIN")).toBe("334 VXNlcm5hbWU6");
    expect(await client.say(btoa("scanner@contoso.com"))).toBe("334 UGFzc3dvcmQ6");
    expect(await client.say(btoa("secret"))).toMatch(exactly(text));
  });

  test("a failed AUTH is answered after the tarpit", async () => {
    simulator.settings.tarpitMs = 5000;
    const client = await secured();
    const armed = clock.pending;
    const answer = client.say(`AUTH XOAUTH2 ${xoauth2("scanner@contoso.com", "a.b.c")}`);
    while (clock.pending === armed) await new Promise((resolve) => setImmediate(resolve));
    let answered = false;
    void answer.then(() => (answered = true));

    clock.advance(4999);
    expect(answered).toBe(false);
    clock.advance(1);

    expect(await answer).toMatch(/^535 5\.7\.3/);
  });

  test.each([
    ["a foreign reverse-path", CONTENT, "boss@contoso.com", "boss@contoso.com"],
    ["a foreign From:", CONTENT.replace("scanner@contoso.com", "boss@contoso.com"), "scanner@contoso.com", "boss@contoso.com"],
    ["the null reverse-path", CONTENT, "", "<>"],
  ])("%s: SendAsDenied after the content", async (_, content, sender, denied) => {
    const client = await signedIn();

    const reply = await submit(client, content, "anna@contoso.com", sender);

    expect(reply).toMatch(
      exactly(
        `554 5.2.252 SendAsDenied; scanner@contoso.com not allowed to send as ${denied}; STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; Failed to process message due to a permanent exception with message Cannot submit message.`,
        HOSTNAME,
      ),
    );
    expect(simulator.messages()).toEqual([]);
  });

  test("an address with Send As may be sent as", async () => {
    const client = await signedIn();

    const reply = await submit(
      client,
      CONTENT.replace("scanner@contoso.com", "printers@contoso.com"),
      "x@example.net",
      "printers@contoso.com",
    );

    expect(reply).toMatch(/^250 2\.0\.0 OK/);
    expect(simulator.messages()[0]?.external).toEqual(["x@example.net"]);
  });

  test.each([
    ["no From:", CONTENT.replace(/^From: .*\r\n/, ""), "550 5.7.512 Access denied, message must be RFC 5322 section 3.6.2 compliant"],
    [
      "two From: fields",
      `From: scanner@contoso.com\r\n${CONTENT}`,
      "550 5.7.512 Access denied, message must be RFC 5322 section 3.6.2 compliant",
    ],
    [
      "a header of 33,000 octets",
      `X-Long: ${"a".repeat(900)}\r\n ${Array.from({ length: 36 }, () => "a".repeat(900)).join("\r\n ")}\r\n${CONTENT}`,
      "554 5.6.211 Invalid MIME Content: Single text value size (33408) exceeded allowed maximum (32768) for the 'X-Long' header.",
    ],
    ["a header block over 256 KB", `X-A: ${"a".repeat(900)}\r\n`.repeat(300) + CONTENT, "552 5.3.4 Header size exceeds fixed maximum size"],
  ])("%s", async (_, content, text) => {
    const client = await signedIn();

    expect(await submit(client, content)).toMatch(exactly(text));
  });

  test("an app without Full Access signs in, and is refused after the content", async () => {
    scanner.fullAccess = [];
    const client = await signedIn();

    expect(await submit(client)).toMatch(/^430 4\.2\.0 STOREDRV; mailbox logon failure; .*Cannot open mailbox \[Hostname=/);
  });

  test("TLS below 1.2 is told so at AUTH, and the connection closed", async () => {
    const client = await greeted();
    await client.say("STARTTLS");
    await client.secure({ ca: simulator.caPem, minVersion: "TLSv1", maxVersion: "TLSv1", ciphers: "DEFAULT@SECLEVEL=0" });
    await client.say("EHLO relay.contoso.com");

    const reply = await client.say(`AUTH XOAUTH2 ${xoauth2("scanner@contoso.com", "a.b.c")}`);

    expect(reply).toMatch(
      exactly(
        "421 4.7.66 TLS 1.0 and 1.1 are not supported. Please upgrade/update your client to support TLS 1.2. Visit https://aka.ms/smtp_auth_tls",
      ),
    );
    await client.ended();
  });

  test("the fifth protocol error ends the session", async () => {
    const client = await greeted();
    for (let error = 1; error < 5; error++) expect(await client.say("XYZZY")).toMatch(/^500/);

    expect(await client.say("XYZZY")).toMatch(exactly("421 4.7.0 Too many errors on this connection, closing transmission channel"));
    await client.ended();
  });
});

describe("limits", () => {
  test("the 31st message of a minute is taken and carried over to the next", async () => {
    const client = await signedIn();
    const start = clock.now();

    for (let message = 1; message <= 31; message++) expect(await submit(client)).toMatch(/^250/);

    expect(simulator.messages().map((message) => message.deliveredAt - start)).toEqual([...Array.from({ length: 30 }, () => 0), 60_000]);
    expect(simulator.throttled()["scanner@contoso.com"]).toBeGreaterThanOrEqual(1);
  });

  test("the 31st message of a minute is refused where the older rule is chosen", async () => {
    simulator.settings.overRate = "refuse";
    const client = await signedIn();
    for (let message = 1; message <= 30; message++) await submit(client);

    expect(await submit(client)).toMatch(exactly("432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", HOSTNAME));

    clock.advance(60_000);
    expect(await submit(client)).toMatch(/^250/);
  });

  test("the fourth connection of a mailbox is refused in answer to the final dot", async () => {
    const first = [await signedIn(), await signedIn(), await signedIn()];
    const fourth = await signedIn();

    expect(await submit(fourth)).toMatch(
      exactly("432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information.", HOSTNAME),
    );
    for (const client of first) expect(await submit(client)).toMatch(/^250/);
  });

  test("recipients of a day, recipients of a message and the send size have their limits", async () => {
    scanner.limits = { ...DEFAULT_LIMITS, recipientsPerDay: 2, recipientsPerMessage: 2, maxSendSizeBytes: 1000 };
    const client = await signedIn();
    await client.say("MAIL FROM:<scanner@contoso.com>");
    await client.say("RCPT TO:<a@contoso.com>");
    await client.say("RCPT TO:<b@contoso.com>");
    expect(await client.say("RCPT TO:<c@contoso.com>")).toMatch(exactly("452 4.5.3 Too many recipients"));
    await client.say("RSET");

    expect(await submit(client, CONTENT + `${"x".repeat(900)}\r\n`.repeat(2))).toMatch(
      /^554 5\.2\.0 .*MessageSubmissionExceededException.*Message size exceeds maximum size limit \[Hostname=/,
    );
    expect(await submit(client)).toMatch(/^250/);
    expect(await submit(client)).toMatch(/^250/);
    expect(await submit(client)).toMatch(/^554 5\.2\.0 STOREDRV\.Submission\.Exception:SubmissionQuotaExceededException/);
    clock.advance(24 * 60 * 60_000);
    const later = await signedIn();
    expect(await submit(later)).toMatch(/^250/);
  });

  test("SIZE over 150 MB is refused at MAIL", async () => {
    const client = await signedIn();

    expect(await client.say("MAIL FROM:<scanner@contoso.com> SIZE=157286401")).toMatch(
      exactly("552 5.3.4 Message size exceeds fixed maximum message size"),
    );
  });

  test("an idle connection ends after five minutes, a busy one after twenty", async () => {
    const idle = await greeted();
    clock.advance(5 * 60_000);
    expect(await idle.reply()).toMatch(exactly("421 4.4.1 Connection timed out. Total session duration: 00:05:00"));
    const busy = await greeted();
    for (let minute = 0; minute < 19; minute += 1) {
      clock.advance(60_000);
      expect(await busy.say("NOOP")).toBe("250 2.0.0 OK");
    }

    clock.advance(60_000);

    expect(await busy.reply()).toMatch(exactly("421 4.4.1 Connection timed out. Total session duration: 00:20:00"));
  });
});

/** Walks a session to the stage, and gives the answer of that stage. */
async function walkTo(stage: FaultDefinition["stage"]): Promise<string | undefined> {
  if (stage === "connect")
    return await connected().then(
      (client) => client.reply(),
      () => undefined,
    );
  if (stage === "greeting") return await (await connected()).reply();
  if (stage === "ehlo") {
    const client = await connected();
    await client.reply();
    return await client.say("EHLO relay.contoso.com");
  }
  if (stage === "starttls")
    return await (await greeted()).say("STARTTLS").then(
      async () =>
        await clients
          .at(-1)
          ?.secure({ ca: simulator.caPem })
          .then(
            () => "secured",
            () => undefined,
          ),
    );
  if (stage === "auth") return await (await secured()).say(`AUTH XOAUTH2 ${xoauth2("scanner@contoso.com", await fetchToken(simulator))}`);
  const client = await signedIn();
  if (stage === "mail") return await client.say("MAIL FROM:<scanner@contoso.com>");
  await client.say("MAIL FROM:<scanner@contoso.com>");
  if (stage === "rcpt") return await client.say("RCPT TO:<anna@contoso.com>");
  await client.say("RCPT TO:<anna@contoso.com>");
  if (stage === "data") return await client.say("DATA");
  await client.say("DATA");
  client.write(CONTENT);
  return await client.say(".");
}

describe("faults", () => {
  const ofSubmission = FAULTS.filter((fault) => fault.hosts.includes("submission") && fault.afterFirst !== true);

  test.each(ofSubmission.filter((fault) => fault.action.kind === "reply").map((fault) => [fault.name, fault] as const))(
    "%s says its words once",
    async (name, fault) => {
      if (fault.action.kind !== "reply") throw new Error("not a reply");
      const words = fault.action.text.replace("{mailbox}", "scanner@contoso.com").replace("{from}", "scanner@contoso.com");
      simulator.faults.set(name, { count: 1 });

      const reply = await walkTo(fault.stage);

      expect(reply).toMatch(exactly(words, fault.action.suffix === "hostname" ? HOSTNAME : BRACKET));
      expect(simulator.messages()).toEqual([]);
      expect(simulator.faults.active()).toEqual([]);
      if (fault.action.close === true) await clients.at(-1)?.ended();
      expect(await walkTo(fault.stage)).not.toBe(reply);
    },
  );

  test.each(ofSubmission.filter((fault) => fault.action.kind === "reset").map((fault) => [fault.name, fault] as const))(
    "%s resets the connection",
    async (name, fault) => {
      simulator.faults.set(name, { count: 1 });

      const reply = await walkTo(fault.stage);

      expect(reply).toBeUndefined();
      expect(simulator.messages()).toHaveLength(name === "answer-lost" ? 1 : 0);
    },
  );

  test.each(
    ofSubmission
      .filter((fault) => fault.action.kind === "hold" || fault.action.kind === "delay")
      .map((fault) => [fault.name, fault] as const),
  )("%s keeps the client waiting", async (name, fault) => {
    const on = simulator.faults.set(name, { count: 1 });
    const answer = walkTo(fault.stage);
    await on.reached(1);
    let answered = false;
    void answer.then(() => (answered = true));
    await new Promise((resolve) => setImmediate(resolve));
    expect(answered).toBe(false);

    on.clear();
    if (fault.action.kind === "delay") clock.advance(fault.action.ms);

    expect(await answer).toMatch(/^2\d\d /);
  });

  test("no-starttls leaves STARTTLS out of the list", async () => {
    simulator.faults.set("no-starttls", { count: 1 });

    expect(await walkTo("ehlo")).not.toContain("STARTTLS");
  });

  test.each(ofSubmission.filter((fault) => fault.recipient !== undefined).map((fault) => [fault.recipient, fault] as const))(
    "%s@ triggers its fault",
    async (local, fault) => {
      const client = await signedIn();
      await client.say("MAIL FROM:<scanner@contoso.com>");

      const atRecipient = await client.say(`RCPT TO:<${local}@example.net>`);
      let final: string | undefined = atRecipient;
      if (fault.stage !== "rcpt") {
        await client.say("DATA");
        client.write(`${CONTENT}.\r\n`);
        if (fault.action.kind === "delay") {
          await simulator.waitFor(1);
          await new Promise((resolve) => setImmediate(resolve));
          clock.advance(fault.action.ms);
        }
        final = await client.reply();
      }

      const words = fault.action.kind === "reply" ? fault.action.text.slice(0, 20) : "250 2.0.0 OK";
      expect(final?.startsWith(words)).toBe(fault.action.kind === "reset" ? undefined : true);
    },
  );

  test("a fault can be for one mailbox or one recipient only", async () => {
    simulator.faults.set("mailbox-moving", { recipient: "bruno@contoso.com" });
    simulator.faults.set("mailbox-full", { mailbox: "anna@contoso.com" });
    const client = await signedIn();

    expect(await submit(client)).toMatch(/^250/);
    expect(await submit(client, CONTENT, "bruno@contoso.com")).toMatch(/^451 4\.3\.111/);
  });

  test("recipients of two regions are told apart at the second one, never at the first", async () => {
    const client = await signedIn();
    await client.say("MAIL FROM:<scanner@contoso.com>");

    expect(await client.say("RCPT TO:<region@example.net>")).toBe("250 2.1.5 Recipient OK");
    expect(await client.say("RCPT TO:<region@example.org>")).toMatch(exactly("452 4.5.3 Recipients belong to multiple regions ATTR38"));
  });

  test("every fault has its own name and its own recipient", () => {
    // One local part may mean something by SMTP and something else by Graph.
    const recipients = FAULTS.flatMap(({ recipient, hosts }) =>
      recipient === undefined ? [] : [`${recipient} ${hosts.includes("graph")}`],
    );

    expect(new Set(FAULTS.map((fault) => fault.name)).size).toBe(FAULTS.length);
    expect(new Set(recipients).size).toBe(recipients.length);
    expect(faultNamed("answer-lost")?.recipient).toBe("drop");
  });
});

test("the default tenant's secret opens the default app", () => {
  expect(simulator.tenant.apps[0]?.secrets[0]?.value).toBe(DEFAULT_SECRET);
});
