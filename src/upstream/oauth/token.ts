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

/** Tokens live 60 to 90 minutes. High Volume Email refuses those with little time left, so all doors renew early; short ones at half their life. */
const RENEW_BELOW_MS = 15 * 60_000;
/** A renewal that failed is tried again after so long while the old token serves: asking may take half a minute, and every message asks. */
const ASK_AGAIN_MS = 60_000;
/** A token with less than this left may end while it is being used. */
const LAST_USE_MS = 60_000;

/** The token of one credential. */
export class TokenSource {
  readonly #fetch: FetchToken;
  readonly #clock: Clock;
  #token: AccessToken | undefined;
  #renewAt = 0;
  #underWay: Promise<AccessToken | Refusal> | undefined;

  constructor(fetch: FetchToken, clock: Clock) {
    this.#fetch = fetch;
    this.#clock = clock;
  }

  /** A valid token. Where renewing fails and the old token is still valid, that one. */
  async get(): Promise<AccessToken | Refusal> {
    const now = this.#clock.now();
    if (now <= this.#renewAt && this.#isUsable(now)) return this.#token as AccessToken;
    const fetched = await (this.#underWay ??= this.#renew());
    if ("value" in fetched) return fetched;
    return this.#isUsable(this.#clock.now()) ? (this.#token as AccessToken) : fetched;
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
    const now = this.#clock.now();
    if ("value" in fetched) {
      this.#token = fetched;
      this.#renewAt = fetched.expiresAt - Math.min(RENEW_BELOW_MS, (fetched.expiresAt - now) / 2);
    } else this.#renewAt = now + ASK_AGAIN_MS;
    return fetched;
  }

  #isUsable(now: number): boolean {
    return this.#token !== undefined && this.#token.expiresAt - now >= LAST_USE_MS;
  }
}
