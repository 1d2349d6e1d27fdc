/**
 * Submits numbered messages over several connections while the relay is killed at random instants, and compares what was promised with what
 * arrived. Instants are events (so many accepted, half of a message sent, a delivery at the next hop), chosen by a seed: nothing
 * waits by the clock, and a seed repeats the plan though not the race.
 */
import { judge, type Verdict } from "./ledger.ts";
import { makeMessage, readDelivery, type Delivery } from "./message.ts";
import { Random } from "./random.ts";
import { SmtpReceiver } from "./smtp-receiver.ts";
import { ConnectionLost, Submitter } from "./submitter.ts";

/** What is put to the test: something that accepts mail on `port`, relays it to the next hop, and can be killed. */
export interface RelayUnderTest {
  readonly port: number;
  /** Resolves once mail is accepted. Called again after each kill. */
  start(): Promise<RelayRun>;
  /** Starts, and kills as soon as the spool is open. Absent where that cannot be told. */
  startAndKill?(): Promise<void>;
  /**
   * Deliveries that may have arrived without the relay knowing it, by its own account, as it stands on the disk after all starts: what a killed
   * process had still to print is gone. Absent where there is no such account.
   */
  ambiguousDeliveries?(): Promise<number>;
}

export interface RelayRun {
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>;
  /** The orderly way. */
  stop(): Promise<void>;
  /** Resolves if the process ends. */
  readonly ended: Promise<unknown>;
  /** Resolves when nothing waits in the queue. */
  untilEmpty(): Promise<void>;
}

export interface HarnessOptions {
  readonly kills: number;
  readonly messages: number;
  readonly connections: number;
  readonly seed: number;
  /** Called with accepted, delivered and kills so far. */
  readonly progress?: ((accepted: number, delivered: number, kills: number) => void) | undefined;
  /** Give up when nothing arrived for so long although something is due. */
  readonly stallMs?: number | undefined;
}

export interface CrashReport extends Verdict {
  readonly seed: number;
  readonly kills: number;
  /** Deliveries in flight at the kills, by the relay's own account: the most duplicates there may be. Undefined if it does not tell. */
  readonly ambiguous: number | undefined;
  /** One line for each thing that is not as promised; empty when all is well. */
  readonly faults: readonly string[];
}

/** The event at which the process is killed. */
const INSTANTS = ["accepted", "half-sent", "before-reply", "after-reply"] as const;
type Instant = (typeof INSTANTS)[number];

interface Kill {
  /** Not before so many messages are accepted. */
  readonly accepted: number;
  readonly at: Instant;
  /** Once more while it starts again. */
  readonly again: boolean;
}

/**
 * @param makeRelay - gets the port of the next hop
 * @throws Error when the relay ends by itself, does not start, or refuses a message
 */
export async function runCrashTest(
  makeRelay: (nextHopPort: number) => Promise<RelayUnderTest>,
  options: HarnessOptions,
): Promise<CrashReport> {
  const crash = new CrashRun(options);
  return crash.run(makeRelay);
}

class CrashRun {
  readonly #options: HarnessOptions;
  readonly #random: Random;
  readonly #accepted = new Map<string, string>();
  readonly #deliveries: Delivery[] = [];
  readonly #deliveredIds = new Set<string>();
  readonly #watchers = new Set<() => void>();
  #armed: { at: Instant; fire: () => void } | undefined;
  #submitted = 0;
  #kills = 0;
  /** Pending while the relay is down. */
  #up = Promise.withResolvers<void>();

  constructor(options: HarnessOptions) {
    this.#options = options;
    this.#random = new Random(options.seed);
  }

  async run(makeRelay: (nextHopPort: number) => Promise<RelayUnderTest>): Promise<CrashReport> {
    const sink = new SmtpReceiver((content) => this.#take(content));
    const relay = await makeRelay(await sink.listen());
    let current: RelayRun | undefined;
    const failed = Promise.withResolvers<never>();
    const start = async () => {
      const run = await relay.start();
      let killed = false;
      void run.ended.then(() => killed || failed.reject(new Error("the relay ended by itself")));
      const end = async (how: () => Promise<void>) => {
        killed = true;
        await how();
      };
      current = { ...run, kill: () => end(() => run.kill()), stop: () => end(() => run.stop()) };
      this.#up.resolve();
      return current;
    };
    try {
      await start();
      const work = Promise.all([this.#submitAll(relay.port), this.#killAll(relay, () => current, start)]);
      await Promise.race([work, failed.promise]);
      await Promise.race([this.#untilAllDelivered(), failed.promise]);
      if (this.#missing() === 0) await Promise.race([current?.untilEmpty(), failed.promise]);
      await current?.stop();
      current = undefined;
      return this.#report(await relay.ambiguousDeliveries?.());
    } finally {
      failed.promise.catch(() => undefined);
      await current?.kill();
      await sink.close();
    }
  }

  /** The instants, in the order of acceptance. The last messages are spared, so that each instant still comes. */
  #plan(): Kill[] {
    const { kills, messages } = this.#options;
    const plan: Kill[] = [];
    for (let left = kills; left > 0;) {
      const again = left > 1 && this.#random.chance(0.15);
      plan.push({ accepted: this.#random.between(1, Math.floor(messages * 0.95)), at: this.#random.pick(INSTANTS), again });
      left -= again ? 2 : 1;
    }
    return plan.toSorted((a, b) => a.accepted - b.accepted);
  }

  async #killAll(relay: RelayUnderTest, current: () => RelayRun | undefined, start: () => Promise<RelayRun>): Promise<void> {
    for (const { accepted, at, again } of this.#plan()) {
      await this.#until(() => this.#accepted.size >= accepted);
      await new Promise<void>((resolve) => {
        this.#armed = { at, fire: resolve };
      });
      // Nobody may connect before the new process is ready.
      this.#up = Promise.withResolvers();
      await current()?.kill();
      this.#kills++;
      if (again && relay.startAndKill) {
        await relay.startAndKill();
        this.#kills++;
      }
      await start();
    }
  }

  async #submitAll(port: number): Promise<void> {
    await Promise.all(Array.from({ length: this.#options.connections }, () => this.#submitSome(port)));
  }

  async #submitSome(port: number): Promise<void> {
    const submitter = new Submitter(port);
    while (this.#submitted < this.#options.messages) {
      const number = this.#submitted++;
      const { messageId, content } = makeMessage(number, new Random(this.#options.seed + number + 1));
      const queueId = await this.#submitUntilAccepted(submitter, content);
      if (this.#accepted.has(queueId)) throw new Error(`queue id ${queueId} was given twice`);
      this.#accepted.set(queueId, messageId);
      this.#tell("accepted");
    }
    submitter.close();
  }

  async #submitUntilAccepted(submitter: Submitter, content: Buffer): Promise<string> {
    for (;;) {
      await this.#up.promise;
      try {
        return await submitter.submit(content, () => this.#tell("half-sent"));
      } catch (error) {
        if (!(error instanceof ConnectionLost)) throw error;
        submitter.close();
      }
    }
  }

  #take(content: Buffer): string {
    const delivery = readDelivery(content);
    this.#deliveries.push(delivery);
    this.#deliveredIds.add(delivery.posternId);
    this.#tell("before-reply");
    setImmediate(() => this.#tell("after-reply"));
    return "250 2.0.0 Ok: taken";
  }

  /** Something happened: perhaps the relay is killed now. */
  #tell(instant: Instant): void {
    if (this.#armed?.at === instant) {
      const { fire } = this.#armed;
      this.#armed = undefined;
      fire();
    }
    for (const watcher of this.#watchers) watcher();
    this.#options.progress?.(this.#accepted.size, this.#deliveries.length, this.#kills);
  }

  #missing(): number {
    let missing = 0;
    for (const queueId of this.#accepted.keys()) if (!this.#deliveredIds.has(queueId)) missing++;
    return missing;
  }

  /** Resolves also when deliveries have stopped coming: what is missing then is lost. */
  async #untilAllDelivered(): Promise<void> {
    let stalled = false;
    let timer: NodeJS.Timeout | undefined;
    const restart = () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        stalled = true;
        for (const watcher of this.#watchers) watcher();
      }, this.#options.stallMs ?? 90_000);
    };
    let seen = -1;
    await this.#until(() => {
      if (seen !== this.#deliveries.length) restart();
      seen = this.#deliveries.length;
      return stalled || this.#missing() === 0;
    });
    clearTimeout(timer);
  }

  #until(holds: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const watcher = () => {
        if (!holds()) return;
        this.#watchers.delete(watcher);
        resolve();
      };
      this.#watchers.add(watcher);
      watcher();
    });
  }

  #report(ambiguous: number | undefined): CrashReport {
    const verdict = judge(this.#accepted, this.#deliveries);
    const faults = [...verdict.wrong];
    if (verdict.lost.length > 0) faults.push(`${verdict.lost.length} accepted messages were lost: ${verdict.lost.slice(0, 5).join(" ")}`);
    if (ambiguous !== undefined && verdict.duplicates > ambiguous) {
      faults.push(`${verdict.duplicates} duplicates, but only ${ambiguous} deliveries were in flight at the kills`);
    }
    return { ...verdict, seed: this.#options.seed, kills: this.#kills, ambiguous, faults };
  }
}
