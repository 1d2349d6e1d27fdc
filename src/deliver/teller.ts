/**
 * Tells people of mail that failed or is late, without a storm: the first report of one sender and cause goes out at once, what follows within an
 * hour comes as one summary at its end.
 *
 * Crash here, what is lost? Nothing. What is postponed stands in the queue, written in the commit that made the failure final, and so does the
 * opening of each window; a start takes both up again. The summary enters the queue in the commit that removes what it tells of.
 */
import type { FailedRecipient } from "../dsn/status.ts";
import type { SummaryEntry } from "../dsn/summary.ts";
import type { Emit } from "../mail/events.ts";
import type { Clock } from "../platform/clock.ts";
import type { DeliveryQueue, GeneratedMessage, PostponedReport, ReportWindow } from "../queue/queue.ts";
import { translated } from "./french.ts";
import { makeReports, makeSummary, reportRecipients, type ReportDoors, type ReportOptions, type ToldOf } from "./reports.ts";
import type { Settled } from "./settle.ts";

/** Reports of one sender and cause are gathered for so long. */
const WINDOW_MS = 3_600_000;
/** Windows open at a time; beyond, each failure is reported by itself. */
const MOST_WINDOWS = 10_000;
/** Messages that a summary lists; the others it counts. */
const MOST_LISTED = 100;
/** Messages remembered as warned, for claims that were read before the warning was committed. */
const MOST_REMEMBERED = 10_000;

/** What the teller works with. */
export interface TellerOptions {
  readonly queue: DeliveryQueue;
  readonly reports: ReportOptions;
  readonly doors: ReportDoors;
  readonly emit: Emit;
  readonly clock: Clock;
  /** The queue failed us. */
  readonly fail: (error: unknown) => void;
}

/** What is to be written with a settlement. */
export interface Told {
  readonly generated: readonly GeneratedMessage[];
  readonly postponed: readonly PostponedReport[];
  /** The sender is told now that the message is late. */
  readonly warned: boolean;
  /** It was the postmaster's own report that failed. */
  readonly alarm: boolean;
}

const NOTHING: Told = { generated: [], postponed: [], warned: false, alarm: false };

/** How an attempt is described to people. */
interface AttemptedBy {
  readonly remote: string | undefined;
  /** Absent where nothing was tried. */
  readonly lastAttemptAt: number | undefined;
}

export class Teller {
  readonly #options: TellerOptions;
  /** By addressee and topic, oldest first. */
  readonly #windows = new Map<string, ReportWindow>();
  readonly #warned = new Set<string>();
  #cancel: (() => void) | undefined;
  /** Summaries are written one after the other. */
  #telling: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: TellerOptions) {
    this.#options = options;
  }

  /** Takes up what the last process left. */
  async start(): Promise<void> {
    for (const { to, topic, since } of await this.#options.queue.postponedReports())
      this.#windows.set(keyOf(to, topic), { to, topic, since });
    this.#arm();
  }

  /** Tells nothing more of its own accord. Resolves when nothing is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
    await this.#telling;
  }

  /** What is to be reported now about an attempt, and what later. The caller writes both together with the settlement. */
  async tell(claim: ToldOf, { failed, late, retryUntil }: Pick<Settled, "failed" | "late" | "retryUntil">, by: AttemptedBy): Promise<Told> {
    if (failed.length === 0 && late.length === 0) return NOTHING;
    const { reports, doors } = this.#options;
    const { message } = claim;
    const addresses = failed.map((recipient) => recipient.address);
    const to = failed.length === 0 ? [] : reportRecipients(reports, doors.mailboxes, message, addresses);
    const alarm = to === "alarm";
    const failures = alarm ? { generated: [], postponed: [] } : await this.#report(claim, failed, by, to, undefined);
    const warned = late.length > 0 && this.#mayWarn(claim);
    const warnings = warned ? await this.#report(claim, late, by, this.#warnedAddresses(claim), retryUntil) : undefined;
    return {
      generated: [...failures.generated, ...(warnings?.generated ?? [])],
      postponed: [...failures.postponed, ...(warnings?.postponed ?? [])],
      warned,
      alarm,
    };
  }

  /** What `tell` gave was not written: windows that it opened are closed again, so that the next failure is told at once. */
  takeBack({ postponed }: Told): void {
    for (const { to, topic, since, entry } of postponed)
      if (entry === undefined && this.#windows.get(keyOf(to, topic))?.since === since) this.#windows.delete(keyOf(to, topic));
    this.#arm();
  }

  /** Once for each message, never about a report or the null reverse-path. */
  #mayWarn({ warned, message }: ToldOf): boolean {
    if (warned || message.kind === "report" || message.reversePath === "" || this.#warned.has(message.queueId)) return false;
    const [oldest] = this.#warned;
    if (this.#warned.size >= MOST_REMEMBERED && oldest !== undefined) this.#warned.delete(oldest);
    this.#warned.add(message.queueId);
    return true;
  }

  /** A warning has one reader: whoever waits for the mail, else the postmaster. */
  #warnedAddresses({ message }: ToldOf): string[] {
    const { reports, doors } = this.#options;
    const to = reportRecipients(reports, doors.mailboxes, message, []);
    return to === "alarm" ? [] : to.slice(0, 1);
  }

  async #report(
    claim: ToldOf,
    recipients: readonly FailedRecipient[],
    by: AttemptedBy,
    to: readonly string[],
    retryUntil: number | undefined,
  ): Promise<{ generated: readonly GeneratedMessage[]; postponed: readonly PostponedReport[] }> {
    const { queue, reports, doors, clock } = this.#options;
    const { message } = claim;
    const now = clock.now();
    const mailbox = doors.mailboxOf(claim.lane);
    const known = { mailbox, sender: message.reversePath, upstream: claim.lane, signInFrom: doors.signInOf?.(claim.lane) };
    const said = recipients.map((recipient) => (reports.language === "en" ? recipient : translated(recipient, known)));
    const entry: SummaryEntry = {
      queueId: message.queueId,
      sender: message.reversePath,
      device: message.origin.device,
      acceptedAt: message.acceptedAt,
      lastAttemptAt: by.lastAttemptAt,
      remote: by.remote,
      recipients: said,
    };
    const topic = topicOf(message.reversePath, recipients);
    const postponed: PostponedReport[] = [];
    const atOnce: string[] = [];
    for (const address of to) {
      // Reports about reports are few, because reports are, and each is wanted whole.
      const open = message.kind === "report" ? undefined : this.#window(address, topic, now);
      if (open !== undefined && !open.isNew) postponed.push({ ...open.window, entry: JSON.stringify(entry) });
      else {
        atOnce.push(address);
        if (open !== undefined) postponed.push(open.window);
      }
    }
    const failure = { claim, recipients: said, ...by, retryUntil };
    return { generated: await makeReports(reports, doors, failure, atOnce, now, () => queue.newQueueId()), postponed };
  }

  #window(to: string, topic: string, now: number): { window: ReportWindow; isNew: boolean } | undefined {
    const key = keyOf(to, topic);
    const known = this.#windows.get(key);
    if (known !== undefined) return { window: known, isNew: false };
    if (this.#windows.size >= MOST_WINDOWS) return undefined;
    const window = { to, topic, since: now };
    this.#windows.set(key, window);
    if (this.#windows.size === 1) this.#arm();
    return { window, isNew: true };
  }

  #arm(): void {
    this.#cancel?.();
    const oldest = this.#windows.values().next().value;
    if (oldest === undefined || this.#stopped) return;
    const { clock } = this.#options;
    const now = clock.now();
    this.#cancel = clock.after(hasEnded(oldest, now) ? 0 : oldest.since + WINDOW_MS - now, () => {
      this.#inTurn(() => this.#tellDue());
    });
  }

  /** The system's clock was set: what was opened by one that was ahead is told now. */
  clockStepped(): void {
    this.#arm();
  }

  #inTurn(work: () => Promise<void>): void {
    this.#telling = this.#telling.then(work).catch(this.#options.fail);
  }

  /** Now and then: tells what came into a window just as it was closed. */
  maintain(): void {
    if (this.#stopped) return;
    this.#inTurn(async () => {
      const { queue, clock } = this.#options;
      for (const window of await queue.postponedReports()) {
        const isOpen = this.#windows.get(keyOf(window.to, window.topic))?.since === window.since;
        if (!isOpen && !this.#stopped && hasEnded(window, clock.now())) await this.#summarize(window);
      }
    });
  }

  async #tellDue(): Promise<void> {
    const now = this.#options.clock.now();
    for (const [key, window] of this.#windows) {
      if (this.#stopped || !hasEnded(window, now)) break;
      // Before the queue is asked: what fails from now on opens a window of its own.
      this.#windows.delete(key);
      await this.#summarize(window);
    }
    this.#arm();
  }

  async #summarize(window: ReportWindow): Promise<void> {
    const { queue, reports, doors, clock, emit } = this.#options;
    for (let left = 1; left > 0;) {
      const { entries: stored, count, last } = await queue.postponedEntries(window, MOST_LISTED);
      const entries = stored.map((text) => JSON.parse(text) as SummaryEntry);
      const [first] = entries;
      const about = { entries, messages: count };
      const summary = first === undefined ? undefined : makeSummary(reports, doors, about, window.to, clock.now(), queue.newQueueId());
      // What was on its way into the window when it was closed is told in a second one.
      left = await queue.tellPostponed(window, last, summary);
      if (summary === undefined || first === undefined) continue;
      const { recipients, sizeBytes } = summary.envelope;
      emit({ type: "message.generated", queueId: summary.queueId, about: first.queueId, recipients, sizeBytes });
    }
  }
}

/** Its hour is over; or it was opened by a clock that was ahead, and nobody knows when that would be. */
function hasEnded({ since }: ReportWindow, now: number): boolean {
  return since + WINDOW_MS <= now || since > now;
}

function keyOf(to: string, topic: string): string {
  return `${to.toLowerCase()} ${topic}`;
}

/** What makes two reports equal: sender and cause, whatever the recipients. */
function topicOf(sender: string, recipients: readonly FailedRecipient[]): string {
  const causes = recipients.map(({ kind, id, reply }) => `${kind} ${id} ${reply?.code ?? ""} ${reply?.enhanced ?? ""}`);
  return `${sender.toLowerCase()} ${[...new Set(causes)].toSorted().join("; ")}`;
}
