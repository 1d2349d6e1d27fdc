/** What Direct Send and connectors have in common: the tenant's own host for incoming mail, where nobody signs in. */
import type { Emit } from "../mail/events.ts";
import type { TranscriptKeeper } from "../mail/transcript.ts";
import type { Clock } from "../platform/clock.ts";
import { dnsResolver, mxPlaces } from "./smtp/mx.ts";
import type { Dns } from "./smtp/mx.ts";
import { everyAddress } from "./smtp/places.ts";
import type { Places } from "./smtp/places.ts";
import type { KeepLimits } from "./smtp/pool.ts";
import type { Timeouts } from "./smtp/session.ts";
import type { CountedAs, SenderPolicy, UpstreamLimits } from "./upstream.ts";

/** How such a door is made. */
export interface MxDoorOptions {
  readonly name: string;
  /** Whose MX is looked up, unless `host` is given. */
  readonly domain: string;
  readonly host?: string | undefined;
  readonly port: number;
  /** What names of Microsoft's hosts end in; of no interest for a host that was given. */
  readonly mxSuffixes: readonly string[];
  /** Name servers as `Resolver.setServers` takes them; empty: the system's. */
  readonly dnsServers: readonly string[];
  /** Further root certificates, PEM. */
  readonly ca?: readonly string[] | undefined;
  readonly sourceAddress?: string | undefined;
  /** Name for EHLO. */
  readonly ehloName: string;
  readonly sender: SenderPolicy;
  readonly countedAs: CountedAs;
  readonly limits: UpstreamLimits;
  readonly keep?: Partial<KeepLimits> | undefined;
  readonly timeouts?: Partial<Timeouts> | undefined;
  /** Stands in for DNS in tests. */
  readonly dns?: Dns | undefined;
  readonly clock: Clock;
  readonly emit: Emit;
  readonly transcripts?: TranscriptKeeper | undefined;
}

/** The addresses of such a door's host. */
export function mxDoorPlaces(options: MxDoorOptions): Places {
  const { host, domain, port, sourceAddress, mxSuffixes, clock } = options;
  if (host !== undefined) return everyAddress({ host, port, sourceAddress });
  return mxPlaces({ domain, port, sourceAddress, suffixes: mxSuffixes, dns: options.dns ?? dnsResolver(options.dnsServers), clock });
}
