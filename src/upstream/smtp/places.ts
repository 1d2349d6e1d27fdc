/** Where an upstream's next hop is: one host as configured, or all the addresses of one that is looked up. */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { orAborted } from "../or-aborted.ts";
import type { Refusal } from "../upstream.ts";
import type { Destination } from "./dial.ts";
import { faultOf } from "./fault.ts";

/** Places to connect to. */
export interface Places {
  /** For people, while none of them was reached. */
  readonly text: string;
  /** Best first; a refusal has stage `connect`. */
  find(signal: AbortSignal): Promise<readonly Destination[] | Refusal>;
  /** None of them worked: what was remembered is worth nothing. */
  failed?(): void;
}

/** A host that the system resolves anew for each connection. */
export function onePlace(destination: Destination): Places {
  return { text: `${destination.host}:${destination.port}`, find: async () => [destination] };
}

/**
 * All addresses of a host that the administrator named, IPv4 first: Microsoft asks more of senders on IPv6 (reverse DNS, authentication)
 * than most networks can give.
 */
export function everyAddress(destination: Destination): Places {
  const { host, sourceAddress } = destination;
  const text = `${host}:${destination.port}`;
  if (isIP(host) !== 0) return onePlace(destination);
  return {
    text,
    find: async (signal) => {
      try {
        const found = await orAborted("host", lookup(host, { all: true, order: "ipv4first" }), signal);
        if ("stage" in found) return found;
        return reachable(
          found.map(({ address }) => address),
          sourceAddress,
        ).map((address) => ({ host, address, port: destination.port, sourceAddress }));
      } catch (error) {
        return { stage: "connect", fault: faultOf(error) };
      }
    },
  };
}

/** The addresses that can be connected to from the source address. */
export function reachable(addresses: readonly string[], sourceAddress: string | undefined): readonly string[] {
  return sourceAddress === undefined ? addresses : addresses.filter((address) => isIP(address) === isIP(sourceAddress));
}
