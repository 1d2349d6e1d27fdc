/** Claims that are out, each with the time until which its holder may deliver. */
import type { Clock } from "../platform/clock.ts";
import type { AcceptedMessage } from "../mail/message.ts";
import { Members } from "../platform/members.ts";
import type { Member } from "../platform/members.ts";
import type { StoredContent } from "./content.ts";
import type { Claim, ClaimedRecipient } from "./queue.ts";

/** A claim as this queue hands it out. */
export class Lease implements Claim, Member {
  /** Among those that are out. */
  slot = -1;
  readonly id: number;
  readonly lane: string;
  readonly message: AcceptedMessage;
  readonly recipients: readonly ClaimedRecipient[];
  readonly content: StoredContent;
  readonly warned: boolean;
  /** Row id of the message. */
  readonly row: number;
  /** On the clock that never goes back. */
  endsAt: number;

  constructor(
    id: number,
    lane: string,
    row: number,
    message: AcceptedMessage,
    recipients: readonly ClaimedRecipient[],
    content: StoredContent,
    warned: boolean,
    endsAt: number,
  ) {
    this.id = id;
    this.lane = lane;
    this.row = row;
    this.message = message;
    this.recipients = recipients;
    this.content = content;
    this.warned = warned;
    this.endsAt = endsAt;
  }
}

/** Watches leases with one timer for all. */
export class Leases {
  readonly #clock: Clock;
  readonly #lapsed: (lease: Lease) => void;
  readonly #out = new Members<Lease>();
  #timerAt = Infinity;
  #cancel: (() => void) | undefined;

  /** @param lapsed - called with each claim whose lease ran out; it is no longer watched then */
  constructor(clock: Clock, lapsed: (lease: Lease) => void) {
    this.#clock = clock;
    this.#lapsed = lapsed;
  }

  add(lease: Lease): void {
    this.#out.add(lease);
    if (lease.endsAt < this.#timerAt) this.#arm(lease.endsAt);
  }

  remove(lease: Lease): void {
    this.#out.delete(lease);
  }

  renew(lease: Lease, leaseMs: number): void {
    lease.endsAt = this.#clock.monotonic() + leaseMs;
    if (this.#out.has(lease) && lease.endsAt < this.#timerAt) this.#arm(lease.endsAt);
  }

  stop(): void {
    this.#cancel?.();
    this.#out.clear();
  }

  #arm(at: number): void {
    this.#cancel?.();
    this.#timerAt = at;
    this.#cancel = this.#clock.after(at - this.#clock.monotonic(), () => this.#look());
  }

  #look(): void {
    const now = this.#clock.monotonic();
    this.#timerAt = Infinity;
    this.#cancel = undefined;
    let next = Infinity;
    for (const lease of this.#out) {
      if (lease.endsAt <= now) {
        // Not one that an earlier one took along.
        if (this.#out.delete(lease)) this.#lapsed(lease);
      } else next = Math.min(next, lease.endsAt);
    }
    if (next !== Infinity) this.#arm(next);
  }
}
