/**
 * Kept connections of one upstream: at most so many at a time, reused while they are fresh, ended with QUIT.
 *
 * A place counts as taken from the first packet until the connection is gone, QUIT included, because that is how Microsoft counts.
 * One timer serves all connections; it runs only while there are any.
 */
import type { Clock } from "../../platform/clock.ts";
import type { Refusal } from "../upstream.ts";
import type { ConnectionGroup, GroupMember } from "./connection-group.ts";
import { SmtpConnection } from "./connection.ts";
import { faultAt } from "./fault.ts";

/** When a kept connection is retired. */
export interface KeepLimits {
  readonly idleMs: number;
  readonly ageMs: number;
  readonly messages: number;
}

/**
 * Exchange Online closes after 5 minutes of silence and cuts whole sessions without notice; staying below costs a handshake every 50
 * messages, under 2 % of what a mailbox may send.
 */
export const MICROSOFT_KEEP: KeepLimits = { idleMs: 60_000, ageMs: 240_000, messages: 50 };
/** An own server does not count messages: at thousands a second, 50 would mean a new connection every few ms. Age still spreads the load. */
export const SMART_HOST_KEEP: KeepLimits = { idleMs: 60_000, ageMs: 240_000, messages: 10_000 };

/** Makes a connection that is ready for MAIL, or says why not. Must end when the signal aborts. */
export type Opener = (signal: AbortSignal, watch: (connection: SmtpConnection) => void) => Promise<SmtpConnection | Refusal>;

const TICK_MS = 1000;
const QUIT_MS = 5000;

interface Waiter {
  readonly grant: (place: SmtpConnection | "open" | Refusal) => void;
}

/** A connection for one attempt. */
export interface Lease {
  readonly connection: SmtpConnection;
  readonly reused: boolean;
}

/** Connections of one upstream. */
export class ConnectionPool implements GroupMember {
  readonly size: number;
  readonly #open: Opener;
  readonly #group: ConnectionGroup | undefined;
  readonly #keep: KeepLimits;
  readonly #clock: Clock;
  readonly #idle: SmtpConnection[] = [];
  /** Every connection that is not gone, for the timer. */
  readonly #alive = new Set<SmtpConnection>();
  /** In use. Their place stays taken when they die, until `release` or `replace`. */
  readonly #leased = new Set<SmtpConnection>();
  readonly #outdated = new WeakSet<SmtpConnection>();
  readonly #waiters: Waiter[] = [];
  /** Places taken: connections, and those being opened. */
  #taken = 0;
  /** The monotonic clock at the last tick: near enough for ages and idle times, and there for nothing. */
  #now = 0;
  #stopTimer: (() => void) | undefined;
  readonly #closed = new AbortController();
  #emptied: (() => void) | undefined;

  /** @param options - with `group`: pools that share the places of the largest of them */
  constructor(options: {
    readonly open: Opener;
    readonly size: number;
    readonly keep: KeepLimits;
    readonly clock: Clock;
    readonly group?: ConnectionGroup | undefined;
  }) {
    this.#open = options.open;
    this.size = options.size;
    this.#keep = options.keep;
    this.#clock = options.clock;
    this.#group = options.group;
    this.#group?.join(this);
  }

  /** A kept connection, at once; undefined when none is free, or others wait for it. */
  takeIdle(): SmtpConnection | undefined {
    if (this.#waiters.length > 0) return undefined;
    for (let connection = this.#idle.pop(); connection !== undefined; connection = this.#idle.pop()) {
      if (!connection.usable) {
        connection.abandon("RESET", "the connection was closed while idle");
      } else if (this.#worn(connection)) {
        connection.sayQuit(QUIT_MS);
      } else {
        this.#leased.add(connection);
        return connection;
      }
    }
    return undefined;
  }

  /** A connection: kept or new, in the order of asking when all places are taken. `reused` tells which. */
  async acquire(signal: AbortSignal): Promise<Lease | Refusal> {
    if (this.#closed.signal.aborted) return faultAt("connect", "ABORTED", "the upstream is being closed");
    const kept = this.takeIdle();
    if (kept !== undefined) return { connection: kept, reused: true };
    if (this.#waiters.length > 0 || !this.#takePlace()) {
      const place = await this.#wait(signal);
      if (place instanceof SmtpConnection) return { connection: place, reused: true };
      if (place !== "open") return place;
    }
    return await this.#openOnPlace(signal);
  }

  /** A new connection on the place of a leased one that turned out to be dead, ahead of those who wait. */
  async replace(dead: SmtpConnection, signal: AbortSignal): Promise<Lease | Refusal> {
    this.#leased.delete(dead);
    return await this.#openOnPlace(signal);
  }

  /** No connection opened until now is used again: idle ones are ended, those in use after their message. */
  renew(): void {
    for (const connection of this.#alive) this.#outdated.add(connection);
    for (const connection of this.#idle.splice(0)) connection.sayQuit(QUIT_MS);
  }

  /** Gives a connection back. One that cannot be used again ends here, in silence or with QUIT. */
  release(connection: SmtpConnection): void {
    const waiter = this.#closed.signal.aborted || this.#worn(connection) || !connection.usable ? undefined : this.#waiters.shift();
    if (waiter !== undefined) return waiter.grant(connection);
    this.#leased.delete(connection);
    if (!this.#alive.has(connection)) return this.#free();
    if (!connection.usable) return connection.abandon("RESET", "the connection cannot be used again");
    if (this.#closed.signal.aborted || this.#worn(connection) || this.#group?.isWantedFrom(this) === true)
      return connection.sayQuit(QUIT_MS);
    connection.idleSince = this.#now;
    this.#idle.push(connection);
  }

  /** QUIT to what is idle, an end to what is in use, a no to who waits. Resolves when every connection is gone. */
  async close(): Promise<void> {
    this.#closed.abort();
    const refusal = faultAt("connect", "ABORTED", "the upstream is being closed");
    for (const waiter of this.#waiters.splice(0)) waiter.grant(refusal);
    const idle = new Set(this.#idle.splice(0));
    for (const connection of this.#alive) {
      if (idle.has(connection)) connection.sayQuit(QUIT_MS);
      else connection.abandon("ABORTED", "the upstream is being closed");
    }
    if (this.#taken > 0) await new Promise<void>((resolve) => (this.#emptied = resolve));
    this.#group?.leave(this);
  }

  // ---- as a member of a group ----

  get isWaiting(): boolean {
    return this.#waiters.length > 0 && this.#taken < this.size;
  }

  endIdle(): boolean {
    const oldest = this.#idle.shift();
    oldest?.sayQuit(QUIT_MS);
    return oldest !== undefined;
  }

  /** A place became free: the first who waits opens a connection on it. */
  openNext(): boolean {
    if (this.#waiters.length === 0 || !this.#takePlace()) return false;
    this.#waiters.shift()?.grant("open");
    return true;
  }

  #takePlace(): boolean {
    if (this.#taken >= this.size || this.#group?.take(this) === false) return false;
    this.#taken += 1;
    return true;
  }

  #worn(connection: SmtpConnection): boolean {
    if (this.#outdated.has(connection)) return true;
    return connection.transactions >= this.#keep.messages || this.#now - connection.openedAt >= this.#keep.ageMs;
  }

  async #wait(signal: AbortSignal): Promise<SmtpConnection | "open" | Refusal> {
    return await new Promise((resolve) => {
      const aborted = (): void => {
        const at = this.#waiters.indexOf(waiter);
        if (at >= 0) this.#waiters.splice(at, 1);
        resolve(faultAt("connect", "ABORTED", "stopped while waiting for a free connection"));
      };
      const waiter: Waiter = {
        grant: (place) => {
          signal.removeEventListener("abort", aborted);
          resolve(place);
        },
      };
      if (signal.aborted) return aborted();
      signal.addEventListener("abort", aborted);
      this.#waiters.push(waiter);
    });
  }

  async #openOnPlace(signal: AbortSignal): Promise<Lease | Refusal> {
    const watched: SmtpConnection[] = [];
    let ready: SmtpConnection | undefined;
    try {
      const opened = await this.#open(AbortSignal.any([signal, this.#closed.signal]), (connection) => {
        watched.push(connection);
        connection.onClosed = () => this.#gone(connection);
        this.#alive.add(connection);
        this.#leased.add(connection);
        this.#runTimer();
      });
      if (!(opened instanceof SmtpConnection)) return opened;
      ready = opened;
      return { connection: opened, reused: false };
    } finally {
      // Whatever was begun besides ends here: the place is given up once, and with nothing left on it.
      for (const connection of watched) {
        if (connection === ready) continue;
        connection.close();
        this.#leased.delete(connection);
      }
      if (ready === undefined) this.#free();
    }
  }

  #gone(connection: SmtpConnection): void {
    this.#alive.delete(connection);
    const at = this.#idle.indexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
    if (!this.#leased.has(connection)) this.#free();
  }

  #free(): void {
    this.#taken -= 1;
    if (this.#group === undefined) this.openNext();
    else this.#group.free();
    if (this.#taken === 0) this.#emptied?.();
  }

  #runTimer(): void {
    if (this.#stopTimer !== undefined) return;
    this.#now = this.#clock.monotonic();
    this.#stopTimer = this.#clock.after(TICK_MS, () => {
      this.#stopTimer = undefined;
      const now = (this.#now = this.#clock.monotonic());
      for (const connection of this.#alive) connection.expire(now);
      for (let at = this.#idle.length - 1; at >= 0; at--) {
        const connection = this.#idle[at] as SmtpConnection;
        if (now - connection.idleSince < this.#keep.idleMs && now - connection.openedAt < this.#keep.ageMs) continue;
        this.#idle.splice(at, 1);
        connection.sayQuit(QUIT_MS);
      }
      if (this.#alive.size > 0) this.#runTimer();
    });
  }
}
