/**
 * The certificate a listener shows when the administrator gave none: RSA 2048 with SHA-256, because devices that know only RSA key exchange
 * are locked out by ECDSA; made once and kept, because devices remember what they accepted.
 */
import { createPrivateKey, randomBytes, webcrypto, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import type { Clock } from "../platform/clock.ts";
import { ensurePrivateDirectory, writeFileAtomic } from "../platform/files.ts";
import type { CertificatePair } from "./options.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
/** Devices with a certificate store have no way to renew: as long as OpenSSL and old firmware (32-bit times) take it. */
const VALID_DAYS = 3650;
const RENEW_BEFORE_MS = 30 * DAY_MS;
const ALGORITHM = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256", publicExponent: new Uint8Array([1, 0, 1]), modulusLength: 2048 };

const CERTIFICATE_FILE = "listener.pem";
const KEY_FILE = "listener.key";

/**
 * The self-made certificate kept in a directory, or a new one where there is none, devices would no longer find the name or address in it
 * that they are configured with, or it expires within 30 days.
 *
 * @param directory - made (0700) where it does not exist; the key is 0600
 * @param hostname - first name; checked by devices that are configured by name
 * @param addresses - further names, for devices that are configured by address; see {@link listenerAddresses}
 */
export async function ensureSelfMadeCertificate(
  directory: string,
  hostname: string,
  addresses: ListenerAddresses,
  clock: Clock,
): Promise<CertificatePair> {
  const certificateFile = join(directory, CERTIFICATE_FILE);
  const keyFile = join(directory, KEY_FILE);
  const [certPem, keyPem] = await Promise.all([readIfThere(certificateFile), readIfThere(keyFile)]);
  if (certPem !== undefined && keyPem !== undefined && isCurrent(certPem, keyPem, hostname, addresses, clock.now()))
    return { certPem, keyPem };
  const made = await makeCertificate(hostname, distinct(Object.values(addresses).flat()), clock.now());
  await ensurePrivateDirectory(directory);
  // The key first: a crash in between leaves a pair that does not fit, which the next start replaces.
  await writeFileAtomic(keyFile, made.keyPem, 0o600);
  await writeFileAtomic(certificateFile, made.certPem, 0o644);
  return made;
}

/** IP addresses by which devices may reach listeners. */
export interface ListenerAddresses {
  /** Written out in the configuration. */
  readonly named: readonly string[];
  /** All of this machine's, where a listener is bound to all. They come and go: temporary IPv6 addresses, a second network card. */
  readonly own?: readonly string[];
  /** Of those the loopback and what containers and virtual machines come with: reached from this machine alone. */
  readonly virtual?: readonly string[];
}

const VIRTUAL = /^(lo|docker|br-|veth|virbr|cni|flannel)/;

/**
 * The addresses by which devices may reach listeners.
 *
 * @param hosts - hosts of the endpoints; undefined, `0.0.0.0` and `::` mean all. Names are left out
 */
export function listenerAddresses(
  hosts: readonly (string | undefined)[],
  interfaces: Readonly<Record<string, readonly { readonly address: string }[] | undefined>> = networkInterfaces(),
): ListenerAddresses {
  const isAll = (host: string | undefined): boolean => host === undefined || host === "0.0.0.0" || host === "::";
  const named = hosts.filter((host) => host !== undefined && !isAll(host) && isIP(host) !== 0);
  const found = hosts.some(isAll) ? Object.entries(interfaces) : [];
  const of = (virtual: boolean): (string | undefined)[] =>
    found.flatMap(([name, list]) => (VIRTUAL.test(name) === virtual ? (list ?? []).map(({ address }) => address) : []));
  return { named: distinct(named), own: distinct(of(false)), virtual: distinct(of(true)) };
}

function distinct(addresses: readonly (string | undefined)[]): string[] {
  return (
    [...new Set(addresses)]
      // Link-local addresses need a zone, which a certificate cannot carry.
      .filter((address): address is string => address !== undefined && !address.startsWith("fe80:"))
      .toSorted()
  );
}

/** Devices that were told to trust it would refuse another: of this machine's own addresses one that it knows is enough. */
function isCurrent(certPem: string, keyPem: string, hostname: string, { named, own = [] }: ListenerAddresses, now: number): boolean {
  try {
    const certificate = new X509Certificate(certPem);
    const carries = (address: string): boolean => certificate.checkIP(address) !== undefined;
    return (
      certificate.checkPrivateKey(createPrivateKey(keyPem)) &&
      certificate.validToDate.getTime() - now > RENEW_BEFORE_MS &&
      certificate.checkHost(hostname) !== undefined &&
      named.every(carries) &&
      (own.length === 0 || own.some(carries))
    );
  } catch {
    return false; // a damaged file of our own making is made anew
  }
}

/**
 * Makes a self-signed certificate with its key.
 *
 * @param addresses - IP addresses as further names
 * @param now - ms since the epoch; valid from a day before
 */
export async function makeCertificate(
  hostname: string,
  addresses: readonly string[],
  now: number,
  validDays = VALID_DAYS,
): Promise<CertificatePair> {
  // Loaded only here: it is large, and needed once in years. It wants the Metadata API of decorators in place before it loads.
  await import("reflect-metadata");
  const x509 = await import("@peculiar/x509");
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const serial = randomBytes(16);
  serial[0] = (serial[0] ?? 0) & 0x7f; // positive, RFC 5280 §4.1.2.2
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial.toString("hex"),
    // A common name holds 64 characters at most; the alternative names are what counts.
    name: `CN=${hostname.slice(0, 64)}`,
    notBefore: new Date(now - DAY_MS),
    notAfter: new Date(now + validDays * DAY_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension([
        { type: "dns", value: hostname },
        ...addresses.map((value) => ({ type: "ip" as const, value })),
      ]),
    ],
  });
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey));
  const keyPem = createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" }).export({ type: "pkcs8", format: "pem" }).toString();
  return { certPem: `${certificate.toString("pem").trimEnd()}\n`, keyPem };
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
