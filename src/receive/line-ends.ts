/**
 * Finds CR and LF, whichever comes first, four octets at a time. One `Buffer.indexOf` for each of them in each line took up to twice
 * as long: at 80 octets a line the calls cost more than the search.
 */

const LF = 0x0a;
const CR = 0x0d;

const NO_WORDS = new Int32Array(0);

/** Searches one chunk. Make a new one for each. */
export class LineEndScan {
  readonly #octets: Uint8Array;
  /** The chunk as 32-bit words, from its first aligned octet on. */
  readonly #words: Int32Array;
  /** Octets before the first word. */
  readonly #lead: number;

  constructor(octets: Uint8Array) {
    const lead = -octets.byteOffset & 3;
    this.#octets = octets;
    this.#lead = lead;
    // A few octets may lie where no word can start.
    this.#words =
      octets.length < lead + 4 ? NO_WORDS : new Int32Array(octets.buffer, octets.byteOffset + lead, (octets.length - lead) >> 2);
  }

  /** @returns index of the first CR or LF at or after `from`; the chunk's length when there is none */
  next(from: number): number {
    const octets = this.#octets;
    const words = this.#words;
    const lead = this.#lead;
    const end = octets.length;
    let at = from;
    while (at < end) {
      if (((at - lead) & 3) === 0) {
        let word = (at - lead) >> 2;
        const last = words.length - 3;
        while (
          word < last &&
          (below14(words[word] ?? 0) | below14(words[word + 1] ?? 0) | below14(words[word + 2] ?? 0) | below14(words[word + 3] ?? 0)) === 0
        ) {
          word += 4;
        }
        while (word < words.length && below14(words[word] ?? 0) === 0) word += 1;
        at = lead + word * 4;
        if (at >= end) break;
      }
      const octet = octets[at];
      if (octet === CR || octet === LF) return at;
      at += 1;
    }
    return end;
  }
}

/** Not zero when one of a word's four octets is less than 14. */
function below14(word: number): number {
  return ((word - 0x0e0e0e0e) | 0) & ~word & 0x80808080;
}
