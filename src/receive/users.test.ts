import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { LineClient } from "../../test/fakes/line-client.ts";
import { MemorySink } from "../../test/fakes/memory-sink.ts";
import { startProcess } from "../../test/support/process.ts";
import { hasTool } from "../../test/support/tools.ts";
import type { PosternEvent } from "../mail/events.ts";
import { systemClock } from "../platform/clock.ts";
import { ensureSelfMadeCertificate } from "./certificate.ts";
import { createReceiver } from "./receiver.ts";
import type { Authenticator, CertificatePair, ClientOptions, ListenerOptions, Receiver } from "./receiver.ts";

let folder: string;
let certificate: CertificatePair;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "postern-users-"));
  certificate = await ensureSelfMadeCertificate(folder, "relay.contoso.com", { named: ["127.0.0.1"] }, systemClock);
});
afterAll(() => rm(folder, { recursive: true }));

const running: Receiver[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((receiver) => receiver.stop(0)));
});

const PASSWORDS = new Map([
  ["sap", "s3cret"],
  ["crm", "other"],
]);
const authenticator: Authenticator = {
  isUser: (name) => PASSWORDS.has(name),
  remembers: () => false,
  check: (user, password) => Promise.resolve(PASSWORDS.get(user) === password),
};

const POLICY = {
  senders: ["internal"],
  recipients: ["internal"],
  fallbackSender: "s@contoso.com",
  maxMessageSizeBytes: 1e7,
  priority: "normal",
} as const;
const FLOOR: ClientOptions = { ...POLICY, name: "floor", networks: ["127.0.0.1"] };
const ERP: ClientOptions = { ...POLICY, name: "erp", networks: ["127.0.0.5"], users: ["sap"], recipients: ["any"] };
const APPS: ClientOptions = { ...POLICY, name: "apps", networks: [], users: ["crm"], anyAddress: true, senders: ["crm@contoso.com"] };

async function startRelay(listener: Partial<ListenerOptions>, clients: readonly ClientOptions[] = [FLOOR, ERP, APPS]) {
  const sink = new MemorySink();
  const events: PosternEvent[] = [];
  const receiver = createReceiver({
    hostname: "relay.contoso.com",
    domains: { own: ["contoso.com"], first: "contoso.com" },
    listeners: [
      {
        name: "submission",
        endpoints: [{ host: "127.0.0.1", port: 0 }],
        tls: { mode: "opportunistic", certificate },
        auth: "required",
        ...listener,
      },
    ],
    clients,
    authenticator,
    limits: { authDelayMs: 1 },
    sink,
    clock: systemClock,
    emit: (event) => events.push(event),
  });
  running.push(receiver);
  await receiver.start();
  const port = receiver.addresses()[0]?.port ?? 0;
  return { port, sink, events, named: (name: string) => events.filter(({ type }) => type === name) };
}

const plain = (user: string, password: string): string => Buffer.from(`\0${user}\0${password}`).toString("base64");
const b64 = (text: string): string => Buffer.from(text).toString("base64");

async function secured(port: number, from?: string): Promise<LineClient> {
  const client = await LineClient.open(port, from);
  await client.reply();
  await client.say("STARTTLS");
  await client.startTls();
  return client;
}

async function send(client: LineClient, to: string): Promise<string> {
  await client.say("EHLO app");
  expect(await client.say("MAIL FROM:<a@contoso.com>")).toMatch(/^250 /);
  expect(await client.say(`RCPT TO:<${to}>`)).toMatch(/^250 /);
  await client.say("DATA");
  return client.say("From: a@contoso.com\r\n\r\nx\r\n.");
}

describe("auth: required", () => {
  test("nothing is taken before TLS, then before a user signed in; then the client's rules hold and the message knows its user", async () => {
    const relay = await startRelay({});
    await using client = await LineClient.open(relay.port, "127.0.0.5");
    await client.reply();
    expect(await client.say("EHLO app")).not.toContain("AUTH");
    expect(await client.say(`AUTH PLAIN ${plain("sap", "s3cret")}`)).toMatch(/^530 5\.7\.0 /);
    expect(await client.say("MAIL FROM:<a@contoso.com>")).toMatch(/^530 5\.7\.0 .*STARTTLS/);
    await client.say("STARTTLS");
    await client.startTls();

    expect(await client.say("EHLO app")).toContain("\n250-AUTH LOGIN PLAIN\n");
    expect(await client.say("MAIL FROM:<a@contoso.com>")).toBe("530 5.7.0 Authentication required");
    expect(await client.say("RCPT TO:<b@contoso.com>")).toMatch(/^503 /);
    expect(await client.say(`AUTH PLAIN ${plain("sap", "s3cret")}`)).toBe("235 2.7.0 Ok");
    expect(await client.say(`AUTH PLAIN ${plain("sap", "s3cret")}`)).toMatch(/^503 /);
    expect(await send(client, "x@fabrikam.example")).toMatch(/^250 2\.0\.0 Ok: queued as /);

    const [stored] = relay.sink.messages;
    expect(stored?.message.origin).toMatchObject({ client: "erp", user: "sap", device: "127.0.0.5" });
    expect(stored?.content.toString()).toMatch(/with ESMTPSA id/);
    expect(relay.named("session.auth.succeeded")).toMatchObject([{ user: "sap", client: "erp", mechanism: "PLAIN" }]);
  });

  test.each([
    ["a wrong password", "127.0.0.5", "sap", "wrong", "wrong password"],
    ["an unknown user", "127.0.0.5", "nobody", "s3cret", "no such user"],
    ["a right password from elsewhere", "127.0.0.9", "sap", "s3cret", "this user may not come from this address"],
  ])("%s is 535, three times, then the end, and no password is in any event", async (_, from, user, password, cause) => {
    const relay = await startRelay({}, [ERP, APPS]);
    await using client = await secured(relay.port, from);

    expect(await client.say(`AUTH PLAIN ${plain(user, password)}`)).toMatch(/^535 5\.7\.8 /);
    await client.say("AUTH LOGIN");
    await client.say(b64(user));
    expect(await client.say(b64(password))).toMatch(/^535 5\.7\.8 /);
    expect(await client.say(`  AUTH PLAIN ${plain(user, password)}`)).toMatch(/^535 5\.7\.8 /);
    expect(await client.end()).toMatch(/^421 4\.7\.0 /);

    const failures = relay.named("session.auth.failed");
    expect(failures).toHaveLength(3);
    expect(failures[2]).toMatchObject({ cause, failures: 3, user: user === "nobody" ? undefined : user });
    const said = JSON.stringify(relay.events);
    for (const secret of [plain(user, password), b64(password), "s3cret"]) expect(said).not.toContain(secret);
  });

  test("users of a client without addresses come from anywhere, and keep to their client's senders", async () => {
    const relay = await startRelay({});
    await using client = await secured(relay.port, "127.0.0.77");

    expect(await client.say(`AUTH PLAIN ${plain("crm", "other")}`)).toMatch(/^235 /);
    expect(await client.say("MAIL FROM:<boss@contoso.com>")).toMatch(/^550 5\.7\.1 .*client apps/);
    expect(await client.say("MAIL FROM:<crm@contoso.com>")).toMatch(/^250 /);
    expect(relay.events.find(({ type }) => type === "session.opened")).toMatchObject({ client: undefined, admission: "user" });
  });

  test("a client that is known by its address alone needs any user besides", async () => {
    const relay = await startRelay({}, [FLOOR]);
    await using client = await secured(relay.port);

    expect(await client.say("MAIL FROM:<a@contoso.com>")).toMatch(/^530 /);
    expect(await client.say(`AUTH PLAIN ${plain("sap", "s3cret")}`)).toMatch(/^235 /);
    expect(await send(client, "b@contoso.com")).toMatch(/^250 /);
    expect(relay.sink.messages[0]?.message.origin).toMatchObject({ client: "floor", user: "sap" });
  });

  test("an address that no client could ever match is refused at once", async () => {
    const relay = await startRelay({}, [FLOOR, ERP]);
    await using client = await LineClient.open(relay.port, "127.0.0.77");

    expect(await client.end()).toMatch(/^554 5\.7\.1 /);
  });

  test("STARTTLS after signing in forgets who it was", async () => {
    const relay = await startRelay({ authWithoutTls: true }, [ERP]);
    await using client = await LineClient.open(relay.port, "127.0.0.5");
    await client.reply();
    expect(await client.say("EHLO app")).toContain("AUTH LOGIN PLAIN");
    expect(await client.say(`AUTH PLAIN ${plain("sap", "s3cret")}`)).toMatch(/^235 /);
    await client.say("STARTTLS");
    await client.startTls();

    expect(await client.say("MAIL FROM:<a@contoso.com>")).toMatch(/^530 5\.7\.0 Authentication required/);
    expect(await client.say(`AUTH PLAIN ${plain("sap", "s3cret")}`)).toMatch(/^235 /);
  });

  test("a client's own users are the only ones at its addresses, whatever other users there are", async () => {
    const relay = await startRelay({}, [ERP]);
    await using client = await secured(relay.port, "127.0.0.5");

    expect(await client.say(`AUTH PLAIN ${plain("crm", "other")}`)).toMatch(/^535 5\.7\.8 /);
    expect(await client.say("MAIL FROM:<a@contoso.com>")).toMatch(/^530 /);
  });

  test("an aborted exchange, bytes that are no base64 and unknown mechanisms are 501 and 504, and nobody is in", async () => {
    const relay = await startRelay({}, [ERP]);
    await using client = await secured(relay.port, "127.0.0.5");

    await client.say("AUTH LOGIN");
    expect(await client.say("*")).toMatch(/^501 5\.7\.0 /);
    expect(await client.say("AUTH PLAIN !!!")).toMatch(/^501 5\.5\.2 /);
    expect(await client.say("AUTH CRAM-MD5")).toMatch(/^504 /);
    expect(await client.say("MAIL FROM:<a@contoso.com>")).toMatch(/^530 /);
  });
});

describe("auth: offered", () => {
  test("devices of listed addresses need not sign in, and whatever they send passes", async () => {
    const relay = await startRelay({ auth: "offered" });
    await using client = await secured(relay.port);

    expect(await client.say("EHLO x")).toContain("AUTH LOGIN PLAIN");
    expect(await client.say(`AUTH PLAIN ${plain("scanner", "anything")}`)).toMatch(/^235 /);
    expect(await send(client, "b@contoso.com")).toMatch(/^250 /);
    expect(relay.sink.messages[0]?.message.origin).toMatchObject({ client: "floor" });
    expect(relay.sink.messages[0]?.message.origin.user).toBeUndefined();
  });

  test("an address of a client with users is not enough: one of them has to sign in", async () => {
    const relay = await startRelay({ auth: "offered" }, [ERP]);
    await using client = await secured(relay.port, "127.0.0.5");

    expect(await client.say("MAIL FROM:<a@contoso.com>")).toMatch(/^530 5\.7\.0 Authentication required/);
    expect(await client.say(`AUTH PLAIN ${plain("sap", "s3cret")}`)).toMatch(/^235 /);
    expect(await send(client, "x@fabrikam.example")).toMatch(/^250 /);
  });

  test("a known user's password counts there too", async () => {
    const relay = await startRelay({ auth: "offered" });
    await using client = await secured(relay.port);

    expect(await client.say(`AUTH PLAIN ${plain("crm", "wrong")}`)).toMatch(/^535 /);
    expect(await client.say(`AUTH PLAIN ${plain("crm", "other")}`)).toMatch(/^235 /);
    expect(await client.say("MAIL FROM:<boss@contoso.com>")).toMatch(/^550 .*client apps/);
  });
});

describe("auth: none", () => {
  test("AUTH is not offered, any credentials pass, and a client with users is refused with the reason", async () => {
    const relay = await startRelay({ auth: "none" });
    await using client = await LineClient.open(relay.port);
    await client.reply();
    await using erp = await LineClient.open(relay.port, "127.0.0.5");

    expect(await client.say("EHLO x")).not.toContain("AUTH");
    expect(await client.say(`AUTH PLAIN ${plain("sap", "wrong")}`)).toMatch(/^235 /);
    expect(await erp.end()).toMatch(/^554 5\.7\.1 /);
    expect(relay.named("session.rejected")).toMatchObject([
      { device: "127.0.0.5", remedy: expect.stringContaining("client erp needs one of its users") },
    ]);
  });
});

describe("real clients sign in", () => {
  const smtplib = (port: number, password: string): string => `
import smtplib, ssl
context = ssl.create_default_context(); context.check_hostname = False; context.verify_mode = ssl.CERT_NONE
with smtplib.SMTP("127.0.0.1", ${port}, source_address=("127.0.0.5", 0)) as smtp:
    smtp.starttls(context=context)
    smtp.login("sap", "${password}")
    smtp.sendmail("a@contoso.com", ["b@contoso.com"], "Subject: x\\r\\n\\r\\nhello\\r\\n")
`;

  test.skipIf(!hasTool("python3"))("Python's smtplib", async () => {
    const relay = await startRelay({});

    await using right = await startProcess("python3", ["-c", smtplib(relay.port, "s3cret")]);
    await using wrong = await startProcess("python3", ["-c", smtplib(relay.port, "wrong")]);

    expect(await right.exited).toMatchObject({ code: 0 });
    expect(await wrong.exited).toMatchObject({ code: 1 });
    expect(wrong.lines.join("\n")).toContain("535");
    expect(relay.sink.messages.map(({ message }) => message.origin.user)).toEqual(["sap"]);
  });

  test.skipIf(!hasTool("swaks")).each(["PLAIN", "LOGIN"])("swaks with %s", async (mechanism) => {
    const relay = await startRelay({});
    const args = ["--server", "127.0.0.1", "--port", String(relay.port), "--local-interface", "127.0.0.5", "-tls", "-a", mechanism];

    await using swaks = await startProcess("swaks", [...args, "-au", "sap", "-ap", "s3cret", "-f", "a@contoso.com", "-t", "b@contoso.com"]);

    expect(await swaks.exited).toMatchObject({ code: 0 });
    expect(relay.sink.messages[0]?.message.origin).toMatchObject({ user: "sap", client: "erp" });
  });

  test.skipIf(!hasTool("curl"))("curl", async () => {
    const relay = await startRelay({ tls: { mode: "implicit", certificate } });
    const args = ["-sSk", `smtps://127.0.0.1:${relay.port}/app`, "--interface", "127.0.0.5", "--user", "sap:s3cret"];

    await using curl = await startProcess("curl", [...args, "--mail-from", "a@contoso.com", "--mail-rcpt", "b@contoso.com", "-T", "-"], {
      input: "Subject: x\r\n\r\nhello\r\n",
    });

    expect(await curl.exited).toMatchObject({ code: 0 });
    expect(relay.sink.messages[0]?.message.origin).toMatchObject({ user: "sap", tls: "TLSv1.3" });
  });
});
