/**
 * What happens now, for whoever listens: events as they are told, to a few readers at a time. A reader that does not keep up is told how many it lost; it
 * holds up nobody and costs no more than its buffer. While nobody listens an event costs one comparison.
 */
import type { Emit, PosternEvent } from "../mail/events.ts";
import type { Clock } from "../platform/clock.ts";

/** Readers at a time. */
const MOST_READERS = 16;
/** What a reader may leave untaken. */
const MOST_WAITING = 1_000;
const MOST_CHARACTERS = 1024 * 1024;
/** A sign of life when nothing happens; at the same time the token is looked at. */
const HEARTBEAT_MS = 15_000;
/** A reader that takes nothing for so long is gone. */
const STALLED_MS = 60_000;
/** Readers may take what is theirs for so long when the feed ends. */
const LEAVE_MS = 1_000;

/** Why a reader got its last event. */
export type EndReason = "stopping" | "token";

/** Who listens, and to what. */
export interface Listener {
  readonly wants: (type: PosternEvent["type"]) => boolean;
  /** Whether subjects are for them. Asked anew each time: a reload may change it. */
  readonly subjects: () => boolean;
  /** The token they came with, which may be revoked or expire meanwhile. */
  readonly token: { readonly name: string; readonly expiresAt?: number | undefined } | undefined;
  readonly holds: () => Promise<boolean>;
  /** Ends the connection of one that is gone. */
  readonly hangUp: () => void;
}

export class EventFeed {
  readonly #clock: Clock;
  readonly #readers = new Set<Reader>();
  /** Of this process: numbers begin anew with the next one. */
  readonly #series: string;
  #serial = 0;
  #cancelBeat: (() => void) | undefined;
  #closed = false;
  #emptied: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#series = clock.now().toString(36);
  }

  /** Tells the readers. Never throws, never waits. */
  readonly publish: Emit = (event) => {
    if (this.#readers.size === 0) return;
    this.#serial += 1;
    const about = { id: `${this.#series}-${this.#serial}`, time: this.#clock.now() };
    const texts = new Texts(about, event);
    for (const reader of this.#readers) if (reader.listener.wants(event.type)) reader.offer(texts.for(reader.listener));
    if (event.type !== "token.revoked") return;
    for (const reader of this.#readers) if (reader.listener.token?.name === event.token) reader.end("token");
  };

  /** Undefined when there are too many, or the feed has ended. */
  open(listener: Listener): Reader | undefined {
    if (this.#closed || this.#readers.size >= MOST_READERS) return undefined;
    const reader = new Reader(listener, this.#clock, () => this.#leave(reader));
    this.#readers.add(reader);
    this.#beat();
    return reader;
  }

  /** Ends all readers; resolves when they are gone, or have had a second for it. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelBeat?.();
    if (this.#readers.size === 0) return;
    const gone = new Promise<void>((resolve) => {
      this.#emptied = resolve;
    });
    for (const reader of this.#readers) reader.end("stopping");
    const late = Promise.withResolvers<void>();
    const cancel = this.#clock.after(LEAVE_MS, late.resolve);
    await Promise.race([gone, late.promise]);
    cancel();
  }

  #leave(reader: Reader): void {
    this.#readers.delete(reader);
    if (this.#readers.size > 0) return;
    this.#cancelBeat?.();
    this.#cancelBeat = undefined;
    this.#emptied?.();
  }

  #beat(): void {
    if (this.#cancelBeat !== undefined || this.#closed) return;
    this.#cancelBeat = this.#clock.after(HEARTBEAT_MS, () => {
      this.#cancelBeat = undefined;
      for (const reader of this.#readers) reader.beat();
      if (this.#readers.size > 0) this.#beat();
    });
  }
}

/** One event as text: made when the first reader wants it, once for all of them. */
class Texts {
  readonly #about: { readonly id: string; readonly time: number };
  readonly #event: PosternEvent;
  #whole: string | undefined;
  #withoutSubject: string | undefined;

  constructor(about: { readonly id: string; readonly time: number }, event: PosternEvent) {
    this.#about = about;
    this.#event = event;
  }

  for({ subjects }: Listener): string {
    const hasSubject = this.#event.type === "message.accepted" && this.#event.subject !== undefined;
    if (!hasSubject || subjects()) return (this.#whole ??= this.#render(this.#event));
    return (this.#withoutSubject ??= this.#render({ ...this.#event, subject: undefined }));
  }

  #render(event: PosternEvent): string {
    return `id: ${this.#about.id}\nevent: ${event.type}\ndata: ${JSON.stringify({ ...this.#about, ...event })}\n\n`;
  }
}

/** One reader's side. What it takes is text of an event stream (HTML, server-sent events). */
export class Reader {
  readonly listener: Listener;
  readonly #clock: Clock;
  readonly #left: () => void;
  readonly #cancelExpiry: (() => void) | undefined;
  #waiting: string[] = [":\nretry: 5000\n\n"];
  #characters = 0;
  #lost = 0;
  #taken: ((text: string | undefined) => void) | undefined;
  /** When something began to wait that is not taken; monotonic ms. */
  #stalledSince: number | undefined;
  #ended = false;
  #gone = false;

  constructor(listener: Listener, clock: Clock, left: () => void) {
    this.listener = listener;
    this.#clock = clock;
    this.#left = left;
    // The greeting waits.
    this.#stalledSince = clock.monotonic();
    const { token } = listener;
    if (token?.expiresAt !== undefined) this.#cancelExpiry = clock.after(token.expiresAt - clock.now(), () => this.#check());
  }

  /** All that waits, or the next thing to come; undefined at the end. One call at a time. */
  take(): Promise<string | undefined> {
    this.#stalledSince = undefined;
    if (this.#waiting.length > 0) return Promise.resolve(this.#flush());
    if (this.#ended) {
      this.leave();
      return Promise.resolve(undefined);
    }
    return new Promise((resolve) => {
      this.#taken = resolve;
    });
  }

  offer(text: string): void {
    if (this.#ended) return;
    if (this.#waiting.length >= MOST_WAITING || this.#characters + text.length > MOST_CHARACTERS) {
      this.#lost += 1;
      return;
    }
    this.#put(text);
  }

  /** A sign of life, and a look at whether there is still one on the other side. */
  beat(): void {
    if (this.#stalledSince !== undefined && this.#clock.monotonic() - this.#stalledSince >= STALLED_MS) {
      this.listener.hangUp();
      this.leave();
      return;
    }
    if (this.#waiting.length === 0 && !this.#ended) this.#put(":\n\n");
    this.#check();
  }

  /** The last thing that it is told. */
  end(reason: EndReason): void {
    if (this.#ended) return;
    this.#tellLost();
    this.#put(`event: end\ndata: ${JSON.stringify({ reason })}\n\n`);
    this.#ended = true;
  }

  /** Nobody takes anything any more. */
  leave(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#ended = true;
    this.#waiting = [];
    this.#cancelExpiry?.();
    this.#taken?.(undefined);
    this.#left();
  }

  #check(): void {
    void this.listener.holds().then((holds) => {
      if (!holds) this.end("token");
    });
  }

  #put(text: string): void {
    this.#waiting.push(text);
    this.#characters += text.length;
    const taken = this.#taken;
    this.#taken = undefined;
    if (taken !== undefined) taken(this.#flush());
    else this.#stalledSince ??= this.#clock.monotonic();
  }

  #flush(): string {
    this.#tellLost();
    const text = this.#waiting.join("");
    this.#waiting = [];
    this.#characters = 0;
    return text;
  }

  /** After what still had room: that is where the gap is. */
  #tellLost(): void {
    if (this.#lost > 0) this.#waiting.push(`event: lost\ndata: ${JSON.stringify({ lost: this.#lost })}\n\n`);
    this.#lost = 0;
  }
}
