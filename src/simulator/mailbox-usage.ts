/** What a mailbox has used of its limits: connections, messages a minute, recipients a day. */
import type { MailboxLimits, TenantMailbox } from "./tenant.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

/** What was counted in the last 24 hours. */
export class DayCount {
  #entries: { at: number; count: number }[] = [];
  #sum = 0;

  /** The count of the 24 hours before `now`. */
  of(now: number): number {
    while (this.#entries[0] !== undefined && this.#entries[0].at <= now - DAY_MS) this.#sum -= this.#entries.shift()?.count ?? 0;
    return this.#sum;
  }

  add(now: number, count: number): void {
    if (count === 0) return;
    this.#entries.push({ at: now, count });
    this.#sum += count;
  }
}

/** Usage of one mailbox. */
export class MailboxUsage {
  /** Signed-in sessions, oldest first. */
  #sessions: string[] = [];
  /** Times at which the mailbox's latest messages went on, as many as a minute takes. */
  #slots: number[] = [];
  #recipients = new DayCount();
  /** Messages that came over the rate. */
  throttled = 0;

  opened(session: string): void {
    this.#sessions.push(session);
  }

  closed(session: string): void {
    this.#sessions = this.#sessions.filter((other) => other !== session);
  }

  /** Sessions signed in now. */
  get connections(): number {
    return this.#sessions.length;
  }

  /** Whether this session came after as many others as may be open at once. */
  isOverConnections(session: string, limits: MailboxLimits): boolean {
    return this.#sessions.indexOf(session) >= limits.connections;
  }

  /** Recipients of the last 24 hours. */
  recipientsOfDay(now: number): number {
    return this.#recipients.of(now);
  }

  /** When a message that comes now goes on: now, or in a following minute when this one is full. */
  nextSlot(now: number, limits: MailboxLimits): number {
    const earlier = this.#slots.at(-limits.messagesPerMinute);
    return earlier === undefined ? now : Math.max(now, earlier + MINUTE_MS);
  }

  /** Counts a message that was taken. */
  count(now: number, slot: number, recipients: number, limits: MailboxLimits): void {
    this.#slots.push(slot);
    if (this.#slots.length > 4 * limits.messagesPerMinute) this.#slots = this.#slots.slice(-limits.messagesPerMinute);
    this.countRecipients(now, recipients);
  }

  /** Counts the recipients of a message that no rate a minute applies to. */
  countRecipients(now: number, recipients: number): void {
    this.#recipients.add(now, recipients);
  }
}

/** What all mailboxes of the tenant have used, whatever the door, and the tenant as a whole. */
export class UsageBook {
  #mailboxes = new Map<string, MailboxUsage>();
  /** Recipients outside the tenant. */
  readonly external = new DayCount();
  /** The same for senders in the initial domain (onmicrosoft.com). */
  readonly initialDomain = new DayCount();

  /** What a mailbox has used so far. */
  of(mailbox: Pick<TenantMailbox, "address">): MailboxUsage {
    const key = mailbox.address.toLowerCase();
    let usage = this.#mailboxes.get(key);
    if (usage === undefined) this.#mailboxes.set(key, (usage = new MailboxUsage()));
    return usage;
  }

  /** Messages over the rate, by mailbox. */
  throttled(): Record<string, number> {
    return Object.fromEntries([...this.#mailboxes].map(([mailbox, usage]) => [mailbox, usage.throttled]));
  }
}
