/**
 * One SMTP session: the tolerant dialogue, as an adapter over smtp-server's connection.
 *
 * Ours: parsing and repair of commands, replies, policy, content. smtp-server's: life of the socket, STARTTLS with its guard against
 * injected commands, time-outs and half-closed sockets. adapter.contract.test.ts holds the facts about it that this relies on.
 *
 *     greeting → (EHLO|HELO)* → MAIL → RCPT+ → DATA → content → commit → 250 → MAIL …
 *
 * What devices do decides where the order is strict: HELO may be missing or repeated, a second MAIL starts over (a device that timed out on
 * one mail sends the next without RSET; RFC 5321 §4.1.4 would have 503), RCPT needs MAIL, DATA needs RCPT.
 */
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { SMTPConnection } from "smtp-server/lib/smtp-connection";
import { isNonAscii } from "../mail/address.ts";
import { describeError, PosternError } from "../mail/errors.ts";
import type { Envelope } from "../mail/message.ts";
import type { Reply } from "../mail/reply.ts";
import { SessionInput } from "./input.ts";
import type { InputConsumer } from "./input.ts";
import { Intake, LOCAL_ERROR, tooLarge } from "./intake.ts";
import type { IntakeResult } from "./intake.ts";
import type { MessageSink } from "../queue/queue.ts";
import type { ClientOptions, SessionContext } from "./options.ts";
import { judgeRecipient, judgeSender } from "./policy.ts";
import { escapeForTrace, repairCommand } from "./repair.ts";
import type { Command, CommandFault, Quirk } from "./repair.ts";
import { queuedAs, REPLIES, wireReply } from "./replies.ts";
import type { RelayServer } from "./server.ts";
import { receivedField } from "./trace.ts";

/** Who is on the other side, decided when the connection was accepted. */
export interface Peer {
  readonly id: string;
  /** Canonical address. */
  readonly device: string;
  readonly client: ClientOptions;
}

/** A mail transaction, from MAIL to the reply after its content. */
interface Transaction {
  /** After policy. */
  readonly sender: string;
  readonly originalSender: string | undefined;
  readonly recipients: string[];
  /** For duplicates; exact, since a next hop other than Exchange may tell cases apart. */
  readonly seen: Set<string>;
  readonly declaredBytes: number | undefined;
  limitBytes: number;
  refusedRecipients: number;
}

/** A message whose content is coming in. */
interface Incoming {
  readonly intake: Intake;
  readonly writer: ReturnType<MessageSink["open"]>;
}

const HTTP_REQUEST = /^(?:OPTIONS|GET|HEAD|POST|PUT|DELETE|TRACE|CONNECT|PATCH) \S+ HTTP\/\d/i;
const PROXY_SIGNATURE = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");

export class Session extends SMTPConnection implements InputConsumer {
  readonly peer: Peer;
  readonly #context: SessionContext;
  readonly #startedAt: number;
  readonly #startedMonotonic: number;
  #out = "";
  #holding = false;
  #helo: string | undefined;
  #extended = false;
  #tls: { protocol: string; cipher: string } | undefined;
  #transaction: Transaction | undefined;
  #intake: Incoming | undefined;
  #committing = false;
  #prompt: ((line: string) => Reply) | undefined;
  #nonMail = 0;
  #unknown = 0;
  #accepted = 0;
  #stopping = false;
  #ended = false;
  #opened = false;
  #closedEmitted = false;
  #tlsFaultEmitted = false;
  #quirks: Set<Quirk> | undefined;
  /** The socket whose idle time is watched. */
  #timed: Socket | undefined;

  constructor(server: RelayServer, socket: Socket, peer: Peer, context: SessionContext) {
    // All given: what is missing smtp-server asks the kernel for, and we never use it.
    super(server, socket, {
      id: peer.id,
      remoteAddress: peer.device,
      remotePort: socket.remotePort,
      localAddress: "0.0.0.0",
      localPort: 1,
    });
    this.peer = peer;
    this.#context = context;
    this.#startedAt = context.options.clock.now();
    this.#startedMonotonic = context.options.clock.monotonic();
  }

  /** True while a message is on its way in: shutting down waits for it. */
  get busy(): boolean {
    return this.#committing || (this.#intake !== undefined && !this._closing && !this._closed);
  }

  /** The accept layer's wish to end: at once when idle, else after the message in progress. */
  stop(): void {
    this.#stopping = true;
    if (!this.busy) this.#hangUp(REPLIES.shuttingDown);
  }

  /** Ends the session whatever it does. */
  destroy(): void {
    this._socket.destroy();
  }

  // ---- life of the connection ------------------------------------------------------------------------------------------

  /** Greets at once: no wait for early talkers, no look-up of the client's name. */
  override init(): void {
    this._setListeners(() => {
      if (this._closing || this._closed) return;
      this._resetSession();
      this._ready = true;
      this.#opened = true;
      const { listener, options } = this.#context;
      options.emit({
        type: "session.opened",
        session: this.id,
        listener: listener.name,
        client: this.peer.client.name,
        device: this.peer.device,
        implicitTls: listener.tls.mode === "implicit",
      });
      this.#write(`220 ${options.hostname} ESMTP Postern\r\n`);
    });
  }

  /** After the handshake nothing that was said in clear counts (RFC 3207 §4.2), but a client need not greet again. */
  override upgrade(callback: () => void, secureCallback?: () => void): void {
    super.upgrade(callback, () => {
      const socket = this._socket as TLSSocket;
      this.#tls = { protocol: socket.getProtocol() ?? "TLS", cipher: socket.getCipher().name };
      this.#dropTransaction();
      this.#helo = undefined;
      this.#prompt = undefined;
      this.#context.options.emit({
        type: "session.secured",
        session: this.id,
        listener: this.#context.listener.name,
        device: this.peer.device,
        tls: this.#tls.protocol,
        cipher: this.#tls.cipher,
      });
      secureCallback?.();
    });
  }

  override _createParser(): SessionInput {
    // Called by the base constructor too, before our fields exist: take the limit from the server.
    return new SessionInput(this, (this._server as RelayServer).context.limits.commandLineBytes);
  }

  override close(): void {
    super.close();
    this.emit("leaving");
  }

  override _onError(error: Error & { code?: string | undefined }): void {
    if ((this._upgrading || this.needsUpgrade) && this.#tls === undefined) this.#reportTlsFault(error);
    this._socket.destroy();
  }

  override _onCloseEvent(): void {
    const wasOpen = !this._closed;
    this._onClose();
    if (wasOpen) this.#finished();
  }

  override _onTimeout(): void {
    if (this._closing) this._socket.destroy();
    else if (this.#committing || this._handlerPending) this._armTimeout();
    else this.#hangUp(REPLIES.idle);
  }

  override _armTimeout(socket: Socket = this._socket): void {
    // As the base class does, with our times and one listener for the life of the socket.
    const { commandIdleMs, dataIdleMs } = this.#context.limits;
    const idleMs = this.#intake === undefined ? commandIdleMs : dataIdleMs;
    if (this.#timed === socket) {
      if (idleMs !== socket.timeout) socket.setTimeout(idleMs);
      return;
    }
    this.#timed = socket;
    socket.setTimeout(idleMs);
    socket.on("timeout", () => this._onTimeout());
  }

  #finished(): void {
    this.#out = "";
    if (!this.#committing) this.#dropTransaction();
    if (this.#opened && !this.#closedEmitted) {
      this.#closedEmitted = true;
      this.#context.options.emit({
        type: "session.closed",
        session: this.id,
        listener: this.#context.listener.name,
        device: this.peer.device,
        tls: this.#tls?.protocol,
        messages: this.#accepted,
        durationMs: this.#context.options.clock.monotonic() - this.#startedMonotonic,
      });
    }
    this.emit("finished");
  }

  #reportTlsFault(error: Error): void {
    if (this.#tlsFaultEmitted) return;
    this.#tlsFaultEmitted = true;
    this.#rejected("tls", REPLIES.tlsFailed, describeError(error), tlsRemedy(error));
  }

  // ---- replies ----------------------------------------------------------------------------------------------------------

  /** What smtp-server itself says (STARTTLS, faults of its own); everything else goes by `#reply`. */
  override send(code: number, data?: string | string[] | null): void {
    const text = Array.isArray(data) ? data.join("\n") : (data ?? "");
    if (code === 220) this.#reply(REPLIES.readyForTls);
    else this.#reply({ code, enhanced: code >= 500 ? "5.5.0" : code >= 400 ? "4.3.0" : undefined, text });
    this.#flush();
    if (code === 421) this.close();
  }

  #reply(reply: Reply): void {
    this.#write(wireReply(reply));
  }

  /** One write for all that is said before we have to wait. */
  #write(wire: string): void {
    this.#out += wire;
    if (!this.#holding) this.#flush();
  }

  #flush(): void {
    const wire = this.#out;
    if (wire === "") return;
    this.#out = "";
    // During a handshake the socket below carries records: a line of ours would break it.
    if (!this._upgrading && this._socket.writable) this._socket.write(wire, "latin1");
  }

  #hangUp(reply: Reply): void {
    if (this._closing || this._closed) return;
    this.#reply(reply);
    this.#flush();
    this.close();
  }

  #rejected(reason: string, reply: Reply, detail?: string, remedy?: string): void {
    this.#context.options.emit({
      type: "session.rejected",
      session: this.id,
      listener: this.#context.listener.name,
      client: this.peer.client.name,
      device: this.peer.device,
      reason,
      reply,
      detail: detail === undefined ? undefined : escapeForTrace(detail),
      remedy,
    });
  }

  #refuse(reason: string, reply: Reply, detail?: string, remedy?: string): void {
    this.#rejected(reason, reply, detail, remedy);
    this.#reply(reply);
  }

  // ---- input ------------------------------------------------------------------------------------------------------------

  firstOctets(chunk: Buffer): boolean {
    if (chunk[0] === 0x16 && this.#tls === undefined) {
      return this.#wrongProtocol("tls-on-plain-port", REPLIES.talksTls, "speaks TLS on a plain port: use 465 or switch encryption off");
    }
    if (chunk.subarray(0, PROXY_SIGNATURE.length).equals(PROXY_SIGNATURE) || chunk.subarray(0, 6).equals(Buffer.from("PROXY "))) {
      return this.#wrongProtocol(
        "proxy-header",
        REPLIES.talksProxy,
        "sends a PROXY header: list the balancer under proxy_protocol, or switch it off there",
      );
    }
    if (HTTP_REQUEST.test(chunk.toString("latin1", 0, Math.min(chunk.length, 2048)).split("\n", 1)[0] ?? "")) {
      return this.#wrongProtocol(
        "http",
        REPLIES.talksHttp,
        "speaks HTTP on a mail port: a browser, a scanner, or a wrong port in the device",
      );
    }
    return true;
  }

  #wrongProtocol(reason: string, reply: Reply, remedy: string): false {
    this.#rejected(reason, reply, undefined, remedy);
    this.close();
    return false;
  }

  line(line: string, done: () => void): void {
    this.#holding = true;
    const next = (): void => {
      this._handlerPending = false;
      this._whenWritable(done);
    };
    // Everything that came in clear after STARTTLS is thrown away.
    if (this._upgrading || this._closing || this._closed) return done();
    if (this.#stopping) {
      this.#hangUp(REPLIES.shuttingDown);
      return done();
    }
    this._handlerPending = true;
    const prompt = this.#prompt;
    if (prompt !== undefined) {
      this.#prompt = undefined;
      this.#reply(prompt(line));
      return next();
    }
    this.#command(repairCommand(line), line, next);
  }

  lineTooLong(): void {
    this.#prompt = undefined;
    this.#unknownCommand(REPLIES.lineTooLong, "");
  }

  drained(): void {
    this.#holding = false;
    this.#flush();
  }

  ended(): void {
    if (this._upgrading) return;
    this.#ended = true;
    if (!this.#committing) this.close();
  }

  #command(command: Command, line: string, done: () => void): void {
    if (command.quirks.length > 0) this.#noteQuirks(command.quirks, line);
    switch (command.verb) {
      case "MAIL":
        this.#mail(command);
        return done();
      case "RCPT":
        this.#rcpt(command.path);
        return done();
      case "DATA":
        this.#data();
        return done();
      case "QUIT":
        this.#reply(REPLIES.bye);
        this.#flush();
        this.close();
        return done();
      case "fault":
        if (command.of === "" && command.fault === "unknown") this.#unknownCommand(REPLIES.unknownCommand, line);
        else this.#refuse("syntax", faultReply(command.of, command.fault), line);
        return done();
      case "BDAT":
      case "EXPN":
        // After BDAT octets would follow that are no commands; we never offer it.
        this.#refuse("syntax", REPLIES.notImplemented, command.verb);
        return done();
      default:
        this.#nonMailCommand(command, done);
    }
  }

  /** Commands that carry no mail; a client that says only those is ended at some point. */
  #nonMailCommand(
    command: Extract<Command, { verb: "EHLO" | "HELO" | "RSET" | "NOOP" | "VRFY" | "HELP" | "AUTH" | "STARTTLS" }>,
    done: () => void,
  ): void {
    this.#nonMail += 1;
    if (this.#nonMail > this.#context.limits.nonMailCommands) {
      this.#rejected("commands", REPLIES.tooManyCommands);
      this.#hangUp(REPLIES.tooManyCommands);
      return done();
    }
    switch (command.verb) {
      case "EHLO":
      case "HELO":
        this.#greeted(command.verb, command.name);
        return done();
      case "RSET":
        this.#dropTransaction();
        this.#reply(REPLIES.ok);
        return done();
      case "NOOP":
        this.#reply(REPLIES.ok);
        return done();
      case "VRFY":
        this.#reply(REPLIES.verify);
        return done();
      case "HELP":
        this.#reply(REPLIES.help);
        return done();
      case "AUTH":
        this.#auth(command.mechanism, command.initial);
        return done();
      case "STARTTLS":
        this.#startTls(done);
        return;
      default:
        command satisfies never;
    }
  }

  #unknownCommand(reply: Reply, line: string): void {
    this.#unknown += 1;
    const last = this.#unknown >= this.#context.limits.unknownCommands;
    this.#rejected("unknown-command", last ? REPLIES.tooManyUnknown : reply, line.slice(0, 80));
    if (last) this.#hangUp(REPLIES.tooManyUnknown);
    else this.#reply(reply);
  }

  #noteQuirks(quirks: readonly Quirk[], line: string): void {
    const seen = (this.#quirks ??= new Set());
    for (const quirk of quirks) {
      if (seen.has(quirk)) continue;
      seen.add(quirk);
      this.#context.options.emit({
        type: "session.repaired",
        session: this.id,
        listener: this.#context.listener.name,
        device: this.peer.device,
        quirk,
        detail: escapeForTrace(line),
      });
    }
  }

  // ---- commands ---------------------------------------------------------------------------------------------------------

  #greeted(verb: "EHLO" | "HELO", name: string): void {
    this.#dropTransaction();
    this.#helo = name === "" ? undefined : name;
    this.#extended = verb === "EHLO";
    const { options, listener } = this.#context;
    if (verb === "HELO") {
      this.#write(`250 ${options.hostname}\r\n`);
      return;
    }
    const startTls = (listener.tls.mode === "opportunistic" || listener.tls.mode === "required") && this.#tls === undefined;
    const keywords = [`SIZE ${this.#sizeLimit(undefined, [])}`, "PIPELINING", "8BITMIME", "SMTPUTF8", ...(startTls ? ["STARTTLS"] : [])];
    this.#write(`250-${options.hostname}\r\n${keywords.map((keyword) => `250-${keyword}\r\n`).join("")}250 ENHANCEDSTATUSCODES\r\n`);
  }

  #sizeLimit(sender: string | undefined, recipients: readonly string[]): number {
    const own = this.peer.client.maxMessageSizeBytes;
    const doors = this.#context.options.sizeLimit?.(this.peer.client.name, sender, recipients);
    return doors === undefined ? own : Math.min(own, doors);
  }

  #mail(command: Extract<Command, { verb: "MAIL" }>): void {
    const { listener, options } = this.#context;
    this.#dropTransaction();
    if (listener.tls.mode === "required" && this.#tls === undefined) return this.#refuse("tls-required", REPLIES.tlsRequired);
    const size = command.parameters.get("SIZE");
    // A size that is not a number is no size: the count decides.
    const declaredBytes = size !== undefined && /^\d{1,20}$/.test(size) ? Number(size) : undefined;
    const verdict = judgeSender(command.path, this.peer.client, options.domains);
    if (verdict.kind === "refused")
      return this.#refuse("sender", verdict.reply, command.path, "add the address to the client's senders, or correct it in the device");
    const limitBytes = this.#sizeLimit(verdict.sender, []);
    if (declaredBytes !== undefined && declaredBytes > limitBytes)
      return this.#refuse("size", tooLarge(limitBytes), `SIZE=${declaredBytes}`);
    const full = options.sink.refusal();
    if (full !== undefined) return this.#refuse("storage", full);
    this.#transaction = {
      sender: verdict.sender,
      originalSender: verdict.original,
      recipients: [],
      seen: new Set(),
      declaredBytes,
      limitBytes,
      refusedRecipients: 0,
    };
    this.#reply(REPLIES.senderOk);
  }

  #rcpt(path: string): void {
    const transaction = this.#transaction;
    if (transaction === undefined) return this.#refuse("order", REPLIES.needMail, "RCPT");
    const { limits, options } = this.#context;
    const verdict = judgeRecipient(path, this.peer.client, options.domains);
    if (verdict.kind === "refused") {
      transaction.refusedRecipients += 1;
      return this.#refuse("recipient", verdict.reply, path, "add the address to the client's recipients, or correct it in the device");
    }
    const { recipient } = verdict;
    if (transaction.seen.has(recipient)) return this.#reply(REPLIES.recipientOk);
    if (transaction.recipients.length >= limits.recipients) return this.#refuse("recipients", REPLIES.tooManyRecipients);
    const limitBytes = this.#sizeLimit(transaction.sender, [recipient]);
    if (transaction.declaredBytes !== undefined && transaction.declaredBytes > limitBytes) {
      transaction.refusedRecipients += 1;
      return this.#refuse("size", tooLarge(limitBytes), `SIZE=${transaction.declaredBytes} to ${recipient}`);
    }
    transaction.limitBytes = Math.min(transaction.limitBytes, limitBytes);
    transaction.seen.add(recipient);
    transaction.recipients.push(recipient);
    this.#reply(REPLIES.recipientOk);
  }

  #data(): void {
    const transaction = this.#transaction;
    if (transaction === undefined) return this.#refuseData("order", REPLIES.needMail);
    if (transaction.recipients.length === 0) {
      return this.#refuseData("order", transaction.refusedRecipients > 0 ? REPLIES.noValidRecipient : REPLIES.needRecipient);
    }
    const full = this.#context.options.sink.refusal();
    if (full !== undefined) return this.#refuseData("storage", full);
    this.#openIntake(transaction);
    (this._parser as SessionInput).expectContent();
    this._armTimeout();
    this.#reply(REPLIES.startData);
  }

  #refuseData(reason: string, reply: Reply): void {
    this.#refuse(reason, reply, "DATA");
    // A client that did not wait for the answer is sending content now, which must never be read as commands.
    if ((this._parser as SessionInput).buffered === 0) return;
    this.#flush();
    this.close();
  }

  #openIntake(transaction: Transaction): void {
    const { options, limits } = this.#context;
    const writer = options.sink.open();
    const date = this.#context.formatDate(options.clock.now());
    const intake = new Intake(
      writer,
      {
        queueId: writer.queueId,
        hostname: options.hostname,
        received: receivedField({
          helo: this.#helo,
          device: this.peer.device,
          hostname: options.hostname,
          queueId: writer.queueId,
          extended: this.#extended,
          tls: this.#tls,
          date,
        }),
        date,
        sender: transaction.sender,
        originalSender: transaction.originalSender,
        client: this.peer.client,
        domains: options.domains,
        receivedLimit: limits.receivedFields,
        wantSubject: options.logSubjects === true,
      },
      { contentBytes: transaction.limitBytes, headerBytes: limits.headerBytes },
    );
    this.#intake = { intake, writer };
  }

  // ---- content ----------------------------------------------------------------------------------------------------------

  content(chunk: Buffer, start: number): number {
    return this.#intake === undefined ? chunk.length : this.#intake.intake.feed(chunk, start);
  }

  contentPressure(): Promise<void> | undefined {
    const pressure = this.#intake?.intake.takeBackPressure();
    if (pressure === undefined) return undefined;
    this._handlerPending = true; // the client waits for us: no idle time-out
    return pressure.finally(() => (this._handlerPending = false));
  }

  contentEnded(done: () => void): void {
    const transaction = this.#transaction;
    const current = this.#intake;
    this.#transaction = undefined;
    this.#intake = undefined;
    if (transaction === undefined || current === undefined) return done();
    const lastOctetAt = this.#context.options.clock.monotonic();
    const result = current.intake.result();
    const header = result.header;
    if (result.refusal !== undefined || header === undefined) {
      this.#refuse(result.refusal?.reason ?? "spool", result.refusal?.reply ?? LOCAL_ERROR);
      return this.#settled(done);
    }
    const envelope = this.#envelope(transaction, result, header.messageId, header.headerFrom, header.subject);
    this.#committing = true;
    void this.#commit(current, envelope, lastOctetAt, done);
  }

  /** The 250 is said after the commit and not before; whoever is gone by then, the message is ours. Never rejects. */
  async #commit(current: Incoming, envelope: Envelope, lastOctetAt: number, done: () => void): Promise<void> {
    let failure: unknown;
    let failed = false;
    try {
      await current.writer.commit(envelope);
    } catch (error) {
      failed = true;
      failure = error;
    }
    this.#committing = false;
    if (failed) {
      const reply = failure instanceof PosternError ? failure.reply : LOCAL_ERROR;
      this.#refuse("spool", reply, failure instanceof PosternError ? failure.code : describeError(failure));
    } else {
      this.#accepted += 1;
      this.#nonMail = 0;
      this.#unknown = 0;
      this.#write(queuedAs(current.writer.queueId));
    }
    this.#settled(done);
    if (!failed) this.#announce(envelope, current.writer.queueId, lastOctetAt);
  }

  /** A message got its reply: on with commands, or out. */
  #settled(done: () => void): void {
    if (this._closed) this.#finished();
    else {
      this._armTimeout();
      if (this.#stopping) this.#hangUp(REPLIES.shuttingDown);
      else if (this.#ended) this.close();
    }
    this._whenWritable(done);
  }

  #envelope(
    transaction: Transaction,
    result: IntakeResult,
    messageId: string,
    headerFrom: string | undefined,
    subject: string | undefined,
  ): Envelope {
    const { sender, recipients, originalSender } = transaction;
    return {
      reversePath: sender,
      recipients,
      originalSender,
      origin: {
        listener: this.#context.listener.name,
        client: this.peer.client.name,
        device: this.peer.device,
        helo: this.#helo === undefined ? undefined : escapeForTrace(this.#helo),
        tls: this.#tls?.protocol,
      },
      kind: "mail",
      priority: this.peer.client.priority,
      smtpUtf8: isNonAscii(sender) || recipients.some(isNonAscii),
      eightBit: result.eightBit,
      sizeBytes: result.sizeBytes,
      messageId,
      headerFrom,
      subject,
      repairs: result.repairs,
      sessionStartedAt: this.#startedAt,
    };
  }

  #announce(envelope: Envelope, queueId: string, lastOctetAt: number): void {
    const { clock, emit } = this.#context.options;
    emit({
      type: "message.accepted",
      queueId,
      session: this.id,
      origin: envelope.origin,
      reversePath: envelope.reversePath,
      originalSender: envelope.originalSender,
      recipients: envelope.recipients,
      sizeBytes: envelope.sizeBytes,
      messageId: envelope.messageId,
      subject: envelope.subject,
      repairs: envelope.repairs,
      acceptSeconds: (clock.monotonic() - lastOctetAt) / 1000,
    });
  }

  #dropTransaction(): void {
    this.#transaction = undefined;
    this.#intake?.intake.abort();
    this.#intake = undefined;
  }

  // ---- AUTH and STARTTLS ------------------------------------------------------------------------------------------------

  /**
   * A client is admitted by its address; devices that insist on a password get their 235. What they send is neither kept nor looked at.
   */
  #auth(mechanism: string, initial: string | undefined): void {
    if (this.#transaction !== undefined) return this.#refuse("order", REPLIES.inTransaction, "AUTH");
    const last = (line: string): Reply => (line.trim() === "*" ? REPLIES.authAborted : REPLIES.authenticated);
    if (mechanism === "PLAIN") {
      if (initial !== undefined) return this.#reply(REPLIES.authenticated);
      this.#prompt = last;
      return this.#reply(REPLIES.emptyPrompt);
    }
    if (mechanism !== "LOGIN") return this.#refuse("auth", REPLIES.authMechanism, mechanism);
    if (initial !== undefined) {
      this.#prompt = last;
      return this.#reply(REPLIES.passwordPrompt);
    }
    this.#prompt = (line) => {
      if (line.trim() === "*") return REPLIES.authAborted;
      this.#prompt = last;
      return REPLIES.passwordPrompt;
    };
    this.#reply(REPLIES.userPrompt);
  }

  #startTls(done: () => void): void {
    const { mode } = this.#context.listener.tls;
    if (mode === "none") {
      this.#refuse("syntax", REPLIES.notImplemented, "STARTTLS");
      return done();
    }
    if (this.#tls !== undefined) {
      this.#refuse("order", REPLIES.tlsActive, "STARTTLS");
      return done();
    }
    this.#reply(REPLIES.readyForTls);
    this.#flush();
    this._handlerPending = false;
    this.upgrade(done);
  }
}

function faultReply(of: "MAIL" | "RCPT" | "STARTTLS" | "", fault: CommandFault): Reply {
  if (fault === "syntax" || of === "STARTTLS" || of === "") return REPLIES.syntax;
  if (of === "MAIL") return fault === "several-addresses" ? REPLIES.severalSenders : REPLIES.noSender;
  return fault === "several-addresses" ? REPLIES.severalRecipients : REPLIES.noRecipient;
}

function tlsRemedy(error: Error): string | undefined {
  if (/unsupported protocol|no shared cipher|version/i.test(error.message)) {
    return "the device knows only old TLS: set min_version: TLSv1 on its listener, or switch encryption off in the device";
  }
  if (/unknown ca|bad certificate|certificate unknown/i.test(error.message)) {
    return "the device does not trust the listener's certificate: import it there, or give the listener one the device trusts";
  }
  return undefined;
}
