/** Which client an address belongs to: the longest prefix wins, on the listeners the client may use. */
import { isIPv4, isIPv6 } from "node:net";
import { IPv4, IPv4CidrRange, IPv6, IPv6CidrRange } from "ip-num";

/** Answers kept by address; devices are few, and a scan of the whole network must not grow memory. */
const CACHED_ADDRESSES = 4096;

/**
 * A peer's address in the one form used for policy, logs and fairness: IPv4-mapped IPv6 as IPv4, no zone, lower case.
 *
 * @param address - as `socket.remoteAddress` gives it; undefined once the peer is gone
 */
export function canonicalPeer(address: string | undefined): string {
  if (address === undefined) return "";
  const bare = address.toLowerCase().replace(/%.*$/, "");
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(bare);
  return mapped?.[1] ?? bare;
}

/** A network as first address and prefix length of its family. */
interface Prefix {
  readonly bits: 32 | 128;
  readonly length: number;
  readonly first: bigint;
}

/**
 * Reads `10.20.0.0/16`, `fd00:20::/32` or a single address.
 *
 * @throws Error when it is none of these
 */
export function parseNetwork(network: string): Prefix {
  const [address = "", length] = network.split("/");
  const peer = canonicalPeer(address);
  if (isIPv4(peer)) {
    const mapped = peer !== address.toLowerCase();
    const prefix = length === undefined ? 32 : Number(length) - (mapped ? 96 : 0);
    const range = IPv4CidrRange.fromCidr(`${peer}/${prefix}`);
    return { bits: 32, length: prefix, first: range.getFirst().getValue() };
  }
  if (isIPv6(peer)) {
    const range = IPv6CidrRange.fromCidr(`${peer}/${length ?? 128}`);
    return { bits: 128, length: length === undefined ? 128 : Number(length), first: range.getFirst().getValue() };
  }
  throw new Error(`${network} is not a network`);
}

/** Networks with the value of the most specific one that holds an address. */
export class NetworkTable<T> {
  /** Per family, longest prefix first: length, and values by the shifted first address. */
  readonly #v4: { length: number; values: Map<bigint, T> }[] = [];
  readonly #v6: { length: number; values: Map<bigint, T> }[] = [];
  readonly #cache = new Map<string, T | undefined>();

  /** @throws Error when the network cannot be read, or is in the table already */
  add(network: string, value: T): void {
    const { bits, length, first } = parseNetwork(network);
    const levels = bits === 32 ? this.#v4 : this.#v6;
    let level = levels.find((other) => other.length === length);
    if (level === undefined) {
      level = { length, values: new Map() };
      levels.push(level);
      levels.sort((a, b) => b.length - a.length);
    }
    const key = first >> BigInt(bits - length);
    if (level.values.has(key)) throw new Error(`${network} is listed twice`);
    level.values.set(key, value);
    this.#cache.clear();
  }

  /** @param address - canonical, see {@link canonicalPeer} */
  find(address: string): T | undefined {
    if (this.#cache.has(address)) return this.#cache.get(address);
    const found = this.#search(address);
    if (this.#cache.size >= CACHED_ADDRESSES) this.#cache.clear();
    this.#cache.set(address, found);
    return found;
  }

  #search(address: string): T | undefined {
    const v4 = isIPv4(address);
    if (!v4 && !isIPv6(address)) return undefined;
    const value = v4 ? new IPv4(address).getValue() : new IPv6(address).getValue();
    const bits = v4 ? 32 : 128;
    for (const level of v4 ? this.#v4 : this.#v6) {
      const found = level.values.get(value >> BigInt(bits - level.length));
      if (found !== undefined) return found;
    }
    return undefined;
  }
}
