/** Names for what went wrong where no reply was given. */
import { describeError } from "../../mail/errors.ts";
import { parseReply } from "../../mail/reply.ts";
import type { Refusal, Stage } from "../upstream.ts";

/**
 * A fault of the connection: a stable code and our words for it. Codes besides those of the system (`ECONNREFUSED`, `ENOTFOUND` …):
 *
 * `TIMEOUT` no answer in time · `RESET` connection lost · `NO_STARTTLS` TLS wanted and not offered · `CERTIFICATE` chain or name not
 * accepted · `TLS` handshake failed · `NOT_TLS` what came instead of a handshake is no TLS · `NO_AUTH_OFFERED` no mechanism that we can use · `CLEARTEXT_AUTH` a password would have gone over
 * a line without verified TLS · `TOO_LARGE` over the SIZE that the server announced · `NO_SMTPUTF8` an address it cannot take ·
 * `INVALID_ADDRESS` an address that cannot be written in a command · `CONTENT` (or the code of a PosternError) our own content could not
 * be read · `PROTOCOL` an answer that makes no sense · `ABORTED` we were told to stop.
 */
export interface Fault {
  readonly code: string;
  readonly detail: string;
}

/** A refusal for want of an answer. */
export function faultAt(stage: Stage, code: string, detail: string): Refusal {
  return { stage, fault: { code, detail } };
}

/** A refusal in the other side's words; `PROTOCOL` when they are no SMTP reply. */
export function refusalFrom(stage: Stage, wire: string): Refusal {
  const reply = parseReply(wire);
  return reply === undefined ? noReply(stage, wire) : { stage, reply };
}

/** What came is no SMTP reply. */
export function noReply(stage: Stage, wire: string): Refusal {
  return faultAt(stage, "PROTOCOL", `not an SMTP reply: ${wire.replace(/[^ -~]+/g, " ").slice(0, 200)}`);
}

/** Codes of certificate verification in OpenSSL and Node that do not carry CERT in their name. */
const CERTIFICATE_CODES = new Set([
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "INVALID_CA",
  "PATH_LENGTH_EXCEEDED",
  "INVALID_PURPOSE",
  "HOSTNAME_MISMATCH",
]);
const LOST_CODES = new Set(["ECONNRESET", "EPIPE", "ECONNABORTED", "ESOCKETCLOSED", "ERR_STREAM_DESTROYED", "ERR_STREAM_PREMATURE_CLOSE"]);

/** The code that an error of a socket, of TLS or of the library stands for. */
export function faultOf(error: unknown): Fault {
  const code = codeOf(error);
  const detail =
    error instanceof AggregateError && error.errors.length > 0 ? error.errors.map(describeError).join("; ") : describeError(error);
  const named = code !== undefined && !detail.includes(code) ? `${detail} (${code})` : detail;
  if (code === undefined) return { code: "RESET", detail };
  if (code.includes("CERT") || CERTIFICATE_CODES.has(code)) return { code: "CERTIFICATE", detail: named };
  if (code === "ETIMEDOUT" || code === "ERR_SOCKET_CONNECTION_TIMEOUT") return { code: "TIMEOUT", detail: named };
  if (LOST_CODES.has(code) || code === "ECONNECTION" || code === "ESOCKET") return { code: "RESET", detail: named };
  if (code === "EPROTOCOL") return { code: "PROTOCOL", detail };
  if (code === "ERR_SSL_WRONG_VERSION_NUMBER") return { code: "NOT_TLS", detail: "what came back is no TLS (wrong version number)" };
  if (code === "ETLS" || code === "EPROTO" || code.startsWith("ERR_SSL") || code.startsWith("ERR_TLS"))
    return { code: "TLS", detail: named };
  return { code, detail: named };
}

/** nodemailer puts a code of its own in place of the system's, and keeps that as `originalCode`. */
function codeOf(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  const { originalCode, code } = error as { originalCode?: unknown; code?: unknown };
  const first = error instanceof AggregateError ? codeOf(error.errors[0]) : undefined;
  return [originalCode, code, first].find((one): one is string => typeof one === "string");
}
