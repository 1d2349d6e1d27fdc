/** Whether a file of certificates leads from its first to an authority that others know. */
import type { X509Certificate } from "node:crypto";
import { rootCertificates } from "node:tls";

/**
 * What a chain lacks; undefined when it is whole.
 *
 * Others know the roots of public authorities and nothing else: every certificate between must be in the file.
 *
 * @param certificates - as in the file, the own one first
 * @param known - further roots that the other side knows: those configured for a stand-in or a private cloud
 */
export function chainFault(
  certificates: readonly X509Certificate[],
  parse: (pem: string) => X509Certificate | undefined,
  known: readonly X509Certificate[] = [],
): string | undefined {
  const [leaf, ...others] = certificates;
  if (leaf === undefined) return undefined;
  if (isSelfIssued(leaf)) return "it is self-made, and Microsoft takes those of public authorities only";
  let last = leaf;
  const seen = new Set<X509Certificate>();
  for (let next = others.find((one) => last.checkIssued(one)); next !== undefined && !seen.has(next);) {
    seen.add(next);
    last = next;
    if (isSelfIssued(last)) return undefined;
    next = others.find((one) => last.checkIssued(one));
  }
  if (known.some((root) => last.checkIssued(root))) return undefined;
  // Parsed one after the other until the right one: all of them take 30 ms.
  for (const pem of rootCertificates) {
    const root = parse(pem);
    if (root !== undefined && last.checkIssued(root)) return undefined;
  }
  return `the certificate of its issuer, ${issuerName(last)}, is not in the file`;
}

function isSelfIssued(certificate: X509Certificate): boolean {
  return certificate.subject === certificate.issuer;
}

/** The common name, on one line. */
function issuerName({ issuer }: X509Certificate): string {
  const name = /^CN=(.*)$/m.exec(issuer)?.[1] ?? issuer.split("\n").join(", ");
  return name.replace(/[^ -~]/g, "?").slice(0, 100);
}
