/** Whatever gets tokens for a credential. */
import type { Clock } from "../../platform/clock.ts";
import type { Refusal } from "../upstream.ts";
import type { OAuthCredential } from "./credential.ts";
import type { tokenNetwork, TokenNetworkOptions } from "./network.ts";
import type { FetchToken } from "./token.ts";

/** Whom to ask for what. */
export interface EntraOptions extends TokenNetworkOptions {
  /** `https://HOST/TENANT`. */
  readonly authority: string;
  /** For instance `https://outlook.office365.com/.default`; several delegated ones are separated by spaces. */
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
  /**
   * Keeps a sign-in alive that ends when it is not used. Absent where there is none.
   *
   * @param report - told how each renewal went; undefined: well
   * @returns what ends it
   */
  readonly keepAlive?: ((report: (refusal: Refusal | undefined) => void) => () => void) | undefined;
}
