/**
 * One SMTP session with a next hop, from the greeting to QUIT, by nodemailer: the library opens, secures and signs in; this class notes at
 * which stage the dialogue stands and turns what was said there, word for word, into facts. One operation at a time; each ends exactly once.
 */
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Clock } from "../../platform/clock.ts";
import { parseReply } from "../../mail/reply.ts";
import type { Reply } from "../../mail/reply.ts";
import { readThrough } from "../../platform/read-buffer.ts";
import { Dialogue, withoutChallenge, withoutCredentials } from "../dialogue.ts";
import type { Diagnosis, Refusal, Stage } from "../upstream.ts";
import { tlsOptions } from "./dial.ts";
import type { TlsPolicy } from "./dial.ts";
import type { Offers } from "./envelope.ts";
import { faultAt, faultOf, refusalFrom } from "./fault.ts";
import { LibraryConnection } from "./library.ts";
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

/** What a session needs to know of its upstream. */
export interface SessionOptions {
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
  /** Whether what is said is kept in memory for a transcript; asked at the opening and for each message. */
  readonly isRecorded?: (() => boolean) | undefined;
}

/** Who signs in. `token` is an OAuth access token for XOAUTH2. */
export type Login =
  | { readonly user: string; readonly token: string }
  | {
      readonly user: string;
      readonly password: string;
      /** Mechanism to take where it is among several. */
      readonly prefers?: string | undefined;
    };

const HOUR_MS = 3_600_000;
/** Not `XOAUTH2`: under that name, and without its own token class, the library would send the token by the first mechanism on offer. */
const TOKEN_LOGIN = "POSTERN-XOAUTH2";

/** A client's side of one SMTP session, all but the messages. */
export class SmtpSession extends LibraryConnection {
  /** Called once when the connection is over, for whatever reason. */
  onClosed: (() => void) | undefined;
  /** Where it leads, in words, once somebody asked. */
  remote: string | undefined;
  /** What the pool needs to retire it, on the monotonic clock. */
  readonly openedAt: number;
  idleSince = 0;
  /** What is being waited for; `mail` until the reply to MAIL came, and so on. */
  awaiting: Stage = "greeting";

  /** What was said, where transcripts are wanted. */
  dialogue: Dialogue | undefined;

  protected readonly settings: SessionOptions;
  /** What signs in, while it does. */
  #secret: string | undefined;
  /** How long may pass; Infinity when nothing is awaited. */
  #limitMs: number;
  /** When the pool's timer first saw that, on its clock; NaN before. */
  #sinceMs = Number.NaN;
  /** Ends the operation under way. */
  protected settle: ((refusal: Refusal | undefined) => void) | undefined;
  /** The failure that ended the connection. */
  protected failure: Refusal | undefined;
  protected over = false;
  /** What EHLO told. */
  protected offers: Offers = { pipelining: false, size: false, largest: 0, eightBitMime: false, smtpUtf8: false };
  #ehlo: Reply | undefined;
  #tlsVersion: string | undefined;

  /** @param socket - connected; with TLS already where that was implicit */
  constructor(socket: Socket, options: SessionOptions, secured: boolean) {
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
    this.settings = options;
    this.dialogue = options.isRecorded?.() === true ? new Dialogue(options.clock) : undefined;
    this.openedAt = options.clock.monotonic();
    this.#limitMs = options.timeouts.sessionMs;
    this.on("error", (error: Error) => this.#broken(error));
    this.on("end", () => this.#ended());
  }

  /** Greeting, EHLO, STARTTLS. Undefined when the session stands. */
  async start(): Promise<Refusal | undefined> {
    const refusal = await this.#operate("greeting", this.settings.timeouts.sessionMs, () => {
      this.connect((error) => this.finish(error === undefined ? undefined : this.#refusalOf(error)));
    });
    if (refusal !== undefined || this.over) return refusal;
    // The library's timer would be set anew at each read and write.
    this._socket.setTimeout(0);
    // Its listener for `data` stays, and goes on being called where this Node reads in the ordinary way only.
    readThrough(this._socket, (chunk) => {
      this._onData(chunk);
      return true;
    });
    const extensions = this._supportedExtensions;
    this.offers = {
      pipelining: extensions.includes("PIPELINING"),
      size: extensions.includes("SIZE"),
      largest: this._maxAllowedSize,
      eightBitMime: extensions.includes("8BITMIME"),
      smtpUtf8: extensions.includes("SMTPUTF8"),
    };
    this.#tlsVersion = (this._socket as Socket & { getProtocol?: () => string | null }).getProtocol?.() ?? undefined;
    return undefined;
  }

  /** Signs in. The caller has made sure that the line is one that may carry the secret. */
  async authenticate(login: Login): Promise<Refusal | undefined> {
    const mechanisms = this._supportedAuth;
    const forPassword = mechanisms.filter((one) => one !== "XOAUTH2");
    const method =
      "token" in login ? mechanisms.find((one) => one === "XOAUTH2") : (forPassword.find((one) => one === login.prefers) ?? forPassword[0]);
    if (method === undefined) {
      const offered = mechanisms.length === 0 ? "the server offers no AUTH" : `the server offers AUTH ${mechanisms.join(" ")} only`;
      return faultAt("auth", "NO_AUTH_OFFERED", offered);
    }
    this.#secret = "token" in login ? login.token : login.password;
    const refusal = await this.#operate("auth", this.settings.timeouts.sessionMs, () => {
      const [how, pass] = "token" in login ? [TOKEN_LOGIN, login.token] : [method, login.password];
      this.login({ method: how, user: login.user, credentials: { user: login.user, pass } }, (error) => {
        const answer = error === null ? this.lastServerResponse : (error as { response?: unknown }).response;
        if (typeof answer === "string") this.#note(answer);
        this.finish(error === null ? undefined : this.#refusalOf(error));
      });
    });
    this.#secret = undefined;
    return refusal;
  }

  /** RSET. False when the connection can no longer be used. */
  async resetSession(): Promise<boolean> {
    const refusal = await this.#operate("mail", this.settings.timeouts.commandMs, () => {
      this.reset((error) => this.finish(error === null ? undefined : this.#refusalOf(error)));
    });
    return refusal === undefined;
  }

  /** One command of a trial; undefined when the answer is 2xx. */
  async ask(stage: "mail" | "rcpt", command: string): Promise<Refusal | undefined> {
    return await this.#operate(stage, this.settings.timeouts.commandMs, () => {
      this._responseActions.push((reply) => {
        this.#note(reply);
        this.finish(reply.startsWith("2") ? undefined : refusalFrom(stage, reply));
      });
      this._sendCommand(command);
    });
  }

  /** Says goodbye; the connection ends with the answer, or when `deadlineMs` passed. */
  sayQuit(deadlineMs: number): void {
    if (!this.usable) return this.close();
    this.#limitMs = deadlineMs;
    this.#sinceMs = Number.NaN;
    this.quit();
  }

  /** Ends the connection at once, and the operation under way with this fault. What is not yet sent will not be. */
  abandon(code: string, detail: string): void {
    this.fail(faultAt(this.awaiting, code, detail));
  }

  /**
   * Ends the connection when an answer is overdue. Called by the pool's one timer: time counts from the first call after the question, so
   * that asking costs no look at the clock.
   */
  expire(now: number): void {
    if (this.#limitMs === Infinity) return;
    if (Number.isNaN(this.#sinceMs)) {
      this.#sinceMs = now;
    } else if (now - this.#sinceMs >= this.#limitMs) {
      this.#limitMs = Infinity;
      this.fail(faultAt(this.awaiting, "TIMEOUT", WAITED_FOR[this.awaiting]));
    }
  }

  /** Whether another command can be sent. */
  get usable(): boolean {
    return !this.over && !this._destroyed && this._socket.writable;
  }

  /** Negotiated protocol, `TLSv1.3`; undefined on a plain line. */
  get tlsVersion(): string | undefined {
    return this.#tlsVersion;
  }

  /** Whether the line is encrypted to a verified peer. */
  get verified(): boolean {
    return (this._socket as Socket & { authorized?: boolean }).authorized === true;
  }

  /** The last reply to EHLO. */
  get ehlo(): Reply | undefined {
    return this.#ehlo;
  }

  /** The other side's certificate, where the line has TLS. */
  get peerCertificate(): Diagnosis["certificate"] {
    const socket = this._socket as Socket & Partial<Pick<TLSSocket, "getPeerX509Certificate">>;
    const certificate = socket.getPeerX509Certificate?.();
    if (certificate === undefined) return undefined;
    return {
      names: certificate.subjectAltName ?? certificate.subject,
      issuer: certificate.issuer.replaceAll("\n", ", "),
      endsAt: certificate.validToDate.getTime(),
      verified: this.verified,
    };
  }

  get remoteAddress(): string | undefined {
    return this._socket.remoteAddress;
  }

  // ---- operations --------------------------------------------------------------------------------------------------------

  async #operate(stage: Stage, timeoutMs: number, begin: () => void): Promise<Refusal | undefined> {
    if (this.over) return this.failure ?? faultAt(stage, "RESET", "the connection is closed");
    this.expectReply(stage, timeoutMs);
    return await new Promise((resolve) => {
      this.settle = resolve;
      begin();
    });
  }

  /** From now on `stage` is where the dialogue stands, and the time for its answer runs. */
  protected expectReply(stage: Stage, timeoutMs: number): void {
    this.awaiting = stage;
    this.#limitMs = timeoutMs;
    this.#sinceMs = Number.NaN;
  }

  /** Ends the operation under way. */
  protected finish(refusal: Refusal | undefined): void {
    const settle = this.settle;
    this.settle = undefined;
    this.#limitMs = Infinity;
    settle?.(refusal);
  }

  /** Settles first: the library never calls back for what was under way when it is closed. */
  protected fail(refusal: Refusal): void {
    this.failure ??= refusal;
    this.finish(refusal);
    this.close();
  }

  /** The library's `error` comes before its callbacks. */
  #broken(error: Error): void {
    this.failure ??= this.#refusalOf(error);
    this.finish(this.failure);
  }

  #ended(): void {
    if (this.over) return;
    this.over = true;
    const last = this.lastServerResponse;
    // A 421 closes the connection before the library hands it to who asked.
    const why =
      typeof last === "string" && last.startsWith("421")
        ? refusalFrom(this.awaiting, last)
        : faultAt(this.awaiting, "RESET", "the connection was closed");
    this.finish(this.failure ?? why);
    this.onClosed?.();
  }

  #refusalOf(error: Error): Refusal {
    if (this.failure !== undefined) return this.failure;
    const { response, code } = error as { response?: unknown; code?: unknown };
    if (typeof response === "string" && response !== "") return refusalFrom(this.awaiting, response);
    if (this._destroyed && code === "ECONNECTION") return faultAt(this.awaiting, "RESET", "the connection was closed");
    return { stage: this.awaiting, fault: faultOf(error) };
  }

  #note(wire: string): void {
    this.dialogue?.received(this.#secret === undefined ? wire : withoutChallenge(wire, this.#secret));
    this.settings.replies.note(this.awaiting, wire);
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

  override _sendCommand(command: string): void {
    this.dialogue?.sent(this.awaiting === "auth" || this.#secret !== undefined ? withoutCredentials(command) : command);
    super._sendCommand(command);
  }

  override _actionGreeting(reply: string): void {
    this.#note(reply);
    if (reply.startsWith("220")) this.expectReply("ehlo", this.settings.timeouts.sessionMs);
    super._actionGreeting(reply);
  }

  override _actionEHLO(reply: string): void {
    this.#note(reply);
    this.#ehlo = parseReply(reply);
    const offered = /^\d{3}[ -]STARTTLS\s*$/im.test(reply);
    if (!this.secure && this.settings.startTls === "required" && reply.startsWith("2") && !offered) {
      return this.fail(faultAt("starttls", "NO_STARTTLS", "the server does not offer STARTTLS, or someone on the way removed it"));
    }
    if (!this.secure && this.settings.startTls !== "none" && reply.startsWith("2") && offered)
      this.expectReply("starttls", this.settings.timeouts.sessionMs);
    super._actionEHLO(reply);
  }

  override _actionHELO(reply: string): void {
    this.#note(reply);
    super._actionHELO(reply);
  }

  override _actionSTARTTLS(reply: string): void {
    this.#note(reply);
    // Where TLS is not required the library would go on, on a connection that the server may be closing: who opens it tries again without.
    if (!reply.startsWith("2")) return this.fail(refusalFrom("starttls", reply));
    super._actionSTARTTLS(reply);
  }
}

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
