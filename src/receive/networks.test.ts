import { expect, test } from "vitest";
import { canonicalPeer, NetworkTable } from "./networks.ts";

function table(...networks: string[]): NetworkTable<string> {
  const made = new NetworkTable<string>();
  for (const network of networks) made.add(network, network);
  return made;
}

test.each([
  ["::ffff:192.0.2.7", "192.0.2.7"],
  ["::FFFF:192.0.2.7", "192.0.2.7"],
  ["fe80::1%eth0", "fe80::1"],
  ["2001:DB8::1", "2001:db8::1"],
  ["192.0.2.7", "192.0.2.7"],
])("%s is the device %s", (given, device) => {
  expect(canonicalPeer(given)).toBe(device);
});

test("the longest prefix wins, whatever the order", () => {
  const networks = table("10.0.0.0/8", "10.20.5.0/24", "10.20.0.0/16", "10.20.5.7", "0.0.0.0/0", "fd00:20::/32", "fd00:20:1::/48");

  expect(networks.find("10.20.5.7")).toBe("10.20.5.7");
  expect(networks.find("10.20.5.8")).toBe("10.20.5.0/24");
  expect(networks.find("10.20.6.1")).toBe("10.20.0.0/16");
  expect(networks.find("10.99.0.1")).toBe("10.0.0.0/8");
  expect(networks.find("192.0.2.1")).toBe("0.0.0.0/0");
  expect(networks.find("fd00:20:1::9")).toBe("fd00:20:1::/48");
  expect(networks.find("fd00:20:2::9")).toBe("fd00:20::/32");
  expect(networks.find("fd00:21::9")).toBeUndefined();
});

test("an address outside every network has no client, also the second time", () => {
  const networks = table("10.0.0.0/8");

  expect(networks.find("11.0.0.1")).toBeUndefined();
  expect(networks.find("11.0.0.1")).toBeUndefined();
  expect(networks.find("not an address")).toBeUndefined();
});

test("a mapped IPv4 network is the IPv4 network", () => {
  expect(table("::ffff:10.0.0.0/104").find("10.1.2.3")).toBe("::ffff:10.0.0.0/104");
});

test.each(["10.0.0.0/33", "10.0.0/8", "contoso.com", "fd00::/129", ""])("%j is not a network", (network) => {
  expect(() => table(network)).toThrow();
});

test("one prefix twice is an error", () => {
  expect(() => table("10.20.0.0/16", "10.20.0.0/16")).toThrow(/twice/);
});

test("many addresses do not grow the cache without end, and answers stay right", () => {
  const networks = table("10.0.0.0/8");

  for (let i = 0; i < 10_000; i += 1) networks.find(`11.0.${i >> 8}.${i & 255}`);

  expect(networks.find("10.0.0.1")).toBe("10.0.0.0/8");
});
