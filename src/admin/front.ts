/**
 * HTTP, or HTTPS, for sockets that somebody else accepted. So an address that stays over a reload is never closed, even where it begins to speak TLS:
 * the next connection simply goes to another front.
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { createServer as createSecureServer, type Server as SecureServer } from "node:https";
import type { Socket } from "node:net";
import type { SecureContextOptions } from "node:tls";
import { createServer } from "../platform/http.ts";

/** Answers one request. */
export type Answer = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/** Limits of time, in ms: of a handshake, of a request's head, of a request; and how often they are looked at. */
export interface FrontLimits {
  readonly handshake: number;
  readonly head: number;
  readonly request: number;
  readonly look: number;
}

/** A scrape and a command are short; whoever is slower than this is not one of ours. */
const LIMITS: FrontLimits = { handshake: 10_000, head: 10_000, request: 30_000, look: 5_000 };
const MOST_HEADER_BYTES = 16 * 1024;

export class Front {
  readonly #server: Server | SecureServer;

  /** @param tls - certificate and key; undefined: plain HTTP */
  constructor(answer: Answer, tls?: SecureContextOptions, limits: FrontLimits = LIMITS) {
    const options = {
      requestTimeout: limits.request,
      headersTimeout: limits.head,
      connectionsCheckingInterval: limits.look,
      maxHeaderSize: MOST_HEADER_BYTES,
    };
    const listener = (request: IncomingMessage, response: ServerResponse): void => {
      // A fault here must end one connection, never the process.
      answer(request, response).catch(() => response.destroy());
    };
    this.#server =
      tls === undefined
        ? createServer(options, listener)
        : createSecureServer({ ...options, ...tls, minVersion: "TLSv1.2", handshakeTimeout: limits.handshake }, listener);
    this.#server.on("tlsClientError", (_: Error, socket: Socket) => socket.destroy());
    // Node begins to keep its time limits when a server listens, and this one never does.
    this.#server.emit("listening");
  }

  /** Takes a socket over. */
  take(socket: Socket): void {
    this.#server.emit("connection", socket);
  }

  /** Shows another certificate from the next handshake on. */
  present(tls: SecureContextOptions): void {
    if ("setSecureContext" in this.#server) this.#server.setSecureContext({ ...tls, minVersion: "TLSv1.2" });
  }

  /** Ends connections that wait for a request; the others end with theirs. */
  retire(): void {
    // It says that it did not listen; what matters is that its timer ends, and idle connections.
    this.#server.close(() => undefined);
  }

  /** Ends every connection. */
  close(): void {
    this.retire();
    this.#server.closeAllConnections();
  }
}
