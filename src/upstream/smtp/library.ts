/**
 * The part of nodemailer's SMTPConnection that its types leave out and that connection.ts overrides.
 *
 * This is private API of the version pinned in package.json: connection.test.ts is the contract that an upgrade must pass.
 */
import type net from "node:net";
import SMTPConnection from "nodemailer/lib/smtp-connection";
import type { SMTPConnectionOptions } from "nodemailer/lib/smtp-connection";

/** Called with an error, or with null and what the library knows. */
export type LibraryCallback = (error: Error | null, result?: unknown) => void;

/** Steps of the dialogue, one for each reply, and the state they work on. */
export interface LibraryInternals {
  readonly _socket: net.Socket;
  readonly _destroyed: boolean;
  readonly _supportedAuth: readonly string[];
  readonly _supportedExtensions: readonly string[];
  /** SIZE as announced; 0 when the server named none. */
  readonly _maxAllowedSize: number;
  readonly _responseQueue: string[];
  readonly _responsePartial: boolean;
  readonly _responseActions: ((reply: string) => void)[];
  _actionGreeting(reply: string): void;
  _actionEHLO(reply: string): void;
  _actionHELO(reply: string): void;
  _actionSTARTTLS(reply: string): void;
  _actionMAIL(reply: string, callback: LibraryCallback): void;
  _actionRCPT(reply: string, callback: LibraryCallback): void;
  _actionDATA(reply: string, callback: LibraryCallback): void;
  _actionSMTPStream(reply: string, callback: LibraryCallback): void;
  _processResponse(): unknown;
  _sendCommand(command: string, forLog?: string): void;
  _setEnvelope(envelope: unknown, callback: LibraryCallback): void;
  _createSendStream(callback: LibraryCallback): unknown;
  _onError(error: Error, type: string, response: string | false, command: string): void;
}

/** The library's class with those members visible. */
export const LibraryConnection = SMTPConnection as unknown as new (options: SMTPConnectionOptions) => SMTPConnection & LibraryInternals;
