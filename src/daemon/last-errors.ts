/** The last thing that went wrong with each upstream, for whoever looks at it. In memory only: the history of every message tells it too. */
import type { PosternEvent } from "../mail/events.ts";
import { formatReply } from "../mail/reply.ts";
import type { Clock } from "../platform/clock.ts";

export interface LastError {
  /** ms since the epoch. */
  readonly at: number;
  /** The verbatim reply where there was one. */
  readonly text: string;
}

export class LastErrors {
  readonly #clock: Clock;
  readonly #errors = new Map<string, LastError>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Takes note of an event. Cheap, never throws. */
  observe(event: PosternEvent): void {
    switch (event.type) {
      case "attempt.finished":
        if (event.outcome !== "delivered") this.#note(event.upstream, event.reply === undefined ? event.fault : formatReply(event.reply));
        return;
      case "upstream.connect.failed":
      case "upstream.auth.failed":
        this.#note(event.upstream, event.reply === undefined ? event.cause : formatReply(event.reply));
        return;
      default:
    }
  }

  of(upstream: string): LastError | undefined {
    return this.#errors.get(upstream);
  }

  /** Only of these: others are not in the configuration any more. */
  keep(upstreams: ReadonlyMap<string, unknown>): void {
    for (const name of this.#errors.keys()) if (!upstreams.has(name)) this.#errors.delete(name);
  }

  #note(upstream: string, text: string | undefined): void {
    if (text !== undefined) this.#errors.set(upstream, { at: this.#clock.now(), text });
  }
}
