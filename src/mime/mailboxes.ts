/** Reads the mailboxes of an address field as devices write it (RFC 5322 §3.4, tolerant), and writes such a field. */
import { fieldOctets } from "./fields.ts";
import { encodedPhrase } from "./words.ts";

/** One mailbox: what is shown, and the address between the brackets or alone. */
export interface HeaderMailbox {
  /** Display name without quotes and folding; the empty string when there is none. */
  readonly display: string;
  /** As written; the empty string when there is none. */
  readonly address: string;
}

/** Mailboxes of a field that are read; a hostile one may hold a hundred thousand. */
const MOST_MAILBOXES = 1_000;

/**
 * Cuts the body of an address field into mailboxes. Comments are dropped from addresses; a mailbox without any address keeps its whole text
 * as display name. What there is beyond a thousand counts as one without name and address, so that nobody takes it for read.
 *
 * @param value - the field body, unfolded, without its line end
 */
export function readMailboxes(value: string): HeaderMailbox[] {
  const parts = splitList(value);
  const mailboxes = parts
    .slice(0, MOST_MAILBOXES)
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map(readMailbox);
  return parts.length > MOST_MAILBOXES ? [...mailboxes, { display: "", address: "" }] : mailboxes;
}

/**
 * Splits at commas and semicolons outside of quotes, comments and brackets; a group's name goes. A second address in brackets is a mailbox of its own:
 * `<a@d> <b@d>` names two, and nobody can say which of them a reader after us will take.
 */
function splitList(value: string): string[] {
  const parts: string[] = [];
  let start = 0;
  let depth = 0;
  let quoted = false;
  let angle = false;
  /** Nothing of an address so far: a colon would end a group's name. */
  let name = true;
  /** Where something stands between brackets already. */
  let filled = false;
  const cut = (end: number, next: number): void => {
    parts.push(value.slice(start, end));
    start = next;
    name = true;
    filled = false;
  };
  for (let i = 0; i < value.length && parts.length <= MOST_MAILBOXES; i += 1) {
    const char = value[i];
    if (char === "\\" && (quoted || depth > 0)) i += 1;
    else if (char === '"' && depth === 0) quoted = !quoted;
    else if (quoted) continue;
    else if (char === "(") depth += 1;
    else if (char === ")" && depth > 0) depth -= 1;
    else if (depth > 0) continue;
    else if (char === "<") {
      if (filled) cut(i, i);
      angle = true;
      name = false;
    } else if (char === ">") {
      angle = false;
      name = false;
    } else if (char === ":" && !angle && name) start = i + 1;
    else if ((char === "," || char === ";") && !angle) cut(i, i + 1);
    else if (char === "@") name = false;
    if (angle && char !== "<" && char !== " ") filled = true;
  }
  parts.push(value.slice(start));
  return parts;
}

/**
 * The last `<` outside of quotes and comments; -1 when there is none. Where a quote or comment is never closed, the last of all, unless an address
 * stands before it.
 */
function openingBracket(text: string): number {
  let depth = 0;
  let quoted = false;
  let last = -1;
  for (let i = 0; i < text.length; i += 1) {
    const char = text[i];
    if (char === "\\" && (quoted || depth > 0)) i += 1;
    else if (char === '"' && depth === 0) quoted = !quoted;
    else if (quoted) continue;
    else if (char === "(") depth += 1;
    else if (char === ")" && depth > 0) depth -= 1;
    else if (char === "<" && depth === 0) last = i;
  }
  if (!quoted && depth === 0) return last;
  const any = text.lastIndexOf("<");
  return text.slice(0, Math.max(any, 0)).includes("@") ? last : any;
}

function readMailbox(text: string): HeaderMailbox {
  const open = openingBracket(text);
  if (open >= 0) {
    const close = text.indexOf(">", open);
    const inside = text.slice(open + 1, close < 0 ? text.length : close);
    let end = open;
    while (end > 0 && text[end - 1] === "<") end -= 1;
    return { display: unquote(text.slice(0, end).trim()), address: withoutComments(inside).replace(/\s+/g, "") };
  }
  const bare = withoutComments(text).trim();
  if (/^\S+@\S+$/.test(bare)) {
    const comment = /\(([^()]*)\)/.exec(text)?.[1]?.trim();
    return { display: comment ?? "", address: bare };
  }
  return { display: unquote(text), address: /^[^\s@"]+$/.test(bare) ? bare : "" };
}

function withoutComments(text: string): string {
  if (!text.includes("(")) return text;
  let out = "";
  let depth = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i += 1) {
    const char = text[i] ?? "";
    if (char === '"' && depth === 0) quoted = !quoted;
    if (char === "(" && !quoted) depth += 1;
    else if (char === ")" && depth > 0) depth -= 1;
    else if (depth === 0) out += char;
  }
  return out;
}

function unquote(text: string): string {
  const quoted = /^"((?:[^"\\]|\\.)*)"$/s.exec(text);
  return quoted?.[1] === undefined ? text : quoted[1].replace(/\\(.)/gs, "$1");
}

/**
 * An address field with its line end: `From: Name <address>`, or the address alone.
 *
 * @param display - as {@link HeaderMailbox} has it; encoded or quoted as needed
 * @param address - written as it is, in UTF-8; what could end the address goes
 */
export function mailboxField(name: string, display: string, address: string): Buffer {
  const written = address.replace(/[<>\s\u0000-\u001f\u007f]+/g, "");
  const shown = encodedPhrase(display);
  return fieldOctets(name, shown === "" ? written : `${shown} <${written}>`);
}
