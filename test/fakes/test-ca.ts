/** A certificate authority that lives as long as one test run. Writes its DER (X.509, RFC 5280) itself, so that it shares no code with the product. */
import { generateKeyPairSync, randomBytes, sign } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { isIP } from "node:net";

/** A certificate and its key, PEM. */
export interface TestCertificate {
  readonly cert: string;
  readonly key: string;
}

/** From when to when a certificate is valid. */
export interface Validity {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** Issues certificates under a root of its own. */
export interface TestAuthority {
  /** The root (or the intermediate), PEM. */
  readonly ca: string;
  /** An authority that this one has signed; its `ca` is the intermediate certificate. */
  readonly intermediate: (subject: string) => TestAuthority;
  /** A certificate for these names; an IPv4 address becomes an IP SAN. ECDSA unless told. */
  readonly issue: (names: readonly string[], validity?: Validity, keyType?: "ec" | "rsa" | "rsa-1024") => TestCertificate;
}

function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  if (body.length < 128) return Buffer.concat([Buffer.from([tag, body.length]), body]);
  const hex = body.length.toString(16);
  const length = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex");
  return Buffer.concat([Buffer.from([tag, 0x80 | length.length]), length, body]);
}

function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const octets = [first * 40 + second];
  for (const arc of rest) {
    const digits = [arc & 0x7f];
    for (let more = arc >> 7; more > 0; more >>= 7) digits.unshift((more & 0x7f) | 0x80);
    octets.push(...digits);
  }
  return der(0x06, Buffer.from(octets));
}

const sequence = (...parts: readonly Uint8Array[]): Buffer => der(0x30, ...parts);
const name = (text: string): Buffer => sequence(der(0x31, sequence(oid("2.5.4.3"), der(0x0c, Buffer.from(text)))));
const time = (date: Date): Buffer => der(0x17, Buffer.from(`${date.toISOString().replace(/[-:T]/g, "").slice(2, 14)}Z`));
const ECDSA_SHA256 = sequence(oid("1.2.840.10045.4.3.2"));
const TRUE = der(0x01, Buffer.from([0xff]));

function extension(id: string, critical: boolean, value: Uint8Array): Buffer {
  return sequence(oid(id), ...(critical ? [TRUE] : []), der(0x04, value));
}

function pem(octets: Uint8Array): string {
  const lines =
    Buffer.from(octets)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

function certificate(
  subject: string,
  issuer: string,
  key: KeyObject,
  signer: KeyObject,
  validity: Validity,
  extensions: readonly Uint8Array[],
): string {
  const tbs = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.concat([Buffer.from([1]), randomBytes(15)])),
    ECDSA_SHA256,
    name(issuer),
    sequence(time(validity.notBefore), time(validity.notAfter)),
    name(subject),
    key.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(...extensions)),
  );
  return pem(sequence(tbs, ECDSA_SHA256, der(0x03, Buffer.from([0]), sign("sha256", tbs, signer))));
}

const MONTH = (): Validity => ({ notBefore: new Date(Date.now() - 86_400_000), notAfter: new Date(Date.now() + 30 * 86_400_000) });
const CA_EXTENSIONS = (): Uint8Array[] => [
  extension("2.5.29.19", true, sequence(TRUE)),
  extension("2.5.29.15", true, der(0x03, Buffer.from([2, 0x04]))),
];

/** Makes a new root. */
export function makeTestAuthority(root = "Postern test root"): TestAuthority {
  const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return authorityOf(root, certificate(root, root, keys.publicKey, keys.privateKey, MONTH(), CA_EXTENSIONS()), keys.privateKey);
}

function authorityOf(issuer: string, ca: string, signer: KeyObject): TestAuthority {
  return {
    ca,
    intermediate: (subject) => {
      const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
      return authorityOf(subject, certificate(subject, issuer, keys.publicKey, signer, MONTH(), CA_EXTENSIONS()), keys.privateKey);
    },
    issue: (names, validity = MONTH(), keyType = "ec") => {
      const keys =
        keyType === "ec"
          ? generateKeyPairSync("ec", { namedCurve: "P-256" })
          : generateKeyPairSync("rsa", { modulusLength: keyType === "rsa" ? 2048 : 1024 });
      const alternatives = names.map((one) =>
        isIP(one) === 4 ? der(0x87, Buffer.from(one.split(".").map(Number))) : der(0x82, Buffer.from(one)),
      );
      const cert = certificate(names[0] ?? "nobody", issuer, keys.publicKey, signer, validity, [
        extension("2.5.29.17", false, sequence(...alternatives)),
      ]);
      return { cert, key: String(keys.privateKey.export({ type: "pkcs8", format: "pem" })) };
    },
  };
}
