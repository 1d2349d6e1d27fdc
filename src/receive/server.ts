/** One SMTPServer for each way a listener speaks TLS. It never listens: the accept layer hands it sockets. It holds what sessions share, and the TLS context. */
import type { Socket } from "node:net";
import { createSecureContext } from "node:tls";
import type { SecureContextOptions } from "node:tls";
import type { ConnectionOwner, Peer } from "./connection.ts";
import { SMTPServer } from "./library.ts";
import type { Certificates, SessionContext } from "./options.ts";
import { Session } from "./session.ts";
import { secureContextOptions } from "./tls.ts";

export class RelayServer extends SMTPServer {
  readonly context: SessionContext;

  /** @throws Error when OpenSSL does not take the certificates */
  constructor(context: SessionContext, certificates: Certificates | undefined) {
    const { mode, minVersion } = context.tls;
    super({
      name: context.options.hostname,
      logger: false,
      disableReverseLookup: true,
      authOptional: true,
      // TLS starts inside the session, for implicit TLS too: one path, one set of guards.
      secure: mode === "implicit",
      needsUpgrade: mode === "implicit",
      socketTimeout: context.limits.commandIdleMs,
      ...(certificates === undefined ? {} : secureContextOptions(certificates, minVersion)),
    });
    this.context = context;
  }

  /** Other certificates from the next handshake on. @throws Error when OpenSSL does not take them: those before stay */
  present(certificates: Certificates): void {
    this.updateSecureContext(secureContextOptions(certificates, this.context.tls.minVersion));
  }

  /** smtp-server would put a built-in certificate of its own beside those of a PKCS #12 file. */
  override updateSecureContext(options?: SecureContextOptions): void {
    this.secureContext = new Map([["*", createSecureContext(options ?? (this.options as SecureContextOptions))]]);
  }

  /** A session on an accepted socket, to be started with `init`. */
  open(socket: Socket, peer: Peer, owner: ConnectionOwner, context: SessionContext): Session {
    // Not entered in `connections`: the library's server, which would look there at its end, is never asked to listen or to close.
    return new Session(this, socket, peer, owner, context);
  }

  /** Synchronous, so that no turn of the event loop lies between handshake and session. */
  override onSecure(_socket: Socket, _session: unknown, callback: (error?: Error | null) => void): void {
    callback();
  }
}
