/** Binds the HTTP applications to their sockets. */
import { chmod } from "node:fs/promises";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { PosternError } from "../mail/errors.ts";
import type { AdminSources } from "./apps.ts";
import { prepareControlSocket } from "./control-socket.ts";
import { answerMonitoring } from "./monitoring.ts";

export interface AdminOptions extends AdminSources {
  /** `admin.listen` and `metrics.listen`; port 0 takes a free one. `host` undefined: every address. */
  readonly listen: readonly { readonly host: string | undefined; readonly port: number }[];
  /** Path of the control socket; see `controlSocketPath`. Undefined: none. */
  readonly controlSocket: string | undefined;
}

export interface Admin {
  /** Where `listen` was bound, in the same order. */
  readonly addresses: readonly { readonly address: string; readonly port: number }[];
  /** Stops listening and ends open connections; the control socket's file is gone afterwards. */
  close(): Promise<void>;
}

/** A scrape and a command are short; whoever is slower than this is not one of ours. */
const REQUEST_TIMEOUT_MS = 30_000;
const HEADERS_TIMEOUT_MS = 10_000;
const MOST_CONNECTIONS = 64;

/**
 * Starts the monitoring listeners and the control socket.
 *
 * @throws PosternError E_CONFIG when an address cannot be bound, E_UNAVAILABLE when another daemon holds the control socket
 */
export async function startAdmin(options: AdminOptions): Promise<Admin> {
  const servers: Server[] = [];
  try {
    const addresses: AddressInfo[] = [];
    for (const { host, port } of options.listen) {
      const server = httpServer((request, response) => answerMonitoring(options, request, response));
      await listen(server, { port, ...(host === undefined ? {} : { host }) });
      servers.push(server);
      const address = server.address();
      if (address !== null && typeof address === "object") addresses.push(address);
    }
    if (options.controlSocket !== undefined) {
      await prepareControlSocket(options.controlSocket);
      const server = httpServer(lazyControl(options));
      await listen(server, { path: options.controlSocket });
      servers.push(server);
      // The folder is private already; this holds even if somebody opens it up.
      await chmod(options.controlSocket, 0o600);
    }
    return { addresses, close: () => closeAll(servers) };
  } catch (error) {
    await closeAll(servers);
    throw error;
  }
}

type Answer = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/** The libraries and the application come with the first command: together 13 MB that a relay nobody asks does without. */
function lazyControl(sources: AdminSources): Answer {
  let loading: Promise<Answer> | undefined;
  const load = async (): Promise<Answer> => {
    const [{ getRequestListener }, apps] = await Promise.all([import("@hono/node-server"), import("./apps.ts")]);
    const listener = getRequestListener(apps.createControlApp(sources).fetch, { overrideGlobalObjects: false });
    return async (request, response) => {
      await listener(request, response);
    };
  };
  return async (request, response) => {
    try {
      loading ??= load();
      await (
        await loading
      )(request, response);
    } catch {
      // Faults of a request are answered by the application; this is a connection that broke, or code that cannot be loaded.
      loading = undefined;
      response.destroy();
    }
  };
}

function httpServer(answer: Answer): Server {
  const server = createServer(
    { requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: HEADERS_TIMEOUT_MS, maxHeaderSize: 16 * 1024 },
    (request, response) => {
      // A fault here must end one connection, never the process.
      answer(request, response).catch(() => response.destroy());
    },
  );
  server.maxConnections = MOST_CONNECTIONS;
  return server;
}

function listen(server: Server, where: { port: number; host?: string } | { path: string }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const place = "path" in where ? where.path : `${where.host ?? "*"}:${where.port}`;
      reject(new PosternError("E_CONFIG", `cannot listen on ${place}: ${error.code ?? error.message}`, { cause: error }));
    });
    server.listen(where, resolve);
  });
}

async function closeAll(servers: readonly Server[]): Promise<void> {
  await Promise.all(
    servers.map(
      (server) =>
        new Promise<void>((resolve) => {
          server.close(() => resolve());
          server.closeAllConnections();
        }),
    ),
  );
}
