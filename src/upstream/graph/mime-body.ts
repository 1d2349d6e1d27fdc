/** A message as the body of sendMail: base64 in one line. */
import type { MessageContent } from "../../mime/header-block.ts";

/** Octets encoded at a time; a multiple of 3, so that pieces join without padding. */
const PIECE = 48 * 1024;

/** Length of the base64 form. */
export function base64Length(octets: number): number {
  return Math.ceil(octets / 3) * 4;
}

/** The base64 form piece by piece: only one piece is in memory besides the message. */
export function* base64Pieces(octets: Buffer): Generator<Buffer> {
  for (let at = 0; at < octets.length; at += PIECE) yield Buffer.from(octets.toString("base64", at, at + PIECE), "latin1");
}

/**
 * The whole content in one piece; that of a small message is given as it is, not copied.
 *
 * @param expected - octets that it should have
 * @returns undefined when there are more than `most`
 * @throws what reading the content throws
 */
export async function readWhole(content: MessageContent, expected: number, most: number): Promise<Buffer | undefined> {
  const { inMemory } = content;
  if (inMemory !== undefined) {
    return inMemory.length > most ? undefined : Buffer.from(inMemory.buffer, inMemory.byteOffset, inMemory.byteLength);
  }
  let whole = Buffer.allocUnsafe(Math.min(Math.max(expected, 1), most));
  let length = 0;
  for await (const block of content.blocks()) {
    if (length + block.length > most) return undefined;
    if (length + block.length > whole.length)
      whole = Buffer.concat([whole.subarray(0, length)], Math.min(most, (length + block.length) * 2));
    whole.set(block, length);
    length += block.length;
  }
  return whole.subarray(0, length);
}
