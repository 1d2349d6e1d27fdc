/**
 * Opens and closes one door by what attempts and probes found out. A hold is durable in the queue before anything is settled by it, so that no
 * held mail is ever without a holder; pauses are only in memory and learned again after a restart.
 */
import type { Claim, LaneHold } from "../queue/queue.ts";
import type { DoorBudget } from "./budget/door-budget.ts";
import { Door, type DoorState, type DoorTrouble } from "./door.ts";
import { isBeforeMail, type DoorEffect, type Finding, type Judgement } from "./judge.ts";
import type { LaneOptions } from "./lane-options.ts";
import { heldAfterMs } from "./meaning.ts";
import { retryDelayMs } from "./retry.ts";
import { SharedFaults } from "./shared-faults.ts";

/** What an attempt was, besides its outcome. */
export interface Tried {
  readonly claim: Claim;
  /** The door's when the attempt began. */
  readonly generation: number;
  /** The message was to find out whether a held door works. */
  readonly isProbe: boolean;
  /** What stays held by its sender was counted when it was held, and is no news about the door. */
  readonly isSenderTrial: boolean;
}

/** Most messages remembered that closed a door which others then opened; one that is forgotten closes it once more. */
const MOST_REFUTED = 1_000;

export class DoorKeeper {
  readonly #upstream: string;
  readonly #budget: DoorBudget;
  readonly #options: LaneOptions;
  readonly #door = new Door();
  readonly #sharedFaults = new SharedFaults();
  /** Messages that closed the held door, and those that did so before other mail opened it again. */
  readonly #closers = new Set<string>();
  readonly #refuted = new Set<string>();
  #retired = false;

  /** @param budget - told when the next hop asks for less */
  constructor(upstream: string, budget: DoorBudget, options: LaneOptions) {
    this.#upstream = upstream;
    this.#budget = budget;
    this.#options = options;
  }

  // ---- what it is like now ----

  get state(): DoorState {
    return this.#door.state;
  }

  get generation(): number {
    return this.#door.generation;
  }

  /** Why nothing goes out for the moment, where the door is not held. */
  get trouble(): DoorTrouble | undefined {
    return this.#door.trouble;
  }

  /** See `Door`. */
  get isShut(): boolean {
    return this.#door.isShut;
  }

  /** Why it is shut; undefined where it is not. */
  get shutBecause(): string | undefined {
    const { state, isShut } = this.#door;
    if (state.kind === "held") return `upstream ${this.#upstream} is held: ${state.hold.cause}`;
    return isShut ? `upstream ${this.#upstream} cannot be used: ${this.#door.trouble?.cause ?? ""}` : undefined;
  }

  /** See `Door`. */
  get opensAt(): number | undefined {
    return this.#door.opensAt;
  }

  /** See `Door`. */
  get looksAt(): number | undefined {
    return this.#door.looksAt;
  }

  /** How many attempts may be under way. */
  slots(connections: number): number {
    return this.#door.slots(connections);
  }

  /** The wait is over, or an operator says so. */
  resume(): void {
    const wasShut = this.#door.isShut;
    this.#door.resume();
    if (wasShut && !this.#door.isShut) this.#options.doorChanged(this.#upstream);
  }

  // ---- what changes it ----

  /** Mail does not wait longer for a slow door than for one that puts it off, whatever time that asks for. */
  losePatience(now: number): void {
    if (this.#door.losePatience(now)) this.#options.doorChanged(this.#upstream);
  }

  /** Takes up the hold of an earlier process, or of the door as it was before a reload. */
  restore(hold: LaneHold, announce: boolean): void {
    // Whoever starts the daemon, or changes the door, may just have repaired it: look at once, where looking costs no mail.
    const now = this.#options.clock.now();
    // By the clock of an earlier process it may lie years ahead.
    const nextProbeAt = hold.closedBy === undefined ? now : Math.min(hold.nextProbeAt, now + this.probeDelayMs(hold.probes));
    const restored = { ...hold, nextProbeAt };
    this.#door.hold(restored);
    if (announce) this.#announceHold(restored);
  }

  /** The door is another one from now on: what is still learned of this one says nothing about that. */
  retire(): void {
    this.#retired = true;
  }

  /** It is gone from the configuration: nobody has to repair it. */
  forgetHold(): void {
    if (this.#door.state.kind === "held") this.#options.emit({ type: "alert.cleared", alert: "upstream.held", subject: this.#upstream });
  }

  /** Lets the door act on what was learned; a fault that closed it for good turns the verdicts it caused into holds. */
  async apply(judgement: Judgement, tried: Tried): Promise<Judgement> {
    if (this.#retired) return withoutHolds(judgement);
    const { door } = judgement;
    const { queueId, reversePath } = tried.claim.message;
    const current = tried.generation === this.#door.generation;
    if (door.kind === "works") {
      const strike = tried.isSenderTrial ? undefined : this.#sharedFaults.strikes(judgement, reversePath);
      if (strike !== undefined && !tried.isProbe) {
        await this.close(strike, queueId);
        return upstreamHeld(judgement, strike);
      }
      if (tried.isProbe) await this.release(queueId);
      else if (current) this.#works();
      return judgement;
    }
    if (tried.isProbe) {
      await this.stayClosed(door.kind === "unclear" ? undefined : door.finding, queueId);
      return this.#door.state.kind === "held" && door.kind !== "unclear" ? upstreamHeld(judgement, door.finding) : judgement;
    }
    if (door.kind === "unclear") {
      // A trial must prove something; time-outs in the middle of a message do not.
      if (this.#door.state.kind === "trial" && current && judgement.verdicts.some((verdict) => verdict.kind === "retry"))
        this.#pause("the trial message got no answer", undefined);
      return judgement;
    }
    // What it meets is its own, whatever the words: a size, a number of recipients. Else it would close the door after each message that opens it.
    if (door.kind === "hold" && !isBeforeMail(door.finding.stage) && this.#refuted.has(queueId)) return itsOwn(judgement);
    const lasting = this.#door.lasted(door.finding.id, heldAfterMs(door.finding), this.#options.clock.now());
    if (door.kind === "hold" || lasting) {
      if (this.#door.state.kind !== "held") await this.close(door.finding, isBeforeMail(door.finding.stage) ? undefined : queueId);
      return this.#door.state.kind === "held" ? upstreamHeld(judgement, door.finding) : judgement;
    }
    if (current) this.wait(door);
    return this.#door.state.kind === "held" ? upstreamHeld(judgement, door.finding) : judgement;
  }

  #works(): void {
    const wasShut = this.#door.isShut;
    this.#door.works();
    if (wasShut && !this.#door.isShut) this.#options.doorChanged(this.#upstream);
  }

  /** Lets nothing out for a while. */
  wait(door: Exclude<DoorEffect, { kind: "works" | "unclear" }>): void {
    const { clock, emit, fallbackAfterMs } = this.#options;
    const { finding } = door;
    if (door.kind === "slow") {
      const now = clock.now();
      const until = this.#door.slow(now, finding.waitMs ?? 60_000, fallbackAfterMs, finding.cause, finding.remedy);
      this.#budget.throttled(clock.monotonic());
      emit({ type: "upstream.throttled", upstream: this.#upstream, waitMs: until - now, reply: finding.reply });
      if (this.#door.isShut) this.#options.doorChanged(this.#upstream);
    } else this.#pause(finding.cause, finding.remedy);
  }

  #pause(cause: string, remedy: string | undefined): void {
    const resumeAt = this.#door.pause(this.#options.clock.now(), cause, remedy);
    this.#options.emit({ type: "upstream.paused", upstream: this.#upstream, cause, resumeAt });
    this.#options.doorChanged(this.#upstream);
  }

  /** The wait before the next probe, after so many. */
  probeDelayMs(probes: number): number {
    return retryDelayMs(this.#options.retry, probes + 1, this.#options.random());
  }

  /** Closes the door for what needs hands. Resolves when that is durable. */
  async close(finding: Finding, closedBy: string | undefined): Promise<void> {
    const { clock, queue } = this.#options;
    const now = clock.now();
    const { cause, reply, remedy } = finding;
    const hold: LaneHold = { since: now, cause, reply, remedy, closedBy, nextProbeAt: now + this.probeDelayMs(0), probes: 0 };
    this.#door.hold(hold);
    if (closedBy !== undefined) this.#closers.add(closedBy);
    await queue.holdLane(this.#upstream, hold);
    this.#announceHold(hold);
    this.#options.doorChanged(this.#upstream);
  }

  #announceHold(hold: LaneHold): void {
    const { emit } = this.#options;
    const upstream = this.#upstream;
    const { cause, remedy, nextProbeAt } = hold;
    emit({ type: "upstream.held", upstream, cause, remedy, nextProbeAt });
    emit({ type: "alert.raised", alert: "upstream.held", subject: upstream, text: `upstream ${upstream} is held: ${cause}`, remedy });
  }

  /** A probe failed: later again. What it met may be another fault than before, and is then what the administrator must see. */
  async stayClosed(finding: Finding | undefined, metBy: string | undefined): Promise<void> {
    const { state } = this.#door;
    if (state.kind !== "held") return;
    const { clock, queue } = this.#options;
    const probes = state.hold.probes + 1;
    const nextProbeAt = clock.now() + this.probeDelayMs(probes);
    const known = finding !== undefined && finding.outcome === "hold";
    const closedBy = known ? (isBeforeMail(finding.stage) ? undefined : metBy) : state.hold.closedBy;
    if (known && closedBy !== undefined) this.#closers.add(closedBy);
    const hold: LaneHold = known
      ? { ...state.hold, cause: finding.cause, reply: finding.reply, remedy: finding.remedy, closedBy, nextProbeAt, probes }
      : { ...state.hold, nextProbeAt, probes };
    this.#door.hold(hold);
    await queue.holdLane(this.#upstream, hold);
  }

  /** Opens a held door, and lets everything go that it held. @param openedBy - the message that it took */
  async release(openedBy?: string): Promise<void> {
    const { state } = this.#door;
    if (state.kind !== "held") return;
    const { clock, queue, emit } = this.#options;
    this.#door.release();
    for (const closer of this.#closers) if (openedBy !== undefined && closer !== openedBy) this.#refuted.add(closer);
    this.#closers.clear();
    for (const oldest of this.#refuted) {
      if (this.#refuted.size <= MOST_REFUTED) break;
      this.#refuted.delete(oldest);
    }
    const recipients = await queue.releaseLane(this.#upstream);
    emit({ type: "upstream.released", upstream: this.#upstream, heldMs: Math.max(0, clock.now() - state.hold.since), recipients });
    emit({ type: "alert.cleared", alert: "upstream.held", subject: this.#upstream });
    this.#options.doorChanged(this.#upstream);
  }
}

/** Of a door that is no more: what it would hold waits for the one that took its place. */
function withoutHolds(judgement: Judgement): Judgement {
  const verdicts = judgement.verdicts.map((verdict) =>
    verdict.kind === "hold" && verdict.by === "upstream"
      ? ({ kind: "retry", finding: verdict.finding, ambiguous: false, waitMs: 0 } as const)
      : verdict,
  );
  return { verdicts, door: { kind: "unclear" } };
}

/** What would close the door holds the message only; another door may take it. */
function itsOwn(judgement: Judgement): Judgement {
  const verdicts = judgement.verdicts.map((verdict) => {
    if (verdict.kind !== "hold" || verdict.by !== "upstream") return verdict;
    const finding: Finding = { ...verdict.finding, scope: "message", next: true };
    return { kind: "next", finding, otherwise: { kind: "hold", by: "sender", finding } } as const;
  });
  return { verdicts, door: { kind: "unclear" } };
}

/** Recipients that would wait or be held by this fault are held by the door. Final verdicts stay. */
function upstreamHeld(judgement: Judgement, finding: Finding): Judgement {
  const held = { kind: "hold", by: "upstream", finding } as const;
  const verdicts = judgement.verdicts.map((verdict) =>
    (verdict.kind === "retry" && !verdict.ambiguous && verdict.finding.scope === "upstream") ||
    (verdict.kind === "hold" && verdict.by !== "corrupt" && verdict.finding.id === finding.id) ||
    (verdict.kind === "next" && verdict.otherwise.kind === "hold" && verdict.finding.id === finding.id)
      ? held
      : verdict,
  );
  return { verdicts, door: judgement.door };
}
