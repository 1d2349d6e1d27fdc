/** What an application proves itself to Entra with, read at each use so that a repaired file works without a restart. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import type { KeyObject } from "node:crypto";
import type { SignInStore } from "./sign-in-store.ts";

/** A client secret of the app registration. */
export interface ClientSecretCredential {
  readonly type: "client-secret";
  readonly clientId: string;
  readonly secret: () => Promise<string>;
  /** Where it is, for people. */
  readonly place?: string | undefined;
  /** From the configuration, ms since the epoch. */
  readonly expiresAt?: number | undefined;
}

/** A certificate of the app registration and its RSA key, PEM. The first certificate is the own one; others are its chain. */
export interface ClientCertificateCredential {
  readonly type: "client-certificate";
  readonly clientId: string;
  readonly certificate: () => Promise<{
    readonly certificatePem: string;
    readonly keyPem: string;
    readonly passphrase?: string | undefined;
  }>;
  readonly expiresAt?: number | undefined;
}

/** An application that signs in as itself. */
export type ApplicationCredential = ClientSecretCredential | ClientCertificateCredential;

/** A person signed the application in. */
export interface DeviceCodeCredential {
  readonly type: "device-code";
  readonly clientId: string;
  /** Where the sign-in is kept. */
  readonly store: SignInStore;
  /** What to type for signing in, for messages: `postern auth login scans`. */
  readonly command: string;
}

/** The machine's own identity: Azure Arc, or a virtual machine in Azure. */
export interface ManagedIdentityCredential {
  readonly type: "managed-identity";
  /** Of a user-assigned identity; undefined: the system-assigned one. */
  readonly clientId?: string | undefined;
}

export type OAuthCredential = ApplicationCredential | DeviceCodeCredential | ManagedIdentityCredential;

/** The form msal takes it in. */
export interface Proof {
  readonly clientSecret?: string;
  readonly clientCertificate?: { readonly thumbprintSha256: string; readonly privateKey: string; readonly x5c: string };
}

/**
 * Reads the credential.
 *
 * @returns the proof, what must never be shown, and the certificate's end
 * @throws Error when it cannot be read, or key and certificate do not belong together
 */
export async function readProof(
  credential: ApplicationCredential,
): Promise<{ readonly proof: Proof; readonly secrets: readonly string[]; readonly expiresAt: number | undefined }> {
  if (credential.type === "client-secret") {
    const secret = (await credential.secret()).trim();
    if (secret === "") throw new Error("the client secret is empty");
    return { proof: { clientSecret: secret }, secrets: [secret], expiresAt: credential.expiresAt };
  }
  const { certificatePem, keyPem, passphrase } = await credential.certificate();
  const certificate = new X509Certificate(certificatePem);
  const key = privateKey(keyPem, passphrase);
  if (key.asymmetricKeyType !== "rsa") throw new Error("Entra takes RSA keys only");
  if (!certificate.checkPrivateKey(key)) throw new Error("the key does not belong to the certificate");
  const pem = String(key.export({ type: "pkcs8", format: "pem" }));
  return {
    proof: {
      clientCertificate: { thumbprintSha256: certificate.fingerprint256.replaceAll(":", ""), privateKey: pem, x5c: certificatePem },
    },
    secrets: [],
    expiresAt: credential.expiresAt ?? certificate.validToDate.getTime(),
  };
}

/**
 * When the credential ends, ms since the epoch; undefined where nothing tells. Looks at the certificate alone: a key may take a while.
 *
 * @throws Error when the certificate cannot be read
 */
export async function readEnd(credential: ApplicationCredential): Promise<number | undefined> {
  if (credential.expiresAt !== undefined || credential.type === "client-secret") return credential.expiresAt;
  const { certificatePem } = await credential.certificate();
  return new X509Certificate(certificatePem).validToDate.getTime();
}

/** msal takes no encrypted keys, and OpenSSL's messages about wrong ones are no help. */
function privateKey(pem: string, passphrase: string | undefined): KeyObject {
  try {
    return createPrivateKey({ key: pem, ...(passphrase === undefined ? {} : { passphrase }) });
  } catch {
    throw new Error(
      passphrase === undefined
        ? "the private key cannot be read (is it encrypted?)"
        : "the private key cannot be read, or the passphrase is wrong",
    );
  }
}
