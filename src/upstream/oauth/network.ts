/** The HTTP clients that msal uses: https only, with time limits, an own trust store, and bounded answers. msal's default POST has no time-out. */
import { isIP } from "node:net";
import { Agent, request } from "undici";
import type { Dispatcher } from "undici";
import type { INetworkModule, NetworkRequestOptions, NetworkResponse } from "@azure/msal-node";
import { httpDispatcher } from "../../platform/http-dispatcher.ts";

/** Answers of a token endpoint are a few kB. */
const LARGEST_ANSWER = 256 * 1024;

/** How the token endpoint is reached. */
export interface TokenNetworkOptions {
  /** Further root certificates, PEM. */
  readonly ca: readonly string[];
  /** URL of an HTTP proxy. */
  readonly proxy?: string | undefined;
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
  const agent = httpDispatcher({ ...options, timeoutMs: timeout });
  const send = async <T>(method: "GET" | "POST", url: string, sent?: NetworkRequestOptions): Promise<NetworkResponse<T>> => {
    if (!url.startsWith("https://")) throw new Error("a token is only asked for over https");
    return await exchange<T>(agent, timeout, last, method, url, sent);
  };
  return {
    sendGetRequestAsync: async (url, sent) => await send("GET", url, sent),
    sendPostRequestAsync: async (url, sent) => await send("POST", url, sent),
    close: async () => await agent.close(),
  };
}

/**
 * A network client for the identity service of this machine: plain HTTP to itself or its link, as the service has it. Never through a proxy:
 * what the service gives must not leave the machine.
 */
export function machineNetwork(last: LastAnswer): INetworkModule {
  const timeout = 10_000;
  const send = async <T>(method: "GET" | "POST", url: string, sent?: NetworkRequestOptions): Promise<NetworkResponse<T>> => {
    const agent = new Agent({ pipelining: 0, connect: { timeout } });
    try {
      if (!isThisMachine(new URL(url).hostname)) throw new Error("the identity service is asked on this machine or its link only");
      return await exchange<T>(agent, timeout, last, method, url, sent);
    } catch (error) {
      last.failure ??= error;
      throw error;
    } finally {
      await agent.close();
    }
  };
  return {
    sendGetRequestAsync: async (url, sent) => await send("GET", url, sent),
    sendPostRequestAsync: async (url, sent) => await send("POST", url, sent),
  };
}

function isThisMachine(host: string): boolean {
  return host === "localhost" || host === "[::1]" || (isIP(host) === 4 && host.startsWith("127.")) || host === "169.254.169.254";
}

async function exchange<T>(
  dispatcher: Dispatcher,
  timeout: number,
  last: LastAnswer,
  method: "GET" | "POST",
  url: string,
  sent: NetworkRequestOptions | undefined,
): Promise<NetworkResponse<T>> {
  try {
    const answer = await request(url, {
      method,
      dispatcher,
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
  } catch (error) {
    last.failure = error;
    throw error;
  }
}

/**
 * What time it is at a service: the `Date` of its answer to a HEAD request, whatever else it says. Good to a second.
 *
 * @returns ms since the epoch, at the moment the answer came; undefined where the answer has no date
 * @throws Error when there is no answer
 */
export async function serviceDate(options: TokenNetworkOptions, url: string): Promise<number | undefined> {
  const timeout = options.timeoutMs ?? 10_000;
  const agent = httpDispatcher({ ...options, timeoutMs: timeout });
  try {
    const answer = await request(url, { method: "HEAD", dispatcher: agent, signal: AbortSignal.timeout(timeout * 2) });
    await answer.body.dump();
    const date = Date.parse(String(answer.headers["date"] ?? ""));
    return Number.isNaN(date) ? undefined : date;
  } finally {
    await agent.close();
  }
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
