/** Which client an address belongs to: the longest prefix wins, on the listeners the client may use. */
import { isIPv4, isIPv6 } from "node:net";

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

/**
 * What counts as one device where places and attempts are counted: an IPv4 address, a /64 of IPv6, which one device may fill with addresses of its own.
 *
 * @param address - canonical
 */
export function deviceGroup(address: string): string {
  if (!address.includes(":")) return address;
  const parsed = parseAddress(address);
  return parsed === undefined ? address : `${(parsed.value >> 64n).toString(16)}::/64`;
}

/** An address as a number of its family. */
interface Address {
  readonly bits: 32 | 128;
  readonly value: bigint;
}

/** A network as first address and prefix length of its family. */
interface Prefix {
  readonly bits: 32 | 128;
  readonly length: number;
  readonly first: bigint;
}

/** Reads dotted IPv4 and every way to write IPv6 (RFC 4291 §2.2). An IPv4-mapped address stays IPv6. Undefined for anything else. */
export function parseAddress(address: string): Address | undefined {
  if (isIPv4(address)) return { bits: 32, value: numberOf(address.split(".").map(Number), 8n) };
  if (!isIPv6(address) || address.includes("%")) return undefined;
  const [head = "", tail] = address.split("::");
  const front = groupsOf(head);
  const back = tail === undefined ? [] : groupsOf(tail);
  const zeros = Array<number>(8 - front.length - back.length).fill(0);
  return { bits: 128, value: numberOf([...front, ...zeros, ...back], 16n) };
}

/** Groups of 16 bits; an IPv4 address at the end is two of them. */
function groupsOf(text: string): number[] {
  if (text === "") return [];
  return text.split(":").flatMap((group) => {
    if (!group.includes(".")) return [Number.parseInt(group, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = group.split(".").map(Number);
    return [(a << 8) | b, (c << 8) | d];
  });
}

function numberOf(parts: readonly number[], bits: bigint): bigint {
  return parts.reduce((value, part) => (value << bits) | BigInt(part), 0n);
}

/**
 * Reads `10.20.0.0/16`, `fd00:20::/32` or a single address. A network of IPv4-mapped addresses is the IPv4 network; bits behind the prefix are cleared.
 *
 * @throws Error when it is none of these
 */
export function parseNetwork(network: string): Prefix {
  const [text = "", lengthText, ...more] = network.split("/");
  const address = parseAddress(text);
  if (address === undefined || more.length > 0 || (lengthText !== undefined && !/^\d{1,3}$/.test(lengthText))) {
    throw new Error(`${network} is not a network`);
  }
  const given = lengthText === undefined ? address.bits : Number(lengthText);
  const mapped = address.bits === 128 && address.value >> 32n === 0xffffn && given >= 96;
  const bits = mapped ? 32 : address.bits;
  const length = mapped ? given - 96 : given;
  if (length > bits) throw new Error(`${network} is not a network: its prefix is too long`);
  const rest = BigInt(bits - length);
  const value = mapped ? address.value & 0xffff_ffffn : address.value;
  return { bits, length, first: (value >> rest) << rest };
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

  #search(text: string): T | undefined {
    const address = parseAddress(text);
    if (address === undefined) return undefined;
    for (const level of address.bits === 32 ? this.#v4 : this.#v6) {
      const found = level.values.get(address.value >> BigInt(address.bits - level.length));
      if (found !== undefined) return found;
    }
    return undefined;
  }
}
