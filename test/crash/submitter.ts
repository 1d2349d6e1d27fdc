/** One SMTP connection of a client that believes nothing but a 250. */
import { connect, type Socket } from "node:net";

/** The connection ended before the answer came: the message may or may not have been accepted, so it is sent again. */
export class ConnectionLost extends Error {
  override readonly name = "ConnectionLost";

  /** @param cause - what the socket said; undefined when the other side just closed */
  constructor(cause?: Error) {
    super(cause?.message ?? "the other side closed the connection", { cause });
  }
}

export class Submitter {
  readonly #port: number;
  #socket: Socket | undefined;
  #opened = 0;
  #buffer = "";
  #waiting: { resolve: (reply: string) => void; reject: (error: Error) => void } | undefined;

  constructor(port: number) {
    this.#port = port;
  }

  /** Connections so far. More than one without a `close()` in between: the other side closed one while nothing was under way. */
  get opened(): number {
    return this.#opened;
  }

  /**
   * Submits one message, over the connection of the last one where it still stands.
   *
   * @param onHalfSent - called when half of the content was handed to the socket
   * @returns the queue id in the 250
   * @throws ConnectionLost when there was no answer; Error for any answer but a 250
   */
  async submit(content: Buffer, onHalfSent: () => void): Promise<string> {
    const reply = await this.#transaction(content, onHalfSent);
    const queueId = /queued as ([0-9A-Z]{26})/.exec(reply)?.[1];
    if (queueId === undefined) throw new Error(`no queue id in: ${reply}`);
    return queueId;
  }

  /** The same for a next hop that gives no queue id. */
  async deliver(content: Buffer): Promise<void> {
    await this.#transaction(content, () => undefined);
  }

  close(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
  }

  async #transaction(content: Buffer, onHalfSent: () => void): Promise<string> {
    if (this.#socket === undefined) await this.#open();
    await this.#command("MAIL FROM:<scanner@plant.example>", 250);
    await this.#command("RCPT TO:<office@next.example>", 250);
    await this.#command("DATA", 354);
    const half = Math.floor(content.length / 2);
    this.#write(content.subarray(0, half));
    onHalfSent();
    this.#write(content.subarray(half));
    return this.#command(".", 250);
  }

  async #open(): Promise<void> {
    const socket = connect({ port: this.#port, host: "127.0.0.1", noDelay: true });
    this.#socket = socket;
    this.#opened++;
    this.#buffer = "";
    const lost = (cause?: Error) => {
      if (this.#socket !== socket) return;
      this.#socket = undefined;
      this.#waiting?.reject(new ConnectionLost(cause));
      this.#waiting = undefined;
    };
    socket.on("error", lost).on("close", () => lost());
    socket.on("data", (chunk) => this.#receive(chunk.toString("latin1")));
    await this.#expect(220);
    await this.#command("EHLO scanner", 250);
  }

  #receive(text: string): void {
    this.#buffer += text;
    const reply = /^(?:\d{3}-.*\r\n)*\d{3} .*\r\n/.exec(this.#buffer)?.[0];
    if (reply === undefined || this.#waiting === undefined) return;
    this.#buffer = this.#buffer.slice(reply.length);
    const { resolve } = this.#waiting;
    this.#waiting = undefined;
    resolve(reply.trimEnd());
  }

  #command(line: string, code: number): Promise<string> {
    this.#write(`${line}\r\n`);
    return this.#expect(code);
  }

  #write(octets: string | Buffer): void {
    if (this.#socket === undefined) throw new ConnectionLost();
    this.#socket.write(octets);
  }

  async #expect(code: number): Promise<string> {
    if (this.#socket === undefined) throw new ConnectionLost();
    const reply = await new Promise<string>((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#receive("");
    });
    if (!reply.startsWith(String(code))) {
      this.close();
      throw new Error(`expected ${code}, got: ${reply}`);
    }
    return reply;
  }
}
