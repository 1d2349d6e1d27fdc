/**
 * One SMTP session: the tolerant dialogue. Commands are parsed and repaired, judged by policy and answered here; content goes to the message that
 * is coming in. The connection below carries it.
 *
 *     greeting → (EHLO|HELO)* → MAIL → RCPT+ → DATA → content → commit → 250 → MAIL …
 *
 * What devices do decides where the order is strict: HELO may be missing or repeated, a second MAIL starts over (a device that timed out on
 * one mail sends the next without RSET; RFC 5321 §4.1.4 would have 503), RCPT needs MAIL, DATA needs RCPT.
 */
import type { Socket } from "node:net";
import { describeError, PosternError } from "../mail/errors.ts";
import type { Envelope } from "../mail/message.ts";
import type { Reply } from "../mail/reply.ts";
import { IdentifiedConnection } from "./identified-connection.ts";
import type { ConnectionOwner, Peer, SessionServer } from "./connection.ts";
import { IncomingMessage } from "./incoming.ts";
import type { Transaction } from "./incoming.ts";
import { LOCAL_ERROR, tooLarge } from "./intake.ts";
import type { ClientOptions, SessionContext } from "./options.ts";
import { Pace } from "./pace.ts";
import type { Late } from "./pace.ts";
import type { Rate } from "./rates.ts";
import { judgeRecipient, judgeSender } from "./policy.ts";
import { escapeForTrace, repairCommand } from "./repair.ts";
import type { Command, CommandFault, Quirk } from "./repair.ts";
import { queuedAs, REPLIES } from "./replies.ts";

const HTTP_REQUEST = /^(?:OPTIONS|GET|HEAD|POST|PUT|DELETE|TRACE|CONNECT|PATCH) \S+ HTTP\/\d/i;
const HEADER_LINE = /^(?!(?:MAIL FROM|RCPT TO):)[!-9;-~]+[ \t]*:/i;
/** The PROXY protocol, versions 1 and 2. */
const PROXY_LINE = /^PROXY (?:TCP[46]|UNKNOWN)\b/;
/** As far as it is like nothing else; the whole is CR LF CR LF NUL CR LF QUIT LF. */
const PROXY_SIGNATURE = Buffer.from("\r\n\r\n\0");

/** A session on one connection. */
export class Session extends IdentifiedConnection {
  readonly #startedAt: number;
  #helo: string | undefined;
  #lastHelo: string | undefined;
  #extended = false;
  #transaction: Transaction | undefined;
  #incoming: IncomingMessage | undefined;
  #committing = false;
  #nonMail = 0;
  #unknown = 0;
  #accepted = 0;
  #errors = 0;
  /** Said once what is under way is over: the end of the session. */
  #farewell: Reply | undefined;
  /** What took too long, at last. */
  #late: Late | undefined;
  readonly #pace: Pace;
  /** No line but blank ones came so far. */
  #opening = true;
  /** Content was refused before it came; what is no command may be its beginning. */
  #dataRefused = false;
  #noted: Set<Quirk> | undefined;
  /** The last command was AUTH: whatever came of it, a line that is no command may be a password sent without waiting. */
  #afterAuth = false;

  constructor(server: SessionServer, socket: Socket, peer: Peer, owner: ConnectionOwner, context: SessionContext) {
    super(server, socket, peer, owner, context);
    this.#pace = new Pace(this.startedMonotonic);
    this.#startedAt = server.context.options.clock.now();
  }

  protected get committing(): boolean {
    return this.#committing;
  }

  protected get receiving(): boolean {
    return this.#incoming !== undefined;
  }

  protected get accepted(): number {
    return this.#accepted;
  }

  protected get heloName(): string | undefined {
    return this.#lastHelo === undefined ? undefined : escapeForTrace(this.#lastHelo);
  }

  protected get inTransaction(): boolean {
    return this.#transaction !== undefined;
  }

  /** True while a message is on its way in: shutting down waits for it. */
  get busy(): boolean {
    return this.#committing || (this.#incoming !== undefined && !this._closing && !this._closed);
  }

  /** The accept layer's wish to end: at once when idle, else after the message in progress. */
  stop(reply: Reply = REPLIES.shuttingDown): void {
    this.#farewell = reply;
    if (!this.busy) this.hangUp(reply);
  }

  /** Asked every few seconds: ends what takes too long. @param now - monotonic ms */
  inspect(now: number): void {
    if (this._closing || this._closed || this._upgrading) return;
    const waitsForUs = this.#committing || this._handlerPending;
    const { limits } = this.context;
    // A message that is taken to its end after the last word was decided still has to get there.
    const late = this.#pace.inspect(
      now,
      this.receiving,
      waitsForUs,
      this.#farewell === undefined ? limits : { ...limits, sessionMs: Infinity },
    );
    if (late === undefined) return;
    this.#late = late;
    if (late === "session") {
      this.rejected("session-time", REPLIES.tooLong, undefined, "raise session under limits, or let the device end its sessions");
      this.stop(REPLIES.tooLong);
    } else {
      const reply = late === "data" ? REPLIES.tooSlow : REPLIES.idle;
      this.rejected(late === "data" ? "data-rate" : "command-time", reply);
      this.hangUp(reply);
    }
  }

  protected override secured(): void {
    super.secured();
    this.#dropTransaction();
    this.#helo = undefined;
  }

  protected resume(done: () => void): void {
    this._armTimeout();
    if (this.#farewell !== undefined) this.hangUp(this.#farewell);
    this._whenWritable(done);
  }

  protected dropped(): void {
    if (this.#incoming !== undefined) this.context.options.emit(this.#incoming.unfinished(this.#whyUnfinished()));
    this.#dropTransaction();
  }

  #whyUnfinished(): string {
    if (this.timedOut) return `nothing came for ${this.context.limits.dataIdleMs / 1000} s`;
    if (this.#late === "data") return `fewer than ${this.context.limits.minBytesPerMinute} octets a minute came`;
    return this.#farewell === REPLIES.shuttingDown ? "the relay was stopped" : "the device ended the connection";
  }

  // ---- input ------------------------------------------------------------------------------------------------------------

  firstOctets(octets: Buffer): boolean | undefined {
    // A record of a TLS handshake, or the hello of SSL 2 that old devices begin with.
    const isTls = octets[0] === 0x16 || ((octets[0] ?? 0) >= 0x80 && octets[2] === 0x01);
    if (isTls && this.tls === undefined) {
      return this.#wrongProtocol("tls-on-plain-port", REPLIES.talksTls, "speaks TLS on a plain port: use 465 or switch encryption off");
    }
    if (octets[0] !== PROXY_SIGNATURE[0]) return true;
    const length = Math.min(octets.length, PROXY_SIGNATURE.length);
    if (octets.compare(PROXY_SIGNATURE, 0, length, 0, length) !== 0) return true;
    return length < PROXY_SIGNATURE.length ? undefined : this.#wrongProxy();
  }

  /** A line that no client of SMTP begins with ends the connection: what a browser or a balancer sends next must not be read as commands. */
  #begins(line: string): boolean {
    if (line === "") return true;
    this.#opening = false;
    if (PROXY_LINE.test(line)) return this.#wrongProxy();
    if (!HTTP_REQUEST.test(line)) return true;
    return this.#wrongProtocol(
      "http",
      REPLIES.talksHttp,
      "speaks HTTP on a mail port: a browser, a scanner, or a wrong port in the device",
    );
  }

  #wrongProxy(): false {
    const remedy = "sends a PROXY header: list the balancer under proxy_protocol, or switch it off there";
    return this.#wrongProtocol("proxy-header", REPLIES.talksProxy, remedy);
  }

  #wrongProtocol(reason: string, reply: Reply, remedy: string): false {
    this.rejected(reason, reply, undefined, remedy);
    this.close();
    return false;
  }

  line(line: string, done: () => void): void {
    this.hold();
    // Everything that came in clear after STARTTLS is thrown away.
    if (this._upgrading || this._closing || this._closed) return done();
    if (this.#farewell !== undefined) {
      this.hangUp(this.#farewell);
      return done();
    }
    this.#pace.line();
    if (!this.#answer(line, done)) this._whenWritable(done);
  }

  /** Answers one line; true when `done` is called by somebody else. What goes wrong is our fault and temporary: a 451, and the session goes on. */
  #answer(line: string, done: () => void): boolean {
    if (this.#opening && !this.#begins(line)) return false;
    const prompt = this.prompt;
    if (prompt !== undefined) {
      this.prompt = undefined;
      return prompt(line, done);
    }
    const command = repairCommand(line);
    try {
      return this.#command(command, line, done);
    } catch (error) {
      const reply = error instanceof PosternError ? error.reply : LOCAL_ERROR;
      if (command.verb === "DATA") this.#refuseData("internal", reply, describeError(error));
      else this.refuse("internal", reply, describeError(error));
      return false;
    }
  }

  lineTooLong(): void {
    this.prompt = undefined;
    if (this.#dataRefused) this.#contentUnasked();
    else this.#unknownCommand(REPLIES.lineTooLong, "");
  }

  #command(command: Command, line: string, done: () => void): boolean {
    const shown = this.#shown(command, line);
    if (command.quirks.length > 0) this.#noteQuirks(command.quirks, shown);
    if (command.verb !== "fault") this.#dataRefused = false;
    else if (this.#dataRefused && HEADER_LINE.test(line)) {
      this.#contentUnasked();
      return false;
    }
    switch (command.verb) {
      case "MAIL":
        return this.#tooManyCommands() ? false : this.#mail(command, done);
      case "RCPT":
        return this.#rcpt(command.path, done);
      case "DATA":
        this.#data();
        return false;
      case "QUIT":
        this.quit(REPLIES.bye);
        return false;
      case "fault":
        if (command.of === "" && command.fault === "unknown") this.#unknownCommand(REPLIES.unknownCommand, shown);
        else this.refuse("syntax", faultReply(command.of, command.fault), shown);
        return false;
      case "BDAT":
        // We never offer it. What follows it are octets of a message, no commands.
        this.#refuseData("syntax", REPLIES.notImplemented, "BDAT");
        return false;
      case "EXPN":
        this.refuse("syntax", REPLIES.notImplemented, command.verb);
        return false;
      default:
        return this.#nonMailCommand(command, done);
    }
  }

  /** The line as events may tell it: nothing that may be a password. */
  #shown(command: Command, line: string): string {
    const { verb } = command;
    const stray = verb === "fault" && command.of === "";
    if (!stray) this.#afterAuth = verb === "AUTH";
    if (verb === "AUTH") return `AUTH ${command.mechanism}`;
    return stray && (this.#afterAuth || /^\s*AUTH/i.test(line)) ? "(not shown: it may hold a password)" : line;
  }

  /** Commands that carry no mail; a client that says only those is ended at some point. */
  #nonMailCommand(
    command: Extract<Command, { verb: "EHLO" | "HELO" | "RSET" | "NOOP" | "VRFY" | "HELP" | "AUTH" | "STARTTLS" }>,
    done: () => void,
  ): boolean {
    if (this.#tooManyCommands()) return false;
    switch (command.verb) {
      case "EHLO":
      case "HELO":
        this.#greeted(command.verb, command.name);
        return false;
      case "RSET":
        this.#dropTransaction();
        this.reply(REPLIES.ok);
        return false;
      case "NOOP":
        this.reply(REPLIES.ok);
        return false;
      case "VRFY":
        this.reply(REPLIES.verify);
        return false;
      case "HELP":
        this.reply(REPLIES.help);
        return false;
      case "AUTH":
        return this.auth(command.mechanism, command.initial, done);
      case "STARTTLS":
        return this.#startTls(done);
      default:
        command satisfies never;
        return false;
    }
  }

  /** Ends a session that says more commands than any mail needs. */
  #tooManyCommands(): boolean {
    this.#nonMail += 1;
    if (this.#nonMail <= this.context.limits.nonMailCommands) return false;
    this.rejected("commands", REPLIES.tooManyCommands);
    this.hangUp(REPLIES.tooManyCommands);
    return true;
  }

  /** A refusal where something was to be made. */
  #no(reason: string, reply: Reply, detail?: string, remedy?: string): undefined {
    this.refuse(reason, reply, detail, remedy);
    return undefined;
  }

  /** Ends a session that does little but be refused. */
  protected override refuse(reason: string, reply: Reply, detail?: string, remedy?: string): void {
    super.refuse(reason, reply, detail, remedy);
    this.#errors += 1;
    if (this.#errors <= this.context.limits.errors || this.#incoming !== undefined) return;
    this.rejected("errors", REPLIES.tooManyErrors);
    this.hangUp(REPLIES.tooManyErrors);
  }

  #unknownCommand(reply: Reply, line: string): void {
    this.#unknown += 1;
    const last = this.#unknown >= this.context.limits.unknownCommands;
    this.rejected("unknown-command", last ? REPLIES.tooManyUnknown : reply, line.slice(0, 80));
    if (last) this.hangUp(REPLIES.tooManyUnknown);
    else this.reply(reply);
  }

  /** A client that did not wait for the answer to DATA sends a message: none of its lines may be taken for a command. */
  #contentUnasked(): void {
    this.rejected("content-refused", REPLIES.contentUnasked, "a line of a message came after refused data");
    this.hangUp(REPLIES.contentUnasked);
  }

  #noteQuirks(quirks: readonly Quirk[], line: string): void {
    const seen = (this.#noted ??= new Set());
    for (const quirk of quirks) {
      if (seen.has(quirk)) continue;
      seen.add(quirk);
      this.context.options.emit({
        type: "session.repaired",
        session: this.id,
        listener: this.context.listener.name,
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
    this.#lastHelo = this.#helo;
    this.#extended = verb === "EHLO";
    const { options } = this.context;
    if (verb === "HELO") {
      this.write(`250 ${options.hostname}\r\n`);
      return;
    }
    const { mode } = this.context.tls;
    const startTls = (mode === "opportunistic" || mode === "required") && this.tls === undefined;
    const { authEquals, ehloHide } = this.quirks;
    const { offersAuth } = this;
    const largest = this.#sizeLimit(undefined, []);
    const keywords = [
      Number.isFinite(largest) ? `SIZE ${largest}` : "SIZE",
      "PIPELINING",
      "8BITMIME",
      "SMTPUTF8",
      ...(startTls ? ["STARTTLS"] : []),
      ...(offersAuth ? ["AUTH LOGIN PLAIN"] : []),
      ...(offersAuth && authEquals ? ["AUTH=LOGIN PLAIN"] : []),
      "ENHANCEDSTATUSCODES",
    ];
    const hidden: readonly string[] = ehloHide;
    const lines = [options.hostname, ...keywords.filter((keyword) => !hidden.includes(keyword.split(" ", 1)[0] ?? ""))];
    this.write(lines.map((text, at) => `250${at < lines.length - 1 ? "-" : " "}${text}\r\n`).join(""));
  }

  #sizeLimit(sender: string | undefined, recipients: readonly string[]): number {
    const own = this.client?.maxMessageSizeBytes ?? Infinity;
    const doors = this.context.options.sizeLimit?.(this.client?.name ?? "", sender, recipients);
    return doors === undefined ? own : Math.min(own, doors);
  }

  /** Like everything that may have to wait: true when `done` is called later. */
  #mail(command: Extract<Command, { verb: "MAIL" }>, done: () => void): boolean {
    this.#dropTransaction();
    const transaction = this.#openTransaction(command);
    if (transaction === undefined) return false;
    return this.#paced("rate", this.client?.rate, REPLIES.rate, done, () => {
      this.#transaction = transaction;
      this.reply(REPLIES.senderOk);
    });
  }

  /** What MAIL begins; undefined after a refusal. */
  #openTransaction(command: Extract<Command, { verb: "MAIL" }>): Transaction | undefined {
    const { options, tls } = this.context;
    if (tls.mode === "required" && this.tls === undefined) return this.#no("tls-required", REPLIES.tlsRequired, undefined, TLS_REMEDY);
    const client = this.client;
    if (client === undefined) return this.refuseUnknown();
    const size = command.parameters.get("SIZE");
    // A size that is not a number is no size: the count decides.
    const declaredBytes = size !== undefined && /^\d{1,20}$/.test(size) ? Number(size) : undefined;
    const verdict = judgeSender(command.path, client, options.domains);
    if (verdict.kind === "refused")
      return this.#no("sender", verdict.reply, command.path, "add the address to the client's senders, or correct it in the device");
    const limitBytes = this.#sizeLimit(verdict.sender, []);
    if (declaredBytes !== undefined && declaredBytes > limitBytes)
      return this.#no("size", tooLarge(limitBytes), `SIZE=${declaredBytes}`, sizeRemedy(client.name));
    const full = options.sink.refusal();
    if (full !== undefined) return this.#no("storage", full);
    return {
      sender: verdict.sender,
      originalSender: verdict.original,
      recipients: [],
      seen: new Set(),
      declaredBytes,
      limitBytes,
      refusedRecipients: 0,
      overRate: false,
    };
  }

  #rcpt(path: string, done: () => void): boolean {
    const transaction = this.#transaction;
    const client = this.client;
    if (transaction === undefined || client === undefined) {
      this.refuse("order", REPLIES.needMail, "RCPT");
      return false;
    }
    const recipient = this.#judgedRecipient(path, transaction, client);
    if (recipient === undefined) return false;
    // Each recipient would wait again, with no better end.
    if (transaction.overRate) {
      this.refuse("recipient-rate", REPLIES.recipientRate);
      return false;
    }
    const taken = this.#paced("recipient-rate", client.recipientRate, REPLIES.recipientRate, done, () => {
      transaction.seen.add(recipient);
      transaction.recipients.push(recipient);
      this.reply(REPLIES.recipientOk);
    });
    return taken;
  }

  /** A recipient that is wanted and new; undefined when it was answered already. */
  #judgedRecipient(path: string, transaction: Transaction, client: ClientOptions): string | undefined {
    const { limits, options } = this.context;
    const verdict = judgeRecipient(path, client, options.domains);
    if (verdict.kind === "refused") {
      transaction.refusedRecipients += 1;
      return this.#no("recipient", verdict.reply, path, "add the address to the client's recipients, or correct it in the device");
    }
    const { recipient } = verdict;
    if (transaction.seen.has(recipient)) {
      this.reply(REPLIES.recipientOk);
      return undefined;
    }
    if (transaction.recipients.length >= limits.recipients) return this.#no("recipients", REPLIES.tooManyRecipients);
    const limitBytes = this.#sizeLimit(transaction.sender, [recipient]);
    if (transaction.declaredBytes !== undefined && transaction.declaredBytes > limitBytes) {
      transaction.refusedRecipients += 1;
      return this.#no("size", tooLarge(limitBytes), `SIZE=${transaction.declaredBytes} to ${recipient}`, sizeRemedy(this.client?.name));
    }
    transaction.limitBytes = Math.min(transaction.limitBytes, limitBytes);
    return recipient;
  }

  /** Goes on when the rate allows it, or refuses after a while. */
  #paced(reason: "rate" | "recipient-rate", rate: Rate | undefined, over: Reply, done: () => void, go: () => void): boolean {
    if (rate === undefined) {
      go();
      return false;
    }
    const { rates, limits, options } = this.context;
    const name = this.client?.name ?? "";
    const key = `${reason} ${name} ${this.user ?? this.peer.group}`;
    const waitMs = rates.take(key, rate, options.clock.monotonic(), limits.rateDelayMs);
    if (waitMs === 0) {
      go();
      return false;
    }
    const transaction = this.#transaction;
    this._handlerPending = true; // the client waits for us: no idle time-out
    options.clock.after(waitMs ?? limits.rateDelayMs, () => {
      this._handlerPending = false;
      if (this._closing || this._closed) return done();
      if (waitMs !== undefined) go();
      else {
        if (transaction !== undefined) transaction.overRate = true;
        const which = reason === "rate" ? "rate" : "recipient_rate";
        this.refuse(reason, over, undefined, `let the device send more slowly, or raise ${which} of client ${name}`);
      }
      this.resume(done);
    });
    return true;
  }

  #data(): void {
    const transaction = this.#transaction;
    const client = this.client;
    if (transaction === undefined || client === undefined) return this.#refuseData("order", REPLIES.needMail);
    if (transaction.recipients.length === 0) {
      return this.#refuseData("order", transaction.refusedRecipients > 0 ? REPLIES.noValidRecipient : REPLIES.needRecipient);
    }
    const full = this.context.options.sink.refusal();
    if (full !== undefined) return this.#refuseData("storage", full);
    const { id, peer, tls } = this;
    const facts = {
      id,
      device: peer.device,
      client,
      user: this.user,
      quirks: this.quirks,
      helo: this.#helo,
      extended: this.#extended,
      tls,
      startedAt: this.#startedAt,
    };
    this.#incoming = new IncomingMessage(transaction, facts, this.context);
    this.input.expectContent();
    this._armTimeout();
    this.reply(REPLIES.startData);
  }

  #refuseData(reason: string, reply: Reply, detail = "DATA"): void {
    this.refuse(reason, reply, detail);
    // A client that did not wait for the answer is sending content now, which must never be read as commands.
    if (this.input.buffered === 0 && this._socket.readableLength === 0) {
      this.#dataRefused = true;
      return;
    }
    this.flush();
    this.close();
  }

  // ---- content ----------------------------------------------------------------------------------------------------------

  content(chunk: Buffer, start: number): number {
    if (this.#incoming === undefined) return chunk.length;
    this.#pace.octets(chunk.length - start);
    return this.#incoming.feed(chunk, start);
  }

  contentPressure(): Promise<void> | undefined {
    const pressure = this.#incoming?.takeBackPressure();
    if (pressure === undefined) return undefined;
    this._handlerPending = true; // the client waits for us: no idle time-out
    this.#pace.held();
    return pressure.finally(() => (this._handlerPending = false));
  }

  contentEnded(done: () => void): void {
    const incoming = this.#incoming;
    this.#transaction = undefined;
    this.#incoming = undefined;
    if (incoming === undefined) return done();
    const lastOctetAt = this.context.options.clock.monotonic();
    const completed = incoming.complete();
    if (completed.refusal !== undefined) {
      const { refusal } = completed;
      this.refuse(refusal.reason, refusal.reply, refusal.detail, refusal.reason === "size" ? sizeRemedy(this.client?.name) : undefined);
      this.#settled(done);
      return;
    }
    this.#committing = true;
    if (completed.repeatKey === undefined) void this.#commit(incoming, completed.envelope, lastOctetAt, done);
    else void this.#commitOnce(incoming, completed.envelope, completed.repeatKey, lastOctetAt, done);
  }

  /** Commits unless the same message came a short while ago and is ours: then its queue id is the answer again. Never rejects. */
  async #commitOnce(incoming: IncomingMessage, envelope: Envelope, key: string, lastOctetAt: number, done: () => void): Promise<void> {
    const { repeats, options } = this.context;
    const earlier = repeats.find(key, options.clock.monotonic(), this.quirks.suppressRepeatsWithinMs);
    if (earlier === undefined || !(await earlier.accepted)) {
      const accepted = this.#commit(incoming, envelope, lastOctetAt, done);
      repeats.remember(key, incoming.queueId, options.clock.monotonic(), accepted);
      return;
    }
    incoming.abort();
    this.#committing = false;
    this.#answered(earlier.queueId);
    this.#settled(done);
    options.emit(incoming.repeated(earlier.queueId));
  }

  /** The 250 is said after the commit and not before; whoever is gone by then, the message is ours. Never rejects. */
  async #commit(incoming: IncomingMessage, envelope: Envelope, lastOctetAt: number, done: () => void): Promise<boolean> {
    let failure: unknown;
    let failed = false;
    try {
      await incoming.commit(envelope);
    } catch (error) {
      failed = true;
      failure = error;
    }
    this.#committing = false;
    if (failed) {
      const reply = failure instanceof PosternError ? failure.reply : LOCAL_ERROR;
      this.refuse("spool", reply, failure instanceof PosternError ? failure.code : describeError(failure));
    } else {
      this.#answered(incoming.queueId);
    }
    this.#settled(done);
    if (failed) return false;
    const { clock, emit } = this.context.options;
    emit(incoming.accepted(envelope, (clock.monotonic() - lastOctetAt) / 1000));
    return true;
  }

  #answered(queueId: string): void {
    this.#accepted += 1;
    this.#nonMail = 0;
    this.#unknown = 0;
    this.#errors = 0;
    this.write(queuedAs(queueId));
  }

  /** A message got its reply: on with commands, or out. */
  #settled(done: () => void): void {
    if (this._closed) this.finish();
    else {
      this._armTimeout();
      if (this.#farewell !== undefined) this.hangUp(this.#farewell);
      else if (this.inputEnded) this.close();
    }
    this._whenWritable(done);
  }

  #dropTransaction(): void {
    this.#transaction = undefined;
    this.#incoming?.abort();
    this.#incoming = undefined;
  }

  // ---- STARTTLS --------------------------------------------------------------------------------------------------------

  #startTls(done: () => void): boolean {
    const { mode } = this.context.tls;
    if (mode === "none") {
      this.refuse("syntax", REPLIES.notImplemented, "STARTTLS");
      return false;
    }
    if (this.tls !== undefined) {
      this.refuse("order", REPLIES.tlsActive, "STARTTLS");
      return false;
    }
    this.takeHandshakeTurn(() => {
      this.reply(REPLIES.readyForTls);
      this.flush();
      this.upgrade(done);
    });
    return true;
  }
}

function faultReply(of: "MAIL" | "RCPT" | "STARTTLS" | "", fault: CommandFault): Reply {
  if (fault === "syntax" || of === "STARTTLS" || of === "") return REPLIES.syntax;
  if (of === "MAIL") return fault === "several-addresses" ? REPLIES.severalSenders : REPLIES.noSender;
  return fault === "several-addresses" ? REPLIES.severalRecipients : REPLIES.noRecipient;
}

const TLS_REMEDY = "switch STARTTLS on in the device, or give its client tls: { mode: opportunistic }";

/** What lets larger messages in: less of it, or more room here and at the doors. */
function sizeRemedy(client: string | undefined): string {
  const own = client === undefined ? "" : ` of client ${client}`;
  return `let the device send less at a time (resolution, black and white), or raise max_message_size${own} and limits.max_message_size of the upstreams`;
}
