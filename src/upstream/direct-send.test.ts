import { afterEach, expect, test } from "vitest";
import { startFakeDns } from "../../test/fakes/dns.ts";
import type { DnsName } from "../../test/fakes/dns.ts";
import { startScriptedSmtp } from "../../test/fakes/scripted-smtp.ts";
import type { ScriptedSmtpOptions } from "../../test/fakes/scripted-smtp.ts";
import { makeTestAuthority } from "../../test/fakes/test-ca.ts";
import { systemClock } from "../platform/clock.ts";
import { createDirectSendUpstream } from "./direct-send.ts";
import type { DirectSendOptions } from "./direct-send.ts";
import type { Delivery, Upstream } from "./upstream.ts";

const HOST = "contoso-com.mail.protection.outlook.com";
const SECOND = "contoso-com.b-v1.mx.microsoft";
const authority = makeTestAuthority();
const certificate = authority.issue([HOST, SECOND]);
const never = new AbortController().signal;

const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
});

async function hopAt(host: string, options: ScriptedSmtpOptions = {}) {
  const hop = await startScriptedSmtp({ host, tls: certificate, ...options });
  cleanUps.push(hop.close);
  return hop;
}

async function door(port: number, names: Record<string, DnsName>, over: Partial<DirectSendOptions> = {}): Promise<Upstream> {
  const dns = await startFakeDns(names);
  const upstream = createDirectSendUpstream({
    name: "inside",
    domain: "contoso.com",
    port,
    mxSuffixes: ["mail.protection.outlook.com", "mx.microsoft"],
    dnsServers: [dns.server],
    tls: "required",
    ca: [authority.ca],
    ehloName: "relay.contoso.com",
    sender: { mode: "keep", address: undefined, sendAs: [] },
    countedAs: {},
    limits: { connections: 2, messagesPerMinute: undefined, recipientsPerMessage: 100, maxMessageSizeBytes: 1e9 },
    clock: systemClock,
    emit: () => {},
    ...over,
  });
  cleanUps.push(dns.close, async () => await upstream.close());
  return upstream;
}

const ONE_HOST = { "contoso.com": { mx: [[10, HOST]] }, [HOST]: { a: ["127.0.0.1"] } } as const;

function mail(over: Partial<Delivery> = {}): Delivery {
  const content = Buffer.from("Subject: x\r\n\r\nhello\r\n");
  async function* blocks(): AsyncGenerator<Uint8Array> {
    yield content;
  }
  return {
    queueId: "01",
    reversePath: "printer@contoso.com",
    recipients: ["anna@contoso.com"],
    smtpUtf8: false,
    eightBit: false,
    sizeBytes: content.length,
    content: { inMemory: content, blocks },
    ...over,
  };
}

test("a message goes to the MX over TLS that was verified against the MX's name, without signing in", async () => {
  const hop = await hopAt("127.0.0.1");
  const upstream = await door(hop.port, ONE_HOST);

  const facts = await upstream.attempt(mail(), never);

  expect(facts).toMatchObject({ remote: `${HOST}:${hop.port} [127.0.0.1]`, tls: "TLSv1.3", accepted: { code: 250 } });
  expect(hop.sessions[0]?.commands.some((line) => line.startsWith("AUTH"))).toBe(false);
});

test("the null reverse-path goes out as it is", async () => {
  const hop = await hopAt("127.0.0.1");
  const upstream = await door(hop.port, ONE_HOST);

  await upstream.attempt(mail({ reversePath: "" }), never);

  expect(hop.messages[0]?.mail).toContain("MAIL FROM:<>");
});

test("an address that takes no connection is passed over for the next, and the next host", async () => {
  const hop = await hopAt("127.0.0.3");
  const upstream = await door(hop.port, {
    "contoso.com": {
      mx: [
        [10, HOST],
        [20, SECOND],
      ],
    },
    [HOST]: { a: ["127.0.0.1", "127.0.0.2"] },
    [SECOND]: { a: ["127.0.0.3"] },
  });

  const facts = await upstream.attempt(mail(), never);

  expect(facts).toMatchObject({ remote: `${SECOND}:${hop.port} [127.0.0.3]`, accepted: { code: 250 } });
});

test("a host that is being drained is passed over too", async () => {
  const draining = await hopAt("127.0.0.1", { replies: { greeting: { reply: "421 4.3.2 Service not available", drop: "close" } } });
  const hop = await hopAt("127.0.0.2", { port: draining.port });
  const upstream = await door(hop.port, { "contoso.com": { mx: [[10, HOST]] }, [HOST]: { a: ["127.0.0.1", "127.0.0.2"] } });

  expect((await upstream.attempt(mail(), never)).accepted?.code).toBe(250);
});

test("when no address works the one that came furthest is the fact, and the MX is looked up again", async () => {
  const full = await hopAt("127.0.0.2", { replies: { greeting: "421 4.3.2 Service not available" } });
  const names: Record<string, DnsName> = { "contoso.com": { mx: [[10, HOST]] }, [HOST]: { a: ["127.0.0.1", "127.0.0.2"] } };
  const upstream = await door(full.port, names);

  const refused = await upstream.attempt(mail(), never);
  const hop = await hopAt("127.0.0.4", { port: full.port });
  names[HOST] = { a: ["127.0.0.4"] };
  const moved = await upstream.attempt(mail(), never);

  expect(refused).toMatchObject({ remote: "MX of contoso.com", refusal: { stage: "greeting", reply: { code: 421 } } });
  expect(moved.accepted?.code).toBe(250);
  expect(hop.messages).toHaveLength(1);
});

test("a host whose certificate is for another name gets nothing", async () => {
  const hop = await hopAt("127.0.0.1", { tls: authority.issue(["mail.example"]) });
  const upstream = await door(hop.port, ONE_HOST);

  expect((await upstream.attempt(mail(), never)).refusal).toMatchObject({ stage: "starttls", fault: { code: "CERTIFICATE" } });
  expect(hop.messages).toHaveLength(0);
});

test("without STARTTLS nothing is sent, unless that was chosen", async () => {
  const hop = await startScriptedSmtp({ host: "127.0.0.1" });
  cleanUps.push(hop.close);
  const strict = await door(hop.port, ONE_HOST);
  const lenient = await door(hop.port, ONE_HOST, { tls: "opportunistic" });

  expect((await strict.attempt(mail(), never)).refusal?.fault?.code).toBe("NO_STARTTLS");
  expect((await lenient.attempt(mail(), never)).accepted?.code).toBe(250);
});

test("opportunistic TLS takes any certificate", async () => {
  const hop = await hopAt("127.0.0.1", { tls: makeTestAuthority("somebody else").issue(["mail.example"]) });
  const upstream = await door(hop.port, ONE_HOST, { tls: "opportunistic" });

  expect(await upstream.attempt(mail(), never)).toMatchObject({ tls: "TLSv1.3", accepted: { code: 250 } });
});

test("a host that is named is not looked up as an MX", async () => {
  const hop = await hopAt("127.0.0.1", { tls: authority.issue(["localhost"]) });
  const upstream = await door(hop.port, {}, { host: "localhost" });

  expect(await upstream.attempt(mail(), never)).toMatchObject({
    remote: `localhost:${hop.port} [127.0.0.1]`,
    accepted: { code: 250 },
  });
});

test("a domain whose MX is another provider's gets no connection", async () => {
  const upstream = await door(25, { "contoso.com": { mx: [[10, "mx.filter.example"]] } });

  expect((await upstream.attempt(mail(), never)).refusal).toMatchObject({ stage: "connect", fault: { code: "MX_FOREIGN" } });
});

test("it serves the tenant's own recipients only", async () => {
  const { traits } = await door(25, {});

  expect(traits).toMatchObject({ microsoft: true, serves: "internal", nullSender: "any" });
});
