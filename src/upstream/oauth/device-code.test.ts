import { afterEach, describe, expect, test } from "vitest";
import { makeTestAuthority } from "../../../test/fakes/test-ca.ts";
import { startTokenEndpoint } from "../../../test/fakes/token-endpoint.ts";
import type { TokenAnswer, TokenEndpoint, TokenQuestion } from "../../../test/fakes/token-endpoint.ts";
import { ManualClock } from "../../platform/clock.ts";
import type { Refusal } from "../upstream.ts";
import type { DeviceCodeCredential } from "./credential.ts";
import { deviceCodeClient, signInByDeviceCode } from "./device-code.ts";
import type { CodeToShow } from "./device-code.ts";
import type { SignIn } from "./sign-in-store.ts";

const DAY_MS = 86_400_000;
const authority = makeTestAuthority();
const certificate = authority.issue(["127.0.0.1"]);
const never = new AbortController().signal;

const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
});

const CODE: TokenAnswer = {
  body: {
    device_code: "DEVICE",
    user_code: "ABCD-EFGH",
    verification_uri: "https://login.example/device",
    expires_in: 900,
    interval: 0,
    message: "open it",
  },
};
const pending: TokenAnswer = { status: 400, body: { error: "authorization_pending", error_description: "AADSTS70016: pending" } };
const jwt = (claims: object): string => ["{}", JSON.stringify(claims), ""].map((part) => Buffer.from(part).toString("base64url")).join(".");
const tokens = (access: string, refresh?: string): TokenAnswer => ({
  body: {
    token_type: "Bearer",
    expires_in: 4500,
    scope: "https://outlook.office.com/SMTP.Send",
    access_token: access,
    refresh_token: refresh,
    id_token: jwt({ tid: "t", oid: "o", sub: "s", preferred_username: "anna@contoso.com", exp: 4_000_000_000 }),
    client_info: Buffer.from(JSON.stringify({ uid: "o", utid: "t" })).toString("base64url"),
  },
});

interface Scene {
  readonly entra: TokenEndpoint;
  readonly clock: ManualClock;
  readonly credential: DeviceCodeCredential;
  readonly options: Parameters<typeof deviceCodeClient>[0];
  readonly kept: () => SignIn | undefined;
}

/** The token endpoint's answers in order; the last one stays. */
async function scene(answers: readonly TokenAnswer[], kept?: Partial<SignIn>): Promise<Scene> {
  let count = 0;
  const entra = await startTokenEndpoint(certificate, ({ path }) =>
    path.endsWith("/devicecode") ? CODE : answers[Math.min(count++, answers.length - 1)],
  );
  cleanUps.push(entra.close);
  const clock = new ManualClock(Date.now());
  const url = `${entra.url}/contoso.onmicrosoft.com`;
  let signIn: SignIn | undefined =
    kept === undefined
      ? undefined
      : { refreshToken: "REFRESH-0", account: "anna@contoso.com", clientId: "app", authority: url, usedAt: clock.now(), ...kept };
  const credential: DeviceCodeCredential = {
    type: "device-code",
    clientId: "app",
    command: "postern auth login scans",
    store: {
      read: async () => signIn,
      write: async (given) => {
        signIn = given;
      },
    },
  };
  const options = { authority: url, scope: "https://outlook.office.com/SMTP.Send", ca: [authority.ca], credential, clock };
  return { entra, clock, credential, options, kept: () => signIn };
}

const grants = (asked: readonly TokenQuestion[]): (string | null)[] =>
  asked.map(({ form }) => form.get("grant_type")).filter((grant) => grant !== null);

describe("signing in", () => {
  test("shows the code, waits until it was used, and keeps the refresh token", async () => {
    const { entra, credential, options, kept, clock } = await scene([pending, pending, tokens("ACCESS-1", "REFRESH-1")]);
    const shown: CodeToShow[] = [];

    const result = await signInByDeviceCode(options, credential, (code) => shown.push(code), never);

    expect(result).toEqual({ account: "anna@contoso.com" });
    expect(shown).toEqual([{ url: "https://login.example/device", code: "ABCD-EFGH", expiresInSeconds: 900 }]);
    expect(kept()).toEqual({
      refreshToken: "REFRESH-1",
      account: "anna@contoso.com",
      clientId: "app",
      authority: options.authority,
      usedAt: clock.now(),
    });
    const [first] = entra.asked;
    expect(first?.path).toBe("/contoso.onmicrosoft.com/oauth2/v2.0/devicecode");
    expect(first?.form.get("scope")?.split(" ")).toEqual(
      expect.arrayContaining(["https://outlook.office.com/SMTP.Send", "offline_access"]),
    );
  });

  test.each([
    ["declined", { status: 400, body: { error: "authorization_declined", error_description: "declined" } }, "authorization_declined"],
    [
      "an application that may not",
      { status: 400, body: { error: "invalid_client", error_description: "AADSTS7000218: no secret" } },
      "AADSTS7000218",
    ],
  ])("%s is a fact, and nothing is kept", async (_, answer, code) => {
    const { credential, options, kept } = await scene([pending, answer]);

    expect(await signInByDeviceCode(options, credential, () => {}, never)).toMatchObject({ stage: "token", fault: { code } });
    expect(kept()).toBeUndefined();
  });

  test("can be stopped while it waits", async () => {
    const { credential, options } = await scene([pending]);
    const stop = new AbortController();

    const result = await signInByDeviceCode(options, credential, () => stop.abort(), stop.signal);

    expect(result).toMatchObject({ fault: { code: "ABORTED" } });
  });
});

describe("tokens", () => {
  test("come from the refresh token, and the newest one is kept", async () => {
    const { entra, options, credential, kept } = await scene([tokens("ACCESS-1", "REFRESH-1"), tokens("ACCESS-2")], {});
    const client = deviceCodeClient(options, credential);

    const first = await client.fetch();
    const second = await client.fetch();

    expect([first, second]).toMatchObject([{ value: "ACCESS-1" }, { value: "ACCESS-2" }]);
    expect(entra.asked.map(({ form }) => form.get("refresh_token"))).toEqual(["REFRESH-0", "REFRESH-1"]);
    expect(grants(entra.asked)).toEqual(["refresh_token", "refresh_token"]);
    expect(kept()?.refreshToken).toBe("REFRESH-1");
  });

  test("are not to be had before somebody signed in, and are as soon as somebody did", async () => {
    const { entra, options, credential } = await scene([tokens("ACCESS-1", "REFRESH-1")]);
    const client = deviceCodeClient(options, credential);

    const before = await client.fetch();
    await signInByDeviceCode(options, credential, () => {}, never);

    expect(before).toEqual({
      stage: "token",
      fault: { code: "NOT_SIGNED_IN", detail: "nobody has signed in; sign in with postern auth login scans" },
    });
    expect(await client.fetch()).toMatchObject({ value: "ACCESS-1" });
    expect(entra.asked.length).toBeGreaterThan(0);
  });

  test("are not asked for with another application's sign-in", async () => {
    const { entra, options, credential } = await scene([tokens("ACCESS-1")], { clientId: "other" });

    expect(await deviceCodeClient(options, credential).fetch()).toMatchObject({ fault: { code: "NOT_SIGNED_IN" } });
    expect(entra.asked).toHaveLength(0);
  });

  test("that Entra no longer gives are refused by its number, without the refresh token", async () => {
    const description = "AADSTS700082: The refresh token REFRESH-0 has expired due to inactivity. Trace ID: 1";
    const { options, credential, kept } = await scene(
      [{ status: 400, body: { error: "invalid_grant", error_description: description } }],
      {},
    );

    const refused = await deviceCodeClient(options, credential).fetch();

    expect(refused).toMatchObject({ stage: "token", fault: { code: "AADSTS700082" } });
    expect(JSON.stringify(refused)).not.toContain("REFRESH-0");
    expect(kept()?.refreshToken).toBe("REFRESH-0");
  });
});

describe("without mail", () => {
  test("a sign-in that was not used for six days is renewed, and only then", async () => {
    const { entra, clock, options, credential, kept } = await scene([tokens("ACCESS-1", "REFRESH-1")], {
      usedAt: Date.now() - 5.5 * DAY_MS,
    });
    const reports: (Refusal | undefined)[] = [];
    const reported = Promise.withResolvers<void>();
    const stop = deviceCodeClient(options, credential).keepAlive?.((refusal) => {
      reports.push(refusal);
      reported.resolve();
    });
    await expect.poll(() => clock.pending).toBe(1);
    expect(entra.asked).toHaveLength(0);

    clock.advance(6 * 3_600_000);
    await expect.poll(() => clock.pending).toBe(1);
    clock.advance(6 * 3_600_000);
    await reported.promise;
    stop?.();

    expect(reports).toEqual([undefined]);
    expect(kept()).toMatchObject({ refreshToken: "REFRESH-1", usedAt: clock.now() });
  });

  test("its end is 90 days after its last use", async () => {
    const usedAt = Date.now() - 10 * DAY_MS;
    const { options, credential } = await scene([tokens("ACCESS-1")], { usedAt });
    const client = deviceCodeClient(options, credential);

    await client.readExpiry();

    expect(client.credentialExpiresAt()).toBe(usedAt + 90 * DAY_MS);
  });
});
