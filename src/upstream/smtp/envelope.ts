/** MAIL and RCPT as they are written on the wire, with the extensions that the server offers. */
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

/** Whether every address of an envelope can be told to any server as it is. */
export function isPlain({ reversePath, recipients }: Delivery): boolean {
  if (reversePath !== "" && !PLAIN.test(reversePath)) return false;
  for (const recipient of recipients) if (!PLAIN.test(recipient)) return false;
  return true;
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
