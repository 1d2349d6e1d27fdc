/** Why a device's TLS handshake failed, in words for the administrator, and what may help. Pure. */
import { describeError } from "../mail/errors.ts";

/** What is told of a handshake that failed. */
export interface TlsFault {
  readonly detail: string;
  readonly remedy: string | undefined;
}

/** What else is known of it. */
export interface HandshakeFacts {
  /** TLS was to begin with the first octet: a device that speaks in clear, or waits for a greeting, has the wrong port. */
  readonly implicit: boolean;
  /** Octets of the device's came. */
  readonly saidSomething: boolean;
}

/** The client closed its half of the connection; no error of the socket's. */
export const LEFT_IN_HANDSHAKE = "the device ended the connection within the handshake";

const WRONG_PORT = "this port speaks TLS from the first octet on: switch the device to SSL/TLS, or give it a port without or with STARTTLS";
const OLD_TLS =
  "the device knows only old TLS: give it a client of its own with tls: { min_version: TLSv1 }, or switch encryption off in the device";
const TRUST = "import it there, give the listener one the device trusts, or switch the check off in the device";

/** OpenSSL's own form: number, library, function, reason, file and line. */
const OPENSSL = /error:[0-9A-F]+:[^:]*:[^:]*:([^:]+)(?::|$)/i;

/** @param error - of the socket's, of OpenSSL, or of smtp-server, which keeps the words of an alert that the device sent to itself */
export function tlsFault(error: Error & { readonly meta?: { readonly message?: unknown } | undefined }, facts: HandshakeFacts): TlsFault {
  const kept = error.meta?.message;
  const text = typeof kept === "string" ? kept : describeError(error);
  const detail = OPENSSL.exec(text)?.[1] ?? text;
  return { detail, remedy: remedyOf(detail, facts) };
}

function remedyOf(detail: string, { implicit, saidSomething }: HandshakeFacts): string | undefined {
  if (implicit && (!saidSomething || /wrong version number|http request/i.test(detail))) return WRONG_PORT;
  if (/unsupported protocol|no shared cipher|version too low/i.test(detail)) return OLD_TLS;
  if (/alert certificate expired/i.test(detail)) return "the listener's certificate has ended: renew it";
  if (/unknown ca|bad certificate|certificate unknown/i.test(detail))
    return `the device does not trust the listener's certificate: ${TRUST}`;
  if (detail === LEFT_IN_HANDSHAKE || detail.includes("ECONNRESET"))
    return `a device that does not trust the listener's certificate ends so: ${TRUST}`;
  return undefined;
}
