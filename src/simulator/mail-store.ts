/** What arrived: every message the stand-in took responsibility for, and the breaches of protocol on the way. */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import type { Hash } from "node:crypto";

import { addressesOf, decodeWords, headerValues, parseHeaders } from "./headers.ts";
import type { HeaderField } from "./headers.ts";

/** Header octets that are looked at; more than Exchange Online takes. */
const HEADER_BLOCK_MAX = 1_048_576;
/** Messages remembered; the oldest are forgotten beyond. */
const MESSAGES_MAX = 100_000;
const VIOLATIONS_MAX = 10_000;
const BLANK_LINE = Buffer.from("\r\n\r\n");

/** How a client proved who it is: by signing in, or on the MX host by its certificate or its address; `none` for anonymous mail. */
export type AuthenticationMethod = "XOAUTH2" | "LOGIN" | "Bearer" | "certificate" | "address" | "none";

/** The ways in. */
export const DOORS = ["submission", "direct-send", "connector", "graph", "hve", "acs"] as const;
export type Door = (typeof DOORS)[number];

/** A message that arrived. */
export interface ReceivedMessage {
  /** Number in order of arrival, as text. */
  readonly id: string;
  /** ms since the epoch */
  readonly receivedAt: number;
  /** When the mailbox gets it: later than `receivedAt` when the sender was over its rate and the message was carried over. */
  readonly deliveredAt: number;
  /** True when it came over the message rate of its mailbox. */
  readonly throttled: boolean;
  readonly door: Door;
  /** The mailbox that signed in; on the MX host, where nobody does, the connector, or empty. */
  readonly mailbox: string;
  readonly method: AuthenticationMethod;
  readonly tls: string;
  readonly helo: string;
  readonly remoteAddress: string;
  readonly reversePath: string;
  readonly recipients: readonly string[];
  /** Recipients in the tenant's domains; the others went to the Internet. */
  readonly internal: readonly string[];
  readonly external: readonly string[];
  /** Parameters of MAIL, as sent. */
  readonly mailParameters: readonly string[];
  readonly headerFrom: readonly string[];
  readonly to: string;
  readonly subject: string;
  readonly messageId: string;
  readonly headers: readonly HeaderField[];
  readonly sizeBytes: number;
  readonly contentSha256: string;
  /** Of what follows the empty line after the header block. */
  readonly bodySha256: string;
  /** Exactly as received, dots unstuffed; undefined when the bound on memory was reached. */
  readonly content: Buffer | undefined;
  /** The id that was told in the reply; the request id where the door is HTTP. */
  readonly upstreamId: string;
  /** Whether the sending mailbox has a copy among its Sent Items. */
  inSentItems: boolean;
  /** Addresses of Bcc:, which only the copy in Sent Items still shows; empty where the content was delivered as it came. */
  readonly bcc: readonly string[];
  /** False while the reply is held, and for ever when it was lost. */
  answered: boolean;
}

/** A breach of protocol by a client. */
export interface Violation {
  readonly at: number;
  readonly session: string;
  readonly what: string;
}

/** Receives one content while it comes in, within the store's bound on memory. */
export class ContentBuffer {
  sizeBytes = 0;
  #store: MailStore;
  #pieces: Buffer[] = [];
  #kept = 0;
  #whole = true;
  #contentHash: Hash = createHash("sha256");
  #bodyHash: Hash = createHash("sha256");
  /** Starts with a line end that is not content, so that a content without any header has its empty line found as well. */
  #header: Buffer[] = [Buffer.from("\r\n")];
  #headerBytes = 0;
  #headerBlock: Buffer | undefined;

  constructor(store: MailStore) {
    this.#store = store;
  }

  add(piece: Buffer): void {
    this.sizeBytes += piece.length;
    this.#contentHash.update(piece);
    if (this.#whole && this.#store.reserve(piece.length)) {
      this.#kept += piece.length;
      this.#pieces.push(Buffer.from(piece));
    } else this.#forget();
    if (this.#headerBlock === undefined) this.#lookForBody(piece);
    else this.#bodyHash.update(piece);
  }

  #lookForBody(piece: Buffer): void {
    const tail = this.#header.at(-1) as Buffer;
    const overlap = tail.subarray(-3);
    const window = Buffer.concat([overlap, piece]);
    const at = window.indexOf(BLANK_LINE);
    if (at < 0 && this.#headerBytes + piece.length <= HEADER_BLOCK_MAX) {
      // At least four octets a piece, so that the overlap never needs an earlier one.
      if (tail.length < 4) this.#header[this.#header.length - 1] = Buffer.concat([tail, piece]);
      else this.#header.push(Buffer.from(piece));
      this.#headerBytes += piece.length;
      return;
    }
    const bodyStart = at < 0 ? piece.length : at + 4 - overlap.length;
    this.#header.push(Buffer.from(piece.subarray(0, Math.max(0, bodyStart))));
    this.#headerBlock = Buffer.concat(this.#header).subarray(2);
    this.#bodyHash.update(piece.subarray(Math.max(0, bodyStart)));
  }

  #forget(): void {
    this.#whole = false;
    this.#store.release(this.#kept);
    this.#kept = 0;
    this.#pieces = [];
  }

  /** Gives the memory back: the message was refused or never finished. */
  discard(): void {
    this.#forget();
  }

  get headerBlock(): Buffer {
    return this.#headerBlock ?? Buffer.concat(this.#header).subarray(2);
  }

  /** The content as it was received, where it was kept, and the hashes. */
  finish(): { content: Buffer | undefined; contentSha256: string; bodySha256: string } {
    return {
      content: this.#whole ? Buffer.concat(this.#pieces) : undefined,
      contentSha256: this.#contentHash.digest("hex"),
      bodySha256: this.#bodyHash.digest("hex"),
    };
  }
}

/** What the store is told about a message besides its content. */
export type Arrival = Omit<
  ReceivedMessage,
  "id" | "headerFrom" | "to" | "subject" | "messageId" | "headers" | "sizeBytes" | "contentSha256" | "bodySha256" | "content" | "answered"
>;

/** Keeps what arrived, in memory, up to a bound. */
export class MailStore {
  readonly violations: Violation[] = [];
  #messages: ReceivedMessage[] = [];
  #keptBytes = 0;
  #nextId = 1;
  readonly #maxBytes: number;

  /** @param maxBytes - contents kept in all; beyond it messages keep only size and hashes */
  constructor(maxBytes = 256 * 1024 * 1024) {
    this.#maxBytes = maxBytes;
  }

  reserve(octets: number): boolean {
    if (this.#keptBytes + octets > this.#maxBytes) return false;
    this.#keptBytes += octets;
    return true;
  }

  release(octets: number): void {
    this.#keptBytes -= octets;
  }

  add(arrival: Arrival, buffer: ContentBuffer): ReceivedMessage {
    const headers = parseHeaders(buffer.headerBlock);
    const message: ReceivedMessage = {
      ...arrival,
      id: String(this.#nextId++),
      headers,
      headerFrom: headerValues(headers, "From").flatMap(addressesOf),
      to: decodeWords(headerValues(headers, "To").join(", ")),
      subject: decodeWords(headerValues(headers, "Subject")[0] ?? ""),
      messageId: (headerValues(headers, "Message-ID")[0] ?? "").trim(),
      sizeBytes: buffer.sizeBytes,
      ...buffer.finish(),
      answered: false,
    };
    this.#messages.push(message);
    if (this.#messages.length > MESSAGES_MAX) this.release(this.#messages.shift()?.content?.length ?? 0);
    return message;
  }

  /** Oldest first. */
  get messages(): readonly ReceivedMessage[] {
    return this.#messages;
  }

  find(id: string): ReceivedMessage | undefined {
    return this.#messages.find((message) => message.id === id);
  }

  violated(violation: Violation): void {
    if (this.violations.length < VIOLATIONS_MAX) this.violations.push(violation);
  }

  clear(): void {
    for (const message of this.#messages) this.release(message.content?.length ?? 0);
    this.#messages = [];
    this.violations.length = 0;
  }
}
