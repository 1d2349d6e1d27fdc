/** A bare SMTP client for tests: it says exactly what it is told and shows exactly what it hears. */
import { connect as connectTcp } from "node:net";
import type { Socket } from "node:net";
import { connect as connectTls } from "node:tls";

/** Words heard; undefined once the other side has closed or reset. */
export class RawSmtpClient {
  #socket: Socket;
  #heard = "";
  #ended = false;
  #wake: (() => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#listen(socket);
  }

  static async connect(port: number, host = "127.0.0.1", localAddress?: string): Promise<RawSmtpClient> {
    const socket = connectTcp({ port, host, noDelay: true, ...(localAddress === undefined ? {} : { localAddress }) });
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return new RawSmtpClient(socket);
  }

  #listen(socket: Socket): void {
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => {
      this.#heard += text;
      this.#wake?.();
    });
    const end = (): void => {
      this.#ended = true;
      this.#wake?.();
    };
    socket.on("error", end);
    socket.on("close", end);
  }

  /** The next reply, all its lines joined by a line feed; undefined when none comes any more. */
  async reply(): Promise<string | undefined> {
    for (;;) {
      const whole = /^(?:\d{3}-[^\n]*\r\n)*\d{3} [^\n]*\r\n/.exec(this.#heard)?.[0];
      if (whole !== undefined) {
        this.#heard = this.#heard.slice(whole.length);
        return whole.slice(0, -2).replaceAll("\r\n", "\n");
      }
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** Sends octets as they are. */
  write(text: string | Uint8Array): void {
    this.#socket.write(text);
  }

  /** Sends a line with CRLF, and gives the reply to it. */
  async say(line: string): Promise<string | undefined> {
    this.write(`${line}\r\n`);
    return await this.reply();
  }

  /** Resolves when the other side has ended the connection. */
  async ended(): Promise<void> {
    while (!this.#ended) await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  /** Speaks TLS from here on; to be called after the 220 to STARTTLS. Rejects when the handshake fails. */
  async secure(options: {
    ca: string;
    servername?: string;
    minVersion?: "TLSv1";
    maxVersion?: "TLSv1" | "TLSv1.2";
    ciphers?: string;
    cert?: string;
    key?: string;
  }): Promise<void> {
    const plain = this.#socket;
    plain.removeAllListeners();
    const socket = connectTls({ socket: plain, servername: "localhost", ...options });
    await new Promise<void>((resolve, reject) => {
      socket.once("secureConnect", resolve);
      socket.once("error", reject);
      socket.once("close", () => reject(new Error("closed in the handshake")));
    });
    this.#socket = socket;
    this.#listen(socket);
  }

  /** Ends the connection without QUIT. */
  drop(): void {
    this.#socket.destroy();
  }
}
