/** Verifies a client assertion the way Entra does: signature, key, audience, names, time (RFC 7523 section 3). */
import { X509Certificate } from "node:crypto";

import { EntraRefusal, entraTime } from "./aadsts.ts";
import { decodeJwt, verifyJwt } from "./jwt.ts";
import { thumbprint } from "./pki.ts";
import type { TenantApp } from "./tenant.ts";

/** Difference of clocks that Entra forgives. */
const SKEW_SECONDS = 300;

/** What an assertion is measured against. */
export interface AssertionContext {
  readonly app: TenantApp;
  /** Values of `aud` that name this token endpoint. */
  readonly audiences: readonly string[];
  /** ms since the epoch */
  readonly now: number;
}

/** The app of an assertion, read before anything is verified: which app's certificates to look at. */
export function assertionClientId(assertion: string): string | undefined {
  const subject = decodeJwt(assertion)?.claims["sub"];
  return typeof subject === "string" ? subject : undefined;
}

/** @throws EntraRefusal when the assertion is not the app's */
export function verifyAssertion(assertion: string, context: AssertionContext): void {
  const jwt = decodeJwt(assertion);
  if (jwt === undefined) throw new EntraRefusal(50027);
  const { app, now } = context;

  const certificate = app.certificates
    .map((pem) => new X509Certificate(pem))
    .find((candidate) => {
      const sha256 = jwt.header["x5t#S256"];
      if (sha256 !== undefined) return sha256 === thumbprint(candidate.raw, "sha256");
      return jwt.header["x5t"] === thumbprint(candidate.raw, "sha1");
    });
  if (certificate === undefined) throw new EntraRefusal(700027, { reason: "The key was not found." });
  if (!verifyJwt(jwt, certificate.publicKey)) throw new EntraRefusal(700027, { reason: "Client assertion signature is invalid." });
  if (Date.parse(certificate.validTo) < now) throw new EntraRefusal(700027, { reason: "The key used is expired." });

  const { aud, iss, sub, jti, nbf, exp } = jwt.claims;
  if (typeof aud !== "string" || !context.audiences.includes(aud)) throw new EntraRefusal(700023);
  if (iss !== app.clientId || sub !== app.clientId || typeof jti !== "string" || jti === "") throw new EntraRefusal(50027);
  const seconds = now / 1000;
  const validFrom = typeof nbf === "number" ? nbf : 0;
  if (typeof exp !== "number" || exp <= seconds - SKEW_SECONDS || validFrom > seconds + SKEW_SECONDS) {
    const to = typeof exp === "number" ? entraTime(exp * 1000) : "";
    throw new EntraRefusal(700024, { now: entraTime(now), from: entraTime(validFrom * 1000), to });
  }
}
