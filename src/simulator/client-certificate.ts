/**
 * Whether a client certificate is any good to the MX host: chain and dates, checked by hand. The key usage is not looked at: public
 * authorities no longer issue for client authentication, and Exchange Online checks against its server policy with usage ignored.
 */
import { X509Certificate } from "node:crypto";
import { rootCertificates } from "node:tls";

/** What a client showed. */
export interface PresentedCertificate {
  /** Common name and DNS names, in lower case; empty when nothing was sent or the chain is not good. */
  readonly names: readonly string[];
  /** Why it does not count, for the operator; undefined when it does, and when none was sent. */
  readonly fault: string | undefined;
  /** Whether a certificate was sent at all. */
  readonly wasSent: boolean;
}

const CHAIN_MAX = 8;
let publicRoots: readonly X509Certificate[] | undefined;

/** The authorities that everybody trusts; read once, when first needed. */
function getPublicRoots(): readonly X509Certificate[] {
  publicRoots ??= rootCertificates.map((pem) => new X509Certificate(pem));
  return publicRoots;
}

/** Reads every certificate of a PEM text; undefined when one of them cannot be read or there is none. */
export function readCertificates(pem: string): X509Certificate[] | undefined {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g);
  try {
    return blocks?.map((block) => new X509Certificate(block));
  } catch {
    return undefined;
  }
}

/**
 * Checks what a client sent in the handshake.
 *
 * @param sent - its own certificate first, the others in any order
 * @param roots - authorities that count besides the public ones
 * @param now - ms since the epoch
 */
export function checkClientCertificate(
  sent: readonly X509Certificate[],
  roots: readonly X509Certificate[],
  now: number,
): PresentedCertificate {
  const [leaf] = sent;
  if (leaf === undefined) return { names: [], fault: undefined, wasSent: false };
  const fault = chainFault(leaf, sent.slice(1), roots, now);
  return { names: fault === undefined ? namesOf(leaf) : [], fault, wasSent: true };
}

function chainFault(
  leaf: X509Certificate,
  intermediates: readonly X509Certificate[],
  roots: readonly X509Certificate[],
  now: number,
): string | undefined {
  let current = leaf;
  for (let depth = 0; depth < CHAIN_MAX; depth += 1) {
    const dates = dateFault(current, now);
    if (dates !== undefined) return dates;
    if (roots.some((root) => root.fingerprint256 === current.fingerprint256))
      return depth === 0 ? "it is an authority's own certificate" : undefined;
    const root = [...roots, ...getPublicRoots()].find((candidate) => isIssuedBy(current, candidate));
    if (root !== undefined) return dateFault(root, now);
    const issuer = intermediates.find((candidate) => candidate.fingerprint256 !== current.fingerprint256 && isIssuedBy(current, candidate));
    if (issuer === undefined) {
      return isIssuedBy(current, current)
        ? "it is self-signed, or its root is not known"
        : `the chain is incomplete: the issuer of ${oneLine(current.subject)} was not sent (${oneLine(current.issuer)})`;
    }
    current = issuer;
  }
  return "the chain is too long";
}

function dateFault(certificate: X509Certificate, now: number): string | undefined {
  if (certificate.validToDate.getTime() <= now) return `${oneLine(certificate.subject)} expired on ${certificate.validTo}`;
  if (certificate.validFromDate.getTime() > now) return `${oneLine(certificate.subject)} is not valid before ${certificate.validFrom}`;
  return undefined;
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

function oneLine(name: string): string {
  return name.replaceAll("\n", ", ");
}

function namesOf(certificate: X509Certificate): string[] {
  const common = /^CN=(.+)$/m.exec(certificate.subject)?.[1];
  const alternative = [...(certificate.subjectAltName ?? "").matchAll(/DNS:([^,\s]+)/g)].map((match) => match[1] as string);
  return [...new Set([...(common === undefined ? [] : [common]), ...alternative].map((name) => name.toLowerCase()))];
}
