/** Trials of mail held by `sender` on one lane: one message of one sender at a time, and the first that is delivered takes the others along. */
import type { PosternEvent } from "../mail/events.ts";
import type { Envelope } from "../mail/message.ts";
import type { Claim } from "../queue/queue.ts";
import { LEASE_MS } from "./claims-in-hand.ts";
import { HeldSenders, MOST_HELD_SENDERS } from "./held-senders.ts";
import type { LaneOptions } from "./lane-options.ts";

export class SenderTrials {
  readonly #lane: string;
  readonly #options: LaneOptions;
  readonly #held: HeldSenders;
  /** The message that is being tried, or asked of the queue for that. */
  #trial: Claim | "asked" | undefined;

  /** @param delayMs - the wait before the next trial of a sender, after so many */
  constructor(lane: string, options: LaneOptions, delayMs: (probes: number) => number) {
    this.#lane = lane;
    this.#options = options;
    this.#held = new HeldSenders(lane, options.emit, delayMs);
  }

  /** True while a trial is under way, or being fetched. */
  get isBusy(): boolean {
    return this.#trial !== undefined;
  }

  isTrial(claim: Claim): boolean {
    return claim === this.#trial;
  }

  /** When the next trial is wanted; undefined while one is under way, or when nobody's mail is held. */
  get nextAt(): number | undefined {
    return this.#trial === undefined ? this.#held.nextProbeAt : undefined;
  }

  /** The sender to try now; undefined when it is not the time for any. */
  due(now: number): string | undefined {
    return this.#trial === undefined ? this.#held.due(now) : undefined;
  }

  /** Does not wait for the schedule. */
  hurry(): void {
    this.#held.hurry(this.#options.clock.now());
  }

  /** Takes up those that the queue knows and we do not: after a start, and when there was no room for all of them. */
  async find(): Promise<void> {
    if (!this.#held.isIncomplete) return;
    const senders = await this.#options.queue.heldSenders(this.#lane, MOST_HELD_SENDERS);
    this.#held.found(senders, this.#options.clock.now());
  }

  /** An operator acted on the queue: the alarm ends for those of whom nothing is held any more. A trial under way finds out by itself. */
  async recount(): Promise<void> {
    const before = this.#held.meetings();
    if (before.size === 0 || this.isBusy) return;
    const senders = await this.#options.queue.heldSenders(this.#lane, MOST_HELD_SENDERS);
    if (senders.length < MOST_HELD_SENDERS && !this.isBusy) this.#held.recounted(before, new Set(senders));
  }

  /** Takes one message of a held sender, to go out before all others; undefined when the queue has none. */
  async take(sender: string, recipientsPerMessage: number): Promise<Claim | undefined> {
    this.#trial = "asked";
    const claim = await this.#options.queue.claimHeldBySender(this.#lane, sender, recipientsPerMessage, LEASE_MS);
    if (claim === undefined) {
      this.#held.missing(sender, this.#options.clock.now());
      await this.find();
    }
    this.#trial = claim;
    return claim;
  }

  /** One message was tried: if it was delivered, all that is held of its sender goes. */
  async tried(claim: Claim, delivered: boolean): Promise<void> {
    const sender = claim.message.reversePath.toLowerCase();
    if (delivered) {
      // Before the queue is asked: what is held from now on is a new case.
      this.#held.cleared(sender);
      await this.#options.queue.releaseSender(this.#lane, sender);
      await this.find();
    } else this.#held.tried(sender, this.#options.clock.now());
    this.#trial = undefined;
  }

  /** Looks for what was just held by its sender, and raises the alarm for it. Whoever sends a test mail is told there what became of it. */
  notice({ reversePath, kind, origin }: Envelope, events: readonly PosternEvent[]): void {
    const held = events.find((event) => event.type === "recipient.held" && event.heldBy === "sender");
    if (held?.type !== "recipient.held") return;
    const isTest = kind === "mail" && origin.listener === "";
    this.#held.refused(reversePath, held, this.#options.clock.now(), isTest);
  }
}
