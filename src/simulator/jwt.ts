/** JSON Web Tokens as Entra issues and takes them (RFC 7519, RFC 7515), with node:crypto alone. */
import { constants, createSign, verify as verifyData } from "node:crypto";
import type { KeyObject } from "node:crypto";

/** A token cut into its parts; nothing has been verified. */
export interface DecodedJwt {
  readonly header: Readonly<Record<string, unknown>>;
  readonly claims: Readonly<Record<string, unknown>>;
  readonly signingInput: string;
  readonly signature: Buffer;
}

/** A bearer token longer than this is not looked at. */
const LONGEST_JWT = 16_384;

function encodePart(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

function decodePart(part: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** Signs claims with RS256. */
export function signJwt(header: object, claims: object, key: KeyObject): string {
  const input = `${encodePart({ typ: "JWT", alg: "RS256", ...header })}.${encodePart(claims)}`;
  return `${input}.${createSign("RSA-SHA256").update(input).sign(key).toString("base64url")}`;
}

/** Cuts a token into its parts; undefined when it is not three base64url parts of JSON objects. */
export function decodeJwt(token: string): DecodedJwt | undefined {
  if (token.length > LONGEST_JWT || !/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)) return undefined;
  const [header = "", claims = "", signature = ""] = token.split(".");
  const headerObject = decodePart(header);
  const claimsObject = decodePart(claims);
  if (headerObject === undefined || claimsObject === undefined) return undefined;
  return {
    header: headerObject,
    claims: claimsObject,
    signingInput: `${header}.${claims}`,
    signature: Buffer.from(signature, "base64url"),
  };
}

/** Verifies RS256 or PS256; every other algorithm, `none` first of all, is false. */
export function verifyJwt(jwt: DecodedJwt, key: KeyObject): boolean {
  const input = Buffer.from(jwt.signingInput);
  if (jwt.header["alg"] === "RS256") return verifyData("RSA-SHA256", input, key, jwt.signature);
  if (jwt.header["alg"] !== "PS256") return false;
  return verifyData("RSA-SHA256", input, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }, jwt.signature);
}
