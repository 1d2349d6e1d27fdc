/** The frame of every report: its header and its parts, in the shape of multipart/report (RFC 6522). */
import { isAscii, oneLine } from "../mime/words.ts";
import { displayName, encodedText, isSevenBit, mailDate, quotedPrintable } from "./mime.ts";
import { WORDS, type Language } from "./words.ts";

/** What the header of a report is made of. */
export interface ReportHeader {
  /** Queue id of the report itself. */
  readonly queueId: string;
  readonly now: number;
  /** IANA name for dates; undefined: the system's. */
  readonly timeZone: string | undefined;
  readonly hostname: string;
  readonly language: Language;
  readonly from: string;
  readonly to: string;
}

/** A finished report. */
export interface Report {
  /** CRLF line ends only; ASCII unless an address is not. */
  readonly content: Buffer;
  readonly messageId: string;
  readonly eightBit: boolean;
}

/** A part with text or lines of a header, as 7bit where it is, else quoted-printable. */
export function encodedPart(type: string, octets: Uint8Array, charset: boolean): string {
  const sevenBit = isSevenBit(octets);
  const body = sevenBit ? Buffer.from(octets).toString("latin1") : quotedPrintable(octets);
  const head = [
    `Content-Type: ${type}${charset ? `; charset=${sevenBit ? "us-ascii" : "utf-8"}` : ""}`,
    `Content-Transfer-Encoding: ${sevenBit ? "7bit" : "quoted-printable"}`,
  ];
  return `${head.join("\r\n")}\r\n\r\n${body}`;
}

/**
 * Puts a report together.
 *
 * @param about - the Message-ID it answers, where it is about one message
 * @param parts - the first for people, the second for machines, a third with the mail in question
 */
export function framedReport(facts: ReportHeader, subject: string, about: string | undefined, parts: readonly string[]): Report {
  const words = WORDS[facts.language];
  const messageId = `<${facts.queueId}@${facts.hostname}>`;
  let boundary = `postern-${facts.queueId}`;
  while (parts.some((part) => part.includes(`--${boundary}`))) boundary += "x";
  const id = about === undefined ? "" : oneLine(about);
  const header = [
    `From: ${displayName(words.relayName(facts.hostname))} <${oneLine(facts.from)}>`,
    `To: <${oneLine(facts.to)}>`,
    `Subject: ${encodedText(subject.slice(0, 400))}`,
    `Date: ${mailDate(facts.now, facts.timeZone)}`,
    `Message-ID: ${messageId}`,
    // Only what is surely a message id: this one came from outside.
    ...(/^<[!-;=?-~]{1,400}>$/.test(id) ? [`In-Reply-To: ${id}`, `References: ${id}`] : []),
    "Auto-Submitted: auto-replied",
    `X-Postern-Id: ${facts.queueId}`,
    `X-Postern-Loop: ${facts.hostname}`,
    "MIME-Version: 1.0",
    `Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="${boundary}"`,
  ];
  const body = parts.map((part) => `--${boundary}\r\n${part}\r\n`).join("");
  const text = `${header.join("\r\n")}\r\n\r\n${words.preamble}\r\n\r\n${body}--${boundary}--\r\n`;
  return { content: Buffer.from(text), messageId, eightBit: !isAscii(text) };
}
