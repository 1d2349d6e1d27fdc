/**
 * Shared memory for content on its way to the worker: a bounded number of blocks, handed out, sent, and taken back. A block that came back
 * keeps its row until the memory is needed again: mail that leaves at once is not read from the disk that it was just written to.
 */
import { CONTENT_SPAN, ROW_BYTES } from "./states.ts";

/** One block. `bytes` looks at all of it and is made once. */
export interface Block {
  readonly slab: number;
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** Which row of stored content a block holds. */
export interface StoredRow {
  readonly message: number;
  readonly place: number;
  /** Octets of the block that are the row. */
  readonly length: number;
}

const BLOCKS_PER_SLAB = 16;

/** Blocks of 256 KiB in slabs of 4 MiB that are made when first needed and kept. */
export class BlockPool {
  readonly #limit: number;
  readonly #announce: (index: number, memory: SharedArrayBuffer) => void;
  readonly #free: Block[] = [];
  readonly #waiting = new Set<(block: Block) => void>();
  /** Blocks whose rows are on disk, the one that came back first first. */
  readonly #kept = new Map<number, { readonly block: Block; readonly length: number }>();
  #made = 0;
  #slabs = 0;

  /**
   * @param limitBytes - most shared memory in all
   * @param announce - tells the worker of a new slab before any block of it is sent
   */
  constructor(limitBytes: number, announce: (index: number, memory: SharedArrayBuffer) => void) {
    this.#limit = Math.max(1, Math.floor(limitBytes / ROW_BYTES));
    this.#announce = announce;
  }

  /** Octets of shared memory in use or free. */
  get bytes(): number {
    return this.#made * ROW_BYTES;
  }

  /** True when somebody waits for a block. */
  get isShort(): boolean {
    return this.#waiting.size > 0;
  }

  /** A free block, or undefined when all are in use. */
  acquire(): Block | undefined {
    const block = this.#free.pop();
    if (block !== undefined) return block;
    if (this.#made >= this.#limit) return this.#evict();
    const count = Math.min(BLOCKS_PER_SLAB, this.#limit - this.#made);
    const memory = new SharedArrayBuffer(count * ROW_BYTES);
    const slab = this.#slabs++;
    this.#announce(slab, memory);
    for (let at = count - 1; at >= 0; at--)
      this.#free.push({ slab, offset: at * ROW_BYTES, bytes: new Uint8Array(memory, at * ROW_BYTES, ROW_BYTES) });
    this.#made += count;
    return this.#free.pop();
  }

  /** Calls back with the next block that comes free, first come first served. The returned function gives up the wait. */
  wait(use: (block: Block) => void): () => void {
    this.#waiting.add(use);
    return () => this.#waiting.delete(use);
  }

  /**
   * Takes a block back, or hands it to whoever has waited longest.
   *
   * @param row - what the block holds, where that is committed and may be asked for soon
   */
  release(block: Block, row?: StoredRow): void {
    for (const use of this.#waiting) {
      this.#waiting.delete(use);
      use(block);
      return;
    }
    if (row === undefined) this.#free.push(block);
    else this.#kept.set(keyOf(row.message, row.place), { block, length: row.length });
  }

  /** A copy of a row that is still here. */
  recall(message: number, place: number): Uint8Array | undefined {
    const kept = this.#kept.get(keyOf(message, place));
    return kept === undefined ? undefined : new Uint8Array(kept.block.bytes.subarray(0, kept.length));
  }

  /** The message has left or was dropped: its rows will not be asked for. */
  forget(message: number, rows: number): void {
    for (let place = 0; place < rows && this.#kept.size > 0; place++) {
      const key = keyOf(message, place);
      const kept = this.#kept.get(key);
      if (kept === undefined) continue;
      this.#kept.delete(key);
      this.#free.push(kept.block);
    }
  }

  #evict(): Block | undefined {
    for (const [key, { block }] of this.#kept) {
      this.#kept.delete(key);
      return block;
    }
    return undefined;
  }
}

function keyOf(message: number, place: number): number {
  return message * CONTENT_SPAN + place;
}
