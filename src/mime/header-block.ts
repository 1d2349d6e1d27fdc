/**
 * The header of a stored message: read from the first blocks of its content, changed field by field, every other octet left as it is.
 *
 * The rest of the content is never looked at. A message that needs no change never comes here.
 */
import { changedFields, headerFields, unfoldedValue } from "./fields.ts";
import type { FieldChange, HeaderField } from "./fields.ts";

/** Content as the queue gives it and a door takes it: whole in memory where small, else blocks, each valid until the next one is asked for. */
export interface MessageContent {
  readonly inMemory: Uint8Array | undefined;
  /** From the beginning, each time it is called. */
  blocks(): AsyncIterable<Uint8Array>;
}

/** Longest header that is read. Intake takes 256 KiB, and adds a few lines of its own. */
export const MOST_HEADER_OCTETS = 512 * 1024;

const EMPTY_LINE = Buffer.from("\r\n\r\n");

/** A header block and what is to become of it. Changes are kept apart until {@link HeaderBlock.parts} is asked for. */
export class HeaderBlock {
  /** Canonical lines up to and without the empty one: the first octets of the content. */
  readonly octets: Buffer;
  readonly fields: readonly HeaderField[];
  readonly #changes: FieldChange[] = [];
  readonly #added: Buffer[] = [];

  constructor(octets: Buffer) {
    this.octets = octets;
    this.fields = headerFields(octets);
  }

  /** Fields of one name, in their order. @param name - lower case */
  named(name: string): HeaderField[] {
    return this.fields.filter((field) => field.name === name);
  }

  /** A field's value on one line, as Latin-1. */
  valueOf(field: HeaderField): string {
    return unfoldedValue(this.octets, field);
  }

  /** Takes fields out, folding included. */
  remove(fields: readonly HeaderField[]): void {
    for (const field of fields) this.#changes.push({ field });
  }

  /** Puts a whole field, line end included ({@link fieldOctets}), in the place of the first of `fields`; the others go. Without any it is added. */
  set(fields: readonly HeaderField[], by: Buffer): void {
    const [first, ...others] = fields;
    if (first === undefined) this.add(by);
    else this.#changes.push({ field: first, by });
    this.remove(others);
  }

  /** Adds a whole field after all others. */
  add(field: Buffer): void {
    this.#added.push(field);
  }

  get isChanged(): boolean {
    return this.#changes.length > 0 || this.#added.length > 0;
  }

  /** The changed header, up to and without the empty line: in the order of the content, mostly views of the old octets. */
  parts(): Buffer[] {
    return [...changedFields(this.octets, this.#changes), ...this.#added];
  }
}

/**
 * Reads the header of a message.
 *
 * @returns undefined when there is none of at most {@link MOST_HEADER_OCTETS}
 * @throws what reading the content throws
 */
export async function readHeader(content: MessageContent): Promise<HeaderBlock | undefined> {
  if (content.inMemory !== undefined) return headerIn(content.inMemory);
  let collected: Buffer | undefined;
  for await (const block of content.blocks()) {
    // A block is gone when the next one is asked for.
    collected = collected === undefined ? Buffer.from(block) : Buffer.concat([collected, block]);
    const end = endOfHeader(collected);
    if (end !== undefined) return end > MOST_HEADER_OCTETS ? undefined : new HeaderBlock(Buffer.from(collected.subarray(0, end)));
    if (collected.length > MOST_HEADER_OCTETS) return undefined;
  }
  return collected === undefined ? undefined : headerIn(collected);
}

/** The header of a message that is whole in memory, as views of it; a message of nothing but a header may lack the empty line. */
export function headerIn(content: Uint8Array): HeaderBlock | undefined {
  const octets = Buffer.from(content.buffer, content.byteOffset, content.byteLength);
  const end = endOfHeader(octets) ?? octets.length;
  return end > MOST_HEADER_OCTETS ? undefined : new HeaderBlock(octets.subarray(0, end));
}

/** Where the empty line begins; undefined when it has not come yet. */
function endOfHeader(octets: Buffer): number | undefined {
  if (octets.length >= 2 && octets[0] === 0x0d && octets[1] === 0x0a) return 0;
  const at = octets.indexOf(EMPTY_LINE);
  return at < 0 ? undefined : at + 2;
}

/**
 * Content with another header.
 *
 * @param headerLength - octets of the old header, without the empty line
 * @param header - the new one
 */
export function withHeader(content: MessageContent, headerLength: number, header: readonly Uint8Array[]): MessageContent {
  const { inMemory } = content;
  if (inMemory !== undefined) {
    const whole = Buffer.concat([...header, inMemory.subarray(headerLength)]);
    return {
      inMemory: whole,
      async *blocks() {
        yield whole;
      },
    };
  }
  return {
    inMemory: undefined,
    async *blocks() {
      yield Buffer.concat(header);
      let left = headerLength;
      for await (const block of content.blocks()) {
        if (left >= block.length) left -= block.length;
        else {
          yield left === 0 ? block : block.subarray(left);
          left = 0;
        }
      }
    },
  };
}
