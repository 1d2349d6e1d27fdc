/**
 * One upstream's way through the deliverer: takes what is due as places become free, attempts it, settles it. What is known of the door is the
 * door keeper's, mail held by its sender the sender trials'.
 *
 * Crash here, what is lost? Nothing: what a lane knows is either durable in the queue (claims, holds, attempts) or only good for speed.
 */
import { isInternalDomain, splitAddress } from "../mail/address.ts";
import type { PosternEvent } from "../mail/events.ts";
import { lineOf } from "../mail/line.ts";
import type { Claim, ClaimedRecipient, LaneHold, LaneState, Settlement } from "../queue/queue.ts";
import type { AttemptFacts, Refusal, Upstream } from "../upstream/upstream.ts";
import { attempt } from "./attempt.ts";
import { NO_LIMIT, type DoorBudget, type Places } from "./budget/door-budget.ts";
import { ClaimsInHand, LEASE_MS } from "./claims-in-hand.ts";
import type { DoorTrouble } from "./door.ts";
import type { DoorGauge } from "./door-board.ts";
import { DoorKeeper } from "./door-keeper.ts";
import { contextOf, isBeforeMail, judge, judgeRefusal, type JudgeContext, type Judgement } from "./judge.ts";
import type { LaneOptions } from "./lane-options.ts";
import { writeOutcome, type AttemptedBy } from "./outcome-writer.ts";
import { PartSize } from "./part-size.ts";
import { SecondTries } from "./second-tries.ts";
import { SenderTrials } from "./sender-trials.ts";
import { settleAttempt, type Elsewhere, type Settled } from "./settle.ts";

/** Most claims taken ahead of free places, so that a fast next hop never waits for a commit. */
const MOST_AHEAD = 64;
/** Wait before asking again for something that the queue calls due, but does not give out. */
const NOT_GIVEN_MS = 1_000;
/** A timer this close to the wanted moment is left alone: the budget's moments come with fractions. */
const TIMER_SLACK_MS = 10;
/** Mail that waits for a budget is offered to other doors this often. */
const SPILL_EVERY_MS = 5_000;
/** Of a door that is alone. */
const NOWHERE: Elsewhere = { refused: () => undefined, open: () => undefined, fallbackAfterMs: Infinity };
/** Commits of outcomes that may be under way before new attempts wait for the disk. */
const MOST_SETTLING = 512;

export class Lane {
  readonly name: string;
  readonly #upstream: Upstream;
  readonly #options: LaneOptions;
  readonly #door: DoorKeeper;
  readonly #budget: DoorBudget;
  readonly #senders: SenderTrials;
  readonly #secondTries: SecondTries;
  readonly #parts = new PartSize();
  readonly #claims: ClaimsInHand;
  readonly #abort = new AbortController();
  /** Probes carry no mail: they are broken off at once where an attempt gets its grace. */
  readonly #abortProbe = new AbortController();
  /** Its mail may leave by other doors too. */
  #hasCompanions = false;
  #spills = false;
  /** Monotonic. */
  #spillAt = 0;
  /** We asked for a message to be tried with. */
  #hasInvited = false;
  /** Waiting at the last look, while the door was shut. */
  #waitingShut = 0;
  #ready: Claim[] = [];
  #underWay = 0;
  #reserved = 0;
  #settling = 0;
  /** More may be due than what we have claimed. */
  #backlog = false;
  #claiming = false;
  #probing = false;
  /** Before that mail may wait here already, but nothing goes out. */
  #started = false;
  #stopping = false;
  #failed = false;
  /** Nothing else is due before; a lower bound, so that 100,000 waiting need no memory here. */
  #nextDueAt: number | undefined;
  #wakeAt: number | undefined;
  #cancelWake: (() => void) | undefined;
  /** Who waits until nothing is under way: a reload that took the lane's place, and the end. */
  readonly #drained: (() => void)[] = [];
  #heir: ((dueAt: number) => void) | undefined;

  constructor(upstream: Upstream, budget: DoorBudget, options: LaneOptions) {
    this.name = upstream.name;
    this.#upstream = upstream;
    this.#options = options;
    this.#budget = budget;
    this.#door = new DoorKeeper(upstream.name, budget, options);
    this.#senders = new SenderTrials(upstream.name, options, (probes) => this.#door.probeDelayMs(probes));
    this.#secondTries = new SecondTries(upstream);
    this.#claims = new ClaimsInHand(options.clock);
    this.routesChanged();
    options.board.register(upstream.name, this.#gauge());
  }

  /** Looks at the routes again. */
  routesChanged(): void {
    const { router } = this.#options;
    this.#hasCompanions = router.companions(this.name).length > 0;
    this.#spills = router.spills(this.name);
  }

  /** What routes ask of this door. */
  #gauge(): DoorGauge {
    const isClosed = (): boolean => this.#door.isShut;
    const startable = (): number => (this.#door.state.kind === "waiting" ? 0 : left() === 0 ? 0 : this.#places().messages);
    const left = (): number => this.#places().recipients;
    return {
      get isClosed() {
        return isClosed();
      },
      get startable() {
        return startable();
      },
      get left() {
        return left();
      },
    };
  }

  /** What one message may have now: the door's limit, or what it turned out to take. */
  #recipientsPerMessage(): number {
    return Math.min(this.#upstream.limits.recipientsPerMessage, this.#parts.most(this.#options.clock.monotonic()));
  }

  #places(): Places {
    return this.#budget.limited ? this.#budget.places(this.#options.clock.monotonic()) : NO_LIMIT;
  }

  /** Why mail that has another door takes that one; undefined where it does not. */
  get shutBecause(): string | undefined {
    return this.#door.shutBecause;
  }

  // ---- starting and stopping ----

  /**
   * Takes up the hold of the last process, before mail is routed.
   *
   * @param announce - false where the same hold was told of before
   */
  restore(state: LaneState | undefined, announce = true): void {
    if (state?.hold !== undefined) this.#door.restore(state.hold, announce);
  }

  /** Takes up where the last process ended: a hold, what is due. The budgets are restored before. */
  async start(state: LaneState | undefined): Promise<void> {
    this.#started = true;
    this.#budget.onFree(() => this.#pump());
    if (state?.hold === undefined) void this.#tryDoor();
    this.#nextDueAt = state?.nextDueAt;
    if (state !== undefined) await this.#senders.find();
    this.#pump();
  }

  /**
   * A reload puts another lane into this one's place, or none. What is under way is finished, by the door as it was, and settled; what it tells about
   * the door is not acted on any more.
   *
   * @param heir - told when mail that goes back to the queue is due again
   * @returns resolves when nothing is under way
   */
  retire(heir: (dueAt: number) => void): Promise<void> {
    this.#heir = heir;
    this.#door.retire();
    return this.drain();
  }

  /** Something waits here that is due then. */
  dueAt(at: number): void {
    this.#noteDue(at);
    this.#pump();
  }

  /** Its door is not in the configuration any more. */
  forgetHold(): void {
    this.#door.forgetHold();
  }

  /** Places were promised to messages that are being accepted. */
  get hasReserved(): boolean {
    return this.#reserved > 0;
  }

  /** Resolves when all deliveries that are under way now are settled. */
  whenSettled(): Promise<void> {
    return this.#claims.whenSettled();
  }

  /** Takes nothing new, gives back what was not begun. Resolves when nothing is under way any more. */
  async drain(): Promise<void> {
    this.#stopping = true;
    this.#abortProbe.abort();
    this.#cancelWake?.();
    this.#cancelWake = undefined;
    this.#wakeAt = undefined;
    for (const claim of this.#ready.splice(0)) void this.#giveBack(claim);
    if (this.#failed || this.#isIdle()) return;
    await new Promise<void>((resolve) => this.#drained.push(resolve));
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
      !this.#senders.isBusy &&
      this.#settling === 0
    );
  }

  #checkIdle(): void {
    if (this.#drained.length > 0 && (this.#failed || this.#isIdle())) for (const resolve of this.#drained.splice(0)) resolve();
  }

  /** Why nothing goes out for the moment, where the door is not held. */
  get trouble(): DoorTrouble | undefined {
    return this.#door.trouble;
  }

  // ---- work comes in ----

  /** Something may be due earlier than we knew. */
  work(): void {
    if (this.#hasCompanions && this.#door.isShut) this.#workWhileShut();
    if (this.#backlog) return;
    this.#backlog = true;
    this.#pump();
  }

  /** Mail came to a closed door: the one we asked for, or one that came before its other doors knew. */
  #workWhileShut(): void {
    if (this.#hasInvited && !this.#options.board.isInvited(this.name)) {
      this.#hasInvited = false;
      void this.#probe();
    } else this.#options.doorChanged(this.name);
  }

  /** Does now what would be done later: a probe, a resumed trial. */
  kick(): void {
    if (!this.#started) return;
    this.#door.resume();
    this.#senders.hurry();
    if (this.#door.state.kind === "held") void this.#probe();
    this.#backlog = true;
    this.#pump();
  }

  /** Sees whose mail is still held by `sender`, after an operator acted on some. */
  async recount(): Promise<void> {
    if (!this.#started || this.#stopping) return;
    try {
      await this.#senders.recount();
    } catch (error) {
      this.#options.fail(error);
    }
  }

  /** See `ExpressLane`: only where nobody waits longer for the place. */
  reserve(recipients: number): number {
    if (this.#stopping || !this.#started || this.#backlog || this.#claiming || this.#door.state.kind !== "open") return 0;
    // As with claims that come from the queue, some may wait here for their place, in the order they came; else a commit is spent on each.
    const { connections } = this.#upstream.limits;
    const ahead = this.#budget.limited ? 0 : Math.min(connections, MOST_AHEAD);
    if (this.#underWay + this.#reserved + this.#ready.length >= connections + ahead || this.#settling >= MOST_SETTLING) return 0;
    if (this.#nextDueAt !== undefined && this.#nextDueAt <= this.#options.clock.now()) return 0;
    let places = Math.min(recipients, this.#recipientsPerMessage());
    if (this.#budget.limited) {
      const monotonic = this.#options.clock.monotonic();
      const left = this.#budget.places(monotonic);
      places = left.messages < 1 ? 0 : Math.min(places, left.recipients);
      if (places === 0 || this.#budget.slots(connections, this.#underWay, monotonic) <= this.#underWay) return 0;
      this.#budget.take(1, places);
    }
    this.#reserved += 1;
    return places;
  }

  deliver(claim: Claim): void {
    this.#reserved -= 1;
    if (claim.recipients.length >= this.#recipientsPerMessage()) this.#backlog = true;
    this.#claims.add(claim, this.#options.clockSteps.forwardMs());
    this.#ready.push(claim);
    this.#pump();
  }

  forget(recipients: number): void {
    this.#reserved -= 1;
    this.#budget.giveBack(1, recipients);
    this.#checkIdle();
    this.#pump();
  }

  /** Now and then: extends leases, and asks the queue what is due, should a wake-up have been lost. */
  maintain(state: LaneState | undefined): void {
    this.#claims.renew(this.#options.queue, this.#options.fail);
    if (this.#stopping) return;
    this.#noteDue(state?.nextDueAt);
    const waiting = state?.waiting ?? 0;
    // A lapsed lease, or an operator, may have put mail here that has another door.
    if (this.#hasCompanions && this.#door.isShut && waiting !== this.#waitingShut) this.#workWhileShut();
    this.#waitingShut = waiting;
    this.#pump();
  }

  #noteDue(at: number | undefined): void {
    if (at !== undefined) this.#heir?.(at);
    if (at !== undefined && (this.#nextDueAt === undefined || at < this.#nextDueAt)) this.#nextDueAt = at;
  }

  // ---- the pump: everything that may start, starts ----

  #pump(): void {
    if (this.#stopping) {
      for (const claim of this.#ready.splice(0)) void this.#giveBack(claim);
      this.#checkIdle();
      return;
    }
    if (!this.#started) return;
    const { clock } = this.#options;
    const now = clock.now();
    const { state } = this.#door;
    if (state.kind === "waiting" && state.until <= now) {
      // With other doors beside it no mail has to find out whether it can be reached.
      if (this.#hasCompanions && this.#door.isShut) void this.#tryAgain();
      else this.#door.resume();
    }
    this.#door.losePatience(now);
    if (state.kind === "held" || this.#door.state.kind === "waiting") for (const claim of this.#ready.splice(0)) void this.#giveBack(claim);
    const monotonic = clock.monotonic();
    if (state.kind === "held" && this.#probeAt(state.hold, now, monotonic) <= now && !this.#probing) void this.#probe();
    if (this.#nextDueAt !== undefined && this.#nextDueAt <= now) this.#backlog = true;

    const slots = this.#budget.slots(this.#door.slots(this.#upstream.limits.connections), this.#underWay, monotonic);
    if (this.#underWay < slots && this.#mayStart(monotonic)) {
      const sender = this.#senders.due(now);
      if (sender !== undefined) void this.#claimHeld(sender);
    }
    if (this.#spills) this.#spill(slots, monotonic);
    // What is ready has its place in the budget already.
    while (this.#ready.length > 0 && this.#underWay < slots) {
      const claim = this.#ready.shift();
      if (claim !== undefined) this.#startOrPutOff(claim, monotonic);
    }
    // Claims come in batches, because each call costs a commit: not before half of what is taken ahead is used up.
    const ahead = this.#budget.limited || this.#door.state.kind === "trial" ? 0 : Math.min(slots, MOST_AHEAD);
    if (this.#backlog && !this.#claiming && this.#ready.length <= ahead / 2 && this.#settling < MOST_SETTLING) {
      const room = slots + ahead - this.#underWay - this.#reserved - this.#ready.length;
      const left = this.#budget.limited ? this.#budget.places(monotonic) : NO_LIMIT;
      const limit = Math.min(room, left.messages);
      if (limit > 0 && left.recipients > 0) void this.#claim(limit, left.recipients);
    }
    this.#setWake(now);
  }

  /** Whether the budget has room for one more message. */
  #mayStart(monotonic: number): boolean {
    if (!this.#budget.limited) return true;
    const { messages, recipients } = this.#budget.places(monotonic);
    return messages > 0 && recipients > 0;
  }

  /** Offers what waits for the budget to other doors, where the route says so. */
  #spill(slots: number, monotonic: number): void {
    if (!this.#backlog && this.#ready.length === 0) this.#options.board.started(this.name);
    if (!this.#backlog || slots === 0 || this.#spillAt > monotonic || this.#mayStart(monotonic)) return;
    this.#spillAt = monotonic + SPILL_EVERY_MS;
    this.#options.spill(this.name);
  }

  /** Whether a held door may be tried with a message. Only its limits are in the way of that: a slower pace is for mail that flows. */
  #mayProbe(monotonic: number): boolean {
    return !this.#budget.limited || this.#budget.mayProbe(monotonic);
  }

  /** When a held door is tried: with mail, not before the budget has room. */
  #probeAt(hold: LaneHold, now: number, monotonic: number): number {
    if (hold.closedBy === undefined || this.#mayProbe(monotonic)) return hold.nextProbeAt;
    return Math.max(hold.nextProbeAt, now + Math.max(1, (this.#budget.probeAt(monotonic) ?? monotonic + NOT_GIVEN_MS) - monotonic));
  }

  /** Starts a claim in hand; back to the queue goes what the budget has no room for now that it is seen: recipients outside, octets. */
  #startOrPutOff(claim: Claim, monotonic: number): void {
    const waits = this.#budget.limited ? this.#budget.mustWait(claim.recipients, claim.message.sizeBytes, monotonic) : undefined;
    if (waits === undefined) void this.#attempt(claim, false);
    else void this.#giveBack(claim, waits);
  }

  /** One timer for everything this lane waits for. */
  #setWake(now: number): void {
    const { state } = this.#door;
    let at: number | undefined;
    if (state.kind === "waiting") at = this.#probing ? undefined : this.#door.looksAt;
    else if (state.kind === "held") at = this.#probing ? undefined : this.#probeAt(state.hold, now, this.#options.clock.monotonic());
    else if (this.#backlog || this.#ready.length > 0) {
      // With work at hand only the budget is left to wait for; places and commits wake the pump themselves.
      const monotonic = this.#options.clock.monotonic();
      const freeAt = this.#mayStart(monotonic) ? undefined : this.#budget.freeAt(monotonic);
      if (freeAt !== undefined) at = now + Math.max(1, freeAt - monotonic);
      if (at !== undefined && this.#spills && this.#spillAt > monotonic) at = Math.min(at, now + this.#spillAt - monotonic);
    } else at = this.#nextDueAt;
    // One that is due already waits for a place or for the budget, and both wake the pump.
    const probeAt = this.#senders.nextAt;
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

  /** @param left - recipients that the budget has left */
  async #claim(limit: number, left: number): Promise<void> {
    this.#claiming = true;
    this.#backlog = false;
    const { queue, clock, clockSteps } = this.#options;
    const recipientsPerMessage = this.#recipientsPerMessage();
    const forwardMs = clockSteps.forwardMs();
    const askedAt = clock.now();
    const budget = this.#budget;
    const asked = Math.min(left, limit * recipientsPerMessage);
    budget.take(limit, asked);
    const strict = budget.limited && budget.isLow(clock.monotonic());
    try {
      const claims = await queue.claim({
        lane: this.name,
        limit,
        recipientsPerMessage,
        leaseMs: LEASE_MS,
        // When little is left of a day, large senders come last.
        busyDevices: strict ? budget.senderShares(clock.monotonic()) : this.#claims.busyDevices,
        ...(budget.limited ? { budget: { recipients: asked, strict } } : {}),
      });
      const given = claims.reduce((sum, { recipients }) => sum + recipients.length, 0);
      budget.giveBack(limit - claims.length, asked - given);
      if (claims.length >= limit || given >= asked) this.#backlog = true;
      for (const claim of claims) {
        // A full claim may have left recipients of the same message behind.
        if (claim.recipients.length >= recipientsPerMessage) this.#backlog = true;
        this.#claims.add(claim, forwardMs);
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
    const { clock, clockSteps, retry, random } = this.#options;
    const generation = this.#door.generation;
    const startedAt = clock.now();
    const startedMonotonic = clock.monotonic();
    const cost = this.#budget.begin(claim.recipients, claim.message.sizeBytes);
    this.#underWay += 1;
    if (this.#spills) this.#options.board.started(this.name, 1);
    const { hostname, domains } = this.#options.reports;
    const force = this.#secondTries.has(claim.message.queueId) ? "rewrite" : undefined;
    const { facts, untried, senderIsOwn } = await attempt(
      claim,
      this.#upstream,
      { hostname, domains, force, lastDoor: this.#isLastDoor(claim) },
      this.#abort.signal,
    );
    this.#underWay -= 1;
    const sawMail = !untried && (facts.refusal === undefined || !isBeforeMail(facts.refusal.stage));
    const line = lineOf(claim.message.origin.device, claim.message.priority);
    const counted = this.#budget.end(cost, sawMail ? facts : undefined, line, startedMonotonic, clock.monotonic());
    try {
      const found = this.#judge(facts, claim, untried, senderIsOwn);
      const isSenderTrial = this.#senders.isTrial(claim);
      const judgement = await this.#door.apply(found, { claim, generation, isProbe, isSenderTrial });
      // What the door let go may be due now.
      if (isProbe) this.#backlog = true;
      const settled = settleAttempt(
        {
          claim,
          upstream: this.name,
          facts,
          judgement,
          startedAt,
          now: clock.now(),
          setForwardMs: clockSteps.forwardMs() - this.#claims.forwardMsOf(claim),
          doorOpensAt: this.#door.opensAt,
          counted,
          doorShut: this.#door.isShut,
          elsewhere: this.#elsewhere(claim),
        },
        retry,
        random,
      );
      await this.#write(claim, settled, { remote: facts.remote, lastAttemptAt: startedAt }, isSenderTrial);
      if (isSenderTrial) await this.#senders.tried(claim, !this.#failed && isDelivered(settled));
    } catch (error) {
      this.#claims.delete(claim);
      this.#options.fail(error);
    }
    this.#pump();
  }

  #judge(facts: AttemptFacts, claim: Claim, untried: boolean, senderIsOwn: boolean): Judgement {
    const { message, recipients } = claim;
    const addresses = recipients.map(({ address }) => address);
    const judgement = judge(facts, addresses, this.#context(message.reversePath), senderIsOwn);
    if (judgement.verdicts.some((verdict) => verdict.kind === "retry" && verdict.finding.split === true))
      this.#parts.refused(addresses.length, this.#options.clock.monotonic());
    if (untried) return { verdicts: judgement.verdicts, door: { kind: "unclear" } };
    const elsewhere = this.#elsewhere(claim);
    return this.#secondTries.apply(judgement, message, senderIsOwn, (position) => {
      const recipient = recipients[position];
      return judgement.verdicts[position]?.kind === "next" && recipient?.ambiguous === false && elsewhere.refused(recipient) !== undefined;
    });
  }

  /** The other doors of a claim's recipients. */
  #elsewhere(claim: Claim): Elsewhere {
    const { router, fallbackAfterMs } = this.#options;
    if (!this.#hasCompanions && claim.message.via === undefined) return NOWHERE;
    const another = ({ address, passed, ambiguous }: ClaimedRecipient, orClosed: boolean): string | undefined =>
      router.another(claim.message, address, { lane: this.name, passed, ambiguous }, orClosed);
    return { refused: (recipient) => another(recipient, true), open: (recipient) => another(recipient, false), fallbackAfterMs };
  }

  /** Only Graph does differently where nobody else can: no other door is asked about its companions for each message. */
  #isLastDoor(claim: Claim): boolean {
    if (this.#upstream.type !== "graph") return false;
    const elsewhere = this.#elsewhere(claim);
    return claim.recipients.some((recipient) => elsewhere.refused(recipient) === undefined);
  }

  #context(sender: string): JudgeContext {
    const { domains } = this.#options.reports;
    const isInternal = (address: string): boolean => isInternalDomain(splitAddress(address).domain, domains);
    return contextOf(this.#upstream, { sender, isInternal });
  }

  async #write(claim: Claim, settled: Settled, attempted: AttemptedBy, isSenderTrial: boolean): Promise<void> {
    if (this.#failed) return;
    this.#settling += 1;
    try {
      await writeOutcome(this.#options, claim, settled, attempted, isSenderTrial);
      this.#claims.delete(claim);
      for (const settlement of settled.settlements.values())
        if (settlement.kind === "deferred" || settlement.kind === "returned") this.#noteDue(settlement.dueAt);
      this.#senders.notice(claim.message, settled.events);
    } finally {
      this.#settling -= 1;
    }
  }

  /**
   * Back to the queue untried; of a closed door to another one, or to what it holds.
   *
   * @param waits - by index, recipients that are not due at once again
   */
  async #giveBack(claim: Claim, waits?: ReadonlyMap<number, number>): Promise<void> {
    const { state, shutBecause } = this.#door;
    const now = this.#options.clock.now();
    this.#budget.giveBack(1, claim.recipients.length);
    const isSenderTrial = this.#senders.isTrial(claim);
    const elsewhere = this.#elsewhere(claim);
    const moved: PosternEvent[] = [];
    const settlementOf = (recipient: ClaimedRecipient): Settlement => {
      const { address, index, ambiguous } = recipient;
      const lane = shutBecause === undefined || isSenderTrial || ambiguous ? undefined : elsewhere.open(recipient);
      if (lane !== undefined && shutBecause !== undefined) {
        const { queueId } = claim.message;
        moved.push({ type: "recipient.moved", queueId, recipient: address, from: this.name, to: lane, cause: shutBecause });
        return { kind: "moved", lane, dueAt: now, cause: shutBecause, passed: false };
      }
      return state.kind === "held" && !isSenderTrial
        ? { kind: "held", by: "upstream", cause: state.hold.cause }
        : { kind: "returned", dueAt: now + (waits?.get(index) ?? 0) };
    };
    this.#settling += 1;
    try {
      const settlements = new Map(claim.recipients.map((recipient) => [recipient.index, settlementOf(recipient)]));
      await this.#options.queue.settle({ claim, settlements });
      for (const event of moved) this.#options.emit(event);
      if (isSenderTrial) await this.#senders.tried(claim, false);
      if (waits === undefined || waits.size < claim.recipients.length) this.#backlog = true;
      for (const wait of waits?.values() ?? []) this.#noteDue(now + wait);
      if (waits === undefined) this.#heir?.(now);
    } catch (error) {
      this.#options.fail(error);
    } finally {
      this.#settling -= 1;
      this.#claims.delete(claim);
      this.#checkIdle();
      if (waits !== undefined) this.#pump();
    }
  }

  // ---- the door ----

  /** Tries a held door: by connecting where that is what failed, else with one message. */
  async #probe(): Promise<void> {
    const { state } = this.#door;
    if (state.kind !== "held" || this.#probing || this.#stopping) return;
    if (state.hold.closedBy !== undefined && !this.#mayProbe(this.#options.clock.monotonic())) return;
    this.#probing = true;
    try {
      if (state.hold.closedBy === undefined) {
        const refusal = await this.#connect();
        if (this.#stopping) return;
        if (refusal === undefined) {
          await this.#door.release();
          this.#backlog = true;
        } else await this.#door.stayClosed(judgeRefusal(refusal, this.#context("")), undefined);
      } else {
        const claim = await this.#takeOne((most) => this.#options.queue.claimProbe(this.name, most, LEASE_MS));
        if (claim === undefined) await this.#probeWithoutMail();
        else await this.#attempt(claim, true);
      }
    } catch (error) {
      this.#options.fail(error);
    } finally {
      this.#probing = false;
    }
    this.#pump();
  }

  /** One message besides the usual claims, with its place in the budget. @param claim - called with the most recipients it may have */
  async #takeOne(claim: (recipients: number) => Promise<Claim | undefined>): Promise<Claim | undefined> {
    const recipientsPerMessage = this.#recipientsPerMessage();
    const left = this.#budget.limited ? this.#budget.places(this.#options.clock.monotonic()).recipients : Infinity;
    const most = Math.min(recipientsPerMessage, left);
    const forwardMs = this.#options.clockSteps.forwardMs();
    this.#budget.take(1, most);
    const taken = await claim(most);
    if (taken === undefined) this.#budget.giveBack(1, most);
    else {
      this.#budget.giveBack(0, most - taken.recipients.length);
      this.#claims.add(taken, forwardMs);
    }
    return taken;
  }

  /** Tries the door without mail: one of its connections while it lasts. */
  async #connect(): Promise<Refusal | undefined> {
    this.#budget.connected();
    try {
      return await this.#upstream.probe(this.#abortProbe.signal);
    } finally {
      this.#budget.disconnected();
    }
  }

  /** Nothing waits that a held door could be tried with. Where mail flows by other doors it would stay closed for ever: it asks for a message. */
  async #probeWithoutMail(): Promise<void> {
    const refusal = this.#hasCompanions ? await this.#connect() : undefined;
    if (this.#stopping) return;
    await this.#door.stayClosed(refusal === undefined ? undefined : judgeRefusal(refusal, this.#context("")), undefined);
    if (!this.#hasCompanions || refusal !== undefined) return;
    this.#hasInvited = true;
    this.#options.board.invite(this.name);
    this.#options.invite(this.name);
  }

  /** The pause of an unreachable door is over: it is tried by connecting. */
  async #tryAgain(): Promise<void> {
    if (this.#probing) return;
    this.#probing = true;
    try {
      const refusal = await this.#connect();
      if (this.#stopping || this.#door.state.kind !== "waiting") return;
      if (refusal === undefined) this.#door.resume();
      else await this.#shutBy(refusal);
    } catch (error) {
      this.#options.fail(error);
    } finally {
      this.#probing = false;
    }
    this.#pump();
  }

  async #shutBy(refusal: Refusal): Promise<void> {
    const finding = judgeRefusal(refusal, this.#context(""));
    if (finding.outcome === "hold") await this.#door.close(finding, undefined);
    else this.#door.wait({ kind: finding.outcome === "slow" ? "slow" : "pause", finding });
  }

  /** Takes one message of a held sender, to go out before all others. */
  async #claimHeld(sender: string): Promise<void> {
    try {
      const claim = await this.#takeOne((most) => this.#senders.take(sender, most));
      if (claim !== undefined) this.#ready.unshift(claim);
    } catch (error) {
      this.#options.fail(error);
    }
    this.#pump();
  }

  /**
   * At start: a door whose secret, certificate or key is missing is to be held with an alarm before the first mail comes, not by it. Where Microsoft
   * may refuse a sign-in, that is found out as well; to other next hops no connection is made that nobody needs.
   */
  async #tryDoor(): Promise<void> {
    const signsIn = this.#upstream.type === "smtp-auth" || this.#upstream.type === "graph";
    if (!signsIn && this.#upstream.prepare === undefined) return;
    this.#probing = true;
    try {
      const refusal = await (signsIn ? this.#connect() : this.#upstream.prepare?.(this.#abortProbe.signal));
      if (refusal !== undefined && !this.#stopping && this.#door.state.kind === "open") await this.#shutBy(refusal);
    } catch (error) {
      this.#options.fail(error);
    } finally {
      this.#probing = false;
    }
    this.#pump();
  }
}

function isDelivered(settled: Settled): boolean {
  return settled.events.some((event) => event.type === "recipient.delivered");
}
