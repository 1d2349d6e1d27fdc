/** The book of alerts: what is open, and what people are to be told of it. Pure state; the caller brings the time. */
import type { Condition, Notice, OpenAlert, Severity } from "./alert.ts";
import { kindOf, SEVERITIES } from "./alert.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/**
 * Open alerts of one kind that are kept. Thousands of senders could be refused at once; beyond this nobody reads them one by one. Of each kind by itself,
 * so that a critical alert always finds room beside them.
 */
export const MOST_OPEN = 500;
/** An alert that nobody can declare over is closed this long after it was last met. */
const TIME_MS = 3 * DAY_MS;
/** Texts come from the network in part. */
const LONGEST_TEXT = 1000;
export const LONGEST_SUBJECT = 400;

export class AlertBook {
  readonly #open = new Map<string, OpenAlert>();
  /** Open since an earlier process, and not met since this one began. */
  readonly #unmet = new Set<string>();
  readonly #graceMs: number;
  #startedAt = 0;

  /** @param graceMs - how long what was open before the start may stay unmet before it counts as over; longer than its owner's schedule */
  constructor(graceMs: number) {
    this.#graceMs = graceMs;
  }

  /** Takes up what an earlier process left open. Nobody is told of it again. */
  restore(alerts: readonly OpenAlert[], now: number): void {
    this.#startedAt = now;
    for (const alert of alerts) {
      if (this.#isFull(alert.alert)) continue;
      const key = keyOf(alert);
      this.#open.set(key, alert);
      this.#unmet.add(key);
    }
  }

  /** The oldest first. */
  list(): OpenAlert[] {
    return [...this.#open.values()];
  }

  get size(): number {
    return this.#open.size;
  }

  #isFull(alert: string): boolean {
    if (this.#open.size < MOST_OPEN) return false;
    let count = 0;
    for (const open of this.#open.values()) if (open.alert === alert) count += 1;
    return count >= MOST_OPEN;
  }

  has(alert: string, subject: string): boolean {
    return this.#open.has(keyOf({ alert, subject }));
  }

  /** Something is the matter. A notice when that is new, or worse than before; what is known only brings its text up to date. */
  raise(condition: Condition, now: number): Notice | undefined {
    const subject = condition.subject.slice(0, LONGEST_SUBJECT);
    const { alert } = condition;
    const key = keyOf({ alert, subject });
    const severity = condition.severity ?? kindOf(alert).severity;
    const said = {
      alert,
      subject,
      text: condition.text.slice(0, LONGEST_TEXT),
      remedy: condition.remedy?.slice(0, LONGEST_TEXT),
      severity,
    };
    const known = this.#open.get(key);
    this.#unmet.delete(key);
    if (known === undefined && this.#isFull(alert))
      return { state: "raised", alert: { ...said, since: now, toldAt: now, metAt: now }, at: now };
    const isNews = known === undefined || rank(severity) > rank(known.severity);
    const open: OpenAlert = { ...said, since: known?.since ?? now, toldAt: isNews ? now : known.toldAt, metAt: now };
    this.#open.set(key, open);
    return isNews ? { state: "raised", alert: open, at: now } : undefined;
  }

  /** It is over. Nothing when it was not open. */
  clear(alert: string, subject: string, now: number): Notice | undefined {
    const key = keyOf({ alert, subject: subject.slice(0, LONGEST_SUBJECT) });
    const open = this.#open.get(key);
    if (open === undefined) return undefined;
    this.#open.delete(key);
    this.#unmet.delete(key);
    return { state: "cleared", alert: open, at: now };
  }

  /** Clears what nobody is left to declare over. */
  drop(isGone: (alert: OpenAlert) => boolean, now: number): Notice[] {
    return this.list()
      .filter(isGone)
      .map(({ alert, subject }) => this.clear(alert, subject, now))
      .filter((notice) => notice !== undefined);
  }

  /** Everything runs: clears what the start would have met. */
  started(now: number): Notice[] {
    return this.drop((open) => kindOf(open.alert).metAtStart === true && this.#unmet.has(keyOf(open)), now);
  }

  /**
   * What a look found: everything that is the matter of the kinds that end by a look.
   *
   * @param unknown - kinds that this look could not judge: they stay as they are
   */
  found(conditions: readonly Condition[], unknown: ReadonlySet<string>, now: number): Notice[] {
    const notices = conditions.map((condition) => this.raise(condition, now));
    const met = new Set(conditions.map(({ alert, subject }) => keyOf({ alert, subject: subject.slice(0, LONGEST_SUBJECT) })));
    for (const [key, { alert, subject }] of this.#open)
      if (kindOf(alert).ends === "look" && !met.has(key) && !unknown.has(alert)) notices.push(this.clear(alert, subject, now));
    return notices.filter((notice) => notice !== undefined);
  }

  /** What time alone does: what ends with it, what was not met again since the start, what is due to be repeated. */
  review(now: number): Notice[] {
    const notices: (Notice | undefined)[] = [];
    for (const [key, open] of this.#open) {
      const { alert, subject } = open;
      const isOver =
        kindOf(alert).ends === "time" ? now - open.metAt >= TIME_MS : this.#unmet.has(key) && now - this.#startedAt >= this.#graceMs;
      if (isOver) {
        notices.push(this.clear(alert, subject, now));
      } else if (now - open.toldAt >= DAY_MS) {
        const told = { ...open, toldAt: now };
        this.#open.set(key, told);
        notices.push({ state: "repeated", alert: told, at: now });
      }
    }
    return notices.filter((notice) => notice !== undefined);
  }
}

function keyOf({ alert, subject }: { readonly alert: string; readonly subject: string }): string {
  return `${alert} ${subject}`;
}

function rank(severity: Severity): number {
  return SEVERITIES.indexOf(severity);
}
