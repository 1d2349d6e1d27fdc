/** What every host of Microsoft checks in a message once it is there, whoever sent it: sizes and the header block. */
import { addressesOf, headerValues, parseHeaders } from "./headers.ts";
import type { ContentBuffer } from "./mail-store.ts";
import { wordsOf } from "./refusal.ts";
import type { Refused } from "./refusal.ts";

/** SIZE in the EHLO list: 150 MB, whatever the mailbox may send. */
export const FIXED_SIZE_MAX = 157_286_400;
const HEADER_VALUE_MAX = 32_768;
const HEADER_BLOCK_MAX = 256 * 1024;

/** Why the header block is refused; undefined when it is in order. */
export function judgeHeader(content: ContentBuffer): Refused | undefined {
  const block = content.headerBlock;
  if (block.length > HEADER_BLOCK_MAX) return wordsOf("header-size");
  const fields = parseHeaders(block);
  const long = fields.find((field) => field.sizeBytes > HEADER_VALUE_MAX);
  if (long !== undefined) {
    const text = `554 5.6.211 Invalid MIME Content: Single text value size (${long.sizeBytes}) exceeded allowed maximum (${HEADER_VALUE_MAX}) for the '${long.name}' header.`;
    return { text, suffix: "session" };
  }
  const from = headerValues(fields, "From");
  if (from.length !== 1 || addressesOf(from[0] ?? "").length === 0) return wordsOf("not-compliant");
  if (addressesOf(from[0] ?? "").length > 1 && headerValues(fields, "Sender").length === 0) return wordsOf("several-from");
  return undefined;
}

/** The addresses of From:. */
export function fromAddresses(content: ContentBuffer): string[] {
  return headerValues(parseHeaders(content.headerBlock), "From").flatMap(addressesOf);
}
