/** Graph's limits for one app on one mailbox: requests at once, requests in ten minutes, octets uploaded in five. */
import type { Clock } from "../platform/clock.ts";
import { GraphFault, graphFault } from "./graph-fault.ts";

/** Limits of Graph; live, what a test changes counts from the next request on. */
export interface GraphSettings {
  concurrentRequests: number;
  requestsPer10Minutes: number;
  uploadBytesPer5Minutes: number;
  /** A larger request is refused. */
  maxRequestBytes: number;
  /** A larger MIME is answered with 200 and not sent. */
  maxMimeBytes: number;
}

export const DEFAULT_GRAPH: Readonly<GraphSettings> = {
  concurrentRequests: 4,
  requestsPer10Minutes: 10_000,
  uploadBytesPer5Minutes: 150 * 1024 * 1024,
  maxRequestBytes: 4 * 1024 * 1024,
  maxMimeBytes: 2_240 * 1024,
};

const MINUTE_MS = 60_000;
/** Windows are counted in pieces of a second, so that ten thousand requests take 600 numbers. */
const PIECE_MS = 1_000;

/** A sum over the time just past. */
class SlidingSum {
  #pieces: { readonly at: number; amount: number }[] = [];
  #total = 0;
  readonly #spanMs: number;

  constructor(spanMs: number) {
    this.#spanMs = spanMs;
  }

  at(now: number): number {
    while (this.#pieces[0] !== undefined && this.#pieces[0].at + this.#spanMs <= now) this.#total -= this.#pieces.shift()?.amount ?? 0;
    return this.#total;
  }

  add(now: number, amount: number): void {
    const at = now - (now % PIECE_MS);
    const last = this.#pieces.at(-1);
    if (last?.at === at) last.amount += amount;
    else this.#pieces.push({ at, amount });
    this.#total += amount;
  }

  /** Seconds until the oldest piece leaves the window. */
  secondsToWait(now: number): number {
    const first = this.#pieces[0];
    return first === undefined ? 1 : Math.max(1, Math.ceil((first.at + this.#spanMs - now) / 1000));
  }
}

interface Usage {
  open: number;
  readonly requests: SlidingSum;
  readonly bytes: SlidingSum;
}

/** Counts requests by app and mailbox. */
export class GraphThrottle {
  #usage = new Map<string, Usage>();
  #refused = new Map<string, number>();
  #settings: GraphSettings;
  #clock: Clock;

  constructor(settings: GraphSettings, clock: Clock) {
    this.#settings = settings;
    this.#clock = clock;
  }

  /**
   * Lets a request in; the returned function lets it out again and may be called more than once.
   *
   * @throws GraphFault 429
   */
  enter(clientId: string, mailbox: string): () => void {
    const now = this.#clock.now();
    const usage = this.#of(clientId, mailbox);
    const { concurrentRequests, requestsPer10Minutes, uploadBytesPer5Minutes } = this.#settings;
    // Refused requests count too, as at Microsoft: a client that does not wait makes it longer.
    const requests = usage.requests.at(now);
    usage.requests.add(now, 1);
    if (usage.open >= concurrentRequests) throw this.#refuse(mailbox, graphFault("graph-throttled"));
    if (requests >= requestsPer10Minutes) throw this.#refuse(mailbox, over("Requests", usage.requests.secondsToWait(now)));
    if (usage.bytes.at(now) >= uploadBytesPer5Minutes) throw this.#refuse(mailbox, over("IncomingBytes", usage.bytes.secondsToWait(now)));
    usage.open += 1;
    let inside = true;
    return () => {
      if (inside) usage.open -= 1;
      inside = false;
    };
  }

  /** Counts what a request uploaded. */
  uploaded(clientId: string, mailbox: string, octets: number): void {
    this.#of(clientId, mailbox).bytes.add(this.#clock.now(), octets);
  }

  /** Requests that were refused because of a limit, by mailbox. */
  refusedCounts(): Record<string, number> {
    return Object.fromEntries(this.#refused);
  }

  clear(): void {
    this.#refused.clear();
    for (const [key, usage] of this.#usage) if (usage.open === 0) this.#usage.delete(key);
  }

  #of(clientId: string, mailbox: string): Usage {
    const key = `${clientId} ${mailbox.toLowerCase()}`;
    let usage = this.#usage.get(key);
    if (usage === undefined) {
      usage = { open: 0, requests: new SlidingSum(10 * MINUTE_MS), bytes: new SlidingSum(5 * MINUTE_MS) };
      this.#usage.set(key, usage);
    }
    return usage;
  }

  #refuse(mailbox: string, fault: GraphFault): GraphFault {
    const key = mailbox.toLowerCase();
    this.#refused.set(key, (this.#refused.get(key) ?? 0) + 1);
    return fault;
  }
}

function over(limit: string, seconds: number): GraphFault {
  return new GraphFault(429, "ApplicationThrottled", `Application is over its ${limit} limit.`, { "Retry-After": String(seconds) });
}
