/** Text in header fields: octets read as text, encoded words (RFC 2047), phrases, folding. */

/** RFC 5322 §2.1.1: no line is longer, CRLF apart. */
export const LONGEST_LINE = 998;
/** Where lines of our own are folded. */
const FOLD_AT = 76;

/** One line without control characters: nothing from outside can start a header field of its own. */
export function oneLine(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f]+/g, " ").trim();
}

export function isAscii(text: string): boolean {
  return !/[\u0080-\u{10ffff}]/u.test(text);
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

/** Octets that one encoded word carries: with its frame it stays under 75 characters. */
const WORD_OCTETS = 45;

/** Text as encoded words of at most 75 characters (RFC 2047 §2) in UTF-8; a character is never cut. */
export function encodedWords(text: string): string[] {
  const words: string[] = [];
  let octets: number[] = [];
  const flush = (): void => {
    if (octets.length > 0) words.push(`=?UTF-8?B?${Buffer.from(octets).toString("base64")}?=`);
    octets = [];
  };
  for (const character of text) {
    const bytes = Buffer.from(character);
    if (octets.length + bytes.length > WORD_OCTETS) flush();
    octets.push(...bytes);
  }
  flush();
  return words;
}

/** Text for an unstructured field: as it is when plain, else in encoded words. */
export function unstructured(text: string): string {
  const line = oneLine(text);
  return isAscii(line) && !line.includes("=?") ? line : encodedWords(line).join(" ");
}

const ATOMS = /^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*$/;

/**
 * A display name as it may stand before `<address>` (RFC 5322 §3.2.5): atoms and encoded words as they are, other ASCII as a quoted string,
 * anything else in encoded words.
 *
 * @param display - text, or octets read as Latin-1 as {@link readMailboxes} gives them; quotes and folding are gone
 */
export function encodedPhrase(display: string): string {
  const flat = oneLine(decodeOctets(display));
  if (flat.length <= LONGEST_NAME && (flat === "" || ATOMS.test(flat))) return flat;
  // Inside quotes an encoded word would be shown as it is written.
  const text = flat.includes("=?") ? decodeEncodedWords(flat, LONGEST_NAME) : flat;
  if (!isAscii(text)) return encodedWords(text.slice(0, LONGEST_NAME)).join(" ");
  return `"${text.slice(0, LONGEST_NAME).replace(/[\\"]/g, "\\$&")}"`;
}

/** Characters of a display name that are kept. */
const LONGEST_NAME = 256;

/**
 * A field broken at blanks into lines of at most 76 characters where they allow it, of 998 octets in any case. Unfolding gives it back.
 *
 * @param field - one line, without blanks at its end
 */
export function foldedLines(field: string): string {
  if (field.length <= FOLD_AT) return field;
  const lines: string[] = [];
  let rest = field;
  // A name alone on the first line is legal, and confuses some readers.
  let from = field.indexOf(":") + 2;
  while (rest.length > FOLD_AT) {
    const at = foldingPlace(rest, from);
    if (at < 0) break;
    lines.push(rest.slice(0, at));
    rest = rest.slice(at);
    from = 0;
  }
  lines.push(rest);
  return lines.flatMap(cutToLength).join("\r\n");
}

/** The last blank after a word that leaves a line of at most 76 characters, else the first one there is; -1: none. */
function foldingPlace(line: string, from: number): number {
  let word = from;
  while (line[word] === " ") word += 1;
  let at = line.lastIndexOf(" ", FOLD_AT);
  while (at > word && line[at - 1] === " ") at -= 1;
  return at > word ? at : line.indexOf(" ", word);
}

/** A single word that is too long for SMTP is broken here, so that no hop after us breaks it differently. */
function cutToLength(line: string): string[] {
  if (line.length * 3 <= LONGEST_LINE || Buffer.byteLength(line) <= LONGEST_LINE) return [line];
  const pieces: string[] = [];
  let piece = "";
  let octets = 0;
  for (const character of line) {
    const length = Buffer.byteLength(character);
    if (octets + length > LONGEST_LINE) {
      pieces.push(piece);
      piece = " ";
      octets = 1;
    }
    piece += character;
    octets += length;
  }
  pieces.push(piece);
  return pieces;
}
