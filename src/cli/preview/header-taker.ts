/** Takes the header off a message that streams by, and bounds it: the rest of one that is too long is passed over. */
import { HeaderBlock, MOST_HEADER_OCTETS } from "../../mime/header-block.ts";

const EMPTY_LINE = Buffer.from("\r\n\r\n");
const NOTHING = Buffer.alloc(0);

export class HeaderTaker {
  /** Set once it is over. */
  header: HeaderBlock | undefined;
  /** Some of it was passed over. */
  isCut = false;
  #collected: Buffer = NOTHING;

  /** Takes the next octets. Returns those of the body among them. */
  push(octets: Buffer): Buffer {
    if (this.header !== undefined) return octets;
    const searchFrom = Math.max(0, this.#collected.length - 3);
    this.#collected = Buffer.concat([this.#collected, octets]);
    const end = this.#collected[0] === 0x0d && this.#collected[1] === 0x0a ? -2 : this.#collected.indexOf(EMPTY_LINE, searchFrom);
    if (end !== -1) {
      const body = this.#collected.subarray(end + 4);
      this.#finish(this.#collected.subarray(0, end + 2));
      return body;
    }
    if (this.#collected.length > MOST_HEADER_OCTETS) {
      // What is kept is the beginning, and enough of the end to see the empty line.
      this.isCut = true;
      this.#collected = Buffer.concat([this.#collected.subarray(0, MOST_HEADER_OCTETS), this.#collected.subarray(-3)]);
    }
    return NOTHING;
  }

  /** The message has no more octets. */
  end(): HeaderBlock {
    return this.header ?? this.#finish(this.#collected);
  }

  #finish(octets: Buffer): HeaderBlock {
    if (octets.length > MOST_HEADER_OCTETS) this.isCut = true;
    const kept = octets.subarray(0, MOST_HEADER_OCTETS);
    this.#collected = NOTHING;
    // Half a line would be half a field.
    this.header = new HeaderBlock(Buffer.from(this.isCut ? kept.subarray(0, kept.lastIndexOf("\n") + 1) : kept));
    return this.header;
  }
}
