/** Tokens for an application that a person signed in (device code, https://learn.microsoft.com/entra/identity-platform/v2-oauth2-device-code). */
import type { PublicClientApplication } from "@azure/msal-node";
import { describeError } from "../../mail/errors.ts";
import { faultAt } from "../smtp/fault.ts";
import type { Refusal } from "../upstream.ts";
import { authorityOf, quietSystem } from "./authority.ts";
import type { EntraClient, EntraOptions } from "./client.ts";
import type { DeviceCodeCredential } from "./credential.ts";
import type { LastAnswer } from "./network.ts";
import { strike, tokenRefusal } from "./refusal.ts";
import type { SignIn } from "./sign-in-store.ts";

const DAY_MS = 86_400_000;
/** A refresh token that is not used for so long is worth nothing. */
const LIFE_MS = 90 * DAY_MS;
/** Renewed so often even without mail. */
const RENEW_MS = 6 * DAY_MS;
const LOOK_MS = 6 * 3_600_000;

/** msal's names for a code that nobody used in time. */
const EXPIRED_CODES: ReadonlySet<unknown> = new Set(["device_code_expired", "user_timeout_reached"]);

/** What a person has to be shown. */
export interface CodeToShow {
  readonly url: string;
  readonly code: string;
  readonly expiresInSeconds: number;
}

interface Answered {
  readonly accessToken: string;
  readonly expiresAt: number;
  readonly refreshToken: string | undefined;
  readonly account: string;
}

/** A client that uses the sign-in that the store keeps, and keeps the newest refresh token there. */
export function deviceCodeClient(options: EntraOptions, credential: DeviceCodeCredential): EntraClient {
  const { store, clientId, command } = credential;
  let usedAt: number | undefined;

  const fetch: EntraClient["fetch"] = async () => {
    let signIn: SignIn | undefined;
    try {
      signIn = await store.read();
    } catch (error) {
      return faultAt("token", "NOT_SIGNED_IN", `the sign-in cannot be read: ${describeError(error)}; sign in with ${command}`);
    }
    if (signIn === undefined) return faultAt("token", "NOT_SIGNED_IN", `nobody has signed in; sign in with ${command}`);
    const authority = authorityOf(options.authority).authority;
    if (signIn.clientId !== clientId || signIn.authority !== authority)
      return faultAt("token", "NOT_SIGNED_IN", `the sign-in is for another application or tenant; sign in with ${command}`);
    const { refreshToken } = signIn;
    const answer = await ask(options, clientId, (app) => app.acquireTokenByRefreshToken({ refreshToken, scopes: scopesOf(options) }));
    if ("stage" in answer) return strike(answer, [refreshToken]);
    usedAt = options.clock.now();
    try {
      await store.write({ ...signIn, refreshToken: answer.refreshToken ?? refreshToken, usedAt });
    } catch {
      // The one that was used stays good at Entra for as long as it would have; what matters is the token for the mail that waits.
    }
    return { value: answer.accessToken, expiresAt: answer.expiresAt };
  };

  const readExpiry = async (): Promise<void> => {
    const signIn = await store.read().catch(() => undefined);
    usedAt = signIn?.usedAt ?? usedAt;
  };

  return {
    fetch,
    credentialExpiresAt: () => (usedAt === undefined ? undefined : usedAt + LIFE_MS),
    readExpiry,
    keepAlive: (report) => {
      let stop: (() => void) | undefined;
      let stopped = false;
      const look = async (): Promise<void> => {
        await readExpiry();
        if (usedAt !== undefined && options.clock.now() - usedAt >= RENEW_MS) {
          const answer = await fetch();
          if (!stopped) report("stage" in answer ? answer : undefined);
        }
        if (!stopped) stop = options.clock.after(LOOK_MS, () => void look());
      };
      void look();
      return () => {
        stopped = true;
        stop?.();
      };
    },
  };
}

/**
 * Signs a person in. Takes as long as they do, at most the life of the code.
 *
 * @param show - called with what they need: an address to open and a code to type
 * @returns who signed in, or why it came to nothing
 */
export async function signInByDeviceCode(
  options: EntraOptions,
  credential: DeviceCodeCredential,
  show: (code: CodeToShow) => void,
  signal: AbortSignal,
): Promise<{ readonly account: string } | Refusal> {
  const { clientId, store } = credential;
  const request = {
    scopes: scopesOf(options),
    deviceCodeCallback: (code: { verificationUri: string; userCode: string; expiresIn: number }) =>
      show({ url: code.verificationUri, code: code.userCode, expiresInSeconds: code.expiresIn }),
    cancel: false,
  };
  // msal looks at it before each question.
  const cancel = (): void => void (request.cancel = true);
  signal.addEventListener("abort", cancel);
  const answer = await ask(options, clientId, (app) => app.acquireTokenByDeviceCode(request));
  signal.removeEventListener("abort", cancel);
  if (signal.aborted) return faultAt("token", "ABORTED", "stopped before anybody had signed in");
  if ("stage" in answer) return answer;
  const { refreshToken, account } = answer;
  if (refreshToken === undefined)
    return faultAt("token", "TOKEN", "the answer holds no refresh token: the application must be allowed offline_access");
  const { authority } = authorityOf(options.authority);
  await store.write({ refreshToken, account, clientId, authority, usedAt: options.clock.now() });
  return { account };
}

/** The delegated scopes; msal adds offline_access, which brings the refresh token, by itself. */
function scopesOf(options: EntraOptions): string[] {
  return options.scope.split(/\s+/).filter((scope) => scope !== "");
}

type TokenResult = Awaited<ReturnType<PublicClientApplication["acquireTokenByRefreshToken"]>>;

async function ask(
  options: EntraOptions,
  clientId: string,
  question: (app: PublicClientApplication) => Promise<TokenResult>,
): Promise<Answered | Refusal> {
  const last: LastAnswer = { status: 0, body: undefined, failure: undefined };
  const makeNetwork = options.network ?? (await import("./network.ts")).tokenNetwork;
  const network = makeNetwork(options, last);
  try {
    const { PublicClientApplication, LogLevel } = await import("@azure/msal-node");
    const app = new PublicClientApplication({
      auth: { clientId, ...authorityOf(options.authority) },
      system: quietSystem(network, LogLevel.Error),
    });
    const result = await question(app);
    if (result === null || !result.accessToken || last.status >= 400) return tokenRefusal(new Error("the answer holds no token"), last);
    // msal keeps the refresh token to itself.
    const { refresh_token: refreshToken } = (last.body ?? {}) as { refresh_token?: unknown };
    return {
      accessToken: result.accessToken,
      expiresAt: result.expiresOn?.getTime() ?? options.clock.now(),
      refreshToken: typeof refreshToken === "string" && refreshToken !== "" ? refreshToken : undefined,
      account: result.account?.username ?? "",
    };
  } catch (error) {
    // By then the last answer is still "pending".
    if (EXPIRED_CODES.has((error as { errorCode?: unknown }).errorCode))
      return faultAt("token", "expired_token", "nobody signed in while the code was good");
    return tokenRefusal(error, last);
  } finally {
    await network.close();
  }
}
