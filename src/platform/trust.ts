/** Whom TLS to a server trusts: the system's default roots, and those that the configuration names. */
import tls from "node:tls";
import type { SecureContextOptions } from "node:tls";

/** Sets of further roots that are remembered: a configuration has one or two, and a reload may bring others. */
const MOST_SETS = 8;
const contexts = new Map<string, tls.SecureContext>();

/** TLS 1.2 at least, as Exchange Online asks for, and these roots. @param ca - further roots, PEM */
export function trustOptions(ca: readonly string[]): SecureContextOptions {
  return { minVersion: "TLSv1.2", ...(ca.length === 0 ? {} : { ca: [...tls.getCACertificates("default"), ...ca] }) };
}

/**
 * A context without a certificate of our own. One for all who trust the same: with further roots OpenSSL parses all of the system's anew, which is some
 * 17 ms and a MB for each context, in which no session turns.
 *
 * @param ca - further roots, PEM
 * @throws Error when OpenSSL does not take them
 */
export function trusting(ca: readonly string[]): tls.SecureContext {
  const key = ca.join("\n");
  const context = contexts.get(key) ?? tls.createSecureContext(trustOptions(ca));
  // The one that was asked for last is forgotten last.
  contexts.delete(key);
  contexts.set(key, context);
  for (const oldest of contexts.keys()) {
    if (contexts.size <= MOST_SETS) break;
    contexts.delete(oldest);
  }
  return context;
}
