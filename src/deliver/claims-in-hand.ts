/** Claims that a lane has taken and not yet settled: their leases, and how many deliveries each device and priority has under way. In memory only. */
import { lineOf } from "../mail/line.ts";
import type { Clock } from "../platform/clock.ts";
import type { Claim, DeliveryQueue } from "../queue/queue.ts";

/** A claim is ours for this long; renewed well before. */
export const LEASE_MS = 300_000;

export class ClaimsInHand {
  readonly #clock: Clock;
  /** When the lease of each was last extended (monotonic ms). */
  readonly #renewedAt = new Map<Claim, number>();
  readonly #busyDevices = new Map<string, number>();
  /** Who waits until certain claims are gone. */
  readonly #waiters = new Set<{ readonly claims: Set<Claim>; readonly resolve: () => void }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#renewedAt.size;
  }

  /** Deliveries in progress by line, as the queue wants them for a fair claim. */
  get busyDevices(): ReadonlyMap<string, number> {
    return this.#busyDevices;
  }

  add(claim: Claim): void {
    this.#renewedAt.set(claim, this.#clock.monotonic());
    const line = lineOf(claim.message.origin.device, claim.message.priority);
    this.#busyDevices.set(line, (this.#busyDevices.get(line) ?? 0) + 1);
  }

  /** Resolves when all that are here now are settled. */
  async whenSettled(): Promise<void> {
    if (this.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiters.add({ claims: new Set(this.#renewedAt.keys()), resolve });
    await promise;
  }

  delete(claim: Claim): void {
    this.#renewedAt.delete(claim);
    for (const waiter of this.#waiters) {
      if (!waiter.claims.delete(claim) || waiter.claims.size > 0) continue;
      this.#waiters.delete(waiter);
      waiter.resolve();
    }
    const line = lineOf(claim.message.origin.device, claim.message.priority);
    const others = (this.#busyDevices.get(line) ?? 1) - 1;
    if (others <= 0) this.#busyDevices.delete(line);
    else this.#busyDevices.set(line, others);
  }

  /** Extends the leases that have run for a third of their time. */
  renew(queue: DeliveryQueue, fail: (error: unknown) => void): void {
    const now = this.#clock.monotonic();
    for (const [claim, renewedAt] of this.#renewedAt) {
      if (now - renewedAt < LEASE_MS / 3) continue;
      this.#renewedAt.set(claim, now);
      queue.renew(claim, LEASE_MS).catch(fail);
    }
  }
}
