/** What an authority said instead of a token, as a fact. */
import { describeError } from "../../mail/errors.ts";
import { faultAt, faultOf } from "../smtp/fault.ts";
import type { Refusal } from "../upstream.ts";
import type { LastAnswer } from "./network.ts";

/** Entra's refusal by its AADSTS number; else the OAuth error; else what the network or msal said. */
export function tokenRefusal(error: unknown, last: LastAnswer): Refusal {
  const { error: oauthError, error_description: description } = (last.body ?? {}) as { error?: unknown; error_description?: unknown };
  const text = typeof description === "string" ? firstSentence(description) : "";
  const aadsts = /\bAADSTS\d{4,9}\b/.exec(text)?.[0];
  if (aadsts !== undefined) return faultAt("token", aadsts, text);
  if (typeof oauthError === "string" && oauthError !== "")
    return faultAt("token", oauthError.slice(0, 64), text === "" ? `HTTP ${last.status}` : text);
  if (last.status >= 400) return faultAt("token", `HTTP_${last.status}`, `the token endpoint answered with status ${last.status}`);
  if (last.status > 0) return faultAt("token", "TOKEN", `no token in the answer: ${firstSentence(describeError(error))}`);
  if (last.failure instanceof Error && last.failure.name === "TimeoutError")
    return faultAt("token", "TIMEOUT", "no answer from the token endpoint in time");
  const fault = faultOf(last.failure ?? error);
  return { stage: "token", fault: { code: NETWORK_CODES[fault.code] ?? fault.code, detail: firstSentence(fault.detail) } };
}

/** undici's names for what has one already. */
const NETWORK_CODES: Readonly<Record<string, string>> = {
  UND_ERR_CONNECT_TIMEOUT: "TIMEOUT",
  UND_ERR_HEADERS_TIMEOUT: "TIMEOUT",
  UND_ERR_BODY_TIMEOUT: "TIMEOUT",
  UND_ERR_SOCKET: "RESET",
};

/** Microsoft's text without its trace ids and times, on one line, cut to what a log line can bear. */
export function firstSentence(text: string): string {
  const line = (text.split(/\r?\n/)[0] ?? "").replace(/\s*(Trace ID|Correlation ID|Timestamp):.*$/i, "");
  return line
    .replace(/[^ -~]+/g, " ")
    .trim()
    .slice(0, 400);
}

/** Takes the secret itself out of a text that someone put it into. */
export function strike(refusal: Refusal, secrets: readonly string[]): Refusal {
  const { fault } = refusal;
  if (fault === undefined) return refusal;
  const detail = secrets.reduce((text, secret) => text.replaceAll(secret, "***"), fault.detail);
  return { ...refusal, fault: { code: fault.code, detail } };
}
