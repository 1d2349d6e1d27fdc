/** Claims that a lane has taken and not yet settled: their leases, and how many deliveries each device and priority has under way. In memory only. */
import { lineOf } from "../mail/line.ts";
import type { Clock } from "../platform/clock.ts";
import { Members } from "../platform/members.ts";
import type { Member } from "../platform/members.ts";
import type { Claim, DeliveryQueue } from "../queue/queue.ts";

/** A claim is ours for this long; renewed well before. */
export const LEASE_MS = 300_000;

interface InHand extends Member {
  readonly claim: Claim;
  /** `ClockSteps.forwardMs` before the queue was asked for it. */
  readonly forwardMs: number;
  /** When its lease was last extended (monotonic ms). */
  renewedAt: number;
}

export class ClaimsInHand {
  readonly #clock: Clock;
  /** Ready, under way or being settled: few enough to look through. */
  readonly #all = new Members<InHand>();
  readonly #busyDevices = new Map<string, number>();
  /** Who waits until certain claims are gone. */
  readonly #waiters = new Set<{ readonly claims: Set<Claim>; readonly resolve: () => void }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#all.size;
  }

  /** Deliveries in progress by line, as the queue wants them for a fair claim. */
  get busyDevices(): ReadonlyMap<string, number> {
    return this.#busyDevices;
  }

  /** @param forwardMs - `ClockSteps.forwardMs` before the queue was asked for it */
  add(claim: Claim, forwardMs: number): void {
    this.#all.add({ slot: -1, claim, forwardMs, renewedAt: this.#clock.monotonic() });
    const line = lineOf(claim.message.origin.device, claim.message.priority);
    this.#busyDevices.set(line, (this.#busyDevices.get(line) ?? 0) + 1);
  }

  /** What it was added with. */
  forwardMsOf(claim: Claim): number {
    return this.#all.find((one) => one.claim === claim)?.forwardMs ?? 0;
  }

  /** Resolves when all that are here now are settled. */
  async whenSettled(): Promise<void> {
    if (this.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiters.add({ claims: new Set([...this.#all].map(({ claim }) => claim)), resolve });
    await promise;
  }

  delete(claim: Claim): void {
    const found = this.#all.find((one) => one.claim === claim);
    if (found !== undefined) this.#all.delete(found);
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
    for (const one of this.#all) {
      if (now - one.renewedAt < LEASE_MS / 3) continue;
      one.renewedAt = now;
      queue.renew(one.claim, LEASE_MS).catch(fail);
    }
  }
}
