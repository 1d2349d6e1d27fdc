/**
 * The SMTP servers of one listener, which differ in TLS only: in smtp-server versions and certificates belong to a server, here they belong to
 * clients too. Made when the first client asks for its kind.
 */
import type { Certificates, ClientOptions, SessionContext } from "./options.ts";
import { RelayServer } from "./server.ts";
import { certificatesFault } from "./tls.ts";

export class TlsServers {
  readonly #context: SessionContext;
  readonly #servers = new Map<string, RelayServer>();
  #certificates: Certificates | undefined;

  constructor(context: SessionContext) {
    this.#context = context;
    this.#certificates = context.listener.tls.certificate;
  }

  /** @throws Error when OpenSSL does not take the certificates, or there is none and the client speaks TLS */
  of(client: ClientOptions | undefined): RelayServer {
    const { listener } = this.#context;
    const { tls } = this.#context.of(client);
    const key = `${tls.mode} ${tls.minVersion}`;
    const known = this.#servers.get(key);
    if (known !== undefined) return known;
    if (tls.mode !== "none" && this.#certificates === undefined) throw new Error(`listener ${listener.name} has no certificate`);
    const server = new RelayServer({ ...this.#context, tls }, tls.mode === "none" ? undefined : this.#certificates);
    // Faults of a session's handshake are its own events; what else smtp-server reports must not end the process.
    server.on("error", () => undefined);
    this.#servers.set(key, server);
    return server;
  }

  /** Other certificates from the next handshake on. @throws Error when they do not fit: those before stay everywhere */
  present(certificates: Certificates): void {
    const fault = certificatesFault(certificates);
    if (fault !== undefined) throw new Error(fault);
    this.#certificates = certificates;
    for (const server of this.#servers.values()) if (server.context.tls.mode !== "none") server.present(certificates);
  }
}
