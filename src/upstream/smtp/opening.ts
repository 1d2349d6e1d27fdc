/** Opens connections of one upstream: finds the next hop, connects, secures, signs in. */
import { formatReply } from "../../mail/reply.ts";
import type { Emit } from "../../mail/events.ts";
import type { Clock } from "../../platform/clock.ts";
import type { TranscriptKeeper } from "../../mail/transcript.ts";
import { attachDialogue } from "../dialogue.ts";
import { describeFault, STAGES } from "../upstream.ts";
import type { Refusal } from "../upstream.ts";
import { SmtpConnection } from "./connection.ts";
import type { Login, SessionOptions, Timeouts } from "./session.ts";
import { dial } from "./dial.ts";
import type { Destination, TlsPolicy } from "./dial.ts";
import { faultAt } from "./fault.ts";
import type { Places } from "./places.ts";
import { ReplyReader } from "./replies.ts";

/** Where the login of an upstream comes from. */
export interface SignIn {
  /** Asked before a connection is opened for it: a missing token must not tie up a connection. */
  login(signal: AbortSignal): Promise<Login | Refusal>;
  /** Like `login`, but nothing that was kept: what a look at the credential asks for. */
  fresh?(signal: AbortSignal): Promise<Login | Refusal>;
  /** The server refused this login: another one to try once, or undefined when there is none and the refusal stands. */
  renew(refused: Login, refusal: Refusal, signal: AbortSignal): Promise<Login | Refusal | undefined>;
}

/** How connections are opened. */
export interface OpeningOptions {
  readonly name: string;
  readonly places: Places;
  readonly ehloName: string;
  readonly tlsMode: "none" | "opportunistic" | "required" | "implicit";
  readonly tls: TlsPolicy;
  readonly timeouts: Timeouts;
  readonly signIn: SignIn | undefined;
  /** undefined: no transcripts are kept. */
  readonly transcripts?: TranscriptKeeper | undefined;
  readonly clock: Clock;
  readonly emit: Emit;
}

/** Opens connections. */
export class ConnectionOpener {
  readonly #options: OpeningOptions;
  readonly #replies: ReplyReader;

  constructor(options: OpeningOptions) {
    this.#options = options;
    this.#replies = new ReplyReader(options.name, options.emit);
  }

  /** What is wrong before a connection is begun: with the login, or with the certificate to show. */
  async prepare(signal: AbortSignal): Promise<Refusal | undefined> {
    const { signIn, tls } = this.#options;
    const login = await signIn?.login(signal);
    if (login !== undefined && "stage" in login) return this.#authFailed(login);
    const unfit = await tls.prepare?.();
    return unfit === undefined ? undefined : this.#connectFailed(unfit);
  }

  /** A connection that is ready for MAIL. Ends when the signal aborts. `watch` is told of each connection that is begun. */
  async open(signal: AbortSignal, watch: (connection: SmtpConnection) => void): Promise<SmtpConnection | Refusal> {
    const { signIn, emit, name } = this.#options;
    let login = await signIn?.login(signal);
    if (login !== undefined && "stage" in login) return this.#authFailed(login);
    let connection = await this.connect(signal, watch);
    if (!(connection instanceof SmtpConnection) || signIn === undefined || login === undefined) return connection;
    let refusal = await this.authenticate(connection, login, signal);
    if (refusal !== undefined) {
      const next = await signIn.renew(login, refusal, signal);
      if (next !== undefined && "stage" in next) {
        refusal = next;
      } else if (next !== undefined) {
        login = next;
        if (!connection.usable) {
          connection = await this.connect(signal, watch);
          if (!(connection instanceof SmtpConnection)) return connection;
        }
        refusal = await this.authenticate(connection, login, signal);
      }
    }
    if (refusal !== undefined) {
      connection.close();
      attachDialogue(refusal, connection.dialogue);
      return this.#authFailed(refusal);
    }
    emit({ type: "upstream.auth.succeeded", upstream: name });
    return connection;
  }

  /** Signs in on a line that may carry the secret. */
  async authenticate(connection: SmtpConnection, login: Login, signal: AbortSignal): Promise<Refusal | undefined> {
    if (!connection.verified && !isLoopback(connection.remoteAddress)) {
      return connection.tlsVersion === undefined
        ? faultAt("auth", "CLEARTEXT_AUTH", "a password is not sent over a line without TLS, except to this machine itself")
        : faultAt("auth", "CERTIFICATE", "a password is not sent to a server whose certificate could not be verified");
    }
    const stopWatching = endOnAbort(signal, connection);
    const refusal = await connection.authenticate(login);
    stopWatching();
    return refusal;
  }

  /** A connection that is secured as configured, to the best place that takes one. */
  async connect(signal: AbortSignal, watch: (connection: SmtpConnection) => void): Promise<SmtpConnection | Refusal> {
    const { places, tls, clock, emit, name } = this.#options;
    const startedAt = clock.monotonic();
    const unfit = await tls.prepare?.();
    if (unfit !== undefined) return this.#connectFailed(unfit);
    const found = await places.find(signal);
    if ("stage" in found) return this.#connectFailed(found);
    let closest: Refusal | undefined;
    for (const place of found) {
      const opened = await this.#secured(place, signal, watch);
      if (opened instanceof SmtpConnection) {
        const remote = (opened.remote = remoteOf(place, opened.remoteAddress));
        emit({
          type: "upstream.connected",
          upstream: name,
          remote,
          tls: opened.tlsVersion,
          connectMs: Math.round(clock.monotonic() - startedAt),
        });
        return opened;
      }
      closest = closest === undefined || STAGES.indexOf(opened.stage) > STAGES.indexOf(closest.stage) ? opened : closest;
      if (opened.fault?.code === "ABORTED") return this.#connectFailed(opened);
    }
    places.failed?.();
    return this.#connectFailed(closest ?? faultAt("connect", "ENOTFOUND", `${places.text} has no address`));
  }

  /** A connection to one place. */
  async #secured(place: Destination, signal: AbortSignal, watch: (connection: SmtpConnection) => void): Promise<SmtpConnection | Refusal> {
    const { tlsMode } = this.#options;
    const startTls: SessionOptions["startTls"] = tlsMode === "implicit" ? "none" : tlsMode;
    const opened = await this.#greet(place, signal, startTls, watch);
    if (startTls !== "opportunistic" || opened instanceof SmtpConnection) return opened;
    if (opened.stage !== "starttls" || opened.fault?.code === "ABORTED") return opened;
    // TLS was offered, and is refused or does not work: opportunistic means plain is better than nothing.
    return await this.#greet(place, signal, "none", watch);
  }

  async #greet(
    place: Destination,
    signal: AbortSignal,
    startTls: SessionOptions["startTls"],
    watch: (connection: SmtpConnection) => void,
  ): Promise<SmtpConnection | Refusal> {
    const { ehloName, tls, tlsMode, timeouts, clock } = this.#options;
    const dialling = dial(place, tlsMode === "implicit" ? tls : undefined);
    const giveUp = (): void => dialling.cancel(faultAt("connect", "ABORTED", "stopped while connecting"));
    const stopTimer = clock.after(timeouts.connectMs, () => dialling.cancel(faultAt("connect", "TIMEOUT", "no connection in time")));
    signal.addEventListener("abort", giveUp);
    if (signal.aborted) giveUp();
    const socket = await dialling.done;
    stopTimer();
    signal.removeEventListener("abort", giveUp);
    if ("stage" in socket) return socket;

    const options: SessionOptions = {
      ...place,
      ehloName,
      startTls,
      tls,
      timeouts,
      clock,
      replies: this.#replies,
      isRecorded: () => (this.#options.transcripts?.of ?? "off") !== "off",
    };
    const connection = new SmtpConnection(socket, options, tlsMode === "implicit");
    watch(connection);
    const stopWatching = endOnAbort(signal, connection);
    const refusal = await connection.start();
    stopWatching();
    if (refusal === undefined) return connection;
    connection.close();
    attachDialogue(refusal, connection.dialogue);
    return refusal;
  }

  #connectFailed(refusal: Refusal): Refusal {
    this.#options.emit({
      type: "upstream.connect.failed",
      upstream: this.#options.name,
      stage: refusal.stage,
      cause: causeOf(refusal),
      reply: refusal.reply,
      fault: refusal.fault,
    });
    return refusal;
  }

  #authFailed(refusal: Refusal): Refusal {
    const { stage, reply, fault } = refusal;
    // That we were told to stop says nothing about the sign-in.
    if (fault?.code === "ABORTED") return refusal;
    this.#options.emit({ type: "upstream.auth.failed", upstream: this.#options.name, stage, cause: causeOf(refusal), reply, fault });
    return refusal;
  }
}

/** `host:port`, and the address where the host is a name. */
function remoteOf({ host, port }: Destination, address: string | undefined): string {
  return address === undefined || address === host ? `${host}:${port}` : `${host}:${port} [${address}]`;
}

/**
 * Ends the connection when the signal aborts.
 *
 * @returns ends that. Each opening has a signal of its own, made of several, and one that is listened to is kept as long as those are
 */
export function endOnAbort(signal: AbortSignal, connection: SmtpConnection): () => void {
  const end = (): void => connection.abandon("ABORTED", "stopped");
  signal.addEventListener("abort", end);
  if (signal.aborted) end();
  return () => signal.removeEventListener("abort", end);
}

function isLoopback(address: string | undefined): boolean {
  return address !== undefined && (address === "::1" || /^(::ffff:)?127\./.test(address));
}

/** A refusal in one line, for events. */
function causeOf(refusal: Refusal): string {
  if (refusal.reply !== undefined) return formatReply(refusal.reply);
  return refusal.fault === undefined ? refusal.stage : describeFault(refusal.fault);
}
