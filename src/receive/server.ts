/** One SMTPServer per listener. It never listens: the accept layer hands it sockets. It holds what sessions share, and the TLS context. */
import type { Socket } from "node:net";
import { SMTPServer } from "smtp-server";
import type { ConnectionOwner, Peer } from "./connection.ts";
import type { SessionContext } from "./options.ts";
import { Session } from "./session.ts";
import { secureContextOptions } from "./tls.ts";

export class RelayServer extends SMTPServer {
  readonly context: SessionContext;

  /** @throws Error when OpenSSL does not take the listener's certificate */
  constructor(context: SessionContext) {
    const { tls } = context.listener;
    super({
      name: context.options.hostname,
      logger: false,
      disableReverseLookup: true,
      authOptional: true,
      // TLS starts inside the session, for implicit TLS too: one path, one set of guards.
      secure: tls.mode === "implicit",
      needsUpgrade: tls.mode === "implicit",
      socketTimeout: context.limits.commandIdleMs,
      ...(tls.mode === "none" ? {} : secureContextOptions(tls.certificate, tls.minVersion)),
    });
    this.context = context;
  }

  /** A session on an accepted socket, to be started with `init`. */
  open(socket: Socket, peer: Peer, owner: ConnectionOwner): Session {
    const session = new Session(this, socket, peer, owner);
    this.connections.add(session);
    return session;
  }

  /** Synchronous, so that no turn of the event loop lies between handshake and session. */
  override onSecure(_socket: Socket, _session: unknown, callback: (error?: Error | null) => void): void {
    callback();
  }
}
