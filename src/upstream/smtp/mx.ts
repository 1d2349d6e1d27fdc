/**
 * Where a tenant takes mail: the MX of its domain, as far as it leads to Microsoft. Never built by hand: the names of new domains follow no
 * rule (https://learn.microsoft.com/exchange/mail-flow-best-practices, `mx.microsoft`).
 */
import { Resolver } from "node:dns/promises";
import type { MxRecord, RecordWithTtl } from "node:dns";
import { describeError } from "../../mail/errors.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Refusal } from "../upstream.ts";
import type { Destination } from "./dial.ts";
import { faultAt } from "./fault.ts";
import { orAborted } from "../or-aborted.ts";
import { reachable } from "./places.ts";
import type { Places } from "./places.ts";

/** What is asked of DNS; rejects with Node's codes (`ENOTFOUND`, `ENODATA`, `ESERVFAIL`, `ETIMEOUT` …). */
export interface Dns {
  resolveMx(name: string): Promise<readonly MxRecord[]>;
  resolve4(name: string, options: { ttl: true }): Promise<readonly RecordWithTtl[]>;
  resolve6(name: string, options: { ttl: true }): Promise<readonly RecordWithTtl[]>;
}

/** Whose MX, and where to. */
export interface MxOptions {
  readonly domain: string;
  readonly port: number;
  readonly sourceAddress?: string | undefined;
  /** What names of Microsoft's hosts end in. Others are not connected to. */
  readonly suffixes: readonly string[];
  readonly dns: Dns;
  readonly clock: Clock;
}

/** Name servers are asked for so long, twice. */
const ASK_MS = 5000;

/** A resolver; `servers` as `Resolver.setServers` takes them, empty for the system's. */
export function dnsResolver(servers: readonly string[]): Dns {
  // A new one each time: a resolver reads the system's name servers once, and these change with the network.
  const resolver = (): Resolver => {
    const made = new Resolver({ timeout: ASK_MS, tries: 2 });
    if (servers.length > 0) made.setServers(servers);
    return made;
  };
  return {
    resolveMx: async (name) => await resolver().resolveMx(name),
    resolve4: async (name, options) => await resolver().resolve4(name, options),
    resolve6: async (name, options) => await resolver().resolve6(name, options),
  };
}

/** Microsoft's addresses live 10 seconds; asking that often for each connection would only load the resolver. */
const SHORTEST_MS = 30_000;
/** MX records come without their TTL. Most live an hour. */
const LONGEST_MS = 300_000;
/** While no name server answers, what they said within a day is better than nothing (RFC 8767). */
const STALE_MS = 86_400_000;
/** A domain of Microsoft's has one MX; this only bounds what a hostile answer can make us do. */
const MOST_HOSTS = 8;
const MOST_ADDRESSES = 16;

/** Codes of answers that say "there is none" for good. */
const NONE_CODES = new Set(["ENOTFOUND", "ENODATA"]);

interface Answer {
  readonly places: readonly Destination[];
  readonly at: number;
  readonly goodUntil: number;
}

/** The places that take a domain's mail. */
export function mxPlaces(options: MxOptions): Places {
  const { domain, clock } = options;
  let answer: Answer | undefined;
  let doubted = false;
  let underWay: Promise<Answer | Refusal> | undefined;

  async function ask(): Promise<Answer | Refusal> {
    const found = await lookUp(options);
    underWay = undefined;
    if ("stage" in found) {
      const usable = found.fault?.code === "DNS_TEMPORARY" && answer !== undefined && clock.now() - answer.at < STALE_MS;
      return usable ? (answer as Answer) : found;
    }
    doubted = false;
    answer = found;
    return found;
  }

  return {
    text: `MX of ${domain}`,
    find: async (signal) => {
      if (answer !== undefined && !doubted && clock.now() < answer.goodUntil) return answer.places;
      const asked = await orAborted("host", (underWay ??= ask()), signal);
      return "places" in asked ? asked.places : asked;
    },
    failed: () => {
      doubted = true;
    },
  };
}

async function lookUp(options: MxOptions): Promise<Answer | Refusal> {
  const { domain, suffixes, dns, clock } = options;
  let records: readonly MxRecord[];
  try {
    records = await dns.resolveMx(domain);
  } catch (error) {
    return isNone(error)
      ? faultAt("connect", "MX_NONE", `${domain} has no MX record (${codeOf(error)})`)
      : faultAt("connect", "DNS_TEMPORARY", `the MX of ${domain} could not be looked up: ${describeError(error)}`);
  }
  const names = records
    .toSorted((a, b) => a.priority - b.priority)
    .map(({ exchange }) => exchange.toLowerCase().replace(/\.$/, ""))
    .filter((name) => name !== "");
  // RFC 7505: a single empty name says that the domain takes no mail.
  if (names.length === 0) return faultAt("connect", "MX_NONE", `${domain} takes no mail: its MX record is empty`);
  const own = names.filter((name) => suffixes.some((suffix) => name.endsWith(`.${suffix}`))).slice(0, MOST_HOSTS);
  if (own.length === 0) {
    const foreign = names.slice(0, 3).join(", ").slice(0, 200);
    return faultAt("connect", "MX_FOREIGN", `the MX of ${domain} is ${foreign}, which is not Microsoft's`);
  }
  return await addressesOf(own, options, clock.now());
}

async function addressesOf(names: readonly string[], options: MxOptions, now: number): Promise<Answer | Refusal> {
  const { dns, port, sourceAddress } = options;
  const places: Destination[] = [];
  let shortest = LONGEST_MS;
  let unanswered: unknown;
  for (const host of names) {
    const [v4, v6] = await Promise.allSettled([dns.resolve4(host, { ttl: true }), dns.resolve6(host, { ttl: true })]);
    const addresses: string[] = [];
    // IPv4 first: on IPv6 Microsoft demands reverse DNS and authentication that a relay for devices cannot give.
    for (const family of [v4, v6]) {
      if (family.status === "rejected") {
        if (!isNone(family.reason)) unanswered ??= family.reason;
        continue;
      }
      for (const { address, ttl } of family.value) {
        addresses.push(address);
        shortest = Math.min(shortest, ttl * 1000);
      }
    }
    places.push(...reachable(addresses, sourceAddress).map((address) => ({ host, address, port, sourceAddress })));
  }
  const hosts = names.join(", ");
  if (places.length > 0) return { places: places.slice(0, MOST_ADDRESSES), at: now, goodUntil: now + Math.max(SHORTEST_MS, shortest) };
  return unanswered === undefined
    ? faultAt("connect", "MX_NONE", `${hosts} has no address that can be reached from here`)
    : faultAt("connect", "DNS_TEMPORARY", `the address of ${hosts} could not be looked up: ${describeError(unanswered)}`);
}

function codeOf(error: unknown): string {
  const { code } = error as { code?: unknown };
  return typeof code === "string" ? code : "";
}

function isNone(error: unknown): boolean {
  return NONE_CODES.has(codeOf(error));
}
