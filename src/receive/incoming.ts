/** One message on its way in: from the reply 354 to the commit. What the session says about it is the session's. */
import { isNonAscii } from "../mail/address.ts";
import type { PosternEvent } from "../mail/events.ts";
import type { Envelope } from "../mail/message.ts";
import type { MessageSink } from "../queue/queue.ts";
import type { TlsFacts } from "./connection.ts";
import { Intake, LOCAL_ERROR } from "./intake.ts";
import type { ContentRefusal } from "./intake.ts";
import type { ClientOptions, SessionContext } from "./options.ts";
import type { Quirks } from "./quirks.ts";
import { escapeForTrace } from "./repair.ts";
import { repeatKey } from "./repeats.ts";
import { receivedField } from "./trace.ts";

/** A mail transaction, from MAIL to the reply after its content. */
export interface Transaction {
  /** After policy. */
  readonly sender: string;
  readonly originalSender: string | undefined;
  readonly recipients: string[];
  /** For duplicates; exact, since a next hop other than Exchange may tell cases apart. */
  readonly seen: Set<string>;
  readonly declaredBytes: number | undefined;
  limitBytes: number;
  refusedRecipients: number;
  /** A recipient was refused because there were too many in this time: others are too, at once. */
  overRate: boolean;
}

/** What trace lines and the envelope tell of the session. */
export interface SessionFacts {
  readonly id: string;
  readonly device: string;
  readonly client: ClientOptions;
  readonly quirks: Quirks;
  /** Who signed in. */
  readonly user: string | undefined;
  readonly helo: string | undefined;
  /** True once the client said EHLO. */
  readonly extended: boolean;
  readonly tls: TlsFacts | undefined;
  /** Ms since the epoch. */
  readonly startedAt: number;
}

/** Content that was taken in, ready to be committed. */
export type Completed =
  | { readonly refusal: ContentRefusal; readonly envelope?: undefined }
  /** `repeatKey` tells the message apart from others, where repeats are looked for. */
  | { readonly refusal?: undefined; readonly envelope: Envelope; readonly repeatKey: string | undefined };

export class IncomingMessage {
  readonly #transaction: Transaction;
  readonly #session: SessionFacts;
  readonly #context: SessionContext;
  readonly #writer: ReturnType<MessageSink["open"]>;
  readonly #intake: Intake;

  /** Opens a message in the queue. @throws what the sink throws */
  constructor(transaction: Transaction, session: SessionFacts, context: SessionContext) {
    const { options, limits } = context;
    const date = context.formatDate(options.clock.now());
    const writer = options.sink.open();
    this.#transaction = transaction;
    this.#session = session;
    this.#context = context;
    this.#writer = writer;
    this.#intake = new Intake(
      writer,
      {
        queueId: writer.queueId,
        hostname: options.hostname,
        received: receivedField({
          helo: session.helo,
          device: session.device,
          hostname: options.hostname,
          queueId: writer.queueId,
          extended: session.extended,
          tls: session.tls,
          authenticated: session.user !== undefined,
          date,
        }),
        date,
        sender: transaction.sender,
        originalSender: transaction.originalSender,
        client: session.client,
        domains: options.domains,
        receivedLimit: limits.receivedFields,
        wantSubject: options.logSubjects === true,
      },
      { contentBytes: transaction.limitBytes, headerBytes: limits.headerBytes },
      { lenientEndOfData: session.quirks.lenientEndOfData, digest: session.quirks.suppressRepeatsWithinMs > 0 },
    );
  }

  get queueId(): string {
    return this.#writer.queueId;
  }

  /** Takes a chunk in, copying what it keeps. @returns the index after the end of DATA, or -1 when the content goes on */
  feed(chunk: Buffer, start: number): number {
    return this.#intake.feed(chunk, start);
  }

  /** What to wait for before the next chunk; reading it takes it. */
  takeBackPressure(): Promise<void> | undefined {
    return this.#intake.takeBackPressure();
  }

  abort(): void {
    this.#intake.abort();
  }

  /** What came of the content. Call after `feed` returned an end. */
  complete(): Completed {
    const { refusal, header, sizeBytes, eightBit, longLines, repairs, digest } = this.#intake.result();
    if (refusal !== undefined || header === undefined) return { refusal: refusal ?? { reply: LOCAL_ERROR, reason: "spool" } };
    const { sender, recipients, originalSender } = this.#transaction;
    const { client, user, device, helo, tls, startedAt } = this.#session;
    const envelope: Envelope = {
      reversePath: sender,
      recipients,
      originalSender,
      origin: {
        listener: this.#context.listener.name,
        client: client.name,
        device,
        // Only where it is so: this is stored with every message.
        ...(user === undefined ? {} : { user }),
        helo: helo === undefined ? undefined : escapeForTrace(helo),
        tls: tls?.protocol,
      },
      kind: "mail",
      priority: client.priority,
      smtpUtf8: isNonAscii(sender) || recipients.some(isNonAscii),
      eightBit,
      signed: header.signed,
      longLines,
      // Only where it is so: this is stored with every message.
      ...(header.returned ? { returned: true } : {}),
      sizeBytes,
      messageId: header.messageId,
      headerFrom: header.headerFrom,
      subject: header.subject,
      repairs,
      sessionStartedAt: startedAt,
    };
    return { envelope, repeatKey: digest === undefined ? undefined : repeatKey(device, sender, recipients, digest) };
  }

  /** What the stage tells of a message that never came to its end. */
  unfinished(cause: string): PosternEvent {
    const { id, client, device, quirks } = this.#session;
    const dot = this.#intake.endsWithDot;
    return {
      type: "session.unfinished",
      session: id,
      listener: this.#context.listener.name,
      client: client.name,
      device,
      reversePath: this.#transaction.sender,
      recipients: this.#transaction.recipients,
      octets: this.#intake.receivedBytes,
      cause: dot ? `${cause} after a line with a dot that was not ended by CR LF . CR LF` : cause,
      remedy:
        dot && !quirks.lenientEndOfData
          ? `if all mail of this device ends so, give it a client of its own with quirks: { lenient_end_of_data: true }`
          : undefined,
    };
  }

  /** What the stage tells of an exact repeat. */
  repeated(queueId: string): PosternEvent {
    const { id, client, device } = this.#session;
    return {
      type: "message.repeated",
      queueId,
      session: id,
      listener: this.#context.listener.name,
      client: client.name,
      device,
      reversePath: this.#transaction.sender,
      recipients: this.#transaction.recipients,
    };
  }

  /** Resolves once the message is ours. @throws PosternError when the spool failed */
  async commit(envelope: Envelope): Promise<void> {
    await this.#writer.commit(envelope);
  }

  /** What the stage tells of an accepted message. */
  accepted(envelope: Envelope, acceptSeconds: number): PosternEvent {
    return {
      type: "message.accepted",
      queueId: this.#writer.queueId,
      session: this.#session.id,
      origin: envelope.origin,
      reversePath: envelope.reversePath,
      originalSender: envelope.originalSender,
      recipients: envelope.recipients,
      sizeBytes: envelope.sizeBytes,
      messageId: envelope.messageId,
      subject: envelope.subject,
      repairs: envelope.repairs,
      acceptSeconds,
    };
  }
}
