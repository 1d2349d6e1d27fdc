/** The four SMTP hosts of the stand-in, on one tenant: submission, MX, High Volume Email, Azure Communication Services. */
import { X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";

import { AcsUsage, acsRules } from "./acs-rules.ts";
import { readCertificates } from "./client-certificate.ts";
import { hveRules } from "./hve-rules.ts";
import { mxRules } from "./mx-rules.ts";
import type { KeyAndCertificate } from "./pki.ts";
import { SmtpHost } from "./smtp-host.ts";
import type { HostOptions } from "./host-options.ts";
import { submissionRules } from "./submission-rules.ts";

/** The hosts; the caller lets their servers listen. */
export interface MailHosts {
  readonly submission: SmtpHost;
  readonly mx: SmtpHost;
  readonly hve: SmtpHost;
  readonly acs: SmtpHost;
}

/**
 * Makes them.
 *
 * @param certificate - of every host
 * @param authorityPem - the stand-in's own authority, whose client certificates the MX host believes as it does those of public ones
 */
export function createMailHosts(options: HostOptions, certificate: KeyAndCertificate, authorityPem: string): MailHosts {
  const { keyPem: key, certificatePem: cert } = certificate;
  // TLS 1.0 is let in where a client signs in, so that it can be refused in Microsoft's words.
  const lenient = { context: createSecureContext({ key, cert, minVersion: "TLSv1", ciphers: "DEFAULT@SECLEVEL=0" }) };
  const strict = createSecureContext({ key, cert, minVersion: "TLSv1.2" });
  const own = new X509Certificate(authorityPem);
  const roots = (): X509Certificate[] => [own, ...options.tenant.trustedRoots.flatMap((pem) => readCertificates(pem) ?? [])];
  const acsUsage = new AcsUsage();
  return {
    submission: new SmtpHost(options, lenient, (session) => submissionRules(options, session)),
    mx: new SmtpHost(options, { context: strict, requestCertificate: true }, (session, connection) =>
      mxRules(options, session, { peerCertificates: () => connection.peerCertificates, roots }),
    ),
    hve: new SmtpHost(options, lenient, (session) => hveRules(options, session)),
    acs: new SmtpHost(options, { context: strict }, (session) => acsRules(options, acsUsage, session)),
  };
}
