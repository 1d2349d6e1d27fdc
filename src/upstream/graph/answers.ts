/** Graph's answers as replies: the status as code, `ErrorCode: message` as text. What they mean is the judge's to say. */
import type { Reply } from "../../mail/reply.ts";
import type { Refusal } from "../upstream.ts";
import { faultAt } from "../smtp/fault.ts";
import { STATUS_CODES } from "../../platform/http.ts";
import type { GraphExchange } from "./http.ts";

type Answer = NonNullable<GraphExchange["answer"]>;

/** Texts are cut to what a log line can bear. */
const LONGEST_TEXT = 800;
/** No wait that Graph asks for is longer: an answer must not put mail off for weeks. */
const LONGEST_WAIT_MS = 24 * 3_600_000;

/** What Graph says, for log and judge. Pages of a proxy or gateway count by their status alone. */
export function replyOf(answer: Answer): Reply {
  const error = errorOf(answer.body);
  const text =
    error === undefined ? (STATUS_CODES[answer.status] ?? "") : [error.code, error.message].filter((part) => part !== "").join(": ");
  return { code: answer.status, text: text.slice(0, LONGEST_TEXT), protocol: "http" };
}

/** Graph's id of the request, for a case at Microsoft's support. */
export function requestIdOf(answer: Answer): string | undefined {
  return answer.headers["request-id"]?.slice(0, 128);
}

/**
 * An answer that is not the one hoped for.
 *
 * @param wanted - the one status that means success
 */
export function refusalOf(answer: Answer, wanted: number, now: number): Refusal {
  const { status } = answer;
  // Graph has no answer of success with a page in it; who inspects or asks for a sign-in has.
  if (status >= 200 && status < 300 && answer.body.length > 0 && jsonOf(answer.body) === undefined)
    return faultAt("final", "GRAPH_PAGE", `a page with status ${status} in place of ${wanted}`);
  // Known from messages above 2,240 KB: 200, and nothing is sent.
  if (status >= 200 && status < 300)
    return faultAt("final", "GRAPH_STATUS_200", `Graph answered ${status} in place of ${wanted}, which means that nothing was sent`);
  if (status < 200 || status >= 600 || (status >= 300 && status < 400))
    return faultAt("final", "PROTOCOL", `Graph answered with status ${status}`);
  return { stage: "final", reply: replyOf(answer), retryAfterMs: retryAfterOf(answer, now) };
}

/**
 * `Retry-After` in seconds or as a date (RFC 9110 §10.2.3), whatever the case of its name. A date is counted from the answer's own, since our clock may
 * be wrong. No time at all tells nothing: who asks for less and says "now" would get all that waits at once.
 */
export function retryAfterOf(answer: Answer, now: number): number | undefined {
  const header = (name: string): string => (Object.entries(answer.headers).find(([one]) => one.toLowerCase() === name)?.[1] ?? "").trim();
  const value = header("retry-after");
  const saidAt = Date.parse(header("date"));
  // What Date.parse makes of a bare number is a year.
  const ms = /^-?\d+(\.\d+)?$/.test(value) ? Number(value) * 1000 : Date.parse(value) - (Number.isNaN(saidAt) ? now : saidAt);
  return ms > 0 ? Math.min(LONGEST_WAIT_MS, Math.round(ms)) : undefined;
}

function errorOf(body: Buffer): { readonly code: string; readonly message: string } | undefined {
  const { error } = (jsonOf(body) ?? {}) as { error?: unknown };
  if (typeof error !== "object" || error === null) return undefined;
  const { code, message } = error as { code?: unknown; message?: unknown };
  const flat = (value: unknown): string => (typeof value === "string" ? value.replace(/[\u0000-\u0020\u007f]+/g, " ").trim() : "");
  return flat(code) === "" && flat(message) === "" ? undefined : { code: flat(code), message: flat(message) };
}

/** The body as a JSON object; undefined when it is none. */
export function jsonOf(body: Buffer): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(body.toString("utf8"));
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
