/** A set of networks that an address may be in. */
import { BlockList, isIPv4 } from "node:net";

export interface NetworkSet {
  /** @param address - canonical, IPv4-mapped IPv6 as IPv4 */
  has(address: string): boolean;
}

/** @param networks - as the configuration holds them: canonical CIDR */
export function networkSet(networks: readonly string[]): NetworkSet {
  const list = new BlockList();
  for (const network of networks) {
    const [first = "", length = ""] = network.split("/");
    const family = isIPv4(first) ? "ipv4" : "ipv6";
    list.addSubnet(first, length === "" ? (family === "ipv4" ? 32 : 128) : Number(length), family);
  }
  return { has: (address) => list.check(address, isIPv4(address) ? "ipv4" : "ipv6") };
}
