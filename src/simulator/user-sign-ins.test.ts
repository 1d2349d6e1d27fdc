import { request } from "node:http";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { PublicClientApplication } from "@azure/msal-node";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";

import { usedKeys } from "../../test/support/keys.ts";
import { askGraph } from "../../test/fakes/graph-request.ts";
import { postTokenForm } from "../../test/fakes/token-request.ts";
import type { TokenAnswer } from "../../test/fakes/token-request.ts";
import { ManualClock } from "../platform/clock.ts";
import { decodeJwt } from "./jwt.ts";
import { startSimulator } from "./simulator.ts";
import type { Simulator } from "./simulator.ts";
import { DEFAULT_CLIENT_ID, findMailbox } from "./tenant.ts";

const directory = mkdtempSync(path.join(tmpdir(), "stand-in-"));
const SMTP = "https://outlook.office.com/SMTP.Send offline_access openid profile";
const DAY_MS = 24 * 60 * 60_000;
let simulator: Simulator;

beforeAll(async () => {
  simulator = await startSimulator({
    keys: usedKeys(),
    directory,
    clock: new ManualClock(Date.now()),
    signIn: { deviceIntervalSeconds: 1 },
  });
});
afterEach(() => {
  simulator.reset();
  simulator.tenant.cloud = "worldwide";
});
afterAll(async () => {
  await simulator.close();
  rmSync(directory, { recursive: true });
});

interface Started {
  readonly device_code: string;
  readonly user_code: string;
  readonly verification_uri: string;
  readonly expires_in: number;
  readonly interval: number;
}

/** Asks for a device code; the answer as it came. */
async function begin(scope = SMTP, clientId = DEFAULT_CLIENT_ID): Promise<{ status: number; body: Started & Record<string, unknown> }> {
  const { status, body } = await askGraph(simulator, "POST", `${simulator.authority}/contoso.com/oauth2/v2.0/devicecode`, {
    type: "application/x-www-form-urlencoded",
    body: new URLSearchParams({ client_id: clientId, scope }).toString(),
  });
  return { status, body: body as unknown as Started & Record<string, unknown> };
}

function poll(deviceCode: string): Promise<TokenAnswer> {
  const grant = "urn:ietf:params:oauth:grant-type:device_code";
  return postTokenForm(
    simulator,
    { grant_type: grant, client_id: DEFAULT_CLIENT_ID, device_code: deviceCode, client_info: "1" },
    "organizations",
  );
}

function refresh(token: unknown, scope = SMTP): Promise<TokenAnswer> {
  return postTokenForm(simulator, { grant_type: "refresh_token", client_id: DEFAULT_CLIENT_ID, refresh_token: String(token), scope });
}

/** What a person does on the page, by its API. */
function decide(body: object): Promise<number> {
  return new Promise((resolve, reject) => {
    const options = { method: "POST", agent: false, headers: { "content-type": "application/json" } };
    const call = request(new URL("/api/device", simulator.viewUrl), options, (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode ?? 0));
    });
    call.on("error", reject);
    call.end(JSON.stringify(body));
  });
}

/** Tokens of a user who approved. */
async function signIn(scope = SMTP, user = "scanner@contoso.com"): Promise<TokenAnswer["body"]> {
  const { body } = await begin(scope);
  await decide({ user_code: body.user_code, user });
  return (await poll(body.device_code)).body;
}

function codeOf({ body }: TokenAnswer): unknown[] {
  return [body["error"], ...((body["error_codes"] as number[] | undefined) ?? [])];
}

describe("device code", () => {
  test("is pending until somebody approves, then gives tokens of that user, once", async () => {
    const { body } = await begin();
    const before = await poll(body.device_code);
    const decided = await decide({ user_code: body.user_code.toLowerCase(), user: "Scanner@contoso.com" });

    const tokens = await poll(body.device_code);
    const again = await poll(body.device_code);

    expect(body).toMatchObject({ expires_in: 900, interval: 1, verification_uri: `${simulator.viewUrl}devicelogin` });
    expect(codeOf(before)).toEqual(["authorization_pending", 70016]);
    expect(decided).toBe(200);
    expect(tokens.body).toMatchObject({ token_type: "Bearer", scope: "https://outlook.office.com/SMTP.Send" });
    expect(decodeJwt(String(tokens.body["access_token"]))?.claims).toMatchObject({
      aud: "https://outlook.office.com",
      scp: "SMTP.Send",
      upn: "scanner@contoso.com",
      appidacr: "0",
    });
    expect(decodeJwt(String(tokens.body["id_token"]))?.claims).toMatchObject({
      aud: DEFAULT_CLIENT_ID,
      preferred_username: "scanner@contoso.com",
    });
    expect(codeOf(again)).toEqual(["bad_verification_code", 70018]);
  });

  test("can be declined", async () => {
    const { body } = await begin();
    await decide({ user_code: body.user_code, action: "decline" });

    expect(codeOf(await poll(body.device_code))).toEqual(["authorization_declined", 70022]);
  });

  test("ends after 15 minutes", async () => {
    const { body } = await begin();
    simulator.clock.advance(15 * 60_000);

    expect(codeOf(await poll(body.device_code))).toEqual(["expired_token", 70020]);
    expect(await decide({ user_code: body.user_code })).toBe(404);
  });

  test("of nobody is not recognized", async () => {
    expect(codeOf(await poll("made-up"))).toEqual(["bad_verification_code", 70018]);
  });

  test.each([
    ["a scope of another cloud", "https://outlook.office365.us/SMTP.Send", 500011],
    ["scopes of two resources", "https://outlook.office.com/SMTP.Send https://graph.microsoft.com/Mail.Send", 28000],
    ["a scope that is not there", "https://outlook.office.com/SMTP.Receive", 650053],
  ])("is refused for %s", async (_, scope, code) => {
    expect((await begin(scope)).body["error_codes"]).toEqual([code]);
  });

  test("needs an app that allows public clients", async () => {
    const [app] = simulator.tenant.apps;
    if (app !== undefined) app.publicClient = false;
    const { body } = await begin();
    const answer = await poll(body.device_code);
    if (app !== undefined) app.publicClient = true;

    expect(codeOf(answer)).toEqual(["invalid_client", 7000218]);
  });

  test.each([
    [{ user_code: "AAAAAAAAA" }, 404],
    [{ user_code: 7 }, 400],
    [{ user_code: "AAAAAAAAA", action: "perhaps" }, 400],
    [{ code: "AAAAAAAAA" }, 400],
  ])("the API answers %j with %i", async (body, status) => {
    expect(await decide(body)).toBe(status);
  });

  test("works in the cloud of the tenant", async () => {
    simulator.tenant.cloud = "gcc-high";

    const body = await signIn("https://outlook.office365.us/SMTP.Send offline_access");

    expect(decodeJwt(String(body["access_token"]))?.claims["aud"]).toBe("https://outlook.office365.us");
  });

  test("Microsoft's own library signs in with it", async () => {
    const client = new PublicClientApplication({
      auth: {
        clientId: DEFAULT_CLIENT_ID,
        authority: `${simulator.authority}/${simulator.tenant.id}`,
        knownAuthorities: [new URL(simulator.authority).host],
      },
      system: {
        networkClient: {
          sendGetRequestAsync: async (url) => network("GET", url),
          sendPostRequestAsync: async (url, options) => network("POST", url, options?.body),
        },
      },
    });

    const result = await client.acquireTokenByDeviceCode({
      scopes: ["https://outlook.office.com/SMTP.Send"],
      deviceCodeCallback: ({ userCode }) => void decide({ user_code: userCode, user: "scanner@contoso.com" }),
    });

    expect(result?.account?.username).toBe("scanner@contoso.com");
    expect(result?.scopes).toContain("https://outlook.office.com/SMTP.Send");
  });
});

/** A network for msal that trusts the stand-in's authority; `never`, because msal says itself what the body is. */
async function network(method: string, url: string, body?: string): Promise<never> {
  const type = body === undefined ? undefined : "application/x-www-form-urlencoded";
  const answer = await askGraph(simulator, method, url, { type, body });
  return { headers: {}, body: answer.body, status: answer.status } as never;
}

describe("a refresh token", () => {
  test("gives new tokens, a new refresh token among them; the old one stays valid", async () => {
    const first = await signIn();

    const second = await refresh(first["refresh_token"]);
    const third = await refresh(first["refresh_token"]);

    expect(second.status).toBe(200);
    expect(second.body["refresh_token"]).not.toBe(first["refresh_token"]);
    expect(third.status).toBe(200);
  });

  test("is not given without offline_access", async () => {
    expect((await signIn("https://outlook.office.com/SMTP.Send"))["refresh_token"]).toBeUndefined();
  });

  test("ends after 90 days without use, and each use starts them anew", async () => {
    const { refresh_token: token } = await signIn();
    simulator.clock.advance(89 * DAY_MS);
    const used = await refresh(token);
    simulator.clock.advance(89 * DAY_MS);
    const usedAgain = await refresh(token);
    simulator.clock.advance(91 * DAY_MS);

    expect([used.status, usedAgain.status]).toEqual([200, 200]);
    expect(codeOf(await refresh(token))).toEqual(["invalid_grant", 700082]);
  });

  test("is void once the user's sign-ins are revoked", async () => {
    const { refresh_token: token } = await signIn();
    simulator.signIns.revoke("scanner@contoso.com");

    expect(codeOf(await refresh(token))).toEqual(["invalid_grant", 50173]);
    expect(simulator.signIns.signIns().map(({ grant }) => grant.user)).not.toContain("scanner@contoso.com");
    simulator.clock.advance(1);
    expect((await signIn())["refresh_token"]).toBeDefined();
  });

  test("opens only what the user let the app do", async () => {
    const { refresh_token: token } = await signIn(SMTP, "bruno@contoso.com");

    expect(codeOf(await refresh(token, "https://graph.microsoft.com/Mail.Send"))).toEqual(["invalid_grant", 65001]);
  });

  test("that nobody issued is refused", async () => {
    expect(codeOf(await refresh("made-up"))).toEqual(["invalid_grant", 70000]);
  });
});

describe("what a user's token opens", () => {
  const mail = (from: string): string => Buffer.from(`From: ${from}\r\nTo: it@contoso.com\r\n\r\nx\r\n`).toString("base64");
  const send = (token: unknown, mailbox: string): Promise<{ status: number }> =>
    askGraph(simulator, "POST", `/v1.0/${mailbox}/sendMail`, {
      token: String(token),
      type: "text/plain",
      body: mail(mailbox === "me" ? "anna@contoso.com" : mailbox.slice(6)),
    });

  test("their own mailbox at Graph, and a shared one with Full Access", async () => {
    const own = (await signIn("Mail.Send", "anna@contoso.com"))["access_token"];
    const shared = (await signIn("Mail.Send Mail.Send.Shared", "anna@contoso.com"))["access_token"];
    const bruno = findMailbox(simulator.tenant, "bruno@contoso.com");
    bruno?.fullAccess.push("anna@contoso.com");

    const answers = [
      await send(own, "me"),
      await send(own, "users/bruno@contoso.com"),
      await send(shared, "users/bruno@contoso.com"),
      await send(shared, "users/it@contoso.com"),
    ];

    expect(answers.map(({ status }) => status)).toEqual([202, 403, 202, 403]);
  });
});
