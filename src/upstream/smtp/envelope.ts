/** MAIL and RCPT as they are written on the wire, with the extensions that the server offers. */
import { isNonAscii } from "../../mail/address.ts";
import type { Delivery } from "../upstream.ts";

/** What a server offered at EHLO, as far as it matters to a transaction. */
export interface Offers {
  readonly pipelining: boolean;
  readonly size: boolean;
  /** SIZE as announced; 0 when the server named none. */
  readonly largest: number;
  readonly eightBitMime: boolean;
  readonly smtpUtf8: boolean;
}

/** What most addresses look like: nothing about them needs a closer look. */
const PLAIN = /^[!-;=?-~]+$/;
/** What would end the address or the command before its time. */
const BREAKING = /[\u0000-\u001f\u007f<>]/;

/** `plain`: ASCII; `international`: some address needs SMTPUTF8; `unwritable`: some address would change the command it stands in. */
export type Alphabet = "plain" | "international" | "unwritable";

/** What the addresses of an envelope are made of. */
export function alphabetOf(delivery: Delivery): Alphabet {
  let alphabet: Alphabet = "plain";
  if (delivery.reversePath !== "" && !PLAIN.test(delivery.reversePath)) {
    if (BREAKING.test(delivery.reversePath)) return "unwritable";
    if (isNonAscii(delivery.reversePath)) alphabet = "international";
  }
  for (const recipient of delivery.recipients) {
    if (PLAIN.test(recipient)) continue;
    if (recipient === "" || BREAKING.test(recipient)) return "unwritable";
    if (isNonAscii(recipient)) alphabet = "international";
  }
  return alphabet;
}

/** `MAIL FROM:<…>` with its parameters and line end. RFC 5321 §4.1.1.2, RFC 1870, RFC 6152, RFC 6531. */
export function mailCommand(delivery: Delivery, international: boolean, offers: Offers): string {
  let command = `MAIL FROM:<${delivery.reversePath}>`;
  if (international) command += " SMTPUTF8";
  if (offers.eightBitMime && delivery.eightBit) command += " BODY=8BITMIME";
  if (offers.size) command += ` SIZE=${delivery.sizeBytes}`;
  return `${command}\r\n`;
}

/** `RCPT TO:<…>` with its line end. */
export function rcptCommand(recipient: string): string {
  return `RCPT TO:<${recipient}>\r\n`;
}
