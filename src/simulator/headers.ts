/** Just enough of RFC 5322 to judge and show a message: header fields, addresses in From:, encoded words. */
import { Buffer } from "node:buffer";

/** A header field, unfolded. */
export interface HeaderField {
  readonly name: string;
  readonly value: string;
  /** Octets of the value as sent. */
  readonly sizeBytes: number;
}

/** Reads the fields of a header block. Lines that are no field end a field and are left out. */
export function parseHeaders(block: Buffer): HeaderField[] {
  const fields: { name: string; value: string; sizeBytes: number }[] = [];
  let current: { name: string; value: string; sizeBytes: number } | undefined;
  for (const line of block.toString("utf8").split(/\r?\n/)) {
    if (/^[ \t]/.test(line) && current !== undefined) {
      current.value += line;
      current.sizeBytes += Buffer.byteLength(line) + 2;
      continue;
    }
    const colon = line.indexOf(":");
    current = undefined;
    if (colon < 1 || !/^[!-9;-~]+[ \t]*$/.test(line.slice(0, colon))) continue;
    const value = line.slice(colon + 1).trimStart();
    current = { name: line.slice(0, colon).trimEnd(), value, sizeBytes: Buffer.byteLength(value) };
    fields.push(current);
  }
  return fields;
}

/** Values of every field of this name, in any case of letters. */
export function headerValues(fields: readonly HeaderField[], name: string): string[] {
  return fields.filter((field) => field.name.toLowerCase() === name.toLowerCase()).map((field) => field.value);
}

/** The addresses of an address list. Comments, quoted strings and groups (`undisclosed-recipients:;`) are understood. */
export function addressesOf(value: string): string[] {
  const addresses: string[] = [];
  let angle: string | undefined;
  let bare = "";
  let depth = 0;
  const finish = (): void => {
    const address = (angle ?? bare).trim();
    if (address.includes("@")) addresses.push(address);
    angle = undefined;
    bare = "";
  };
  for (let at = 0; at < value.length; at++) {
    const character = value[at] as string;
    if (character === '"') {
      let quoted = "";
      for (at++; at < value.length && value[at] !== '"'; at++) quoted += value[at] === "\\" ? (value[++at] ?? "") : (value[at] as string);
      // A quoted local part belongs to the address, a quoted display name does not.
      if (value[at + 1] === "@") bare += `"${quoted}"`;
    } else if (character === "(") depth++;
    else if (character === ")" && depth > 0) depth--;
    else if (depth > 0) continue;
    else if (character === "<") {
      const end = value.indexOf(">", at);
      angle = value.slice(at + 1, end < 0 ? value.length : end);
      at = end < 0 ? value.length : end;
    } else if (character === "," || character === ";") finish();
    // What stands before it is the name of a group.
    else if (character === ":") bare = "";
    else bare += character;
  }
  finish();
  return addresses;
}

function decodeWord(charset: string, encoding: string, text: string): string | undefined {
  const octets =
    encoding.toLowerCase() === "b"
      ? Buffer.from(text, "base64")
      : Buffer.from(
          text.replaceAll("_", " ").replace(/=([0-9a-fA-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
          "latin1",
        );
  try {
    return new TextDecoder(charset.split("*")[0]).decode(octets);
  } catch {
    return undefined;
  }
}

/** Decodes the encoded words of a header value (RFC 2047); what cannot be decoded stays as it is. */
export function decodeWords(value: string): string {
  return value
    .replace(/(=\?[^?\s]+\?[bBqQ]\?[^?\s]*\?=)\s+(?==\?[^?\s]+\?[bBqQ]\?)/g, "$1")
    .replace(
      /=\?([^?\s]+)\?([bBqQ])\?([^?\s]*)\?=/g,
      (word, charset: string, encoding: string, text: string) => decodeWord(charset, encoding, text) ?? word,
    );
}
