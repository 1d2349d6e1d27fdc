/** Gives the doctor what it looks with: for the daemon, which has its secrets and its place in the network, and for the command where no daemon runs. */
import { access, constants, readFile, statfs } from "node:fs/promises";
import { Resolver } from "node:dns/promises";
import type { Config, UpstreamConfig } from "../config/config.ts";
import { examine, type DoctorOptions } from "../doctor/doctor.ts";
import type { DoctorSource } from "../doctor/finding.ts";
import type { DateAnswer } from "../doctor/machine.ts";
import type { SpfDns } from "../doctor/spf.ts";
import { describeError } from "../mail/errors.ts";
import type { Reply } from "../mail/reply.ts";
import type { Clock } from "../platform/clock.ts";
import type { Upstream } from "../upstream/upstream.ts";

export interface DoctorParts {
  /** The one in force. */
  readonly config: () => Config;
  readonly upstreams: ReadonlyMap<string, Upstream>;
  readonly certificates: DoctorOptions["certificates"];
  readonly refusal: () => Reply | undefined;
  readonly clock: Clock;
}

/** One name server is asked for so long, twice. */
const ASK_MS = 3_000;

export function buildDoctor(parts: DoctorParts): DoctorSource {
  return { examine: (signal) => examine(optionsOf(parts), signal) };
}

function optionsOf({ config: inForce, upstreams, certificates, refusal, clock }: DoctorParts): DoctorOptions {
  const config = inForce();
  return {
    config,
    upstreams,
    certificates,
    refusal,
    now: () => clock.now(),
    disk: async () => {
      const { bavail, bsize } = await statfs(config.data_dir).catch((error: NodeJS.ErrnoException) => {
        throw error.code === "ENOENT" ? new Error("it is not there yet: the first start makes it") : error;
      });
      const unwritable = await access(config.data_dir, constants.W_OK | constants.X_OK).then(
        () => undefined,
        (error: unknown) => describeError(error),
      );
      return { freeBytes: bavail * bsize, floorBytes: config.queue.min_free, unwritable };
    },
    dateOf: async (upstream) => await dateOf(upstream, clock),
    dns: spfDns(config.network.dns.servers),
  };
}

/** The time at the service where a door gets its tokens. */
async function dateOf(upstream: UpstreamConfig, clock: Clock): Promise<DateAnswer | undefined> {
  if (upstream.type !== "smtp-auth" && upstream.type !== "graph") return undefined;
  const { credential, authority, proxy, source_address: sourceAddress } = upstream;
  if (credential.type === "password" || credential.type === "managed-identity") return undefined;
  const { origin, host } = new URL(authority);
  try {
    const ca = await Promise.all(upstream.ca.map(async (file) => await readFile(file, "latin1")));
    const { serviceDate } = await import("../upstream/oauth/network.ts");
    const at = await serviceDate({ ca, proxy, sourceAddress }, `${origin}/`);
    return { host, at, now: clock.now() };
  } catch (error) {
    const { cause } = error as { cause?: unknown };
    return { host, fault: describeError(cause ?? error) };
  }
}

function spfDns(servers: readonly string[]): SpfDns {
  const resolver = (): Resolver => {
    const made = new Resolver({ timeout: ASK_MS, tries: 2 });
    if (servers.length > 0) made.setServers(servers);
    return made;
  };
  const orNone = async (question: Promise<string[]>): Promise<string[]> => {
    try {
      return await question;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENODATA" || code === "ENOTFOUND") return [];
      throw error;
    }
  };
  return {
    txt: async (name) => (await resolver().resolveTxt(name)).map((pieces) => pieces.join("")),
    addresses: async (name) => [...(await orNone(resolver().resolve4(name))), ...(await orNone(resolver().resolve6(name)))],
    mx: async (name) =>
      await orNone(
        resolver()
          .resolveMx(name)
          .then((records) => records.map(({ exchange }) => exchange)),
      ),
  };
}
