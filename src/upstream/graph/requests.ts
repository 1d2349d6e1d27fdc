/** Requests to Graph with a token, and what is told of both. */
import type { Emit } from "../../mail/events.ts";
import { formatReply } from "../../mail/reply.ts";
import { orAborted } from "../or-aborted.ts";
import type { AccessToken, TokenSource } from "../oauth/token.ts";
import { describeFault, type Refusal } from "../upstream.ts";
import { replyOf } from "./answers.ts";
import type { GraphExchange, GraphHttp, GraphRequest } from "./http.ts";

export interface RequestsOptions {
  readonly upstream: string;
  readonly http: GraphHttp;
  readonly tokens: TokenSource;
  readonly emit: Emit;
}

/** A request but for its token. */
export interface AskedRequest extends Omit<GraphRequest, "headers"> {
  readonly contentType?: string | undefined;
}

/** What a request with a token came to: exactly one of two. */
export interface Asked {
  readonly exchange?: GraphExchange | undefined;
  /** No token was to be had. */
  readonly refusal?: Refusal | undefined;
}

export class TokenRequests {
  readonly #options: RequestsOptions;
  /** The token that Graph was last seen to take. */
  #proved: string | undefined;

  constructor(options: RequestsOptions) {
    this.#options = options;
  }

  /** One request with a token; a token that is refused is replaced once, since it may be older than the permission. */
  async ask(request: AskedRequest, signal: AbortSignal): Promise<Asked> {
    const { http, tokens, emit, upstream } = this.#options;
    const { contentType, ...rest } = request;
    for (let tries = 1; ; tries += 1) {
      const token = await this.token(signal);
      if ("stage" in token) return { refusal: token };
      const headers: Record<string, string> = { authorization: `Bearer ${token.value}`, accept: "application/json" };
      if (contentType !== undefined) headers["content-type"] = contentType;
      const exchange = await http.exchange({ ...rest, headers }, signal);
      const { answer } = exchange;
      if (answer === undefined) return { exchange };
      const reply = replyOf(answer);
      emit({ type: "upstream.replied", upstream, stage: "final", reply });
      if (answer.status !== 401) {
        if (answer.status < 500 && this.#proved !== token.value) {
          this.#proved = token.value;
          emit({ type: "upstream.auth.succeeded", upstream });
        }
        return { exchange };
      }
      tokens.drop(token.value);
      if (tries === 2) {
        emit({ type: "upstream.auth.failed", upstream, stage: "auth", cause: formatReply(reply), reply });
        return { exchange };
      }
    }
  }

  async token(signal: AbortSignal): Promise<AccessToken | Refusal> {
    const { tokens, emit, upstream } = this.#options;
    const token = await orAborted("token", tokens.get(), signal);
    if ("stage" in token && token.fault?.code !== "ABORTED") {
      const cause = token.reply === undefined ? (token.fault === undefined ? "" : describeFault(token.fault)) : formatReply(token.reply);
      emit({ type: "upstream.auth.failed", upstream, stage: token.stage, cause, reply: token.reply, fault: token.fault });
    }
    return token;
  }
}
