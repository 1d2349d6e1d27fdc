import { createPrivateKey } from "node:crypto";
import { afterEach, describe, expect, test } from "vitest";
import { startFakeDns } from "../../test/fakes/dns.ts";
import { startScriptedSmtp } from "../../test/fakes/scripted-smtp.ts";
import type { ScriptedSmtp } from "../../test/fakes/scripted-smtp.ts";
import { makeTestAuthority } from "../../test/fakes/test-ca.ts";
import type { TestCertificate, Validity } from "../../test/fakes/test-ca.ts";
import type { PosternEvent } from "../mail/events.ts";
import { ManualClock } from "../platform/clock.ts";
import { createConnectorUpstream } from "./connector.ts";
import type { ConnectorOptions } from "./connector.ts";
import type { CertificatePair } from "./smtp/client-certificate.ts";
import type { Delivery, Upstream } from "./upstream.ts";

const HOST = "contoso-com.mail.protection.outlook.com";
const DAY_MS = 86_400_000;
const authority = makeTestAuthority();
const certificate = authority.issue([HOST]);
const publicRoot = makeTestAuthority("Public root");
const intermediate = publicRoot.intermediate("Public intermediate");
const never = new AbortController().signal;

const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
});

interface Scene {
  readonly hop: ScriptedSmtp;
  readonly upstream: Upstream;
  readonly clock: ManualClock;
  readonly events: PosternEvent[];
}

/** An MX host that asks for a certificate and trusts the public root alone. */
async function scene(read: ConnectorOptions["certificate"], over: Partial<ConnectorOptions> = {}, plain = false): Promise<Scene> {
  const hop = await startScriptedSmtp(
    plain ? {} : { tls: { ...certificate, requestCert: true, rejectUnauthorized: false, ca: publicRoot.ca } },
  );
  const dns = await startFakeDns({ "contoso.com": { mx: [[10, HOST]] }, [HOST]: { a: ["127.0.0.1"] } });
  const clock = new ManualClock(Date.now());
  const events: PosternEvent[] = [];
  const upstream = createConnectorUpstream({
    name: "connector",
    domain: "contoso.com",
    port: hop.port,
    mxSuffixes: ["mail.protection.outlook.com"],
    dnsServers: [dns.server],
    certificate: read,
    ca: [authority.ca],
    ehloName: "relay.contoso.com",
    sender: { mode: "keep", address: undefined, sendAs: [] },
    countedAs: {},
    limits: { connections: 2, messagesPerMinute: undefined, recipientsPerMessage: 100, maxMessageSizeBytes: 1e9 },
    clock,
    emit: (event) => events.push(event),
    ...over,
  });
  cleanUps.push(hop.close, dns.close, async () => await upstream.close());
  return { hop, upstream, clock, events };
}

function mail(): Delivery {
  const content = Buffer.from("Subject: x\r\n\r\nhello\r\n");
  async function* blocks(): AsyncGenerator<Uint8Array> {
    yield content;
  }
  return {
    queueId: "01",
    reversePath: "",
    recipients: ["somebody@fabrikam.com"],
    smtpUtf8: false,
    eightBit: false,
    sizeBytes: content.length,
    content: { inMemory: content, blocks },
  };
}

/** With its intermediate, as a public authority delivers it. */
function issued(name: string, validity?: Validity): TestCertificate {
  const { cert, key } = intermediate.issue([name], validity);
  return { cert: cert + intermediate.ca, key };
}

function pairOf({ cert, key }: TestCertificate): CertificatePair {
  return { certificatePem: cert, keyPem: key };
}

const ending = (at: number): Validity => ({ notBefore: new Date(Date.now() - 60 * DAY_MS), notAfter: new Date(at) });

describe("by certificate", () => {
  test("the certificate is sent with its intermediate, so that a host that knows only the root believes it", async () => {
    const { hop, upstream } = await scene(async () => pairOf(issued("relay.contoso.com")));

    const facts = await upstream.attempt(mail(), never);

    expect(facts).toMatchObject({ remote: `${HOST}:${hop.port} [127.0.0.1]`, accepted: { code: 250 } });
    expect(hop.sessions[0]?.client).toEqual({ name: "relay.contoso.com", trusted: true });
    expect(hop.messages[0]?.mail).toContain("MAIL FROM:<>");
  });

  test("a chain without its intermediate would not be believed: the proof above can fail", async () => {
    const { hop, upstream } = await scene(async () => pairOf(intermediate.issue(["relay.contoso.com"])));

    await upstream.attempt(mail(), never);

    expect(hop.sessions[0]?.client).toEqual({ name: "relay.contoso.com", trusted: false });
  });

  test("an encrypted key opens with its passphrase", async () => {
    const { cert, key } = issued("relay.contoso.com");
    const keyPem = String(createPrivateKey(key).export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "open" }));
    const { upstream } = await scene(async () => ({ certificatePem: cert, keyPem, passphrase: "open" }));

    expect((await upstream.attempt(mail(), never)).accepted?.code).toBe(250);
  });

  test("the next connection shows the certificate that replaced the old one, and a kept one is not used again", async () => {
    let current = pairOf(issued("old.contoso.com"));
    const { hop, upstream, clock } = await scene(async () => current);
    await upstream.attempt(mail(), never);
    const ended = hop.next("closed");

    current = pairOf(issued("new.contoso.com"));
    clock.advance(10_000);
    await ended;
    const facts = await upstream.attempt(mail(), never);

    expect(facts).toMatchObject({ reusedConnection: false, accepted: { code: 250 } });
    expect(hop.sessions.map((session) => session.client?.name)).toEqual(["old.contoso.com", "new.contoso.com"]);
  });

  test("a replacement that is half written leaves the old one in use, with an alert until it fits", async () => {
    const old = pairOf(issued("old.contoso.com"));
    const fresh = pairOf(issued("new.contoso.com"));
    let current = old;
    const { hop, upstream, events } = await scene(async () => current);
    await upstream.probe(never);
    hop.sessions[0]?.drop("close");
    await hop.next("closed");

    current = { ...fresh, keyPem: old.keyPem };
    const between = await upstream.attempt(mail(), never);
    hop.sessions[1]?.drop("close");
    await hop.next("closed");
    current = fresh;
    await upstream.attempt(mail(), never);

    expect(between.accepted?.code).toBe(250);
    expect(hop.sessions.map((session) => session.client?.name)).toEqual(["old.contoso.com", "old.contoso.com", "new.contoso.com"]);
    expect(events.filter((event) => event.type.startsWith("alert."))).toEqual([
      {
        type: "alert.raised",
        alert: "upstream.certificate",
        subject: "connector",
        text: "the certificate before stays in use: the key does not belong to the certificate",
      },
      { type: "alert.cleared", alert: "upstream.certificate", subject: "connector" },
    ]);
  });

  test.each([
    ["has ended", -2 * DAY_MS, -1 * DAY_MS, /^the certificate before stays in use: the certificate ended on /, "CERTIFICATE_EXPIRED"],
    ["has not begun", 1 * DAY_MS, 90 * DAY_MS, /^the certificate before stays in use: the certificate is not valid before /, undefined],
  ])("a replacement that %s does not take the place of one that is valid", async (_, from, to, said, later) => {
    const fresh = issued("new.contoso.com", { notBefore: new Date(Date.now() + from), notAfter: new Date(Date.now() + to) });
    let current = pairOf(issued("old.contoso.com", ending(Date.now() + 20 * DAY_MS)));
    const { hop, upstream, clock, events } = await scene(async () => current);
    await upstream.probe(never);
    hop.sessions[0]?.drop("close");
    await hop.next("closed");

    current = pairOf(fresh);
    const kept = await upstream.attempt(mail(), never);
    const [told] = events.flatMap((event) => (event.type === "alert.raised" ? [event.text] : []));
    clock.advance(21 * DAY_MS);
    const after = await upstream.attempt(mail(), never);

    expect(kept.accepted?.code).toBe(250);
    expect(told).toMatch(said);
    expect(after.refusal?.fault?.code).toBe(later);
    expect(hop.sessions.at(-1)?.client?.name).toBe(later === undefined ? "new.contoso.com" : "old.contoso.com");
  });

  test("an expired certificate is a fault before any connection, and works once it is replaced", async () => {
    let current = pairOf(issued("relay.contoso.com", ending(Date.now() + DAY_MS)));
    const { hop, upstream, clock } = await scene(async () => current);
    clock.advance(2 * DAY_MS);

    const expired = await upstream.attempt(mail(), never);
    const connections = hop.sessions.length;
    current = pairOf(issued("relay.contoso.com", ending(Date.now() + 20 * DAY_MS)));
    const renewed = await upstream.attempt(mail(), never);

    expect(expired.refusal).toMatchObject({ stage: "connect", fault: { code: "CERTIFICATE_EXPIRED" } });
    expect(connections).toBe(0);
    expect(renewed.accepted?.code).toBe(250);
  });

  test.each<[string, () => Promise<CertificatePair>, string, string]>([
    [
      "files that are not there",
      async () => await Promise.reject(new Error("connector.pem: no such file")),
      "CERTIFICATE_FILE",
      "connector.pem: no such file",
    ],
    [
      "a file without a certificate",
      async () => ({ certificatePem: "nothing", keyPem: issued("a").key }),
      "CERTIFICATE_FILE",
      "the certificate's file holds no certificate in PEM form",
    ],
    [
      "another certificate's key",
      async () => ({ certificatePem: issued("a").cert, keyPem: issued("b").key }),
      "CERTIFICATE_KEY",
      "the key does not belong to the certificate",
    ],
    [
      "a file without a key",
      async () => ({ certificatePem: issued("a").cert, keyPem: "nothing" }),
      "CERTIFICATE_KEY",
      "the key is no private key in PEM form",
    ],
    [
      "a key of 1024 bits",
      async () => pairOf(publicRoot.issue(["relay.contoso.com"], undefined, "rsa-1024")),
      "CERTIFICATE_FILE",
      "OpenSSL does not take the certificate: ee key too small",
    ],
  ])("%s are a fault before any connection", async (_, read, code, detail) => {
    const { hop, upstream } = await scene(read);

    expect(await upstream.prepare?.(never)).toEqual({ stage: "connect", fault: { code, detail } });
    expect((await upstream.attempt(mail(), never)).refusal).toEqual({ stage: "connect", fault: { code, detail } });
    expect(hop.sessions).toHaveLength(0);
  });

  test("when it ends is known before mail comes", async () => {
    const end = Math.floor(Date.now() / 1000) * 1000 + 10 * DAY_MS;
    const { upstream } = await scene(async () => pairOf(issued("relay.contoso.com", ending(end))));

    await expect.poll(() => upstream.credentialExpiresAt).toBe(end);
  });

  test("it relays for the null sender to anybody", async () => {
    const { upstream } = await scene(async () => pairOf(issued("relay.contoso.com")));

    expect(upstream.traits).toMatchObject({ microsoft: true, serves: "any", nullSender: "any" });
  });
});

describe("by address", () => {
  test("no certificate is shown, and the null sender goes to internal recipients only", async () => {
    const { hop, upstream } = await scene(undefined);

    const facts = await upstream.attempt(mail(), never);

    expect(facts.accepted?.code).toBe(250);
    expect(hop.sessions[0]?.client).toBeUndefined();
    expect(upstream.traits).toMatchObject({ serves: "any", nullSender: "internal" });
  });

  test("connections come from the source address that was configured", async () => {
    const { hop, upstream } = await scene(undefined, { sourceAddress: "127.0.0.9" });

    await upstream.attempt(mail(), never);

    expect(hop.sessions[0]?.address).toBe("127.0.0.9");
  });
});

test("where STARTTLS is not offered nothing is sent", async () => {
  const { hop, upstream } = await scene(undefined, {}, true);

  expect((await upstream.attempt(mail(), never)).refusal).toMatchObject({ stage: "starttls", fault: { code: "NO_STARTTLS" } });
  expect(hop.sessions[0]?.commands.filter((line) => line.startsWith("MAIL"))).toEqual([]);
});
