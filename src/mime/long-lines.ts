/**
 * Breaks lines over 998 octets (RFC 5321 §4.5.3.1.6) in content on its way out, and touches no other line.
 *
 * Header lines are folded at white space; base64 is wrapped anew at 76, quoted-printable gets soft line breaks, so that what they stand for
 * stays the same. Anything else is broken as Postfix breaks it: a line end and a space. To know the encoding the headers of parts
 * are followed; that costs something, and is only done for messages that intake found such a line in.
 */
import type { MessageContent } from "./header-block.ts";
import { PartTracker } from "./part-tracker.ts";
import { LONGEST_LINE } from "./words.ts";

const CR = 0x0d;
const LF = 0x0a;
const SPACE = 0x20;
const TAB = 0x09;
const EQUALS = 0x3d;
const COLON = 0x3a;

const LINE_END = Buffer.from("\r\n");
const LINE_END_SPACE = Buffer.from("\r\n ");
const SOFT_LINE_END = Buffer.from("=\r\n");
const NOTHING = Buffer.alloc(0);

/** RFC 2045 §6.7 and §6.8. */
const ENCODED_WIDTH = 76;
/** In signed content only what SMTP demands: whole groups of four, just short enough. */
const WIDEST_ENCODED = 996;

type Kind = "header" | "base64" | "quoted-printable" | "text";

/** One message's lines. Feed it the content from its beginning, in blocks. */
export class LineBreaker {
  readonly #parts = new PartTracker();
  readonly #width: number;
  /** The start of a line that may still be short enough, or the CR that may end a long one. */
  #carried: Buffer = NOTHING;
  /** What kind of long line is under way. */
  #kind: Kind | undefined;
  /** The part of a long line that was not handed on yet: less than fills a line. */
  #pending: Buffer = NOTHING;
  /** A break to write before anything else of this line. */
  #due: Buffer | undefined;
  /** Octets that the break put on the new line. */
  #used = 0;
  #atFieldName = false;

  /** @param signed - a signature covers the content: no line is broken further than it must */
  constructor(signed: boolean) {
    this.#width = signed ? WIDEST_ENCODED : ENCODED_WIDTH;
  }

  /** The block with its long lines broken. What is returned shares the block's memory where nothing was. */
  push(block: Uint8Array): Uint8Array {
    const octets = Buffer.from(block.buffer, block.byteOffset, block.byteLength);
    const data = this.#carried.length === 0 ? octets : Buffer.concat([this.#carried, octets]);
    this.#carried = NOTHING;
    const out: Uint8Array[] = [];
    let from = 0;
    let start = 0;
    for (let lf = data.indexOf(LF); lf >= 0; lf = data.indexOf(LF, start)) {
      const end = lf > start && data[lf - 1] === CR ? lf - 1 : lf;
      if (this.#kind === undefined && end - start <= LONGEST_LINE) this.#parts.line(data, start, end);
      else {
        if (start > from) out.push(data.subarray(from, start));
        this.#long(data.subarray(start, end), true, out);
        from = lf + 1;
      }
      start = lf + 1;
    }
    if (start > from) out.push(data.subarray(from, start));
    const end = data.length > start && data[data.length - 1] === CR ? data.length - 1 : data.length;
    if (this.#kind !== undefined || end - start > LONGEST_LINE) {
      this.#long(data.subarray(start, end), false, out);
      start = end;
    }
    if (start < data.length) this.#carried = Buffer.from(data.subarray(start));
    return out.length === 1 && out[0] !== undefined ? out[0] : Buffer.concat(out);
  }

  /** What is left where the content does not end with a line end. */
  end(): Uint8Array {
    if (this.#kind === undefined) return this.#carried;
    const out: Uint8Array[] = [];
    this.#long(NOTHING, true, out);
    return Buffer.concat(out);
  }

  /** A piece of a long line, without its line end. */
  #long(piece: Buffer, ended: boolean, out: Uint8Array[]): void {
    if (this.#kind === undefined) {
      this.#kind = this.#parts.inHeader ? "header" : this.#parts.encoding;
      this.#atFieldName = this.#kind === "header";
      this.#parts.line(piece, 0, piece.length);
    }
    const data = this.#pending.length === 0 ? piece : Buffer.concat([this.#pending, piece]);
    let at = this.#kind === "base64" ? wrapBase64(data, this.#width, out) : 0;
    for (;;) {
      const room = this.#room() - this.#used;
      if (data.length - at <= room) break;
      const length = this.#pieceLength(data, at, room);
      this.#write(data.subarray(at, at + length), out);
      at += length;
      this.#atFieldName = false;
      const folds = this.#kind === "header" && isBlank(data[at]);
      this.#due = folds ? LINE_END : this.#kind === "quoted-printable" ? SOFT_LINE_END : LINE_END_SPACE;
      this.#used = this.#due === LINE_END_SPACE ? 1 : 0;
    }
    if (!ended) {
      this.#pending = Buffer.from(data.subarray(at));
      return;
    }
    this.#write(data.subarray(at), out);
    out.push(LINE_END);
    this.#pending = NOTHING;
    this.#kind = undefined;
    this.#due = undefined;
    this.#used = 0;
  }

  /** Nothing but blanks on a folded line would read as the end of the header to some: they are left out. */
  #write(piece: Buffer, out: Uint8Array[]): void {
    if (piece.length === 0 || (this.#kind === "header" && this.#due !== undefined && piece.every(isBlank))) return;
    if (this.#due !== undefined) out.push(this.#due);
    this.#due = undefined;
    out.push(piece);
  }

  #room(): number {
    if (this.#kind === "base64") return this.#width;
    return this.#kind === "quoted-printable" ? this.#width - 1 : LONGEST_LINE;
  }

  /** How much of `data` from `at` on goes on the line under way, at most `room`. */
  #pieceLength(data: Buffer, at: number, room: number): number {
    if (this.#kind === "quoted-printable") {
      // An encoded octet, =XX, stays whole.
      if (data[at + room - 1] === EQUALS) return room - 1;
      return data[at + room - 2] === EQUALS ? room - 2 : room;
    }
    if (this.#kind === "header") {
      const fold = this.#foldingPlace(data, at, room);
      if (fold > at) return fold - at;
    }
    // A character of UTF-8 stays whole; what has more than three such octets in a row is something else.
    let length = room;
    while (length > room - 3 && isContinuation(data[at + length])) length -= 1;
    return isContinuation(data[at + length]) ? room : length;
  }

  /** Index of the last blank that what comes before fits in `room`, and that has something but blanks before it; `at` when there is none. */
  #foldingPlace(data: Buffer, at: number, room: number): number {
    let first = at;
    // The name of the field is not left alone on its line.
    if (this.#atFieldName) first = Math.max(at, data.subarray(at, at + room).indexOf(COLON) + at + 1);
    while (first < at + room && isBlank(data[first])) first += 1;
    for (let place = at + room; place > first; place -= 1) if (isBlank(data[place])) return place;
    return at;
  }
}

/** Writes whole lines in one go, of which a file has a great many. @returns octets used up: at least one is left for the last line */
function wrapBase64(data: Buffer, width: number, out: Uint8Array[]): number {
  const lines = Math.max(0, Math.floor((data.length - 1) / width));
  const wire = Buffer.allocUnsafe(lines * (width + 2));
  let to = 0;
  for (let line = 0; line < lines; line += 1) {
    data.copy(wire, to, line * width, (line + 1) * width);
    to += width;
    wire[to++] = CR;
    wire[to++] = LF;
  }
  if (lines > 0) out.push(wire);
  return lines * width;
}

function isBlank(octet: number | undefined): boolean {
  return octet === SPACE || octet === TAB;
}

function isContinuation(octet: number | undefined): boolean {
  return octet !== undefined && (octet & 0xc0) === 0x80;
}

/** Content with its long lines broken. Whole in memory when it was. */
export function withShortLines(content: MessageContent, signed: boolean): MessageContent {
  const { inMemory } = content;
  if (inMemory !== undefined) {
    const breaker = new LineBreaker(signed);
    const whole = Buffer.concat([breaker.push(inMemory), breaker.end()]);
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
      const breaker = new LineBreaker(signed);
      for await (const block of content.blocks()) {
        const broken = breaker.push(block);
        if (broken.length > 0) yield broken;
      }
      const rest = breaker.end();
      if (rest.length > 0) yield rest;
    },
  };
}
