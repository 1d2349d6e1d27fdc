/**
 * The life of one connection, as an adapter over smtp-server's: reading, replies, time-outs, STARTTLS, the end. What is said is the session's.
 *
 * smtp-server's part: STARTTLS with its guard against injected commands, half-closed sockets, the deadline of a close. adapter.contract.test.ts
 * holds the facts about it that this relies on.
 */
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Reply } from "../mail/reply.ts";
import { SessionInput } from "./input.ts";
import type { InputConsumer } from "./input.ts";
import type { Standing } from "./directory.ts";
import type { AdmissionKind, ClientOptions, SessionContext } from "./options.ts";
import { SMTPConnection, type SMTPServer } from "./library.ts";
import type { Member } from "../platform/members.ts";
import { forget, readThrough } from "../platform/read-buffer.ts";
import { escapeForTrace } from "./repair.ts";
import { REPLIES, wireReply } from "./replies.ts";
import { LEFT_IN_HANDSHAKE, tlsFault } from "./tls-faults.ts";

/** Who is on the other side, decided when the connection was accepted. */
export interface Peer {
  readonly id: string;
  /** Canonical address. */
  readonly device: string;
  /** What it is counted by, see {@link deviceGroup}. */
  readonly group: string;
  readonly standing: Standing;
  readonly admission: AdmissionKind;
  /** The balancer it came through. */
  readonly balancer?: string | undefined;
}

/** What a connection needs of the server it belongs to. */
export type SessionServer = SMTPServer & { readonly context: SessionContext };

/** Who keeps account of a listener's connections. */
export interface ConnectionOwner {
  /** It said its last word; the socket may take its time to close. */
  left(connection: Connection): void;
  /** Its socket is gone. Called again after a commit that outlived it. */
  finished(connection: Connection): void;
}

/** Version and suite of a connection's TLS. */
export interface TlsFacts {
  readonly protocol: string;
  readonly cipher: string;
}

/** A connection without its dialogue. */
export abstract class Connection extends SMTPConnection implements InputConsumer, Member {
  /** Among its owner's. */
  slot = -1;
  /** It counts against its device. The owner's to change. */
  holdsPlace = false;
  readonly peer: Peer;
  /** Of the client whose rules hold; another once a user signed in. */
  protected context: SessionContext;
  readonly #owner: ConnectionOwner;
  protected readonly startedMonotonic: number;
  #tls: TlsFacts | undefined;
  #out = "";
  /** Replies are gathered while pipelined commands are answered. */
  #holding = false;
  #ended = false;
  #opened = false;
  #closedEmitted = false;
  #timedOut = false;
  #tlsFaultEmitted = false;
  #stopHandshakeTimer: (() => void) | undefined;
  /** Gives the place among the device's handshakes back. */
  #leaveHandshakes: (() => void) | undefined;
  /** The uppermost socket, whose idle time is watched. */
  #top: Socket | undefined;
  /** Of the socket's octets those that came before the connection itself: a balancer's header. */
  readonly #octetsBefore: number;

  constructor(server: SessionServer, socket: Socket, peer: Peer, owner: ConnectionOwner, context: SessionContext) {
    // All given: what is missing smtp-server asks the kernel for, and we never use it.
    super(server, socket, { id: peer.id, remoteAddress: peer.device, remotePort: 1, localAddress: "0.0.0.0", localPort: 1 });
    this.peer = peer;
    this.context = context;
    this.#owner = owner;
    this.startedMonotonic = server.context.options.clock.monotonic();
    this.#octetsBefore = socket.bytesRead - socket.readableLength;
  }

  // ---- what the session adds --------------------------------------------------------------------------------------------

  /** A message is being committed: its reply has to wait, and so has the end. */
  protected abstract readonly committing: boolean;
  /** Content is coming in. */
  protected abstract readonly receiving: boolean;
  /** Messages accepted so far. */
  protected abstract readonly accepted: number;
  /** The last HELO name, escaped and cut; for the account of the session. */
  protected abstract readonly heloName: string | undefined;
  protected abstract readonly triedAuth: boolean;
  /** Whose rules hold now; undefined before somebody signed in who has to. */
  protected abstract readonly client: ClientOptions | undefined;
  /** TLS is on: nothing that was said in clear counts (RFC 3207 §4.2). */
  protected abstract secured(): void;
  /** The connection is gone: drop what was under way. */
  protected abstract dropped(): void;
  abstract firstOctets(octets: Buffer): boolean | undefined;
  abstract line(line: string, done: () => void): void;
  abstract lineTooLong(): void;
  abstract content(chunk: Buffer, start: number): number;
  abstract contentPressure(): Promise<void> | undefined;
  abstract contentEnded(done: () => void): void;

  // ---- start ------------------------------------------------------------------------------------------------------------

  protected get tls(): TlsFacts | undefined {
    return this.#tls;
  }

  /** The client will send no more. */
  protected get inputEnded(): boolean {
    return this.#ended;
  }

  /** Nothing came for too long, and we ended it. */
  protected get timedOut(): boolean {
    return this.#timedOut;
  }

  protected get input(): SessionInput {
    return this._parser as SessionInput;
  }

  /** Greets at once: no wait for early talkers, no look-up of the client's name. */
  override init(): void {
    const { listener, options } = this.context;
    // Before a handshake: a device that gets no further is seen all the same. A look whether we live, every few seconds, is no session of a device.
    this.#opened = this.peer.admission !== "health";
    if (this.peer.admission !== "health")
      options.emit({
        type: "session.opened",
        session: this.id,
        listener: listener.name,
        client: this.client?.name,
        device: this.peer.device,
        implicitTls: this.context.tls.mode === "implicit",
        admission: this.peer.admission,
        balancer: this.peer.balancer,
      });
    this._setListeners(() => {
      if (this._closing || this._closed) return;
      this._ready = true;
      this.write(`220 ${options.hostname} ESMTP Postern\r\n`);
    });
  }

  override _setListeners(callback: () => void): void {
    const socket = this._socket;
    socket.on("close", () => {
      this._onCloseEvent();
      forget(socket);
    });
    socket.on("error", (error) => this._onError(error));
    this._armTimeout();
    if (this.needsUpgrade) {
      this.takeHandshakeTurn(() => this.upgrade(() => undefined, callback));
      return;
    }
    callback();
    this.#read(socket);
  }

  /** Reads a plain socket; what comes inside TLS is piped by the base class. */
  #read(socket: Socket): void {
    const input = this.input;
    input.on("drain", () => socket.resume());
    socket.on("end", () => input.end());
    // A connection that waited for its place may have been read already.
    const early = socket.readableLength > 0 ? (socket.read() as Buffer | null) : null;
    if (!readThrough(socket, (chunk) => input.write(chunk))) {
      socket.on("data", (chunk: Buffer) => {
        if (!input.write(chunk)) socket.pause();
      });
    }
    if (early === null || input.write(early)) socket.resume();
  }

  override _createParser(): SessionInput {
    // Called by the base constructor too, before our fields exist: take the limit from the server.
    return new SessionInput(this, (this._server as SessionServer).context.limits.commandLineBytes);
  }

  // ---- TLS --------------------------------------------------------------------------------------------------------------

  /** A device does only so many handshakes at a time: their cost is ours. The wait counts as part of the handshake. */
  protected takeHandshakeTurn(start: () => void): void {
    const { options, limits, handshakes } = this.context;
    const { handshakesPerDevice, tlsHandshakeMs } = limits;
    this.#stopHandshakeTimer = options.clock.after(tlsHandshakeMs, () => {
      this.#reportTlsFault(
        new Error(`the device has more than ${handshakesPerDevice} handshakes under way, for over ${tlsHandshakeMs / 1000} s`),
      );
      this.destroy();
    });
    this.#leaveHandshakes = handshakes.enter(this.peer.group, handshakesPerDevice, () => {
      this.#stopHandshakeTimer?.();
      if (!this._closing && !this._closed) start();
    });
  }

  /** After the handshake a client need not greet again. A handshake that takes too long is a failed one. */
  override upgrade(callback: () => void, secureCallback?: () => void): void {
    const { clock } = this.context.options;
    const { tlsHandshakeMs } = this.context.limits;
    this.#stopHandshakeTimer = clock.after(tlsHandshakeMs, () => {
      this.#reportTlsFault(new Error(`the handshake took longer than ${tlsHandshakeMs / 1000} s`));
      this.destroy();
    });
    super.upgrade(callback, () => {
      this.#stopHandshakeTimer?.();
      this.#leaveHandshakes?.();
      const socket = this._socket as TLSSocket;
      this.#tls = { protocol: socket.getProtocol() ?? "TLS", cipher: socket.getCipher().name };
      this.secured();
      this.context.options.emit({
        type: "session.secured",
        session: this.id,
        listener: this.context.listener.name,
        device: this.peer.device,
        tls: this.#tls.protocol,
        cipher: this.#tls.cipher,
      });
      secureCallback?.();
    });
    // Our half of the socket stays open after the client's: nobody else would see that it left.
    this.#top?.once("end", () => {
      if (this.#tls === undefined) this._onError(new Error(LEFT_IN_HANDSHAKE));
    });
  }

  #reportTlsFault(error: Error): void {
    if (this.#tlsFaultEmitted) return;
    this.#tlsFaultEmitted = true;
    const { detail, remedy } = tlsFault(error, { implicit: this.needsUpgrade, saidSomething: this.#saidSomething });
    this.rejected("tls", REPLIES.tlsFailed, detail, remedy);
  }

  /** Octets of the client's came. Asked before TLS is on, while the socket below is the one we have. */
  get #saidSomething(): boolean {
    return this._socket.bytesRead > this.#octetsBefore;
  }

  // ---- end --------------------------------------------------------------------------------------------------------------

  /** Ends the connection whatever it does. The uppermost socket goes: taking one from under a handshake is not safe. */
  destroy(): void {
    (this.#top ?? this._socket).destroy();
  }

  override close(): void {
    if (this._upgrading) this.destroy();
    else super.close();
    this.#owner.left(this);
  }

  override _onError(error: Error & { code?: string | undefined }): void {
    // Who says nothing at all on a port that waits for TLS, and leaves, looks whether the port is open.
    const isProbe = this.needsUpgrade && !this.#saidSomething;
    if ((this._upgrading || this.needsUpgrade) && this.#tls === undefined && !isProbe) this.#reportTlsFault(error);
    this.destroy();
  }

  override _onCloseEvent(): void {
    const wasOpen = !this._closed;
    this._onClose();
    if (wasOpen) this.finish();
  }

  override _onTimeout(): void {
    if (this._closing) this.destroy();
    else if (this.committing || this._handlerPending) this._armTimeout();
    else {
      this.#timedOut = true;
      this.hangUp(REPLIES.idle);
    }
  }

  override _armTimeout(socket: Socket = this._socket): void {
    // As the base class does, with our times and one listener for the life of the socket.
    const { commandIdleMs, dataIdleMs } = this.context.limits;
    const idleMs = this.receiving ? dataIdleMs : commandIdleMs;
    if (this.#top === socket) {
      if (idleMs !== socket.timeout) socket.setTimeout(idleMs);
      return;
    }
    this.#top = socket;
    socket.setTimeout(idleMs);
    socket.on("timeout", () => this._onTimeout());
  }

  /** The client will send no more, and all it sent was handed over. */
  ended(): void {
    if (this._upgrading) return;
    this.#ended = true;
    if (!this.committing) this.close();
  }

  /** Accounts for the end; again after a commit that outlived the connection. */
  protected finish(): void {
    this.#stopHandshakeTimer?.();
    this.#leaveHandshakes?.();
    this.#out = "";
    if (!this.committing) this.dropped();
    if (this.#opened && !this.#closedEmitted) {
      this.#closedEmitted = true;
      const { clock, emit } = this.context.options;
      emit({
        type: "session.closed",
        session: this.id,
        listener: this.context.listener.name,
        device: this.peer.device,
        tls: this.#tls?.protocol,
        helo: this.heloName,
        triedAuth: this.triedAuth,
        messages: this.accepted,
        durationMs: Math.round(clock.monotonic() - this.startedMonotonic),
      });
    }
    this.#owner.finished(this);
  }

  // ---- replies ----------------------------------------------------------------------------------------------------------

  /** What smtp-server itself says (STARTTLS, faults of its own); everything else goes by `reply`. */
  override send(code: number, data?: string | string[] | null): void {
    const text = Array.isArray(data) ? data.join("\n") : (data ?? "");
    if (code === 220) this.reply(REPLIES.readyForTls);
    else this.reply({ code, enhanced: code >= 500 ? "5.5.0" : code >= 400 ? "4.3.0" : undefined, text });
    this.flush();
    if (code === 421) this.close();
  }

  protected reply(reply: Reply): void {
    this.write(wireReply(reply));
  }

  /** One write for all that is said before we have to wait. */
  protected write(wire: string): void {
    this.#out += wire;
    if (!this.#holding) this.flush();
  }

  /** Replies are gathered from here until everything at hand was answered. */
  protected hold(): void {
    this.#holding = true;
  }

  drained(): void {
    this.#holding = false;
    this.flush();
  }

  protected flush(): void {
    const wire = this.#out;
    if (wire === "") return;
    this.#out = "";
    // During a handshake, and before one that waits for its turn, the socket below carries records: a line of ours would break it.
    const inClear = !this._upgrading && (!this.needsUpgrade || this.#tls !== undefined);
    if (inClear && this._socket.writable) this._socket.write(wire, "latin1");
  }

  protected hangUp(reply: Reply): void {
    if (this._closing || this._closed) return;
    this.reply(reply);
    this.flush();
    this.close();
  }

  /**
   * The client wants no more than this last word, so the socket need not wait for the client's end of it. Octets left unread would make the kernel send
   * a reset, which may overtake the reply; and TLS has a farewell of its own.
   */
  protected quit(reply: Reply): void {
    if (this._closing || this._closed) return;
    this.reply(reply);
    this.flush();
    const { _socket: socket } = this;
    if (this.#tls === undefined && !this._upgrading && this.input.buffered === 0 && socket.writableLength === 0) socket.destroy();
    this.close();
  }

  protected rejected(reason: string, reply: Reply, detail?: string, remedy?: string): void {
    this.context.options.emit({
      type: "session.rejected",
      session: this.id,
      listener: this.context.listener.name,
      client: this.client?.name,
      device: this.peer.device,
      reason,
      reply,
      detail: detail === undefined ? undefined : escapeForTrace(detail),
      remedy,
    });
  }

  protected refuse(reason: string, reply: Reply, detail?: string, remedy?: string): void {
    this.rejected(reason, reply, detail, remedy);
    this.reply(reply);
  }
}
