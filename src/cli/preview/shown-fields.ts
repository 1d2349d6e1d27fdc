/** The fields of a header that a preview shows, decoded: all where they are few, else the first ones and those that people ask for. */
import type { HeaderBlock } from "../../mime/header-block.ts";
import { decodeEncodedWords } from "../../mime/words.ts";
import type { PreviewField } from "./protocol.ts";

/** Shown wherever they stand; the first of each name. */
const ASKED_FOR = new Set(["from", "sender", "reply-to", "to", "cc", "subject", "date", "message-id"]);
const MOST_NAME = 76;

/**
 * @param most - fields; of those asked for there may be a few more
 * @param valueCharacters - of one value
 */
export function shownFields(
  header: HeaderBlock,
  most: number,
  valueCharacters: number,
): { readonly headers: readonly PreviewField[]; readonly cut: readonly string[] } {
  const headers: PreviewField[] = [];
  const named = new Set<string>();
  let longValues = 0;
  header.fields.forEach((field, at) => {
    if (at >= most && (!ASKED_FOR.has(field.name) || named.has(field.name))) return;
    named.add(field.name);
    // One character more than is shown tells whether there is more.
    const value = decodeEncodedWords(header.valueOf(field), valueCharacters + 1);
    if (value.length > valueCharacters) longValues++;
    const name = header.octets.toString("latin1", field.start, field.start + Math.min(field.name.length, MOST_NAME));
    headers.push({ name, value: value.slice(0, valueCharacters) });
  });
  const cut: string[] = [];
  const left = header.fields.length - headers.length;
  if (left > 0) cut.push(`${left} more header fields are not shown`);
  if (longValues > 0) cut.push(`long header fields are cut after ${valueCharacters} characters`);
  return { headers, cut };
}
