import { X509Certificate, constants, createHash, createPrivateKey, randomUUID, sign } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { ConfidentialClientApplication } from "@azure/msal-node";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";

import { fetchToken, postTokenForm, secretForm } from "../../test/fakes/token-request.ts";
import { ManualClock } from "../platform/clock.ts";
import { ENTRA_ERRORS } from "./aadsts.ts";
import { FAULTS } from "./fault-table.ts";
import { decodeJwt } from "./jwt.ts";
import { createAppCertificate } from "./pki.ts";
import { startSimulator } from "./simulator.ts";
import type { Simulator } from "./simulator.ts";
import type { TenantApp } from "./tenant.ts";

const directory = mkdtempSync(path.join(tmpdir(), "stand-in-"));
const clock = new ManualClock(Date.now());
let simulator: Simulator;
let app: TenantApp;
let original: TenantApp;

beforeAll(async () => {
  simulator = await startSimulator({ directory, clock, demoCredentials: true });
  app = simulator.tenant.apps[0] as TenantApp;
  original = structuredClone(app);
});

afterEach(() => {
  simulator.reset();
  Object.assign(app, structuredClone(original));
});

afterAll(async () => {
  await simulator.close();
  rmSync(directory, { recursive: true });
});

interface AssertionChanges {
  readonly alg?: "PS256" | "RS256";
  readonly claims?: Record<string, unknown>;
  readonly keyPem?: string;
  readonly damage?: boolean;
  readonly header?: Record<string, unknown>;
}

/** A client assertion as a client library makes it, with the demo certificate, changed as told. */
function assertion({ alg = "PS256", claims = {}, keyPem, damage = false, header }: AssertionChanges = {}): string {
  const certificate = new X509Certificate(readFileSync(path.join(directory, "client-certificate.pem")));
  const key = createPrivateKey(keyPem ?? readFileSync(path.join(directory, "client-key.pem")));
  const digest = (name: string): string => createHash(name).update(certificate.raw).digest("base64url");
  const names = alg === "PS256" ? { "x5t#S256": digest("sha256") } : { x5t: digest("sha1") };
  const now = Math.trunc(clock.now() / 1000);
  const aud = `${simulator.authority}/${simulator.tenant.id}/oauth2/v2.0/token`;
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const input = `${part({ alg, typ: "JWT", ...names, ...header })}.${part({ aud, iss: app.clientId, sub: app.clientId, jti: randomUUID(), nbf: now, iat: now, exp: now + 300, ...claims })}`;
  const options = alg === "PS256" ? { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 } : { key };
  const signature = sign("RSA-SHA256", Buffer.from(input), options);
  if (damage) signature[10] = (signature[10] ?? 0) ^ 1;
  return `${input}.${signature.toString("base64url")}`;
}

function assertionForm(value: string): Record<string, string> {
  return {
    grant_type: "client_credentials",
    client_id: app.clientId,
    scope: "https://outlook.office365.com/.default",
    client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    client_assertion: value,
  };
}

describe("a token", () => {
  test("says tenant, app, audience and roles, and lives 60 to 90 minutes", async () => {
    const { status, body } = await postTokenForm(simulator, secretForm(simulator));

    const claims = decodeJwt(String(body["access_token"]))?.claims;
    expect(status).toBe(200);
    expect(body).toMatchObject({ token_type: "Bearer" });
    expect(claims).toMatchObject({
      aud: "https://outlook.office365.com",
      tid: simulator.tenant.id,
      appid: app.clientId,
      roles: ["SMTP.SendAsApp", "Mail.Send"],
    });
    expect(body["expires_in"]).toBeGreaterThanOrEqual(3600);
    expect(body["expires_in"]).toBeLessThanOrEqual(5400);
    expect(claims?.["exp"]).toBe(Math.trunc(clock.now() / 1000) + Number(body["expires_in"]));
  });

  test("is handed out without any permission, then without roles", async () => {
    app.permissions = [];

    expect(decodeJwt(await fetchToken(simulator))?.claims["roles"]).toBeUndefined();
  });

  test.each(["PS256", "RS256"] as const)("is given for an assertion signed with %s by the uploaded certificate", async (alg) => {
    const { status } = await postTokenForm(simulator, assertionForm(assertion({ alg })));

    expect(status).toBe(200);
  });

  test.each(["secret", "certificate"] as const)("is given to Microsoft's own library with a %s", async (kind) => {
    const credential =
      kind === "secret"
        ? { clientSecret: readFileSync(path.join(directory, "client-secret"), "utf8").trim() }
        : {
            clientCertificate: {
              thumbprintSha256: new X509Certificate(readFileSync(path.join(directory, "client-certificate.pem"))).fingerprint256.replaceAll(
                ":",
                "",
              ),
              privateKey: readFileSync(path.join(directory, "client-key.pem"), "utf8"),
            },
          };
    const host = new URL(simulator.authority).host;
    const client = new ConfidentialClientApplication({
      auth: { clientId: app.clientId, authority: `${simulator.authority}/${simulator.tenant.id}`, knownAuthorities: [host], ...credential },
      system: { networkClient: networkTrusting(simulator.caPem) },
    });

    const result = await client.acquireTokenByClientCredential({ scopes: ["https://outlook.office365.com/.default"] });

    expect(decodeJwt(result?.accessToken ?? "")?.claims["appid"]).toBe(app.clientId);
  });
});

/** The library's network interface over node:https with our CA. */
function networkTrusting(ca: string) {
  const send = async (method: string, url: string, options?: { headers?: Record<string, string>; body?: string }) => {
    const { request } = await import("node:https");
    const { promise, resolve, reject } = Promise.withResolvers<{ headers: Record<string, string>; body: never; status: number }>();
    const call = request(url, { method, ca, agent: false, headers: options?.headers }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (piece: string) => (text += piece));
      response.on("end", () => resolve({ headers: {}, body: JSON.parse(text) as never, status: response.statusCode ?? 0 }));
    });
    call.on("error", reject);
    call.end(options?.body);
    return await promise;
  };
  return {
    sendGetRequestAsync: async (url: string, options?: { headers?: Record<string, string>; body?: string }) =>
      await send("GET", url, options),
    sendPostRequestAsync: async (url: string, options?: { headers?: Record<string, string>; body?: string }) =>
      await send("POST", url, options),
  };
}

describe("Entra's errors", () => {
  const outlook = "https://outlook.office365.com/.default";
  const stranger = "99999999-0000-4000-8000-000000000000";
  type Ask = () => Promise<{ status: number; body: Readonly<Record<string, unknown>> }>;
  const withForm = (changes: Record<string, string>, tenant?: string) => (): ReturnType<Ask> =>
    postTokenForm(simulator, { ...secretForm(simulator), ...changes }, tenant);
  const withAssertion = (changes: AssertionChanges) => (): ReturnType<Ask> => postTokenForm(simulator, assertionForm(assertion(changes)));
  const after = (change: () => void, ask: Ask) => (): ReturnType<Ask> => {
    change();
    return ask();
  };
  const secondsFromNow = (seconds: number): number => Math.trunc(clock.now() / 1000) + seconds;

  test.each<[number, string, number, string, Ask]>([
    [7000215, "invalid_client", 401, "wrong secret", withForm({ client_secret: "wrong" })],
    [
      7000222,
      "invalid_client",
      401,
      "expired secret",
      after(() => (app.secrets = app.secrets.map((secret) => ({ ...secret, expiresAt: clock.now() - 1 }))), withForm({})),
    ],
    [7000218, "invalid_client", 401, "no credential", withForm({ client_secret: "" })],
    [700016, "unauthorized_client", 400, "unknown app", withForm({ client_id: stranger })],
    [90002, "invalid_request", 400, "unknown tenant", withForm({}, "fabrikam.com")],
    [70011, "invalid_scope", 400, "scope without /.default", withForm({ scope: "https://outlook.office365.com/SMTP.Send" })],
    [500011, "invalid_resource", 400, "unknown resource", withForm({ scope: "https://example.com/.default" })],
    [70003, "unsupported_grant_type", 400, "another grant", withForm({ grant_type: "password" })],
    [900144, "invalid_request", 400, "no grant", withForm({ grant_type: "" })],
    [7000112, "unauthorized_client", 400, "disabled app", after(() => (app.disabled = true), withForm({ scope: outlook }))],
    [700027, "invalid_client", 401, "damaged signature", withAssertion({ damage: true })],
    [700027, "invalid_client", 401, "certificate that was not uploaded", after(() => (app.certificates = []), withAssertion({}))],
    [700027, "invalid_client", 401, "no thumbprint", withAssertion({ header: { "x5t#S256": undefined } })],
    [700027, "invalid_client", 401, "algorithm none", withAssertion({ header: { alg: "none" } })],
    [
      700024,
      "invalid_client",
      401,
      "assertion that has expired",
      withAssertion({ claims: { nbf: secondsFromNow(-1200), exp: secondsFromNow(-600) } }),
    ],
    [
      700024,
      "invalid_client",
      401,
      "assertion of a fast clock",
      withAssertion({ claims: { nbf: secondsFromNow(600), exp: secondsFromNow(1200) } }),
    ],
    [700023, "invalid_client", 401, "another audience", withAssertion({ claims: { aud: "https://example.com/token" } })],
    [50027, "invalid_client", 401, "another issuer", withAssertion({ claims: { iss: stranger } })],
    [50027, "invalid_client", 401, "no jti", withAssertion({ claims: { jti: undefined } })],
  ])("AADSTS%i %s %i: %s", async (code, error, expectedStatus, _what, ask) => {
    const { status, body } = await ask();

    expect(status).toBe(expectedStatus);
    expect(body).toMatchObject({ error, error_codes: [code], error_uri: `https://login.microsoftonline.com/error?code=${code}` });
    expect(Object.keys(body)).toEqual([
      "error",
      "error_description",
      "error_codes",
      "timestamp",
      "trace_id",
      "correlation_id",
      "error_uri",
    ]);
    expect(body["error_description"]).toMatch(
      new RegExp(
        `^AADSTS${code}: .* Trace ID: [0-9a-f-]{36} Correlation ID: [0-9a-f-]{36} Timestamp: \\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\dZ$`,
      ),
    );
  });

  test("an assertion signed by another key with the right thumbprint is refused", async () => {
    const foreign = await createAppCertificate("Foreign", clock.now());

    const { body } = await postTokenForm(simulator, assertionForm(assertion({ keyPem: foreign.keyPem })));

    expect(body).toMatchObject({ error_codes: [700027] });
  });
});

describe("faults of the token endpoint", () => {
  test.each([
    ["entra-down", 503, undefined],
    ["entra-transient", 503, "temporarily_unavailable"],
    ["entra-throttled", 429, "temporarily_unavailable"],
    ["entra-conditional-access", 400, "invalid_grant"],
  ])("%s answers %i once", async (name, expectedStatus, error) => {
    simulator.faults.set(name, { count: 1 });

    const { status, body } = await postTokenForm(simulator, secretForm(simulator));

    expect(status).toBe(expectedStatus);
    expect(body["error"]).toBe(error);
    expect((await postTokenForm(simulator, secretForm(simulator))).status).toBe(200);
  });

  test("entra-reset breaks the connection", async () => {
    simulator.faults.set("entra-reset", { count: 1 });

    await expect(postTokenForm(simulator, secretForm(simulator))).rejects.toThrow();
  });

  test.each(["entra-hold", "entra-slow"])("%s keeps the client waiting", async (name) => {
    const fault = simulator.faults.set(name, { count: 1 });
    const answer = postTokenForm(simulator, secretForm(simulator));
    await fault.reached(1);

    fault.clear();
    clock.advance(10_000);

    expect((await answer).status).toBe(200);
  });
});

test("keys and credentials on disk are for their owner alone, and a restarted stand-in keeps its CA", async () => {
  for (const file of ["ca-key.pem", "client-secret", "client-key.pem"])
    expect(statSync(path.join(directory, file)).mode & 0o777).toBe(0o600);

  const second = await startSimulator({ directory, clock });
  await second.close();

  expect(second.caPem).toBe(simulator.caPem);
});

describe("faults", () => {
  const numbered = FAULTS.flatMap(({ name, action, stage }) =>
    stage === "token" && action.kind === "aadsts" ? [{ name, code: action.code }] : [],
  );

  test.each(numbered)("$name answers with its number, its error and no empty place in its words", async ({ name, code }) => {
    simulator.faults.set(name, { count: 1 });

    const refused = await postTokenForm(simulator, secretForm(simulator));
    const after = await postTokenForm(simulator, secretForm(simulator));

    expect(refused.status).toBe(ENTRA_ERRORS[code]?.status);
    expect(refused.body).toMatchObject({ error: ENTRA_ERRORS[code]?.error, error_codes: [code] });
    expect(refused.body["error_description"]).toMatch(new RegExp(`^AADSTS${code}: [^{}]+$`));
    expect(after.status).toBe(200);
  });
});
