/** Finds the fields of a header section in its octets, without decoding what it does not need. */

const COLON = 0x3a;
const SPACE = 0x20;
const TAB = 0x09;

/** One field, folding included: octets `start` to `end` (after its last line end), its value from `valueStart` on. */
export interface HeaderField {
  /** Lower case. */
  readonly name: string;
  readonly start: number;
  readonly valueStart: number;
  readonly end: number;
}

/**
 * Length of the field name that a line starts with, RFC 5322 §2.2 (printable ASCII, then a colon; blanks before the colon are tolerated).
 *
 * @returns 0 when the line is not the start of a field
 */
export function fieldNameLength(octets: Uint8Array, start: number, end: number): number {
  let pos = start;
  while (pos < end) {
    const octet = octets[pos] ?? 0;
    if (octet === COLON || octet <= SPACE || octet >= 0x7f) break;
    pos += 1;
  }
  const length = pos - start;
  while (pos < end && (octets[pos] === SPACE || octets[pos] === TAB)) pos += 1;
  return pos < end && octets[pos] === COLON ? length : 0;
}

/**
 * Lists the fields of a header section. A line that neither starts nor continues a field is left to the field before it.
 *
 * Works on the octets as a Latin-1 string: searching that costs no call out of JavaScript, and this is done for every message.
 *
 * @param octets - canonical (CRLF) lines, without the empty one
 */
export function headerFields(octets: Buffer): HeaderField[] {
  const text = octets.toString("latin1");
  const fields: HeaderField[] = [];
  let pos = 0;
  while (pos < text.length) {
    const start = pos;
    const nameLength = nameLengthAt(text, start);
    do {
      const lf = text.indexOf("\n", pos);
      pos = lf < 0 ? text.length : lf + 1;
    } while (isBlank(text.charCodeAt(pos)));
    if (nameLength === 0) continue;
    const name = text.slice(start, start + nameLength).toLowerCase();
    fields.push({ name, start, valueStart: text.indexOf(":", start + nameLength) + 1, end: pos });
  }
  return fields;
}

/** As {@link fieldNameLength}; a line end stops it, and so does the end of the text, where charCodeAt is NaN. */
function nameLengthAt(text: string, start: number): number {
  let pos = start;
  for (let code = text.charCodeAt(pos); code > SPACE && code < 0x7f && code !== COLON; code = text.charCodeAt(pos)) pos += 1;
  const length = pos - start;
  while (isBlank(text.charCodeAt(pos))) pos += 1;
  return text.charCodeAt(pos) === COLON ? length : 0;
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB;
}

/** A field's value on one line, as Latin-1 so that every octet survives. */
export function unfoldedValue(octets: Buffer, field: HeaderField): string {
  const value = octets.toString("latin1", field.valueStart, field.end);
  return value.replace(/\r?\n(?=[ \t])/g, "").trim();
}

/** Octets read as Latin-1, read again as UTF-8 where they are that. */
export function decodeOctets(latin1: string): string {
  if (!/[\u0080-\u00ff]/.test(latin1)) return latin1;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.from(latin1, "latin1"));
  } catch {
    return latin1;
  }
}

/** Decodes RFC 2047 encoded words for display; what cannot be decoded stays as it is. */
export function decodeEncodedWords(value: string, longest: number): string {
  const joined = decodeOctets(value)
    .slice(0, longest * 12)
    .replace(/(\?=)\s+(?==\?)/g, "$1");
  const decoded = joined.replace(
    /=\?([A-Za-z0-9_.-]{1,40})(?:\*[^?]*)?\?([BbQq])\?([^?\s]*)\?=/g,
    (word, charset: string, encoding: string, text: string) => {
      const octets =
        encoding.toUpperCase() === "B"
          ? Buffer.from(text, "base64")
          : Buffer.from(
              text.replaceAll("_", " ").replace(/=([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16))),
              "latin1",
            );
      try {
        return new TextDecoder(charset).decode(octets);
      } catch {
        return word;
      }
    },
  );
  return decoded.replace(/[\u0000-\u001f\u007f]+/g, " ").slice(0, longest);
}
