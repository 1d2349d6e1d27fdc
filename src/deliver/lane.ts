/**
 * One upstream's way through the deliverer: takes what is due as places become free, attempts it, settles it, and watches the door.
 *
 * Crash here, what is lost? Nothing: what a lane knows is either durable in the queue (claims, holds, attempts) or only good for speed.
 */
import type { Emit, PosternEvent } from "../mail/events.ts";
import { describeError } from "../mail/errors.ts";
import type { Clock } from "../platform/clock.ts";
import type { Claim, DeliveryQueue, LaneHold, LaneState, Settlement } from "../queue/queue.ts";
import type { AttemptFacts, Upstream } from "../upstream/upstream.ts";
import { Door, type DoorTrouble } from "./door.ts";
import { HeldSenders, MOST_HELD_SENDERS } from "./held-senders.ts";
import { isBeforeMail, judge, judgeRefusal, type DoorEffect, type Finding, type JudgeContext, type Judgement } from "./judge.ts";
import { Pace, WINDOW_MS } from "./pace.ts";
import { makeReports, reportRecipients, type ReportDoors, type ReportOptions } from "./reports.ts";
import { retryDelayMs, type RetryPolicy } from "./retry.ts";
import { settleAttempt, type Settled } from "./settle.ts";
import { SharedFaults } from "./shared-faults.ts";

/** What all lanes share. */
export interface LaneOptions {
  readonly queue: DeliveryQueue;
  readonly retry: RetryPolicy;
  readonly reports: ReportOptions;
  readonly doors: ReportDoors;
  readonly emit: Emit;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** The queue failed us: everything stops, and the process has to start anew. */
  readonly fail: (error: unknown) => void;
}

/** A claim is ours for this long; renewed well before. */
export const LEASE_MS = 300_000;
/** Most claims taken ahead of free places, so that a fast next hop never waits for a commit. */
const MOST_AHEAD = 64;
/** Wait before asking again for something that the queue calls due, but does not give out. */
const NOT_GIVEN_MS = 1_000;
/** A timer this close to the wanted moment is left alone: the budget's moments come with fractions. */
const TIMER_SLACK_MS = 10;
/** Commits of outcomes that may be under way before new attempts wait for the disk. */
const MOST_SETTLING = 512;

export class Lane {
  readonly name: string;
  readonly #upstream: Upstream;
  readonly #options: LaneOptions;
  readonly #door = new Door();
  readonly #pace: Pace;
  readonly #sharedFaults = new SharedFaults();
  readonly #heldSenders: HeldSenders;
  readonly #abort = new AbortController();
  /** Probes carry no mail: they are broken off at once where an attempt gets its grace. */
  readonly #abortProbe = new AbortController();
  /** Claims in hand and when their lease was last extended (monotonic ms). */
  readonly #claims = new Map<Claim, number>();
  readonly #busyDevices = new Map<string, number>();
  #ready: Claim[] = [];
  #underWay = 0;
  #reserved = 0;
  #settling = 0;
  /** More may be due than what we have claimed. */
  #backlog = false;
  #claiming = false;
  #probing = false;
  /** Mail held by `sender` that is being tried, or asked of the queue for that. */
  #senderProbe: Claim | "asked" | undefined;
  #stopping = false;
  #failed = false;
  /** Nothing else is due before; a lower bound, so that 100,000 waiting need no memory here. */
  #nextDueAt: number | undefined;
  #wakeAt: number | undefined;
  #cancelWake: (() => void) | undefined;
  #idle: (() => void) | undefined;

  constructor(upstream: Upstream, options: LaneOptions) {
    this.name = upstream.name;
    this.#upstream = upstream;
    this.#options = options;
    this.#pace = new Pace(upstream.limits.messagesPerMinute);
    this.#heldSenders = new HeldSenders(upstream.name, options.emit, (probes) => this.#probeDelayMs(probes));
  }

  // ---- starting and stopping ----

  /** Takes up where the last process ended: a hold, the budget used, what is due. */
  async start(state: LaneState | undefined): Promise<void> {
    const { queue, clock } = this.#options;
    if (this.#pace.limited) {
      const now = clock.now();
      const ages = (await queue.attemptTimes(this.name, now - WINDOW_MS)).map((at) => now - at);
      // An attempt that the last process did not live to record may have been counted by the next hop.
      if (ages.length > 0 || (state?.waiting ?? 0) > 0) for (let i = 0; i < this.#upstream.limits.connections; i += 1) ages.push(0);
      this.#pace.restore(ages, clock.monotonic());
    }
    if (state?.hold !== undefined) {
      // Whoever starts the daemon may just have repaired it: look at once, where looking costs no mail.
      const hold = state.hold.closedBy === undefined ? { ...state.hold, nextProbeAt: clock.now() } : state.hold;
      this.#door.hold(hold);
      this.#announceHold(hold);
    } else if (this.#upstream.type === "smtp-auth" || this.#upstream.type === "graph") void this.#tryConnection();
    this.#nextDueAt = state?.nextDueAt;
    if (state !== undefined) await this.#findHeldSenders();
    this.#pump();
  }

  /** Takes nothing new, gives back what was not begun. Resolves when nothing is under way any more. */
  async drain(): Promise<void> {
    this.#stopping = true;
    this.#abortProbe.abort();
    this.#cancelWake?.();
    this.#cancelWake = undefined;
    this.#wakeAt = undefined;
    for (const claim of this.#ready.splice(0)) void this.#giveBack(claim);
    if (this.#isIdle()) return;
    await new Promise<void>((resolve) => {
      this.#idle = resolve;
    });
  }

  /** Breaks off what is under way. */
  abort(): void {
    this.#abort.abort();
  }

  /** The queue failed: nothing more is claimed or written. */
  halt(): void {
    this.#failed = true;
    this.#stopping = true;
    this.#cancelWake?.();
    this.#abortProbe.abort();
    this.#abort.abort();
    this.#checkIdle();
  }

  #isIdle(): boolean {
    return (
      this.#underWay === 0 &&
      this.#claims.size === 0 &&
      this.#reserved === 0 &&
      !this.#claiming &&
      !this.#probing &&
      this.#senderProbe === undefined &&
      this.#settling === 0
    );
  }

  #checkIdle(): void {
    if (this.#idle !== undefined && (this.#failed || this.#isIdle())) this.#idle();
  }

  /** Why nothing goes out for the moment, where the door is not held. */
  get trouble(): DoorTrouble | undefined {
    return this.#door.trouble;
  }

  // ---- work comes in ----

  /** Something may be due earlier than we knew. */
  work(): void {
    if (this.#backlog) return;
    this.#backlog = true;
    this.#pump();
  }

  /** Does now what would be done later: a probe, a resumed trial. */
  kick(): void {
    this.#door.resume();
    this.#heldSenders.hurry(this.#options.clock.now());
    if (this.#door.state.kind === "held") void this.#probe();
    this.#backlog = true;
    this.#pump();
  }

  /** See `ExpressLane`: only where nobody waits longer for the place. */
  reserve(recipients: number): number {
    if (this.#stopping || this.#backlog || this.#claiming || this.#door.state.kind !== "open") return 0;
    // As with claims that come from the queue, some may wait here for their place, in the order they came; else a commit is spent on each.
    const { connections } = this.#upstream.limits;
    const ahead = this.#pace.limited ? 0 : Math.min(connections, MOST_AHEAD);
    if (this.#underWay + this.#reserved + this.#ready.length >= connections + ahead || this.#settling >= MOST_SETTLING) return 0;
    if (this.#pace.limited && this.#pace.available(this.#options.clock.monotonic()) - this.#reserved - this.#ready.length <= 0) return 0;
    if (this.#nextDueAt !== undefined && this.#nextDueAt <= this.#options.clock.now()) return 0;
    this.#reserved += 1;
    return Math.min(recipients, this.#upstream.limits.recipientsPerMessage);
  }

  deliver(claim: Claim): void {
    this.#reserved -= 1;
    if (claim.recipients.length >= this.#upstream.limits.recipientsPerMessage) this.#backlog = true;
    this.#hold(claim);
    this.#ready.push(claim);
    this.#pump();
  }

  forget(): void {
    this.#reserved -= 1;
    this.#checkIdle();
    this.#pump();
  }

  /** Now and then: extends leases, and asks the queue what is due, should a wake-up have been lost. */
  maintain(state: LaneState | undefined): void {
    const now = this.#options.clock.monotonic();
    for (const [claim, renewedAt] of this.#claims) {
      if (now - renewedAt < LEASE_MS / 3) continue;
      this.#claims.set(claim, now);
      this.#options.queue.renew(claim, LEASE_MS).catch(this.#options.fail);
    }
    this.#noteDue(state?.nextDueAt);
    this.#pump();
  }

  #noteDue(at: number | undefined): void {
    if (at !== undefined && (this.#nextDueAt === undefined || at < this.#nextDueAt)) this.#nextDueAt = at;
  }

  // ---- the pump: everything that may start, starts ----

  #pump(): void {
    if (this.#stopping) {
      for (const claim of this.#ready.splice(0)) void this.#giveBack(claim);
      this.#checkIdle();
      return;
    }
    const { clock } = this.#options;
    const now = clock.now();
    const { state } = this.#door;
    if (state.kind === "waiting" && state.until <= now) this.#door.resume();
    if (state.kind === "held" || this.#door.state.kind === "waiting") for (const claim of this.#ready.splice(0)) void this.#giveBack(claim);
    if (state.kind === "held" && state.hold.nextProbeAt <= now && !this.#probing) void this.#probe();
    if (this.#nextDueAt !== undefined && this.#nextDueAt <= now) this.#backlog = true;

    const slots = this.#door.slots(this.#upstream.limits.connections);
    let budget = this.#pace.limited ? this.#pace.available(clock.monotonic()) : slots;
    if (this.#senderProbe === undefined && this.#underWay < slots && budget > 0) {
      const sender = this.#heldSenders.due(now);
      if (sender !== undefined) void this.#claimHeld(sender);
    }
    while (this.#ready.length > 0 && this.#underWay < slots && budget > 0) {
      budget -= 1;
      const claim = this.#ready.shift();
      if (claim !== undefined) void this.#attempt(claim, false);
    }
    // Claims come in batches, because each call costs a commit: not before half of what is taken ahead is used up.
    const ahead = this.#pace.limited || this.#door.state.kind === "trial" ? 0 : Math.min(slots, MOST_AHEAD);
    if (this.#backlog && !this.#claiming && this.#ready.length <= ahead / 2 && this.#settling < MOST_SETTLING) {
      const room = slots + ahead - this.#underWay - this.#reserved - this.#ready.length;
      const limit = this.#pace.limited ? Math.min(room, budget - this.#reserved - this.#ready.length) : room;
      if (limit > 0) void this.#claim(limit);
    }
    this.#setWake(now);
  }

  /** One timer for everything this lane waits for. */
  #setWake(now: number): void {
    const { state } = this.#door;
    let at: number | undefined;
    if (state.kind === "waiting") at = state.until;
    else if (state.kind === "held") at = this.#probing ? undefined : state.hold.nextProbeAt;
    else if (this.#backlog || this.#ready.length > 0) {
      // With work at hand only the budget is left to wait for; places and commits wake the pump themselves.
      const monotonic = this.#options.clock.monotonic();
      const freeAt = this.#pace.limited && this.#pace.available(monotonic) === 0 ? this.#pace.freeAt() : undefined;
      if (freeAt !== undefined) at = now + Math.max(1, freeAt - monotonic);
    } else at = this.#nextDueAt;
    // One that is due already waits for a place or for the budget, and both wake the pump.
    const probeAt = this.#senderProbe === undefined ? this.#heldSenders.nextProbeAt : undefined;
    if (probeAt !== undefined && probeAt > now && state.kind !== "waiting" && state.kind !== "held") at = Math.min(at ?? probeAt, probeAt);
    if (at === this.#wakeAt || (at !== undefined && this.#wakeAt !== undefined && Math.abs(at - this.#wakeAt) < TIMER_SLACK_MS)) return;
    this.#cancelWake?.();
    this.#wakeAt = at;
    this.#cancelWake =
      at === undefined
        ? undefined
        : this.#options.clock.after(Math.max(0, at - now), () => {
            this.#wakeAt = undefined;
            this.#cancelWake = undefined;
            this.#pump();
          });
  }

  #hold(claim: Claim): void {
    this.#claims.set(claim, this.#options.clock.monotonic());
    const { device } = claim.message.origin;
    this.#busyDevices.set(device, (this.#busyDevices.get(device) ?? 0) + 1);
  }

  #letGo(claim: Claim): void {
    this.#claims.delete(claim);
    const { device } = claim.message.origin;
    const others = (this.#busyDevices.get(device) ?? 1) - 1;
    if (others <= 0) this.#busyDevices.delete(device);
    else this.#busyDevices.set(device, others);
  }

  async #claim(limit: number): Promise<void> {
    this.#claiming = true;
    this.#backlog = false;
    const { queue, clock } = this.#options;
    const { recipientsPerMessage } = this.#upstream.limits;
    const askedAt = clock.now();
    try {
      const claims = await queue.claim({ lane: this.name, limit, recipientsPerMessage, leaseMs: LEASE_MS, busyDevices: this.#busyDevices });
      if (claims.length >= limit) this.#backlog = true;
      for (const claim of claims) {
        // A full claim may have left recipients of the same message behind.
        if (claim.recipients.length >= recipientsPerMessage) this.#backlog = true;
        this.#hold(claim);
        this.#ready.push(claim);
      }
      if (!this.#backlog && this.#nextDueAt !== undefined && this.#nextDueAt <= askedAt) {
        this.#nextDueAt = undefined;
        const due = (await queue.lanes()).find((state) => state.lane === this.name)?.nextDueAt;
        // What is due, but was not given out, is not asked for again at once.
        this.#noteDue(due === undefined ? undefined : Math.max(due, askedAt + NOT_GIVEN_MS));
      }
    } catch (error) {
      this.#options.fail(error);
    } finally {
      this.#claiming = false;
    }
    this.#pump();
  }

  // ---- one attempt ----

  async #attempt(claim: Claim, isProbe: boolean): Promise<void> {
    const { clock, retry, random } = this.#options;
    const generation = this.#door.generation;
    const startedAt = clock.now();
    this.#underWay += 1;
    this.#pace.start();
    const delivery = this.#deliveryOf(claim);
    let facts: AttemptFacts;
    try {
      facts = await this.#upstream.attempt(delivery, this.#abort.signal);
    } catch (error) {
      facts = exceptionFacts(error);
    }
    this.#underWay -= 1;
    this.#pace.finish(clock.monotonic(), facts.refusal === undefined || !isBeforeMail(facts.refusal.stage));
    try {
      const found = judge(facts, delivery.recipients, this.#context(claim.message.reversePath));
      const judgement = await this.#applyToDoor(found, claim, generation, isProbe);
      const settled = settleAttempt(
        { claim, upstream: this.name, facts, judgement, startedAt, now: clock.now(), doorOpensAt: this.#door.opensAt },
        retry,
        random,
      );
      await this.#write(claim, settled, facts, startedAt);
      if (this.#isSenderProbe(claim)) await this.#senderTried(claim, settled.events);
    } catch (error) {
      this.#letGo(claim);
      this.#options.fail(error);
    }
    this.#pump();
  }

  #deliveryOf(claim: Claim): Parameters<Upstream["attempt"]>[0] {
    const { message } = claim;
    return {
      queueId: message.queueId,
      // A door with a mailbox lets no null reverse-path through.
      reversePath: message.reversePath === "" ? (this.#upstream.mailbox ?? "") : message.reversePath,
      recipients: claim.recipients.map((recipient) => recipient.address),
      smtpUtf8: message.smtpUtf8,
      eightBit: message.eightBit,
      sizeBytes: message.sizeBytes,
      content: claim.content,
      ambiguous: claim.recipients.every((recipient) => recipient.ambiguous),
    };
  }

  #context(sender: string): JudgeContext {
    return { microsoft: this.#upstream.traits.microsoft, mailbox: this.#upstream.mailbox, sender };
  }

  async #write(claim: Claim, settled: Settled, facts: AttemptFacts, lastAttemptAt: number): Promise<void> {
    const { queue, clock, emit, reports, doors } = this.#options;
    if (this.#failed) return;
    this.#settling += 1;
    try {
      const { settlements, attempt, failed, events } = settled;
      let alarm = false;
      let generated: Awaited<ReturnType<typeof makeReports>> | undefined;
      if (failed.length > 0) {
        const to = reportRecipients(
          reports,
          doors.mailboxes,
          claim.message,
          failed.map((recipient) => recipient.address),
        );
        if (to === "alarm") alarm = true;
        else {
          const failure = { claim, recipients: failed, remote: facts.remote, lastAttemptAt };
          generated = await makeReports(reports, doors, failure, to, clock.now(), () => queue.newQueueId());
        }
      }
      await queue.settle(generated === undefined ? { claim, settlements, attempt } : { claim, settlements, attempt, generated });
      this.#letGo(claim);
      for (const settlement of settlements.values())
        if (settlement.kind === "deferred" || settlement.kind === "returned") this.#noteDue(settlement.dueAt);
      // What is held already and stays so is no news.
      const quiet = this.#isSenderProbe(claim);
      for (const event of events) if (!(quiet && event.type === "recipient.held" && event.heldBy === "sender")) emit(event);
      this.#noticeHolds(claim.message.reversePath, events);
      const { queueId } = claim.message;
      for (const report of generated ?? []) {
        emit({
          type: "message.generated",
          queueId: report.queueId,
          about: queueId,
          recipients: report.envelope.recipients,
          sizeBytes: report.envelope.sizeBytes,
        });
      }
      if (alarm) {
        const remedy = "Check organization.postmaster: it must be a mailbox that exists and takes mail";
        emit({
          type: "alert.raised",
          alert: "report.undeliverable",
          subject: queueId,
          text: `a delivery report to the postmaster could not be delivered: ${failed[0]?.cause ?? ""}`,
          remedy,
        });
      }
    } finally {
      this.#settling -= 1;
    }
  }

  /** Alarms for what was just held. */
  #noticeHolds(reversePath: string, events: readonly PosternEvent[]): void {
    const held = events.find((event) => event.type === "recipient.held");
    if (held?.heldBy === "sender") this.#heldSenders.refused(reversePath, held, this.#options.clock.now());
    if (held?.heldBy !== "corrupt") return;
    const { queueId, cause, remedy } = held;
    this.#options.emit({ type: "alert.raised", alert: "message.corrupt", subject: queueId, text: cause, remedy });
  }

  /** Back to the queue untried; to a closed door's mail, if it is closed. */
  async #giveBack(claim: Claim): Promise<void> {
    const { state } = this.#door;
    const isSenderProbe = this.#isSenderProbe(claim);
    const settlement: Settlement =
      state.kind === "held" && !isSenderProbe
        ? { kind: "held", by: "upstream", cause: state.hold.cause, reply: state.hold.reply }
        : { kind: "returned", dueAt: this.#options.clock.now() };
    this.#settling += 1;
    try {
      await this.#options.queue.settle({ claim, settlements: new Map(claim.recipients.map((recipient) => [recipient.index, settlement])) });
      if (isSenderProbe) await this.#senderTried(claim, []);
      this.#backlog = true;
    } catch (error) {
      this.#options.fail(error);
    } finally {
      this.#settling -= 1;
      this.#letGo(claim);
      this.#checkIdle();
    }
  }

  // ---- the door ----

  /** Lets the door act on what was learned; a fault that closed it for good turns the verdicts it caused into holds. */
  async #applyToDoor(judgement: Judgement, claim: Claim, generation: number, isProbe: boolean): Promise<Judgement> {
    const { door } = judgement;
    const { queueId, reversePath } = claim.message;
    const current = generation === this.#door.generation;
    if (door.kind === "works") {
      // What stays held was counted when it was held.
      const strike = this.#isSenderProbe(claim) ? undefined : this.#sharedFaults.strikes(judgement, reversePath);
      if (strike !== undefined && !isProbe) {
        await this.#close(strike, queueId);
        return upstreamHeld(judgement, strike);
      }
      if (isProbe) await this.#release();
      else if (current) this.#door.works();
      return judgement;
    }
    if (isProbe) {
      await this.#stayClosed(door.kind === "unclear" ? undefined : door.finding, queueId);
      return this.#door.state.kind === "held" && door.kind !== "unclear" ? upstreamHeld(judgement, door.finding) : judgement;
    }
    if (door.kind === "unclear") {
      // A trial must prove something; time-outs in the middle of a message do not.
      if (this.#door.state.kind === "trial" && current && judgement.verdicts.some((verdict) => verdict.kind === "retry"))
        this.#pause("the trial message got no answer");
      return judgement;
    }
    const lasting = this.#door.lasted(door.finding.id, door.finding.holdAfterMs, this.#options.clock.now());
    if (door.kind === "hold" || lasting) {
      if (this.#door.state.kind !== "held") await this.#close(door.finding, isBeforeMail(door.finding.stage) ? undefined : queueId);
      return this.#door.state.kind === "held" ? upstreamHeld(judgement, door.finding) : judgement;
    }
    if (current) this.#wait(door);
    return this.#door.state.kind === "held" ? upstreamHeld(judgement, door.finding) : judgement;
  }

  #wait(door: Exclude<DoorEffect, { kind: "works" | "unclear" }>): void {
    const { clock, emit } = this.#options;
    const { finding } = door;
    if (door.kind === "slow") {
      const now = clock.now();
      const until = this.#door.slow(now, finding.waitMs ?? 60_000, finding.cause);
      emit({ type: "upstream.throttled", upstream: this.name, waitMs: until - now, reply: finding.reply });
    } else this.#pause(finding.cause);
  }

  #pause(cause: string): void {
    const resumeAt = this.#door.pause(this.#options.clock.now(), cause);
    this.#options.emit({ type: "upstream.paused", upstream: this.name, cause, resumeAt });
  }

  #probeDelayMs(probes: number): number {
    return retryDelayMs(this.#options.retry, probes + 1, this.#options.random());
  }

  /** Closes the door for what needs hands. Durable before anything is settled by it, so that no held mail is ever without a holder. */
  async #close(finding: Finding, closedBy: string | undefined): Promise<void> {
    const { clock, queue } = this.#options;
    const now = clock.now();
    const { cause, reply, remedy } = finding;
    const hold: LaneHold = { since: now, cause, reply, remedy, closedBy, nextProbeAt: now + this.#probeDelayMs(0), probes: 0 };
    this.#door.hold(hold);
    await queue.holdLane(this.name, hold);
    this.#announceHold(hold);
  }

  #announceHold(hold: LaneHold): void {
    const { emit } = this.#options;
    const { cause, remedy, nextProbeAt } = hold;
    emit({ type: "upstream.held", upstream: this.name, cause, remedy, nextProbeAt });
    emit({ type: "alert.raised", alert: "upstream.held", subject: this.name, text: `upstream ${this.name} is held: ${cause}`, remedy });
  }

  /** A probe failed: later again. What it met may be another fault than before, and is then what the administrator must see. */
  async #stayClosed(finding: Finding | undefined, metBy: string | undefined): Promise<void> {
    const { state } = this.#door;
    if (state.kind !== "held") return;
    const { clock, queue } = this.#options;
    const probes = state.hold.probes + 1;
    const nextProbeAt = clock.now() + this.#probeDelayMs(probes);
    const known = finding !== undefined && finding.outcome === "hold";
    const closedBy = known ? (isBeforeMail(finding.stage) ? undefined : metBy) : state.hold.closedBy;
    const hold: LaneHold = known
      ? { ...state.hold, cause: finding.cause, reply: finding.reply, remedy: finding.remedy, closedBy, nextProbeAt, probes }
      : { ...state.hold, nextProbeAt, probes };
    this.#door.hold(hold);
    await queue.holdLane(this.name, hold);
  }

  async #release(): Promise<void> {
    const { state } = this.#door;
    if (state.kind !== "held") return;
    const { clock, queue, emit } = this.#options;
    this.#door.release();
    const recipients = await queue.releaseLane(this.name);
    emit({ type: "upstream.released", upstream: this.name, heldMs: Math.max(0, clock.now() - state.hold.since), recipients });
    emit({ type: "alert.cleared", alert: "upstream.held", subject: this.name });
    this.#backlog = true;
  }

  /** Tries a held door: by connecting where that is what failed, else with one message. */
  async #probe(): Promise<void> {
    const { state } = this.#door;
    if (state.kind !== "held" || this.#probing || this.#stopping) return;
    this.#probing = true;
    try {
      if (state.hold.closedBy === undefined) {
        const refusal = await this.#upstream.probe(this.#abortProbe.signal);
        if (this.#stopping) return;
        if (refusal === undefined) await this.#release();
        else await this.#stayClosed(judgeRefusal(refusal, this.#context("")), undefined);
      } else {
        const claim = await this.#options.queue.claimProbe(this.name, this.#upstream.limits.recipientsPerMessage, LEASE_MS);
        if (claim === undefined) await this.#stayClosed(undefined, undefined);
        else {
          this.#hold(claim);
          await this.#attempt(claim, true);
        }
      }
    } catch (error) {
      this.#options.fail(error);
    } finally {
      this.#probing = false;
    }
    this.#pump();
  }

  // ---- mail held by `sender` ----

  /** Those that the queue knows and we do not: after a start, and when there was no room for all of them. */
  async #findHeldSenders(): Promise<void> {
    if (!this.#heldSenders.isIncomplete) return;
    const senders = await this.#options.queue.heldSenders(this.name, MOST_HELD_SENDERS);
    this.#heldSenders.found(senders, this.#options.clock.now());
  }

  /** Takes one message of a held sender, to go out before all others. */
  async #claimHeld(sender: string): Promise<void> {
    this.#senderProbe = "asked";
    try {
      const claim = await this.#options.queue.claimHeldBySender(this.name, sender, this.#upstream.limits.recipientsPerMessage, LEASE_MS);
      if (claim === undefined) {
        this.#heldSenders.missing(sender, this.#options.clock.now());
        await this.#findHeldSenders();
        this.#senderProbe = undefined;
      } else {
        this.#senderProbe = claim;
        this.#hold(claim);
        this.#ready.unshift(claim);
      }
    } catch (error) {
      this.#options.fail(error);
    }
    this.#pump();
  }

  #isSenderProbe(claim: Claim): boolean {
    return claim === this.#senderProbe;
  }

  /** One message was tried: if it was delivered, all that is held of its sender goes. */
  async #senderTried(claim: Claim, events: readonly PosternEvent[]): Promise<void> {
    const sender = claim.message.reversePath.toLowerCase();
    if (!this.#failed && events.some((event) => event.type === "recipient.delivered")) {
      // Before the queue is asked: what is held from now on is a new case.
      this.#heldSenders.cleared(sender);
      await this.#options.queue.releaseSender(this.name, sender);
      await this.#findHeldSenders();
    } else this.#heldSenders.tried(sender, this.#options.clock.now());
    this.#senderProbe = undefined;
  }

  /** At start: a door whose secret is missing is to be held with an alarm before the first mail comes, not by it. */
  async #tryConnection(): Promise<void> {
    this.#probing = true;
    try {
      const refusal = await this.#upstream.probe(this.#abortProbe.signal);
      if (refusal !== undefined && !this.#stopping && this.#door.state.kind === "open") {
        const finding = judgeRefusal(refusal, this.#context(""));
        if (finding.outcome === "hold") await this.#close(finding, undefined);
        else this.#wait({ kind: finding.outcome === "slow" ? "slow" : "pause", finding });
      }
    } catch (error) {
      this.#options.fail(error);
    } finally {
      this.#probing = false;
    }
    this.#pump();
  }
}

/** Recipients that would wait or be held by this fault are held by the door. Final verdicts stay. */
function upstreamHeld(judgement: Judgement, finding: Finding): Judgement {
  const held = { kind: "hold", by: "upstream", finding } as const;
  const verdicts = judgement.verdicts.map((verdict) =>
    (verdict.kind === "retry" && !verdict.ambiguous && verdict.finding.scope === "upstream") ||
    (verdict.kind === "hold" && verdict.by !== "corrupt" && verdict.finding.id === finding.id)
      ? held
      : verdict,
  );
  return { verdicts, door: judgement.door };
}

function exceptionFacts(error: unknown): AttemptFacts {
  return {
    reusedConnection: false,
    connectMs: 0,
    transmitMs: 0,
    recipients: [],
    ambiguous: false,
    refusal: { stage: "final", fault: { code: "EXCEPTION", detail: describeError(error) } },
  };
}
