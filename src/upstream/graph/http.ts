/**
 * Requests to Graph, one at a time on each connection: bounded in time and size, over verified TLS only, told as facts.
 *
 * Each of a few clients has at most one connection, so that it is known for every request whether its connection is new, where it leads and
 * whether the request had been handed over whole when something went wrong.
 */
import { Readable } from "node:stream";
import { buildConnector, Client } from "undici";
import type { Emit } from "../../mail/events.ts";
import type { Clock } from "../../platform/clock.ts";
import { trusting } from "../../platform/trust.ts";
import { faultAt, faultOf } from "../smtp/fault.ts";
import type { Refusal } from "../upstream.ts";
import { openTunnel } from "./tunnel.ts";

/** How long each step may take. */
export interface HttpTimeouts {
  /** DNS, TCP, proxy and TLS. */
  readonly connectMs: number;
  /** Without another piece of the request going out. */
  readonly sendMs: number;
  /** From the request's end to the answer's end. Graph's own gateway gives up before. */
  readonly answerMs: number;
}

export const DEFAULT_HTTP_TIMEOUTS: HttpTimeouts = { connectMs: 30_000, sendMs: 60_000, answerMs: 180_000 };

/** How Graph is reached. */
export interface GraphNetwork {
  /** Further root certificates, PEM. */
  readonly ca: readonly string[];
  readonly sourceAddress?: string | undefined;
  /** `http://[user:password@]host:port`. */
  readonly proxy?: string | undefined;
}

export interface GraphHttpOptions extends GraphNetwork {
  readonly upstream: string;
  /** `https://graph.microsoft.com`. */
  readonly origin: string;
  readonly timeouts: HttpTimeouts;
  readonly clock: Clock;
  readonly emit: Emit;
}

/** One request. */
export interface GraphRequest {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** With query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: { readonly length: number; pieces(): Iterable<Uint8Array> | AsyncIterable<Uint8Array> } | undefined;
  /** Of the answer's body; the rest is not read. */
  readonly mostAnswerOctets?: number | undefined;
}

/** What came of a request. */
export interface GraphExchange {
  readonly answer?: { readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly body: Buffer } | undefined;
  /** Exactly one of `answer` and `refusal`. Its stage is `connect`, `content` or `final`. */
  readonly refusal?: Refusal | undefined;
  /** The whole request was handed to the connection. */
  readonly sentWhole: boolean;
  readonly reused: boolean;
  /** `host:port [address]` where there was a connection. */
  readonly remote: string;
  readonly tls: string | undefined;
  /** When the connection was ready, in the clock's monotonic ms; undefined when there never was one. */
  readonly readyAt: number | undefined;
}

/** Answers are JSON of a few hundred octets. */
const MOST_ANSWER_OCTETS = 64 * 1024;

/** A connection that rested longer may have been closed at the other end: a message that goes out on it then is neither sent nor unsent. */
const MOST_IDLE_MS = 3_000;

interface Connection {
  readonly client: Client;
  /** When its last request was over, in the clock's monotonic ms. */
  idleSince: number;
  address: string | undefined;
  tls: string | undefined;
  /** Connected before the request under way. */
  isOpen: boolean;
  /** What the request under way wants to know: that a connection is being opened for it, and that it is there. */
  opening: (() => void) | undefined;
  opened: (() => void) | undefined;
}

export class GraphHttp {
  readonly #options: GraphHttpOptions;
  readonly #connect: buildConnector.connector;
  readonly #place: string;
  readonly #idle: Connection[] = [];
  readonly #all = new Set<Connection>();

  constructor(options: GraphHttpOptions) {
    this.#options = options;
    const { hostname, port } = new URL(options.origin);
    this.#place = `${hostname}:${port === "" ? 443 : port}`;
    let connector: buildConnector.connector | undefined;
    const secure: buildConnector.connector = (target, callback) => {
      connector ??= buildConnector({
        allowH2: false,
        secureContext: trusting(options.ca),
        // Only there to clear up: our own limit is shorter.
        timeout: options.timeouts.connectMs + 5_000,
      });
      connector(target, callback);
    };
    const { proxy, sourceAddress } = options;
    this.#connect =
      proxy === undefined
        ? // Among the connector's options undici would overlook it.
          (target, callback) => secure({ ...target, localAddress: sourceAddress ?? null }, callback)
        : (target, callback) => {
            openTunnel(
              { proxy, ca: options.ca, target: this.#place, sourceAddress, timeoutMs: options.timeouts.connectMs },
              (error, httpSocket) => {
                if (httpSocket === undefined) callback(error, null);
                else secure({ ...target, httpSocket }, callback);
              },
            );
          };
  }

  /** Never rejects. Aborting ends the connection and gives the fault `ABORTED`. */
  async exchange(request: GraphRequest, signal: AbortSignal): Promise<GraphExchange> {
    const { clock, timeouts } = this.#options;
    const connection = this.#takeIdle() ?? this.#newConnection();
    let reused = connection.isOpen;
    const startedAt = clock.monotonic();
    let readyAt = reused ? startedAt : undefined;
    const { body } = request;
    const hasBody = body !== undefined && body.length > 0;
    const [first, firstMs] = hasBody ? (["content", timeouts.sendMs] as const) : (["final", timeouts.answerMs] as const);
    let phase: "connect" | "content" | "final" = reused ? first : "connect";
    let timedOut = false;
    // Not by a signal: undici heeds that only once there is a connection.
    const stop = (): void => void connection.client.destroy().catch(() => undefined);
    let cancelTimer = (): void => {};
    const allow = (ms: number): void => {
      cancelTimer();
      cancelTimer = clock.after(ms, () => {
        timedOut = true;
        stop();
      });
    };
    const enter = (next: typeof phase, ms: number): void => {
      phase = next;
      allow(ms);
    };
    connection.opening = () => {
      reused = false;
      readyAt = undefined;
      enter("connect", timeouts.connectMs);
    };
    connection.opened = () => {
      readyAt = clock.monotonic();
      enter(first, firstMs);
    };
    signal.addEventListener("abort", stop);
    if (signal.aborted) stop();
    allow(reused ? firstMs : timeouts.connectMs);
    async function* sending(): AsyncGenerator<Uint8Array> {
      for await (const piece of body?.pieces() ?? []) {
        allow(timeouts.sendMs);
        yield piece;
      }
      enter("final", timeouts.answerMs);
    }
    const about = (): Pick<GraphExchange, "reused" | "remote" | "tls" | "readyAt" | "sentWhole"> => ({
      reused,
      remote: connection.address === undefined ? this.#place : `${this.#place} [${connection.address}]`,
      tls: connection.tls,
      readyAt,
      sentWhole: phase === "final",
    });
    try {
      const answer = await connection.client.request({
        method: request.method,
        path: request.path,
        headers: { ...request.headers, ...(hasBody ? { "content-length": String(body.length) } : {}) },
        body: !hasBody ? null : Readable.from(sending(), { objectMode: false, highWaterMark: 1 }),
      });
      const { octets, whole } = await readBody(answer.body, request.mostAnswerOctets ?? MOST_ANSWER_OCTETS);
      const exchange = { answer: { status: answer.statusCode, headers: plainHeaders(answer.headers), body: octets }, ...about() };
      // An answer that came before the request's end leaves the rest of it in between.
      this.#release(connection, whole && exchange.sentWhole);
      return exchange;
    } catch (error) {
      this.#release(connection, false);
      const refusal = signal.aborted
        ? faultAt(phase, "ABORTED", "stopped")
        : timedOut
          ? faultAt(phase, "TIMEOUT", TIMED_OUT[phase])
          : networkFault(phase, error);
      if (phase === "connect" && !signal.aborted) this.#connectFailed(refusal);
      return { refusal, ...about() };
    } finally {
      cancelTimer();
      connection.opening = undefined;
      connection.opened = undefined;
      signal.removeEventListener("abort", stop);
    }
  }

  /** Opens a connection and closes it again: name, route, proxy and certificate are in order when that works. */
  async tryConnection(signal: AbortSignal): Promise<Refusal | undefined> {
    const { origin, clock, timeouts } = this.#options;
    const { hostname, port, host } = new URL(origin);
    return await new Promise((resolve) => {
      const settle = (refusal: Refusal | undefined): void => {
        cancelTimer();
        signal.removeEventListener("abort", onAbort);
        resolve(refusal);
      };
      const onAbort = (): void => settle(faultAt("connect", "ABORTED", "stopped while connecting"));
      const cancelTimer = clock.after(timeouts.connectMs, () => settle(faultAt("connect", "TIMEOUT", TIMED_OUT.connect)));
      signal.addEventListener("abort", onAbort);
      if (signal.aborted) onAbort();
      this.#connect({ hostname, host, port, protocol: "https:" }, (error, socket) => {
        socket?.destroy();
        const refusal = error === null ? undefined : networkFault("connect", error);
        if (refusal !== undefined && !signal.aborted) this.#connectFailed(refusal);
        settle(refusal);
      });
    });
  }

  async close(): Promise<void> {
    await Promise.all([...this.#all].map(async ({ client }) => await client.destroy()));
    this.#all.clear();
    this.#idle.length = 0;
  }

  /** The one used last. Not left to undici's timer: that is late where the event loop is busy. */
  #takeIdle(): Connection | undefined {
    const kept = this.#idle.pop();
    if (kept === undefined || this.#options.clock.monotonic() - kept.idleSince <= MOST_IDLE_MS) return kept;
    for (const old of [kept, ...this.#idle.splice(0)]) this.#release(old, false);
    return undefined;
  }

  #newConnection(): Connection {
    const { clock, emit, upstream, origin } = this.#options;
    const connection: Connection = {
      client: new Client(origin, {
        pipelining: 1,
        // All limits are ours: they follow the clock, and know what was sent.
        headersTimeout: 0,
        bodyTimeout: 0,
        connect: (target, callback) => {
          const startedAt = clock.monotonic();
          connection.opening?.();
          this.#connect(target, (...result) => {
            const [error, socket] = result;
            if (error === null) {
              connection.address = socket.remoteAddress;
              connection.tls = "getProtocol" in socket ? (socket.getProtocol() ?? undefined) : undefined;
              const remote = connection.address === undefined ? this.#place : `${this.#place} [${connection.address}]`;
              emit({ type: "upstream.connected", upstream, remote, tls: connection.tls, connectMs: clock.monotonic() - startedAt });
              connection.isOpen = true;
              socket.once("close", () => (connection.isOpen = false));
              connection.opened?.();
            }
            callback(...result);
          });
        },
      }),
      idleSince: 0,
      address: undefined,
      tls: undefined,
      isOpen: false,
      opening: undefined,
      opened: undefined,
    };
    this.#all.add(connection);
    return connection;
  }

  #release(connection: Connection, isClean: boolean): void {
    if (isClean && this.#all.has(connection)) {
      connection.idleSince = this.#options.clock.monotonic();
      this.#idle.push(connection);
    } else {
      this.#all.delete(connection);
      connection.client.destroy().catch(() => undefined);
    }
  }

  #connectFailed(refusal: Refusal): void {
    const { emit, upstream } = this.#options;
    const cause = `${refusal.fault?.code ?? ""}: ${refusal.fault?.detail ?? ""}`;
    emit({ type: "upstream.connect.failed", upstream, stage: refusal.stage, cause, fault: refusal.fault });
  }
}

const TIMED_OUT = {
  connect: "no connection to Graph in time",
  content: "the request did not go out in time",
  final: "no answer from Graph in time",
} as const;

/** undici's names for what has one already. */
const NETWORK_CODES: Readonly<Record<string, string>> = {
  UND_ERR_CONNECT_TIMEOUT: "TIMEOUT",
  UND_ERR_SOCKET: "RESET",
  UND_ERR_ABORTED: "RESET",
};

function networkFault(stage: Refusal["stage"], error: unknown): Refusal {
  const { code, detail } = faultOf(error);
  const named = NETWORK_CODES[code] ?? (code.startsWith("HPE_") ? "PROTOCOL" : code);
  return faultAt(stage, named, detail.replace(/[^ -~]+/g, " ").slice(0, 400));
}

async function readBody(body: AsyncIterable<Buffer>, most: number): Promise<{ octets: Buffer; whole: boolean }> {
  const pieces: Buffer[] = [];
  let size = 0;
  try {
    for await (const piece of body) {
      pieces.push(piece.subarray(0, most - size));
      size += piece.length;
      if (size > most) return { octets: Buffer.concat(pieces), whole: false };
    }
    return { octets: Buffer.concat(pieces), whole: true };
  } catch {
    // The status is what counts: with it Graph has decided.
    return { octets: Buffer.concat(pieces), whole: false };
  }
}

function plainHeaders(headers: Readonly<Record<string, string | string[] | undefined>>): Record<string, string> {
  const plain: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined) plain[name.toLowerCase()] = typeof value === "string" ? value : (value[0] ?? "");
  return plain;
}
