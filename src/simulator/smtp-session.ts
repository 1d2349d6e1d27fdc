/** One session on an SMTP host of Microsoft: the commands in their order, the faults, the time-outs. Who may send what is the rules' business. */
import { isAscii } from "node:buffer";

import { FIXED_SIZE_MAX } from "./content-rules.ts";
import type { FaultStage } from "./fault-model.ts";
import type { ActiveFault } from "./faults.ts";
import { ContentBuffer } from "./mail-store.ts";
import type { ReceivedMessage } from "./mail-store.ts";
import { bannerDate, formatDuration, newUpstreamId } from "./microsoft-names.ts";
import { fillIn, wordsOf } from "./refusal.ts";
import type { Refused } from "./refusal.ts";
import type { SessionContext, SessionRules, Transaction } from "./session-rules.ts";
import type { HostOptions } from "./host-options.ts";
import type { SmtpConnection } from "./smtp-server-core.ts";
import { ENDS_A_GROUP, HELO_NAME, MAIL_PARAMETER, RCPT_PARAMETER, domainOf, isAddress, parsePath } from "./smtp-syntax.ts";
import { isInside } from "./tenant.ts";

/** Runs one session. */
export class SmtpSession implements SessionContext {
  readonly id: string;
  #options: HostOptions;
  #connection: SmtpConnection;
  #rules: SessionRules;
  #openedAt: number;
  #helo: string | undefined;
  #transaction: Transaction | undefined;
  #errors = 0;
  #lastActivity: number;
  /** Becomes the server side of TLS; false when the handshake failed. */
  #secure: () => Promise<boolean>;

  /** @param makeRules - given the session itself, which the rules look at */
  constructor(
    options: HostOptions,
    connection: SmtpConnection,
    id: string,
    makeRules: (session: SessionContext) => SessionRules,
    secure: () => Promise<boolean>,
  ) {
    this.id = id;
    this.#options = options;
    this.#connection = connection;
    this.#secure = secure;
    this.#openedAt = options.clock.monotonic();
    this.#lastActivity = this.#openedAt;
    this.#rules = makeRules(this);
  }

  get remoteAddress(): string {
    return this.#connection.remoteAddress;
  }

  get tlsVersion(): string | undefined {
    return this.#connection.tlsVersion;
  }

  get helo(): string {
    return this.#helo ?? "";
  }

  /** Serves until the connection ends. */
  async run(): Promise<void> {
    const connection = this.#connection;
    this.#watchTime();
    if (await this.#meet("connect")) return;
    if (await this.#meet("greeting")) return;
    connection.expectSilence("the connection");
    const date = bannerDate(this.#options.clock.now());
    connection.reply(`220 ${this.#rules.names.frontEnd} Microsoft ESMTP MAIL Service ready at ${date} [${this.id}]`);
    while (!connection.closed) {
      const line = await connection.readLine();
      this.#lastActivity = this.#options.clock.monotonic();
      if (line.kind === "closed") break;
      if (line.kind === "too-long") this.error("500 5.5.2 Line too long");
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
        return this.reply("250 2.0.0 Resetting");
      case "NOOP":
        return this.reply("250 2.0.0 OK");
      case "VRFY":
        return this.reply("252 2.1.5 Cannot VRFY user");
      case "QUIT":
        this.reply("221 2.0.0 Service closing transmission channel");
        return this.#connection.close();
      default:
        return this.error("500 5.3.3 Unrecognized command");
    }
  }

  // Time

  #watchTime(): void {
    const { clock, settings } = this.#options;
    let cancel = (): void => undefined;
    const arm = (): void => {
      const now = clock.monotonic();
      const idleLeft = this.#lastActivity + settings.idleTimeoutMs - now;
      const sessionLeft = this.#openedAt + settings.sessionTimeoutMs - now;
      if (idleLeft <= 0 || sessionLeft <= 0) {
        this.refuse({
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

  async waitFor(ms: number): Promise<void> {
    if (ms > 0) await this.#wait(new Promise<void>((resolve) => void this.#options.clock.after(ms, resolve)));
  }

  // Replies

  reply(text: string): void {
    this.#connection.reply(text);
  }

  refuse(refused: Refused): void {
    this.reply(refused.text + this.#bracket(refused.suffix));
  }

  #bracket(suffix: Refused["suffix"]): string {
    const { bracket, backEnd } = this.#rules.names;
    if (suffix === "hostname") return ` [Hostname=${backEnd}]`;
    return ` [${bracket} ${new Date(this.#options.clock.now()).toISOString()} ${this.id}]`;
  }

  error(text: string): void {
    this.#errors += 1;
    if (this.#errors < this.#options.settings.maxErrors) return this.refuse({ text, suffix: "session" });
    this.refuse(wordsOf("too-many-errors"));
    this.#connection.close();
  }

  async challenge(prompt: string): Promise<string | undefined> {
    this.reply(`334 ${prompt}`);
    const line = await this.#connection.readLine();
    if (line.kind === "closed") return undefined;
    this.#lastActivity = this.#options.clock.monotonic();
    if (line.kind === "line" && line.text !== "*") return line.text;
    this.error("501 5.5.4 Invalid arguments");
    return undefined;
  }

  close(): void {
    this.#connection.close();
  }

  onClose(callback: () => void): void {
    this.#connection.onClose(callback);
  }

  // Faults

  #take(stage: FaultStage, recipients?: readonly string[]): ActiveFault | undefined {
    const { host, mailbox } = this.#rules;
    const accepted = this.#transaction?.recipients.length ?? 0;
    return this.#options.faults.take(stage, { host, mailbox, recipients, accepted });
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
        await this.waitFor(action.ms);
        return this.#connection.closed;
      default:
        // Not an answer of its own: EHLO leaves a keyword out.
        return false;
    }
  }

  #sayFault(action: Extract<ActiveFault["definition"]["action"], { kind: "reply" }>): Refused {
    const from = this.#transaction?.reversePath ?? "";
    const values = { mailbox: this.#rules.mailbox ?? "", from, ip: this.remoteAddress, domain: domainOf(from) };
    const refused: Refused = { text: fillIn(action.text, values), suffix: action.suffix };
    this.refuse(refused);
    if (action.close === true) this.#connection.close();
    return refused;
  }

  // Commands

  async #hello(verb: "EHLO" | "HELO", name: string): Promise<void> {
    if (!HELO_NAME.test(name)) return this.error("501 5.5.4 Invalid domain name");
    const fault = this.#take("ehlo");
    if (fault !== undefined && (await this.#act(fault))) return;
    const omitted = fault?.definition.action.kind === "omit" ? fault.definition.action.keyword : undefined;
    this.#helo = name;
    this.#transaction = undefined;
    const greeting = `${this.#rules.names.frontEnd} Hello [${this.remoteAddress}]`;
    if (verb === "HELO") return this.reply(`250 ${greeting}`);
    const security = this.#rules.security(this.tlsVersion !== undefined);
    const keywords = [
      `SIZE ${FIXED_SIZE_MAX}`,
      "PIPELINING",
      "DSN",
      "ENHANCEDSTATUSCODES",
      ...(security === undefined ? [] : [security]),
      "8BITMIME",
      "BINARYMIME",
      "CHUNKING",
      "SMTPUTF8",
    ];
    const lines = [greeting, ...keywords.filter((keyword) => keyword !== omitted)];
    this.#connection.reply(...lines.map((line, index) => `250${index < lines.length - 1 ? "-" : " "}${line}`));
  }

  async #startTls(rest: string, early: boolean): Promise<void> {
    if (rest !== "") return this.error("501 5.5.4 Invalid arguments");
    if (this.tlsVersion !== undefined || this.#helo === undefined) return this.error("503 5.5.2 Send hello first");
    const fault = this.#take("starttls");
    if (fault?.definition.action.kind !== "reset" && fault !== undefined && (await this.#act(fault))) return;
    this.reply("220 2.0.0 SMTP server ready");
    // Commands slipped in before the handshake must not survive it (RFC 3207 section 4.2); a real host drops such a client.
    if (early || fault?.definition.action.kind === "reset") return this.#connection.reset();
    if (!(await this.#secure())) return;
    this.#helo = undefined;
    this.#transaction = undefined;
  }

  async #authenticate(rest: string): Promise<void> {
    const [mechanism = "", initial, ...others] = rest.split(" ");
    if (this.#helo === undefined) return this.error("503 5.5.2 Send hello first");
    if (this.#rules.authenticate === undefined || this.tlsVersion === undefined) return this.error(wordsOf("auth-unrecognized").text);
    if (this.#transaction !== undefined) return this.error("503 5.5.1 Bad sequence of commands");
    if (others.length > 0) return this.error("501 5.5.4 Invalid arguments");
    await this.#rules.authenticate(mechanism.toUpperCase(), initial === "" ? undefined : initial);
  }

  async #mail(rest: string): Promise<void> {
    if (this.#helo === undefined) return this.error("503 5.5.2 Send hello first");
    const shut = this.#rules.admit();
    if (shut !== undefined) return this.refuse(shut);
    if (this.#transaction !== undefined) return this.error("503 5.5.2 Sender already specified");
    const parsed = parsePath("FROM", rest);
    const utf8 = parsed?.parameters.some((parameter) => parameter.toUpperCase() === "SMTPUTF8") === true;
    if (parsed === undefined || !(parsed.address === "" || isAddress(parsed.address, utf8)))
      return this.error(wordsOf("invalid-sender").text);
    if (!parsed.parameters.every((parameter) => MAIL_PARAMETER.test(parameter))) return this.error("501 5.5.4 Unrecognized parameter");
    if (await this.#meet("mail")) return;
    const upper = parsed.parameters.map((parameter) => parameter.toUpperCase());
    const size = upper.find((parameter) => parameter.startsWith("SIZE="));
    if (size !== undefined && Number(size.slice(5)) > FIXED_SIZE_MAX) return this.refuse(wordsOf("size-exceeded"));
    const binary = upper.includes("BODY=BINARYMIME");
    this.#transaction = {
      reversePath: parsed.address,
      parameters: parsed.parameters,
      recipients: [],
      eightBit: binary || upper.includes("BODY=8BITMIME"),
      binary,
      utf8,
    };
    this.reply("250 2.1.0 Sender OK");
  }

  async #recipient(rest: string): Promise<void> {
    const transaction = this.#transaction;
    if (transaction === undefined) return this.error("503 5.5.2 Need mail command");
    const parsed = parsePath("TO", rest);
    if (parsed === undefined || !isAddress(parsed.address, transaction.utf8)) return this.error(wordsOf("invalid-recipient").text);
    if (!parsed.parameters.every((parameter) => RCPT_PARAMETER.test(parameter))) return this.error("501 5.5.4 Unrecognized parameter");
    if (await this.#meet("rcpt", [parsed.address])) return;
    const refused = this.#rules.recipient(transaction, parsed.address);
    if (refused !== undefined) return this.refuse(refused);
    transaction.recipients.push(parsed.address);
    this.reply("250 2.1.5 Recipient OK");
  }

  async #data(rest: string): Promise<void> {
    const transaction = this.#transaction;
    if (rest !== "") return this.error("501 5.5.4 Invalid arguments");
    if (transaction === undefined) return this.error("503 5.5.2 Need mail command");
    if (transaction.recipients.length === 0) return this.error("503 5.5.2 Need rcpt command");
    if (transaction.binary || transaction.chunks !== undefined) return this.error("503 5.5.1 Bad sequence of commands");
    if (await this.#meet("data", transaction.recipients)) {
      this.#transaction = undefined;
      return;
    }
    this.reply("354 Start mail input; end with <CRLF>.<CRLF>");
    const content = new ContentBuffer(this.#options.store);
    const add = this.#adder(transaction, content);
    if ((await this.#connection.readContent(add)) && !this.#connection.closed) await this.#finish(transaction, content);
    else content.discard();
  }

  /** Takes content in, and lets the fault act that cuts it off. */
  #adder(transaction: Transaction, content: ContentBuffer): (piece: Buffer) => void {
    const { clock, store } = this.#options;
    const cut = this.#take("content", transaction.recipients)?.definition.action.kind === "reset";
    let undeclared = !transaction.eightBit;
    return (piece) => {
      this.#lastActivity = clock.monotonic();
      if (cut) return this.#connection.reset();
      // Not worth keeping: over the fixed size it is refused anyway, and a client must not fill our memory.
      if (content.sizeBytes > FIXED_SIZE_MAX) content.discard();
      content.add(piece);
      if (undeclared && !isAscii(piece)) {
        undeclared = false;
        store.violated({ at: clock.now(), session: this.id, what: "8-bit content without BODY=8BITMIME" });
      }
    };
  }

  async #chunk(rest: string): Promise<void> {
    const match = /^(\d{1,9})( LAST)?$/i.exec(rest);
    // Without a length nobody knows where the next command starts.
    if (match === null) {
      this.error("501 5.5.4 Invalid arguments");
      return this.#connection.close();
    }
    const transaction = this.#transaction;
    const ready = transaction !== undefined && transaction.recipients.length > 0;
    const content = ready ? (transaction.chunks ??= new ContentBuffer(this.#options.store)) : undefined;
    const add = ready && content !== undefined ? this.#adder(transaction, content) : (): void => undefined;
    if (!(await this.#connection.readExactly(Number(match[1]), add)) || this.#connection.closed) return content?.discard();
    if (!ready || content === undefined)
      return this.error(transaction === undefined ? "503 5.5.2 Need mail command" : "503 5.5.2 Need rcpt command");
    if (match[2] === undefined) return this.reply(`250 2.6.0 CHUNK received OK, ${match[1]} octets`);
    await this.#finish(transaction, content);
  }

  /** The content is complete: judge it, take it, answer. */
  async #finish(transaction: Transaction, content: ContentBuffer): Promise<void> {
    const { clock, emit } = this.#options;
    const fault = this.#take("final", transaction.recipients);
    const action = fault?.definition.action;
    const now = clock.now();
    let refused: Refused | undefined;
    if (action?.kind === "reply") refused = this.#sayFault(action);
    else {
      refused = this.#rules.judge(transaction, content, now);
      if (refused !== undefined) this.refuse(refused);
    }
    this.#transaction = undefined;
    if (refused !== undefined) {
      content.discard();
      emit({ type: "message.refused", session: this.id, mailbox: this.#rules.mailbox ?? "", reply: refused.text });
      return;
    }
    const message = this.#store(transaction, content, now);
    if (fault !== undefined && (await this.#act(fault))) return;
    this.reply(this.#rules.accepted(message));
    message.answered = !this.#connection.closed;
  }

  #store(transaction: Transaction, content: ContentBuffer, now: number): ReceivedMessage {
    const { store, tenant, emit } = this.#options;
    const arrival = {
      receivedAt: now,
      inSentItems: false,
      bcc: [],
      ...this.#rules.take(transaction, now),
      tls: this.tlsVersion ?? "",
      helo: this.helo,
      remoteAddress: this.remoteAddress,
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
