/** The receiving stage: listeners to accepted mail in the queue. Start it, stop it; everything else comes as events. */
import { randomInt } from "node:crypto";
import type { AddressInfo } from "node:net";
import { Acceptor } from "./accept.ts";
import { makeContext } from "./contexts.ts";
import { DEFAULT_LIMITS } from "./options.ts";
import type { Certificates, ReceiverOptions } from "./options.ts";
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
  readonly #acceptors: { readonly name: string; readonly acceptor: Acceptor }[];
  readonly #options: ReceiverOptions;
  #stopInspecting: (() => void) | undefined;

  constructor(options: ReceiverOptions) {
    this.#options = options;
    const limits = { ...DEFAULT_LIMITS, ...options.limits };
    const date = new MailDate(options.timeZone);
    const formatDate = (at: number): string => date.format(at);
    const signIns = new SignIns(options.authenticator ?? NOBODY, options.clock, { firstDelayMs: limits.authDelayMs });
    const nextId = sessionIds();
    const shared = { options, limits, signIns, formatDate, repeats: new Repeats(), rates: new Rates(), handshakes: new Turns() };
    this.#acceptors = options.listeners.map((listener) => ({
      name: listener.name,
      acceptor: new Acceptor(makeContext(listener, shared), options.clients, this.#places, nextId),
    }));
  }

  async start(): Promise<void> {
    for (const { name, acceptor } of this.#acceptors) {
      try {
        await acceptor.start();
      } catch (error) {
        for (const { acceptor: other } of this.#acceptors) other.stop();
        throw new Error(`listener ${name} cannot be bound: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
      }
    }
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
    for (const { acceptor } of this.#acceptors) acceptor.stop();
    this.#stopInspecting?.();
    this.#places.cancelWaiting();
    for (const session of this.#places.sessions) session.stop();
    const cancel = this.#options.clock.after(graceMs, () => {
      for (const session of this.#places.sessions) session.destroy();
    });
    await this.#places.empty();
    cancel();
    for (const { acceptor } of this.#acceptors) acceptor.destroyRefused();
  }

  present(listener: string, certificates: Certificates): void {
    this.#acceptors.find(({ name }) => name === listener)?.acceptor.present(certificates);
  }

  addresses(): readonly BoundAddress[] {
    return this.#acceptors.flatMap(({ name, acceptor }) =>
      acceptor.addresses.map((address: AddressInfo) => ({ listener: name, address: address.address, port: address.port })),
    );
  }

  sessionCount(): number {
    return this.#places.sessions.size;
  }
}

/** Short names of sessions for logs: different in each process, in order within it. */
function sessionIds(): () => string {
  const run = randomInt(36 ** 5)
    .toString(36)
    .padStart(5, "0");
  let count = 0;
  return () => `${run}-${(count += 1).toString(36)}`;
}
