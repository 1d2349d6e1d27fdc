/**
 * An operator gives mail up: what waits of it ends as `bounced`, and its sender gets the usual report. Nothing is claimed for it: each message is
 * written in one commit together with what is told of it, or left as it is where somebody else took it in hand meanwhile.
 *
 * Crash here, what is lost? Nothing: a message is given up with its report, or it waits as before.
 */
import type { FailedRecipient } from "../dsn/status.ts";
import { WORDS } from "../dsn/words.ts";
import { PosternError } from "../mail/errors.ts";
import { ActTally } from "../mail/act-tally.ts";
import type { Emit } from "../mail/events.ts";
import { oneLine } from "../mime/words.ts";
import type { ActResult, ContentSource, DeliveryQueue, QueueFilter, WaitingMessage } from "../queue/queue.ts";
import type { ReportOptions } from "./reports.ts";
import { mailFacts } from "./settle.ts";
import type { Teller, Told } from "./teller.ts";

/** Messages in hand at a time: they share commits. */
const AT_A_TIME = 32;

const NOTHING_TOLD: Told = { generated: [], postponed: [], warned: false, alarm: false };

/** What giving up works with. */
export interface GivingUpOptions {
  readonly queue: Pick<DeliveryQueue, "waitingMessages" | "bounce" | "contentRow">;
  readonly teller: Pick<Teller, "tell" | "takeBack">;
  /** For the language. */
  readonly reports: Pick<ReportOptions, "language">;
  readonly emit: Emit;
}

/** One act under way. */
interface Act {
  readonly by: string;
  readonly tally: ActTally;
}

export class GivingUp {
  readonly #options: GivingUpOptions;
  readonly #underWay = new Set<Promise<unknown>>();
  #stopped = false;

  constructor(options: GivingUpOptions) {
    this.#options = options;
  }

  /**
   * Gives up all that waits of what a filter names. What is being delivered is left alone, and counted as busy.
   *
   * @param by - the operator
   * @throws PosternError E_UNAVAILABLE when the end begins meanwhile; what the queue throws. What was given up until then is told of
   */
  async giveUp(filter: QueueFilter, by: string): Promise<ActResult> {
    const act: Act = { by, tally: new ActTally() };
    const work = this.#work(filter, act);
    this.#underWay.add(work);
    try {
      await work;
    } finally {
      this.#underWay.delete(work);
    }
    return act.tally.result;
  }

  /** Begins no further message. Resolves when those in hand are written. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.allSettled(this.#underWay);
  }

  async #work(filter: QueueFilter, act: Act): Promise<void> {
    const messages = this.#options.queue.waitingMessages(filter)[Symbol.asyncIterator]();
    const hand = async (): Promise<void> => {
      for (;;) {
        const { done, value } = await messages.next();
        if (done === true) return;
        if (this.#stopped)
          throw new PosternError(
            "E_UNAVAILABLE",
            `the relay stops; ${act.tally.recipients} recipients were bounced, the others wait as before`,
          );
        await this.#one(value, act);
      }
    };
    const hands = await Promise.allSettled(Array.from({ length: AT_A_TIME }, hand));
    for (const outcome of hands) if (outcome.status === "rejected") throw outcome.reason;
  }

  async #one({ message, recipients, lastAttempt }: WaitingMessage, act: Act): Promise<void> {
    const { queue, teller, reports, emit } = this.#options;
    const { queueId } = message;
    const waiting = recipients.filter(({ state }) => state !== "delivering");
    act.tally.busy += recipients.length - waiting.length;
    const [first] = waiting;
    if (first === undefined) return;
    const words = WORDS[reports.language];
    const failed = waiting.map(({ address, reply }): FailedRecipient => ({
      address,
      kind: "given-up",
      id: "given-up",
      reply,
      cause: words.givenUpBy(oneLine(act.by)),
      remedy: words.askFirst,
    }));
    const about = { lane: first.lane, message, warned: true, content: this.#content(queueId, message.sizeBytes) };
    const by = { remote: lastAttempt?.remote, lastAttemptAt: lastAttempt?.startedAt };
    // Whoever gives a report up knows of it: nobody is told about that.
    const told = message.kind === "report" ? NOTHING_TOLD : await teller.tell(about, { failed, late: [], retryUntil: undefined }, by);
    const { generated, postponed } = told;
    const cause = WORDS.en.givenUpBy(oneLine(act.by));
    if (!(await queue.bounce({ queueId, recipients: waiting, by: act.by, cause, generated, postponed }))) {
      teller.takeBack(told);
      act.tally.busy += waiting.length;
      return;
    }
    for (const { address, lane } of waiting) {
      act.tally.add({ queueId, recipient: address, lane });
      emit({ type: "recipient.bounced", queueId, recipient: address, upstream: lane, mail: mailFacts(message), cause });
    }
    for (const report of generated) {
      const { recipients: to, sizeBytes } = report.envelope;
      emit({ type: "message.generated", queueId: report.queueId, about: queueId, recipients: to, sizeBytes });
    }
  }

  /** Read beside the deliveries, and only where a report quotes it. */
  #content(queueId: string, sizeBytes: number): ContentSource {
    const { queue } = this.#options;
    return {
      sizeBytes,
      inMemory: undefined,
      async *blocks() {
        for (let place = 0; ; place++) {
          const row = await queue.contentRow(queueId, place);
          if (row === undefined) return;
          yield row;
        }
      },
    };
  }
}
