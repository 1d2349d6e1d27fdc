/**
 * Who comes in by the network: only with `Authorization: Bearer TOKEN`, looked at before any library of the API is loaded and before a body is read.
 *
 * Nothing else lets anybody in: no cookie, no password of a browser, no address. So a page of somebody else's has nothing to ride on (CSRF), whatever
 * name it makes a browser find us under (DNS rebinding), and there are no CORS headers that would let it show a token.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { TokenVerdict } from "../access/tokens.ts";
import { withoutTokens } from "../access/token.ts";
import { describeError } from "../mail/errors.ts";
import type { Emit, EventOf } from "../mail/events.ts";
import type { Clock } from "../platform/clock.ts";
import type { Caller } from "./caller.ts";
import { Failures } from "./failures.ts";

/** The tokens as the guard asks them. */
export interface TokenSource {
  /** @throws PosternError when they cannot be looked at */
  authenticate(token: string): Promise<TokenVerdict>;
}

export interface GuardOptions {
  readonly tokens: TokenSource;
  readonly emit: Emit;
  readonly clock: Clock;
}

type Reason = EventOf<"api.refused">["reason"];

/** What a refusal is answered with. */
interface Refusal {
  readonly status: 401 | 403 | 429 | 503;
  readonly reason: Reason;
  readonly message: string;
  /** The name of the token. */
  readonly token?: string | undefined;
}

const MOST_PATH = 100;
const SCHEME = 'Bearer realm="postern"';

export class Guard {
  readonly #options: GuardOptions;
  readonly #failures: Failures;

  constructor(options: GuardOptions) {
    this.#options = options;
    this.#failures = new Failures(options.clock);
  }

  /** Who asks; undefined when the request was refused, and answered. */
  async admit(request: IncomingMessage, response: ServerResponse): Promise<Caller | undefined> {
    const text = bearerOf(request.headers.authorization);
    if (typeof text !== "string") {
      await this.#refuse(request, response, { status: 401, ...text });
      return undefined;
    }
    let verdict: TokenVerdict;
    try {
      verdict = await this.#options.tokens.authenticate(text);
    } catch (error) {
      const message = `tokens cannot be looked at, so nobody is let in: ${describeError(error)}`;
      await this.#refuse(request, response, { status: 503, reason: "tokens-unusable", message });
      return undefined;
    }
    if (verdict.ok) {
      const { name, role, expiresAt } = verdict.token;
      return { role, token: { name, expiresAt }, address: addressOf(request), holds: async () => await this.#holds(text) };
    }
    const refusal: Refusal =
      verdict.reason === "expired"
        ? { status: 401, reason: "expired-token", message: "this token has expired", token: verdict.name }
        : { status: 401, reason: "unknown-token", message: "this token is not known here, or was revoked" };
    await this.#refuse(request, response, refusal);
    return undefined;
  }

  async #holds(text: string): Promise<boolean> {
    try {
      return (await this.#options.tokens.authenticate(text)).ok;
    } catch {
      return false;
    }
  }

  async #refuse(request: IncomingMessage, response: ServerResponse, refusal: Refusal): Promise<void> {
    const { clock } = this.#options;
    const address = addressOf(request);
    const { failures, delayMs } = this.#failures.note(address);
    this.#tell(request, delayMs === undefined ? { ...refusal, reason: "too-many" } : refusal, failures);
    if (delayMs === undefined) {
      const message = "too many requests of this address were refused; come back later, with a token";
      answer(response, { status: 429, reason: "too-many", message });
      return;
    }
    try {
      if (delayMs > 0) await elapsed(clock, delayMs, response);
      answer(response, refusal);
    } finally {
      this.#failures.answered(address);
    }
  }

  #tell(request: IncomingMessage, { reason, token }: Refusal, failures: number): void {
    const { method = "", url = "" } = request;
    this.#options.emit({ type: "api.refused", address: addressOf(request), reason, method, path: pathOf(url), token, failures });
  }
}

/** The token of a header that has one, else what is wrong with it. */
function bearerOf(header: string | undefined): string | Pick<Refusal, "reason" | "message"> {
  const how = "send it as Authorization: Bearer TOKEN (postern token add makes one)";
  if (header === undefined) return { reason: "no-token", message: `a token is needed: ${how}` };
  const [, token] = /^Bearer +([A-Za-z0-9._~+/-]{1,200}=*) *$/i.exec(header) ?? [];
  return token ?? { reason: "malformed", message: `this is no token: ${how}` };
}

/** An address as the log shows it, IPv4 as IPv4. */
function addressOf({ socket }: IncomingMessage): string {
  return (socket.remoteAddress ?? "unknown").replace(/^::ffff:(?=\d+\.)/, "");
}

/** A path for the log. People put tokens where they do not belong. */
export function pathOf(url: string): string {
  return withoutTokens((url.split("?", 1)[0] ?? "").slice(0, 4 * MOST_PATH)).slice(0, MOST_PATH);
}

function answer(response: ServerResponse, { status, reason, message }: Refusal): void {
  if (response.destroyed) return;
  const body = JSON.stringify({ error: { code: reason.replaceAll("-", "_"), message } });
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    // A body may be on its way that nobody is going to read.
    connection: "close",
    ...(status === 401 ? { "www-authenticate": reason === "no-token" ? SCHEME : `${SCHEME}, error="invalid_token"` } : {}),
    ...(status === 429 || status === 503 ? { "retry-after": "10" } : {}),
  });
  response.end(body);
}

/** Resolves after so long, or when whoever waits for the answer is gone. */
function elapsed(clock: Clock, ms: number, response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const cancel = clock.after(ms, resolve);
    response.once("close", () => {
      cancel();
      resolve();
    });
  });
}
