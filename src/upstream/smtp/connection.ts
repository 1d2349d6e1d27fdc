/**
 * One SMTP connection to a next hop: nodemailer's dialogue, turned into facts.
 *
 * The library writes the commands and reads the replies; this class notes at which stage the dialogue stands and what was said there,
 * word for word, and sends the content itself. One operation at a time (start, authenticate, transact, reset); each ends exactly once.
 */
import type { Socket } from "node:net";
import { describeError, PosternError } from "../../mail/errors.ts";
import { isNonAscii } from "../../mail/address.ts";
import type { Reply } from "../../mail/reply.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Delivery, RecipientFact, Refusal, Stage } from "../upstream.ts";
import { DotStuffer, wireForm } from "./content.ts";
import { tlsOptions } from "./dial.ts";
import type { TlsPolicy } from "./dial.ts";
import { faultAt, faultOf, refusalFrom } from "./fault.ts";
import { LibraryConnection } from "./library.ts";
import type { LibraryCallback } from "./library.ts";
import type { ReplyReader } from "./replies.ts";

/** How long each exchange may take, in ms. */
export interface Timeouts {
  readonly connectMs: number;
  /** Greeting, EHLO, STARTTLS and AUTH: Microsoft answers a failed AUTH after some seconds, others after a minute. */
  readonly sessionMs: number;
  /** MAIL, RCPT, DATA, RSET. */
  readonly commandMs: number;
  /** One block of content taken by the network. */
  readonly contentMs: number;
  /** The reply to the final dot. */
  readonly finalMs: number;
}

/** RFC 5321 §4.5.3.2, shortened where Microsoft is known to answer sooner. */
export const DEFAULT_TIMEOUTS: Timeouts = {
  connectMs: 30_000,
  sessionMs: 60_000,
  commandMs: 120_000,
  contentMs: 180_000,
  finalMs: 600_000,
};

/** What a connection needs to know of its upstream. */
export interface ConnectionOptions {
  readonly host: string;
  readonly port: number;
  /** Name for EHLO: a plain FQDN. */
  readonly ehloName: string;
  /** `none`: STARTTLS is not used (or TLS is on already). */
  readonly startTls: "none" | "opportunistic" | "required";
  readonly tls: TlsPolicy;
  readonly timeouts: Timeouts;
  readonly clock: Clock;
  readonly replies: ReplyReader;
}

/** Who signs in. `token` is an OAuth access token for XOAUTH2. */
export type Login = { readonly user: string; readonly token: string } | { readonly user: string; readonly password: string };

/** How a transaction went: the SMTP half of AttemptFacts. */
export interface Transaction {
  readonly recipients: readonly RecipientFact[];
  readonly refusal: Refusal | undefined;
  readonly accepted: Reply | undefined;
  readonly ambiguous: boolean;
  /** The dialogue stands where another transaction can begin, after RSET when something was refused. */
  readonly reuse: "yes" | "after-reset" | "no";
  /** Nothing of the content went out, and the connection was lost or ended by a 421: on a kept connection that is no failure. */
  readonly stale: boolean;
}

const HOUR_MS = 3_600_000;
/** Not `XOAUTH2`: under that name, and without its own token class, the library would send the token by the first mechanism on offer. */
const TOKEN_LOGIN = "POSTERN-XOAUTH2";

/** A client's side of one SMTP session. */
export class SmtpConnection extends LibraryConnection {
  /** Called once when the connection is over, for whatever reason. */
  onClosed: (() => void) | undefined;
  /** Where it leads, in words, once somebody asked. */
  remote: string | undefined;
  /** Messages tried on it. */
  transactions = 0;
  /** What the pool needs to retire it, on the monotonic clock. */
  readonly openedAt: number;
  idleSince = 0;
  /** What is being waited for; `mail` until the reply to MAIL came, and so on. */
  awaiting: Stage = "greeting";

  readonly #options: ConnectionOptions;
  /** On the monotonic clock; Infinity when nothing is awaited. */
  #deadline: number;
  /** Ends the operation under way. */
  #settle: ((refusal: Refusal | undefined) => void) | undefined;
  /** The failure that ended the connection. */
  #failure: Refusal | undefined;
  #closed = false;

  // The transaction under way.
  #delivery: Delivery | undefined;
  #mailReply: string | undefined;
  #rcptReplies: string[] = [];
  #rcptsWanted = 0;
  #dataReply: string | undefined;
  #finalReply: string | undefined;
  #finalStage: Stage = "final";
  /** Commands being collected for one write. */
  #batch: string | undefined;

  /** @param socket - connected; with TLS already where that was implicit */
  constructor(socket: Socket, options: ConnectionOptions, secured: boolean) {
    super({
      connection: socket,
      host: options.host,
      port: options.port,
      secure: secured,
      secured,
      name: options.ehloName,
      requireTLS: options.startTls === "required",
      opportunisticTLS: options.startTls === "opportunistic",
      ignoreTLS: options.startTls === "none",
      tls: options.startTls === "none" ? {} : tlsOptions(options.host, options.tls),
      // Our own deadlines rule; the library's timers only must not be shorter.
      connectionTimeout: HOUR_MS,
      greetingTimeout: HOUR_MS,
      socketTimeout: HOUR_MS,
      // What is still unsent when we close must not be sent: a message that was broken off would go on.
      socketCloseTimeout: 0,
      maxResponseSize: 64 * 1024,
      customAuth: {
        [TOKEN_LOGIN]: async (context) => await this.#xoauth2((command) => context.sendCommand(command), context.auth.credentials),
      },
    });
    this.#options = options;
    this.openedAt = options.clock.monotonic();
    this.#deadline = this.openedAt + options.timeouts.sessionMs;
    this.on("error", (error: Error) => this.#broken(error));
    this.on("end", () => this.#ended());
  }

  /** Greeting, EHLO, STARTTLS. Undefined when the session stands. */
  async start(): Promise<Refusal | undefined> {
    return await this.#operate("greeting", this.#options.timeouts.sessionMs, () => {
      this.connect((error) => this.#finish(error === undefined ? undefined : this.#refusalOf(error)));
    });
  }

  /** Signs in. The caller has made sure that the line is one that may carry the secret. */
  async authenticate(login: Login): Promise<Refusal | undefined> {
    const mechanisms = this._supportedAuth;
    const method = "token" in login ? mechanisms.find((one) => one === "XOAUTH2") : mechanisms.find((one) => one !== "XOAUTH2");
    if (method === undefined) {
      const offered = mechanisms.length === 0 ? "the server offers no AUTH" : `the server offers AUTH ${mechanisms.join(" ")} only`;
      return faultAt("auth", "NO_AUTH_OFFERED", offered);
    }
    return await this.#operate("auth", this.#options.timeouts.sessionMs, () => {
      const [how, pass] = "token" in login ? [TOKEN_LOGIN, login.token] : [method, login.password];
      this.login({ method: how, user: login.user, credentials: { user: login.user, pass } }, (error) => {
        const answer = error === null ? this.lastServerResponse : (error as { response?: unknown }).response;
        if (typeof answer === "string") this.#note(answer);
        this.#finish(error === null ? undefined : this.#refusalOf(error));
      });
    });
  }

  /** Sends one message. Ends when its final reply came, or when it is clear that none will. */
  async transact(delivery: Delivery): Promise<Transaction> {
    this.transactions += 1;
    const recipients = this.#sendable(delivery);
    if (recipients === undefined)
      return refused(delivery, faultAt("mail", "NO_SMTPUTF8", "the server does not take addresses beyond ASCII"), "yes");
    if (recipients.length === 0) return { ...refused(delivery, undefined, "yes"), recipients: this.#recipientFacts(delivery) };
    const limit = this._maxAllowedSize;
    if (limit > 0 && delivery.sizeBytes > limit) {
      return refused(delivery, faultAt("mail", "TOO_LARGE", `${delivery.sizeBytes} octets, the server takes ${limit}`), "yes");
    }
    this.#delivery = delivery;
    this.#mailReply = this.#dataReply = this.#finalReply = undefined;
    this.#rcptReplies = [];
    this.#rcptsWanted = recipients.length;
    const refusal = await this.#operate("mail", this.#options.timeouts.commandMs, () => {
      this.send(
        { from: delivery.reversePath, to: recipients, size: delivery.sizeBytes, use8BitMime: delivery.eightBit },
        // The library hands the body a stream to pipe into; ours is written by #sendContent once the server said 354.
        BODY,
        (error) => this.#finish(error === null ? undefined : this.#refusalOf(error)),
      );
    });
    return this.#outcome(delivery, recipients, refusal);
  }

  /** RSET. False when the connection can no longer be used. */
  async resetSession(): Promise<boolean> {
    const refusal = await this.#operate("mail", this.#options.timeouts.commandMs, () => {
      this.reset((error) => this.#finish(error === null ? undefined : this.#refusalOf(error)));
    });
    return refusal === undefined;
  }

  /** Says goodbye; the connection ends with the answer, or when `deadlineMs` passed. */
  sayQuit(deadlineMs: number): void {
    if (!this.usable) return this.close();
    this.#deadline = this.#options.clock.monotonic() + deadlineMs;
    this.quit();
  }

  /** Ends the connection at once, and the operation under way with this fault. What is not yet sent will not be. */
  abandon(code: string, detail: string): void {
    this.#fail(faultAt(this.awaiting, code, detail));
  }

  /** Ends the connection when an answer is overdue. Called by the pool's one timer. */
  expire(now: number): void {
    if (now < this.#deadline) return;
    this.#deadline = Infinity;
    this.#fail(faultAt(this.awaiting, "TIMEOUT", WAITED_FOR[this.awaiting]));
  }

  /** Whether another command can be sent. */
  get usable(): boolean {
    return !this.#closed && !this._destroyed && this._socket.writable;
  }

  /** Negotiated protocol, `TLSv1.3`; undefined on a plain line. */
  get tlsVersion(): string | undefined {
    const socket = this._socket as Socket & { getProtocol?: () => string | null };
    return socket.getProtocol?.() ?? undefined;
  }

  /** Whether the line is encrypted to a verified peer. */
  get verified(): boolean {
    return (this._socket as Socket & { authorized?: boolean }).authorized === true;
  }

  get remoteAddress(): string | undefined {
    return this._socket.remoteAddress;
  }

  // ---- operations --------------------------------------------------------------------------------------------------------

  async #operate(stage: Stage, timeoutMs: number, begin: () => void): Promise<Refusal | undefined> {
    if (this.#closed) return this.#failure ?? faultAt(stage, "RESET", "the connection is closed");
    this.#await(stage, timeoutMs);
    return await new Promise((resolve) => {
      this.#settle = resolve;
      begin();
    });
  }

  #await(stage: Stage, timeoutMs: number): void {
    this.awaiting = stage;
    this.#deadline = this.#options.clock.monotonic() + timeoutMs;
  }

  #finish(refusal: Refusal | undefined): void {
    const settle = this.#settle;
    this.#settle = undefined;
    this.#deadline = Infinity;
    settle?.(refusal);
  }

  /** Settles first: the library never calls back for what was under way when it is closed. */
  #fail(refusal: Refusal): void {
    this.#failure ??= refusal;
    this.#finish(refusal);
    this.close();
  }

  /** The library's `error` comes before its callbacks. */
  #broken(error: Error): void {
    this.#failure ??= this.#refusalOf(error);
    this.#finish(this.#failure);
  }

  #ended(): void {
    if (this.#closed) return;
    this.#closed = true;
    const last = this.lastServerResponse;
    // A 421 closes the connection before the library hands it to who asked.
    const why =
      typeof last === "string" && last.startsWith("421")
        ? refusalFrom(this.awaiting, last)
        : faultAt(this.awaiting, "RESET", "the connection was closed");
    this.#finish(this.#failure ?? why);
    this.onClosed?.();
  }

  #refusalOf(error: Error): Refusal {
    if (this.#failure !== undefined) return this.#failure;
    const { response, command, code } = error as { response?: unknown; command?: unknown; code?: unknown };
    if (typeof response === "string" && response !== "") return refusalFrom(this.awaiting, response);
    if (command === "API" && code === "EENVELOPE") return faultAt("mail", "INVALID_ADDRESS", describeError(error));
    if (this._destroyed && code === "ECONNECTION") return faultAt(this.awaiting, "RESET", "the connection was closed");
    return { stage: this.awaiting, fault: faultOf(error) };
  }

  #note(wire: string): void {
    this.#options.replies.note(this.awaiting, wire);
  }

  async #xoauth2(
    sendCommand: (command: string) => Promise<{ readonly status: number }>,
    login: { readonly user: string; readonly pass: string },
  ): Promise<void> {
    const initial = Buffer.from(`user=${login.user}\u0001auth=Bearer ${login.pass}\u0001\u0001`).toString("base64");
    let answer = await sendCommand(`AUTH XOAUTH2 ${initial}`);
    // Google explains a refusal in a challenge, and says it after an empty line. Microsoft is not known to.
    if (answer.status === 334) answer = await sendCommand("");
    if (answer.status < 200 || answer.status > 299) throw new Error("AUTH XOAUTH2 refused");
  }

  // ---- the library's steps -----------------------------------------------------------------------------------------------

  override _actionGreeting(reply: string): void {
    this.#note(reply);
    if (reply.startsWith("220")) this.#await("ehlo", this.#options.timeouts.sessionMs);
    super._actionGreeting(reply);
  }

  override _actionEHLO(reply: string): void {
    this.#note(reply);
    const offered = /^\d{3}[ -]STARTTLS\s*$/im.test(reply);
    if (!this.secure && this.#options.startTls === "required" && reply.startsWith("2") && !offered) {
      return this.#fail(faultAt("starttls", "NO_STARTTLS", "the server does not offer STARTTLS, or someone on the way removed it"));
    }
    if (!this.secure && this.#options.startTls !== "none" && reply.startsWith("2") && offered)
      this.#await("starttls", this.#options.timeouts.sessionMs);
    super._actionEHLO(reply);
  }

  override _actionHELO(reply: string): void {
    this.#note(reply);
    super._actionHELO(reply);
  }

  override _actionSTARTTLS(reply: string): void {
    this.#note(reply);
    super._actionSTARTTLS(reply);
  }

  override _actionMAIL(reply: string, callback: LibraryCallback): void {
    this.#note(reply);
    this.#mailReply = reply;
    this.awaiting = "rcpt";
    super._actionMAIL(reply, callback);
  }

  override _actionRCPT(reply: string, callback: LibraryCallback): void {
    this.#note(reply);
    this.#rcptReplies.push(reply);
    if (this.#rcptReplies.length === this.#rcptsWanted) this.awaiting = "data";
    this.#deadline = this.#options.clock.monotonic() + this.#options.timeouts.commandMs;
    super._actionRCPT(reply, callback);
  }

  override _actionDATA(reply: string, callback: LibraryCallback): void {
    this.#note(reply);
    this.#dataReply = reply;
    super._actionDATA(reply, callback);
  }

  override _actionSMTPStream(reply: string, callback: LibraryCallback): void {
    this.#note(reply);
    this.#finalReply = reply;
    this.#finalStage = this.awaiting;
    super._actionSMTPStream(reply, callback);
  }

  /** MAIL, RCPT and DATA of a pipelined transaction as one piece: the library's cork makes three buffers and a writev of them. */
  override _setEnvelope(envelope: unknown, callback: LibraryCallback): void {
    this.#batch = "";
    super._setEnvelope(envelope, callback);
    const batch = this.#batch;
    this.#batch = undefined;
    if (batch !== "" && !this._destroyed) this._socket.write(batch, "utf8");
  }

  override _sendCommand(command: string, forLog?: string): void {
    if (this.#batch === undefined) super._sendCommand(command, forLog);
    else this.#batch += `${command}\r\n`;
  }

  /** Reads all replies that have come; the library would take one turn of the event loop for each. */
  override _processResponse(): void {
    // The library's own loop comes back through here with setImmediate and finds nothing left to do.
    while (this._responseQueue.length > 0 && !this._destroyed) {
      const waiting = this._responseQueue.length;
      super._processResponse();
      // Unfinished: put back until the rest of it comes.
      if (this._responseQueue.length >= waiting) return;
    }
  }

  /** The server said 354: sends the content. What is returned only has to look like the library's stream. */
  override _createSendStream(callback: LibraryCallback): unknown {
    this._responseActions.push((reply) => this._actionSMTPStream(reply, callback));
    const delivery = this.#delivery as Delivery;
    const whole = delivery.content.inMemory;
    this.#await("content", this.#options.timeouts.contentMs);
    if (whole === undefined) void this.#sendBlocks(delivery);
    else if (whole.length < delivery.sizeBytes) this.#truncated(delivery, whole.length);
    else this.#sendLast(wireForm(whole));
    return SENT;
  }

  // ---- content -----------------------------------------------------------------------------------------------------------

  #sendLast(wire: Uint8Array): void {
    this.#await("final", this.#options.timeouts.finalMs);
    this._socket.write(wire);
  }

  async #sendBlocks(delivery: Delivery): Promise<void> {
    const stuffer = new DotStuffer();
    let sent = 0;
    try {
      for await (const block of delivery.content.blocks()) {
        // An answer before the final dot, or the end of the connection: nobody waits for the rest.
        if (this.#delivery !== delivery || this.#settle === undefined) return;
        sent += block.length;
        if (!this._socket.write(stuffer.push(block))) await this.#drained();
        if (this.#settle === undefined) return;
        this.#await("content", this.#options.timeouts.contentMs);
      }
    } catch (error) {
      return this.abandon(error instanceof PosternError ? error.code : "CONTENT", describeError(error));
    }
    if (this.#delivery !== delivery || this.#settle === undefined) return;
    if (sent < delivery.sizeBytes) return this.#truncated(delivery, sent);
    this.#sendLast(stuffer.end());
  }

  #truncated(delivery: Delivery, sent: number): void {
    this.abandon("CONTENT", `the content ends after ${sent} of ${delivery.sizeBytes} octets`);
  }

  async #drained(): Promise<void> {
    const socket = this._socket;
    await new Promise<void>((resolve) => {
      const go = (): void => {
        socket.off("drain", go);
        this.off("end", go);
        resolve();
      };
      socket.on("drain", go);
      this.on("end", go);
    });
  }

  // ---- facts -------------------------------------------------------------------------------------------------------------

  /** Recipients that can be named to this server; undefined when the sender cannot. */
  #sendable(delivery: Delivery): string[] | undefined {
    if (!delivery.smtpUtf8 || this._supportedExtensions.includes("SMTPUTF8")) return [...delivery.recipients];
    return isNonAscii(delivery.reversePath) ? undefined : delivery.recipients.filter((one) => !isNonAscii(one));
  }

  #recipientFacts(delivery: Delivery, tried: readonly string[] = []): RecipientFact[] {
    let next = 0;
    return delivery.recipients.map((address) => {
      if (tried[next] !== address)
        return { address, refusal: faultAt("rcpt", "NO_SMTPUTF8", "the server does not take addresses beyond ASCII") };
      const reply = this.#rcptReplies[next++];
      return reply === undefined || reply.startsWith("2") ? { address } : { address, refusal: refusalFrom("rcpt", reply) };
    });
  }

  #outcome(delivery: Delivery, tried: readonly string[], ended: Refusal | undefined): Transaction {
    this.#delivery = undefined;
    const final = this.#finalReply;
    const early = final !== undefined && this.#finalStage !== "final";
    if (early) this.close();
    const usable = this.usable && !early;
    if (final !== undefined && !early && final.startsWith("2")) {
      return {
        recipients: this.#recipientFacts(delivery, tried),
        refusal: undefined,
        accepted: this.#options.replies.read(final),
        ambiguous: false,
        reuse: usable ? "yes" : "no",
        stale: false,
      };
    }
    let refusal: Refusal | undefined;
    if (early && final.startsWith("2"))
      refusal = faultAt("content", "PROTOCOL", `answered before the content had ended: ${final.slice(0, 200)}`);
    else if (final !== undefined) refusal = refusalFrom(this.#finalStage, final);
    else if (this.#mailReply !== undefined && !this.#mailReply.startsWith("2")) refusal = refusalFrom("mail", this.#mailReply);
    else if (!this.#everyRcptRefused())
      refusal = this.#dataReply !== undefined && !/^[23]/.test(this.#dataReply) ? refusalFrom("data", this.#dataReply) : ended;
    const closing = this.#rcptReplies.find((reply) => reply.startsWith("421"));
    if (closing !== undefined && this.#dataReply === undefined) refusal = refusalFrom("rcpt", closing);

    const mailAccepted = this.#mailReply?.startsWith("2") === true;
    const recipients =
      mailAccepted && closing === undefined ? this.#recipientFacts(delivery, tried) : delivery.recipients.map((address) => ({ address }));
    const clean = refusal === undefined || (refusal.reply !== undefined && refusal.reply.code >= 400 && refusal.reply.code !== 421);
    const lost = refusal?.reply?.code === 421 || refusal?.fault?.code === "RESET";
    const beforeData = this.#dataReply?.startsWith("3") !== true && this.#dataReply?.startsWith("2") !== true;
    const ambiguous = final === undefined && this.awaiting === "final" && refusal?.reply === undefined;
    if (!clean && !this.#closed) this.close();
    return {
      recipients,
      refusal,
      accepted: undefined,
      ambiguous,
      reuse: clean && usable ? "after-reset" : "no",
      stale: lost && beforeData,
    };
  }

  #everyRcptRefused(): boolean {
    return this.#rcptReplies.length === this.#rcptsWanted && this.#rcptReplies.every((reply) => !reply.startsWith("2"));
  }
}

/** What the library is given for a body: it asks whether the body can pipe, and lets it. */
const BODY = { pipe: (): void => {}, on: undefined } as unknown as Buffer;
/** The library reads this count of its own stream when the message is through. */
const SENT = { outByteCount: 0 };

const WAITED_FOR: Readonly<Record<Stage, string>> = {
  connect: "no connection in time",
  greeting: "no greeting in time",
  ehlo: "no answer to EHLO in time",
  starttls: "STARTTLS was not finished in time",
  token: "no token in time",
  auth: "no answer to AUTH in time",
  mail: "no answer to MAIL in time",
  rcpt: "no answer to RCPT in time",
  data: "no answer to DATA in time",
  content: "the network takes no more of the content",
  final: "no answer to the final dot in time",
};

function refused(delivery: Delivery, refusal: Refusal | undefined, reuse: Transaction["reuse"]): Transaction {
  return {
    recipients: delivery.recipients.map((address) => ({ address })),
    refusal,
    accepted: undefined,
    ambiguous: false,
    reuse,
    stale: false,
  };
}
