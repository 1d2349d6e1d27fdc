/** Reads `Content-Type: value; name="x"` and its like, with the continued and encoded parameters of RFC 2231. */
import { decodeEncodedWords, decodeOctets } from "./words.ts";

/** A structured field. */
export interface ParameterField {
  /** Lower case, without parameters. */
  readonly value: string;
  /** By name in lower case, decoded. */
  readonly parameters: ReadonlyMap<string, string>;
}

const LONGEST_VALUE = 1_000;
/** Parameters that are read; a hostile field may hold thousands. */
const MOST_PARAMETERS = 50;

/** @param text - the field body on one line, as Latin-1 */
export function readParameterField(text: string): ParameterField {
  const [value = "", ...pieces] = cutAtSemicolons(text);
  const given = new Map<string, string>();
  for (const piece of pieces.slice(0, MOST_PARAMETERS)) {
    const at = piece.indexOf("=");
    if (at < 0) continue;
    const name = piece.slice(0, at).trim().toLowerCase();
    if (!given.has(name)) given.set(name, unquote(piece.slice(at + 1).trim()));
  }
  const parameters = new Map<string, string>();
  for (const [name, first] of given) {
    const [, base = "", number, star = ""] = /^([^*]+?)(?:\*(\d{1,2}))?(\*)?$/.exec(name) ?? [];
    if (base === "" || (number !== undefined && number !== "0")) continue;
    if (number === undefined) {
      const text2231 = star === "" ? undefined : extended(first);
      if (text2231 !== undefined) parameters.set(base, text2231);
      else if (!parameters.has(base)) parameters.set(base, decodeEncodedWords(first, LONGEST_VALUE));
      continue;
    }
    let whole = first;
    for (let next = 1; next < MOST_PARAMETERS; next += 1) {
      const more = given.get(`${base}*${next}`) ?? given.get(`${base}*${next}*`);
      if (more === undefined) break;
      whole += more;
    }
    parameters.set(base, (star === "" ? undefined : extended(whole)) ?? decodeOctets(whole));
  }
  return {
    value: value
      .replace(/\([^()]*\)/g, "")
      .trim()
      .toLowerCase(),
    parameters,
  };
}

/** `utf-8'en'%E2%82%AC`; undefined when it is none. */
function extended(text: string): string | undefined {
  const match = /^([^']*)'[^']*'([^]*)$/.exec(text);
  if (match === null) return undefined;
  const octets = Buffer.from(
    (match[2] ?? "").replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16))),
    "latin1",
  );
  try {
    return new TextDecoder(match[1] === "" ? "utf-8" : match[1]).decode(octets);
  } catch {
    return undefined;
  }
}

function cutAtSemicolons(text: string): string[] {
  const pieces: string[] = [];
  let start = 0;
  let quoted = false;
  for (let pos = 0; pos < text.length; pos += 1) {
    const char = text.charAt(pos);
    if (char === "\\" && quoted) pos += 1;
    else if (char === '"') quoted = !quoted;
    else if (char === ";" && !quoted) {
      pieces.push(text.slice(start, pos));
      start = pos + 1;
    }
  }
  return [...pieces, text.slice(start)];
}

function unquote(text: string): string {
  return text.startsWith('"') ? text.slice(1, text.endsWith('"') && text.length > 1 ? -1 : undefined).replace(/\\([^])/g, "$1") : text;
}
