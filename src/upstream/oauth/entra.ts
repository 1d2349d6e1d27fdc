/** A client for each kind of credential. */
import { applicationClient } from "./application.ts";
import type { EntraClient, EntraOptions } from "./client.ts";
import { deviceCodeClient } from "./device-code.ts";
import { managedIdentityClient } from "./managed-identity.ts";

export type { EntraClient, EntraOptions } from "./client.ts";

/** Makes a client. Nothing is read or sent before the first call. */
export function entraClient(options: EntraOptions): EntraClient {
  const { credential } = options;
  switch (credential.type) {
    case "client-secret":
    case "client-certificate":
      return applicationClient(options, credential);
    case "device-code":
      return deviceCodeClient(options, credential);
    case "managed-identity":
      return managedIdentityClient(options, credential);
    default:
      return credential satisfies never;
  }
}
