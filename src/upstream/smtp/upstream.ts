/** A way out by SMTP: attempts over pooled connections, as facts. What differs between kinds of next hops is how they sign in. */
import { formatReply } from "../../mail/reply.ts";
import type { Emit } from "../../mail/events.ts";
import type { Clock } from "../../platform/clock.ts";
import type { AttemptFacts, Delivery, DoorTraits, Refusal, Upstream, UpstreamLimits } from "../upstream.ts";
import { SmtpConnection } from "./connection.ts";
import type { Login, SessionOptions, Timeouts } from "./session.ts";
import { dial } from "./dial.ts";
import type { Destination, TlsPolicy } from "./dial.ts";
import { faultAt } from "./fault.ts";
import { ConnectionPool } from "./pool.ts";
import type { KeepLimits, Lease } from "./pool.ts";
import { ReplyReader } from "./replies.ts";
import type { TransactionFacts } from "./transaction.ts";
import { upstreamIdOf } from "./upstream-id.ts";

/** Where the login of an upstream comes from. */
export interface SignIn {
  /** Asked before a connection is opened for it: a missing token must not tie up a connection. */
  login(signal: AbortSignal): Promise<Login | Refusal>;
  /** The server refused this login: another one to try once, or undefined when there is none and the refusal stands. */
  renew(refused: Login, refusal: Refusal, signal: AbortSignal): Promise<Login | Refusal | undefined>;
}

/** Everything about one upstream that is fixed when it is made. */
export interface SmtpUpstreamOptions {
  readonly name: string;
  readonly type: Upstream["type"];
  readonly limits: UpstreamLimits;
  readonly traits: DoorTraits;
  readonly mailbox: string | undefined;
  readonly destination: Destination;
  readonly ehloName: string;
  readonly tlsMode: "none" | "opportunistic" | "required" | "implicit";
  readonly tls: TlsPolicy;
  readonly keep: KeepLimits;
  readonly timeouts: Timeouts;
  readonly signIn: SignIn | undefined;
  readonly credentialExpiresAt: () => number | undefined;
  readonly clock: Clock;
  readonly emit: Emit;
}

/** An Upstream over SMTP. */
export class SmtpUpstream implements Upstream {
  readonly name: string;
  readonly type: Upstream["type"];
  readonly limits: UpstreamLimits;
  readonly traits: DoorTraits;
  readonly mailbox: string | undefined;
  readonly #options: SmtpUpstreamOptions;
  readonly #pool: ConnectionPool;
  readonly #replies: ReplyReader;
  readonly #place: string;

  constructor(options: SmtpUpstreamOptions) {
    this.name = options.name;
    this.type = options.type;
    this.limits = options.limits;
    this.traits = options.traits;
    this.mailbox = options.mailbox;
    this.#options = options;
    this.#replies = new ReplyReader(options.name, options.emit);
    this.#place = `${options.destination.host}:${options.destination.port}`;
    this.#pool = new ConnectionPool({
      open: async (signal, watch) => await this.#open(signal, watch),
      size: options.limits.connections,
      keep: options.keep,
      clock: options.clock,
    });
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
    // Doors with a mailbox let nobody else send; what must not be answered goes out as the mailbox.
    const outgoing = delivery.reversePath === "" && this.mailbox !== undefined ? { ...delivery, reversePath: this.mailbox } : delivery;
    let readyAt = lease.reused ? askedAt : clock.monotonic();
    let transaction = await transact(lease.connection, outgoing, signal);
    if (lease.reused && transaction.stale && !signal.aborted) {
      // The server ended a kept connection before it knew of this message: the same attempt, on a new one.
      const fresh: Lease | Refusal = await this.#pool.replace(lease.connection, signal);
      if ("stage" in fresh) return this.#notConnected(delivery, fresh, clock.monotonic() - askedAt);
      lease = fresh;
      readyAt = clock.monotonic();
      transaction = await transact(lease.connection, outgoing, signal);
    }
    const facts = this.#facts(lease, transaction, readyAt - askedAt, clock.monotonic() - readyAt);
    if (transaction.reuse === "after-reset") void this.#resetAndRelease(lease.connection);
    else this.#pool.release(lease.connection);
    return facts;
  }

  async probe(signal: AbortSignal): Promise<Refusal | undefined> {
    if (signal.aborted) return faultAt("connect", "ABORTED", "stopped");
    const lease = await this.#pool.acquire(signal);
    if ("stage" in lease) return lease;
    // A kept connection proves nothing about now.
    const alive = lease.reused ? await lease.connection.resetSession() : true;
    if (alive) {
      this.#pool.release(lease.connection);
      return undefined;
    }
    lease.connection.close();
    const fresh = await this.#pool.replace(lease.connection, signal);
    if ("stage" in fresh) return fresh;
    this.#pool.release(fresh.connection);
    return undefined;
  }

  async close(): Promise<void> {
    await this.#pool.close();
  }

  async #resetAndRelease(connection: SmtpConnection): Promise<void> {
    if (!(await connection.resetSession())) connection.close();
    this.#pool.release(connection);
  }

  // ---- opening -----------------------------------------------------------------------------------------------------------

  async #open(signal: AbortSignal, watch: (connection: SmtpConnection) => void): Promise<SmtpConnection | Refusal> {
    const { signIn, emit, name } = this.#options;
    let login = await signIn?.login(signal);
    if (login !== undefined && "stage" in login) return this.#authFailed(login);
    let connection = await this.#connect(signal, watch);
    if (!(connection instanceof SmtpConnection) || signIn === undefined || login === undefined) return connection;
    let refusal = await this.#authenticate(connection, login, signal);
    if (refusal !== undefined) {
      const next = await signIn.renew(login, refusal, signal);
      if (next !== undefined && "stage" in next) {
        refusal = next;
      } else if (next !== undefined) {
        login = next;
        if (!connection.usable) {
          connection = await this.#connect(signal, watch);
          if (!(connection instanceof SmtpConnection)) return connection;
        }
        refusal = await this.#authenticate(connection, login, signal);
      }
    }
    if (refusal !== undefined) {
      connection.close();
      return this.#authFailed(refusal);
    }
    emit({ type: "upstream.auth.succeeded", upstream: name });
    return connection;
  }

  async #authenticate(connection: SmtpConnection, login: Login, signal: AbortSignal): Promise<Refusal | undefined> {
    if (!connection.verified && !isLoopback(connection.remoteAddress)) {
      return connection.tlsVersion === undefined
        ? faultAt("auth", "CLEARTEXT_AUTH", "a password is not sent over a line without TLS, except to this machine itself")
        : faultAt("auth", "CERTIFICATE", "a password is not sent to a server whose certificate could not be verified");
    }
    const watching = endOnAbort(signal, connection);
    const refusal = await connection.authenticate(login);
    watching.delete(connection);
    return refusal;
  }

  /** A connection that is secured as configured. */
  async #connect(signal: AbortSignal, watch: (connection: SmtpConnection) => void): Promise<SmtpConnection | Refusal> {
    const { tlsMode, clock, emit, name } = this.#options;
    const startedAt = clock.monotonic();
    let startTls: SessionOptions["startTls"] = tlsMode === "implicit" ? "none" : tlsMode;
    for (;;) {
      const opened = await this.#greet(signal, startTls, watch);
      if (opened instanceof SmtpConnection) {
        const remote = this.#remote(opened);
        emit({ type: "upstream.connected", upstream: name, remote, tls: opened.tlsVersion, connectMs: clock.monotonic() - startedAt });
        return opened;
      }
      if (startTls !== "opportunistic" || opened.stage !== "starttls" || opened.fault?.code === "ABORTED")
        return this.#connectFailed(opened);
      // TLS was offered and does not work: opportunistic means plain is better than nothing.
      startTls = "none";
    }
  }

  async #greet(
    signal: AbortSignal,
    startTls: SessionOptions["startTls"],
    watch: (connection: SmtpConnection) => void,
  ): Promise<SmtpConnection | Refusal> {
    const { destination, ehloName, tls, tlsMode, timeouts, clock } = this.#options;
    const dialling = dial(destination, tlsMode === "implicit" ? tls : undefined);
    const giveUp = (): void => dialling.cancel(faultAt("connect", "ABORTED", "stopped while connecting"));
    const stopTimer = clock.after(timeouts.connectMs, () => dialling.cancel(faultAt("connect", "TIMEOUT", "no connection in time")));
    signal.addEventListener("abort", giveUp);
    if (signal.aborted) giveUp();
    const socket = await dialling.done;
    stopTimer();
    signal.removeEventListener("abort", giveUp);
    if ("stage" in socket) return socket;

    const options: SessionOptions = { ...destination, ehloName, startTls, tls, timeouts, clock, replies: this.#replies };
    const connection = new SmtpConnection(socket, options, tlsMode === "implicit");
    watch(connection);
    const watching = endOnAbort(signal, connection);
    const refusal = await connection.start();
    watching.delete(connection);
    if (refusal === undefined) return connection;
    connection.close();
    return refusal;
  }

  #connectFailed(refusal: Refusal): Refusal {
    this.#options.emit({
      type: "upstream.connect.failed",
      upstream: this.name,
      stage: refusal.stage,
      cause: causeOf(refusal),
      reply: refusal.reply,
    });
    return refusal;
  }

  #authFailed(refusal: Refusal): Refusal {
    this.#options.emit({ type: "upstream.auth.failed", upstream: this.name, cause: causeOf(refusal), reply: refusal.reply });
    return refusal;
  }

  // ---- facts -------------------------------------------------------------------------------------------------------------

  #remote(connection: SmtpConnection): string {
    const address = connection.remoteAddress;
    return address === undefined || address === this.#options.destination.host ? this.#place : `${this.#place} [${address}]`;
  }

  #notConnected(delivery: Delivery, refusal: Refusal, connectMs: number): AttemptFacts {
    const recipients = delivery.recipients.map((address) => ({ address }));
    return { remote: this.#place, reusedConnection: false, connectMs, transmitMs: 0, refusal, recipients, ambiguous: false };
  }

  #facts(lease: Lease, transaction: TransactionFacts, connectMs: number, transmitMs: number): AttemptFacts {
    const { recipients, refusal, accepted, ambiguous } = transaction;
    return {
      remote: (lease.connection.remote ??= this.#remote(lease.connection)),
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

/** Connections to end when a signal aborts. A lane uses one signal for all its attempts: one listener is enough, and cheaper for each message. */
const watched = new WeakMap<AbortSignal, Set<SmtpConnection>>();

/** Ends the connection when the signal aborts, until it is taken out of the set returned. */
function endOnAbort(signal: AbortSignal, connection: SmtpConnection): Set<SmtpConnection> {
  let connections = watched.get(signal);
  if (connections === undefined) {
    const all = (connections = new Set<SmtpConnection>());
    watched.set(signal, all);
    signal.addEventListener("abort", () => {
      for (const one of all) one.abandon("ABORTED", "stopped");
    });
  }
  connections.add(connection);
  if (signal.aborted) connection.abandon("ABORTED", "stopped");
  return connections;
}

async function transact(connection: SmtpConnection, delivery: Delivery, signal: AbortSignal): Promise<TransactionFacts> {
  const watching = endOnAbort(signal, connection);
  const transaction = await connection.transact(delivery);
  watching.delete(connection);
  return transaction;
}

function isLoopback(address: string | undefined): boolean {
  return address !== undefined && (address === "::1" || /^(::ffff:)?127\./.test(address));
}

/** A refusal in one line, for events. */
function causeOf(refusal: Refusal): string {
  if (refusal.reply !== undefined) return formatReply(refusal.reply);
  return refusal.fault === undefined ? refusal.stage : `${refusal.fault.code}: ${refusal.fault.detail}`;
}
