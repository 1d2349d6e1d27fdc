/**
 * A connection that carries messages, one transaction after the other.
 *
 * Messages are sent here and not by nodemailer: what its `send` does for each reply and message costs more than the system calls.
 */
import { isNonAscii } from "../../mail/address.ts";
import { describeError, PosternError } from "../../mail/errors.ts";
import { Dialogue } from "../dialogue.ts";
import type { Delivery, Refusal, Stage } from "../upstream.ts";
import { DotStuffer, wireForm } from "./content.ts";
import { isPlain, mailCommand, rcptCommand } from "./envelope.ts";
import { faultAt, noReply } from "./fault.ts";
import { isContinued } from "./replies.ts";
import { SmtpSession } from "./session.ts";
import { nameable, noneNameable, notOffered, Transaction } from "./transaction.ts";
import type { TransactionFacts } from "./transaction.ts";

/** Replies to a message are a few lines; this only stops a peer that never ends one. */
const LONGEST_REPLY = 16 * 1024;
/** Content up to here is put together in memory that the connection keeps. */
const LARGEST_SCRATCH = 64 * 1024;

/** An SMTP session that messages go over. */
export class SmtpConnection extends SmtpSession {
  /** Messages tried on it. */
  transactions = 0;
  #transaction: Transaction | undefined;
  #scratch: Uint8Array | undefined;

  /** Sends one message. Ends when its final reply came, or when it is clear that none will. */
  async transact(delivery: Delivery): Promise<TransactionFacts> {
    this.transactions += 1;
    const { isRecorded, clock } = this.settings;
    // A reload may want transcripts from a connection that was opened without.
    this.dialogue = isRecorded?.() === true ? (this.dialogue ?? new Dialogue(clock)) : undefined;
    this.dialogue?.begin();
    const offers = this.offers;
    let tried = delivery.recipients;
    let international = false;
    if (!isPlain(delivery)) {
      const named = nameable(delivery, offers.smtpUtf8);
      if ("stage" in named) return notOffered(delivery, named);
      tried = named;
      international = [delivery.reversePath, ...tried].some(isNonAscii);
    }
    if (tried.length === 0) return noneNameable(delivery);
    if (offers.largest > 0 && delivery.sizeBytes > offers.largest) {
      return notOffered(delivery, faultAt("mail", "TOO_LARGE", `${delivery.sizeBytes} octets, the server takes ${offers.largest}`));
    }
    const transaction = new Transaction(delivery, tried);
    if (this.over) return transaction.facts(this.failure ?? faultAt("mail", "RESET", "the connection is closed"), "mail", false);
    return await new Promise((resolve) => {
      this.settle = (ended) => {
        this.#transaction = undefined;
        resolve(this.#factsOf(transaction, ended));
      };
      this.#transaction = transaction;
      this.expectReply("mail", this.settings.timeouts.commandMs);
      let commands = mailCommand(delivery, international, offers);
      if (offers.pipelining) {
        for (const recipient of tried) commands += rcptCommand(recipient);
        commands += "DATA\r\n";
      }
      this.dialogue?.sent(commands);
      this._socket.write(commands, international ? "utf8" : "latin1");
    });
  }

  /** What the server sends. While a message is under way its replies are taken here, all that came in one turn. */
  override _onData(chunk: Buffer): void {
    const transaction = this.#transaction;
    // A reply that nobody asked for, begun before the message, is the library's to end.
    if (transaction === undefined || this._responsePartial) return super._onData(chunk);
    const text = this._remainder + chunk.toString("latin1");
    let reply = 0;
    let line = 0;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", line)) {
      const continued = isContinued(text, line);
      line = end + 1;
      if (continued) continue;
      const wire = text.slice(reply, text.charCodeAt(end - 1) === 0x0d ? end - 1 : end);
      reply = line;
      if (wire.trim() === "") continue;
      this.#replied(transaction, wire);
      if (this.#transaction === transaction) continue;
      this._remainder = "";
      if (reply < text.length) super._onData(Buffer.from(text.slice(reply), "latin1"));
      return;
    }
    this._remainder = reply === 0 ? text : text.slice(reply);
    if (this._remainder.length > LONGEST_REPLY) this._onResponseTooLarge();
  }

  /** One reply to the message under way: notes it, and does what comes next. */
  #replied(transaction: Transaction, wire: string): void {
    const stage = this.awaiting;
    this.dialogue?.received(wire);
    const reply = this.settings.replies.note(stage, wire);
    if (reply === undefined) return this.fail(noReply(stage, wire));
    transaction.note(stage, reply);
    // RFC 5321 §3.8: the server is about to close the connection, whatever it was asked.
    if (reply.code === 421) return this.fail({ stage, reply });
    if (stage === "mail") return this.#afterMail(transaction);
    if (stage === "rcpt") return this.#afterRcpt(transaction);
    if (stage === "data") return this.#afterData(transaction);
    this.finish(undefined);
  }

  #afterMail(transaction: Transaction): void {
    if (this.offers.pipelining) this.expectReply("rcpt", this.settings.timeouts.commandMs);
    else if (transaction.mailAccepted) this.#say("rcpt", rcptCommand(transaction.tried[0] as string));
    else this.finish(undefined);
  }

  #afterRcpt(transaction: Transaction): void {
    const { pipelining } = this.offers;
    if (!transaction.everyRcptAnswered) {
      if (pipelining) this.expectReply("rcpt", this.settings.timeouts.commandMs);
      else this.#say("rcpt", rcptCommand(transaction.tried[transaction.rcpts.length] as string));
    } else if (pipelining) {
      this.expectReply("data", this.settings.timeouts.commandMs);
    } else if (transaction.someRcptAccepted) {
      this.#say("data", "DATA\r\n");
    } else {
      this.finish(undefined);
    }
  }

  #afterData(transaction: Transaction): void {
    if (transaction.emptied || !transaction.dataAccepted) return this.finish(undefined);
    if (transaction.mailAccepted && transaction.someRcptAccepted) return this.#sendContent(transaction);
    // DATA went out along with the rest, and the server took it although it had refused all of that. Without a recipient an empty message
    // goes to nobody; without a sender there is no telling.
    if (!transaction.mailAccepted) return this.fail(faultAt("data", "PROTOCOL", "the server wants content of a message that it refused"));
    transaction.emptied = true;
    this.#say("data", ".\r\n");
  }

  #say(stage: Stage, command: string): void {
    this.dialogue?.sent(command);
    this.expectReply(stage, this.settings.timeouts.commandMs);
    this._socket.write(command, "utf8");
  }

  #factsOf(transaction: Transaction, ended: Refusal | undefined): TransactionFacts {
    const facts = transaction.facts(ended, this.awaiting, ended === undefined && this.usable);
    // After an answer that makes no sense, or came before the content had ended, the next one may not be ours.
    if (facts.reuse === "no" && !this.over) this.close();
    return facts;
  }

  // ---- content -----------------------------------------------------------------------------------------------------------

  #sendContent(transaction: Transaction): void {
    const { content, sizeBytes } = transaction.delivery;
    const whole = content.inMemory;
    this.dialogue?.happened(`content of ${sizeBytes} octets`);
    this.expectReply("content", this.settings.timeouts.contentMs);
    if (whole === undefined) void this.#sendBlocks(transaction);
    else if (whole.length < sizeBytes) this.#truncated(transaction, whole.length);
    else this.#sendLast(wireForm(whole, this.#scratchFor(whole.length)));
  }

  /** Free again when the next message needs it: the final reply to the one before came, so the server has all of that. */
  #scratchFor(length: number): Uint8Array | undefined {
    // A few octets more for the dots of most messages and the terminator.
    const needed = length + 64;
    // A server that answered before it had all would get the next message's octets for the rest.
    if (needed > LARGEST_SCRATCH || this._socket.writableLength > 0) return undefined;
    if (this.#scratch === undefined || this.#scratch.length < needed)
      this.#scratch = Buffer.allocUnsafeSlow(Math.min(LARGEST_SCRATCH, needed * 2));
    return this.#scratch;
  }

  #sendLast(wire: Uint8Array): void {
    this.expectReply("final", this.settings.timeouts.finalMs);
    this._socket.write(wire);
  }

  async #sendBlocks(transaction: Transaction): Promise<void> {
    const stuffer = new DotStuffer();
    const { content, sizeBytes } = transaction.delivery;
    let sent = 0;
    try {
      for await (const block of content.blocks()) {
        // An answer before the final dot, or the end of the connection: nobody waits for the rest.
        if (this.#transaction !== transaction) return;
        sent += block.length;
        // Written whole before the next block is asked for: then this one's memory goes.
        await this.#written(stuffer.push(block));
        if (this.#transaction !== transaction) return;
        this.expectReply("content", this.settings.timeouts.contentMs);
      }
    } catch (error) {
      if (this.#transaction !== transaction) return;
      return this.abandon(error instanceof PosternError ? error.code : "CONTENT", describeError(error));
    }
    if (this.#transaction !== transaction) return;
    if (sent < sizeBytes) return this.#truncated(transaction, sent);
    this.#sendLast(stuffer.end());
  }

  #truncated(transaction: Transaction, sent: number): void {
    this.abandon("CONTENT", `the content ends after ${sent} of ${transaction.delivery.sizeBytes} octets`);
  }

  /** Resolves when the octets are with the system, or the connection has ended. */
  async #written(octets: Uint8Array): Promise<void> {
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.off("end", done);
        resolve();
      };
      this.on("end", done);
      this._socket.write(octets, done);
    });
  }
}
