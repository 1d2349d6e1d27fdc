/** The `smtp-auth` upstream: client submission to Exchange Online, High Volume Email or Azure Communication Services. */
import type { Emit } from "../mail/events.ts";
import type { TranscriptKeeper } from "../mail/transcript.ts";
import type { Clock } from "../platform/clock.ts";
import { authorityPlace } from "./oauth/authority.ts";
import { entraClient } from "./oauth/entra.ts";
import type { EntraOptions } from "./oauth/entra.ts";
import type { OAuthCredential } from "./oauth/credential.ts";
import { orAborted } from "./or-aborted.ts";
import { signInReporter } from "./oauth/sign-in-reporter.ts";
import { TokenSource } from "./oauth/token.ts";
import { DEFAULT_TIMEOUTS } from "./smtp/session.ts";
import type { Timeouts } from "./smtp/session.ts";
import type { ConnectionGroup } from "./smtp/connection-group.ts";
import { tlsPolicy } from "./smtp/dial.ts";
import { MICROSOFT_KEEP } from "./smtp/pool.ts";
import type { KeepLimits } from "./smtp/pool.ts";
import { onePlace } from "./smtp/places.ts";
import { SmtpUpstream } from "./smtp/upstream.ts";
import type { SignIn } from "./smtp/opening.ts";
import { passwordSignIn } from "./smtp/password.ts";
import type { PasswordLogin } from "./smtp/password.ts";
import type { CountedAs, DoorTraits, SenderPolicy, Upstream, UpstreamLimits } from "./upstream.ts";

/** How submission is made. */
export interface SmtpAuthOptions {
  readonly name: string;
  readonly mailbox: string;
  /** What signs in: an OAuth token as the mailbox, or a user's password. */
  readonly credential: OAuthCredential | PasswordLogin;
  /** Recipients that the service takes. */
  readonly serves: DoorTraits["serves"];
  readonly sender: SenderPolicy;
  readonly countedAs: CountedAs;
  readonly host: string;
  readonly port: number;
  /** `https://HOST/TENANT`. */
  readonly authority: string;
  /** For instance `https://outlook.office365.com/.default`. */
  readonly scope: string;
  /** URL of an HTTP proxy for the token endpoint. */
  readonly proxy?: string | undefined;
  /** Further root certificates for the token endpoint and for submission, PEM. */
  readonly ca?: readonly string[] | undefined;
  readonly sourceAddress?: string | undefined;
  /** Name for EHLO. */
  readonly ehloName: string;
  readonly limits: UpstreamLimits;
  /** Of all doors of the mailbox: they share its connections. */
  readonly group?: ConnectionGroup | undefined;
  readonly keep?: Partial<KeepLimits> | undefined;
  readonly timeouts?: Partial<Timeouts> | undefined;
  /** Stands in for the network to the authority in tests. */
  readonly network?: EntraOptions["network"];
  readonly clock: Clock;
  readonly emit: Emit;
  readonly transcripts?: TranscriptKeeper | undefined;
}

/**
 * Makes the upstream. Opens nothing before the first attempt, and reads no secret but a certificate's end: how long a credential lasts must
 * be known while no mail comes.
 */
export function createSmtpAuthUpstream(options: SmtpAuthOptions): Upstream {
  const { signIn, credentialExpiresAt, watch } = signingIn(options);
  return new SmtpUpstream({
    name: options.name,
    type: "smtp-auth",
    limits: options.limits,
    traits: {
      microsoft: true,
      serves: options.serves,
      nullSender: "mailbox",
      sender: options.sender,
      countedAs: options.countedAs,
    },
    mailbox: options.mailbox,
    places: onePlace({ host: options.host, port: options.port, sourceAddress: options.sourceAddress }),
    ehloName: options.ehloName,
    tlsMode: "required",
    tls: tlsPolicy(true, options.ca ?? []),
    keep: { ...MICROSOFT_KEEP, ...options.keep },
    group: options.group,
    timeouts: { ...DEFAULT_TIMEOUTS, ...options.timeouts },
    signIn,
    signInFrom: signInFrom(options),
    credentialExpiresAt,
    watch,
    clock: options.clock,
    emit: options.emit,
    transcripts: options.transcripts,
  });
}

function signInFrom({ credential, authority }: SmtpAuthOptions): Upstream["signInFrom"] {
  if (credential.type === "password") return { password: credential.place };
  return { authority: authorityPlace(authority), secret: credential.type === "client-secret" ? credential.place : undefined };
}

interface SigningIn {
  readonly signIn: SignIn;
  readonly credentialExpiresAt: () => number | undefined;
  readonly watch?: (() => () => void) | undefined;
}

function signingIn(options: SmtpAuthOptions): SigningIn {
  const { credential, clock, emit, name } = options;
  if (credential.type === "password") {
    // Exchange Online takes LOGIN only, and says 504 5.7.4 to PLAIN.
    return { signIn: passwordSignIn(credential, "LOGIN"), credentialExpiresAt: () => credential.expiresAt };
  }
  const entra = entraClient({
    authority: options.authority,
    scope: options.scope,
    credential,
    ca: options.ca ?? [],
    proxy: options.proxy,
    sourceAddress: options.sourceAddress,
    network: options.network,
    clock,
  });
  void entra.readExpiry();
  const tokens = new TokenSource(entra.fetch, clock);
  const { keepAlive } = entra;
  return {
    signIn: tokenSignIn(options.mailbox, tokens),
    credentialExpiresAt: entra.credentialExpiresAt,
    watch: keepAlive === undefined ? undefined : () => keepAlive(signInReporter(name, emit)),
  };
}

function tokenSignIn(user: string, tokens: TokenSource): SignIn {
  const login: SignIn["login"] = async (signal) => {
    const token = await orAborted("token", tokens.get(), signal);
    return "value" in token ? { user, token: token.value } : token;
  };
  return {
    login,
    fresh: async (signal) => {
      const token = await orAborted("token", tokens.fresh(), signal);
      return "value" in token ? { user, token: token.value } : token;
    },
    // 535 may mean a token that was revoked, or made before the permission was: a new one is worth one more try.
    renew: async (refused, refusal, signal) => {
      if (refusal.reply?.code !== 535 || !("token" in refused)) return undefined;
      tokens.drop(refused.token);
      return await login(signal);
    },
  };
}
