/** The receiving stage: listeners to accepted mail in the queue. Start it, stop it; everything else comes as events. */
import { randomInt } from "node:crypto";
import type { AddressInfo } from "node:net";
import { setImmediate as nextTurn } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { bindRemedy } from "../platform/bind-remedy.ts";
import { Acceptor, bindAgain, type BoundSocket } from "./accept.ts";
import { makeContext, type SharedContext } from "./contexts.ts";
import { DEFAULT_LIMITS } from "./options.ts";
import type { Certificates, ClientOptions, ListenerOptions, ReceiverOptions, ReceiverSettings } from "./options.ts";
import { Places } from "./places.ts";
import { Rates } from "./rates.ts";
import { Repeats } from "./repeats.ts";
import type { Authenticator } from "./sign-in.ts";
import { SignIns } from "./sign-in.ts";
import { MailDate } from "./trace.ts";
import { Turns } from "./turns.ts";

export type {
  CertificatePair,
  Certificates,
  ClientOptions,
  Endpoint,
  ListenerAuth,
  ListenerOptions,
  ListenerTls,
  ReceiverLimits,
  ReceiverOptions,
  ReceiverSettings,
  SizeLimit,
  TlsVersion,
} from "./options.ts";

export type { Authenticator } from "./sign-in.ts";

/** Where a listener is bound. */
export interface BoundAddress {
  readonly listener: string;
  readonly address: string;
  readonly port: number;
}

/** A running or stopped receiving stage. */
export interface Receiver {
  /**
   * Binds every endpoint of every listener. When one cannot be bound, those bound before are closed again.
   *
   * @throws Error of the listener that could not be bound (EADDRINUSE, EACCES …), naming it
   */
  start(): Promise<void>;
  /**
   * Takes no more connections, says 421 to idle sessions at once, lets messages in progress finish for `graceMs`, then cuts what is left.
   * Resolves when every session is gone; what was committed by then is safe.
   */
  stop(graceMs: number): Promise<void>;
  /** Shows other certificates from the next handshake of this listener on. @throws Error when they do not fit: those before stay */
  present(listener: string, certificates: Certificates): void;
  /**
   * Takes up a reload. Connections from now on find the new clients and listeners; open sessions go on as they began. An address that a listener keeps
   * stays bound throughout; one that stands in the way of another on its port is closed just before.
   *
   * @throws Error for networks that cannot be read or are listed twice on a listener, a certificate that does not fit, and an address that cannot be
   *   bound; nothing has changed then
   */
  update(settings: ReceiverSettings): Promise<void>;
  /** What is bound; with port 0, where. */
  addresses(): readonly BoundAddress[];
  /** Sessions now, waiting connections not included. */
  sessionCount(): number;
}

/**
 * Builds the stage. Nothing is bound before `start`.
 *
 * @throws Error for networks that cannot be read or are listed twice on a listener, and for a certificate that OpenSSL does not take
 */
export function createReceiver(options: ReceiverOptions): Receiver {
  return new ReceivingStage(options);
}

/** How exactly slow sessions are measured. */
const INSPECT_MS = 5_000;

const NOBODY: Authenticator = { isUser: () => false, remembers: () => false, check: () => Promise.resolve(false) };

class ReceivingStage implements Receiver {
  readonly #places = new Places();
  #acceptors: readonly Acceptor[];
  /** The same object for all sessions, changed in place by a reload. */
  readonly #options: ReceiverOptions;
  #stopInspecting: (() => void) | undefined;
  /** What all listeners share. */
  #shared: SharedContext;
  readonly #nextId = sessionIds();
  #date: MailDate;

  constructor(given: ReceiverOptions) {
    const options = { ...given };
    this.#options = options;
    const limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#date = new MailDate(options.timeZone);
    const formatDate = (at: number): string => this.#date.format(at);
    const signIns = new SignIns(options.authenticator ?? NOBODY, options.clock, { firstDelayMs: limits.authDelayMs });
    this.#shared = { options, limits, signIns, formatDate, repeats: new Repeats(), rates: new Rates(), handshakes: new Turns() };
    this.#acceptors = options.listeners.map((listener) => this.#acceptorOf(listener, options.clients, this.#shared));
  }

  #acceptorOf(listener: ListenerOptions, clients: readonly ClientOptions[], shared: SharedContext): Acceptor {
    return new Acceptor(makeContext(listener, shared), clients, this.#places, this.#nextId);
  }

  async start(): Promise<void> {
    await startAll(this.#acceptors, [], []);
    for (const acceptor of this.#acceptors) acceptor.takeOver();
    this.#inspect();
  }

  /** Ends sessions that take too long: too slow for a timer of each, which any octet would start anew. */
  #inspect(): void {
    const { clock } = this.#options;
    this.#stopInspecting = clock.after(INSPECT_MS, () => {
      const now = clock.monotonic();
      for (const session of this.#places.sessions) session.inspect(now);
      this.#inspect();
    });
  }

  async stop(graceMs: number): Promise<void> {
    for (const acceptor of this.#acceptors) acceptor.stop();
    this.#stopInspecting?.();
    this.#places.cancelWaiting();
    for (const session of this.#places.sessions) session.stop();
    const cancel = this.#options.clock.after(graceMs, () => {
      for (const session of this.#places.sessions) session.destroy();
    });
    await this.#places.empty();
    cancel();
    for (const acceptor of this.#acceptors) acceptor.destroyRefused();
  }

  present(listener: string, certificates: Certificates): void {
    this.#acceptors.find((acceptor) => acceptor.listener.name === listener)?.present(certificates);
  }

  async update(settings: ReceiverSettings): Promise<void> {
    const { clients } = settings;
    const before = this.#acceptors;
    const shared = { ...this.#shared, limits: { ...DEFAULT_LIMITS, ...settings.limits } };
    const limitsAreSame = isDeepStrictEqual(this.#shared.limits, shared.limits);
    const kept = new Map<Acceptor, ReturnType<Acceptor["prepare"]>>();
    const fresh: Acceptor[] = [];
    const after = settings.listeners.map((listener) => {
      const same = limitsAreSame ? before.find((acceptor) => isDeepStrictEqual(acceptor.listener, listener)) : undefined;
      if (same !== undefined) kept.set(same, same.prepare(clients));
      else fresh.push(this.#acceptorOf(listener, clients, shared));
      return same ?? (fresh.at(-1) as Acceptor);
    });
    const leaving = before.filter((acceptor) => !kept.has(acceptor));
    await startAll(
      fresh,
      leaving.flatMap((acceptor) => acceptor.sockets),
      [...kept.keys()].flatMap((acceptor) => acceptor.sockets),
    );
    // From here on nothing fails.
    const { listeners, limits, domains, sizeLimit, timeZone, logSubjects } = settings;
    this.#shared = shared;
    if (timeZone !== this.#options.timeZone) this.#date = new MailDate(timeZone);
    Object.assign(this.#options, { listeners, limits, clients, domains, sizeLimit, timeZone, logSubjects });
    for (const [acceptor, directory] of kept) acceptor.update(directory);
    for (const acceptor of fresh) acceptor.takeOver();
    for (const acceptor of leaving) acceptor.leave();
    this.#acceptors = after;
  }

  addresses(): readonly BoundAddress[] {
    return this.#acceptors.flatMap((acceptor) =>
      acceptor.addresses.map((address: AddressInfo) => ({
        listener: acceptor.listener.name,
        address: address.address,
        port: address.port,
      })),
    );
  }

  sessionCount(): number {
    return this.#places.sessions.size;
  }
}

/** Binds what is not bound yet. When one cannot be bound, those bound before are closed again, and what was closed for them is bound again. */
async function startAll(acceptors: readonly Acceptor[], leaving: readonly BoundSocket[], staying: readonly BoundSocket[]): Promise<void> {
  const wanted = acceptors.flatMap(({ listener }) => listener.endpoints);
  const going = leaving.filter(({ endpoint }) => !wanted.some((other) => isDeepStrictEqual(other, endpoint)));
  const gone: BoundSocket[] = [];
  // From every address to one of them, or back: the port is free only once the other one is.
  const makeWay = async (error: unknown): Promise<boolean> => {
    const found = inTheWay(error, going).filter((socket) => !gone.includes(socket));
    for (const socket of found) socket.server.close();
    gone.push(...found);
    await nextTurn();
    return found.length > 0;
  };
  for (const acceptor of acceptors) {
    try {
      await acceptor.start(leaving, makeWay);
    } catch (error) {
      const own = [...staying, ...leaving.filter((socket) => !going.includes(socket)), ...acceptors.flatMap(({ sockets }) => sockets)];
      const [blocking] = inTheWay(error, own);
      for (const other of acceptors) other.stop();
      await nextTurn();
      let cause = error instanceof Error ? error.message : String(error);
      cause += blocking === undefined ? bindRemedy(error) : `; the relay itself listens at ${placeOf(blocking)}`;
      for (const socket of gone)
        await bindAgain(socket).catch(() => (cause += `; ${placeOf(socket)}, closed for it, is lost until a restart`));
      throw new Error(`listener ${acceptor.listener.name} cannot be bound: ${cause}`, { cause: error });
    }
  }
}

/** Which of these keep the address from being bound that the error is about. */
function inTheWay(error: unknown, sockets: readonly BoundSocket[]): BoundSocket[] {
  const { code, address: wanted = "", port } = error as NodeJS.ErrnoException & { readonly address?: string; readonly port?: number };
  if (code !== "EADDRINUSE") return [];
  return sockets.filter(
    ({ address }) => address.port === port && (address.address === wanted || EVERY.has(wanted) || EVERY.has(address.address)),
  );
}

const EVERY: ReadonlySet<string> = new Set(["0.0.0.0", "::"]);

function placeOf({ address: { address, family, port } }: BoundSocket): string {
  return family === "IPv6" ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Short names of sessions for logs: different in each process, in order within it. */
function sessionIds(): () => string {
  const run = randomInt(36 ** 5)
    .toString(36)
    .padStart(5, "0");
  let count = 0;
  return () => `${run}-${(count += 1).toString(36)}`;
}
