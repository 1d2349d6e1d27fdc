/**
 * Makes a development authority and certificates for listeners and tests.
 *
 *     node certs/make-dev-certs.ts [--out FOLDER]
 */
import "reflect-metadata";

import type { webcrypto } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import * as x509 from "@peculiar/x509";

const RSA = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256", publicExponent: new Uint8Array([1, 0, 1]), modulusLength: 2048 };
const DAY_MS = 86_400_000;

/** The files by name, PEM: what README.md of this folder lists. */
export type DevCertificates = Readonly<
  Record<"ca.pem" | "ca.key" | "listener.pem" | "listener.key" | "expired.pem" | "expired.key" | "other.key", string>
>;

export interface DevCertificateOptions {
  /** DNS names and IP addresses of the listener. The first is the subject. */
  readonly names?: readonly string[] | undefined;
  /** The moment that "expired" is told from. Default now. */
  readonly now?: Date | undefined;
}

/** Makes everything anew, RSA 2048 throughout: old devices know nothing else. */
export async function makeDevCertificates(options: DevCertificateOptions = {}): Promise<DevCertificates> {
  const names = options.names ?? ["localhost", "relay.contoso.com", "127.0.0.1", "::1"];
  const now = (options.now ?? new Date()).getTime();
  const [authority, listener, expired, other] = await Promise.all([newKeys(), newKeys(), newKeys(), newKeys()]);
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    name: "CN=Postern development CA",
    keys: authority,
    signingAlgorithm: RSA,
    serialNumber: serialNumber(),
    notBefore: new Date(now - 3 * DAY_MS),
    notAfter: new Date(now + 5 * 365 * DAY_MS),
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(authority.publicKey),
    ],
  });
  const sign = async (keys: webcrypto.CryptoKeyPair, from: number, until: number): Promise<string> => {
    const certificate = await x509.X509CertificateGenerator.create({
      subject: `CN=${names[0] ?? "localhost"}`,
      issuer: ca.subject,
      publicKey: keys.publicKey,
      signingKey: authority.privateKey,
      signingAlgorithm: RSA,
      serialNumber: serialNumber(),
      notBefore: new Date(from),
      notAfter: new Date(until),
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
        new x509.SubjectAlternativeNameExtension(names.map((name) => ({ type: isAddress(name) ? "ip" : "dns", value: name }))),
        await x509.AuthorityKeyIdentifierExtension.create(authority.publicKey),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
    return `${certificate.toString("pem")}\n`;
  };
  return {
    "ca.pem": `${ca.toString("pem")}\n`,
    "ca.key": await keyPem(authority),
    "listener.pem": await sign(listener, now - DAY_MS, now + 365 * DAY_MS),
    "listener.key": await keyPem(listener),
    "expired.pem": await sign(expired, now - 2 * DAY_MS, now - DAY_MS),
    "expired.key": await keyPem(expired),
    "other.key": await keyPem(other),
  };
}

/** Writes them into a folder, which is made where it is missing. Keys get mode 0600. Returns the paths. */
export async function writeDevCertificates(folder: string, options?: DevCertificateOptions): Promise<string[]> {
  await mkdir(folder, { recursive: true });
  const files = Object.entries(await makeDevCertificates(options));
  return Promise.all(
    files.map(async ([name, pem]) => {
      const path = join(folder, name);
      await writeFile(path, pem, { mode: name.endsWith(".key") ? 0o600 : 0o644 });
      return path;
    }),
  );
}

async function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return crypto.subtle.generateKey(RSA, true, ["sign", "verify"]);
}

async function keyPem(keys: webcrypto.CryptoKeyPair): Promise<string> {
  return `${x509.PemConverter.encode(await crypto.subtle.exportKey("pkcs8", keys.privateKey), "PRIVATE KEY")}\n`;
}

/** 16 octets, positive (RFC 5280 section 4.1.2.2). */
function serialNumber(): string {
  const octets = crypto.getRandomValues(Buffer.alloc(16));
  octets[0] = 0x40 | ((octets[0] ?? 0) & 0x3f);
  return octets.toString("hex");
}

function isAddress(name: string): boolean {
  return name.includes(":") || /^\d+(?:\.\d+){3}$/.test(name);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { out: { type: "string", default: fileURLToPath(new URL(".", import.meta.url)) } } });
  for (const path of await writeDevCertificates(resolve(values.out))) console.log(path);
}
