/** The stand-in's own certificate authority, and the server certificates it signs. */
import "reflect-metadata";

import { createHash, randomBytes } from "node:crypto";
import { readFile, rename, writeFile } from "node:fs/promises";
import path from "node:path";
import type { webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";
import { makeDirectory } from "../platform/files.ts";

const ALGORITHM = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256", publicExponent: new Uint8Array([1, 0, 1]), modulusLength: 2048 };
const DAY_MS = 24 * 60 * 60 * 1000;
const CA_DAYS = 825;
const SERVER_DAYS = 90;
const CLIENT_DAYS = 200;
/** Authorities are valid from before today, so that a certificate that has expired can be issued to rehearse with. */
const CLIENT_PAST_DAYS = 365;
/** A kept CA with less than this left is replaced at start. */
const CA_RENEW_MS = 100 * DAY_MS;

/** Names that a client may have been told to use: the real hosts, so that a hosts file or a resolver can point them here. */
export const SERVER_NAMES: readonly string[] = [
  "localhost",
  "smtp.office365.com",
  "smtp-mail.outlook.com",
  "outlook.office365.com",
  "outlook.office.com",
  "login.microsoftonline.com",
  "login.microsoft.com",
  "login.microsoftonline.us",
  "login.partner.microsoftonline.cn",
  "graph.microsoft.com",
  "graph.microsoft.us",
  "dod-graph.microsoft.us",
  "microsoftgraph.chinacloudapi.cn",
  "*.mail.protection.outlook.com",
  "*.mx.microsoft",
  "*.o-v1.mx.microsoft",
  "smtp.hve.mx.microsoft",
  "smtp-hve.office365.com",
  "smtp.azurecomm.net",
  "*.outlook.office365.com",
];

/** A private key with its certificate, both PEM. */
export interface KeyAndCertificate {
  readonly keyPem: string;
  readonly certificatePem: string;
}

/** What a client certificate is to be: by default what a public authority issues today, valid for 200 days and for servers only. */
export interface ClientCertificateOptions {
  /** The first is the common name; all are in the alternative names. */
  readonly names: readonly string[];
  /** ms since the epoch */
  readonly notBefore?: number | undefined;
  readonly notAfter?: number | undefined;
}

/** A client certificate with what must be sent along. */
export interface ClientCertificate extends KeyAndCertificate {
  /** The certificate and its intermediate authority: what a client must send. */
  readonly chainPem: string;
}

/** A CA that can sign certificates for the services. */
export interface CertificateAuthority {
  readonly certificatePem: string;
  /** Signs a server certificate (RSA 2048, 90 days) for these DNS names and IP addresses. */
  issueServer(dnsNames: readonly string[], addresses: readonly string[]): Promise<KeyAndCertificate>;
  /** Signs a certificate for a connector through an intermediate authority, as public ones do. */
  issueClient(options: ClientCertificateOptions): Promise<ClientCertificate>;
}

async function keyToPem(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await crypto.subtle.exportKey("pkcs8", key));
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN PRIVATE KEY-----\n${lines.join("\n")}\n-----END PRIVATE KEY-----\n`;
}

async function keyFromPem(pem: string): Promise<webcrypto.CryptoKey> {
  const der = Buffer.from(pem.replace(/-----[^-]+-----/g, ""), "base64");
  return await crypto.subtle.importKey("pkcs8", der, ALGORITHM, true, ["sign"]);
}

/** Where pairs of RSA keys of 2048 bits come from: those of certificates, and the one that tokens are signed with. */
export type KeySource = () => Promise<webcrypto.CryptoKeyPair>;

/** A pair that never was before. */
export const newKeys: KeySource = () => crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);

/** A positive serial number of 16 octets (RFC 5280 section 4.1.2.2). */
function serialNumber(): string {
  const octets = randomBytes(16);
  octets[0] = (octets[0] ?? 0) & 0x7f;
  return octets.toString("hex");
}

/** Signs an authority under another. */
async function createIntermediate(root: KeyAndCertificate, now: number, generateKeys: KeySource): Promise<KeyAndCertificate> {
  const [keys, signingKey] = await Promise.all([generateKeys(), keyFromPem(root.keyPem)]);
  const issuer = new x509.X509Certificate(root.certificatePem);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: `CN=Postern stand-in intermediate ${randomBytes(4).toString("hex")}`,
    issuer: issuer.subject,
    notBefore: new Date(now - CLIENT_PAST_DAYS * DAY_MS),
    notAfter: issuer.notAfter,
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
    ],
  });
  return { keyPem: await keyToPem(keys.privateKey), certificatePem: `${certificate.toString("pem")}\n` };
}

async function createAuthority(now: number, generateKeys: KeySource): Promise<KeyAndCertificate> {
  const keys = await generateKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: `CN=Postern stand-in CA ${randomBytes(4).toString("hex")}`,
    notBefore: new Date(now - CLIENT_PAST_DAYS * DAY_MS),
    notAfter: new Date(now + CA_DAYS * DAY_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 1, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { keyPem: await keyToPem(keys.privateKey), certificatePem: `${certificate.toString("pem")}\n` };
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Writes a file whole: never half a key after a crash. */
export async function writeWhole(file: string, text: string, mode: number): Promise<void> {
  const temporary = `${file}.${process.pid}.tmp`;
  await writeFile(temporary, text, { mode });
  await rename(temporary, file);
}

/**
 * Opens the CA kept in a directory, or makes one: `ca.pem` for everybody, `ca-key.pem` for the owner alone, so that a restarted
 * stand-in is still trusted by those who were given `ca.pem`.
 *
 * @param directory - made (0700) where it does not exist
 * @param now - ms since the epoch
 */
export async function openAuthority(directory: string, now: number, keys: KeySource = newKeys): Promise<CertificateAuthority> {
  await makeDirectory(directory, 0o700);
  const caFile = path.join(directory, "ca.pem");
  const keyFile = path.join(directory, "ca-key.pem");
  const [keptCertificate, keptKey] = await Promise.all([readIfThere(caFile), readIfThere(keyFile)]);

  let kept: KeyAndCertificate | undefined;
  if (keptCertificate !== undefined && keptKey !== undefined) {
    const certificate = new x509.X509Certificate(keptCertificate);
    const maySignAuthorities = (certificate.getExtension(x509.BasicConstraintsExtension)?.pathLength ?? 0) > 0;
    if (maySignAuthorities && certificate.notAfter.getTime() - now > CA_RENEW_MS)
      kept = { keyPem: keptKey, certificatePem: keptCertificate };
  }
  if (kept === undefined) {
    kept = await createAuthority(now, keys);
    await writeWhole(keyFile, kept.keyPem, 0o600);
    await writeWhole(caFile, kept.certificatePem, 0o644);
  }
  const authority = kept;

  let intermediate: Promise<KeyAndCertificate> | undefined;

  return {
    certificatePem: authority.certificatePem,
    issueServer: (dnsNames, addresses) => issueServer(authority, keys, dnsNames, addresses, [now - DAY_MS, now + SERVER_DAYS * DAY_MS]),
    async issueClient({ names, notBefore = now - DAY_MS, notAfter = now + CLIENT_DAYS * DAY_MS }) {
      const signer = await (intermediate ??= createIntermediate(authority, now, keys));
      const pair = await issueServer(signer, keys, names, [], [notBefore, notAfter]);
      return { ...pair, chainPem: pair.certificatePem + signer.certificatePem };
    },
  };
}

/** @param validity - ms since the epoch, from and to */
async function issueServer(
  authority: KeyAndCertificate,
  generateKeys: KeySource,
  dnsNames: readonly string[],
  addresses: readonly string[],
  [notBefore, notAfter]: readonly [number, number],
): Promise<KeyAndCertificate> {
  const [keys, signingKey] = await Promise.all([generateKeys(), keyFromPem(authority.keyPem)]);
  const issuer = new x509.X509Certificate(authority.certificatePem);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: `CN=${dnsNames[0] ?? "localhost"}`,
    issuer: issuer.subject,
    notBefore: new Date(notBefore),
    notAfter: new Date(notAfter),
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension([
        ...dnsNames.map((value) => ({ type: "dns" as const, value })),
        ...addresses.map((value) => ({ type: "ip" as const, value })),
      ]),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
    ],
  });
  return { keyPem: await keyToPem(keys.privateKey), certificatePem: `${certificate.toString("pem")}\n` };
}

/** A self-signed certificate for an app registration: what an administrator would upload to Entra. Valid for a year. */
export async function createAppCertificate(name: string, now: number, generateKeys: KeySource = newKeys): Promise<KeyAndCertificate> {
  const keys = await generateKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: `CN=${name.replace(/[^A-Za-z0-9 -]/g, "")}`,
    notBefore: new Date(now - DAY_MS),
    notAfter: new Date(now + 365 * DAY_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true)],
  });
  return { keyPem: await keyToPem(keys.privateKey), certificatePem: `${certificate.toString("pem")}\n` };
}

/** Thumbprint of a certificate in the form of the `x5t` (SHA-1) and `x5t#S256` header parameters (RFC 7515 section 4.1.7). */
export function thumbprint(der: Uint8Array, hash: "sha1" | "sha256"): string {
  return createHash(hash).update(der).digest("base64url");
}
