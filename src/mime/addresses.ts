/**
 * Reads the address fields of a header (To, Cc, Bcc: RFC 5322 §3.4) so that some of their entries can be taken out and all others stay octet
 * for octet.
 *
 * Whoever reads a field after us may understand a malformed one in another way, and send to an address that we took for a name. So an
 * entry is either exactly one mailbox by the grammar, or a name without any address, or it is `odd`: then everything in it that looks like
 * an address counts.
 */
import { canonicalAddress } from "../mail/address.ts";

/** One entry between commas. */
export interface AddressEntry {
  readonly kind: "mailbox" | "name" | "odd";
  /** As written, without blanks around it; folding and comments inside stay. */
  readonly text: string;
  /** Canonical form: one for a mailbox, none for a name, whatever looks like an address for an odd entry. */
  readonly addresses: readonly string[];
}

/** A named group: `Team: a@d, b@d;`. */
export interface AddressGroup {
  readonly kind: "group";
  /** As written, without the colon. */
  readonly text: string;
  readonly members: readonly AddressEntry[];
}

export type AddressItem = AddressEntry | AddressGroup;

type TokenKind = "space" | "comment" | "quoted" | "literal" | "atom" | "broken" | "<" | ">" | "," | ";" | ":" | "@";

interface Token {
  readonly kind: TokenKind;
  readonly start: number;
  readonly end: number;
}

const SPECIALS = "<>,;:@";

/**
 * Reads a field body.
 *
 * @param value - octets as Latin-1, folding and line end included
 */
export function parseAddressList(value: string): AddressItem[] {
  const items: AddressItem[] = [];
  let group: { text: string; members: AddressEntry[] } | undefined;
  let entry: Token[] = [];
  let angle = false;
  /** Nothing of an address in the entry so far: a colon makes it the name of a group. */
  let name = true;
  const finishEntry = (): void => {
    const read = readEntry(value, entry);
    if (read !== undefined) (group?.members ?? items).push(read);
    entry = [];
    angle = false;
    name = true;
  };
  const finishGroup = (): void => {
    if (group !== undefined) items.push({ kind: "group", ...group });
    group = undefined;
  };
  for (const token of tokens(value)) {
    if (token.kind === "<") angle = true;
    else if (token.kind === ">") angle = false;
    else if (!angle && (token.kind === "," || token.kind === ";")) {
      finishEntry();
      if (token.kind === ";") finishGroup();
      continue;
    } else if (!angle && token.kind === ":" && group === undefined && name) {
      group = { text: textOf(value, entry), members: [] };
      entry = [];
      continue;
    }
    if (token.kind === "<" || token.kind === "@") name = false;
    entry.push(token);
  }
  finishEntry();
  finishGroup();
  return items;
}

/** All entries, those in groups too. */
export function addressEntries(items: readonly AddressItem[]): AddressEntry[] {
  return items.flatMap((item) => (item.kind === "group" ? item.members : [item]));
}

/**
 * Writes a list with one entry a line, so that no line grows beyond what its longest entry needs. A group without members is left out.
 *
 * @returns the field body without a line end; the empty string when nothing is left
 */
export function formatAddressList(items: readonly AddressItem[]): string {
  const parts: string[] = [];
  for (const item of items) {
    if (item.kind !== "group") parts.push(item.text);
    else if (item.members.length > 0) parts.push(`${item.text}: ${item.members.map(({ text }) => text).join(",\r\n ")};`);
  }
  return parts.join(",\r\n ");
}

/** The entries for which `keep` is true; groups stay as long as somebody is left in them. */
export function keepEntries(items: readonly AddressItem[], keep: (entry: AddressEntry) => boolean): AddressItem[] {
  return items.flatMap((item): AddressItem[] => {
    if (item.kind !== "group") return keep(item) ? [item] : [];
    const members = item.members.filter(keep);
    return members.length === 0 ? [] : [{ ...item, members }];
  });
}

/**
 * What two spellings of one mailbox have in common: case and needless quotes do not matter to Exchange.
 *
 * @param address - in any form
 */
export function addressKey(address: string): string {
  const canonical = canonicalAddress(address).toLowerCase();
  const quoted = /^"((?:[^"\\]|\\.)*)"(@[^@]*)$/s.exec(canonical);
  return quoted === null ? canonical : `${(quoted[1] ?? "").replace(/\\(.)/gs, "$1")}${quoted[2] ?? ""}`;
}

/** An address as it may stand in a header field: its local part quoted where the grammar asks for that. Octets as UTF-8 in Latin-1. */
export function headerAddress(address: string): string {
  const at = address.lastIndexOf("@");
  const local = address.slice(0, at);
  const plain = /^"(?:[^"\\]|\\.)*"$/s.test(local) || /^[^\s()<>[\]:;@\\,"]+$/.test(local);
  const written = plain ? address : `"${local.replace(/[\\"]/g, "\\$&")}"${address.slice(at)}`;
  return Buffer.from(written, "utf8").toString("latin1");
}

function* tokens(value: string): Generator<Token> {
  // Where one quote, comment or literal is never closed, no later one of its kind is looked for: that would take a look at the rest for each.
  const unclosed = new Set<string>();
  let pos = 0;
  while (pos < value.length) {
    const start = pos;
    const char = value.charAt(pos);
    let kind: TokenKind;
    if (isBlank(char)) {
      while (pos < value.length && isBlank(value.charAt(pos))) pos += 1;
      kind = "space";
    } else if (SPECIALS.includes(char)) {
      pos += 1;
      kind = char as TokenKind;
    } else if (char === '"' || char === "(" || char === "[") {
      const end = unclosed.has(char) ? undefined : closing(value, pos);
      if (end === undefined) unclosed.add(char);
      kind = end === undefined ? "broken" : char === '"' ? "quoted" : char === "(" ? "comment" : "literal";
      // What is never closed takes in no more than its own character: the rest must still be looked at.
      pos = end ?? pos + 1;
    } else {
      while (
        pos < value.length &&
        !isBlank(value.charAt(pos)) &&
        !SPECIALS.includes(value.charAt(pos)) &&
        !'"(['.includes(value.charAt(pos))
      )
        pos += 1;
      kind = "atom";
    }
    yield { kind, start, end: pos };
  }
}

function isBlank(char: string): boolean {
  return char === " " || char === "\t" || char === "\r" || char === "\n";
}

const CLOSERS: Readonly<Record<string, string>> = { '"': '"', "(": ")", "[": "]" };

/** Position after the character that closes what opens at `start`; undefined when nothing does. */
function closing(value: string, start: number): number | undefined {
  const opener = value.charAt(start);
  const closer = CLOSERS[opener];
  let depth = 0;
  for (let pos = start; pos < value.length; pos += 1) {
    const char = value.charAt(pos);
    if (char === "\\" && opener !== "[") pos += 1;
    else if (char === closer && (pos > start || opener !== closer)) {
      depth -= 1;
      if (depth <= 0) return pos + 1;
    } else if (char === opener && (pos === start || opener === "(")) depth += 1;
  }
  return undefined;
}

function textOf(value: string, entry: readonly Token[]): string {
  const first = entry[0];
  const last = entry.at(-1);
  return first === undefined || last === undefined ? "" : value.slice(first.start, last.end).trim();
}

/** @returns undefined for an entry of blanks and comments only */
function readEntry(value: string, entry: readonly Token[]): AddressEntry | undefined {
  const solid = entry.filter(({ kind }) => kind !== "space" && kind !== "comment");
  if (solid.length === 0) return undefined;
  const text = textOf(value, entry);
  const address = mailboxOf(value, entry);
  if (address !== undefined) return { kind: "mailbox", text, addresses: [address] };
  return text.includes("@") ? { kind: "odd", text, addresses: lookalikes(text) } : { kind: "name", text, addresses: [] };
}

/** The address of `local@domain` or `Phrase <local@domain>`; undefined when the entry is neither. */
function mailboxOf(value: string, entry: readonly Token[]): string | undefined {
  const open = entry.findIndex(({ kind }) => kind === "<");
  if (open < 0) return addrSpec(value, entry);
  const close = entry.findIndex(({ kind }) => kind === ">");
  if (close < open) return undefined;
  const phrase = entry.slice(0, open);
  const tail = entry.slice(close + 1);
  if (!phrase.every(({ kind }) => kind === "atom" || kind === "quoted" || kind === "space" || kind === "comment")) return undefined;
  if (!tail.every(({ kind }) => kind === "space" || kind === "comment")) return undefined;
  return addrSpec(value, entry.slice(open + 1, close));
}

const ADDR_SPEC = /^(?:"(?:[^"\\]|\\[^])*"|[^\s()<>[\]:;@\\,"]+)@(?:[^\s()<>[\]:;@\\,"]+|\[[^[\]\\\s]*\])$/;

function addrSpec(value: string, entry: readonly Token[]): string | undefined {
  let written = "";
  let last = "";
  let apart = false;
  for (const { kind, start, end } of entry) {
    if (kind === "space" || kind === "comment") {
      apart = true;
      continue;
    }
    const piece = value.slice(start, end);
    // Blanks may stand around a dot and the @ (RFC 5322 §4.4), and nowhere else.
    if (apart && last !== "" && !joins(last.at(-1)) && !joins(piece[0])) return undefined;
    written += piece;
    last = piece;
    apart = false;
  }
  if (!ADDR_SPEC.test(written)) return undefined;
  const address = canonicalAddress(utf8(written.replace(/\r\n(?=[ \t])/g, "")));
  return address.endsWith("@") ? undefined : address;
}

function joins(char: string | undefined): boolean {
  return char === "." || char === "@";
}

/** What may be taken for an address, whatever stands around it. */
function lookalikes(text: string): string[] {
  return text
    .split(/[\s()<>[\]:;,"\\]+/)
    .filter((piece) => piece.includes("@"))
    .map((piece) => canonicalAddress(utf8(piece)));
}

/** Octets read as Latin-1, read again as UTF-8 where they are that. */
function utf8(latin1: string): string {
  if (!/[\u0080-\u00ff]/.test(latin1)) return latin1;
  const text = Buffer.from(latin1, "latin1").toString("utf8");
  return text.includes("\ufffd") ? latin1 : text;
}
