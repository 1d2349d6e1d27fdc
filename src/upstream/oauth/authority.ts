/** An authority as msal wants to know it. */
import type { LogLevel, NodeSystemOptions } from "@azure/msal-node";
import type { INetworkModule } from "@azure/msal-node";

/**
 * The endpoints of an authority are fixed by its address; discovery would ask Microsoft's public host about a stand-in.
 *
 * @param url - `https://HOST/TENANT`
 */
export function authorityOf(url: string): {
  readonly authority: string;
  readonly knownAuthorities: string[];
  readonly authorityMetadata: string;
} {
  const authority = url.replace(/\/+$/, "");
  return { authority, knownAuthorities: [new URL(authority).host], authorityMetadata: JSON.stringify(metadataOf(authority)) };
}

/** Host and port of an authority, for people. */
export function authorityPlace(url: string): string {
  const { hostname, port } = new URL(url);
  return `${hostname}:${port === "" ? 443 : port}`;
}

/** No retries of its own, and not a word of what it does: its log could hold what must not be logged. */
export function quietSystem(networkClient: INetworkModule, logLevel: LogLevel): NodeSystemOptions {
  return { networkClient, disableInternalRetries: true, loggerOptions: { piiLoggingEnabled: false, logLevel, loggerCallback: () => {} } };
}

function metadataOf(authority: string): Record<string, string> {
  return {
    authorization_endpoint: `${authority}/oauth2/v2.0/authorize`,
    token_endpoint: `${authority}/oauth2/v2.0/token`,
    end_session_endpoint: `${authority}/oauth2/v2.0/logout`,
    device_authorization_endpoint: `${authority}/oauth2/v2.0/devicecode`,
    jwks_uri: `${authority}/discovery/v2.0/keys`,
    issuer: `${authority}/v2.0`,
  };
}
