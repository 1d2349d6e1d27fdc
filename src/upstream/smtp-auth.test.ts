import https from "node:https";
import { createPrivateKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test, vi } from "vitest";
import { startScriptedSmtp } from "../../test/fakes/scripted-smtp.ts";
import type { ScriptedReplies, ScriptedSmtp } from "../../test/fakes/scripted-smtp.ts";
import { makeTestAuthority } from "../../test/fakes/test-ca.ts";
import { runProcess } from "../../test/support/process.ts";
import type { PosternEvent } from "../mail/events.ts";
import { ManualClock } from "../platform/clock.ts";
import { createSmtpAuthUpstream } from "./smtp-auth.ts";
import type { SmtpAuthOptions } from "./smtp-auth.ts";
import type { Delivery, Upstream } from "./upstream.ts";

const authority = makeTestAuthority();
const certificate = authority.issue(["127.0.0.1", "localhost"]);
const never = new AbortController().signal;
const SECRET = "canary~Secret.8Q";

const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
});

/** Answers of a token endpoint, one after the other; the last one stays. */
type TokenAnswer = { readonly status?: number; readonly body: unknown };
const token = (value: string, expiresIn = 4500): TokenAnswer => ({
  body: { token_type: "Bearer", expires_in: expiresIn, ext_expires_in: expiresIn, access_token: value },
});

interface TokenEndpoint {
  readonly url: string;
  readonly asked: { readonly path: string; readonly form: URLSearchParams }[];
  readonly close: () => Promise<void>;
}

async function tokenEndpoint(answers: readonly TokenAnswer[]): Promise<TokenEndpoint> {
  const asked: { path: string; form: URLSearchParams }[] = [];
  const server = https.createServer(certificate, (request, response) => {
    const pieces: Buffer[] = [];
    request.on("data", (piece: Buffer) => pieces.push(piece));
    request.on("end", () => {
      const answer = answers[Math.min(asked.length, answers.length - 1)] ?? { status: 500, body: {} };
      asked.push({ path: request.url ?? "", form: new URLSearchParams(Buffer.concat(pieces).toString()) });
      response.writeHead(answer.status ?? 200, { "content-type": "application/json" }).end(JSON.stringify(answer.body));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

interface Scene {
  readonly hop: ScriptedSmtp;
  readonly entra: TokenEndpoint;
  readonly upstream: Upstream;
  readonly clock: ManualClock;
  readonly events: PosternEvent[];
}

async function scene(
  setting: {
    readonly tokens?: readonly TokenAnswer[];
    readonly replies?: ScriptedReplies;
    readonly auth?: string;
    readonly options?: Partial<SmtpAuthOptions>;
  } = {},
): Promise<Scene> {
  const hop = await startScriptedSmtp({
    tls: certificate,
    replies: setting.replies,
    extensions: ["PIPELINING", "SIZE 157286400"],
    secureExtensions: ["PIPELINING", "SIZE 157286400", setting.auth ?? "AUTH LOGIN XOAUTH2"],
  });
  const entra = await tokenEndpoint(setting.tokens ?? [token("TOKEN-1"), token("TOKEN-2")]);
  // The token's life is counted by the system's clock inside msal.
  const clock = new ManualClock(Date.now());
  const events: PosternEvent[] = [];
  const upstream = createSmtpAuthUpstream({
    name: "scans",
    mailbox: "scanner@contoso.com",
    scope: "https://outlook.office365.com/.default",
    credential: { type: "client-secret", clientId: "11111111-2222-3333-4444-555555555555", secret: async () => SECRET },
    host: "127.0.0.1",
    port: hop.port,
    authority: `${entra.url}/contoso.onmicrosoft.com`,
    ca: [authority.ca],
    ehloName: "relay.contoso.com",
    serves: "any",
    sender: { mode: "auto", address: "scanner@contoso.com", sendAs: [] },
    countedAs: {},
    limits: { connections: 2, messagesPerMinute: 30, recipientsPerMessage: 450, maxMessageSizeBytes: 1e9 },
    clock,
    emit: (event) => events.push(event),
    ...setting.options,
  });
  cleanUps.push(hop.close, entra.close, async () => await upstream.close());
  return { hop, entra, upstream, clock, events };
}

function mail(over: Partial<Delivery> = {}): Delivery {
  const content = Buffer.from("Subject: x\r\n\r\nhello\r\n");
  async function* blocks(): AsyncGenerator<Uint8Array> {
    yield content;
  }
  return {
    queueId: "01",
    reversePath: "scanner@contoso.com",
    recipients: ["a@contoso.com"],
    smtpUtf8: false,
    eightBit: false,
    sizeBytes: content.length,
    content: { inMemory: content, blocks },
    ...over,
  };
}

function loginOf(value: string): string {
  return `AUTH XOAUTH2 ${Buffer.from(`user=scanner@contoso.com\u0001auth=Bearer ${value}\u0001\u0001`).toString("base64")}`;
}

function logins(hop: ScriptedSmtp): string[] {
  return hop.sessions.flatMap((session) => session.commands).filter((line) => line.startsWith("AUTH"));
}

test("a message goes out as the mailbox, with a token asked for once, over verified TLS", async () => {
  const { hop, entra, upstream, events } = await scene({
    replies: { final: "250 2.0.0 OK <AM0P1@AM0P.OUTLOOK.COM> [Hostname=AM0P.OUTLOOK.COM]" },
  });

  const facts = await upstream.attempt(mail(), never);
  await upstream.attempt(mail(), never);

  expect(facts).toMatchObject({
    tls: "TLSv1.3",
    accepted: { code: 250, enhanced: "2.0.0" },
    upstreamId: "<AM0P1@AM0P.OUTLOOK.COM> Hostname=AM0P.OUTLOOK.COM",
  });
  expect(logins(hop)).toEqual([loginOf("TOKEN-1")]);
  expect(entra.asked).toHaveLength(1);
  expect(entra.asked[0]?.path).toMatch(/^\/contoso\.onmicrosoft\.com\/oauth2\/v2\.0\/token(\?|$)/);
  expect(Object.fromEntries(entra.asked[0]?.form ?? [])).toMatchObject({ grant_type: "client_credentials", client_secret: SECRET });
  expect(entra.asked[0]?.form.get("scope")).toContain("https://outlook.office365.com/.default");
  expect(events.map((event) => event.type)).toContain("upstream.auth.succeeded");
});

test("the reverse-path is written as it was made for the door; that there is no null one is for the maker to know", async () => {
  const { hop, upstream } = await scene();

  await upstream.attempt(mail({ reversePath: "" }), never);

  expect(hop.messages[0]?.mail).toContain("MAIL FROM:<>");
  expect(upstream.traits.nullSender).toBe("mailbox");
});

test("535 is met with one new token, on the same connection", async () => {
  const { hop, upstream } = await scene({ replies: { auth: ["535 5.7.3 Authentication unsuccessful", "235 2.7.0 Ok"] } });

  const facts = await upstream.attempt(mail(), never);

  expect(facts.accepted?.code).toBe(250);
  expect(logins(hop)).toEqual([loginOf("TOKEN-1"), loginOf("TOKEN-2")]);
  expect(hop.sessions).toHaveLength(1);
});

test("535 again is the answer, and no third try is made", async () => {
  const { hop, entra, upstream, events } = await scene({
    replies: { auth: "535 5.7.139 Authentication unsuccessful, basic authentication is disabled" },
  });

  const facts = await upstream.attempt(mail(), never);

  expect(facts.refusal).toMatchObject({ stage: "auth", reply: { code: 535, enhanced: "5.7.139" } });
  expect([logins(hop).length, entra.asked.length]).toEqual([2, 2]);
  expect(events.filter((event) => event.type === "upstream.auth.failed")).toHaveLength(1);
});

test("535 with a closed connection is retried on a new one", async () => {
  const { hop, upstream } = await scene({
    replies: { auth: [{ reply: "535 5.7.3 Authentication unsuccessful", drop: "close" }, "235 2.7.0 Ok"] },
  });

  const facts = await upstream.attempt(mail(), never);

  expect(facts.accepted?.code).toBe(250);
  expect(logins(hop)).toHaveLength(2);
});

test("a temporary answer to AUTH is no reason for a new token", async () => {
  const { entra, upstream } = await scene({ replies: { auth: "454 4.7.0 Temporary authentication failure" } });

  expect((await upstream.attempt(mail(), never)).refusal).toMatchObject({ stage: "auth", reply: { code: 454 } });
  expect(entra.asked).toHaveLength(1);
});

test("421 at AUTH keeps its words", async () => {
  const { upstream } = await scene({ replies: { auth: { reply: "421 4.3.2 Service not active", drop: "close" } } });

  expect((await upstream.attempt(mail(), never)).refusal).toMatchObject({ stage: "auth", reply: { code: 421, enhanced: "4.3.2" } });
});

test("a challenge in the style of Google is answered with an empty line", async () => {
  const { hop, upstream } = await scene({ replies: { auth: "334 eyJzdGF0dXMiOiI0MDEifQ==", "auth-response": "535 5.7.8 no" } });

  expect((await upstream.attempt(mail(), never)).refusal).toMatchObject({ stage: "auth", reply: { code: 535, enhanced: "5.7.8" } });
  expect(hop.sessions[0]?.commands).toContain("");
});

test("without XOAUTH2 on offer the token is sent to nobody, by no mechanism", async () => {
  const { hop, upstream } = await scene({ auth: "AUTH LOGIN PLAIN" });

  expect((await upstream.attempt(mail(), never)).refusal).toMatchObject({ stage: "auth", fault: { code: "NO_AUTH_OFFERED" } });
  expect(logins(hop)).toEqual([]);
});

test("a refusal by Entra is a fact with its number, without trace ids or the secret, before any connection", async () => {
  const description = `AADSTS7000215: Invalid client secret provided. ${SECRET} Trace ID: 0000 Correlation ID: 1111 Timestamp: 2026-11-21 09:00:00Z`;
  const { hop, upstream, events } = await scene({
    tokens: [{ status: 401, body: { error: "invalid_client", error_description: description, error_codes: [7000215] } }],
  });

  const facts = await upstream.attempt(mail(), never);

  expect(facts.refusal).toEqual({
    stage: "token",
    fault: { code: "AADSTS7000215", detail: "AADSTS7000215: Invalid client secret provided. ***" },
  });
  expect(JSON.stringify([facts, events])).not.toContain(SECRET);
  expect(hop.sessions).toHaveLength(0);
  expect(events).toMatchObject([{ type: "upstream.auth.failed" }]);
});

test("an error of the endpoint without a number, a status alone, and a dead endpoint have codes of their own", async () => {
  const named = await scene({ tokens: [{ status: 400, body: { error: "invalid_scope" } }] });
  const bare = await scene({ tokens: [{ status: 503, body: [] }] });
  const dead = await scene();
  await dead.entra.close();
  cleanUps.splice(-2, 1);

  expect((await named.upstream.attempt(mail(), never)).refusal?.fault?.code).toBe("invalid_scope");
  expect((await bare.upstream.attempt(mail(), never)).refusal?.fault?.code).toBe("HTTP_503");
  expect((await dead.upstream.attempt(mail(), never)).refusal).toMatchObject({ stage: "token", fault: { code: "ECONNREFUSED" } });
});

test("an endpoint with a certificate of an unknown authority is not given the secret", async () => {
  const { entra, upstream } = await scene({ options: { ca: [] } });

  expect((await upstream.attempt(mail(), never)).refusal).toMatchObject({ stage: "token", fault: { code: "CERTIFICATE" } });
  expect(entra.asked).toHaveLength(0);
});

test("a token is never asked for without TLS", async () => {
  const { upstream } = await scene({ options: { authority: "http://127.0.0.1:9/contoso.onmicrosoft.com" } });

  expect((await upstream.attempt(mail(), never)).refusal?.stage).toBe("token");
});

test("a secret that cannot be read is SECRET, and works once repaired", async () => {
  const files: string[] = [];
  const secret = async (): Promise<string> => files[0] ?? (await Promise.reject(new Error("entra-secret: no such file")));
  const { upstream } = await scene({ options: { credential: { type: "client-secret", clientId: "1", secret } } });

  const missing = await upstream.attempt(mail(), never);
  files.push(`${SECRET}\n`);
  const repaired = await upstream.attempt(mail(), never);

  expect(missing.refusal).toEqual({ stage: "token", fault: { code: "SECRET", detail: "entra-secret: no such file" } });
  expect(repaired.accepted?.code).toBe(250);
});

test("a certificate whose key is not its own is SECRET", async () => {
  const key = String(generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ type: "pkcs8", format: "pem" }));
  const { upstream } = await scene({
    options: {
      credential: {
        type: "client-certificate",
        clientId: "1",
        certificate: async () => ({ certificatePem: certificate.cert, keyPem: key }),
      },
    },
  });

  expect((await upstream.attempt(mail(), never)).refusal?.fault).toEqual({
    code: "SECRET",
    detail: "the key does not belong to the certificate",
  });
});

test("waiting for a token can be stopped", async () => {
  const secret = async (): Promise<string> => await new Promise(() => {});
  const { upstream, events } = await scene({ options: { credential: { type: "client-secret", clientId: "1", secret } } });
  const stop = new AbortController();
  const attempt = upstream.attempt(mail(), stop.signal);

  stop.abort();

  expect((await attempt).refusal).toMatchObject({ stage: "token", fault: { code: "ABORTED" } });
  expect(
    events.filter(({ type }) => type === "upstream.auth.failed"),
    "nobody refused the sign-in",
  ).toEqual([]);
});

test("a certificate proves the application, by an encrypted key too, and tells when it ends", async () => {
  const notAfter = new Date(Math.floor(Date.now() / 1000) * 1000 + 10 * 86_400_000);
  const own = authority.issue(["relay.contoso.com"], { notBefore: new Date(Date.now() - 86_400_000), notAfter }, "rsa");
  const keyPem = String(
    createPrivateKey(own.key).export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "open sesame" }),
  );
  const read = async (): Promise<{ certificatePem: string; keyPem: string; passphrase: string }> => ({
    certificatePem: own.cert,
    keyPem,
    passphrase: "open sesame",
  });
  const { entra, upstream } = await scene({
    options: { credential: { type: "client-certificate", clientId: "app-1", certificate: read } },
  });

  const facts = await upstream.attempt(mail(), never);

  expect(facts.accepted?.code).toBe(250);
  expect(upstream.credentialExpiresAt).toBe(notAfter.getTime());
  const [header, claims] = (entra.asked[0]?.form.get("client_assertion") ?? "").split(".").map(
    (part) =>
      JSON.parse(
        Buffer.from(part, "base64url")
          .toString("latin1")
          .replace(/^[^{].*$/s, "{}"),
      ) as Record<string, unknown>,
  );
  const thumbprint = Buffer.from(new X509Certificate(own.cert).fingerprint256.replaceAll(":", ""), "hex").toString("base64url");
  expect(header).toMatchObject({ alg: "PS256", "x5t#S256": thumbprint });
  expect(claims).toMatchObject({ iss: "app-1", sub: "app-1", aud: `${entra.url}/contoso.onmicrosoft.com/oauth2/v2.0/token` });
});

test("when a certificate ends is known before any token is asked for", async () => {
  const notAfter = new Date(Math.floor(Date.now() / 1000) * 1000 + 10 * 86_400_000);
  const own = authority.issue(["relay.contoso.com"], { notBefore: new Date(Date.now() - 86_400_000), notAfter }, "rsa");
  const certificate = async (): Promise<{ certificatePem: string; keyPem: string }> => ({ certificatePem: own.cert, keyPem: "not read" });

  const { entra, upstream } = await scene({ options: { credential: { type: "client-certificate", clientId: "app-1", certificate } } });

  await vi.waitFor(() => expect(upstream.credentialExpiresAt).toBe(notAfter.getTime()), { interval: 1 });
  expect(entra.asked).toHaveLength(0);
});

test("a certificate that cannot be read leaves its end unknown, and is the first attempt's fault", async () => {
  const certificate = async (): Promise<never> => await Promise.reject(new Error("connector.pem: no such file"));
  const { upstream } = await scene({ options: { credential: { type: "client-certificate", clientId: "app-1", certificate } } });

  const facts = await upstream.attempt(mail(), never);

  expect(facts.refusal?.fault).toEqual({ code: "SECRET", detail: "connector.pem: no such file" });
  expect(upstream.credentialExpiresAt).toBeUndefined();
});

test("making the upstream loads nothing of what only tokens need", async () => {
  const script = `
    import { registerHooks } from "node:module";
    const loaded = [];
    registerHooks({ load: (url, context, next) => { loaded.push(url); return next(url, context); } });
    const { createSmtpAuthUpstream } = await import(${JSON.stringify(new URL("./smtp-auth.ts", import.meta.url).href)});
    createSmtpAuthUpstream({
      name: "scans", mailbox: "scanner@contoso.com", host: "127.0.0.1", port: 1, authority: "https://127.0.0.1/t", scope: "s",
      credential: { type: "client-secret", clientId: "1", secret: async () => "x" }, ehloName: "relay.contoso.com",
      limits: { connections: 1, recipientsPerMessage: 1, maxMessageSizeBytes: 1 },
      clock: { now: Date.now, monotonic: () => 0, after: () => () => {} }, emit: () => {},
    });
    console.log(JSON.stringify(loaded));
  `;
  const { code, stdout, stderr } = await runProcess(process.execPath, ["--input-type=module", "--eval", script]);

  expect([code, stderr]).toEqual([0, ""]);
  const loaded = JSON.parse(stdout) as string[];
  // The hook sees what is loaded at all.
  expect(loaded.filter((url) => url.includes("/nodemailer/")).length).toBeGreaterThan(0);
  expect(loaded.filter((url) => /undici|msal/.test(url))).toEqual([]);
});

test("a probe signs in, and its connection serves the next attempt", async () => {
  const { hop, upstream } = await scene();

  expect(await upstream.probe(never)).toBeUndefined();
  expect((await upstream.attempt(mail(), never)).reusedConnection).toBe(true);
  expect(logins(hop)).toHaveLength(1);
});

describe("with a password", () => {
  const password = { type: "password", username: "alerts@contoso.com", password: async () => SECRET } as const;
  const base64 = (text: string): string => Buffer.from(text).toString("base64");

  test("LOGIN is used, because Exchange Online takes nothing else, and no token is asked for", async () => {
    const { hop, entra, upstream } = await scene({
      auth: "AUTH PLAIN LOGIN XOAUTH2",
      replies: { auth: "334 VXNlcm5hbWU6", "auth-response": ["334 UGFzc3dvcmQ6", "235 2.7.0 Authentication successful"] },
      options: { credential: password },
    });

    const facts = await upstream.attempt(mail(), never);

    expect(facts).toMatchObject({ tls: "TLSv1.3", accepted: { code: 250 } });
    const commands = hop.sessions[0]?.commands ?? [];
    const at = commands.indexOf("AUTH LOGIN");
    expect(commands.slice(at, at + 3)).toEqual(["AUTH LOGIN", base64("alerts@contoso.com"), base64(SECRET)]);
    expect(entra.asked).toHaveLength(0);
  });

  test("where LOGIN is not offered another mechanism will do", async () => {
    const { hop, upstream } = await scene({ auth: "AUTH PLAIN", options: { credential: password } });

    expect((await upstream.attempt(mail(), never)).accepted?.code).toBe(250);
    expect(logins(hop)[0]).toMatch(/^AUTH PLAIN/);
  });

  test("a wrong one is tried once: more would lock the account", async () => {
    const refusal = "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect. [HOST]";
    const { hop, upstream, events } = await scene({ auth: "AUTH PLAIN", replies: { auth: refusal }, options: { credential: password } });

    expect((await upstream.attempt(mail(), never)).refusal).toMatchObject({ stage: "auth", reply: { code: 535, enhanced: "5.7.139" } });
    expect(logins(hop)).toHaveLength(1);
    expect(JSON.stringify(events)).not.toContain(SECRET);
    expect(JSON.stringify(events)).not.toContain(base64(SECRET));
  });

  test("its last day is known", async () => {
    const { upstream } = await scene({ options: { credential: { ...password, expiresAt: 1_900_000_000_000 } } });

    expect(upstream.credentialExpiresAt).toBe(1_900_000_000_000);
  });
});

test("a look at a door whose host takes the connection and says nothing finds the sign-in sound", async () => {
  const { hop, upstream, entra } = await scene({ replies: { greeting: { silent: true } } });
  const giveUp = new AbortController();

  const looking = upstream.diagnose?.({ reversePath: "scanner@contoso.com", recipients: [] }, giveUp.signal);
  await vi.waitFor(() => {
    expect(hop.sessions).toHaveLength(1);
    expect(entra.asked).toHaveLength(1);
  });
  giveUp.abort();
  const found = await looking;

  expect(found?.stages).toEqual([
    { stage: "connect" },
    { stage: "greeting", refusal: expect.objectContaining({ fault: expect.objectContaining({ code: "ABORTED" }) }) },
    { stage: "token" },
  ]);
});
