/** TLS of a listener: versions and suites for old devices, and whether a key fits its certificate. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { createSecureContext } from "node:tls";
import type { SecureContextOptions } from "node:tls";
import { describeError } from "../mail/errors.ts";
import type { CertificatePair, TlsVersion } from "./options.ts";

/**
 * Suites offered. OpenSSL's defaults, which for TLS 1.2 include RSA key exchange (AES128-SHA and the like): several makers' devices know
 * nothing else. Below TLS 1.2 OpenSSL 3 refuses the handshake unless the security level is 0.
 */
const MODERN_CIPHERS = "DEFAULT:!aNULL:!eNULL:!MD5:!RC4:!3DES";
const LEGACY_CIPHERS = `${MODERN_CIPHERS}:@SECLEVEL=0`;

/** Options for the listener's secure context. */
export function secureContextOptions(certificate: CertificatePair, minVersion: TlsVersion = "TLSv1.2"): SecureContextOptions {
  const legacy = minVersion === "TLSv1" || minVersion === "TLSv1.1";
  return {
    cert: certificate.certPem,
    key: certificate.keyPem,
    minVersion,
    ciphers: legacy ? LEGACY_CIPHERS : MODERN_CIPHERS,
    honorCipherOrder: true,
    // For devices that know only ephemeral Diffie-Hellman.
    ...(legacy ? { dhparam: "auto" as const } : {}),
  };
}

/**
 * What keeps a certificate and its key from being served; undefined when they can be. Expiry is not looked at: an expired certificate is
 * served, with an alarm. Never contains key material.
 */
export function certificateFault(certPem: string, keyPem: string): string | undefined {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(certPem);
  } catch (error) {
    return `the certificate cannot be read (${describeError(error)})`;
  }
  let key: KeyObject;
  try {
    key = createPrivateKey(keyPem);
  } catch {
    return "the private key cannot be read (is it PEM, and without a passphrase?)";
  }
  if (!certificate.checkPrivateKey(key)) return "the private key does not belong to the certificate";
  try {
    createSecureContext({ cert: certPem, key: keyPem });
  } catch (error) {
    return `the certificate cannot be used (${describeError(error)})`;
  }
  return undefined;
}

/** When a certificate expires, ms since the epoch. @throws Error when it cannot be read */
export function certificateExpiresAt(certPem: string): number {
  return new X509Certificate(certPem).validToDate.getTime();
}
