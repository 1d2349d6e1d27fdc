/** The submission host of Exchange Online (port 587): who may connect to whom, and what all sessions share. */
import { createServer } from "node:net";
import type { Server } from "node:net";
import { createSecureContext } from "node:tls";
import type { SecureContext } from "node:tls";

import { MailboxUsage } from "./mailbox-usage.ts";
import { sessionId } from "./microsoft-names.ts";
import { SmtpConnection } from "./smtp-server-core.ts";
import type { SubmissionHost, SubmissionOptions } from "./submission-host.ts";
import { SubmissionSession } from "./submission-session.ts";
import type { TenantMailbox } from "./tenant.ts";

/** The service and what its sessions share. */
export class SubmissionService implements SubmissionHost {
  readonly options: SubmissionOptions;
  readonly secureContext: SecureContext;
  readonly server: Server;
  #usage = new Map<string, MailboxUsage>();
  #connections = new Set<SmtpConnection>();

  constructor(options: SubmissionOptions) {
    this.options = options;
    // TLS 1.0 is let in so that it can be refused in Microsoft's words.
    this.secureContext = createSecureContext({
      key: options.certificate.keyPem,
      cert: options.certificate.certificatePem,
      minVersion: "TLSv1",
      ciphers: "DEFAULT@SECLEVEL=0",
    });
    this.server = createServer({ allowHalfOpen: false }, (socket) => {
      const session = sessionId(options.clock.now());
      const connection = new SmtpConnection(socket, (what) => {
        options.store.violated({ at: options.clock.now(), session, what });
        options.emit({ type: "protocol.violated", session, what });
      });
      this.#connections.add(connection);
      options.emit({ type: "session.opened", session, remoteAddress: connection.remoteAddress });
      connection.onClose(() => {
        this.#connections.delete(connection);
        options.emit({ type: "session.closed", session });
      });
      new SubmissionSession(this, connection, session).run().catch((error: unknown) => {
        connection.reset();
        // A bug of the stand-in must not look like a fault of the client.
        this.server.emit("error", error);
      });
    });
  }

  /** What a mailbox has used so far. */
  usageOf(mailbox: TenantMailbox): MailboxUsage {
    const key = mailbox.address.toLowerCase();
    let usage = this.#usage.get(key);
    if (usage === undefined) this.#usage.set(key, (usage = new MailboxUsage()));
    return usage;
  }

  /** Messages over the rate, by mailbox. */
  throttledCounts(): Record<string, number> {
    return Object.fromEntries([...this.#usage].map(([mailbox, usage]) => [mailbox, usage.throttled]));
  }

  /** Open connections. */
  get connections(): number {
    return this.#connections.size;
  }

  /** Resets every connection, as a host that dies does. */
  dropAll(): void {
    for (const connection of this.#connections) connection.reset();
  }
}
