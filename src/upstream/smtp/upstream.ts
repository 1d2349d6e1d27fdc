/** A way out by SMTP: attempts over pooled connections, as facts. What differs between kinds of next hops is how they sign in. */
import type { AttemptFacts, Delivery, Diagnosis, DoorTraits, Refusal, Trial, Upstream, UpstreamLimits } from "../upstream.ts";
import { dialogueOf, keepTranscript } from "../dialogue.ts";
import type { ConnectionGroup } from "./connection-group.ts";
import type { SmtpConnection } from "./connection.ts";
import { examine } from "./examine.ts";
import { faultAt } from "./fault.ts";
import { ConnectionOpener } from "./opening.ts";
import type { OpeningOptions } from "./opening.ts";
import { ConnectionPool } from "./pool.ts";
import type { KeepLimits, Lease } from "./pool.ts";
import type { TransactionFacts } from "./transaction.ts";
import { upstreamIdOf } from "./upstream-id.ts";

/** Everything about one upstream that is fixed when it is made. */
export interface SmtpUpstreamOptions extends OpeningOptions {
  readonly type: Upstream["type"];
  readonly limits: UpstreamLimits;
  readonly traits: DoorTraits;
  readonly mailbox: string | undefined;
  readonly keep: KeepLimits;
  /** Doors whose connections are counted with this one's. */
  readonly group?: ConnectionGroup | undefined;
  readonly signInFrom?: Upstream["signInFrom"];
  readonly credentialExpiresAt: () => number | undefined;
  /** Called with a function that lets no connection opened until then be used again; what it returns is called at the end. */
  readonly watch?: ((renew: () => void) => () => void) | undefined;
}

/** An Upstream over SMTP. */
export class SmtpUpstream implements Upstream {
  readonly name: string;
  readonly type: Upstream["type"];
  readonly limits: UpstreamLimits;
  readonly traits: DoorTraits;
  readonly mailbox: string | undefined;
  readonly signInFrom: Upstream["signInFrom"];
  readonly #options: SmtpUpstreamOptions;
  readonly #opener: ConnectionOpener;
  readonly #pool: ConnectionPool;
  readonly #stopWatching: (() => void) | undefined;

  constructor(options: SmtpUpstreamOptions) {
    this.name = options.name;
    this.type = options.type;
    this.limits = options.limits;
    this.traits = options.traits;
    this.mailbox = options.mailbox;
    this.signInFrom = options.signInFrom;
    this.#options = options;
    const opener = (this.#opener = new ConnectionOpener(options));
    this.#pool = new ConnectionPool({
      open: async (signal, watch) => await opener.open(signal, watch),
      size: options.limits.connections,
      keep: options.keep,
      clock: options.clock,
      group: options.group,
    });
    this.#stopWatching = options.watch?.(() => this.#pool.renew());
  }

  get credentialExpiresAt(): number | undefined {
    return this.#options.credentialExpiresAt();
  }

  async attempt(delivery: Delivery, signal: AbortSignal): Promise<AttemptFacts> {
    const { clock } = this.#options;
    if (signal.aborted) return this.#notConnected(delivery, faultAt("connect", "ABORTED", "stopped"), 0);
    const askedAt = clock.monotonic();
    const kept = this.#pool.takeIdle();
    let lease: Lease | Refusal = kept === undefined ? await this.#pool.acquire(signal) : { connection: kept, reused: true };
    if ("stage" in lease) return this.#notConnected(delivery, lease, clock.monotonic() - askedAt);
    let readyAt = lease.reused ? askedAt : clock.monotonic();
    let transaction = await transact(lease.connection, delivery, signal);
    if (lease.reused && transaction.stale && !signal.aborted) {
      // The server ended a kept connection before it knew of this message: the same attempt, on a new one.
      const fresh: Lease | Refusal = await this.#pool.replace(lease.connection, signal);
      if ("stage" in fresh) return this.#notConnected(delivery, fresh, clock.monotonic() - askedAt);
      lease = fresh;
      readyAt = clock.monotonic();
      transaction = await transact(lease.connection, delivery, signal);
    }
    const facts = this.#facts(lease, transaction, readyAt - askedAt, clock.monotonic() - readyAt);
    keepTranscript(this.#options.transcripts, { upstream: this.name, queueId: delivery.queueId, clock }, facts, lease.connection.dialogue);
    if (transaction.reuse === "after-reset") void this.#resetAndRelease(lease.connection);
    else this.#pool.release(lease.connection);
    return facts;
  }

  async probe(signal: AbortSignal): Promise<Refusal | undefined> {
    if (signal.aborted) return faultAt("connect", "ABORTED", "stopped");
    const lease = await this.#pool.acquire(signal);
    if ("stage" in lease) return this.#keepRefused(lease, undefined);
    // A kept connection proves nothing about now.
    const alive = lease.reused ? await lease.connection.resetSession() : true;
    if (alive) {
      this.#pool.release(lease.connection);
      return undefined;
    }
    lease.connection.close();
    const fresh = await this.#pool.replace(lease.connection, signal);
    if ("stage" in fresh) return this.#keepRefused(fresh, undefined);
    this.#pool.release(fresh.connection);
    return undefined;
  }

  async prepare(signal: AbortSignal): Promise<Refusal | undefined> {
    return await this.#opener.prepare(signal);
  }

  async diagnose(trial: Trial, signal: AbortSignal): Promise<Diagnosis> {
    return await examine(this.#options, this.#opener, trial, signal);
  }

  async close(): Promise<void> {
    this.#stopWatching?.();
    await this.#pool.close();
  }

  async #resetAndRelease(connection: SmtpConnection): Promise<void> {
    if (!(await connection.resetSession())) connection.close();
    this.#pool.release(connection);
  }

  /** There is no connection. What was said until then is what a person needs to see. */
  #keepRefused(refusal: Refusal, queueId: string | undefined): Refusal {
    const { transcripts, places, clock } = this.#options;
    if (refusal.fault?.code !== "ABORTED")
      keepTranscript(transcripts, { upstream: this.name, queueId, clock }, { remote: places.text, refusal }, dialogueOf(refusal));
    return refusal;
  }

  // ---- facts -------------------------------------------------------------------------------------------------------------

  #notConnected(delivery: Delivery, refusal: Refusal, connectMs: number): AttemptFacts {
    const recipients = delivery.recipients.map((address) => ({ address }));
    this.#keepRefused(refusal, delivery.queueId);
    return { remote: this.#options.places.text, reusedConnection: false, connectMs, transmitMs: 0, refusal, recipients, ambiguous: false };
  }

  #facts(lease: Lease, transaction: TransactionFacts, connectMs: number, transmitMs: number): AttemptFacts {
    const { recipients, refusal, accepted, ambiguous } = transaction;
    return {
      remote: lease.connection.remote,
      tls: lease.connection.tlsVersion,
      reusedConnection: lease.reused,
      connectMs,
      transmitMs,
      refusal,
      recipients,
      accepted,
      upstreamId: accepted === undefined ? undefined : upstreamIdOf(accepted),
      ambiguous,
    };
  }
}

/** Connections that carry a message, by the signal that stops it. A lane has one for all its attempts: one listener is enough, and cheaper for each. */
const underWay = new WeakMap<AbortSignal, Set<SmtpConnection>>();

async function transact(connection: SmtpConnection, delivery: Delivery, signal: AbortSignal): Promise<TransactionFacts> {
  let connections = underWay.get(signal);
  if (connections === undefined) {
    const all = (connections = new Set<SmtpConnection>());
    underWay.set(signal, all);
    signal.addEventListener("abort", () => {
      for (const one of all) one.abandon("ABORTED", "stopped");
    });
  }
  connections.add(connection);
  if (signal.aborted) connection.abandon("ABORTED", "stopped");
  const transaction = await connection.transact(delivery);
  connections.delete(connection);
  return transaction;
}
