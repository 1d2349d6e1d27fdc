/** Notices lines that are too long for SMTP, in content that streams by. */
import { LONGEST_LINE } from "./words.ts";

const LF = 0x0a;

/**
 * Tells whether some line is longer than 998 octets, CR LF apart. Looks at a few octets of each thousand: from where a line that is just
 * not too long would end, backwards to a line end, and on from there.
 */
export class LineLengths {
  tooLong = false;
  /** Octets of the line under way in blocks before. */
  #carried = 0;

  /** @param octets - canonical, any cut */
  look(octets: Uint8Array): void {
    if (this.tooLong) return;
    const end = octets.length;
    let start = -this.#carried;
    for (;;) {
      // The LF of a line of 998 octets and CR is at most here.
      const last = start + LONGEST_LINE + 1;
      let at = last < end ? last : end - 1;
      const first = start < 0 ? 0 : start;
      while (at >= first && octets[at] !== LF) at -= 1;
      if (at >= first) start = at + 1;
      else if (last < end) {
        this.tooLong = true;
        return;
      } else {
        this.#carried = end - start;
        return;
      }
      if (start >= end) {
        this.#carried = 0;
        return;
      }
    }
  }

  /** Call after the last octet: a line that never ended counts too. */
  end(): boolean {
    if (this.#carried > LONGEST_LINE) this.tooLong = true;
    return this.tooLong;
  }
}
