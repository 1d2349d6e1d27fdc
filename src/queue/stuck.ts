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
  /** What is done for each question that is open when it begins to be stuck. */
  readonly #open = new Set<() => void>();
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

  /**
   * The answer to a question, or what is said instead where the thread gets stuck over it.
   *
   * Not a race against one promise for all: that one would keep every answer until it is stuck, which is never.
   */
  orStuck<T>(asked: Promise<T>, instead: () => T | Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const stuck = (): void => resolve(instead());
      this.#open.add(stuck);
      const answered = (): void => void this.#open.delete(stuck);
      asked.then(resolve, reject).finally(answered);
    });
  }

  #look(): void {
    const isLate = this.#waitedMs() >= STUCK_AFTER_MS;
    // Twice: a process that stood still itself finds an old question, too.
    const isStuck = isLate && this.#wasLate;
    this.#wasLate = isLate;
    if (isStuck === this.#isStuck) return;
    this.#isStuck = isStuck;
    if (isStuck) {
      for (const stuck of this.#open) stuck();
      this.#open.clear();
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
      this.#emit({ type: "alert.cleared", alert: "spool.stuck", subject: "queue" });
    }
  }
}
