/** The content of a message on the wire: finds its end, takes the stuffed dots out, notes what a client must not send. */
import { Buffer } from "node:buffer";

const CR = 13;
const LF = 10;
const DOT = 46;
/** RFC 5321 section 4.5.3.1.6: 1000 octets with CRLF. */
const LONGEST_TEXT_LINE = 998;
const LINE_END_DOT = Buffer.from("\r\n.");

/** Checks the octets of a content, in pieces of any size, for what RFC 5321 section 2.3.8 and 4.5.3.1.6 forbid. */
export class ContentInspector {
  #violate: (what: string) => void;
  #lineLength = 0;
  #lastWasReturn = false;
  #noted = new Set<string>();

  /** @param violate - told once of each kind */
  constructor(violate: (what: string) => void) {
    this.#violate = violate;
  }

  #note(what: string): void {
    if (this.#noted.has(what)) return;
    this.#noted.add(what);
    this.#violate(what);
  }

  push(piece: Buffer): void {
    if (piece.length === 0) return;
    if (this.#lastWasReturn && piece[0] !== LF) this.#note("bare CR in the content");
    let start = 0;
    for (let end = piece.indexOf(LF); end >= 0; end = piece.indexOf(LF, start)) {
      const hasReturn = end > 0 ? piece[end - 1] === CR : this.#lastWasReturn;
      if (!hasReturn) this.#note("bare LF in the content");
      this.#measure(this.#lineLength + end - start - (hasReturn ? 1 : 0));
      this.#lineLength = 0;
      start = end + 1;
    }
    this.#lineLength += piece.length - start;
    this.#measure(this.#lineLength - (piece[piece.length - 1] === CR ? 1 : 0));
    for (let at = piece.indexOf(CR); at >= 0 && at < piece.length - 1; at = piece.indexOf(CR, at + 1)) {
      if (piece[at + 1] !== LF) this.#note("bare CR in the content");
    }
    this.#lastWasReturn = piece[piece.length - 1] === CR;
  }

  #measure(octets: number): void {
    if (octets > LONGEST_TEXT_LINE) this.#note("line over 998 octets in the content");
  }
}

/** Reads what follows 354, at any chunk boundary. */
export class ContentReader {
  #sink: (piece: Buffer) => void;
  #inspector: ContentInspector;
  #violate: (what: string) => void;
  /** Octets that may be the start of CR LF dot; at the start as if a line had just ended. */
  #carry: Buffer = Buffer.from("\r\n");
  /** Octets of the carry that are not content. */
  #virtual = 2;
  #undotted = false;

  constructor(sink: (piece: Buffer) => void, violate: (what: string) => void) {
    this.#sink = sink;
    this.#violate = violate;
    this.#inspector = new ContentInspector(violate);
  }

  #emit(piece: Buffer): void {
    const skipped = Math.min(this.#virtual, piece.length);
    this.#virtual -= skipped;
    const real = skipped === 0 ? piece : piece.subarray(skipped);
    if (real.length === 0) return;
    this.#inspector.push(real);
    this.#sink(real);
  }

  /**
   * Takes the next octets.
   *
   * @returns what follows the final dot once it has been seen, else undefined
   */
  push(chunk: Buffer): Buffer | undefined {
    const octets = this.#carry.length === 0 ? chunk : Buffer.concat([this.#carry, chunk]);
    let start = 0;
    for (let at = octets.indexOf(LINE_END_DOT); at >= 0; at = octets.indexOf(LINE_END_DOT, start)) {
      const next = octets[at + 3];
      if (next === undefined || (next === CR && at + 4 >= octets.length)) {
        this.#emit(octets.subarray(start, at));
        this.#carry = Buffer.from(octets.subarray(at));
        return undefined;
      }
      if (next === CR && octets[at + 4] === LF) {
        this.#emit(octets.subarray(start, at + 2));
        return octets.subarray(at + 5);
      }
      if (next !== DOT && !this.#undotted) {
        this.#undotted = true;
        this.#violate("a dot at the start of a line was not doubled");
      }
      this.#emit(octets.subarray(start, at + 2));
      // What follows the dot may be CR LF dot itself only when it is a line end, which was handled above.
      start = at + 3;
    }
    const last = octets.length - 1;
    const kept = last >= start && octets[last] === CR ? 1 : last > start && octets[last] === LF && octets[last - 1] === CR ? 2 : 0;
    this.#emit(octets.subarray(start, octets.length - kept));
    this.#carry = Buffer.from(octets.subarray(octets.length - kept));
    return undefined;
  }
}
