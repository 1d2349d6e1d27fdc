/** The HTTP client that msal uses: https only, with time limits, an own trust store, and bounded answers. msal's default POST has no time-out. */
import tls from "node:tls";
import { Agent, request } from "undici";
import type { INetworkModule, NetworkRequestOptions, NetworkResponse } from "@azure/msal-node";

/** Answers of a token endpoint are a few kB. */
const LARGEST_ANSWER = 256 * 1024;

/** How the token endpoint is reached. */
export interface TokenNetworkOptions {
  /** Further root certificates, PEM. */
  readonly ca: readonly string[];
  /** Local address to connect from. */
  readonly sourceAddress?: string | undefined;
  /** For connecting, and again for the whole answer. Default 30 s. */
  readonly timeoutMs?: number | undefined;
}

/** What came of the last request: msal keeps only part of it in its errors. */
export interface LastAnswer {
  /** 0 while there is no answer. */
  status: number;
  body: unknown;
  /** What the network threw. */
  failure: unknown;
}

/** A network client for one token request; `last` is filled in. */
export function tokenNetwork(options: TokenNetworkOptions, last: LastAnswer): INetworkModule & { close(): Promise<void> } {
  const timeout = options.timeoutMs ?? 30_000;
  const agent = new Agent({
    pipelining: 0,
    headersTimeout: timeout,
    bodyTimeout: timeout,
    connect: {
      timeout,
      minVersion: "TLSv1.2",
      ...(options.sourceAddress === undefined ? {} : { localAddress: options.sourceAddress }),
      ...(options.ca.length === 0 ? {} : { ca: [...tls.getCACertificates("default"), ...options.ca] }),
    },
  });

  async function send<T>(method: "GET" | "POST", url: string, sent?: NetworkRequestOptions): Promise<NetworkResponse<T>> {
    try {
      return await exchange<T>(method, url, sent);
    } catch (error) {
      last.failure = error;
      throw error;
    }
  }

  async function exchange<T>(method: "GET" | "POST", url: string, sent?: NetworkRequestOptions): Promise<NetworkResponse<T>> {
    if (!url.startsWith("https://")) throw new Error("a token is only asked for over https");
    const answer = await request(url, {
      method,
      dispatcher: agent,
      headers: sent?.headers ?? {},
      ...(sent?.body === undefined ? {} : { body: sent.body }),
      signal: AbortSignal.timeout(timeout * 2),
    });
    const pieces: Buffer[] = [];
    let size = 0;
    for await (const piece of answer.body as AsyncIterable<Buffer>) {
      size += piece.length;
      if (size > LARGEST_ANSWER) throw new Error("the answer of the token endpoint is too long");
      pieces.push(piece);
    }
    last.status = answer.statusCode;
    last.body = readJson(Buffer.concat(pieces).toString("utf8"));
    const headers = Object.fromEntries(Object.entries(answer.headers).map(([name, value]) => [name, String(value)]));
    return { headers, body: last.body as T, status: answer.statusCode };
  }

  return {
    sendGetRequestAsync: async (url, sent) => await send("GET", url, sent),
    sendPostRequestAsync: async (url, sent) => await send("POST", url, sent),
    close: async () => await agent.close(),
  };
}

function readJson(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    // A proxy's page instead of an answer: the status tells enough.
    return {};
  }
}
