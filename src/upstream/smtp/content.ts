/**
 * Content on its way into DATA: dots stuffed, line ends made CRLF, the terminator added (RFC 5321 §4.5.2).
 *
 * Stored content is canonical, so the work is a search for line ends. Where a block has a bare CR or LF after all it is repaired octet by
 * octet: a next hop that takes a lone CR or LF for a line end must never see an end of data that we did not write (SMTP smuggling).
 */

const CR = 0x0d;
const LF = 0x0a;
const DOT = 0x2e;
const CRLF_DOT_CRLF = Buffer.from("\r\n.\r\n");
const DOT_CRLF = CRLF_DOT_CRLF.subarray(2);
const LF_DOT_CRLF = CRLF_DOT_CRLF.subarray(1);

/** Turns blocks of content into what goes on the wire. One for each message. */
export class DotStuffer {
  /** The octet before the next one; undefined before the first, which counts as the start of a line. */
  #last: number | undefined;

  /**
   * The wire form of a block. May be the block itself, or share its memory: neither may change before it is written.
   *
   * @param block - any cut of the content, between CR and LF too
   */
  push(block: Uint8Array): Uint8Array {
    if (block.length === 0) return block;
    const dots = dotsToStuff(block, this.#last);
    const wire = dots === undefined ? repair(block, this.#last) : dots.length === 0 ? block : stuff(block, dots);
    this.#last = block[block.length - 1];
    return wire;
  }

  /** The terminator: ends the last line where that is missing, then the dot on its own line. */
  end(): Uint8Array {
    return this.#last === LF ? DOT_CRLF : this.#last === CR ? LF_DOT_CRLF : CRLF_DOT_CRLF;
  }
}

/** Whole content with its terminator in one piece, so that a small message is one write. */
export function wireForm(content: Uint8Array): Uint8Array {
  const stuffer = new DotStuffer();
  return Buffer.concat([stuffer.push(content), stuffer.end()]);
}

/**
 * Positions of the dots that need another before them; undefined when a CR or LF stands alone.
 *
 * A CR at the end of the block is left to the next one, which knows it as `last`. Looks at four octets at a time, and closer only where one
 * of them is a control character: over twice as fast as two searches for each line, six times as fast as a loop over octets.
 */
function dotsToStuff(block: Uint8Array, last: number | undefined): number[] | undefined {
  const dots: number[] = [];
  if (block[0] === DOT && (last === undefined || last === LF)) dots.push(0);
  if (last === CR && block[0] !== LF) return undefined;
  if (block.length < 8) return lineEndsAreWhole(block, 0, block.length, last, dots) ? dots : undefined;
  // Words can only be read at multiples of four.
  const head = -block.byteOffset & 3;
  const words = new Int32Array(block.buffer, block.byteOffset + head, (block.length - head) >> 2);
  if (!lineEndsAreWhole(block, 0, head, last, dots)) return undefined;
  for (let index = 0; index < words.length; index++) {
    const word = words[index] as number;
    // True when an octet of the word is below 14 (the borrow of the subtraction reaches a top bit that was clear).
    if (((word - 0x0e0e0e0e) & ~word & 0x80808080) === 0) continue;
    const from = head + index * 4;
    if (!lineEndsAreWhole(block, from, from + 4, last, dots)) return undefined;
  }
  return lineEndsAreWhole(block, head + words.length * 4, block.length, last, dots) ? dots : undefined;
}

/** Whether every CR and LF in a part of the block belongs to a pair; adds the dots that follow one. */
function lineEndsAreWhole(block: Uint8Array, from: number, to: number, last: number | undefined, dots: number[]): boolean {
  for (let at = from; at < to; at++) {
    const octet = block[at];
    if (octet === LF) {
      if ((at === 0 ? last : block[at - 1]) !== CR) return false;
      if (block[at + 1] === DOT) dots.push(at + 1);
    } else if (octet === CR && at + 1 < block.length && block[at + 1] !== LF) {
      return false;
    }
  }
  return true;
}

function stuff(block: Uint8Array, dots: readonly number[]): Uint8Array {
  const wire = Buffer.allocUnsafe(block.length + dots.length);
  let from = 0;
  let to = 0;
  for (const dot of dots) {
    wire.set(block.subarray(from, dot), to);
    to += dot - from;
    wire[to++] = DOT;
    from = dot;
  }
  wire.set(block.subarray(from), to);
  return wire;
}

/** The slow way, for what is not canonical: bare CR and bare LF become CRLF, and the dot after either is stuffed. */
function repair(block: Uint8Array, last: number | undefined): Uint8Array {
  const wire: number[] = [];
  let before = last;
  for (const octet of block) {
    if (before === CR && octet !== LF) wire.push(LF);
    else if (octet === LF && before !== CR) wire.push(CR);
    if (octet === DOT && (before === undefined || before === LF || before === CR)) wire.push(DOT);
    wire.push(octet);
    before = octet;
  }
  return Buffer.from(wire);
}
