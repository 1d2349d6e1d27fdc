/** What all lanes and their parts share. */
import type { Emit } from "../mail/events.ts";
import type { Clock } from "../platform/clock.ts";
import type { DeliveryQueue } from "../queue/queue.ts";
import type { ReportOptions } from "./reports.ts";
import type { RetryPolicy } from "./retry.ts";
import type { Teller } from "./teller.ts";

export interface LaneOptions {
  readonly queue: DeliveryQueue;
  readonly retry: RetryPolicy;
  readonly reports: ReportOptions;
  /** Who is told of failures and delays. */
  readonly teller: Teller;
  readonly emit: Emit;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** The queue failed us: everything stops, and the process has to start anew. */
  readonly fail: (error: unknown) => void;
}
