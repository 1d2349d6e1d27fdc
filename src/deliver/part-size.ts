/**
 * How many recipients of one message a door takes, where it says that they are too many only once it has seen the whole message (RFC 5321 §4.5.3.1.10):
 * each refusal halves the parts, so that a few tries find a size that fits. Later mail is cut so from the start.
 */

/** A limit that somebody raised is found out then, and one that is still there is, too. */
const FORGOTTEN_MS = 3_600_000;

export class PartSize {
  #most = Infinity;
  #until = 0;

  /** A message was refused for its many recipients. Times are monotonic. */
  refused(recipients: number, now: number): void {
    this.#most = Math.min(this.most(now), Math.max(1, Math.floor(recipients / 2)));
    this.#until = now + FORGOTTEN_MS;
  }

  /** Most recipients of one message; Infinity while nothing is known. */
  most(now: number): number {
    if (now >= this.#until) this.#most = Infinity;
    return this.#most;
  }
}
