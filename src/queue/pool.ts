/** Shared memory for content on its way to the worker: a bounded number of blocks, handed out, sent, and taken back. */
import { ROW_BYTES } from "./states.ts";

/** One block. `bytes` looks at all of it and is made once. */
export interface Block {
  readonly slab: number;
  readonly offset: number;
  readonly bytes: Uint8Array;
}

const BLOCKS_PER_SLAB = 16;

/** Blocks of 256 KiB in slabs of 4 MiB that are made when first needed and kept. */
export class BlockPool {
  readonly #limit: number;
  readonly #announce: (index: number, memory: SharedArrayBuffer) => void;
  readonly #free: Block[] = [];
  readonly #waiting = new Set<(block: Block) => void>();
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
    if (block !== undefined || this.#made >= this.#limit) return block;
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

  /** Takes a block back, or hands it to whoever has waited longest. */
  release(block: Block): void {
    for (const use of this.#waiting) {
      this.#waiting.delete(use);
      use(block);
      return;
    }
    this.#free.push(block);
  }
}
