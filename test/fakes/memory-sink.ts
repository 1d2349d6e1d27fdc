/** A MessageSink that keeps what it accepts in memory; it can be full, slow, or fail. */
import type { AcceptedMessage, Envelope } from "../../src/mail/message.ts";
import type { Reply } from "../../src/mail/reply.ts";
import type { MessageSink, MessageWriter } from "../../src/queue/queue.ts";

/** A message that was committed. */
export interface StoredMessage {
  readonly message: AcceptedMessage;
  readonly content: Buffer;
}

/** What the sink does besides taking mail; change it at any time. */
export interface MemorySinkOptions {
  /** Answer of `refusal()`. */
  refusal?: Reply | undefined;
  /** Rejects every commit. */
  commitError?: Error | undefined;
  /** Awaited by every commit. */
  beforeCommit?: (() => Promise<void>) | undefined;
  /** Answer of every `write`. */
  onWrite?: ((octets: Uint8Array) => Promise<void> | undefined) | undefined;
  /** False: contents are counted, not kept. */
  keep?: boolean | undefined;
}

export class MemorySink implements MessageSink {
  readonly messages: StoredMessage[] = [];
  readonly options: MemorySinkOptions;
  opened = 0;
  aborted = 0;
  committed = 0;
  #waiting: { count: number; resolve: () => void }[] = [];

  constructor(options: MemorySinkOptions = {}) {
    this.options = options;
  }

  refusal(): Reply | undefined {
    return this.options.refusal;
  }

  /** Resolves once `count` messages were committed. */
  async received(count: number): Promise<readonly StoredMessage[]> {
    if (this.committed < count) await new Promise<void>((resolve) => this.#waiting.push({ count, resolve }));
    return this.messages;
  }

  open(): MessageWriter & { readonly queueId: string } {
    this.opened += 1;
    const queueId = `01TEST${String(this.opened).padStart(20, "0")}`;
    const pieces: Buffer[] = [];
    let sizeBytes = 0;
    let done = false;
    return {
      queueId,
      write: (octets) => {
        sizeBytes += octets.length;
        if (this.options.keep !== false) pieces.push(Buffer.from(octets));
        return this.options.onWrite?.(octets);
      },
      commit: async (envelope: Envelope) => {
        done = true;
        await this.options.beforeCommit?.();
        if (this.options.commitError !== undefined) throw this.options.commitError;
        const message: AcceptedMessage = { ...envelope, queueId, acceptedAt: envelope.sessionStartedAt };
        if (envelope.sizeBytes !== sizeBytes) throw new Error(`envelope says ${envelope.sizeBytes} octets, ${sizeBytes} were written`);
        this.committed += 1;
        if (this.options.keep !== false) this.messages.push({ message, content: Buffer.concat(pieces) });
        this.#waiting = this.#waiting.filter(({ count, resolve }) => {
          if (this.committed >= count) resolve();
          return this.committed < count;
        });
        return message;
      },
      abort: () => {
        if (!done) this.aborted += 1;
        done = true;
      },
    };
  }
}
