/** The `direct-send` upstream: to the tenant's own MX without signing in, for mailboxes of the tenant only. */
import { mxDoorPlaces } from "./mx-door.ts";
import type { MxDoorOptions } from "./mx-door.ts";
import { tlsPolicy } from "./smtp/dial.ts";
import { MICROSOFT_KEEP } from "./smtp/pool.ts";
import { DEFAULT_TIMEOUTS } from "./smtp/session.ts";
import { SmtpUpstream } from "./smtp/upstream.ts";
import type { Upstream } from "./upstream.ts";

/** How Direct Send is made. */
export interface DirectSendOptions extends MxDoorOptions {
  /** `opportunistic`: TLS where offered, whatever the certificate; plain where it is not offered or does not work. */
  readonly tls: "required" | "opportunistic";
}

/** Makes the upstream. Opens nothing before the first attempt. */
export function createDirectSendUpstream(options: DirectSendOptions): Upstream {
  return new SmtpUpstream({
    name: options.name,
    type: "direct-send",
    limits: options.limits,
    traits: {
      microsoft: true,
      serves: "internal",
      nullSender: "any",
      sender: options.sender,
      countedAs: options.countedAs,
    },
    mailbox: undefined,
    places: mxDoorPlaces(options),
    ehloName: options.ehloName,
    tlsMode: options.tls,
    tls: tlsPolicy(options.tls === "required", options.ca ?? []),
    keep: { ...MICROSOFT_KEEP, ...options.keep },
    timeouts: { ...DEFAULT_TIMEOUTS, ...options.timeouts },
    signIn: undefined,
    credentialExpiresAt: () => undefined,
    clock: options.clock,
    emit: options.emit,
    transcripts: options.transcripts,
  });
}
