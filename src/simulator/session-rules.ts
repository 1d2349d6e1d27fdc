/** What tells one SMTP host of Microsoft from another: who may send what to whom. The dialogue around it is the same on all of them. */
import type { FaultHost } from "./fault-model.ts";
import type { Arrival, ContentBuffer, ReceivedMessage } from "./mail-store.ts";
import type { Refused } from "./refusal.ts";

/** A mail transaction so far. */
export interface Transaction {
  readonly reversePath: string;
  readonly parameters: readonly string[];
  readonly recipients: string[];
  readonly eightBit: boolean;
  readonly binary: boolean;
  readonly utf8: boolean;
  /** Present once a first BDAT came. */
  chunks?: ContentBuffer;
}

/** What the rules of a host see of a session, and may do in it. */
export interface SessionContext {
  readonly id: string;
  readonly remoteAddress: string;
  /** Negotiated version, undefined in clear text. */
  readonly tlsVersion: string | undefined;
  readonly helo: string;
  /** Asks for the next part of a SASL exchange; undefined when the client gave up, which has then been answered. */
  challenge(prompt: string): Promise<string | undefined>;
  reply(text: string): void;
  refuse(refused: Refused): void;
  /** Refuses, and counts it as a protocol error; the last straw ends the session. */
  error(text: string): void;
  waitFor(ms: number): Promise<void>;
  /** Ends the connection after what was said. */
  close(): void;
  onClose(callback: () => void): void;
}

/** How a host shows itself. */
export interface HostNames {
  /** In the banner and after EHLO. */
  readonly frontEnd: string;
  /** In the bracket after refusals. */
  readonly bracket: string;
  /** The server behind it, which `[Hostname=…]` names. */
  readonly backEnd: string;
}

/** What a message is besides what the session knows itself. */
export type Attribution = Pick<Arrival, "door" | "mailbox" | "method" | "throttled" | "deliveredAt"> & {
  /** Absent: the door leaves no copy with the sender. */
  readonly inSentItems?: boolean;
};

/** The rules of one session on one host. */
export interface SessionRules {
  readonly host: FaultHost;
  readonly names: HostNames;
  /** The line of EHLO between ENHANCEDSTATUSCODES and 8BITMIME; undefined: none. */
  security(isSecure: boolean): string | undefined;
  /** The mailbox that signed in, for faults that are meant for one. */
  readonly mailbox: string | undefined;
  /** AUTH; absent where the host has none. */
  authenticate?(mechanism: string, initial: string | undefined): Promise<void>;
  /** Whether MAIL is taken at all. */
  admit(): Refused | undefined;
  /** Whether this recipient is taken, besides those of the transaction. */
  recipient(transaction: Transaction, address: string): Refused | undefined;
  /** The first reason to refuse the whole message at its end. */
  judge(transaction: Transaction, content: ContentBuffer, now: number): Refused | undefined;
  /** Counts a message that is taken, and says how it came. */
  take(transaction: Transaction, now: number): Attribution;
  /** The reply to a message that was taken. */
  accepted(message: ReceivedMessage): string;
}
