/**
 * The octets between 354 and the final dot, decoded in one pass: where DATA ends, dot-stuffing, line ends.
 *
 * Only CR LF . CR LF ends DATA (RFC 5321 §4.1.1.4), wherever the network cut the stream; every other form (LF . LF, CR . CR …) is
 * content, which is what keeps a message from smuggling commands. A line end is CR* LF and leaves as CR LF; a lone CR becomes CR LF in
 * the body and a space in the header section. A dot that starts a line is removed when another dot follows, after a bare LF as well:
 * clients that write bare LF stuff dots by the same idea of a line. One listener or client may be lenient about the end (quirks.ts).
 */

import { LineEndScan } from "./line-ends.ts";

const CR = 0x0d;
const LF = 0x0a;
const DOT = 0x2e;
/** Of a run of CRs before a LF, at most this many belong to the line end; more would have to be counted without bound. */
const LONGEST_CR_RUN = 16;

const CRLF_OCTETS = Buffer.from("\r\n");
const DOT_OCTET = Buffer.from(".");
const SPACE_OCTET = Buffer.from(" ");

/** Takes the decoded octets. Spans are only valid during the call. */
export interface ContentConsumer {
  /** A piece of canonical content, in order. */
  octets(source: Buffer, start: number, end: number): void;
  /** Called after each line end while in the header section; true when the body starts here. */
  headerLineEnded(): boolean;
}

/** What was found wrong with line ends and dots; each is repaired. */
export interface ContentFindings {
  bareLf: boolean;
  loneCr: boolean;
  extraCr: boolean;
  /** The end was taken although it was not CR LF . CR LF. */
  lenientEnd: boolean;
}

type State = "line" | "line-start" | "dot" | "dot-cr" | "cr";

/** Decodes one message. Feed it chunks until it says where the content ended. */
export class ContentDecoder {
  readonly findings: ContentFindings = { bareLf: false, loneCr: false, extraCr: false, lenientEnd: false };
  readonly #consumer: ContentConsumer;
  readonly #lenient: boolean;
  #state: State = "line-start";
  /** Whether the line now starting was preceded by CR LF; the start of DATA counts as that. */
  #afterCrlf = true;
  #crs = 0;
  #inHeader = true;
  /** The last whole line was a dot alone, and did not end DATA. */
  #dotLine = false;

  /** @param lenient - LF . LF, LF . CR LF and CR LF . LF end DATA too: for a device that cannot do better, at its operator's word */
  constructor(consumer: ContentConsumer, lenient = false) {
    this.#consumer = consumer;
    this.#lenient = lenient;
  }

  /** The content so far ends with a dot on a line of its own: whoever says no more probably takes it for the end of DATA. */
  get endsWithDot(): boolean {
    return this.#dotLine || this.#state === "dot" || this.#state === "dot-cr";
  }

  /** The header section ends here although no empty line came; what follows is body. */
  endHeader(): void {
    this.#inHeader = false;
  }

  /**
   * Decodes `chunk` from `start` on.
   *
   * @returns the index after the final CR LF . CR LF; -1 when the content goes on in the next chunk
   */
  feed(chunk: Buffer, start: number): number {
    const end = chunk.length;
    const consumer = this.#consumer;
    let pos = start;
    let from = start; // start of the span that has not been handed on
    const scan = new LineEndScan(chunk);
    while (pos < end) {
      switch (this.#state) {
        case "line": {
          pos = scan.next(pos);
          if (pos >= end) break;
          if (chunk[pos] === LF) {
            if (pos > from) consumer.octets(chunk, from, pos);
            pos += 1;
            from = pos;
            this.findings.bareLf = true;
            this.#endLine(false);
          } else if (chunk[pos + 1] === LF) {
            pos += 2;
            this.#afterCrlf = true;
            if (this.#inHeader) {
              consumer.octets(chunk, from, pos);
              from = pos;
              this.#lineEnded();
              this.#state = "line-start";
            } else if (pos >= end || chunk[pos] === DOT) {
              this.#state = "line-start";
            }
          } else {
            if (pos > from) consumer.octets(chunk, from, pos);
            this.#crs = 1;
            this.#state = "cr";
            pos += 1;
            from = pos;
          }
          break;
        }
        case "line-start":
          this.#dotLine = false;
          if (chunk[pos] !== DOT) {
            this.#state = "line";
          } else {
            if (pos > from) consumer.octets(chunk, from, pos);
            pos += 1;
            from = pos;
            this.#state = "dot";
          }
          break;
        case "dot": {
          const octet = chunk[pos];
          if (octet === CR && (this.#afterCrlf || this.#lenient)) {
            pos += 1;
            from = pos;
            this.#state = "dot-cr";
          } else if (octet === LF && this.#lenient) {
            this.findings.lenientEnd = true;
            return pos + 1;
          } else {
            if (octet === LF || octet === CR) this.#dotLine = true;
            // Two dots: the first was the stuffing and is gone. One dot: a client that does not stuff; the line stays as it is.
            if (octet !== DOT) consumer.octets(DOT_OCTET, 0, 1);
            this.#state = "line";
            if (octet === DOT) pos += 1;
          }
          break;
        }
        case "dot-cr":
          if (chunk[pos] === LF) {
            if (!this.#afterCrlf) this.findings.lenientEnd = true;
            return pos + 1;
          }
          consumer.octets(DOT_OCTET, 0, 1);
          this.#crs = 1;
          this.#state = "cr";
          break;
        case "cr": {
          const octet = chunk[pos];
          if (octet === LF) {
            if (this.#crs > 1) this.findings.extraCr = true;
            this.#crs = 0;
            pos += 1;
            from = pos;
            this.#endLine(true);
          } else if (octet === CR) {
            if (this.#crs === LONGEST_CR_RUN) this.#loneCr();
            else this.#crs += 1;
            pos += 1;
            from = pos;
          } else {
            for (; this.#crs > 0; this.#crs -= 1) this.#loneCr();
            this.#state = "line";
          }
          break;
        }
      }
    }
    if (end > from) consumer.octets(chunk, from, end);
    return -1;
  }

  #endLine(crlf: boolean): void {
    this.#consumer.octets(CRLF_OCTETS, 0, 2);
    this.#afterCrlf = crlf;
    this.#state = "line-start";
    if (this.#inHeader) this.#lineEnded();
  }

  #lineEnded(): void {
    if (this.#consumer.headerLineEnded()) this.#inHeader = false;
  }

  #loneCr(): void {
    this.findings.loneCr = true;
    if (this.#inHeader) this.#consumer.octets(SPACE_OCTET, 0, 1);
    else this.#consumer.octets(CRLF_OCTETS, 0, 2);
  }
}
