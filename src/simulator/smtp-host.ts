/** An SMTP host of Microsoft: takes connections, gives each a session with the rules of this host. */
import { createServer } from "node:net";
import type { Server } from "node:net";
import type { SecureContext } from "node:tls";

import type { HostOptions } from "./host-options.ts";
import { sessionId } from "./microsoft-names.ts";
import type { SessionContext, SessionRules } from "./session-rules.ts";
import { SmtpConnection } from "./smtp-server-core.ts";
import type { TlsOptions } from "./smtp-server-core.ts";
import { SmtpSession } from "./smtp-session.ts";

/** Connections of one host at once; more are not let in. */
const CONNECTIONS_MAX = 1000;

/** One host: a server that the caller lets listen, and its connections. */
export class SmtpHost {
  readonly server: Server;
  #connections = new Set<SmtpConnection>();

  /**
   * @param tls - with `requestCertificate` a client is asked for its certificate, and may have none
   * @param makeRules - called for each session
   */
  constructor(
    options: HostOptions,
    tls: { readonly context: SecureContext; readonly requestCertificate?: boolean },
    makeRules: (session: SessionContext, connection: SmtpConnection) => SessionRules,
  ) {
    const tlsOptions: TlsOptions = { context: tls.context, requestCertificate: tls.requestCertificate === true };
    this.server = createServer({ allowHalfOpen: false }, (socket) => {
      const id = sessionId(options.clock.now());
      const connection = new SmtpConnection(socket, (what) => {
        options.store.violated({ at: options.clock.now(), session: id, what });
        options.emit({ type: "protocol.violated", session: id, what });
      });
      this.#connections.add(connection);
      options.emit({ type: "session.opened", session: id, remoteAddress: connection.remoteAddress });
      connection.onClose(() => {
        this.#connections.delete(connection);
        options.emit({ type: "session.closed", session: id });
      });
      const session = new SmtpSession(
        options,
        connection,
        id,
        (context) => makeRules(context, connection),
        () => connection.startTls(tlsOptions),
      );
      session.run().catch((error: unknown) => {
        connection.reset();
        // A bug of the stand-in must not look like a fault of the client.
        this.server.emit("error", error);
      });
    });
    this.server.maxConnections = CONNECTIONS_MAX;
  }

  /** Resets every connection, as a host that dies does. */
  dropAll(): void {
    for (const connection of this.#connections) connection.reset();
  }
}
