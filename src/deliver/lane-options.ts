/** What all lanes and their parts share. */
import type { Emit } from "../mail/events.ts";
import type { Clock } from "../platform/clock.ts";
import type { ClockSteps } from "../platform/clock-steps.ts";
import type { DeliveryQueue } from "../queue/queue.ts";
import type { DoorBoard } from "./door-board.ts";
import type { ReportOptions } from "./reports.ts";
import type { RetryPolicy } from "./retry.ts";
import type { Router } from "./routes.ts";
import type { Teller } from "./teller.ts";

export interface LaneOptions {
  readonly queue: DeliveryQueue;
  readonly retry: RetryPolicy;
  readonly reports: ReportOptions;
  /** Who is told of failures and delays. */
  readonly teller: Teller;
  readonly emit: Emit;
  readonly clock: Clock;
  readonly clockSteps: Pick<ClockSteps, "forwardMs">;
  readonly router: Router;
  readonly board: DoorBoard;
  /** How long a door may put a recipient off before another one gets it. */
  readonly fallbackAfterMs: number;
  /** A door has closed or opened, or mail came to a closed one: what waits may have to go elsewhere. */
  readonly doorChanged: (upstream: string) => void;
  /** Mail waits for this door's budget, and its route lets others have it. */
  readonly spill: (upstream: string) => void;
  /** A closed door would like one message to be tried with. */
  readonly invite: (upstream: string) => void;
  /** In [0, 1). */
  readonly random: () => number;
  /** The queue failed us: everything stops, and the process has to start anew. */
  readonly fail: (error: unknown) => void;
}
