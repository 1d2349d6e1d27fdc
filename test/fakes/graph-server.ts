/** A Graph and a token endpoint on one HTTPS port that answer as a test says, and remember what they were asked. No library, no product code. */
import https from "node:https";
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { TestCertificate } from "./test-ca.ts";

/** A request as it came. */
export interface GraphAsked {
  readonly method: string;
  /** Path without query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
  /** The local port of its connection: equal ports are one connection. */
  readonly clientPort: number;
}

/** An answer; `hang`: none; `reset`: the connection breaks once the request is whole. */
export type GraphAnswer =
  | "hang"
  | "reset"
  | { readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: string | Buffer | object };

export interface GraphServerOptions {
  readonly tls: TestCertificate;
  /** What comes of a request to Graph. Default: 202. */
  readonly answer?: (asked: GraphAsked, number: number) => GraphAnswer;
  /** What the token endpoint gives. Default: `TOKEN-1`, `TOKEN-2` … */
  readonly token?: (number: number) => { readonly status: number; readonly body: object };
  /** Sees a request before its body is read; true: it has dealt with it. */
  readonly early?: (request: IncomingMessage, response: ServerResponse) => boolean;
}

export interface GraphServer {
  readonly url: string;
  readonly port: number;
  /** Requests to Graph, in order. */
  readonly asked: readonly GraphAsked[];
  /** Tokens given out. */
  readonly tokens: () => number;
  /** Resolves with the request of this number, counted from 1, once it is whole. */
  readonly whole: (number: number) => Promise<GraphAsked>;
  readonly close: () => Promise<void>;
}

/** A Graph error body. */
export function graphError(code: string, message: string): object {
  return { error: { code, message, innerError: { date: "2026-11-21T10:00:00", "request-id": "inner-1" } } };
}

/** Starts it on a free port of 127.0.0.1. */
export async function startGraphServer(options: GraphServerOptions): Promise<GraphServer> {
  const asked: GraphAsked[] = [];
  const waiting = new Map<number, (request: GraphAsked) => void>();
  let tokens = 0;
  const server = https.createServer({ ...options.tls, keepAlive: true }, (request, response) => {
    if (options.early?.(request, response) === true) return;
    const pieces: Buffer[] = [];
    request.on("error", () => {});
    request.on("data", (piece: Buffer) => pieces.push(piece));
    request.on("end", () => {
      const url = new URL(request.url ?? "/", "https://graph.invalid");
      if (url.pathname.endsWith("/oauth2/v2.0/token")) {
        tokens += 1;
        const { status, body } = options.token?.(tokens) ?? {
          status: 200,
          body: { token_type: "Bearer", expires_in: 4500, ext_expires_in: 4500, access_token: `TOKEN-${tokens}` },
        };
        response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
        return;
      }
      const one: GraphAsked = {
        method: request.method ?? "",
        path: url.pathname,
        query: url.searchParams,
        headers: request.headers,
        body: Buffer.concat(pieces).toString("latin1"),
        clientPort: request.socket.remotePort ?? 0,
      };
      asked.push(one);
      waiting.get(asked.length)?.(one);
      const answer = options.answer?.(one, asked.length) ?? { status: 202 };
      if (answer === "hang") return;
      if (answer === "reset") {
        request.socket.destroy();
        return;
      }
      const { status, headers = {}, body = "" } = answer;
      const isJson = typeof body === "object" && !Buffer.isBuffer(body);
      response
        .writeHead(status, {
          "request-id": `request-${asked.length}`,
          ...(isJson ? { "content-type": "application/json" } : {}),
          ...headers,
        })
        .end(isJson ? JSON.stringify(body) : body);
    });
  });
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `https://127.0.0.1:${port}`,
    port,
    asked,
    tokens: () => tokens,
    whole: async (number) => {
      const there = asked[number - 1];
      return there ?? (await new Promise((resolve) => waiting.set(number, resolve)));
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
