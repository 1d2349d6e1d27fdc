/** The deliverer: one lane for each upstream, what they share, and their beginning and end. */
import type { Language } from "../dsn/words.ts";
import type { Emit } from "../mail/events.ts";
import type { Envelope } from "../mail/message.ts";
import type { Clock } from "../platform/clock.ts";
import { ClockSteps } from "../platform/clock-steps.ts";
import type { ActResult, Claim, DeliveryQueue, ExpressLane, QueueFilter } from "../queue/queue.ts";
import type { Upstream } from "../upstream/upstream.ts";
import { Budgets } from "./budget/budgets.ts";
import type { BudgetLevel, Places } from "./budget/door-budget.ts";
import type { DoorTrouble } from "./door.ts";
import type { DoorBoard } from "./door-board.ts";
import { Fallback } from "./fallback.ts";
import { GivingUp } from "./giving-up.ts";
import { LEASE_MS } from "./claims-in-hand.ts";
import { Lane } from "./lane.ts";
import type { LaneOptions } from "./lane-options.ts";
import type { ReportDoors, ReportOptions } from "./reports.ts";
import type { RetryPolicy } from "./retry.ts";
import type { Router } from "./routes.ts";
import { Teller } from "./teller.ts";

/** What the deliverer is made of. */
export interface DelivererOptions extends DelivererSettings {
  readonly queue: DeliveryQueue;
  /** By name, which is the lane's. Every name that `route` gives must be here. Looked at again by `update`. */
  readonly upstreams: ReadonlyMap<string, Upstream>;
  /** What the queue routes with. */
  readonly router: Router;
  /** What `router` asks about the doors: the deliverer fills it. */
  readonly board: DoorBoard;
  /** Our name in reports. */
  readonly hostname: string;
  readonly emit: Emit;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
}

/** What a reload may change, besides doors and routes. */
export interface DelivererSettings {
  readonly retry: RetryPolicy;
  /** `retry.fallback_after`: a door may put a recipient off for so long before another one of its route gets it. */
  readonly fallbackAfterMs: number;
  /** `organization.domains`. */
  readonly domains: readonly string[];
  readonly postmaster: string;
  /** Senders given to devices that have none: no report is sent there. */
  readonly fallbackSenders: readonly string[];
  readonly bounces: { readonly to: "sender" | "postmaster" | "both"; readonly language?: Language | undefined };
  /** IANA name for the dates in reports; undefined: the system's. */
  readonly timeZone: string | undefined;
}

/** Delivers what is due until it is stopped. */
export interface Deliverer {
  /**
   * Routes what waits by the present configuration, takes up holds and budgets from the queue, and begins.
   *
   * @throws what the queue throws
   */
  start(): Promise<void>;
  /**
   * Takes nothing new, waits at most `graceMs` for attempts under way, then breaks them off; those go back to the queue untried, or as
   * ambiguous where the whole message was sent. Resolves when all is settled. The queue must stay open until then.
   */
  stop(graceMs: number): Promise<void>;
  /**
   * Takes up a reload: `upstreams` and `router` have changed already. A door that is new begins, one that changed goes on with what waits for it while
   * the old one finishes what is under way, and of one that is gone the mail is routed anew.
   *
   * @param changed - names of doors that are other ones now
   * @param rerouted - what waits may have another way now
   * @returns doors as they were, by name: each resolves when nothing is under way by it
   * @throws what the queue throws
   */
  update(settings: DelivererSettings, changed: ReadonlySet<string>, rerouted: boolean): Promise<ReadonlyMap<string, Promise<void>>>;
  /**
   * An operator gives up what waits of what a filter names: it ends as `bounced`, with a report as for any failure.
   *
   * @param by - the operator
   * @throws PosternError E_UNAVAILABLE when the end begins meanwhile; what the queue throws. Every message is given up whole or waits as before
   */
  giveUp(filter: QueueFilter, by: string): Promise<ActResult>;
  /** Tries a door now that waits for later: all of them without a name. */
  kick(upstream?: string): void;
  /** Mail was released, held back or ended by an operator: ends the alarms of senders of whom nothing is held any more. */
  recount(): Promise<void>;
  /** Doors that let nothing out for the moment, by name, with the cause. Those that are held are told by the queue. */
  troubles(): ReadonlyMap<string, DoorTrouble>;
  /** What is left of every limit that is kept. */
  budgets(): readonly BudgetLevel[];
  /** Doors that go slower because they were throttled. */
  slowed(): ReadonlyMap<string, SlowedDoor>;
  /** What may start by a door now: Infinity where it has no limit. For spreading mail over several doors. */
  remaining(upstream: string): Places;
  /** Resolves when the queue failed us and nothing is delivered any more: the process must then restart. Never resolves otherwise. */
  readonly failed: Promise<Error>;
}

/** A door after a throttling. */
export interface SlowedDoor {
  /** Part of its rate that it uses: 0.5, 0.25 or 0.125. */
  readonly factor: number;
  /** When it is back at its full rate, should it not be throttled again; ms since the epoch. */
  readonly until: number;
}

/** How often leases and due times are looked after. */
const MAINTENANCE_MS = LEASE_MS / 6;
/** After breaking attempts off, how long they may take to notice; what is left then is recovered at the next start. */
const ABORT_MS = 5_000;

/** Waiting mail after a reload. */
const RELOADED = { cause: "the routes were chosen anew after a reload", dueNow: true };

export function createDeliverer(options: DelivererOptions): Deliverer {
  return new LaneScheduler(options);
}

class LaneScheduler implements Deliverer, ExpressLane {
  readonly failed: Promise<Error>;
  readonly #options: DelivererOptions;
  readonly #lanes = new Map<string, Lane>();
  /** Lanes that a reload replaced or removed, until nothing is under way by them. */
  readonly #retired = new Set<Lane>();
  /** Lanes without a door whose mail is being routed anew; true when more came meanwhile. */
  readonly #strays = new Map<string, boolean>();
  readonly #budgets: Budgets;
  readonly #teller: Teller;
  readonly #givingUp: GivingUp;
  /** The same objects for all lanes, changed in place by a reload. */
  readonly #reports: Mutable<ReportOptions>;
  readonly #shared: Mutable<LaneOptions>;
  readonly #reportFailure: (error: Error) => void;
  #cancelMaintenance: (() => void) | undefined;
  readonly #clockSteps: ClockSteps;
  readonly #fallback: Fallback;
  #started = false;
  #stopped = false;

  constructor(options: DelivererOptions) {
    this.#options = options;
    const failure = Promise.withResolvers<Error>();
    this.failed = failure.promise;
    this.#reportFailure = failure.resolve;
    const { queue, upstreams, emit, clock, random, domains, hostname } = options;
    const reports: ReportOptions = { ...reportSettings(options), hostname };
    const { router, board } = options;
    const doors: ReportDoors = {
      route: (envelope: Envelope, recipient: string) => router.usual(envelope, recipient),
      mailboxOf: (lane: string) => upstreams.get(lane)?.mailbox,
      signInOf: (lane: string) => upstreams.get(lane)?.signInFrom,
      get mailboxes() {
        return [...upstreams.values()].flatMap((upstream) => upstream.mailbox ?? []);
      },
    };
    const fail = (error: unknown): void => this.#fail(error);
    this.#reports = reports;
    this.#teller = new Teller({ queue, reports, doors, emit, clock, fail });
    this.#givingUp = new GivingUp({ queue, teller: this.#teller, reports, emit });
    this.#fallback = new Fallback({ queue, router, board, because: (lane) => this.#lanes.get(lane)?.shutBecause });
    this.#clockSteps = new ClockSteps(clock, (byMs) => void this.#clockStepped(byMs));
    this.#shared = {
      queue,
      retry: options.retry,
      reports,
      teller: this.#teller,
      router,
      board,
      fallbackAfterMs: options.fallbackAfterMs,
      emit,
      clock,
      clockSteps: this.#clockSteps,
      random,
      doorChanged: (lane) => this.#moveBy(() => this.#fallback.doorChanged(lane)),
      spill: (lane) => this.#moveBy(() => this.#fallback.spill(lane)),
      invite: (lane) => this.#moveBy(() => this.#fallback.invite(lane)),
      fail,
    };
    this.#budgets = new Budgets({ upstreams: [...upstreams.values()], domains, emit, clock });
    for (const upstream of upstreams.values()) this.#addLane(upstream);
  }

  #addLane(upstream: Upstream): Lane {
    const lane = new Lane(upstream, this.#budgets.door(upstream.name), this.#shared);
    this.#lanes.set(upstream.name, lane);
    return lane;
  }

  async start(): Promise<void> {
    const { queue } = this.#options;
    await this.#budgets.restore(queue);
    for (const state of await queue.lanes()) this.#lanes.get(state.lane)?.restore(state);
    await queue.reroute();
    const states = new Map((await queue.lanes()).map((state) => [state.lane, state]));
    this.#started = true;
    queue.onWork((name) => {
      const lane = this.#lanes.get(name);
      if (lane === undefined) this.#routeAnew(name);
      else lane.work();
    });
    await this.#teller.start();
    for (const lane of this.#lanes.values()) await lane.start(states.get(lane.name));
    queue.setExpress(this);
    this.#scheduleMaintenance();
    this.#clockSteps.watch();
  }

  async stop(graceMs: number): Promise<void> {
    const { queue, clock } = this.#options;
    this.#stopped = true;
    this.#cancelMaintenance?.();
    this.#clockSteps.end();
    queue.setExpress(undefined);
    const lanes = [...this.#lanes.values(), ...this.#retired];
    const drained = Promise.all(lanes.map((lane) => lane.drain()));
    const cancelGrace = clock.after(graceMs, () => {
      for (const lane of lanes) lane.abort();
    });
    const tooLong = Promise.withResolvers<void>();
    const cancelTooLong = clock.after(graceMs + ABORT_MS, tooLong.resolve);
    await Promise.race([Promise.all([drained, this.#teller.stop(), this.#givingUp.stop()]), tooLong.promise]);
    cancelGrace();
    cancelTooLong();
  }

  async update(settings: DelivererSettings, changed: ReadonlySet<string>, rerouted: boolean): Promise<ReadonlyMap<string, Promise<void>>> {
    const { queue, upstreams, board } = this.#options;
    Object.assign(this.#reports, reportSettings(settings));
    Object.assign(this.#shared, { retry: settings.retry, fallbackAfterMs: settings.fallbackAfterMs });
    // Up to the first wait nothing comes between: from one moment to the next there are other lanes.
    const { renewed, fresh } = this.#budgets.update([...upstreams.values()], settings.domains, changed);
    const before = new Map(this.#lanes);
    const ended = new Map<string, Promise<void>>();
    const begun: Lane[] = [];
    for (const [name, lane] of before) {
      const upstream = upstreams.get(name);
      if (upstream === undefined) {
        this.#lanes.delete(name);
        board.remove(name);
        lane.forgetHold();
        ended.set(
          name,
          this.#retire(lane, () => this.#routeAnew(name)),
        );
      } else if (renewed.has(name)) {
        const next = this.#addLane(upstream);
        begun.push(next);
        ended.set(
          name,
          this.#retire(lane, (dueAt) => next.dueAt(dueAt)),
        );
      } else lane.routesChanged();
    }
    for (const upstream of upstreams.values()) if (!before.has(upstream.name)) begun.push(this.#addLane(upstream));
    const underWay = [...this.#lanes.values()].filter((lane) => !begun.includes(lane)).map((lane) => lane.whenSettled());

    await this.#budgets.restore(queue, fresh);
    const held = await queue.lanes();
    for (const lane of begun)
      lane.restore(
        held.find((state) => state.lane === lane.name),
        !before.has(lane.name),
      );
    if (rerouted) await queue.reroute(RELOADED);
    const states = new Map((await queue.lanes()).map((state) => [state.lane, state]));
    if (!this.#stopped) {
      for (const lane of begun) {
        await lane.start(states.get(lane.name));
        // Whoever changes a held door has repaired it, or tries to: it is found out now.
        if (states.get(lane.name)?.hold !== undefined) lane.kick();
      }
    }
    // What was being delivered stays with its door, and goes by the new way if it has to be tried again.
    if (rerouted && underWay.length > 0)
      void Promise.all(underWay).then(() => this.#moveBy(async () => void (await queue.reroute(RELOADED))));
    return ended;
  }

  /** @returns resolves when nothing is under way by it any more */
  async #retire(lane: Lane, heir: (dueAt: number) => void): Promise<void> {
    this.#retired.add(lane);
    await lane.retire(heir);
    this.#retired.delete(lane);
  }

  /** Mail is on a lane that has no door any more. */
  #routeAnew(lane: string): void {
    if (this.#strays.has(lane)) {
      this.#strays.set(lane, true);
      return;
    }
    this.#strays.set(lane, false);
    this.#moveBy(async () => {
      try {
        do {
          this.#strays.set(lane, false);
          await this.#options.queue.reroute({ lane, cause: `upstream ${lane} is not in the configuration any more` });
        } while (this.#strays.get(lane) === true);
      } finally {
        this.#strays.delete(lane);
      }
    });
  }

  giveUp(filter: QueueFilter, by: string): Promise<ActResult> {
    return this.#givingUp.giveUp(filter, by);
  }

  kick(upstream?: string): void {
    if (this.#stopped) return;
    for (const lane of this.#lanes.values()) if (upstream === undefined || lane.name === upstream) lane.kick();
  }

  async recount(): Promise<void> {
    if (this.#stopped) return;
    await Promise.all([...this.#lanes.values()].map((lane) => lane.recount()));
  }

  troubles(): ReadonlyMap<string, DoorTrouble> {
    return new Map([...this.#lanes.values()].flatMap(({ name, trouble }) => (trouble === undefined ? [] : [[name, trouble] as const])));
  }

  budgets(): readonly BudgetLevel[] {
    return this.#budgets.levels();
  }

  slowed(): ReadonlyMap<string, SlowedDoor> {
    const { clock } = this.#options;
    const monotonic = clock.monotonic();
    const slowed = new Map<string, SlowedDoor>();
    for (const name of this.#lanes.keys()) {
      const budget = this.#budgets.door(name);
      const until = budget.slowUntil(monotonic);
      if (until !== undefined) slowed.set(name, { factor: budget.factor(monotonic), until: clock.now() + until - monotonic });
    }
    return slowed;
  }

  remaining(upstream: string): Places {
    return this.#budgets.remaining(upstream);
  }

  // ---- ExpressLane ----

  reserve(lane: string, _envelope: Envelope, recipients: number): number {
    return this.#lanes.get(lane)?.reserve(recipients) ?? 0;
  }

  deliver(claim: Claim): void {
    this.#promised(claim.lane)?.deliver(claim);
  }

  forget(lane: string, recipients: number): void {
    this.#promised(lane)?.forget(recipients);
  }

  /** The lane that a place was reserved on: commits come back in their order, so one that was replaced meanwhile comes first. */
  #promised(name: string): Lane | undefined {
    for (const lane of this.#retired) if (lane.name === name && lane.hasReserved) return lane;
    return this.#lanes.get(name);
  }

  /** Moves mail between lanes, unless the end has begun: what is left out is found at the next start. */
  #moveBy(move: () => Promise<void>): void {
    if (this.#stopped || !this.#started) return;
    move().catch((error: unknown) => this.#fail(error));
  }

  /** Doors wait until a time of day, which may lie hours ahead now: they are tried at once. */
  async #clockStepped(byMs: number): Promise<void> {
    this.#options.emit({ type: "clock.stepped", byMs });
    try {
      const written = this.#options.queue.clockStepped(byMs);
      // A full disk keeps it from being written, and no door from being tried.
      this.kick();
      await written;
      this.#teller.clockStepped();
      if (!this.#stopped) for (const lane of this.#lanes.values()) lane.work();
    } catch (error) {
      this.#fail(error);
    }
  }

  #scheduleMaintenance(): void {
    if (this.#stopped) return;
    this.#cancelMaintenance = this.#options.clock.after(MAINTENANCE_MS, () => void this.#maintain());
  }

  /** One timer for all lanes and all leases. */
  async #maintain(): Promise<void> {
    try {
      const states = new Map((await this.#options.queue.lanes()).map((state) => [state.lane, state]));
      for (const lane of this.#lanes.values()) lane.maintain(states.get(lane.name));
      for (const lane of this.#retired) lane.maintain(undefined);
      this.#teller.maintain();
      this.#budgets.watch();
      this.#scheduleMaintenance();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (!this.#stopped) this.#options.queue.setExpress(undefined);
    this.#stopped = true;
    this.#cancelMaintenance?.();
    this.#clockSteps.end();
    void this.#teller.stop();
    for (const lane of [...this.#lanes.values(), ...this.#retired]) lane.halt();
    this.#reportFailure(error instanceof Error ? error : new Error(String(error)));
  }
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

function reportSettings(settings: DelivererSettings): Omit<ReportOptions, "hostname"> {
  const { postmaster, fallbackSenders, domains, timeZone } = settings;
  const { to, language = "en" } = settings.bounces;
  return { to, language, postmaster, fallbackSenders, domains, timeZone };
}
