/** What routes ask of the doors at this moment. Filled by the lanes; empty (every door open, no budget used) where nothing runs, as in `explain`. */

/** One door as its lane knows it. Getters: asked anew each time. */
export interface DoorGauge {
  /** Held, unreachable or throttled for long: mail that has another door takes that one. */
  readonly isClosed: boolean;
  /** Messages that the budget lets start now; Infinity where it is not limited, 0 where Microsoft asked to wait. */
  readonly startable: number;
  /** What is left of the budget, in recipients; Infinity where it is not limited. Only compared with other doors'. */
  readonly left: number;
}

const OPEN: DoorGauge = { isClosed: false, startable: Infinity, left: Infinity };

export class DoorBoard {
  readonly #gauges = new Map<string, DoorGauge>();
  /** Doors that are closed, but want one message to find out whether they work. */
  readonly #invited = new Set<string>();
  /** What was sent to a door within its budget and has not started there yet. */
  readonly #given = new Map<string, number>();

  register(door: string, gauge: DoorGauge): void {
    this.#gauges.set(door, gauge);
  }

  /** The door is not in the configuration any more. */
  remove(door: string): void {
    this.#gauges.delete(door);
    this.#invited.delete(door);
    this.#given.delete(door);
  }

  of(door: string): DoorGauge {
    return this.#gauges.get(door) ?? OPEN;
  }

  isOpen(door: string): boolean {
    return !this.of(door).isClosed;
  }

  /** Messages that the door's budget takes besides what was given to it already. */
  spare(door: string): number {
    return this.of(door).startable - (this.#given.get(door) ?? 0);
  }

  /** Counts a message against `spare` until it starts. */
  give(door: string): void {
    this.#given.set(door, (this.#given.get(door) ?? 0) + 1);
  }

  /** So many were started; without a number all that was given is gone. */
  started(door: string, messages?: number): void {
    const given = this.#given.get(door);
    if (given === undefined) return;
    if (messages === undefined || messages >= given) this.#given.delete(door);
    else this.#given.set(door, given - messages);
  }

  /** Asks for one message, because none waits that the door could be tried with. */
  invite(door: string): void {
    this.#invited.add(door);
  }

  isInvited(door: string): boolean {
    return this.#invited.has(door);
  }

  /** True once for each invitation. */
  accept(door: string): boolean {
    return this.#invited.size > 0 && this.#invited.delete(door);
  }
}
