/**
 * Whether a session still gets anywhere. A timer that each octet starts anew cannot tell: an octet a minute would keep a session for weeks.
 * Looked at every few seconds instead, at no cost for commands and content.
 */

/** Limits of time; see `ReceiverLimits`. */
export interface PaceLimits {
  readonly sessionMs: number;
  readonly commandIdleMs: number;
  readonly dataIdleMs: number;
  readonly minBytesPerMinute: number;
}

/** What takes too long: the session as a whole, the next command, the content. */
export type Late = "session" | "command" | "data";

export class Pace {
  readonly #startedAt: number;
  #lines = 0;
  #octets = 0;
  /** What was there when the present span began. */
  #span: { readonly at: number; readonly lines: number; readonly octets: number; readonly inData: boolean };
  /** The spool was slow in the present span: nobody can tell what the device would have done. */
  #held = false;

  /** @param startedAt - monotonic ms */
  constructor(startedAt: number) {
    this.#startedAt = startedAt;
    this.#span = { at: startedAt, lines: 0, octets: 0, inData: false };
  }

  /** A whole line came. */
  line(): void {
    this.#lines += 1;
  }

  /** Content came. */
  octets(count: number): void {
    this.#octets += count;
  }

  /** The device had to wait for us. */
  held(): void {
    this.#held = true;
  }

  /**
   * @param inData - content is coming in
   * @param waitsForUs - the device cannot go on before we do
   */
  inspect(now: number, inData: boolean, waitsForUs: boolean, limits: PaceLimits): Late | undefined {
    if (now - this.#startedAt >= limits.sessionMs) return "session";
    const { at, lines, octets } = this.#span;
    if (waitsForUs || inData !== this.#span.inData || (!inData && lines !== this.#lines)) {
      this.#begin(now, inData);
      return undefined;
    }
    const elapsed = now - at;
    if (!inData) return elapsed >= limits.commandIdleMs ? "command" : undefined;
    if (elapsed < limits.dataIdleMs) return undefined;
    const tooFew = (this.#octets - octets) * 60_000 < limits.minBytesPerMinute * elapsed;
    if (tooFew && !this.#held) return "data";
    this.#begin(now, inData);
    return undefined;
  }

  #begin(at: number, inData: boolean): void {
    this.#span = { at, lines: this.#lines, octets: this.#octets, inData };
    this.#held = false;
  }
}
