/** A bare SMTP client for tests: says exactly the octets it is told to, and waits for whole replies. */
import { connect } from "node:net";
import type { Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { ConnectionOptions, TLSSocket } from "node:tls";

export class LineClient implements AsyncDisposable {
  #socket: Socket;
  #received = "";
  #closed = false;
  #wake: (() => void)[] = [];
  /** Pieces as the network delivered them. */
  readonly chunks: string[] = [];

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#listen(socket);
  }

  /** @param from - local address to connect from; on Linux any of 127.0.0.0/8 */
  static async open(port: number, from = "127.0.0.1", host = "127.0.0.1"): Promise<LineClient> {
    const socket = connect({ host, port, localAddress: from, allowHalfOpen: true });
    const client = new LineClient(socket);
    await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    return client;
  }

  /** Opens with TLS from the first octet. */
  static async openTls(port: number, options: ConnectionOptions = {}): Promise<LineClient> {
    const socket = connectTls({ host: "127.0.0.1", port, rejectUnauthorized: false, ...options });
    const client = new LineClient(socket);
    await new Promise<void>((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject));
    return client;
  }

  #listen(socket: Socket): void {
    socket.on("data", (chunk) => {
      this.chunks.push(chunk.toString("latin1"));
      this.#received += chunk.toString("latin1");
      this.#changed();
    });
    const closed = (): void => {
      this.#closed = true;
      this.#changed();
    };
    socket.on("end", closed).on("close", closed).on("error", closed);
  }

  #changed(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }

  /** Sends octets as they are. */
  write(octets: string | Uint8Array): void {
    this.#socket.write(typeof octets === "string" ? Buffer.from(octets, "latin1") : octets);
  }

  /** Sends a command with its line end and returns the reply. */
  async say(line: string): Promise<string> {
    this.write(`${line}\r\n`);
    return this.reply();
  }

  /** The next whole reply, its lines joined by LF; the rest and `(closed)` when the connection ends first. */
  async reply(): Promise<string> {
    for (;;) {
      const match = /^(?:\d{3}-[^\n]*\n)*\d{3}(?: [^\n]*)?\n/.exec(this.#received);
      if (match !== null) {
        this.#received = this.#received.slice(match[0].length);
        return match[0].replaceAll("\r", "").trimEnd();
      }
      if (this.#closed) return `${this.#received}(closed)`;
      await this.#change();
    }
  }

  /** Everything until the other side ends. */
  async end(): Promise<string> {
    while (!this.#closed) await this.#change();
    this.#socket.end();
    return this.#received;
  }

  /** Resolves once `text` has come; consumes nothing. */
  async seen(text: string): Promise<void> {
    while (!this.#received.includes(text) && !this.#closed) await this.#change();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve));
  }

  /** Says nothing more, but still reads. */
  halfClose(): void {
    this.#socket.end();
  }

  /** Goes on inside TLS. */
  async startTls(options: ConnectionOptions = {}): Promise<TLSSocket> {
    this.#socket.removeAllListeners("data");
    const socket = connectTls({ socket: this.#socket, rejectUnauthorized: false, ...options });
    await new Promise<void>((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject));
    this.#socket = socket;
    this.#received = "";
    this.#listen(socket);
    return socket;
  }

  pause(): void {
    this.#socket.pause();
  }

  reset(): void {
    this.#socket.resetAndDestroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone = this.#socket.destroyed ? undefined : new Promise<void>((resolve) => this.#socket.once("close", () => resolve()));
    this.#socket.destroy();
    await gone;
  }
}
