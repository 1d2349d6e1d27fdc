/**
 * Intake of one message: decoded content in, edited header and untouched body out to the queue's writer, in constant memory.
 *
 * The header section is collected (bounded) because Received and the repairs go in front of it; the body streams. Writes are gathered, so
 * that a small message is one write. Once a message is known to be refused its content is read on and dropped, because a device takes a cut
 * connection for a network fault and sends again.
 */
import { isAscii } from "node:buffer";
import { createHash } from "node:crypto";
import type { Hash } from "node:crypto";
import { describeError, PosternError } from "../mail/errors.ts";
import type { Reply } from "../mail/reply.ts";
import { fieldNameLength } from "../mime/fields.ts";
import { LineLengths } from "../mime/line-lengths.ts";
import type { MessageWriter } from "../queue/queue.ts";
import { ContentDecoder } from "./content.ts";
import type { ContentConsumer } from "./content.ts";
import { editHeader } from "./edit.ts";
import type { EditFacts, EditedHeader } from "./edit.ts";

/** Why a message is not taken. `reason` is a metric label. */
export interface ContentRefusal {
  readonly reply: Reply;
  readonly reason: string;
  /** For the administrator. */
  readonly detail?: string | undefined;
}

/** What is known of a message once its content is in. */
export interface IntakeResult {
  readonly refusal: ContentRefusal | undefined;
  readonly header: EditedHeader | undefined;
  readonly repairs: readonly string[];
  readonly eightBit: boolean;
  /** Some line as written is longer than SMTP allows. */
  readonly longLines: boolean;
  /** Octets written, added lines included. */
  readonly sizeBytes: number;
  /** Of the content as the device sent it, dots and line ends apart; where it was asked for. */
  readonly digest: string | undefined;
}

/** What a session wants of its messages beyond the rule. */
export interface IntakeWishes {
  /** As `ContentDecoder` has it. */
  readonly lenientEndOfData?: boolean | undefined;
  readonly digest?: boolean | undefined;
}

/** Bounds of one message. */
export interface IntakeLimits {
  /** Octets of content as the device sent it, after dot-unstuffing. */
  readonly contentBytes: number;
  readonly headerBytes: number;
}

const EMPTY_LINE = Buffer.from("\r\n");
const FROM_LINE = Buffer.from("From ");
const QUOTED_FROM_LINE = Buffer.from(">From ");

/** Gathers small pieces. One for the process: it is empty again whenever the event loop turns. */
const gather = Buffer.allocUnsafeSlow(64 * 1024);
/** Pieces from this size on go to the writer as they are. */
const LARGE_PIECE = 8 * 1024;

/** The content of one message on its way to the writer. */
export class Intake implements ContentConsumer {
  readonly #decoder: ContentDecoder;
  readonly #writer: MessageWriter;
  readonly #facts: EditFacts;
  readonly #limits: IntakeLimits;
  readonly #repairs: string[] = [];
  /** The header section while it is collected; undefined once it was edited. */
  #header: Buffer | undefined = Buffer.allocUnsafe(2048);
  #headerLength = 0;
  #lineStart = 0;
  #lines = 0;
  #edited: EditedHeader | undefined;
  #refusal: ContentRefusal | undefined;
  #received = 0;
  #written = 0;
  #gathered = 0;
  #eightBit = false;
  readonly #lineLengths = new LineLengths();
  #nulReplaced = false;
  readonly #digest: Hash | undefined;
  #backPressure: Promise<void> | undefined;

  constructor(writer: MessageWriter, facts: EditFacts, limits: IntakeLimits, wishes: IntakeWishes = {}) {
    this.#writer = writer;
    this.#facts = facts;
    this.#limits = limits;
    this.#decoder = new ContentDecoder(this, wishes.lenientEndOfData);
    this.#digest = wishes.digest === true ? createHash("sha256") : undefined;
  }

  /** Octets of content so far. */
  get receivedBytes(): number {
    return this.#received;
  }

  /** What came so far ends with a dot on a line of its own. */
  get endsWithDot(): boolean {
    return this.#decoder.endsWithDot;
  }

  /**
   * Takes a chunk in, copying what it keeps.
   *
   * @returns the index after the end of DATA, or -1 when the content goes on
   */
  feed(chunk: Buffer, start: number): number {
    const end = this.#decoder.feed(chunk, start);
    if (end >= 0 && this.#header !== undefined) this.#finishHeader(this.#headerLength);
    this.#flush();
    return end;
  }

  /** Set when the writer asked to wait: resolves when there is room. Reading it takes it. A failure of the spool becomes the refusal. */
  takeBackPressure(): Promise<void> | undefined {
    const waiting = this.#backPressure;
    this.#backPressure = undefined;
    return waiting?.catch((error: unknown) => this.#fail(error));
  }

  /** What came in. Call after `feed` returned an end. */
  result(): IntakeResult {
    const repairs = [...this.#repairs, ...(this.#edited?.repairs ?? []), ...this.#octetRepairs()];
    return {
      refusal: this.#refusal,
      header: this.#edited,
      repairs,
      eightBit: this.#eightBit,
      longLines: this.#lineLengths.end(),
      sizeBytes: this.#written,
      digest: this.#digest?.digest("base64"),
    };
  }

  /** Repairs of single octets so far, wherever they stood. */
  #octetRepairs(): string[] {
    const { bareLf, extraCr, loneCr, lenientEnd } = this.#decoder.findings;
    const repairs: string[] = [];
    if (bareLf) repairs.push("bare-lf");
    if (extraCr) repairs.push("extra-cr");
    if (loneCr) repairs.push("lone-cr");
    if (this.#nulReplaced) repairs.push("nul-replaced");
    if (lenientEnd) repairs.push("lenient-end-of-data");
    return repairs;
  }

  /** Drops the message. */
  abort(): void {
    this.#header = undefined;
    this.#writer.abort();
  }

  octets(source: Buffer, start: number, end: number): void {
    this.#received += end - start;
    if (this.#received > this.#limits.contentBytes) {
      this.#refuse({ reply: tooLarge(this.#limits.contentBytes), reason: "size" });
      return;
    }
    this.#digest?.update(source.subarray(start, end));
    if (this.#header !== undefined) this.#collect(source, start, end);
    else this.#append(source, start, end);
  }

  headerLineEnded(): boolean {
    const header = this.#header;
    if (header === undefined) return true;
    const start = this.#lineStart;
    const end = this.#headerLength;
    this.#lineStart = end;
    this.#lines += 1;
    if (end - start === 2) {
      this.#headerLength = start;
      this.#finishHeader(start);
      return true;
    }
    if (this.#lines === 1 && isUucpLine(header, start, end)) {
      this.#headerLength = start;
      this.#lineStart = start;
      this.#lines = 0;
      if (!this.#repairs.includes("uucp-line-removed")) this.#repairs.push("uucp-line-removed");
      return false;
    }
    const continues = start > 0 && (header[start] === 0x20 || header[start] === 0x09);
    if (continues || fieldNameLength(header, start, end) > 0) return false;
    // Not a header line: the body has begun without an empty line before it.
    this.#repairs.push(start === 0 ? "header-missing" : "header-unterminated");
    this.#finishHeader(start);
    return true;
  }

  #collect(source: Buffer, start: number, end: number): void {
    const length = this.#headerLength + (end - start);
    let header = this.#header ?? Buffer.alloc(0);
    if (length > header.length) {
      const larger = Buffer.allocUnsafe(Math.max(length, header.length * 2));
      header.copy(larger, 0, 0, this.#headerLength);
      header = larger;
      this.#header = larger;
    }
    source.copy(header, this.#headerLength, start, end);
    this.#headerLength = length;
    if (length <= this.#limits.headerBytes) return;
    const inField =
      header[this.#lineStart] === 0x20 || header[this.#lineStart] === 0x09 || fieldNameLength(header, this.#lineStart, length) > 0;
    if (inField) {
      this.#refuse({ reply: headerTooLarge(this.#limits.headerBytes), reason: "header-size" });
      return;
    }
    this.#repairs.push(this.#lineStart === 0 ? "header-missing" : "header-unterminated");
    this.#decoder.endHeader();
    this.#finishHeader(this.#lineStart);
  }

  /** Edits the first `length` octets as the header; what was collected beyond them is the start of the body. */
  #finishHeader(length: number): void {
    const collected = this.#header;
    if (collected === undefined) return;
    const end = this.#headerLength;
    this.#header = undefined;
    if (this.#refusal !== undefined) return;
    const header = collected.subarray(0, length);
    if (header.includes(0)) {
      replaceNul(header);
      this.#nulReplaced = true;
    }
    const edited = this.#edit(header);
    if (edited === undefined) return;
    this.#edited = edited;
    if (edited.refusal !== undefined) {
      this.#refuse(edited.refusal);
      return;
    }
    for (const part of edited.parts) this.#append(part, 0, part.length);
    this.#append(EMPTY_LINE, 0, 2);
    if (end > length) this.#append(collected, length, end);
  }

  #edit(header: Buffer): EditedHeader | undefined {
    try {
      return editHeader(header, this.#facts, [...this.#repairs, ...this.#octetRepairs()]);
    } catch (error) {
      this.#fail(error, "internal");
      return undefined;
    }
  }

  #append(source: Buffer, start: number, end: number): void {
    if (this.#refusal !== undefined) return;
    const length = end - start;
    if (this.#gathered + length > gather.length || length >= LARGE_PIECE) {
      this.#flush();
      if (length >= LARGE_PIECE) {
        this.#write(source.subarray(start, end));
        return;
      }
    }
    if (length <= 8) for (let i = start; i < end; i += 1) gather[this.#gathered++] = source[i] ?? 0;
    else {
      source.copy(gather, this.#gathered, start, end);
      this.#gathered += length;
    }
  }

  #flush(): void {
    if (this.#gathered === 0) return;
    const length = this.#gathered;
    this.#gathered = 0;
    if (this.#refusal === undefined) this.#write(gather.subarray(0, length));
  }

  #write(octets: Buffer): void {
    if (octets.includes(0)) {
      replaceNul(octets);
      this.#nulReplaced = true;
    }
    if (!this.#eightBit && !isAscii(octets)) this.#eightBit = true;
    this.#lineLengths.look(octets);
    this.#written += octets.length;
    try {
      this.#backPressure = this.#writer.write(octets) ?? this.#backPressure;
    } catch (error) {
      this.#fail(error);
    }
  }

  #refuse(refusal: ContentRefusal): void {
    if (this.#refusal !== undefined) return;
    this.#refusal = refusal;
    this.#header = undefined;
    this.#gathered = 0;
    this.#decoder.endHeader();
    this.#writer.abort();
  }

  /** Our fault, and temporary: the content is read on and dropped, then the reply says so. */
  #fail(error: unknown, reason = "spool"): void {
    const known = error instanceof PosternError;
    this.#refuse({ reply: known ? error.reply : LOCAL_ERROR, reason, detail: known ? error.code : describeError(error) });
  }
}

/** What a client is told when we are at fault and do not know how. */
export const LOCAL_ERROR: Reply = { code: 451, enhanced: "4.3.0", text: "Local error in processing, try again later" };

/** RFC 1870 §6.3: a permanent refusal, so that the device does not try again with the same mail. */
export function tooLarge(limitBytes: number): Reply {
  return { code: 552, enhanced: "5.3.4", text: `Message is larger than the limit of ${limitBytes} bytes` };
}

function headerTooLarge(limitBytes: number): Reply {
  return { code: 552, enhanced: "5.3.4", text: `Message header is larger than the limit of ${limitBytes} bytes` };
}

function replaceNul(octets: Buffer): void {
  for (let at = octets.indexOf(0); at >= 0; at = octets.indexOf(0, at + 1)) octets[at] = 0x20;
}

/** `From ` with no colon after it: `From : a@b` is the field, as RFC 5322 §4.5 has it. */
function isUucpLine(octets: Buffer, start: number, end: number): boolean {
  if (!startsWith(octets, start, FROM_LINE) && !startsWith(octets, start, QUOTED_FROM_LINE)) return false;
  return fieldNameLength(octets, start, end) === 0;
}

function startsWith(octets: Buffer, start: number, prefix: Buffer): boolean {
  return octets.length >= start + prefix.length && octets.compare(prefix, 0, prefix.length, start, start + prefix.length) === 0;
}
