/** Networks in CIDR notation, read strictly: what an allow-list admits must be what its author sees. */
import { isIP } from "node:net";
import { collapseIPv6Number, IPv4, IPv4CidrRange, IPv6, IPv6CidrRange } from "ip-num";
import type { Read } from "./values.ts";

/** A network whose host bits are zero. */
export interface Network {
  readonly version: 4 | 6;
  readonly prefix: number;
  readonly first: bigint;
  readonly last: bigint;
  /** Canonical: equal exactly when the networks are. */
  readonly text: string;
}

/** Reads a network or a single address. Host bits that are set are a fault that names the network probably meant. */
export function readNetwork(text: string): Read<Network> {
  const expected = 'a network such as 10.20.0.0/16 or "fd00:20::/32", or a single address';
  const [address = "", prefixText, more] = text.split("/");
  const version = isIP(address);
  if ((version !== 4 && version !== 6) || address.includes("%") || more !== undefined) return { expected };
  const bits = version === 4 ? 32 : 128;
  if (prefixText !== undefined && !/^(0|[1-9][0-9]{0,2})$/.test(prefixText)) return { expected };
  const prefix = prefixText === undefined ? bits : Number(prefixText);
  if (prefix > bits) return { expected: `a prefix of at most /${bits}` };
  if (version === 6 && address.includes(".")) return { expected: "an IPv4 address by itself, an IPv6 address in hexadecimal" };
  const network = network4or6(version, address, prefix);
  const own = version === 4 ? IPv4.fromString(address).getValue() : IPv6.fromString(address).getValue();
  if (network.first !== own) return { expected: `${network.text} (host bits are set)` };
  if (version === 6 && network.first >> 32n === 0xffffn && prefix >= 96)
    return { expected: "the IPv4 network itself, not its IPv4-mapped IPv6 form" };
  return { value: network };
}

function network4or6(version: 4 | 6, address: string, prefix: number): Network {
  const range = version === 4 ? IPv4CidrRange.fromCidr(`${address}/${prefix}`) : IPv6CidrRange.fromCidr(`${address}/${prefix}`);
  const first = range.getFirst();
  const shown = version === 4 ? first.toString() : collapseIPv6Number(first.toString());
  return { version, prefix, first: first.getValue(), last: range.getLast().getValue(), text: `${shown}/${prefix}` };
}

/** Private, shared, loopback, link-local and documentation networks (RFC 6890): nobody reaches these from the Internet. */
const NOT_PUBLIC: Readonly<Record<4 | 6, readonly string[]>> = {
  4: [
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
  ],
  6: ["::1/128", "fc00::/7", "fe80::/10", "2001:db8::/32"],
};

/** True when the network has public addresses and is wider than what one site plausibly owns: /24, IPv6 /48. */
export function isWidePublic(network: Network): boolean {
  if (network.prefix >= (network.version === 4 ? 24 : 48)) return false;
  // Read when one is asked for: to read those of IPv6 takes the library 15 ms, and most configurations name none.
  return !NOT_PUBLIC[network.version].some((text) => {
    const [address = "", prefix] = text.split("/");
    const outer = network4or6(network.version, address, Number(prefix));
    return outer.first <= network.first && network.last <= outer.last;
  });
}
