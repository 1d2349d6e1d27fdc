/**
 * Content on its way into DATA: dots stuffed, line ends made CRLF, the terminator added (RFC 5321 §4.5.2).
 *
 * Stored content is canonical, so the work is to look it over. Where a block has a bare CR or LF after all it is repaired octet by
 * octet: a next hop that takes a lone CR or LF for a line end must never see an end of data that we did not write (SMTP smuggling).
 */
import { findDots } from "./line-ends.ts";

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
    const dots = findDots(block, this.#last ?? LF);
    const wire = dots === undefined ? repair(block, this.#last) : dots.length === 0 ? block : stuff(block, dots);
    this.#last = block[block.length - 1];
    return wire;
  }

  /** The terminator: ends the last line where that is missing, then the dot on its own line. */
  end(): Uint8Array {
    return this.#last === LF ? DOT_CRLF : this.#last === CR ? LF_DOT_CRLF : CRLF_DOT_CRLF;
  }
}

/**
 * Whole content with its terminator in one piece, so that a small message is one write.
 *
 * @param scratch - memory that may be used for it, where it is large enough
 */
export function wireForm(content: Uint8Array, scratch: Uint8Array = NOTHING): Uint8Array {
  const stuffer = new DotStuffer();
  const stuffed = stuffer.push(content);
  const end = stuffer.end();
  const length = stuffed.length + end.length;
  const wire = scratch.length < length ? Buffer.allocUnsafe(length) : scratch.subarray(0, length);
  wire.set(stuffed);
  wire.set(end, stuffed.length);
  return wire;
}

const NOTHING = new Uint8Array(0);

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
