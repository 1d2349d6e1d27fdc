/** A certificate and its key, as TLS shows them. */
import { createSecureContext } from "node:tls";

/**
 * Why OpenSSL does not show a certificate that fits its key: a key of 1024 bits, a signature with SHA-1. Undefined when it does.
 *
 * @param cert - with its chain, leaf first, PEM
 */
export function tlsObjection(cert: string, key: string, passphrase?: string): string | undefined {
  try {
    createSecureContext({ cert, key, ...(passphrase === undefined ? {} : { passphrase }) });
    return undefined;
  } catch (error) {
    // `error:0A00018F:SSL routines::ee key too small`
    return `OpenSSL does not take the certificate: ${error instanceof Error ? error.message.replace(/^.*::/, "") : String(error)}`;
  }
}
