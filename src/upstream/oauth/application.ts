/** Client credentials at Entra: one token request, its answer as a token or as a fact. */
import { describeError } from "../../mail/errors.ts";
import { faultAt } from "../smtp/fault.ts";
import type { Refusal } from "../upstream.ts";
import { authorityOf, quietSystem } from "./authority.ts";
import type { EntraClient, EntraOptions } from "./client.ts";
import { readEnd, readProof } from "./credential.ts";
import type { ApplicationCredential } from "./credential.ts";
import type { LastAnswer } from "./network.ts";
import { strike, tokenRefusal } from "./refusal.ts";
import type { AccessToken } from "./token.ts";

/** A client for an application that signs in as itself. Nothing is read or sent before the first call. */
export function applicationClient(options: EntraOptions, credential: ApplicationCredential): EntraClient {
  let expiresAt = credential.expiresAt;
  return {
    credentialExpiresAt: () => expiresAt,
    readExpiry: async () => {
      const end = await readEnd(credential).catch(() => undefined);
      expiresAt ??= end;
    },
    fetch: async () => {
      let read: Awaited<ReturnType<typeof readProof>>;
      try {
        read = await readProof(credential);
      } catch (error) {
        return faultAt("token", "SECRET", describeError(error));
      }
      expiresAt = read.expiresAt;
      const answer = await requestToken(options, credential.clientId, read.proof);
      return "value" in answer ? answer : strike(answer, read.secrets);
    },
  };
}

async function requestToken(
  options: EntraOptions,
  clientId: string,
  proof: Awaited<ReturnType<typeof readProof>>["proof"],
): Promise<AccessToken | Refusal> {
  const last: LastAnswer = { status: 0, body: undefined, failure: undefined };
  // Loaded at the first token only: msal and undici are large, and nothing but tokens needs them.
  const makeNetwork = options.network ?? (await import("./network.ts")).tokenNetwork;
  const network = makeNetwork(options, last);
  try {
    const { ConfidentialClientApplication, LogLevel } = await import("@azure/msal-node");
    const app = new ConfidentialClientApplication({
      auth: { clientId, ...authorityOf(options.authority), ...proof },
      system: quietSystem(network, LogLevel.Error),
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
