/** One bound address, or the control socket: accepts connections within bounds and hands them to the front that answers there now. */
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { setImmediate as nextTurn } from "node:timers/promises";
import { PosternError } from "../mail/errors.ts";
import { bindRemedy } from "../platform/bind-remedy.ts";
import type { Front } from "./front.ts";

/** In all, and of one address: somebody who opens connections for fun must not keep monitoring out. */
const MOST_CONNECTIONS = 128;
const MOST_OF_ONE = 32;
const KEEP_ALIVE_MS = 60_000;

/** Where to listen: an address and a port, or a path. */
export type Where = { readonly host: string | undefined; readonly port: number } | { readonly path: string };

export class Bound {
  readonly #server: Server;
  readonly #open = new Set<Socket>();
  readonly #byAddress = new Map<string, number>();
  #front: Front;

  private constructor(front: Front) {
    this.#front = front;
    this.#server = createServer((socket) => this.#accept(socket));
    this.#server.maxConnections = MOST_CONNECTIONS;
  }

  /** @throws PosternError E_CONFIG when it cannot be bound */
  static async listen(where: Where, front: Front): Promise<Bound> {
    const bound = new Bound(front);
    const server = bound.#server;
    await new Promise<void>((resolve, reject) => {
      server.once("error", (error: NodeJS.ErrnoException) => {
        const place = "path" in where ? where.path : `${where.host ?? "*"}:${where.port}`;
        reject(
          new PosternError("E_CONFIG", `cannot listen on ${place}: ${error.code ?? error.message}${bindRemedy(error)}`, { cause: error }),
        );
      });
      if ("path" in where) server.listen({ path: where.path }, resolve);
      else server.listen(where.host === undefined ? { port: where.port } : { port: where.port, host: where.host }, resolve);
    });
    // Out of file descriptors, for instance: the next connection may come through.
    server.removeAllListeners("error").on("error", () => undefined);
    return bound;
  }

  /** Undefined for the control socket. */
  get address(): AddressInfo | undefined {
    const address = this.#server.address();
    return address !== null && typeof address === "object" ? address : undefined;
  }

  /** New connections go there; those that are open stay where they are. */
  handTo(front: Front): void {
    this.#front = front;
  }

  /** Takes no new connections; those that are open go on. When it resolves the address is free. */
  async stop(): Promise<void> {
    // It is free at once; what is awaited by the callback is the end of the last connection.
    this.#server.close(() => undefined);
    await nextTurn();
  }

  /** Takes none, and ends those that are open. */
  async close(): Promise<void> {
    const stopped = new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    for (const socket of this.#open) socket.destroy();
    await stopped;
  }

  #accept(socket: Socket): void {
    const { remoteAddress } = socket;
    if (remoteAddress !== undefined) {
      const others = this.#byAddress.get(remoteAddress) ?? 0;
      if (others >= MOST_OF_ONE) {
        socket.destroy();
        return;
      }
      this.#byAddress.set(remoteAddress, others + 1);
      socket.once("close", () => this.#leave(remoteAddress));
    }
    // Who listens to events may vanish without a word.
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    this.#open.add(socket);
    socket.once("close", () => this.#open.delete(socket));
    socket.on("error", () => socket.destroy());
    this.#front.take(socket);
  }

  #leave(address: string): void {
    const left = (this.#byAddress.get(address) ?? 1) - 1;
    if (left > 0) this.#byAddress.set(address, left);
    else this.#byAddress.delete(address);
  }
}
