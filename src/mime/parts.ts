/**
 * The parts of a message (RFC 2046) as places in its content, found while it streams by. Nothing is decoded, and memory does not grow with the
 * size of the message; only with the number of its parts, which is bounded.
 */
import { fieldNameLength } from "./fields.ts";
import { HeaderBlock, MOST_HEADER_OCTETS } from "./header-block.ts";
import type { MessageContent } from "./header-block.ts";
import { readParameterField } from "./parameters.ts";
import type { ParameterField } from "./parameters.ts";

/** A part without parts of its own. */
export interface LeafPart {
  readonly header: HeaderBlock;
  readonly contentType: ParameterField;
  /** Types of the multiparts around it, outermost first: `multipart/mixed`, `multipart/alternative`. */
  readonly within: readonly string[];
  /** Its octets in the content, transfer encoding and all. */
  readonly start: number;
  readonly end: number;
}

/** Parts that a message may have; more is for nobody to rebuild. */
const MOST_PARTS = 200;
const MOST_DEPTH = 8;
/** Longest line that is looked at as a whole: longer ones are no boundary. */
const MOST_LINE = 2_000;
const LF = 0x0a;
const DASH = 0x2d;

interface Level {
  readonly delimiter: string;
  readonly type: string;
}

/** Walks the lines of a message. */
class PartWalker {
  readonly leaves: LeafPart[] = [];
  /** There are too many parts, too deep, or a header is too long. */
  isBeyond = false;
  readonly #levels: Level[] = [];
  #header: Buffer[] | undefined = [];
  #headerLength = 0;
  #leaf: Omit<LeafPart, "end"> | undefined;

  /**
   * @param line - with its line end; its beginning alone where it is long and cannot matter
   * @param at - where it starts
   * @param length - of the whole line
   */
  line(line: Buffer, at: number, length: number): void {
    if (this.#levels.length > 0 && line[0] === DASH && line[1] === DASH && this.#delimiter(line, at)) return;
    if (this.#header === undefined || this.isBeyond) return;
    if (line.length === 2 && line[0] === 0x0d) {
      this.#headerEnds(at + length);
      return;
    }
    const continues = this.#header.length > 0 && (line[0] === 0x20 || line[0] === 0x09);
    if (!continues && fieldNameLength(line, 0, line.length) === 0) {
      // The body has begun without an empty line before it, as readers of mail take it.
      this.#headerEnds(at);
      if (line[0] === DASH && line[1] === DASH) this.#delimiter(line, at);
      return;
    }
    this.#headerLength += length;
    if (this.#headerLength > MOST_HEADER_OCTETS || line.length < length) this.isBeyond = true;
    else this.#header.push(Buffer.from(line));
  }

  end(at: number): void {
    const isFirst = this.leaves.length === 0 && this.#levels.length === 0;
    if (this.#header !== undefined && (isFirst || this.#header.length > 0)) this.#headerEnds(at);
    this.#leafEnds(at);
  }

  #delimiter(line: Buffer, at: number): boolean {
    const text = line.toString("latin1").trimEnd();
    for (let depth = this.#levels.length - 1; depth >= 0; depth -= 1) {
      const { delimiter } = this.#levels[depth] ?? { delimiter: "" };
      const isLast = text === `${delimiter}--`;
      if (!isLast && text !== delimiter) continue;
      // A part may be its header alone (RFC 2046 §5.1.1, body-part).
      if (this.#header !== undefined && this.#header.length > 0) this.#headerEnds(at);
      // The line end before a delimiter belongs to it (RFC 2046 §5.1.1).
      this.#leafEnds(at - 2);
      this.#levels.length = isLast ? depth : depth + 1;
      this.#header = isLast ? undefined : [];
      this.#headerLength = 0;
      return true;
    }
    return false;
  }

  #headerEnds(bodyStart: number): void {
    const header = new HeaderBlock(Buffer.concat(this.#header ?? []));
    this.#header = undefined;
    const field = header.named("content-type")[0];
    const contentType = readParameterField(field === undefined ? "text/plain" : header.valueOf(field));
    const boundary = contentType.parameters.get("boundary");
    if (contentType.value.startsWith("multipart/") && boundary !== undefined && boundary !== "") {
      this.#levels.push({ delimiter: `--${boundary.trimEnd()}`, type: contentType.value });
      if (this.#levels.length > MOST_DEPTH) this.isBeyond = true;
      return;
    }
    this.#leaf = { header, contentType, within: this.#levels.map(({ type }) => type), start: bodyStart };
  }

  #leafEnds(at: number): void {
    if (this.#leaf === undefined) return;
    this.leaves.push({ ...this.#leaf, end: Math.max(this.#leaf.start, at) });
    this.#leaf = undefined;
    if (this.leaves.length > MOST_PARTS) this.isBeyond = true;
  }
}

/**
 * Finds the leaves in the order of the content.
 *
 * @returns undefined when there are too many parts, too deep, or a header is too long
 * @throws what reading the content throws
 */
export async function leafParts(content: MessageContent): Promise<LeafPart[] | undefined> {
  const walker = new PartWalker();
  let carried = Buffer.alloc(0);
  /** Octets of the line under way that went by already, because it is long. */
  let passed = 0;
  let at = 0;
  for await (const octets of content.blocks()) {
    const block = Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength);
    let from = 0;
    for (let lf = block.indexOf(LF); lf >= 0; lf = block.indexOf(LF, from)) {
      const rest = block.subarray(from, lf + 1);
      const length = passed + carried.length + rest.length;
      walker.line(carried.length === 0 ? rest : Buffer.concat([carried, rest]), at, length);
      at += length;
      carried = EMPTY;
      passed = 0;
      from = lf + 1;
    }
    if (from === block.length) continue;
    const tail = block.subarray(from);
    const room = Math.max(0, MOST_LINE - carried.length);
    passed += Math.max(0, tail.length - room);
    carried = Buffer.concat([carried, tail.subarray(0, room)]);
    if (walker.isBeyond) return undefined;
  }
  const left = passed + carried.length;
  if (left > 0) walker.line(carried, at, left);
  walker.end(at + left);
  return walker.isBeyond ? undefined : walker.leaves;
}

const EMPTY = Buffer.alloc(0);

/** Reads places of a content one after the other, in one pass. */
export class PlaceReader {
  readonly #blocks: AsyncIterator<Uint8Array>;
  #block: Uint8Array = EMPTY;
  #at = 0;

  constructor(content: MessageContent) {
    this.#blocks = content.blocks()[Symbol.asyncIterator]();
  }

  /** @param start - not before the end of the place read last */
  async *read(start: number, end: number): AsyncGenerator<Uint8Array> {
    for (;;) {
      const from = Math.max(0, start - this.#at);
      const to = Math.min(this.#block.length, end - this.#at);
      if (to > from) yield this.#block.subarray(from, to);
      if (end <= this.#at + this.#block.length) return;
      this.#at += this.#block.length;
      const next = await this.#blocks.next();
      if (next.done === true) return;
      this.#block = next.value;
    }
  }

  /** Lets go of the content. */
  async close(): Promise<void> {
    await this.#blocks.return?.();
  }
}
