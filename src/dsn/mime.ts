/** The little MIME that a report needs: encoded words, quoted-printable, dates, lines that keep their length. All output has CRLF line ends. */
import { isAscii, LONGEST_LINE, oneLine, unstructured } from "../mime/words.ts";

/** A phrase or unstructured text for a header field: as it is when plain, else in encoded words of at most 75 characters (RFC 2047). */
export function encodedText(text: string): string {
  return unstructured(text).replaceAll("?= =?", "?=\r\n =?");
}

/** A display name: quoted when plain, else encoded. */
export function displayName(name: string): string {
  const line = oneLine(name);
  return isAscii(line) ? `"${line.replace(/["\\]/g, "\\$&")}"` : encodedText(line);
}

/** Quoted-printable (RFC 2045 §6.7) of octets with CRLF line ends; lines are at most 76 characters. */
export function quotedPrintable(octets: Uint8Array): string {
  const lines: string[] = [];
  let line = "";
  const add = (piece: string): void => {
    if (line.length + piece.length > 75) {
      lines.push(`${line}=`);
      line = "";
    }
    line += piece;
  };
  for (let i = 0; i < octets.length; i += 1) {
    const octet = octets[i] ?? 0;
    if (octet === 13 && octets[i + 1] === 10) {
      lines.push(line);
      line = "";
      i += 1;
      continue;
    }
    const beforeBreak = i + 1 === octets.length || (octets[i + 1] === 13 && octets[i + 2] === 10);
    const plain = (octet > 32 && octet < 127 && octet !== 61) || ((octet === 32 || octet === 9) && !beforeBreak);
    add(plain ? String.fromCharCode(octet) : `=${octet.toString(16).toUpperCase().padStart(2, "0")}`);
  }
  lines.push(line);
  return lines.join("\r\n");
}

/** True when the octets can travel as 7bit: ASCII without NUL, CRLF line ends only, no line over 998. */
export function isSevenBit(octets: Uint8Array): boolean {
  let length = 0;
  for (let i = 0; i < octets.length; i += 1) {
    const octet = octets[i] ?? 0;
    if (octet === 13 && octets[i + 1] === 10) {
      length = 0;
      i += 1;
    } else {
      length += 1;
      if (octet === 0 || octet === 10 || octet === 13 || octet > 127 || length > LONGEST_LINE) return false;
    }
  }
  return true;
}

/** Breaks a paragraph at spaces into lines of at most `width` characters; a longer word stays whole. */
export function wrapped(text: string, indent = "", width = 76): string {
  const lines: string[] = [];
  let line = indent;
  for (const word of oneLine(text).split(/ +/)) {
    if (line.length > indent.length && line.length + 1 + word.length > width) {
      lines.push(line);
      line = indent;
    }
    line += line.length === indent.length ? word : ` ${word}`;
  }
  lines.push(line);
  return lines.join("\r\n");
}

const FORMATTERS = new Map<string | undefined, Intl.DateTimeFormat>();

/**
 * A date of RFC 5322 §3.3, `Mon, 05 Jan 2026 10:00:00 +0100`.
 *
 * @param timeZone - IANA name; undefined: the system's
 */
export function mailDate(ms: number, timeZone: string | undefined): string {
  let formatter = FORMATTERS.get(timeZone);
  if (formatter === undefined) {
    formatter = new Intl.DateTimeFormat("en-US", {
      timeZone,
      weekday: "short",
      day: "2-digit",
      month: "short",
      year: "numeric",
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
      hourCycle: "h23",
      timeZoneName: "longOffset",
    });
    FORMATTERS.set(timeZone, formatter);
  }
  const part: Record<string, string> = {};
  for (const { type, value } of formatter.formatToParts(ms)) part[type] = value;
  const offset = /^GMT([+-])(\d{2}):(\d{2})/.exec(part["timeZoneName"] ?? "");
  const zone = offset === null ? "+0000" : `${offset[1]}${offset[2]}${offset[3]}`;
  return `${part["weekday"]}, ${part["day"]} ${part["month"]} ${part["year"]} ${part["hour"]}:${part["minute"]}:${part["second"]} ${zone}`;
}
