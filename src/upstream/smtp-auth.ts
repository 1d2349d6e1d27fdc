/** The `smtp-auth` upstream: client submission to Exchange Online with an OAuth token. */
import type { Emit } from "../mail/events.ts";
import type { Clock } from "../platform/clock.ts";
import { entraClient } from "./oauth/entra.ts";
import type { EntraOptions } from "./oauth/entra.ts";
import type { OAuthCredential } from "./oauth/credential.ts";
import { TokenSource } from "./oauth/token.ts";
import { DEFAULT_TIMEOUTS } from "./smtp/session.ts";
import type { Timeouts } from "./smtp/session.ts";
import { tlsPolicy } from "./smtp/dial.ts";
import { faultAt } from "./smtp/fault.ts";
import { MICROSOFT_KEEP } from "./smtp/pool.ts";
import type { KeepLimits } from "./smtp/pool.ts";
import { SmtpUpstream } from "./smtp/upstream.ts";
import type { SignIn } from "./smtp/upstream.ts";
import type { Refusal, Upstream, UpstreamLimits } from "./upstream.ts";

/** How submission is made. */
export interface SmtpAuthOptions {
  readonly name: string;
  readonly mailbox: string;
  readonly credential: OAuthCredential;
  readonly host: string;
  readonly port: number;
  /** `https://HOST/TENANT`. */
  readonly authority: string;
  /** For instance `https://outlook.office365.com/.default`. */
  readonly scope: string;
  /** Further root certificates for the token endpoint and for submission, PEM. */
  readonly ca?: readonly string[] | undefined;
  readonly sourceAddress?: string | undefined;
  /** Name for EHLO. */
  readonly ehloName: string;
  readonly limits: UpstreamLimits;
  readonly keep?: Partial<KeepLimits> | undefined;
  readonly timeouts?: Partial<Timeouts> | undefined;
  /** Stands in for the network to the authority in tests. */
  readonly network?: EntraOptions["network"];
  readonly clock: Clock;
  readonly emit: Emit;
}

/**
 * Makes the upstream. Opens nothing before the first attempt, and reads no secret but a certificate's end: how long a credential lasts must
 * be known while no mail comes.
 */
export function createSmtpAuthUpstream(options: SmtpAuthOptions): Upstream {
  const ca = options.ca ?? [];
  const entra = entraClient({
    authority: options.authority,
    scope: options.scope,
    credential: options.credential,
    ca,
    sourceAddress: options.sourceAddress,
    network: options.network,
    clock: options.clock,
  });
  void entra.readExpiry();
  return new SmtpUpstream({
    name: options.name,
    type: "smtp-auth",
    limits: options.limits,
    traits: {
      microsoft: true,
      serves: "any",
      nullSender: "mailbox",
      sender: { mode: "keep", address: options.mailbox, sendAs: [] },
      countedAs: { mailbox: `${options.authority} ${options.mailbox.toLowerCase()}`, tenant: options.authority },
    },
    mailbox: options.mailbox,
    destination: { host: options.host, port: options.port, sourceAddress: options.sourceAddress },
    ehloName: options.ehloName,
    tlsMode: "required",
    tls: tlsPolicy(true, ca),
    keep: { ...MICROSOFT_KEEP, ...options.keep },
    timeouts: { ...DEFAULT_TIMEOUTS, ...options.timeouts },
    signIn: tokenSignIn(options.mailbox, new TokenSource(entra.fetch, options.clock)),
    credentialExpiresAt: entra.credentialExpiresAt,
    clock: options.clock,
    emit: options.emit,
  });
}

function tokenSignIn(user: string, tokens: TokenSource): SignIn {
  const login: SignIn["login"] = async (signal) => {
    const token = await orAborted(tokens.get(), signal);
    return "value" in token ? { user, token: token.value } : token;
  };
  return {
    login,
    // 535 may mean a token that was revoked, or made before the permission was: a new one is worth one more try.
    renew: async (refused, refusal, signal) => {
      if (refusal.reply?.code !== 535 || !("token" in refused)) return undefined;
      tokens.drop(refused.token);
      return await login(signal);
    },
  };
}

/** The fetch itself goes on for others who wait for it. */
async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T | Refusal> {
  let stop = (): void => {};
  const aborted = new Promise<Refusal>((resolve) => {
    const settle = (): void => resolve(faultAt("token", "ABORTED", "stopped while waiting for a token"));
    signal.addEventListener("abort", settle);
    stop = () => signal.removeEventListener("abort", settle);
    if (signal.aborted) settle();
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    stop();
  }
}
