/**
 * Tells a webhook of alerts, one notice after the other, in order. What it owes is bounded and kept by its caller over restarts; nothing waits
 * for it. A webhook that fails is a line in the log, the first time and then once an hour.
 */
import { randomUUID } from "node:crypto";
import { PosternError } from "../../mail/errors.ts";
import type { Emit } from "../../mail/events.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Notice } from "./alert.ts";
import { bodyOf, signatureOf } from "./formats.ts";
import type { WebhookFormat } from "./formats.ts";
import type { Post, PostResult } from "./post.ts";
import type { Owed } from "./store.ts";

/** Beyond it the oldest are dropped. */
export const MOST_OWED = 200;
/** Waits: 10, 20, 40 … seconds, at most a quarter of an hour. */
const FIRST_WAIT_MS = 10_000;
const MOST_WAIT_MS = 900_000;
/** News that old is none; what is still open is repeated daily. */
const MOST_AGE_MS = 3 * 86_400_000;
/** A body that is refused as such is not tried for ever: others wait behind it. */
const MOST_REFUSALS = 5;
const REFUSED_BODY: ReadonlySet<number> = new Set([400, 413, 415, 422]);
const LOG_AGAIN_MS = 3_600_000;

export interface WebhookOptions {
  /** Read anew for each attempt. @throws PosternError E_SECRET */
  readonly url: () => Promise<string>;
  /** Signs the requests; undefined: they are not signed. */
  readonly secret: (() => Promise<string>) | undefined;
  readonly format: WebhookFormat;
  readonly hostname: string;
  readonly post: Post;
  readonly clock: Clock;
  readonly emit: Emit;
  /** What is owed changed. */
  readonly changed: () => void;
}

export class Webhook {
  readonly #options: WebhookOptions;
  #owed: Owed[] = [];
  #failures = 0;
  #loggedAt = -Infinity;
  #busy: Promise<void> | undefined;
  #cancelWait: (() => void) | undefined;
  #running = false;

  constructor(options: WebhookOptions) {
    this.#options = options;
  }

  get owed(): readonly Owed[] {
    return this.#owed;
  }

  /** Takes up what an earlier process owed. */
  restore(owed: readonly Owed[]): void {
    this.#owed = owed.slice(-MOST_OWED);
  }

  start(): void {
    this.#running = true;
    this.#next();
  }

  /** Tries nothing any more. Resolves when the attempt under way has ended. */
  async stop(): Promise<void> {
    this.#running = false;
    this.#cancelWait?.();
    this.#cancelWait = undefined;
    await this.#busy;
  }

  /** Never waits. */
  notify(notice: Notice): void {
    this.#owed.push({ id: randomUUID(), notice, attempts: 0 });
    if (this.#owed.length > MOST_OWED) this.#drop(0, "too many wait");
    this.#options.changed();
    this.#next();
  }

  #next(): void {
    if (!this.#running || this.#busy !== undefined || this.#cancelWait !== undefined || this.#owed.length === 0) return;
    this.#busy = this.#try().finally(() => {
      this.#busy = undefined;
      this.#next();
    });
  }

  async #try(): Promise<void> {
    const { clock, emit, changed } = this.#options;
    const [owed] = this.#owed;
    if (owed === undefined) return;
    const { alert, state, at } = owed.notice;
    if (clock.now() - at > MOST_AGE_MS) {
      this.#drop(this.#owed.indexOf(owed), "too old");
      changed();
      return;
    }
    const { status, fault } = await this.#send(owed);
    owed.attempts += 1;
    // It may have been dropped for a newer one meanwhile.
    const place = this.#owed.indexOf(owed);
    if (status >= 200 && status < 300) {
      this.#failures = 0;
      this.#loggedAt = -Infinity;
      if (place >= 0) this.#owed.splice(place, 1);
      emit({ type: "alert.notified", alert: alert.alert, subject: alert.subject, state });
    } else {
      this.#failures += 1;
      const cause = fault ?? `HTTP ${status}`;
      this.#complain(cause);
      if (place >= 0 && REFUSED_BODY.has(status) && owed.attempts >= MOST_REFUSALS) this.#drop(place, cause);
      this.#wait();
    }
    changed();
  }

  async #send({ id, notice }: Owed): Promise<PostResult> {
    const { url, secret, format, hostname, post, clock } = this.#options;
    try {
      const [address, key] = await Promise.all([url(), secret?.()]);
      const body = bodyOf(format, notice, hostname);
      return await post(address.trim(), { "x-postern-id": id, ...(key === undefined ? {} : signatureOf(key, body, clock.now())) }, body);
    } catch (error) {
      // Faults of the references name where the secret should be, never what it is.
      return { status: 0, fault: error instanceof PosternError ? error.message : "FAILED" };
    }
  }

  #wait(): void {
    const ms = Math.min(MOST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(20, this.#failures - 1));
    if (!this.#running) return;
    this.#cancelWait = this.#options.clock.after(ms, () => {
      this.#cancelWait = undefined;
      this.#next();
    });
  }

  #complain(cause: string): void {
    const { clock, emit } = this.#options;
    const now = clock.monotonic();
    if (now - this.#loggedAt < LOG_AGAIN_MS) return;
    this.#loggedAt = now;
    emit({ type: "alert.notify.failed", cause, failures: this.#failures, waiting: this.#owed.length });
  }

  #drop(place: number, cause: string): void {
    const [owed] = this.#owed.splice(place, 1);
    if (owed === undefined) return;
    const { alert, state } = owed.notice;
    this.#options.emit({ type: "alert.notify.dropped", alert: alert.alert, subject: alert.subject, state, cause });
  }
}
