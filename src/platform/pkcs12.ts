/** PKCS #12 files (.pfx, .p12), as Windows and certificate authorities hand them out. */
import { X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";

/** OpenSSL's context behind a secure context. Node has no other way to the certificate of such a file. */
interface OpenSslContext {
  getCertificate?(): Buffer | undefined;
}

/**
 * The leaf certificate of a file.
 *
 * @throws Error in words for the administrator: a wrong passphrase, an encryption that OpenSSL 3 no longer knows, a file that is none
 */
export function readPkcs12(pfx: Buffer, passphrase: string | undefined): X509Certificate {
  let certificate: Buffer | undefined;
  try {
    const secure: { readonly context: OpenSslContext } = createSecureContext(passphrase === undefined ? { pfx } : { pfx, passphrase });
    certificate = secure.context.getCertificate?.();
  } catch (error) {
    throw new Error(meaningOf(error), { cause: error });
  }
  if (certificate === undefined) throw new Error("the PKCS #12 file holds no certificate");
  return new X509Certificate(certificate);
}

function meaningOf(error: unknown): string {
  const text = error instanceof Error ? error.message : "";
  if (/mac verify/i.test(text)) return "the PKCS #12 file cannot be opened with this passphrase";
  if (/unsupported/i.test(text)) return "the PKCS #12 file is encrypted in an old way (RC2): export it again with AES";
  if (/asn1|tag|too long|not enough|BIO/i.test(text)) return "this is no PKCS #12 file";
  return `the PKCS #12 file cannot be used (${text})`;
}
