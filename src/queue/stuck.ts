/** Notices that the queue's thread answers nothing any more: a disk that neither writes nor fails, as one whose path is gone, keeps it waiting for ever. */
import type { Emit } from "../mail/events.ts";
import type { Clock } from "../platform/clock.ts";

const LOOK_EVERY_MS = 5_000;
/** Devices wait about as long for their answer. */
const STUCK_AFTER_MS = 30_000;

export class StuckWatch {
  readonly #waitedMs: () => number;
  readonly #clock: Clock;
  readonly #emit: Emit;
  #isStuck = false;
  /** The look before found it waiting for too long as well. */
  #wasLate = false;
  #begins = Promise.withResolvers<void>();
  #cancel: () => void = () => undefined;

  /** @param waitedMs - for how long there has been no answer while somebody waits for one; 0 when nobody does */
  constructor(waitedMs: () => number, clock: Clock, emit: Emit) {
    this.#waitedMs = waitedMs;
    this.#clock = clock;
    this.#emit = emit;
  }

  watch(): void {
    this.#cancel = this.#clock.after(LOOK_EVERY_MS, () => {
      this.#look();
      this.watch();
    });
  }

  stop(): void {
    this.#cancel();
  }

  get isStuck(): boolean {
    return this.#isStuck;
  }

  /** Resolves when it is stuck. */
  get begins(): Promise<void> {
    return this.#begins.promise;
  }

  #look(): void {
    const isLate = this.#waitedMs() >= STUCK_AFTER_MS;
    // Twice: a process that stood still itself finds an old question, too.
    const isStuck = isLate && this.#wasLate;
    this.#wasLate = isLate;
    if (isStuck === this.#isStuck) return;
    this.#isStuck = isStuck;
    if (isStuck) {
      this.#begins.resolve();
      this.#emit({
        type: "alert.raised",
        alert: "spool.stuck",
        subject: "queue",
        text: "no mail is accepted, and none leaves: the disk of the queue has not answered for half a minute",
        remedy:
          "Look at the disk of data_dir and at the system's log (journalctl -k): a path that is gone, a volume that hangs. Once it answers mail goes on by itself; nothing that was accepted is lost",
        severity: "critical",
      });
    } else {
      this.#begins = Promise.withResolvers<void>();
      this.#emit({ type: "alert.cleared", alert: "spool.stuck", subject: "queue" });
    }
  }
}
