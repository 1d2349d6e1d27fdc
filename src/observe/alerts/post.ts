/** One POST to a webhook, with limits. Nothing it says names the address, which is often a secret itself. */
import type { DispatcherOptions } from "../../platform/http-dispatcher.ts";
import { isWebhookAddress } from "../../platform/webhook-address.ts";

/** For the connection, and for the answer. */
const TIMEOUT_MS = 15_000;
/** Of the whole exchange. */
const WHOLE_MS = 40_000;
const MOST_ANSWER_OCTETS = 64 * 1024;

/** What came of it. */
export interface PostResult {
  /** HTTP status; 0 without an answer. */
  readonly status: number;
  /** A code, where there was no answer: `ECONNREFUSED`, `TIMEOUT`. */
  readonly fault?: string | undefined;
}

export type Post = (url: string, headers: Readonly<Record<string, string>>, body: string) => Promise<PostResult>;

/**
 * How requests are made: https with verified certificates; http to this machine only. Redirects are not followed.
 *
 * @param network - read at each request, so that a repaired file works at once
 */
export function poster(network: () => Promise<Omit<DispatcherOptions, "timeoutMs">>): Post {
  return async (url, headers, body) => {
    if (!isWebhookAddress(url)) return { status: 0, fault: "URL: expected https://…, or http:// to this machine" };
    try {
      // Loaded at the first alert only: undici is large.
      const [{ request }, { httpDispatcher }] = await Promise.all([import("undici"), import("../../platform/http-dispatcher.ts")]);
      const dispatcher = httpDispatcher({ ...(await network()), timeoutMs: TIMEOUT_MS });
      try {
        const answer = await request(url, {
          method: "POST",
          dispatcher,
          headers: { "content-type": "application/json", ...headers },
          body,
          signal: AbortSignal.timeout(WHOLE_MS),
        });
        await answer.body.dump({ limit: MOST_ANSWER_OCTETS });
        return { status: answer.statusCode };
      } finally {
        // Not close(): that waits for what a silent server still owes.
        await dispatcher.destroy();
      }
    } catch (error) {
      return { status: 0, fault: codeOf(error) };
    }
  };
}

/** A code only: messages of the network name hosts and paths. */
function codeOf(error: unknown): string {
  const { code, name, cause } = error as { code?: unknown; name?: unknown; cause?: { code?: unknown } };
  const isCode = (one: unknown): one is string => typeof one === "string" && /^[A-Za-z0-9_]{2,60}$/.test(one);
  const word = [code, cause?.code, name].find(isCode) ?? "FAILED";
  return word === "TimeoutError" || word === "UND_ERR_CONNECT_TIMEOUT" ? "TIMEOUT" : word;
}
