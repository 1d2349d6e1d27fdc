/** Notices that the system's clock was set: by NTP after a start with a wrong one, by hand, or because the machine slept. */
import type { Clock } from "./clock.ts";

const LOOK_EVERY_MS = 15_000;
/** Less than this is no matter to anybody: NTP moves the clock by little, and gently. */
const LEAST_STEP_MS = 30_000;

/** Looks every 15 s, and when asked, how far the clock and the one that never goes back have moved apart. */
export class ClockSteps {
  readonly #clock: Clock;
  readonly #stepped: (byMs: number) => void;
  #apart: number;
  #forwardMs = 0;
  #cancel: () => void = () => undefined;

  /** @param stepped - called with the step in ms, back is negative; time that the machine slept through is a step forward */
  constructor(clock: Clock, stepped: (byMs: number) => void) {
    this.#clock = clock;
    this.#stepped = stepped;
    this.#apart = clock.now() - clock.monotonic();
  }

  watch(): void {
    this.#cancel = this.#clock.after(LOOK_EVERY_MS, () => {
      this.#look();
      this.watch();
    });
  }

  end(): void {
    this.#cancel();
  }

  /** All steps forward so far together, in ms, one that nobody noticed yet included: what lies between two answers is no time that passed. */
  forwardMs(): number {
    this.#look();
    return this.#forwardMs;
  }

  #look(): void {
    const apart = this.#clock.now() - this.#clock.monotonic();
    const byMs = Math.round(apart - this.#apart);
    if (Math.abs(byMs) < LEAST_STEP_MS) return;
    this.#apart = apart;
    if (byMs > 0) this.#forwardMs += byMs;
    this.#stepped(byMs);
  }
}
