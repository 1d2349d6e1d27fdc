/** Takes mail that waits to other doors of its route when one closes, opens, or has used up its budget. One pass over a lane at a time. */
import type { DeliveryQueue } from "../queue/queue.ts";
import type { DoorBoard } from "./door-board.ts";
import type { Router } from "./routes.ts";

/** What it works with. */
export interface FallbackOptions {
  readonly queue: Pick<DeliveryQueue, "reroute">;
  readonly router: Router;
  readonly board: DoorBoard;
  /** Why the door of a lane is shut; undefined where it is not. */
  readonly because: (lane: string) => string | undefined;
}

export class Fallback {
  readonly #options: FallbackOptions;
  /** Lanes that are being looked through; true when something changed meanwhile, and they have to be looked through again. */
  readonly #passes = new Map<string, boolean>();

  constructor(options: FallbackOptions) {
    this.#options = options;
  }

  /** A door closed, and what waits for it has another one; or it opened, and takes what waits for closed ones. */
  async doorChanged(door: string): Promise<void> {
    const { router, board } = this.#options;
    const companions = router.companions(door);
    if (companions.length === 0) return;
    if (!board.isOpen(door)) {
      if (companions.some((companion) => board.isOpen(companion))) await this.#empty(door);
      return;
    }
    for (const companion of companions) if (!board.isOpen(companion)) await this.#empty(companion);
  }

  /** What waits for a budget is given to doors that have some left, as much as that. */
  async spill(door: string): Promise<void> {
    const { queue, router, board } = this.#options;
    let spare = 0;
    for (const companion of router.companions(door)) if (board.isOpen(companion)) spare += Math.max(0, board.spare(companion));
    // An unlimited door takes all of it, a slice at a time.
    if (spare > 0)
      await queue.reroute({ lane: door, cause: `the budget of upstream ${door} is used up`, limit: Math.min(spare, MOST_SPILLED) });
  }

  /** A closed door asks for one message: of what waits for other closed ones. Where nothing does, the next that arrives. */
  async invite(door: string): Promise<void> {
    const { queue, router, board } = this.#options;
    for (const lane of router.companions(door)) {
      if (!board.isInvited(door)) return;
      if (!board.isOpen(lane)) await queue.reroute({ lane, cause: `upstream ${door} is tried with it`, limit: 1 });
    }
  }

  async #empty(lane: string): Promise<void> {
    if (this.#passes.has(lane)) {
      this.#passes.set(lane, true);
      return;
    }
    try {
      do {
        this.#passes.set(lane, false);
        const cause = this.#options.because(lane);
        if (cause === undefined) return;
        await this.#options.queue.reroute({ lane, cause });
      } while (this.#passes.get(lane) === true);
    } finally {
      this.#passes.delete(lane);
    }
  }
}

/** Most recipients spilled in one go. */
const MOST_SPILLED = 500;
