/** Client credentials at Entra: one token request, its answer as a token or as a fact. */
import { describeError } from "../../mail/errors.ts";
import type { Clock } from "../../platform/clock.ts";
import { faultAt, faultOf } from "../smtp/fault.ts";
import type { Refusal } from "../upstream.ts";
import { readEnd, readProof } from "./credential.ts";
import type { OAuthCredential } from "./credential.ts";
import type { LastAnswer, tokenNetwork, TokenNetworkOptions } from "./network.ts";
import type { AccessToken, FetchToken } from "./token.ts";

/** Whom to ask for what. */
export interface EntraOptions extends TokenNetworkOptions {
  /** `https://HOST/TENANT`. */
  readonly authority: string;
  /** For instance `https://outlook.office365.com/.default`. */
  readonly scope: string;
  readonly credential: OAuthCredential;
  readonly clock: Clock;
  /** Stands in for the network in tests. */
  readonly network?: typeof tokenNetwork | undefined;
}

/** A token for the credential, and when that ends as far as is known. */
export interface EntraClient {
  readonly fetch: FetchToken;
  readonly credentialExpiresAt: () => number | undefined;
  /** Reads when the credential ends, where its certificate tells. Never rejects: one that cannot be read is reported by the first fetch. */
  readonly readExpiry: () => Promise<void>;
}

/** Makes a client. Nothing is read or sent before the first call. */
export function entraClient(options: EntraOptions): EntraClient {
  let expiresAt = options.credential.expiresAt;
  return {
    credentialExpiresAt: () => expiresAt,
    readExpiry: async () => {
      const end = await readEnd(options.credential).catch(() => undefined);
      expiresAt ??= end;
    },
    fetch: async () => {
      let read: Awaited<ReturnType<typeof readProof>>;
      try {
        read = await readProof(options.credential);
      } catch (error) {
        return faultAt("token", "SECRET", describeError(error));
      }
      expiresAt = read.expiresAt;
      const answer = await requestToken(options, read.proof);
      return "value" in answer ? answer : strike(answer, read.secrets);
    },
  };
}

async function requestToken(options: EntraOptions, proof: Awaited<ReturnType<typeof readProof>>["proof"]): Promise<AccessToken | Refusal> {
  const last: LastAnswer = { status: 0, body: undefined, failure: undefined };
  const authority = options.authority.replace(/\/+$/, "");
  // Loaded at the first token only: msal and undici are large, and nothing but tokens needs them.
  const makeNetwork = options.network ?? (await import("./network.ts")).tokenNetwork;
  const network = makeNetwork(options, last);
  try {
    const { ConfidentialClientApplication, LogLevel } = await import("@azure/msal-node");
    const app = new ConfidentialClientApplication({
      auth: {
        clientId: options.credential.clientId,
        authority,
        // The endpoints of an authority are fixed by its address; discovery would ask Microsoft's public host about a stand-in.
        knownAuthorities: [new URL(authority).host],
        authorityMetadata: JSON.stringify(metadataOf(authority)),
        ...proof,
      },
      system: {
        networkClient: network,
        disableInternalRetries: true,
        loggerOptions: { piiLoggingEnabled: false, logLevel: LogLevel.Error, loggerCallback: () => {} },
      },
    });
    const result = await app.acquireTokenByClientCredential({ scopes: [options.scope], skipCache: true });
    // msal reads an answer that is no JSON object as a token of nothing.
    if (result === null || !result.accessToken || last.status >= 400) return tokenRefusal(new Error("the answer holds no token"), last);
    return { value: result.accessToken, expiresAt: result.expiresOn?.getTime() ?? options.clock.now() };
  } catch (error) {
    return tokenRefusal(error, last);
  } finally {
    await network.close();
  }
}

function metadataOf(authority: string): Record<string, string> {
  return {
    authorization_endpoint: `${authority}/oauth2/v2.0/authorize`,
    token_endpoint: `${authority}/oauth2/v2.0/token`,
    end_session_endpoint: `${authority}/oauth2/v2.0/logout`,
    jwks_uri: `${authority}/discovery/v2.0/keys`,
    issuer: `${authority}/v2.0`,
  };
}

/** Entra's refusal by its AADSTS number; else the OAuth error; else what the network or msal said. */
function tokenRefusal(error: unknown, last: LastAnswer): Refusal {
  const { error: oauthError, error_description: description } = (last.body ?? {}) as { error?: unknown; error_description?: unknown };
  const text = typeof description === "string" ? firstSentence(description) : "";
  const aadsts = /\bAADSTS\d{4,9}\b/.exec(text)?.[0];
  if (aadsts !== undefined) return faultAt("token", aadsts, text);
  if (typeof oauthError === "string" && oauthError !== "")
    return faultAt("token", oauthError.slice(0, 64), text === "" ? `HTTP ${last.status}` : text);
  if (last.status >= 400) return faultAt("token", `HTTP_${last.status}`, `the token endpoint answered with status ${last.status}`);
  if (last.status > 0) return faultAt("token", "TOKEN", `no token in the answer: ${firstSentence(describeError(error))}`);
  if (last.failure instanceof Error && last.failure.name === "TimeoutError")
    return faultAt("token", "TIMEOUT", "no answer from the token endpoint in time");
  const fault = faultOf(last.failure ?? error);
  return { stage: "token", fault: { code: NETWORK_CODES[fault.code] ?? fault.code, detail: firstSentence(fault.detail) } };
}

/** undici's names for what has one already. */
const NETWORK_CODES: Readonly<Record<string, string>> = {
  UND_ERR_CONNECT_TIMEOUT: "TIMEOUT",
  UND_ERR_HEADERS_TIMEOUT: "TIMEOUT",
  UND_ERR_BODY_TIMEOUT: "TIMEOUT",
  UND_ERR_SOCKET: "RESET",
};

/** Microsoft's text without its trace ids and times, on one line, cut to what a log line can bear. */
function firstSentence(text: string): string {
  const line = (text.split(/\r?\n/)[0] ?? "").replace(/\s*(Trace ID|Correlation ID|Timestamp):.*$/i, "");
  return line
    .replace(/[^ -~]+/g, " ")
    .trim()
    .slice(0, 400);
}

/** Takes the secret itself out of a text that someone put it into. */
function strike(refusal: Refusal, secrets: readonly string[]): Refusal {
  const { fault } = refusal;
  if (fault === undefined) return refusal;
  const detail = secrets.reduce((text, secret) => text.replaceAll(secret, "***"), fault.detail);
  return { ...refusal, fault: { code: fault.code, detail } };
}
