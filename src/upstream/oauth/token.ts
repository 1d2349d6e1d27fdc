/** An access token at hand whenever one is needed: fetched once for all who ask, renewed ahead of time, kept in memory. */
import type { Clock } from "../../platform/clock.ts";
import type { Refusal } from "../upstream.ts";

/** A bearer token. */
export interface AccessToken {
  readonly value: string;
  /** ms since the epoch. */
  readonly expiresAt: number;
}

/** Asks the authority for a new token. Never rejects; a refusal has stage `token`. */
export type FetchToken = () => Promise<AccessToken | Refusal>;

/** Tokens live 60 to 90 minutes. High Volume Email refuses those with little time left, so all doors renew early. */
const RENEW_BELOW_MS = 15 * 60_000;
/** A token with less than this left may end while it is being used. */
const LAST_USE_MS = 60_000;

/** The token of one credential. */
export class TokenSource {
  readonly #fetch: FetchToken;
  readonly #clock: Clock;
  #token: AccessToken | undefined;
  #underWay: Promise<AccessToken | Refusal> | undefined;

  constructor(fetch: FetchToken, clock: Clock) {
    this.#fetch = fetch;
    this.#clock = clock;
  }

  /** A valid token. Where renewing fails and the old token is still valid, that one. */
  async get(): Promise<AccessToken | Refusal> {
    const now = this.#clock.now();
    if (this.#token !== undefined && this.#token.expiresAt - now >= RENEW_BELOW_MS) return this.#token;
    const fetched = await (this.#underWay ??= this.#renew());
    if ("value" in fetched) return fetched;
    return this.#token !== undefined && this.#token.expiresAt - this.#clock.now() >= LAST_USE_MS ? this.#token : fetched;
  }

  /** A new token, whatever is at hand: what a look at the credential asks for. */
  async fresh(): Promise<AccessToken | Refusal> {
    return await (this.#underWay ??= this.#renew());
  }

  /** The token was refused: it will not be given out again. A newer one stays. */
  drop(value: string): void {
    if (this.#token?.value === value) this.#token = undefined;
  }

  async #renew(): Promise<AccessToken | Refusal> {
    const fetched = await this.#fetch();
    this.#underWay = undefined;
    if ("value" in fetched) this.#token = fetched;
    return fetched;
  }
}
