/** The `smart-host` upstream: any SMTP server. */
import type { Emit } from "../mail/events.ts";
import type { TranscriptKeeper } from "../mail/transcript.ts";
import type { Clock } from "../platform/clock.ts";
import { DEFAULT_TIMEOUTS } from "./smtp/session.ts";
import type { Timeouts } from "./smtp/session.ts";
import { tlsPolicy } from "./smtp/dial.ts";
import { SMART_HOST_KEEP } from "./smtp/pool.ts";
import type { KeepLimits } from "./smtp/pool.ts";
import { onePlace } from "./smtp/places.ts";
import { SmtpUpstream } from "./smtp/upstream.ts";
import { passwordSignIn } from "./smtp/password.ts";
import type { PasswordLogin } from "./smtp/password.ts";
import { PLAIN_TRAITS } from "./upstream.ts";
import type { SenderPolicy, Upstream, UpstreamLimits } from "./upstream.ts";

/**
 * - `none`: never TLS.
 * - `opportunistic`: TLS where offered, whatever the certificate; plain where it is not offered, is refused, or the handshake fails.
 * - `required`: STARTTLS with a verified chain and name, or nothing is sent.
 * - `implicit`: TLS from the first octet, verified.
 *
 * Whatever the mode, a password goes only to a verified server or to this machine's own loopback.
 */
export type TlsMode = "none" | "opportunistic" | "required" | "implicit";

/** How a smart host is made. */
export interface SmartHostOptions {
  readonly name: string;
  readonly host: string;
  /** Default 25; 465 with `implicit`. */
  readonly port?: number | undefined;
  readonly tls: TlsMode;
  /** Name for EHLO. */
  readonly ehloName: string;
  readonly credential?: Pick<PasswordLogin, "username" | "password" | "place"> | undefined;
  readonly sender?: SenderPolicy | undefined;
  /** Further root certificates, PEM. */
  readonly ca?: readonly string[] | undefined;
  readonly sourceAddress?: string | undefined;
  readonly limits: UpstreamLimits;
  readonly keep?: Partial<KeepLimits> | undefined;
  readonly timeouts?: Partial<Timeouts> | undefined;
  readonly clock: Clock;
  readonly emit: Emit;
  readonly transcripts?: TranscriptKeeper | undefined;
}

/** Makes the upstream. Opens nothing before the first attempt. */
export function createSmartHostUpstream(options: SmartHostOptions): Upstream {
  const { credential } = options;
  return new SmtpUpstream({
    name: options.name,
    type: "smart-host",
    limits: options.limits,
    traits: { ...PLAIN_TRAITS, sender: options.sender ?? PLAIN_TRAITS.sender },
    mailbox: undefined,
    places: onePlace({
      host: options.host,
      port: options.port ?? (options.tls === "implicit" ? 465 : 25),
      sourceAddress: options.sourceAddress,
    }),
    ehloName: options.ehloName,
    tlsMode: options.tls,
    tls: tlsPolicy(options.tls !== "opportunistic", options.ca ?? []),
    keep: { ...SMART_HOST_KEEP, ...options.keep },
    timeouts: { ...DEFAULT_TIMEOUTS, ...options.timeouts },
    signIn: credential === undefined ? undefined : passwordSignIn({ type: "password", ...credential }),
    signInFrom: { password: credential?.place },
    credentialExpiresAt: () => undefined,
    clock: options.clock,
    emit: options.emit,
    transcripts: options.transcripts,
  });
}
