/** A steady stream of messages over connections that are kept and over new ones; whatever is not a 250 is written down. */
import { setTimeout as wait } from "node:timers/promises";
import { makeMessage } from "../crash/message.ts";
import { Random } from "../crash/random.ts";
import { Submitter } from "../crash/submitter.ts";

export interface LoadOptions {
  readonly port: number;
  /** Messages a second, over all connections together. */
  readonly rate: number;
  /** Connections that send one message after the other. */
  readonly kept: number;
  /** Senders that open a connection for each message. */
  readonly fresh: number;
  readonly seed: number;
}

const BODY_BYTES = 2000;

/** Runs from its making until `stop()`. */
export class Load {
  /** Queue id to Message-ID, of every 250. */
  readonly accepted = new Map<string, string>();
  /** One line for each connection that was refused or ended, and each reply that was no yes. */
  readonly faults: string[] = [];
  /** From the first word of each transaction to its 250, in ms; with the connection where it is new. */
  readonly answerMs: number[] = [];
  readonly #options: LoadOptions;
  readonly #startedAt = performance.now();
  readonly #senders: Promise<void>[];
  #begun = 0;
  #number = 0;
  #stopping = false;

  constructor(options: LoadOptions) {
    this.#options = options;
    this.#senders = Array.from({ length: options.kept + options.fresh }, (_, sender) => this.#send(sender < options.kept));
  }

  /** One more message outside the stream, which counts like the others. */
  async submit(submitter: Submitter): Promise<void> {
    const number = this.#number++;
    const { messageId, content } = makeMessage(number, new Random(this.#options.seed + number), BODY_BYTES);
    const startedAt = performance.now();
    const queueId = await submitter.submit(content, () => undefined);
    this.answerMs.push(performance.now() - startedAt);
    if (this.accepted.has(queueId)) this.faults.push(`queue id ${queueId} was given twice`);
    this.accepted.set(queueId, messageId);
  }

  /** Lets what is under way be answered. @returns how long the stream ran, in ms */
  async stop(): Promise<number> {
    this.#stopping = true;
    await Promise.all(this.#senders);
    return performance.now() - this.#startedAt;
  }

  async #send(keep: boolean): Promise<void> {
    const submitter = new Submitter(this.#options.port);
    let expected = 1;
    for (;;) {
      await this.#turn();
      if (this.#stopping) break;
      let failed = false;
      try {
        await this.submit(submitter);
      } catch (error) {
        failed = true;
        this.faults.push(error instanceof Error ? error.message : String(error));
      }
      if (submitter.opened > expected) this.faults.push("a connection was dropped between two messages");
      if (failed || !keep) submitter.close();
      expected = submitter.opened + (failed || !keep ? 1 : 0);
    }
    submitter.close();
  }

  /** Resolves when the next message of the stream is due. A rate is a matter of the clock. */
  async #turn(): Promise<void> {
    const due = this.#startedAt + (this.#begun++ * 1000) / this.#options.rate;
    const early = due - performance.now();
    if (early > 0) await wait(early);
  }
}
