/**
 * Tokens of the machine's own identity, by msal: Azure Arc (`IDENTITY_ENDPOINT` and `IMDS_ENDPOINT`, or the agent found on disk; its key file is
 * read from /var/opt/azcmagent/tokens only), or Azure's metadata service.
 */
import type { INetworkModule } from "@azure/msal-node";
import { describeError } from "../../mail/errors.ts";
import { faultAt } from "../smtp/fault.ts";
import type { Refusal } from "../upstream.ts";
import type { EntraClient, EntraOptions } from "./client.ts";
import type { ManagedIdentityCredential } from "./credential.ts";
import type { LastAnswer } from "./network.ts";
import { firstSentence, tokenRefusal } from "./refusal.ts";
import type { AccessToken } from "./token.ts";

/** msal keeps the endpoint and the network that it first used for the life of the process: so there is one, and one request at a time. */
const last: LastAnswer = { status: 0, body: undefined, failure: undefined };
let network: INetworkModule | undefined;
let queue: Promise<unknown> = Promise.resolve();

/** A client that asks this machine. */
export function managedIdentityClient(options: EntraOptions, credential: ManagedIdentityCredential): EntraClient {
  return {
    fetch: async () => {
      const asked = queue.then(async () => await askMachine(options, credential));
      queue = asked;
      return await asked;
    },
    credentialExpiresAt: () => undefined,
    readExpiry: async () => {},
  };
}

async function askMachine({ scope, clock }: EntraOptions, { clientId }: ManagedIdentityCredential): Promise<AccessToken | Refusal> {
  Object.assign(last, { status: 0, body: undefined, failure: undefined });
  network ??= (await import("./network.ts")).machineNetwork(last);
  try {
    const { ManagedIdentityApplication, LogLevel } = await import("@azure/msal-node");
    const app = new ManagedIdentityApplication({
      ...(clientId === undefined ? {} : { managedIdentityIdParams: { userAssignedClientId: clientId } }),
      system: {
        networkClient: network,
        disableInternalRetries: true,
        loggerOptions: { piiLoggingEnabled: false, logLevel: LogLevel.Error, loggerCallback: () => {} },
      },
    });
    const result = await app.acquireToken({ resource: scope, forceRefresh: true });
    if (!result.accessToken) return faultAt("token", "ARC_UNAVAILABLE", "the machine's identity service gave no token");
    return { value: result.accessToken, expiresAt: result.expiresOn?.getTime() ?? clock.now() };
  } catch (error) {
    return refusalOf(error);
  }
}

/** The service that is not there, or will not let us read its key file, is one thing; an identity that Entra refuses is another. */
function refusalOf(error: unknown): Refusal {
  if (last.failure !== undefined)
    return faultAt("token", "ARC_UNAVAILABLE", `no identity service on this machine: ${firstSentence(describeError(last.failure))}`);
  const entra = tokenRefusal(error, last);
  if (entra.fault?.code.startsWith("AADSTS") === true) return entra;
  const said = last.status >= 400 && last.status !== 401 ? `: ${entra.fault?.detail ?? ""}` : "";
  return faultAt("token", "ARC_UNAVAILABLE", `${firstSentence(describeError(error))}${said}`);
}
