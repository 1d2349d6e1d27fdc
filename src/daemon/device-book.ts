/** Builds the book of devices from the configuration. */
import { lookup, Resolver } from "node:dns/promises";
import { join } from "node:path";
import { LONGEST_LEARNING_MS, type Config } from "../config/config.ts";
import type { AdmittingClient } from "../devices/admissions.ts";
import { Devices } from "../devices/devices.ts";
import type { LookUp } from "../devices/host-book.ts";
import { networkSet } from "../devices/network-set.ts";
import type { Emit } from "../mail/events.ts";
import type { Clock } from "../platform/clock.ts";

/** One query; the resolver tries it twice. */
const QUERY_TIMEOUT_MS = 2_000;

/** How clients let in what their networks do not name. */
export function admittingClients(config: Config): AdmittingClient[] {
  return Object.entries(config.clients).map(([name, { listeners, learn, hosts }]) => ({
    name,
    listeners,
    hosts,
    learn:
      learn === undefined
        ? undefined
        : { networks: networkSet(learn.networks), from: learn.until - LONGEST_LEARNING_MS, until: learn.until },
  }));
}

/** Asks for the addresses of clients' names: the configured servers, else as the machine does it. */
export function hostLookUp(servers: DnsServers): LookUp {
  const resolver = lazyResolver(servers);
  return async (name) => (servers().length === 0 ? await lookUpHere(name) : await lookUpAt(resolver(), name));
}

/** The name servers in force; a reload gives another list. */
export type DnsServers = () => readonly string[];

function lazyResolver(servers: DnsServers): () => Resolver {
  let made: { readonly resolver: Resolver; readonly servers: readonly string[] } | undefined;
  return () => {
    const wanted = servers();
    if (made?.servers === wanted) return made.resolver;
    const resolver = new Resolver({ timeout: QUERY_TIMEOUT_MS, tries: 2 });
    if (wanted.length > 0) resolver.setServers(wanted);
    made = { resolver, servers: wanted };
    return resolver;
  };
}

/** @param servers - the name servers in force */
export function buildDevices(config: Config, servers: DnsServers, emit: Emit, clock: Clock): Devices {
  const resolver = lazyResolver(servers);
  return new Devices({
    directory: join(config.data_dir, "receive"),
    clients: admittingClients(config),
    lookUp: hostLookUp(servers),
    lookUpName: async (address) => (await resolver().reverse(address))[0],
    emit,
    clock,
  });
}

/** As the machine does it, /etc/hosts included. */
async function lookUpHere(name: string): Promise<string[]> {
  try {
    return (await lookup(name, { all: true })).map(({ address }) => address);
  } catch (error) {
    if (codeOf(error) === "ENOTFOUND") return [];
    throw error;
  }
}

async function lookUpAt(resolver: Resolver, name: string): Promise<string[]> {
  const answers = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
  const found = answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
  if (found.length > 0) return found;
  for (const answer of answers)
    if (answer.status === "rejected" && !["ENOTFOUND", "ENODATA"].includes(codeOf(answer.reason))) throw answer.reason;
  return [];
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}
