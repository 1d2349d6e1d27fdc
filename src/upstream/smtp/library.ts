/**
 * The part of nodemailer's SMTPConnection that its types leave out and that session.ts and connection.ts override.
 *
 * This is private API of the version pinned in package.json: library.test.ts is the contract that an upgrade must pass.
 */
import { createRequire } from "node:module";
import type net from "node:net";
import type SMTPConnection from "nodemailer/lib/smtp-connection";
import type { SMTPConnectionOptions } from "nodemailer/lib/smtp-connection";

// Its CommonJS half: the other one imports node:http, with all that platform/http.ts tells of.
const library = createRequire(import.meta.url)("nodemailer/lib/smtp-connection") as unknown;

/** Steps of the dialogue, one for each reply, and the state they work on. */
export interface LibraryInternals {
  readonly _socket: net.Socket;
  /** The connection is over; `end` was emitted. */
  readonly _destroyed: boolean;
  readonly _supportedAuth: readonly string[];
  readonly _supportedExtensions: readonly string[];
  /** SIZE as announced; 0 when the server named none. */
  readonly _maxAllowedSize: number;
  /** What came of a line that has not ended, octets as latin1. Reported when the connection closes on it. */
  _remainder: string;
  /** A reply has begun and not ended. */
  readonly _responsePartial: boolean;
  /** What takes the replies to come, the next one first. */
  readonly _responseActions: ((reply: string) => void)[];
  _sendCommand(command: string): void;
  /** Called with all that the socket reads. */
  _onData(chunk: Buffer): void;
  /** Ends the connection of a peer that never ends its reply. */
  _onResponseTooLarge(): void;
  _actionGreeting(reply: string): void;
  _actionEHLO(reply: string): void;
  _actionHELO(reply: string): void;
  _actionSTARTTLS(reply: string): void;
}

/** The library's class with those members visible. */
export const LibraryConnection = library as new (options: SMTPConnectionOptions) => SMTPConnection & LibraryInternals;
