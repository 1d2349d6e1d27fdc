/** The `graph` upstream: sendMail of Microsoft Graph with an OAuth token. */
import type { Emit } from "../mail/events.ts";
import type { TranscriptKeeper } from "../mail/transcript.ts";
import type { Clock } from "../platform/clock.ts";
import { DEFAULT_HTTP_TIMEOUTS, GraphHttp } from "./graph/http.ts";
import type { GraphNetwork, HttpTimeouts } from "./graph/http.ts";
import { GraphUpstream } from "./graph/upstream.ts";
import type { GraphMailbox } from "./graph/prepare.ts";
import type { OAuthCredential } from "./oauth/credential.ts";
import { authorityPlace } from "./oauth/authority.ts";
import { entraClient } from "./oauth/entra.ts";
import type { EntraOptions } from "./oauth/entra.ts";
import { signInReporter } from "./oauth/sign-in-reporter.ts";
import { TokenSource } from "./oauth/token.ts";
import type { CountedAs, SenderPolicy, Upstream, UpstreamLimits } from "./upstream.ts";

/** How mail goes to Graph. */
export interface GraphOptions extends GraphNetwork {
  readonly name: string;
  readonly mailbox: GraphMailbox;
  readonly sender: SenderPolicy;
  readonly countedAs: CountedAs;
  readonly credential: OAuthCredential;
  /** `https://graph.microsoft.com`. */
  readonly graphHost: string;
  /** `https://HOST/TENANT`. */
  readonly authority: string;
  /** For instance `https://graph.microsoft.com/.default`. */
  readonly scope: string;
  readonly limits: UpstreamLimits;
  /** What becomes of a message over the limit of MIME. */
  readonly largeMessages: "next" | "draft";
  readonly timeouts?: Partial<HttpTimeouts> | undefined;
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
export function createGraphUpstream(options: GraphOptions): Upstream {
  const { name, mailbox, authority, clock, emit, ca, sourceAddress, proxy } = options;
  const entra = entraClient({
    authority,
    scope: options.scope,
    credential: options.credential,
    ca,
    proxy,
    sourceAddress,
    network: options.network,
    clock,
  });
  void entra.readExpiry();
  const { keepAlive } = entra;
  const { hostname, port, origin } = new URL(options.graphHost);
  const timeouts = { ...DEFAULT_HTTP_TIMEOUTS, ...options.timeouts };
  const httpTo = (to: string): GraphHttp => new GraphHttp({ upstream: name, origin: to, ca, sourceAddress, proxy, timeouts, clock, emit });
  return new GraphUpstream({
    name,
    transcripts: options.transcripts,
    mailbox,
    limits: options.limits,
    traits: {
      microsoft: true,
      serves: "any",
      nullSender: "mailbox",
      sender: options.sender,
      countedAs: options.countedAs,
    },
    http: httpTo(origin),
    httpTo,
    largeMessages: options.largeMessages,
    tokens: new TokenSource(entra.fetch, clock),
    signInFrom: {
      authority: authorityPlace(authority),
      secret: options.credential.type === "client-secret" ? options.credential.place : undefined,
    },
    credentialExpiresAt: entra.credentialExpiresAt,
    keepFresh: keepAlive === undefined ? undefined : () => keepAlive(signInReporter(name, emit)),
    place: `${hostname}:${port === "" ? 443 : port}`,
    clock,
    emit,
  });
}
