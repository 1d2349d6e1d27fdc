/** A syslog server by TCP: reads counted octets (RFC 6587) and hands out the messages. */
import { createServer, type AddressInfo, type Socket } from "node:net";

export class SyslogServer {
  /** All so far, in order. */
  readonly messages: string[] = [];
  readonly #server = createServer((socket) => this.#serve(socket));
  readonly #sockets = new Set<Socket>();
  readonly #waiting = new Set<() => void>();

  /** Listens on 127.0.0.1 and resolves with the port. */
  async listen(port = 0): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(port, "127.0.0.1", resolve);
    });
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** The first message, past or coming, that contains all of these. */
  async message(...words: readonly string[]): Promise<string> {
    for (;;) {
      const found = this.messages.find((message) => words.every((word) => message.includes(word)));
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    let buffer = Buffer.alloc(0);
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("data", (octets) => {
      buffer = Buffer.concat([buffer, octets]);
      for (;;) {
        const space = buffer.indexOf(" ");
        const length = Number(buffer.subarray(0, Math.max(space, 0)).toString("latin1"));
        if (space < 0 || buffer.length < space + 1 + length) break;
        this.messages.push(buffer.subarray(space + 1, space + 1 + length).toString());
        buffer = buffer.subarray(space + 1 + length);
      }
      for (const wake of this.#waiting) wake();
      this.#waiting.clear();
    });
  }
}
