/** Binds the HTTP applications to their sockets, and changes that while they are in use. */
import { chmod } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import type { SecureContextOptions } from "node:tls";
import { describeError } from "../mail/errors.ts";
import { isProgramReplaced, PROGRAM_REPLACED } from "../platform/program.ts";
import { Bound } from "./bound.ts";
import { AT_THE_SOCKET, type Caller } from "./caller.ts";
import { prepareControlSocket } from "./control-socket.ts";
import { Front, type Answer } from "./front.ts";
import { Guard } from "./guard.ts";
import { answerMonitoring, answerUnavailable } from "./monitoring.ts";
import type { AdminSources } from "./sources.ts";

/** A place to listen. */
export interface AdminPlace {
  /** undefined: every address. */
  readonly host: string | undefined;
  /** 0 takes a free one. */
  readonly port: number;
  /** Whether the API answers there too, for who has a token. */
  readonly api: boolean;
  /** Certificate and key; undefined: plain HTTP. */
  readonly tls?: SecureContextOptions | undefined;
}

export interface AdminOptions extends AdminSources {
  /** `admin.listen` and `metrics.listen`. */
  readonly listen: readonly AdminPlace[];
  /** Path of the control socket; see `controlSocketPath`. Undefined: none. */
  readonly controlSocket: string | undefined;
}

/** Other places, bound and not yet in force. */
export interface PlacesToBe {
  /** From now on. Nothing fails any more. */
  apply(): void;
  /** After all not. */
  drop(): Promise<void>;
}

export interface Admin {
  /** Where `listen` is bound, in the same order, without what is not bound yet. */
  readonly addresses: readonly AddressInfo[];
  /**
   * Binds what is new among other places.
   *
   * @throws PosternError E_CONFIG when one cannot be bound; then nothing has changed
   */
  prepare(listen: readonly AdminPlace[]): Promise<PlacesToBe>;
  /** Another certificate wherever TLS is spoken, from the next handshake on. */
  present(tls: SecureContextOptions): void;
  /** Stops listening and ends open connections; the control socket's file is gone afterwards. */
  close(): Promise<void>;
}

/** The alert about a place that was not free at the start. */
const ALERT = "admin.unbound";
/** How long until it is tried again: an interface that comes up late is there within seconds, a program that has the port stays. */
const FIRST_AGAIN_MS = 1_000;
const LONGEST_AGAIN_MS = 15_000;

/** Requests under way on a place that a reload took away may go on for so long. */
const GRACE_MS = 30_000;

/**
 * Starts the listeners and the control socket. A place that cannot be bound keeps no mail out: it is an alert, and is tried again until it works.
 *
 * @throws PosternError E_CONFIG when the control socket cannot be bound, E_UNAVAILABLE when another daemon holds it
 */
export async function startAdmin(options: AdminOptions): Promise<Admin> {
  const server = new AdminServer(options);
  try {
    await server.start(options.listen, options.controlSocket);
    return server;
  } catch (error) {
    await server.close();
    throw error;
  }
}

/** A place in use. */
interface Used {
  readonly place: AdminPlace;
  /** undefined: not bound yet; it is tried again. */
  readonly bound: Bound | undefined;
  readonly front: Front;
}

class AdminServer implements Admin {
  readonly #sources: AdminSources;
  readonly #guard: Guard;
  readonly #callers = new WeakMap<IncomingMessage, Caller>();
  readonly #api: Answer;
  #used: readonly Used[] = [];
  #socket: Bound | undefined;
  /** What ends when the requests under way there have ended. */
  readonly #leaving = new Set<Bound>();
  #cancel: (() => void) | undefined;
  /** The attempts under way to bind what was not free. */
  #againMs = FIRST_AGAIN_MS;
  #trying: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(sources: AdminSources) {
    this.#sources = sources;
    this.#guard = new Guard(sources);
    this.#api = lazyApi(sources, this.#callers);
  }

  async start(listen: readonly AdminPlace[], controlSocket: string | undefined): Promise<void> {
    for (const place of listen) {
      const front = new Front(this.#answerAt(place), place.tls);
      this.#used = [...this.#used, { place, bound: await this.#bind(place, front), front }];
    }
    // What an earlier process could not bind may be bound by now, or wanted no more.
    const unbound = this.#used.filter(({ bound }) => bound === undefined).map(({ place }) => keyNameOf(place));
    for (const { alert, subject } of this.#sources.alerts.list()) if (alert === ALERT && !unbound.includes(subject)) this.#over(subject);
    this.#plan();
    if (controlSocket === undefined) return;
    await prepareControlSocket(controlSocket);
    this.#socket = await Bound.listen(
      { path: controlSocket },
      new Front(async (request, response) => {
        this.#callers.set(request, AT_THE_SOCKET);
        await this.#api(request, response);
      }),
    );
    // The folder is private already; this holds even if somebody opens it up.
    await chmod(controlSocket, 0o600);
  }

  get addresses(): readonly AddressInfo[] {
    return this.#used.flatMap(({ bound }) => bound?.address ?? []);
  }

  /** Binds a place, or raises the alert that it cannot be. */
  async #bind(place: AdminPlace, front: Front): Promise<Bound | undefined> {
    const key = keyNameOf(place);
    try {
      return await Bound.listen(place, front);
    } catch (error) {
      const what = place.api ? "the API and monitoring do not answer there" : "monitoring does not answer there";
      this.#sources.emit({
        type: "alert.raised",
        alert: ALERT,
        subject: key,
        text: `${key}: ${describeError(error)}`,
        remedy: `Free the address, or correct ${key} and type postern reload. Mail goes on; ${what} until it can be bound: that is tried every ${LONGEST_AGAIN_MS / 1000} seconds`,
      });
      return undefined;
    }
  }

  #over(key: string): void {
    this.#sources.emit({ type: "alert.cleared", alert: ALERT, subject: key });
  }

  #plan(): void {
    this.#cancel?.();
    if (this.#closed || this.#used.every(({ bound }) => bound !== undefined)) return;
    const wait = this.#againMs;
    this.#againMs = Math.min(LONGEST_AGAIN_MS, wait * 2);
    this.#cancel = this.#sources.clock.after(wait, () => {
      this.#trying = this.#bindRest().finally(() => this.#plan());
    });
  }

  async #bindRest(): Promise<void> {
    for (const { place, front } of this.#used.filter(({ bound }) => bound === undefined)) {
      const bound = await this.#bind(place, front);
      if (bound === undefined) continue;
      // A reload may have given the place another front meanwhile, or taken it away.
      const now = this.#used.find((used) => used.bound === undefined && keyOf(used.place) === keyOf(place));
      if (now === undefined || this.#closed) {
        await bound.close();
        continue;
      }
      bound.handTo(now.front);
      this.#used = this.#used.map((used) => (used === now ? { ...now, bound } : used));
      this.#over(keyNameOf(place));
    }
  }

  async prepare(listen: readonly AdminPlace[]): Promise<PlacesToBe> {
    const going = this.#used.filter(({ place }) => !listen.some((other) => keyOf(other) === keyOf(place)));
    const next: Used[] = [];
    const fresh: Bound[] = [];
    const stopped = new Map<Used, number>();
    const drop = async (): Promise<void> => {
      for (const { front } of next) front.close();
      await Promise.all(fresh.map((bound) => bound.close()));
      for (const [used, port] of stopped) await this.#bindAgain(used, port);
    };
    try {
      for (const place of listen) {
        const staying = this.#used.find((used) => keyOf(used.place) === keyOf(place));
        // From every address to one of them, or back: the port is free only once the other one is.
        for (const used of going) {
          if (used.bound?.address?.port !== place.port) continue;
          stopped.set(used, place.port);
          await used.bound.stop();
        }
        const front = new Front(this.#answerAt(place), place.tls);
        // One that is not bound yet is tried again as before.
        const bound = staying === undefined ? await Bound.listen(place, front) : staying.bound;
        if (staying === undefined && bound !== undefined) fresh.push(bound);
        next.push({ place, bound, front });
      }
    } catch (error) {
      await drop();
      throw error;
    }
    return { apply: () => this.#apply(next), drop };
  }

  async #bindAgain({ place, bound, front }: Used, port: number): Promise<void> {
    const again = await Bound.listen({ host: place.host, port }, front);
    this.#leave(bound);
    this.#used = this.#used.map((used) => (used.front === front ? { place, bound: again, front } : used));
  }

  present(tls: SecureContextOptions): void {
    for (const { place, front } of this.#used) if (place.tls !== undefined) front.present(tls);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancel?.();
    await this.#trying;
    await this.#sources.events.close();
    const all = [...this.#used.map(({ bound }) => bound), ...this.#leaving, this.#socket].filter((bound) => bound !== undefined);
    await Promise.all(all.map((bound) => bound.close()));
    for (const { front } of this.#used) front.close();
  }

  #apply(next: readonly Used[]): void {
    const before = this.#used;
    // It may have been bound since it was looked at.
    this.#used = next.map((used) => ({
      ...used,
      bound: used.bound ?? before.find(({ place }) => keyOf(place) === keyOf(used.place))?.bound,
    }));
    for (const { bound, front } of this.#used) bound?.handTo(front);
    for (const { place, bound, front } of before) {
      front.retire();
      if (this.#used.some((used) => keyOf(used.place) === keyOf(place))) continue;
      if (bound === undefined) this.#over(keyNameOf(place));
      this.#leave(bound);
    }
    this.#plan();
  }

  #leave(bound: Bound | undefined): void {
    if (bound === undefined) return;
    this.#leaving.add(bound);
    const end = async (): Promise<void> => {
      await bound.close();
      this.#leaving.delete(bound);
    };
    void bound.stop();
    this.#sources.clock.after(GRACE_MS, () => void end());
  }

  #answerAt({ api }: AdminPlace): Answer {
    return async (request, response) => {
      if (!api || !/^\/api(?:\/|$)/.test(request.url ?? "")) return await answerMonitoring(this.#sources, request, response);
      const caller = await this.#guard.admit(request, response);
      if (caller === undefined) return;
      this.#callers.set(request, caller);
      await this.#api(request, response);
    };
  }
}

function keyOf({ host, port }: AdminPlace): string {
  return `${host ?? "*"} ${port}`;
}

/** The key of the configuration that names it. */
function keyNameOf({ api }: AdminPlace): string {
  return api ? "admin.listen" : "metrics.listen";
}

/** The libraries and the application come with the first command: memory that a relay nobody asks does without. */
function lazyApi(sources: AdminSources, callers: WeakMap<IncomingMessage, Caller>): Answer {
  let loading: Promise<Answer> | undefined;
  const load = async (): Promise<Answer> => {
    const [{ getRequestListener }, { createApp }] = await Promise.all([import("@hono/node-server"), import("./apps.ts")]);
    const app = createApp(sources, (c) => {
      const { incoming } = c.env as { readonly incoming: IncomingMessage };
      const caller = callers.get(incoming);
      // Whoever comes here was let in; anything else is a bug, and must not open anything.
      if (caller === undefined) throw new Error("a request of nobody");
      return caller;
    });
    const listener = getRequestListener(app.fetch, { overrideGlobalObjects: false });
    return async (request, response) => {
      await listener(request, response);
    };
  };
  return async (request, response) => {
    let answer: Answer;
    try {
      answer = await (loading ??= load());
    } catch (error) {
      loading = undefined;
      return answerUnavailable(whyUnloaded(error), response);
    }
    // Faults of a request are answered by the application; this is a connection that broke.
    await answer(request, response).catch(() => response.destroy());
  };
}

function whyUnloaded(error: unknown): string {
  if (isProgramReplaced()) return `${PROGRAM_REPLACED.text}. ${PROGRAM_REPLACED.remedy}`;
  return `the program's files cannot be read: ${describeError(error)}. Mail goes on; install it again and restart it`;
}
