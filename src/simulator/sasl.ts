/** What a client sends to authenticate, taken apart: XOAUTH2 and LOGIN. */
import { Buffer } from "node:buffer";

/** User and bearer token of an XOAUTH2 response. */
export interface BearerCredential {
  readonly user: string;
  readonly token: string;
}

/** Strict base64; undefined when it is not. */
export function decodeBase64(text: string): string | undefined {
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text)) return undefined;
  return Buffer.from(text, "base64").toString("utf8");
}

/** Reads `user=ADDRESS^Aauth=Bearer TOKEN^A^A`; undefined when it is damaged. */
export function readXoauth2(base64: string): BearerCredential | undefined {
  const match = /^user=([^\x01]+)\x01auth=Bearer ([^\x01 ]+)\x01\x01$/i.exec(decodeBase64(base64) ?? "");
  return match === null ? undefined : { user: match[1] as string, token: match[2] as string };
}
