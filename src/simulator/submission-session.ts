/** One session on the submission host: the commands in their order, answered as Exchange Online answers. */
import { isAscii } from "node:buffer";

import type { ActiveFault } from "./faults.ts";
import type { FaultStage } from "./fault-model.ts";
import { ContentBuffer } from "./mail-store.ts";
import type { AuthenticationMethod, ReceivedMessage } from "./mail-store.ts";
import { BACK_END, FRONT_END, FRONT_END_PROD, bannerDate, formatDuration, newUpstreamId } from "./microsoft-names.ts";
import { decodeBase64, readXoauth2 } from "./sasl.ts";
import type { SmtpConnection } from "./smtp-server-core.ts";
import type { SubmissionHost } from "./submission-host.ts";
import { FIXED_SIZE_MAX, fillIn, judgeSubmission, wordsOf } from "./submission-rules.ts";
import type { Refused } from "./submission-rules.ts";
import { findMailbox, isInside, smtpAuthState } from "./tenant.ts";
import type { TenantMailbox } from "./tenant.ts";

interface Identity {
  readonly mailbox: TenantMailbox;
  readonly method: AuthenticationMethod;
  /** False: signed in, but the app may not open the mailbox. */
  readonly hasAccess: boolean;
}

interface Transaction {
  readonly reversePath: string;
  readonly parameters: readonly string[];
  readonly recipients: string[];
  readonly eightBit: boolean;
  readonly binary: boolean;
  readonly utf8: boolean;
  /** Present once a first BDAT came. */
  chunks?: ContentBuffer;
}

/** A failed sign-in: Microsoft's words for the client, the reason for the operator. */
interface AuthFailure {
  readonly refused: Refused;
  readonly why: string;
  readonly close?: boolean;
}

const HELO_NAME = /^(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Za-z:.]+\])$/;
const MAIL_PARAMETER = /^(?:SIZE=\d{1,20}|BODY=(?:7BIT|8BITMIME|BINARYMIME)|RET=(?:FULL|HDRS)|ENVID=\S{1,100}|AUTH=\S+|SMTPUTF8)$/i;
const RCPT_PARAMETER = /^(?:NOTIFY=[A-Z,]+|ORCPT=\S+)$/i;
/** Commands that must be the last of a group (RFC 2920 section 3.1). */
const ENDS_A_GROUP = new Set(["EHLO", "HELO", "STARTTLS", "AUTH", "DATA", "NOOP", "VRFY", "QUIT"]);

/** Runs one session. */
export class SubmissionSession {
  #service: SubmissionHost;
  #connection: SmtpConnection;
  #id: string;
  #openedAt: number;
  #helo: string | undefined;
  #identity: Identity | undefined;
  /** Words of the last failed AUTH, which MAIL repeats. */
  #authFailure: string | undefined;
  #transaction: Transaction | undefined;
  #errors = 0;
  #lastActivity: number;

  constructor(service: SubmissionHost, connection: SmtpConnection, id: string) {
    this.#service = service;
    this.#connection = connection;
    this.#id = id;
    this.#openedAt = service.options.clock.monotonic();
    this.#lastActivity = this.#openedAt;
  }

  /** Serves until the connection ends. */
  async run(): Promise<void> {
    const connection = this.#connection;
    this.#watchTime();
    if (await this.#meet("connect")) return;
    if (await this.#meet("greeting")) return;
    connection.expectSilence("the connection");
    const now = this.#service.options.clock.now();
    connection.reply(`220 ${FRONT_END} Microsoft ESMTP MAIL Service ready at ${bannerDate(now)} [${this.#id}]`);
    while (!connection.closed) {
      const line = await connection.readLine();
      this.#lastActivity = this.#service.options.clock.monotonic();
      if (line.kind === "closed") break;
      if (line.kind === "too-long") this.#error("500 5.5.2 Line too long");
      else await this.#command(line.text);
    }
  }

  async #command(line: string): Promise<void> {
    const space = line.indexOf(" ");
    const verb = (space < 0 ? line : line.slice(0, space)).toUpperCase();
    const rest = space < 0 ? "" : line.slice(space + 1);
    const early = ENDS_A_GROUP.has(verb) && !this.#connection.expectSilence(verb);
    switch (verb) {
      case "EHLO":
      case "HELO":
        return await this.#hello(verb, rest);
      case "STARTTLS":
        return await this.#startTls(rest, early);
      case "AUTH":
        return await this.#authenticate(rest);
      case "MAIL":
        return await this.#mail(rest);
      case "RCPT":
        return await this.#recipient(rest);
      case "DATA":
        return await this.#data(rest);
      case "BDAT":
        return await this.#chunk(rest);
      case "RSET":
        this.#transaction = undefined;
        return this.#connection.reply("250 2.0.0 Resetting");
      case "NOOP":
        return this.#connection.reply("250 2.0.0 OK");
      case "VRFY":
        return this.#connection.reply("252 2.1.5 Cannot VRFY user");
      case "QUIT":
        this.#connection.reply("221 2.0.0 Service closing transmission channel");
        return this.#connection.close();
      default:
        return this.#error("500 5.3.3 Unrecognized command");
    }
  }

  // Time

  #watchTime(): void {
    const { clock, settings } = this.#service.options;
    let cancel = (): void => undefined;
    const arm = (): void => {
      const now = clock.monotonic();
      const idleLeft = this.#lastActivity + settings.idleTimeoutMs - now;
      const sessionLeft = this.#openedAt + settings.sessionTimeoutMs - now;
      if (idleLeft <= 0 || sessionLeft <= 0) {
        this.#refuse({
          text: `421 4.4.1 Connection timed out. Total session duration: ${formatDuration(now - this.#openedAt)}`,
          suffix: "session",
        });
        this.#connection.close();
      } else cancel = clock.after(Math.min(idleLeft, sessionLeft), arm);
    };
    arm();
    this.#connection.onClose(() => cancel());
  }

  /** Waits, unless the client leaves before. */
  async #wait(until: Promise<void>): Promise<void> {
    await Promise.race([until, new Promise<void>((resolve) => this.#connection.onClose(resolve))]);
  }

  async #waitFor(ms: number): Promise<void> {
    if (ms > 0) await this.#wait(new Promise<void>((resolve) => void this.#service.options.clock.after(ms, resolve)));
  }

  // Replies

  #bracket(suffix: "session" | "hostname"): string {
    if (suffix === "hostname") return ` [Hostname=${BACK_END}]`;
    return ` [${FRONT_END_PROD} ${new Date(this.#service.options.clock.now()).toISOString()} ${this.#id}]`;
  }

  #refuse(refused: Refused): void {
    this.#connection.reply(refused.text + this.#bracket(refused.suffix));
  }

  /** A protocol error: counted, and the last straw ends the session. */
  #error(text: string): void {
    this.#errors += 1;
    if (this.#errors < this.#service.options.settings.maxErrors) return this.#refuse({ text, suffix: "session" });
    this.#refuse(wordsOf("too-many-errors"));
    this.#connection.close();
  }

  // Faults

  #take(stage: FaultStage, recipients?: readonly string[]): ActiveFault | undefined {
    return this.#service.options.faults.take(stage, { host: "submission", mailbox: this.#identity?.mailbox.address, recipients });
  }

  /** Lets a fault of this stage act; true when the command has had its answer. */
  async #meet(stage: FaultStage, recipients?: readonly string[]): Promise<boolean> {
    const fault = this.#take(stage, recipients);
    return fault !== undefined && (await this.#act(fault));
  }

  async #act(fault: ActiveFault): Promise<boolean> {
    const { action } = fault.definition;
    switch (action.kind) {
      case "reply":
        this.#sayFault(action);
        return true;
      case "reset":
        this.#connection.reset();
        return true;
      case "hold":
        await this.#wait(fault.cleared);
        return this.#connection.closed;
      case "delay":
        await this.#waitFor(action.ms);
        return this.#connection.closed;
      default:
        // Not an answer of its own: EHLO leaves a keyword out.
        return false;
    }
  }

  #sayFault(action: Extract<ActiveFault["definition"]["action"], { kind: "reply" }>): Refused {
    const values = { mailbox: this.#identity?.mailbox.address ?? "", from: this.#transaction?.reversePath ?? "" };
    const refused: Refused = { text: fillIn(action.text, values), suffix: action.suffix };
    this.#refuse(refused);
    if (action.close === true) this.#connection.close();
    return refused;
  }

  // Commands

  async #hello(verb: "EHLO" | "HELO", name: string): Promise<void> {
    if (!HELO_NAME.test(name)) return this.#error("501 5.5.4 Invalid domain name");
    const fault = this.#take("ehlo");
    if (fault !== undefined && (await this.#act(fault))) return;
    const omitted = fault?.definition.action.kind === "omit" ? fault.definition.action.keyword : undefined;
    this.#helo = name;
    this.#transaction = undefined;
    const greeting = `${FRONT_END} Hello [${this.#connection.remoteAddress}]`;
    if (verb === "HELO") return this.#connection.reply(`250 ${greeting}`);
    const security = this.#connection.tlsVersion === undefined ? "STARTTLS" : "AUTH LOGIN XOAUTH2";
    const keywords = [
      `SIZE ${FIXED_SIZE_MAX}`,
      "PIPELINING",
      "DSN",
      "ENHANCEDSTATUSCODES",
      security,
      "8BITMIME",
      "BINARYMIME",
      "CHUNKING",
      "SMTPUTF8",
    ];
    const lines = [greeting, ...keywords.filter((keyword) => keyword !== omitted)];
    this.#connection.reply(...lines.map((line, index) => `250${index < lines.length - 1 ? "-" : " "}${line}`));
  }

  async #startTls(rest: string, early: boolean): Promise<void> {
    if (rest !== "") return this.#error("501 5.5.4 Invalid arguments");
    if (this.#connection.tlsVersion !== undefined || this.#helo === undefined) return this.#error("503 5.5.2 Send hello first");
    const fault = this.#take("starttls");
    if (fault?.definition.action.kind !== "reset" && fault !== undefined && (await this.#act(fault))) return;
    this.#connection.reply("220 2.0.0 SMTP server ready");
    // Commands slipped in before the handshake must not survive it (RFC 3207 section 4.2); a real host drops such a client.
    if (early || fault?.definition.action.kind === "reset") return this.#connection.reset();
    if (!(await this.#connection.startTls(this.#service.secureContext))) return;
    this.#helo = undefined;
    this.#transaction = undefined;
  }

  async #authenticate(rest: string): Promise<void> {
    const [mechanism = "", initial, ...others] = rest.split(" ");
    const kind = mechanism.toUpperCase();
    if (this.#helo === undefined) return this.#error("503 5.5.2 Send hello first");
    const unrecognized = wordsOf("auth-unrecognized").text;
    if (this.#connection.tlsVersion === undefined || (kind !== "XOAUTH2" && kind !== "LOGIN")) return this.#error(unrecognized);
    if (this.#identity !== undefined || this.#transaction !== undefined) return this.#error("503 5.5.1 Bad sequence of commands");
    if (others.length > 0) return this.#error("501 5.5.4 Invalid arguments");
    const outcome = kind === "XOAUTH2" ? await this.#xoauth2(initial) : await this.#login(initial);
    if (outcome === undefined) return;
    if ("mailbox" in outcome) return this.#signIn(outcome);
    await this.#failAuth(outcome.user, outcome.failure);
  }

  #signIn(identity: Identity): void {
    const usage = this.#service.usageOf(identity.mailbox);
    this.#identity = identity;
    this.#authFailure = undefined;
    usage.opened(this.#id);
    this.#connection.onClose(() => usage.closed(this.#id));
    this.#service.options.emit({
      type: "session.authenticated",
      session: this.#id,
      mailbox: identity.mailbox.address,
      method: identity.method,
    });
    this.#connection.reply("235 2.7.0 Authentication successful");
  }

  async #failAuth(user: string, failure: AuthFailure): Promise<void> {
    const { settings, emit } = this.#service.options;
    this.#authFailure = failure.refused.text;
    await this.#waitFor(settings.tarpitMs);
    emit({ type: "session.refused", session: this.#id, user, reply: failure.refused.text, why: failure.why });
    this.#refuse(failure.refused);
    if (failure.close === true) this.#connection.close();
  }

  /** Asks for the next part of a SASL exchange; undefined when the client gave up, which has then been answered. */
  async #challenge(prompt: string): Promise<string | undefined> {
    this.#connection.reply(`334 ${prompt}`);
    const line = await this.#connection.readLine();
    if (line.kind === "closed") return undefined;
    this.#lastActivity = this.#service.options.clock.monotonic();
    if (line.kind === "line" && line.text !== "*") return line.text;
    this.#error("501 5.5.4 Invalid arguments");
    return undefined;
  }

  async #xoauth2(initial: string | undefined): Promise<Identity | { user: string; failure: AuthFailure } | undefined> {
    const response = initial === undefined || initial === "" ? await this.#challenge("") : initial;
    if (response === undefined) return undefined;
    const credential = readXoauth2(response);
    if (credential === undefined)
      return { user: "", failure: { refused: wordsOf("auth-proxy"), why: "the credential is damaged or empty" } };
    const user = credential.user;
    const fail = (refused: Refused, why: string, close = false): { user: string; failure: AuthFailure } => ({
      user,
      failure: { refused, why, close },
    });

    const forced = this.#forcedFailure(user);
    if (forced !== undefined) return { user, failure: forced };
    const { tenant, issuer } = this.#service.options;
    const verified = issuer.verify(credential.token);
    if (typeof verified === "string") return fail(wordsOf("auth-unsuccessful"), verified);
    const app = tenant.apps.find((candidate) => candidate.clientId === verified.clientId);
    if (app === undefined || app.disabled) return fail(wordsOf("auth-unsuccessful"), "the app has no service principal, or it is disabled");
    if (!verified.roles.includes("SMTP.SendAsApp")) return fail(wordsOf("auth-unsuccessful"), "the token has no role SMTP.SendAsApp");
    const mailbox = findMailbox(tenant, user);
    if (mailbox === undefined) return fail(wordsOf("auth-unsuccessful"), "there is no such mailbox");
    const closed = this.#closedFor(mailbox);
    if (closed !== undefined) return { user, failure: closed };
    return { mailbox, method: "XOAUTH2", hasAccess: mailbox.fullAccess.includes(app.clientId) };
  }

  async #login(initial: string | undefined): Promise<Identity | { user: string; failure: AuthFailure } | undefined> {
    const encodedUser = initial === undefined || initial === "" ? await this.#challenge("VXNlcm5hbWU6") : initial;
    if (encodedUser === undefined) return undefined;
    const encodedPassword = await this.#challenge("UGFzc3dvcmQ6");
    if (encodedPassword === undefined) return undefined;
    const user = decodeBase64(encodedUser) ?? "";
    const password = decodeBase64(encodedPassword);

    const forced = this.#forcedFailure(user);
    if (forced !== undefined) return { user, failure: forced };
    const mailbox = findMailbox(this.#service.options.tenant, user);
    if (mailbox === undefined) return { user, failure: { refused: wordsOf("wrong-password"), why: "there is no such mailbox" } };
    if (mailbox.basicAuth === "retired") return { user, failure: { refused: wordsOf("basic-auth-retired"), why: "passwords are retired" } };
    const closed = this.#closedFor(mailbox);
    if (closed !== undefined) return { user, failure: closed };
    if (mailbox.basicAuth === "off")
      return { user, failure: { refused: wordsOf("basic-auth-off"), why: "passwords are off for the mailbox" } };
    if (mailbox.password === undefined || password !== mailbox.password)
      return { user, failure: { refused: wordsOf("wrong-password"), why: "wrong password" } };
    return { mailbox, method: "LOGIN", hasAccess: true };
  }

  /** A fault that is switched on for AUTH, or TLS that is too old. */
  #forcedFailure(user: string): AuthFailure | undefined {
    const oldTls = this.#connection.tlsVersion === "TLSv1" || this.#connection.tlsVersion === "TLSv1.1";
    if (oldTls) return { refused: wordsOf("old-tls"), why: "TLS is too old", close: true };
    const action = this.#service.options.faults.take("auth", {
      host: "submission",
      mailbox: findMailbox(this.#service.options.tenant, user)?.address,
    })?.definition.action;
    if (action?.kind !== "reply") return undefined;
    return { refused: action, why: "a fault is switched on", close: action.close === true };
  }

  #closedFor(mailbox: TenantMailbox): AuthFailure | undefined {
    const state = smtpAuthState(this.#service.options.tenant, mailbox);
    if (state === "open") return undefined;
    return {
      refused: wordsOf(state === "off for the mailbox" ? "smtp-auth-off-mailbox" : "smtp-auth-off-tenant"),
      why: `SMTP AUTH is ${state}`,
    };
  }

  async #mail(rest: string): Promise<void> {
    if (this.#helo === undefined) return this.#error("503 5.5.2 Send hello first");
    if (this.#connection.tlsVersion === undefined) return this.#refuse(wordsOf("starttls-required"));
    if (this.#identity === undefined) {
      const inner = this.#authFailure === undefined ? "" : ` Error: ${this.#authFailure}`;
      return this.#refuse({ text: wordsOf("not-authenticated").text + inner, suffix: "session" });
    }
    if (this.#transaction !== undefined) return this.#error("503 5.5.2 Sender already specified");
    const parsed = parsePath("FROM", rest);
    const utf8 = parsed?.parameters.some((parameter) => parameter.toUpperCase() === "SMTPUTF8") === true;
    if (parsed === undefined || !(parsed.address === "" || isAddress(parsed.address, utf8)))
      return this.#error(wordsOf("invalid-sender").text);
    if (!parsed.parameters.every((parameter) => MAIL_PARAMETER.test(parameter))) return this.#error("501 5.5.4 Unrecognized parameter");
    if (await this.#meet("mail")) return;
    const upper = parsed.parameters.map((parameter) => parameter.toUpperCase());
    const size = upper.find((parameter) => parameter.startsWith("SIZE="));
    if (size !== undefined && Number(size.slice(5)) > FIXED_SIZE_MAX) return this.#refuse(wordsOf("size-exceeded"));
    const binary = upper.includes("BODY=BINARYMIME");
    this.#transaction = {
      reversePath: parsed.address,
      parameters: parsed.parameters,
      recipients: [],
      eightBit: binary || upper.includes("BODY=8BITMIME"),
      binary,
      utf8,
    };
    this.#connection.reply("250 2.1.0 Sender OK");
  }

  async #recipient(rest: string): Promise<void> {
    const transaction = this.#transaction;
    if (transaction === undefined || this.#identity === undefined) return this.#error("503 5.5.2 Need mail command");
    const parsed = parsePath("TO", rest);
    if (parsed === undefined || !isAddress(parsed.address, transaction.utf8)) return this.#error(wordsOf("invalid-recipient").text);
    if (!parsed.parameters.every((parameter) => RCPT_PARAMETER.test(parameter))) return this.#error("501 5.5.4 Unrecognized parameter");
    if (transaction.recipients.length >= this.#identity.mailbox.limits.recipientsPerMessage)
      return this.#refuse(wordsOf("too-many-recipients"));
    if (await this.#meet("rcpt", [parsed.address])) return;
    transaction.recipients.push(parsed.address);
    this.#connection.reply("250 2.1.5 Recipient OK");
  }

  async #data(rest: string): Promise<void> {
    const transaction = this.#transaction;
    if (rest !== "") return this.#error("501 5.5.4 Invalid arguments");
    if (transaction === undefined) return this.#error("503 5.5.2 Need mail command");
    if (transaction.recipients.length === 0) return this.#error("503 5.5.2 Need rcpt command");
    if (transaction.binary || transaction.chunks !== undefined) return this.#error("503 5.5.1 Bad sequence of commands");
    if (await this.#meet("data", transaction.recipients)) {
      this.#transaction = undefined;
      return;
    }
    this.#connection.reply("354 Start mail input; end with <CRLF>.<CRLF>");
    const content = new ContentBuffer(this.#service.options.store);
    const add = this.#adder(transaction, content);
    if ((await this.#connection.readContent(add)) && !this.#connection.closed) await this.#finish(transaction, content);
    else content.discard();
  }

  /** Takes content in, and lets the fault act that cuts it off. */
  #adder(transaction: Transaction, content: ContentBuffer): (piece: Buffer) => void {
    const cut = this.#take("content", transaction.recipients)?.definition.action.kind === "reset";
    let undeclared = !transaction.eightBit;
    return (piece) => {
      this.#lastActivity = this.#service.options.clock.monotonic();
      if (cut) return this.#connection.reset();
      // Not worth keeping: over the fixed size it is refused anyway, and a client must not fill our memory.
      if (content.sizeBytes > FIXED_SIZE_MAX) content.discard();
      content.add(piece);
      if (undeclared && !isAscii(piece)) {
        undeclared = false;
        this.#service.options.store.violated({
          at: this.#service.options.clock.now(),
          session: this.#id,
          what: "8-bit content without BODY=8BITMIME",
        });
      }
    };
  }

  async #chunk(rest: string): Promise<void> {
    const match = /^(\d{1,9})( LAST)?$/i.exec(rest);
    // Without a length nobody knows where the next command starts.
    if (match === null) {
      this.#error("501 5.5.4 Invalid arguments");
      return this.#connection.close();
    }
    const transaction = this.#transaction;
    const ready = transaction !== undefined && transaction.recipients.length > 0;
    const content = ready ? (transaction.chunks ??= new ContentBuffer(this.#service.options.store)) : undefined;
    const add = ready && content !== undefined ? this.#adder(transaction, content) : (): void => undefined;
    if (!(await this.#connection.readExactly(Number(match[1]), add)) || this.#connection.closed) return content?.discard();
    if (!ready || content === undefined)
      return this.#error(transaction === undefined ? "503 5.5.2 Need mail command" : "503 5.5.2 Need rcpt command");
    if (match[2] === undefined) return this.#connection.reply(`250 2.6.0 CHUNK received OK, ${match[1]} octets`);
    await this.#finish(transaction, content);
  }

  /** The content is complete: judge it, take it, answer. */
  async #finish(transaction: Transaction, content: ContentBuffer): Promise<void> {
    const identity = this.#identity as Identity;
    const { settings, clock, emit } = this.#service.options;
    const fault = this.#take("final", transaction.recipients);
    const action = fault?.definition.action;
    const now = clock.now();
    const usage = this.#service.usageOf(identity.mailbox);
    const { reversePath, recipients } = transaction;
    let refused: Refused | undefined;
    if (action?.kind === "reply") refused = this.#sayFault(action);
    else {
      const submission = { session: this.#id, mailbox: identity.mailbox, usage, reversePath, recipients, content };
      refused = judgeSubmission({ ...submission, hasAccess: identity.hasAccess, overRate: settings.overRate, now });
      if (refused !== undefined) this.#refuse(refused);
    }
    this.#transaction = undefined;
    if (refused !== undefined) {
      content.discard();
      emit({ type: "message.refused", session: this.#id, mailbox: identity.mailbox.address, reply: refused.text });
      return;
    }
    const message = this.#store(transaction, content, identity, now);
    if (fault !== undefined && (await this.#act(fault))) return;
    this.#connection.reply(`250 2.0.0 OK ${message.upstreamId} [Hostname=${BACK_END}]`);
    message.answered = !this.#connection.closed;
  }

  #store(transaction: Transaction, content: ContentBuffer, identity: Identity, now: number): ReceivedMessage {
    const { store, tenant, settings, emit } = this.#service.options;
    const { mailbox } = identity;
    const usage = this.#service.usageOf(mailbox);
    const slot = usage.nextSlot(now, mailbox.limits);
    const throttled = slot > now;
    if (throttled) usage.throttled += 1;
    usage.count(now, slot, transaction.recipients.length, mailbox.limits);
    const arrival = {
      receivedAt: now,
      deliveredAt: settings.overRate === "delay" ? slot : now,
      throttled,
      door: "submission" as const,
      mailbox: mailbox.address,
      method: identity.method,
      tls: this.#connection.tlsVersion ?? "",
      helo: this.#helo ?? "",
      remoteAddress: this.#connection.remoteAddress,
      reversePath: transaction.reversePath,
      recipients: transaction.recipients,
      internal: transaction.recipients.filter((recipient) => isInside(tenant, recipient)),
      external: transaction.recipients.filter((recipient) => !isInside(tenant, recipient)),
      mailParameters: transaction.parameters,
      upstreamId: newUpstreamId(),
    };
    const message = store.add(arrival, content);
    emit({ type: "message.received", message });
    return message;
  }
}

/** Reads `FROM:<address> PARAMETERS`, strictly: no space after the colon, angle brackets always. */
function parsePath(keyword: "FROM" | "TO", rest: string): { address: string; parameters: string[] } | undefined {
  const prefix = `${keyword}:<`;
  if (rest.slice(0, prefix.length).toUpperCase() !== prefix) return undefined;
  const match = /^((?:"(?:[^"\\]|\\.)*"|[^<>"])*)>(?: (.*))?$/.exec(rest.slice(prefix.length));
  if (match === null) return undefined;
  return { address: match[1] ?? "", parameters: (match[2] ?? "").split(" ").filter((parameter) => parameter !== "") };
}

/** local@domain without control characters; non-ASCII only with SMTPUTF8 (RFC 6531). */
function isAddress(address: string, utf8: boolean): boolean {
  if (address.length > 320 || !/^(?:"[^"\p{Cc}]+"|[^\s\p{Cc}"@]+)@[^\s\p{Cc}@]+$/u.test(address)) return false;
  return utf8 || /^[\x21-\x7e ]*$/.test(address);
}
