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

/** Mailboxes that a field may hold before the rest is ignored. */
const MOST_MAILBOXES = 50;

/**
 * Cuts the body of an address field into mailboxes. Comments are dropped from addresses; a mailbox without any address keeps its whole text
 * as display name.
 *
 * @param value - the field body, unfolded, without its line end
 */
export function readMailboxes(value: string): HeaderMailbox[] {
  const mailboxes: HeaderMailbox[] = [];
  for (const part of splitList(value)) {
    if (part.trim() === "") continue;
    mailboxes.push(readMailbox(part.trim()));
    if (mailboxes.length === MOST_MAILBOXES) break;
  }
  return mailboxes;
}

/** Splits at commas and semicolons outside of quotes, comments and brackets; a group's name goes. */
function splitList(value: string): string[] {
  const parts: string[] = [];
  let start = 0;
  let depth = 0;
  let quoted = false;
  let angle = false;
  for (let i = 0; i < value.length; i += 1) {
    const char = value[i];
    if (char === "\\") i += 1;
    else if (char === '"' && depth === 0) quoted = !quoted;
    else if (quoted) continue;
    else if (char === "(") depth += 1;
    else if (char === ")" && depth > 0) depth -= 1;
    else if (depth > 0) continue;
    else if (char === "<") angle = true;
    else if (char === ">") angle = false;
    else if (char === ":" && !angle && /^[^@<>]*$/.test(value.slice(start, i))) start = i + 1;
    else if ((char === "," || char === ";") && !angle) {
      parts.push(value.slice(start, i));
      start = i + 1;
    }
  }
  parts.push(value.slice(start));
  return parts;
}

function readMailbox(text: string): HeaderMailbox {
  const open = text.lastIndexOf("<");
  if (open >= 0) {
    const close = text.indexOf(">", open);
    const inside = text.slice(open + 1, close < 0 ? text.length : close);
    return {
      display: unquote(
        text
          .slice(0, open)
          .replace(/<+\s*$/, "")
          .trim(),
      ),
      address: withoutComments(inside).replace(/\s+/g, ""),
    };
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
