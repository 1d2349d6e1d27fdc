/** The `smart-host` upstream: any SMTP server. */
import type { Emit } from "../mail/events.ts";
import type { Clock } from "../platform/clock.ts";
import { describeError } from "../mail/errors.ts";
import { DEFAULT_TIMEOUTS } from "./smtp/session.ts";
import type { Timeouts } from "./smtp/session.ts";
import { tlsPolicy } from "./smtp/dial.ts";
import { faultAt } from "./smtp/fault.ts";
import { SMART_HOST_KEEP } from "./smtp/pool.ts";
import type { KeepLimits } from "./smtp/pool.ts";
import { SmtpUpstream } from "./smtp/upstream.ts";
import type { SignIn } from "./smtp/upstream.ts";
import { PLAIN_TRAITS } from "./upstream.ts";
import type { Upstream, UpstreamLimits } from "./upstream.ts";

/**
 * - `none`: never TLS.
 * - `opportunistic`: TLS where offered, whatever the certificate; plain where it is not offered or the handshake fails.
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
  readonly credential?: { readonly username: string; readonly password: () => Promise<string> } | undefined;
  /** Further root certificates, PEM. */
  readonly ca?: readonly string[] | undefined;
  readonly sourceAddress?: string | undefined;
  readonly limits: UpstreamLimits;
  readonly keep?: Partial<KeepLimits> | undefined;
  readonly timeouts?: Partial<Timeouts> | undefined;
  readonly clock: Clock;
  readonly emit: Emit;
}

/** Makes the upstream. Opens nothing before the first attempt. */
export function createSmartHostUpstream(options: SmartHostOptions): Upstream {
  const { credential } = options;
  return new SmtpUpstream({
    name: options.name,
    type: "smart-host",
    limits: options.limits,
    traits: PLAIN_TRAITS,
    mailbox: undefined,
    destination: {
      host: options.host,
      port: options.port ?? (options.tls === "implicit" ? 465 : 25),
      sourceAddress: options.sourceAddress,
    },
    ehloName: options.ehloName,
    tlsMode: options.tls,
    tls: tlsPolicy(options.tls !== "opportunistic", options.ca ?? []),
    keep: { ...SMART_HOST_KEEP, ...options.keep },
    timeouts: { ...DEFAULT_TIMEOUTS, ...options.timeouts },
    signIn: credential === undefined ? undefined : passwordSignIn(credential.username, credential.password),
    credentialExpiresAt: () => undefined,
    clock: options.clock,
    emit: options.emit,
  });
}

function passwordSignIn(user: string, password: () => Promise<string>): SignIn {
  return {
    login: async () => {
      try {
        return { user, password: await password() };
      } catch (error) {
        return faultAt("auth", "SECRET", describeError(error));
      }
    },
    renew: async () => undefined,
  };
}
