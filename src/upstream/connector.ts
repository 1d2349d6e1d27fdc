/** The `connector` upstream: through an inbound connector of the tenant, which knows us by certificate or by address. */
import { mxDoorPlaces } from "./mx-door.ts";
import type { MxDoorOptions } from "./mx-door.ts";
import { ClientCertificate } from "./smtp/client-certificate.ts";
import type { CertificatePair } from "./smtp/client-certificate.ts";
import { tlsPolicy } from "./smtp/dial.ts";
import { MICROSOFT_KEEP } from "./smtp/pool.ts";
import { DEFAULT_TIMEOUTS } from "./smtp/session.ts";
import { SmtpUpstream } from "./smtp/upstream.ts";
import type { Upstream } from "./upstream.ts";

/** How a connector is used. */
export interface ConnectorOptions extends MxDoorOptions {
  /** Reads certificate and key; undefined: by address. */
  readonly certificate: (() => Promise<CertificatePair>) | undefined;
}

/**
 * Makes the upstream. Opens no connection before the first attempt. STARTTLS is required: without it the other side sees no certificate, and
 * takes what comes for Direct Send.
 */
export function createConnectorUpstream(options: ConnectorOptions): Upstream {
  const { name, clock, emit, certificate: read } = options;
  const ca = options.ca ?? [];
  const certificate = read === undefined ? undefined : new ClientCertificate({ name, read, ca, clock, emit });
  return new SmtpUpstream({
    name,
    type: "connector",
    limits: options.limits,
    traits: {
      microsoft: true,
      serves: "any",
      // A connector by address relays only for senders in accepted domains: the null sender has none.
      nullSender: certificate === undefined ? "internal" : "any",
      sender: options.sender,
      countedAs: options.countedAs,
    },
    mailbox: undefined,
    places: mxDoorPlaces(options),
    ehloName: options.ehloName,
    tlsMode: "required",
    tls: certificate?.policy ?? tlsPolicy(true, ca),
    keep: { ...MICROSOFT_KEEP, ...options.keep },
    timeouts: { ...DEFAULT_TIMEOUTS, ...options.timeouts },
    signIn: undefined,
    credentialExpiresAt: () => certificate?.endsAt,
    watch: certificate === undefined ? undefined : (renew) => certificate.watch(renew),
    clock,
    emit,
    transcripts: options.transcripts,
  });
}
