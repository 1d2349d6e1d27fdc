/** Finds the fields of a header section in its octets, and writes new ones, without touching or decoding what it does not need. */
import { foldedLines, oneLine } from "./words.ts";

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

const FIELD_NAME = /^[!-9;-~]{1,76}$/;

/**
 * One field with its line end, folded at blanks (RFC 5322 §2.2.3). Nothing in the value can end the field: control characters become
 * spaces. What is not ASCII is written as UTF-8; text belongs in encoded words before ({@link encodedPhrase}), addresses may stay as they are.
 *
 * @throws Error when the name is none
 */
export function fieldOctets(name: string, value: string): Buffer {
  if (!FIELD_NAME.test(name)) throw new Error(`${JSON.stringify(name)} is no header field name`);
  return Buffer.from(`${foldedLines(`${name}: ${oneLine(value)}`)}\r\n`, "utf8");
}

/** One field to take out of a header section, or to write anew in its place. */
export interface FieldChange {
  readonly field: HeaderField;
  /** The whole new field with its line end; absent: the field goes. */
  readonly by?: Buffer | undefined;
}

/** The octets of `header` with some of its fields gone or replaced; all others are the very same octets. */
export function changedFields(header: Buffer, changes: readonly FieldChange[]): Buffer[] {
  const parts: Buffer[] = [];
  let start = 0;
  for (const { field, by } of changes.toSorted((a, b) => a.field.start - b.field.start)) {
    if (field.start > start) parts.push(header.subarray(start, field.start));
    if (by !== undefined) parts.push(by);
    start = field.end;
  }
  if (start < header.length) parts.push(header.subarray(start));
  return parts;
}

const SIGNED_CONTENT = /^(?:multipart\/signed|application\/(?:x-)?pkcs7-mime)/i;

/** Whether this field says that the message is signed, so that its sender and content must stay as they are: DKIM (RFC 6376), S/MIME, PGP/MIME. */
export function tellsOfSignature(octets: Buffer, field: HeaderField): boolean {
  return field.name === "dkim-signature" || (field.name === "content-type" && SIGNED_CONTENT.test(unfoldedValue(octets, field)));
}
