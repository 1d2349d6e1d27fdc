/** Stored content on its way out. */
import type { PosternError } from "../mail/errors.ts";
import type { WorkerLink } from "./link.ts";
import type { ContentSource } from "./queue.ts";

/**
 * Reads a message's rows one after the other, at most one ahead of the one in use. A block's memory is freed when the next one is asked for:
 * many large messages at once would otherwise fill memory until the garbage collector comes by.
 */
export class StoredContent implements ContentSource {
  readonly sizeBytes: number;
  readonly inMemory: Uint8Array | undefined;
  readonly #link: WorkerLink;
  readonly #message: number;
  readonly #chunks: number;
  readonly #corrupt: (cause: string) => PosternError;

  /**
   * @param inMemory - the whole content, where it is at hand
   * @param corrupt - tells of the damage, and gives the error to throw
   */
  constructor(
    link: WorkerLink,
    message: number,
    chunks: number,
    sizeBytes: number,
    inMemory: Uint8Array | undefined,
    corrupt: (cause: string) => PosternError,
  ) {
    this.#link = link;
    this.#message = message;
    this.#chunks = chunks;
    this.sizeBytes = sizeBytes;
    this.inMemory = inMemory;
    this.#corrupt = corrupt;
  }

  async *blocks(): AsyncGenerator<Uint8Array, void, undefined> {
    if (this.inMemory !== undefined) {
      if (this.inMemory.byteLength > 0) yield this.inMemory;
      return;
    }
    let length = 0;
    let next = this.#read(0);
    for (let place = 0; place < this.#chunks; place++) {
      const octets = await next;
      if (octets === undefined) throw this.#corrupt(`row ${place + 1} of ${this.#chunks} is missing or its checksum does not agree`);
      next = this.#read(place + 1);
      length += octets.byteLength;
      yield octets;
      (octets.buffer as ArrayBuffer).transfer(0);
    }
    if (length !== this.sizeBytes) throw this.#corrupt(`${length} octets are stored of ${this.sizeBytes}`);
  }

  /** The message has left: what of it is still in memory is not needed any more. */
  forget(): void {
    this.#link.pool.forget(this.#message, this.#chunks);
  }

  #read(place: number): Promise<Uint8Array | undefined> {
    if (place >= this.#chunks) return Promise.resolve(undefined);
    const kept = this.#link.pool.recall(this.#message, place);
    if (kept !== undefined) return Promise.resolve(kept);
    const read = this.#link.read(this.#message, place);
    // A reader that stops early never looks at the block read ahead.
    read.catch(() => undefined);
    return read;
  }
}
