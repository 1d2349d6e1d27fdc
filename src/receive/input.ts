/**
 * What a client sends, cut into commands and content. Takes the place of smtp-server's parser: it works on octets instead of strings,
 * hands content over without a stream per message, and tells when all input was answered, so that replies to pipelined commands leave in
 * one write.
 */
import { decodeOctets } from "../mime/words.ts";
import { SMTPStream } from "./library.ts";

const LF = 0x0a;
const CR = 0x0d;
const NOTHING = Buffer.alloc(0);
/** Commands answered before other sessions get their turn. */
const COMMANDS_PER_TURN = 100;

/** The session's side of the input. */
export interface InputConsumer {
  /** The first octets of a connection. False closes the input: it is not SMTP. Asked again with more of them while it gives undefined. */
  firstOctets(octets: Buffer): boolean | undefined;
  /** One line, without its end; `done` continues with the next, now or later. */
  line(line: string, done: () => void): void;
  lineTooLong(): void;
  /** Content; the index after its end, or -1. */
  content(chunk: Buffer, start: number): number;
  /** Asked after each chunk of content: what to wait for before the next. */
  contentPressure(): Promise<void> | undefined;
  /** The content is complete; `done` continues with commands. */
  contentEnded(done: () => void): void;
  /** Everything that came was handed over: replies may go now. */
  drained(): void;
  /** The client will send no more, and everything it sent was handed over. */
  ended(): void;
}

export class SessionInput extends SMTPStream {
  readonly #consumer: InputConsumer;
  readonly #longestLine: number;
  /** Octets at hand: of a chunk while it is looked at, else a copy of what has to wait. */
  #chunk: Buffer = NOTHING;
  #pos = 0;
  /** A line's beginning from chunks before. */
  #partial: Buffer = NOTHING;
  #skippingLine = false;
  /** Input has to wait for the consumer. */
  #waiting = false;
  /** The source was told to wait too. */
  #sourceWaits = false;
  #running = false;
  /** The first octets, until it is clear that they are SMTP. */
  #opening: Buffer | undefined = NOTHING;
  #finished = false;
  #turn = 0;

  constructor(consumer: InputConsumer, longestLine: number) {
    super({ maxCommandLength: longestLine });
    this.#consumer = consumer;
    this.#longestLine = longestLine;
  }

  /** From now on everything is content, until its end. */
  expectContent(): void {
    this._dataMode = true;
  }

  /** True while content is expected. */
  get inContent(): boolean {
    return this._dataMode;
  }

  /** Octets that came but were not looked at yet. */
  get buffered(): number {
    return this.#chunk.length - this.#pos;
  }

  /**
   * Takes octets and copies what it keeps: the caller's buffer is free again when this returns. It replaces the queue of a Writable.
   *
   * @returns false when no more may come before the event `drain`
   */
  override write(chunk: Buffer): boolean {
    if (this.isClosed) return true;
    if (this.#waiting) {
      // Nobody expected more before our answer: it is kept, and nothing comes after it.
      this.#chunk = Buffer.concat([this.#chunk.subarray(this.#pos), chunk]);
      this.#pos = 0;
      this.#sourceWaits = true;
      return false;
    }
    this.#chunk = chunk;
    this.#pos = 0;
    if (this.#opening !== undefined && !this.#looksRight(chunk, this.#opening)) this.isClosed = true;
    this.#run();
    if (this.#pos >= this.#chunk.length || this.isClosed) this.#chunk = NOTHING;
    else this.#chunk = Buffer.from(chunk.subarray(this.#pos));
    this.#pos = 0;
    if (this.isClosed || !this.#waiting) return true;
    // Content goes on coming while the spool is slow; after a command or the end of content most clients wait for the answer.
    this.#sourceWaits = this._dataMode || this.#chunk.length > 0;
    return !this.#sourceWaits;
  }

  #looksRight(chunk: Buffer, before: Buffer): boolean {
    const octets = before.length === 0 ? chunk : Buffer.concat([before, chunk]);
    const verdict = this.#consumer.firstOctets(octets);
    this.#opening = verdict === undefined ? Buffer.from(octets) : undefined;
    return verdict !== false;
  }

  /** The client will send no more. */
  override end(): this {
    this.#finished = true;
    if (!this.#waiting) this.#finish();
    return this;
  }

  #finish(): void {
    if (this.isClosed) return;
    const line = this.#partial;
    this.#partial = NOTHING;
    if (line.length > 0 && !this._dataMode) {
      this.#waiting = true;
      this.#consumer.line(textOf(line), () => {
        this.#waiting = false;
        this.#consumer.drained();
        this.#consumer.ended();
      });
      return;
    }
    this.#consumer.ended();
  }

  /** Handles what is at hand until it is used up, or a command has to be waited for. */
  #run(): void {
    if (this.#running) return;
    this.#running = true;
    try {
      while (!this.#waiting && !this.isClosed && this.#pos < this.#chunk.length) {
        if (this._dataMode) this.#content();
        else if (!this.#command()) break;
      }
    } finally {
      this.#running = false;
    }
    this.#consumer.drained();
  }

  readonly #continue = (): void => {
    this.#waiting = false;
    if (this.#running) return;
    this.#run();
    if (this.#waiting && !this.isClosed) return;
    this.#chunk = NOTHING;
    this.#pos = 0;
    if (this.isClosed) return;
    if (this.#sourceWaits) {
      this.#sourceWaits = false;
      this.emit("drain");
    }
    if (this.#finished) this.#finish();
  };

  #content(): void {
    const end = this.#consumer.content(this.#chunk, this.#pos);
    this.#pos = end < 0 ? this.#chunk.length : end;
    const pressure = this.#consumer.contentPressure();
    if (end < 0) {
      if (pressure !== undefined) this.#wait(pressure);
      return;
    }
    this._dataMode = false;
    this.#waiting = true;
    if (pressure === undefined) this.#consumer.contentEnded(this.#continue);
    else void pressure.then(() => this.#consumer.contentEnded(this.#continue));
  }

  /** Takes one line; false when there is no whole one. */
  #command(): boolean {
    const lf = this.#chunk.indexOf(LF, this.#pos);
    const end = lf < 0 ? this.#chunk.length : lf;
    const piece = this.#chunk.subarray(this.#pos, end);
    this.#pos = lf < 0 ? end : lf + 1;
    if (!this.#skippingLine && this.#partial.length + piece.length > this.#longestLine) {
      this.#skippingLine = true;
      this.#partial = NOTHING;
    }
    if (lf < 0) {
      // Copied: the source uses its buffer again.
      if (!this.#skippingLine) this.#partial = Buffer.concat([this.#partial, piece]);
      return false;
    }
    if (this.#skippingLine) {
      this.#skippingLine = false;
      this.#consumer.lineTooLong();
      return true;
    }
    const line = this.#partial.length === 0 ? piece : Buffer.concat([this.#partial, piece]);
    this.#partial = NOTHING;
    this.#waiting = true;
    this.#consumer.line(textOf(line), this.#continue);
    this.#turn += 1;
    if (this.#turn % COMMANDS_PER_TURN === 0 && !this.#waiting && this.#pos < this.#chunk.length) {
      this.#waiting = true;
      setImmediate(this.#continue);
    }
    return true;
  }

  #wait(until: Promise<void>): void {
    this.#waiting = true;
    void until.then(this.#continue);
  }
}

/** A line as text: UTF-8 where it is that, else Latin-1. CRs at its end belong to the line end. */
function textOf(line: Buffer): string {
  let end = line.length;
  while (end > 0 && line[end - 1] === CR) end -= 1;
  return decodeOctets(line.toString("latin1", 0, end));
}
