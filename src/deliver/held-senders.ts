/**
 * Senders whose mail is held by `sender` on one door, each with its alarm and the time at which one of its messages is tried again: on the retry
 * schedule, counted from when it was first met. In memory only; the queue knows them too, so a restart finds them again and begins anew.
 */
import type { Emit } from "../mail/events.ts";

/** Most senders looked after at a time; the queue is asked for others when one of these is done with. */
export const MOST_HELD_SENDERS = 1_000;
/** Between two trials on one door, so that many held senders leave most of its budget to other mail. */
const GAP_MS = 10_000;

interface HeldSender {
  /** ms since the epoch. */
  nextProbeAt: number;
  probes: number;
  alarmed: boolean;
  /** Mail of it was held since it was last due. */
  metAgain: boolean;
  /** How often its mail was held. */
  meetings: number;
}

/** What was found out about a sender's mail. */
export interface SenderRefusal {
  readonly cause: string;
  readonly remedy?: string | undefined;
}

export class HeldSenders {
  /** By reverse-path in lower case. */
  readonly #senders = new Map<string, HeldSender>();
  readonly #upstream: string;
  readonly #emit: Emit;
  readonly #delayMs: (probes: number) => number;
  #gapUntil = 0;
  #earliest = Infinity;
  #incomplete = true;

  /** @param delayMs - the wait before the next trial, after so many */
  constructor(upstream: string, emit: Emit, delayMs: (probes: number) => number) {
    this.#upstream = upstream;
    this.#emit = emit;
    this.#delayMs = delayMs;
  }

  /** When one is to be tried; undefined when none is held. */
  get nextProbeAt(): number | undefined {
    return this.#senders.size === 0 ? undefined : Math.max(this.#earliest, this.#gapUntil);
  }

  /** True when the queue may hold mail of senders that are not here, and there is room for them. */
  get isIncomplete(): boolean {
    return this.#incomplete && this.#senders.size < MOST_HELD_SENDERS;
  }

  /** Takes up the senders that the queue knows, which are all when they are fewer than `MOST_HELD_SENDERS`. */
  found(senders: readonly string[], now: number): void {
    this.#incomplete = senders.length >= MOST_HELD_SENDERS;
    for (const sender of senders) this.#add(sender, now);
  }

  /** Mail of a sender was held. The alarm is raised once for each, and not for what is `quiet`. */
  refused(reversePath: string, refusal: SenderRefusal, now: number, quiet = false): void {
    const sender = reversePath.toLowerCase();
    const held = this.#add(sender, now);
    if (held === undefined) return;
    held.metAgain = true;
    held.meetings += 1;
    if (held.alarmed || quiet) return;
    held.alarmed = true;
    this.#emit({
      type: "alert.raised",
      alert: "sender.held",
      subject: `${this.#upstream} ${sender}`,
      text: `mail of ${reversePath} is held: ${refusal.cause}`,
      remedy: refusal.remedy,
    });
  }

  #add(sender: string, now: number): HeldSender | undefined {
    let held = this.#senders.get(sender);
    if (held === undefined) {
      if (this.#senders.size >= MOST_HELD_SENDERS) {
        this.#incomplete = true;
        return undefined;
      }
      held = { nextProbeAt: now + this.#delayMs(0), probes: 0, alarmed: false, metAgain: false, meetings: 0 };
      this.#senders.set(sender, held);
      this.#earliest = Math.min(this.#earliest, held.nextProbeAt);
    }
    return held;
  }

  /** The sender to try now, the one that should have been tried first; undefined when it is not the time for any. */
  due(now: number): string | undefined {
    const at = this.nextProbeAt;
    if (at === undefined || at > now) return undefined;
    for (const [sender, held] of this.#senders) {
      if (held.nextProbeAt > this.#earliest) continue;
      held.metAgain = false;
      return sender;
    }
    return undefined;
  }

  /** It was tried, and nothing was delivered. */
  tried(sender: string, now: number): void {
    const held = this.#senders.get(sender);
    this.#gapUntil = now + GAP_MS;
    if (held === undefined) return;
    held.probes += 1;
    held.nextProbeAt = now + this.#delayMs(held.probes);
    this.#reckon();
  }

  /** The queue had nothing of it: somebody released or deleted that, unless more was held while we asked. */
  missing(sender: string, now: number): void {
    if (this.#senders.get(sender)?.metAgain === true) this.tried(sender, now);
    else this.cleared(sender);
  }

  /** Who is looked after, and how often their mail was held; for `recounted`. */
  meetings(): ReadonlyMap<string, number> {
    return new Map([...this.#senders].map(([sender, { meetings }]) => [sender, meetings]));
  }

  /**
   * The queue told of whom it holds something: the others are done with, unless more of them was held while it was asked.
   *
   * @param before - `meetings()` of the moment before it was asked
   */
  recounted(before: ReadonlyMap<string, number>, held: ReadonlySet<string>): void {
    for (const [sender, meetings] of before)
      if (!held.has(sender) && this.#senders.get(sender)?.meetings === meetings) this.cleared(sender);
  }

  /** It may send again, or nothing of it is held any more. */
  cleared(sender: string): void {
    if (!this.#senders.delete(sender)) return;
    this.#reckon();
    this.#emit({ type: "alert.cleared", alert: "sender.held", subject: `${this.#upstream} ${sender}` });
  }

  /** Does not wait for the schedule. */
  hurry(now: number): void {
    // By a clock that was ahead until now it may lie hours away.
    this.#gapUntil = Math.min(this.#gapUntil, now + GAP_MS);
    for (const held of this.#senders.values()) held.nextProbeAt = Math.min(held.nextProbeAt, now);
    this.#reckon();
  }

  #reckon(): void {
    this.#earliest = Infinity;
    for (const held of this.#senders.values()) this.#earliest = Math.min(this.#earliest, held.nextProbeAt);
  }
}
