/** What a mailbox has used of its limits: connections, messages a minute, recipients a day. */
import type { MailboxLimits } from "./tenant.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

/** Usage of one mailbox. */
export class MailboxUsage {
  /** Signed-in sessions, oldest first. */
  #sessions: string[] = [];
  /** Times at which the mailbox's latest messages went on, as many as a minute takes. */
  #slots: number[] = [];
  #recipients: { at: number; count: number }[] = [];
  #recipientsToday = 0;
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
    while (this.#recipients[0] !== undefined && this.#recipients[0].at <= now - DAY_MS) {
      this.#recipientsToday -= this.#recipients.shift()?.count ?? 0;
    }
    return this.#recipientsToday;
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
    this.#recipients.push({ at: now, count: recipients });
    this.#recipientsToday += recipients;
  }
}
