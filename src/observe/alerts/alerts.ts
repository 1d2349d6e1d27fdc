/**
 * Alerts as one thing: stages say what is the matter, a look every minute finds the rest; each is told once when it begins, daily while it
 * lasts, and once when it is over, in the log and by every way that is configured. What is open outlives the process.
 */
import type { Emit, PosternEvent } from "../../mail/events.ts";
import { describeError } from "../../mail/errors.ts";
import type { Clock } from "../../platform/clock.ts";
import { WAYS } from "./alert.ts";
import type { Condition, Notice, OpenAlert, Owed, Way, WayTested } from "./alert.ts";
import { AlertBook } from "./book.ts";
import { look } from "./look.ts";
import type { Snapshot } from "./look.ts";
import { dropped, Outbox } from "./outbox.ts";
import type { Carrier } from "./outbox.ts";
import { RefusalCount } from "./refusals.ts";
import { AlertStore } from "./store.ts";

const LOOK_MS = 60_000;

/** Who carries notices, by way; a way that is not here is not configured. */
export type Ways = Readonly<Partial<Record<Way, Carrier>>>;

export interface AlertsOptions {
  /** `data_dir`/deliver. */
  readonly directory: string;
  /** What was open before a start counts as over when it was not met for so long, in ms; longer than the owners' schedules. */
  readonly graceMs: number;
  /** Besides the log. */
  readonly ways: Ways;
  /** Where the events about alerts go. */
  readonly emit: Emit;
  readonly clock: Clock;
}

/** Figures that the daemon brings for a look. */
export type Figures = Omit<Snapshot, "now" | "refused" | "countedMs">;

/** The kind of a notice that means nothing. */
const TEST = "test";

/** Raised by an upstream about itself. */
const OF_ITSELF: ReadonlySet<string> = new Set(["upstream.configuration", "upstream.sign-in", "upstream.certificate"]);

/** Whether an alert is about this upstream alone. */
export function isAbout({ alert, subject }: Pick<OpenAlert, "alert" | "subject">, upstream: string): boolean {
  if (alert.startsWith("upstream.") || alert === "credential.expiring") return subject === upstream;
  return (alert === "sender.held" || alert === "budget.low") && subject.startsWith(`${upstream} `);
}

export class Alerts {
  readonly #options: AlertsOptions;
  readonly #book: AlertBook;
  readonly #store: AlertStore;
  readonly #outboxes = new Map<Way, Outbox>();
  readonly #refusals = new RefusalCount();
  readonly #startedAt: number;
  #figures: (() => Promise<Figures>) | undefined;
  #cancel: (() => void) | undefined;
  #looking: Promise<void> | undefined;
  /** Attempts of ways that a reload took away. */
  #ending: Promise<unknown> = Promise.resolve();
  #started = false;
  #stopped = false;

  constructor(options: AlertsOptions) {
    const { clock, emit, directory, ways } = options;
    this.#options = options;
    this.#startedAt = clock.monotonic();
    this.#book = new AlertBook(options.graceMs);
    this.#store = new AlertStore(
      directory,
      () => ({ open: this.#book.list(), owed: Object.fromEntries([...this.#outboxes].map(([way, { owed }]) => [way, owed])) }),
      // Not an alert: it could not be kept either.
      (text) => emit({ type: "alert.file.failed", cause: text }),
    );
    for (const way of WAYS) {
      const carrier = ways[way];
      if (carrier !== undefined) this.#open(way, carrier);
    }
  }

  #open(way: Way, carrier: Carrier): Outbox {
    const { clock, emit } = this.#options;
    const outbox = new Outbox({ way, clock, emit, changed: () => this.#store.changed() }, carrier);
    this.#outboxes.set(way, outbox);
    return outbox;
  }

  /** Takes up what is known from before. Never rejects. */
  async load(): Promise<void> {
    const { open, owed } = await this.#store.load();
    this.#book.restore(open, this.#options.clock.now());
    for (const way of WAYS) {
      const outbox = this.#outboxes.get(way);
      if (outbox === undefined) this.#dropAll(way, owed[way] ?? []);
      else outbox.restore(owed[way] ?? []);
    }
  }

  /** Begins to look and to notify. */
  start(figures: () => Promise<Figures>): void {
    this.#figures = figures;
    this.#started = true;
    for (const outbox of this.#outboxes.values()) outbox.start();
    this.#plan(0);
  }

  /** Everything runs: what the process before left open, and the start shows to be over, is told as over. */
  settled(): void {
    for (const notice of this.#book.started(this.#options.clock.now())) this.#tell(notice);
  }

  /**
   * Looks and tries no more: what is raised from now on is told by the next process. Resolves when the look and the attempts under way have ended,
   * which need the queue.
   */
  async end(): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
    await this.#looking;
    await Promise.all([this.#ending, ...[...this.#outboxes.values()].map((outbox) => outbox.stop())]);
  }

  /** Ends, and writes what is not written. */
  async stop(): Promise<void> {
    await this.end();
    await this.#store.settled();
  }

  /**
   * Takes up a reload. What waits for a way goes by its new carrier at once; what waits for one that is gone goes by those that are new, and is
   * dropped where there is none: the others were told of it.
   */
  update(ways: Ways): void {
    const gone: [Way, readonly Owed[]][] = [];
    const begun: Outbox[] = [];
    for (const way of WAYS) {
      const outbox = this.#outboxes.get(way);
      const carrier = ways[way];
      if (carrier === undefined) {
        if (outbox === undefined) continue;
        this.#outboxes.delete(way);
        gone.push([way, outbox.owed]);
        this.#ending = Promise.all([this.#ending, outbox.stop()]);
      } else if (outbox === undefined) begun.push(this.#open(way, carrier));
      else outbox.replace(carrier);
    }
    for (const outbox of begun) {
      for (const [, owed] of gone) outbox.restore(owed);
      if (this.#started && !this.#stopped) outbox.start();
    }
    if (begun.length === 0) for (const [way, owed] of gone) this.#dropAll(way, owed);
    this.#store.changed();
  }

  #dropAll(way: Way, owed: readonly Owed[]): void {
    for (const one of owed) this.#options.emit(dropped(way, one, `alerts.${way} is not in the configuration any more`));
  }

  /** Sends a notice that means nothing by every way, now. It is not kept and not tried again. */
  async test(by: string): Promise<readonly WayTested[]> {
    const now = this.#options.clock.now();
    const text = `this is a test: ${by} wants to know whether alerts arrive. Nothing is the matter`;
    const alert: OpenAlert = { alert: TEST, subject: by, text, severity: "info", since: now, toldAt: now, metAt: now };
    const notice: Notice = { state: "raised", alert, at: now };
    return await Promise.all([...this.#outboxes].map(async ([way, outbox]) => ({ way, carried: await outbox.carryNow(notice) })));
  }

  /** What is open, the oldest first. */
  list(): readonly OpenAlert[] {
    return this.#book.list();
  }

  /**
   * A reload made upstreams anew, or took them away: those that raised their alerts are gone. What is still wrong is raised by the new ones. That
   * a door or a sender is held outlives the making anew.
   *
   * @param remade - names of upstreams whose new self had nothing to complain about
   */
  upstreamsChanged(remade: readonly string[], removed: readonly string[]): void {
    const isGone = (open: OpenAlert): boolean =>
      removed.some((name) => isAbout(open, name)) || (OF_ITSELF.has(open.alert) && remade.includes(open.subject));
    for (const notice of this.#book.drop(isGone, this.#options.clock.now())) this.#tell(notice);
  }

  /** Takes every event of the process but those of this class. True when it was about an alert, and is told here. Never throws. */
  observe(event: PosternEvent): boolean {
    const now = this.#options.clock.now();
    switch (event.type) {
      case "alert.raised":
        this.#raise(event, now);
        return true;
      case "alert.cleared":
        this.#tell(this.#book.clear(event.alert, event.subject, now));
        return true;
      case "session.rejected":
        if (event.reason === "unlisted") this.#refusals.note(event.device, this.#options.clock.monotonic());
        return false;
      case "queue.failed":
        this.#raise(
          {
            alert: "spool.failed",
            subject: "queue",
            text: `the queue's file ${event.damaged ? "is damaged, and the relay ended" : "could not be used, and the relay starts anew"}: ${event.cause}`,
            remedy: event.damaged
              ? "Move the folder of the queue aside and start the relay: devices are served again; docs/operations.md says how to get at what waited"
              : "Look at the disk of data_dir: space, rights, and its errors in the system's log",
          },
          now,
        );
        return false;
      case "queue.full":
        if (this.#figures !== undefined) this.#plan(0);
        return false;
      case "recipient.delivered":
      case "recipient.bounced":
      case "recipient.expired":
      case "recipient.deleted":
        if (this.#book.size > 0) this.#tell(this.#book.clear("message.corrupt", event.queueId, now));
        return false;
      default:
        return false;
    }
  }

  #raise(condition: Condition, now: number): void {
    this.#tell(this.#book.raise(condition, now));
    // The text of what is known may have changed.
    this.#store.changed();
  }

  #tell(notice: Notice | undefined): void {
    if (notice === undefined) return;
    const { alert, subject, text, remedy, severity, since } = notice.alert;
    const { emit } = this.#options;
    if (notice.state === "raised") emit({ type: "alert.raised", alert, subject, text, remedy, severity });
    else if (notice.state === "repeated") emit({ type: "alert.repeated", alert, subject, text, remedy, severity, since });
    else emit({ type: "alert.cleared", alert, subject });
    // What the full book does not keep is in the log only.
    if (notice.state === "cleared" || this.#book.has(alert, subject)) for (const outbox of this.#outboxes.values()) outbox.notify(notice);
    this.#store.changed();
  }

  #plan(ms: number): void {
    this.#cancel?.();
    if (this.#stopped) return;
    this.#cancel = this.#options.clock.after(ms, () => {
      this.#looking = this.#look().finally(() => this.#plan(LOOK_MS));
    });
  }

  async #look(): Promise<void> {
    const { clock, emit } = this.#options;
    try {
      const figures = await this.#figures?.();
      const now = clock.now();
      if (figures !== undefined) {
        const at = clock.monotonic();
        const snapshot = { ...figures, now, refused: this.#refusals.lastHour(at), countedMs: at - this.#startedAt };
        const { conditions, unknown } = look(snapshot, (alert, subject) => this.#book.has(alert, subject));
        for (const notice of this.#book.found(conditions, unknown, now)) this.#tell(notice);
      }
      for (const notice of this.#book.review(now)) this.#tell(notice);
    } catch (error) {
      emit({ type: "alert.look.failed", cause: describeError(error) });
    }
  }
}
