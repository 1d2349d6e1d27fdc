/**
 * Makes a message's header name exactly the recipients of the delivery: Graph has no envelope, it sends to whom To, Cc and Bcc name.
 *
 * Recipients that the header does not name are added as Bcc, which Exchange takes out of every copy but the one in Sent Items. A header that
 * names anybody else is a case for another door; where there is none, those go from the header.
 */
import { isWritable } from "../../mail/address.ts";
import { addressEntries, addressKey, formatAddressList, headerAddress, keepEntries, parseAddressList } from "../../mime/addresses.ts";
import type { AddressEntry, AddressItem } from "../../mime/addresses.ts";
import { foldedLines } from "../../mime/words.ts";
import type { HeaderField } from "../../mime/fields.ts";
import type { HeaderBlock } from "../../mime/header-block.ts";
import { faultAt } from "../smtp/fault.ts";
import type { Refusal } from "../upstream.ts";

const RECIPIENT_FIELDS: ReadonlySet<string> = new Set(["to", "cc", "bcc"]);
/** Addresses that a note or a fault names before it only counts. */
const MOST_NAMED = 5;

interface ReadField {
  readonly field: HeaderField;
  readonly items: readonly AddressItem[];
  readonly entries: readonly AddressEntry[];
}

/** What becomes of a recipient that is named in no field; the others are sent to. */
export const UNWRITABLE = faultAt("rcpt", "INVALID_ADDRESS", "a recipient cannot be written in a header field");

/**
 * Changes `header` where it has to be changed.
 *
 * @param all - recipients of this delivery; those that cannot be written are left out
 * @param mayRemove - no other door is left, so that header recipients outside the delivery are taken out
 * @returns what was removed, in one sentence, for the history; undefined when nothing was
 */
export function nameRecipients(
  header: HeaderBlock,
  all: readonly string[],
  mayRemove: boolean,
): Refusal | { readonly note: string | undefined } {
  const recipients = all.filter(isWritable);
  if (recipients.length === 0) return UNWRITABLE;
  const wanted = new Map(recipients.map((recipient) => [addressKey(recipient), recipient]));
  const isWanted = (address: string): boolean => wanted.has(addressKey(address));
  const fields = header.fields
    .filter(({ name }) => RECIPIENT_FIELDS.has(name))
    .map((field): ReadField => {
      const items = parseAddressList(header.octets.toString("latin1", field.valueStart, field.end));
      return { field, items, entries: addressEntries(items) };
    });
  const entries = fields.flatMap((read) => read.entries);
  const strangers = [...new Set(entries.flatMap(({ addresses }) => addresses).filter((address) => !isWanted(address)))];
  if (strangers.length > 0 && !mayRemove) {
    const detail = `the header names ${named(strangers)}, who ${strangers.length === 1 ? "is" : "are"} no recipient of this delivery, and Graph would send to them`;
    return faultAt("rcpt", "HEADER_RECIPIENTS", detail);
  }

  // Exchange refuses the whole message for one entry that is a name alone.
  const stays = ({ kind, addresses }: AddressEntry): boolean => kind !== "name" && addresses.every(isWanted);
  const namesGone = entries.filter(({ kind }) => kind === "name").map(({ text }) => text);
  let emptied = 0;
  for (const { field, items, entries: read } of fields) {
    // An empty field does no harm, and stays.
    if (items.length === 0 || (read.length > 0 && read.every(stays))) continue;
    const body = formatAddressList(keepEntries(items, stays));
    // `undisclosed-recipients:;` names nobody, and alone it has been refused with ErrorInvalidRecipients.
    if (body === "") {
      header.remove([field]);
      if (read.length === 0) emptied += 1;
    } else {
      const name = header.octets.toString("latin1", field.start, field.start + field.name.length);
      header.set([field], Buffer.from(`${name}: ${body}\r\n`, "latin1"));
    }
  }
  // What an odd entry means is Exchange's to say: whoever stands only there is named again.
  const reached = new Set(
    entries.filter((entry) => entry.kind === "mailbox" && stays(entry)).flatMap(({ addresses }) => addresses.map(addressKey)),
  );
  const missing = [...wanted].filter(([key]) => !reached.has(key)).map(([, recipient]) => headerAddress(recipient));
  if (missing.length > 0) header.add(Buffer.from(`${foldedLines(`Bcc: ${missing.join(", ")}`)}\r\n`, "latin1"));
  const notes = [
    strangers.length > 0 ? `taken out of the header, because Graph would have sent to them: ${named(strangers)}` : undefined,
    namesGone.length > 0 ? `taken out of the header, because Graph refuses entries without an address: ${named(namesGone)}` : undefined,
    emptied > 0 ? "a recipient field that names nobody was taken out" : undefined,
  ].filter((note) => note !== undefined);
  return { note: notes.length === 0 ? undefined : notes.join("; ") };
}

function named(all: readonly string[]): string {
  const shown = all.slice(0, MOST_NAMED).map((one) => one.replace(/[^ -~]+/g, " ").slice(0, 120));
  return all.length > MOST_NAMED ? `${shown.join(", ")} and ${all.length - MOST_NAMED} more` : shown.join(", ");
}
