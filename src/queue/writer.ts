/** One message on its way in: octets collect in a small buffer, then in shared blocks that go to the worker as they fill. */
import { PosternError } from "../mail/errors.ts";
import type { AcceptedMessage, Envelope } from "../mail/message.ts";
import type { WorkerLink } from "./link.ts";
import type { Block, StoredRow } from "./pool.ts";
import type { Octets } from "./protocol.ts";
import type { MessageWriter } from "./queue.ts";
import { CONTENT_SPAN, ROW_BYTES } from "./states.ts";

/** A message up to this size never takes a block; a row is never shorter, the last one excepted. */
export const SMALL_BYTES = 16 * 1024;

/** Buffers kept for the next messages. */
const SPARE_BUFFERS = 64;

/** What all writers of one queue share. */
export class Intake {
  readonly link: WorkerLink;
  readonly #buffers: Uint8Array[] = [];
  /** Writers that hold a partly filled block, the one that has not grown for longest first. */
  readonly #holders = new Set<ContentWriter>();
  /** Blocks at the worker. */
  #sent = 0;

  constructor(link: WorkerLink) {
    this.link = link;
  }

  buffer(): Uint8Array {
    return this.#buffers.pop() ?? new Uint8Array(SMALL_BYTES);
  }

  giveBack(buffer: Uint8Array): void {
    if (this.#buffers.length < SPARE_BUFFERS) this.#buffers.push(buffer);
  }

  grew(writer: ContentWriter): void {
    this.#holders.delete(writer);
    this.#holders.add(writer);
  }

  letGo(writer: ContentWriter): void {
    this.#holders.delete(writer);
  }

  /** Sends a full or partly filled block as the next row of a message. */
  sendRow(message: number, place: number, block: Block, length: number): void {
    this.#sent++;
    this.link.post({ op: "chunk", message, place, octets: { slab: block.slab, offset: block.offset, length } }, (_answer, fault) =>
      this.returned(block, fault === undefined ? { message, place, length } : undefined),
    );
  }

  sent(): void {
    this.#sent++;
  }

  returned(block: Block, row?: StoredRow): void {
    this.#sent--;
    this.link.pool.release(block, row);
    this.relieve();
  }

  /**
   * Somebody waits for a block. When none is on its way back by itself, the sender that has been slowest gives up its partly filled one, as a short row:
   * slow senders, however many, never stop the others.
   */
  relieve(): void {
    if (!this.link.pool.isShort || this.#sent > 0) return;
    for (const writer of this.#holders) {
      writer.sendPart();
      return;
    }
  }
}

/** What is to be stored of a message besides its envelope. */
export interface FinishedContent {
  readonly size: number;
  readonly chunks: number;
  readonly tail: Octets | undefined;
  /** To be called when the commit is done (true) or failed. */
  readonly release: (stored: boolean) => void;
  /** The whole content, where it is small. */
  readonly inMemory: Uint8Array | undefined;
}

/** Stores a finished message; given by the queue. */
export type AcceptContent = (writer: ContentWriter, envelope: Envelope) => Promise<AcceptedMessage>;

const nothing = (): void => undefined;

export class ContentWriter implements MessageWriter {
  readonly queueId: string;
  /** Row id of the message. */
  readonly message: number;
  readonly #intake: Intake;
  readonly #refused: () => PosternError | undefined;
  readonly #accept: AcceptContent;
  #small: Uint8Array | undefined;
  #smallLength = 0;
  #block: Block | undefined;
  #filled = 0;
  #places = 0;
  #size = 0;
  /** Octets that found no block; the caller was asked to wait. */
  #overflow: Uint8Array[] = [];
  #room: { promise: Promise<void>; resolve: () => void; reject: (error: Error) => void } | undefined;
  #stopWaiting: (() => void) | undefined;
  #state: "open" | "dropped" | "committed" = "open";
  #fault: PosternError | undefined;

  constructor(queueId: string, message: number, intake: Intake, refused: () => PosternError | undefined, accept: AcceptContent) {
    this.queueId = queueId;
    this.message = message;
    this.#intake = intake;
    this.#refused = refused;
    this.#accept = accept;
  }

  write(octets: Uint8Array): Promise<void> | undefined {
    // A fault is told once: whoever writes several pieces before waiting would leave the other rejections to nobody.
    if (this.#state !== "open" || this.#fault !== undefined) return undefined;
    const fault = this.#intake.link.fault;
    if (fault !== undefined) {
      this.#drop(fault);
      return Promise.reject(fault);
    }
    this.#size += octets.byteLength;
    if (this.#room !== undefined) {
      this.#overflow.push(new Uint8Array(octets));
      return this.#room.promise;
    }
    const rest = this.#put(octets);
    if (rest === undefined) return undefined;
    // new Uint8Array() and not slice(), which does not copy where the octets are a Buffer.
    this.#overflow.push(new Uint8Array(rest));
    let resolve = nothing;
    let reject: (error: Error) => void = nothing;
    const promise = new Promise<void>((fulfil, refuse) => {
      resolve = fulfil;
      reject = refuse;
    });
    this.#room = { promise, resolve, reject };
    this.#waitForBlock();
    return promise;
  }

  /** Stores octets; returns those for which there was no block. */
  #put(octets: Uint8Array): Uint8Array | undefined {
    let rest = octets;
    while (rest.byteLength > 0) {
      if (this.#fault !== undefined) return undefined;
      if (this.#block === undefined) {
        if (this.#smallLength + rest.byteLength <= SMALL_BYTES) {
          this.#small ??= this.#intake.buffer();
          this.#small.set(rest, this.#smallLength);
          this.#smallLength += rest.byteLength;
          return undefined;
        }
        const block = this.#intake.link.pool.isShort ? undefined : this.#intake.link.pool.acquire();
        if (block === undefined) return rest;
        this.#use(block);
      }
      rest = this.#fill(rest);
    }
    return undefined;
  }

  /** Starts a block with what the small buffer has. */
  #use(block: Block): void {
    this.#block = block;
    this.#filled = 0;
    if (this.#small !== undefined) {
      block.bytes.set(this.#smallLength === SMALL_BYTES ? this.#small : this.#small.subarray(0, this.#smallLength), 0);
      this.#filled = this.#smallLength;
      this.#freeSmall();
    }
  }

  #fill(octets: Uint8Array): Uint8Array {
    const block = this.#block;
    if (block === undefined) return octets;
    const count = Math.min(octets.byteLength, ROW_BYTES - this.#filled);
    block.bytes.set(count === octets.byteLength ? octets : octets.subarray(0, count), this.#filled);
    this.#filled += count;
    if (this.#filled === ROW_BYTES) this.sendPart();
    else this.#intake.grew(this);
    return octets.subarray(count);
  }

  #waitForBlock(): void {
    this.#stopWaiting = this.#intake.link.pool.wait((block) => {
      this.#stopWaiting = undefined;
      this.#continue(block);
    });
    this.#intake.relieve();
  }

  #continue(block: Block): void {
    const fault = this.#intake.link.fault;
    if (fault !== undefined) {
      const room = this.#room;
      this.#room = undefined;
      this.#intake.link.pool.release(block);
      this.#drop(fault);
      room?.reject(fault);
      return;
    }
    this.#use(block);
    while (this.#overflow.length > 0) {
      const rest = this.#put(this.#overflow[0] ?? new Uint8Array());
      if (rest !== undefined) {
        this.#overflow[0] = rest;
        this.#waitForBlock();
        return;
      }
      this.#overflow.shift();
    }
    const room = this.#room;
    this.#room = undefined;
    room?.resolve();
  }

  /** Sends what the block holds as a row. */
  sendPart(): void {
    const block = this.#block;
    if (block === undefined) return;
    this.#block = undefined;
    this.#intake.letGo(this);
    const refused =
      this.#places >= CONTENT_SPAN - 1 ? new PosternError("E_TEMPORARY", "the message came in too many pieces") : this.#refused();
    if (refused !== undefined) {
      // Below the floor nothing more is written; the rest of the message is taken and dropped, and its commit says why.
      this.#intake.link.pool.release(block);
      this.#drop(refused);
      return;
    }
    this.#intake.sendRow(this.message, this.#places++, block, this.#filled);
    this.#filled = 0;
  }

  async commit(envelope: Envelope): Promise<AcceptedMessage> {
    if (this.#room !== undefined) await this.#room.promise;
    if (this.#state !== "open") throw new Error("the message was committed or dropped before");
    const fault = this.#fault ?? this.#refused();
    if (fault !== undefined) {
      this.abort();
      throw fault;
    }
    this.#state = "committed";
    return this.#accept(this, envelope);
  }

  /**
   * What the commit still has to store. To be called once, by the queue.
   *
   * @param keepBytes - contents up to this size are given back whole as well
   */
  finish(keepBytes: number): FinishedContent {
    const whole = this.#places === 0 && this.#size <= keepBytes;
    const block = this.#block;
    if (block !== undefined) {
      const length = this.#filled;
      this.#block = undefined;
      this.#intake.letGo(this);
      this.#intake.sent();
      return {
        size: this.#size,
        chunks: this.#places + 1,
        tail: { slab: block.slab, offset: block.offset, length },
        release: (stored) => this.#intake.returned(block, stored ? { message: this.message, place: this.#places, length } : undefined),
        inMemory: whole ? new Uint8Array(block.bytes.subarray(0, length)) : undefined,
      };
    }
    const small = this.#small;
    if (small === undefined)
      return { size: this.#size, chunks: this.#places, tail: undefined, release: nothing, inMemory: whole ? new Uint8Array() : undefined };
    const octets = small.subarray(0, this.#smallLength);
    const shared = this.#intake.link.share(octets);
    // A copy and not a view: the buffer goes to the next message while this one is delivered.
    const inMemory = whole ? new Uint8Array(octets) : undefined;
    this.#freeSmall();
    return { size: this.#size, chunks: this.#places + 1, tail: shared.octets, release: shared.done ?? nothing, inMemory };
  }

  abort(): void {
    if (this.#state !== "open") return;
    this.#state = "dropped";
    this.#drop(new PosternError("E_TEMPORARY", "the message was dropped"));
  }

  #freeSmall(): void {
    if (this.#small !== undefined) this.#intake.giveBack(this.#small);
    this.#small = undefined;
    this.#smallLength = 0;
  }

  /** Frees everything the message holds; what is on disk of it is deleted. */
  #drop(fault: PosternError): void {
    if (this.#fault !== undefined) return;
    this.#fault = fault;
    this.#stopWaiting?.();
    this.#overflow = [];
    this.#intake.letGo(this);
    if (this.#block !== undefined) this.#intake.link.pool.release(this.#block);
    this.#block = undefined;
    this.#freeSmall();
    if (this.#places > 0) {
      const rows = this.#places;
      // After the rows: they come back in the order they were sent.
      this.#intake.link.post({ op: "abandon", message: this.message }, () => this.#intake.link.pool.forget(this.message, rows));
    }
    const room = this.#room;
    this.#room = undefined;
    room?.resolve();
  }
}
