/** A small SMTP server: knows just enough to take mail from a correct client, and is the same code for sink and stub. */
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";

/** Takes the content of one transaction, dots unstuffed, and gives the reply to the final dot. */
export type TakeContent = (content: Buffer) => string | Promise<string>;

const END_OF_DATA = Buffer.from("\r\n.\r\n");

export class SmtpReceiver {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(take: TakeContent) {
    this.#server = createServer({ noDelay: true }, (socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
      // A peer that was killed resets the connection: that is what this server is for.
      socket.on("error", () => socket.destroy());
      void serve(socket, take).catch(() => socket.destroy());
    });
  }

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
}

/** One session. Ends when the peer closes or is gone. */
async function serve(socket: Socket, take: TakeContent): Promise<void> {
  let buffer: Buffer = Buffer.alloc(0);
  let inData = false;
  let searchFrom = 0;
  socket.write("220 sink.next.example ESMTP\r\n");
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    buffer = buffer.length === 0 ? chunk : Buffer.concat([buffer, chunk]);
    for (;;) {
      if (inData) {
        const end = buffer.indexOf(END_OF_DATA, searchFrom);
        if (end === -1) {
          searchFrom = Math.max(0, buffer.length - END_OF_DATA.length);
          break;
        }
        const content = unstuff(buffer.subarray(0, end + 2));
        buffer = buffer.subarray(end + END_OF_DATA.length);
        inData = false;
        socket.write(`${await take(content)}\r\n`);
      } else {
        const end = buffer.indexOf("\n");
        if (end === -1) break;
        const verb = buffer.toString("latin1", 0, end).trim().slice(0, 4).toUpperCase();
        buffer = buffer.subarray(end + 1);
        inData = verb === "DATA";
        searchFrom = 0;
        socket.write(replyTo(verb));
        if (verb === "QUIT") return void socket.end();
      }
    }
  }
}

function replyTo(verb: string): string {
  if (verb === "EHLO") return "250-sink.next.example\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n";
  if (verb === "DATA") return "354 Go ahead\r\n";
  if (verb === "QUIT") return "221 2.0.0 Bye\r\n";
  return "250 2.0.0 Ok\r\n";
}

/** RFC 5321 §4.5.2, on whole content. */
function unstuff(content: Buffer): Buffer {
  if (content[0] !== 0x2e && !content.includes("\r\n.")) return Buffer.from(content);
  return Buffer.from(content.toString("latin1").replace(/(^|\r\n)\./g, "$1"), "latin1");
}
