/** TLS of a listener: versions and suites for old devices, and whether a key fits its certificate. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { createSecureContext } from "node:tls";
import type { SecureContextOptions } from "node:tls";
import { describeError } from "../mail/errors.ts";
import { readPkcs12 } from "../platform/pkcs12.ts";
import { tlsObjection } from "../platform/tls-pair.ts";
import type { CertificatePair, Certificates, ClientTls, ListenerTls, Pkcs12, SessionTls, TlsVersion } from "./options.ts";

/**
 * Suites offered. OpenSSL's defaults, which for TLS 1.2 include RSA key exchange (AES128-SHA and the like): several makers' devices know
 * nothing else. Below TLS 1.2 OpenSSL 3 refuses the handshake unless the security level is 0.
 */
const MODERN_CIPHERS = "DEFAULT:!aNULL:!eNULL:!MD5:!RC4:!3DES";
const LEGACY_CIPHERS = `${MODERN_CIPHERS}:@SECLEVEL=0`;

/** What a client's devices get on a listener. */
export function effectiveTls(listener: ListenerTls, client: ClientTls | undefined): SessionTls {
  const mode = listener.mode === "implicit" ? "implicit" : (client?.mode ?? listener.mode);
  return { mode, minVersion: client?.minVersion ?? listener.minVersion ?? "TLSv1.2" };
}

/** Options for a secure context. */
export function secureContextOptions(certificates: Certificates, minVersion: TlsVersion = "TLSv1.2"): SecureContextOptions {
  const legacy = minVersion === "TLSv1" || minVersion === "TLSv1.1";
  const all = listOf(certificates);
  const pairs = all.flatMap((one) => ("pfx" in one ? [] : [one]));
  const files = all.flatMap((one) => ("pfx" in one ? [one] : []));
  return {
    ...(pairs.length === 0 ? {} : { cert: pairs.map(({ certPem }) => certPem), key: pairs.map(({ keyPem }) => keyPem) }),
    ...(files.length === 0
      ? {}
      : { pfx: files.map(({ pfx, passphrase }) => (passphrase === undefined ? { buf: pfx } : { buf: pfx, passphrase })) }),
    minVersion,
    ciphers: legacy ? LEGACY_CIPHERS : MODERN_CIPHERS,
    honorCipherOrder: true,
    // For devices that know only ephemeral Diffie-Hellman.
    ...(legacy ? { dhparam: "auto" as const } : {}),
  };
}

function listOf(certificates: Certificates): readonly (CertificatePair | Pkcs12)[] {
  return "certPem" in certificates ? [certificates] : certificates;
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
  return tlsObjection(certPem, keyPem);
}

/** What keeps certificates from being served together; undefined when they can be. */
export function certificatesFault(certificates: Certificates): string | undefined {
  for (const one of listOf(certificates)) {
    if ("pfx" in one) {
      try {
        readPkcs12(one.pfx, one.passphrase);
      } catch (error) {
        return describeError(error);
      }
      continue;
    }
    const fault = certificateFault(one.certPem, one.keyPem);
    if (fault !== undefined) return fault;
  }
  try {
    createSecureContext(secureContextOptions(certificates));
    return undefined;
  } catch (error) {
    return `the certificates cannot be used (${describeError(error)})`;
  }
}

/** When the first of them expires, ms since the epoch. @throws Error when one cannot be read */
export function certificatesExpireAt(certificates: Certificates): number {
  const ends = listOf(certificates).map((one) =>
    ("pfx" in one ? readPkcs12(one.pfx, one.passphrase) : new X509Certificate(one.certPem)).validToDate.getTime(),
  );
  return Math.min(...ends);
}
