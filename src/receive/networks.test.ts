import { BlockList } from "node:net";
import fc from "fast-check";
import { expect, test } from "vitest";
import { canonicalPeer, NetworkTable, parseAddress, parseNetwork } from "./networks.ts";

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
  expect(table("::ffff:a00:0/104").find("10.1.2.3")).toBe("::ffff:a00:0/104");
});

test.each([
  ["0.0.0.0", 0n],
  ["10.20.5.7", 0x0a140507n],
  ["255.255.255.255", 0xffffffffn],
  ["::", 0n],
  ["::1", 1n],
  ["1::", 1n << 112n],
  ["1:2:3:4:5:6:7::", 0x0001_0002_0003_0004_0005_0006_0007_0000n],
  ["FD00:20::A:9", 0xfd00_0020_0000_0000_0000_0000_000a_0009n],
  ["::ffff:10.20.5.7", 0xffff_0a14_0507n],
  ["64:ff9b::192.0.2.7", 0x0064_ff9b_0000_0000_0000_0000_c000_0207n],
])("%s is the number %d", (address, value) => {
  expect(parseAddress(address)).toEqual({ bits: address.includes(":") ? 128 : 32, value });
});

test.each(["", "10.0.0", "10.0.0.256", "010.0.0.1", "1:2:3:4:5:6:7", "1::2::3", "fe80::1%eth0", "::1 ", "g::", "10.0.0.1:25"])(
  "%j is not an address",
  (text) => {
    expect(parseAddress(text)).toBeUndefined();
  },
);

test("bits behind the prefix do not count", () => {
  expect(parseNetwork("10.20.5.7/16")).toEqual(parseNetwork("10.20.0.0/16"));
  expect(table("10.20.5.7/16").find("10.20.200.1")).toBe("10.20.5.7/16");
});

test("an address is in a network exactly when Node's own list says so", () => {
  const cases = fc.oneof(
    fc.record({ family: fc.constant("ipv4" as const), network: fc.ipV4(), address: fc.ipV4(), length: fc.integer({ min: 0, max: 32 }) }),
    fc.record({ family: fc.constant("ipv6" as const), network: fc.ipV6(), address: fc.ipV6(), length: fc.integer({ min: 0, max: 128 }) }),
  );
  fc.assert(
    fc.property(cases, fc.boolean(), ({ family, network, address, length }, near) => {
      const mapped = parseAddress(network);
      fc.pre(mapped !== undefined && (family === "ipv4" || mapped.value >> 32n !== 0xffffn));
      const list = new BlockList();
      list.addSubnet(network, length, family);
      const asked = near ? network : address;

      expect(table(`${network}/${length}`).find(asked) !== undefined).toBe(list.check(asked, family));
    }),
  );
});

test.each([
  "10.0.0.0/33",
  "10.0.0/8",
  "contoso.com",
  "fd00::/129",
  "",
  "10.0.0.0/",
  "10.0.0.0/8/8",
  "10.0.0.0/-1",
  "10.0.0.0/8x",
  "fe80::1%eth0/64",
])("%j is not a network", (network) => {
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
