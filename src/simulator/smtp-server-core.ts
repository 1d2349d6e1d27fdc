/**
 * The wire under an SMTP service: lines in, replies out, content, TLS. Strict: whatever a client does that RFC 5321 forbids is
 * recorded as a violation, and the service goes on as a real server would.
 */
import { Buffer } from "node:buffer";
import type { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { SecureContext } from "node:tls";

import { ContentReader } from "./content-reader.ts";

/** Octets of a command line, CRLF included. Bearer tokens make AUTH lines far longer than RFC 5321's 512. */
const LONGEST_LINE = 24_576;
/** Unread octets at which the socket is paused. */
const HIGH_WATER = 1_048_576;

/** How a connection ended, or that a line was too long. */
export type LineOutcome = { readonly kind: "line"; readonly text: string } | { readonly kind: "too-long" } | { readonly kind: "closed" };

/** The server side of TLS. */
export interface TlsOptions {
  readonly context: SecureContext;
  /** Ask the client for its certificate; it may have none, and whether it is any good is for the host to say. */
  readonly requestCertificate: boolean;
}

/** Certificates looked at of what a client sends. */
const CHAIN_MAX = 10;

/** What the content of a message is handed to, piece by piece; the pieces are only valid during the call. */
export type ContentSink = (piece: Buffer) => void;

/** One connection of a client, plain or TLS. */
export class SmtpConnection {
  readonly remoteAddress: string;
  /** The TCP socket, and what is spoken over it: the same until STARTTLS. */
  readonly #raw: Socket;
  #socket: Socket;
  #chunks: Buffer[] = [];
  #buffered = 0;
  #closed = false;
  #wake: (() => void) | undefined;
  #violate: (what: string) => void;
  #onClose: (() => void)[] = [];

  /** @param violate - told of each breach of the protocol */
  constructor(socket: Socket, violate: (what: string) => void) {
    this.#raw = socket;
    this.#socket = socket;
    this.#violate = violate;
    this.remoteAddress = (socket.remoteAddress ?? "").replace(/^::ffff:/, "");
    socket.setNoDelay(true);
    this.#listen(socket);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Negotiated TLS version, undefined on a plain connection. */
  get tlsVersion(): string | undefined {
    return this.#socket instanceof TLSSocket ? (this.#socket.getProtocol() ?? undefined) : undefined;
  }

  /** What the client sent in the handshake, its own certificate first; empty when it sent none. */
  get peerCertificates(): X509Certificate[] {
    const chain: X509Certificate[] = [];
    if (!(this.#socket instanceof TLSSocket)) return chain;
    // Some clients send their own certificate twice, and a root names itself: only the bound ends the walk.
    let next = this.#socket.getPeerX509Certificate();
    for (let depth = 0; next !== undefined && depth < CHAIN_MAX; depth += 1) {
      chain.push(next);
      next = next.issuerCertificate;
    }
    return chain;
  }

  /** Calls back once, when the connection is gone. */
  onClose(callback: () => void): void {
    if (this.#closed) callback();
    else this.#onClose.push(callback);
  }

  #listen(socket: Socket): void {
    socket.on("data", (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#buffered += chunk.length;
      if (this.#buffered > HIGH_WATER) socket.pause();
      this.#wakeUp();
    });
    // A reset by the client is the end of the connection like any other; "close" follows.
    socket.on("error", () => undefined);
    socket.on("end", () => this.#finish());
    socket.on("close", () => this.#finish());
  }

  #finish(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.end();
    this.#wakeUp();
    for (const callback of this.#onClose.splice(0)) callback();
  }

  #wakeUp(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  /** Waits for more octets; false when none will come. */
  async #more(): Promise<boolean> {
    if (this.#closed) return false;
    if (this.#socket.isPaused()) this.#socket.resume();
    await new Promise<void>((resolve) => (this.#wake = resolve));
    return this.#chunks.length > 0;
  }

  #takeAll(): Buffer {
    const all = this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks);
    this.#chunks = [];
    this.#buffered = 0;
    return all;
  }

  #putBack(rest: Buffer): void {
    if (rest.length === 0) return;
    this.#chunks.unshift(rest);
    this.#buffered += rest.length;
  }

  /** Records a violation when the client has sent octets before the reply it must wait for (RFC 2920 section 3.1). */
  expectSilence(command: string): boolean {
    if (this.#buffered === 0) return true;
    this.#violate(`data sent before the reply to ${command}`);
    return false;
  }

  /** The next command line, without its line end. Latin-1 unless it is valid UTF-8. */
  async readLine(): Promise<LineOutcome> {
    let line: Buffer = Buffer.alloc(0);
    for (;;) {
      if (this.#chunks.length === 0 && !(await this.#more())) return { kind: "closed" };
      const piece = this.#takeAll();
      line = line.length === 0 ? piece : Buffer.concat([line, piece]);
      const end = line.indexOf(10);
      if (end < 0) {
        if (line.length <= LONGEST_LINE) continue;
        await this.#skipLine();
        return { kind: "too-long" };
      }
      this.#putBack(line.subarray(end + 1));
      if (end > LONGEST_LINE) return { kind: "too-long" };
      const hasReturn = end > 0 && line[end - 1] === 13;
      if (!hasReturn) this.#violate("command line ended with a bare LF");
      const octets = line.subarray(0, hasReturn ? end - 1 : end);
      if (octets.includes(13)) this.#violate("bare CR in a command line");
      return { kind: "line", text: octets.toString("utf8") };
    }
  }

  async #skipLine(): Promise<void> {
    for (;;) {
      if (this.#chunks.length === 0 && !(await this.#more())) return;
      const piece = this.#takeAll();
      const end = piece.indexOf(10);
      if (end < 0) continue;
      this.#putBack(piece.subarray(end + 1));
      return;
    }
  }

  /**
   * Reads the content after 354 to its final dot, dots unstuffed (RFC 5321 section 4.5.2).
   *
   * @returns false when the connection ended before the final dot: nothing was received then
   */
  async readContent(sink: ContentSink): Promise<boolean> {
    const reader = new ContentReader(sink, this.#violate);
    for (;;) {
      if (this.#chunks.length === 0 && !(await this.#more())) return false;
      const rest = reader.push(this.#takeAll());
      if (rest === undefined) continue;
      this.#putBack(rest);
      return true;
    }
  }

  /** Reads exactly `length` octets of a BDAT chunk (RFC 3030). */
  async readExactly(length: number, sink: ContentSink): Promise<boolean> {
    let missing = length;
    while (missing > 0) {
      if (this.#chunks.length === 0 && !(await this.#more())) return false;
      const piece = this.#takeAll();
      const taken = piece.subarray(0, missing);
      sink(taken);
      missing -= taken.length;
      this.#putBack(piece.subarray(taken.length));
    }
    return true;
  }

  /** Sends a reply of one or more lines in one write; CRLF is added. */
  reply(...lines: string[]): void {
    if (!this.#closed) this.#socket.write(`${lines.join("\r\n")}\r\n`);
  }

  /** Becomes the server side of TLS. False when the handshake failed. Octets sent before it are not read into the TLS session. */
  async startTls({ context, requestCertificate }: TlsOptions): Promise<boolean> {
    const plain = this.#socket;
    plain.removeAllListeners("data");
    plain.removeAllListeners("end");
    plain.removeAllListeners("close");
    this.#chunks = [];
    this.#buffered = 0;
    const secure = new TLSSocket(plain, {
      isServer: true,
      secureContext: context,
      requestCert: requestCertificate,
      rejectUnauthorized: false,
    });
    const { promise, resolve } = Promise.withResolvers<boolean>();
    secure.once("secure", () => resolve(true));
    secure.once("error", () => resolve(false));
    secure.once("close", () => resolve(false));
    this.#socket = secure;
    this.#listen(secure);
    const done = await promise;
    if (!done) this.reset();
    return done;
  }

  /** Ends the connection after what has been written. */
  close(): void {
    this.#socket.end();
    this.#finish();
  }

  /** Ends the connection with a TCP reset: what the client was waiting for is lost. */
  reset(): void {
    this.#raw.resetAndDestroy();
    this.#socket.destroy();
    this.#finish();
  }
}
