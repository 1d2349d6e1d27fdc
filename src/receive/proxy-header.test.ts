import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readProxyHeader } from "./proxy-header.ts";

const SIGNATURE = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");

/** A header of version 2. */
function version2(command: number, family: number, body: Buffer): Buffer {
  const fixed = Buffer.from([command, family, 0, 0]);
  fixed.writeUInt16BE(body.length, 2);
  return Buffer.concat([SIGNATURE, fixed, body]);
}

const V4 = Buffer.from([10, 20, 3, 7, 10, 0, 0, 1, 0x9c, 0x40, 0, 25]);
const V6 = Buffer.concat([
  Buffer.from("fd000020000000000000000000000007", "hex"),
  Buffer.from("fd000020000000000000000000000001", "hex"),
  Buffer.from([1, 2, 0, 25]),
]);
const MAPPED = Buffer.concat([Buffer.from("00000000000000000000ffff0a140307", "hex"), V6.subarray(16)]);

/** Whole headers, and whom they speak for. */
const HEADERS: readonly (readonly [string, Buffer, string | undefined])[] = [
  ["TCP4 line", Buffer.from("PROXY TCP4 10.20.3.7 10.0.0.1 40000 25\r\n"), "10.20.3.7"],
  ["TCP6 line", Buffer.from("PROXY TCP6 fd00:0020:0:0::7 fd00:20::1 40000 25\r\n"), "fd00:20::7"],
  ["IPv4-mapped line", Buffer.from("PROXY TCP6 ::ffff:10.20.3.7 ::1 40000 25\r\n"), "10.20.3.7"],
  ["UNKNOWN line", Buffer.from("PROXY UNKNOWN\r\n"), undefined],
  ["UNKNOWN line with more", Buffer.from("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), undefined],
  ["version 2, IPv4", version2(0x21, 0x11, V4), "10.20.3.7"],
  ["version 2, IPv4 with further information", version2(0x21, 0x11, Buffer.concat([V4, Buffer.alloc(300, 4)])), "10.20.3.7"],
  ["version 2, IPv6", version2(0x21, 0x21, V6), "fd00:20::7"],
  ["version 2, IPv4-mapped", version2(0x21, 0x21, MAPPED), "10.20.3.7"],
  ["version 2, LOCAL", version2(0x20, 0x00, Buffer.alloc(0)), undefined],
  ["version 2, LOCAL with addresses", version2(0x20, 0x11, V4), undefined],
  ["version 2, UNSPEC", version2(0x21, 0x00, Buffer.alloc(3)), undefined],
  ["version 2, UNIX", version2(0x21, 0x31, Buffer.alloc(216)), undefined],
];

test.each(HEADERS)("%s is found at its end and not before, whatever follows it", (_, header, device) => {
  for (let length = 0; length < header.length; length += 1) expect(readProxyHeader(header.subarray(0, length))).toEqual({ kind: "more" });
  for (const rest of ["", "EHLO x\r\n", "PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n"])
    expect(readProxyHeader(Buffer.concat([header, Buffer.from(rest)]))).toEqual({ kind: "header", length: header.length, device });
});

describe("what is odd is no header", () => {
  test.each([
    "EHLO x\r\n",
    "proxy TCP4 10.0.0.1 10.0.0.2 1 2\r\n",
    "PROXY TCP4 10.0.0.1 10.0.0.2 1\r\n",
    "PROXY TCP4 10.0.0.1 10.0.0.2 1 65536\r\n",
    "PROXY TCP4 10.0.0.1 10.0.0.2 01 25\r\n",
    "PROXY TCP4 10.0.0.01 10.0.0.2 1 25\r\n",
    "PROXY TCP4 10.0.0.1  10.0.0.2 1 25\r\n",
    "PROXY TCP4 ::1 ::1 1 25\r\n",
    "PROXY TCP6 10.0.0.1 10.0.0.2 1 25\r\n",
    "PROXY TCP6 fe80::1%eth0 ::1 1 25\r\n",
    "PROXY UDP4 10.0.0.1 10.0.0.2 1 25\r\n",
    "PROXY UNKNOWNX\r\n",
    `PROXY UNKNOWN ${"x".repeat(200)}\r\n`,
    "PROXY TCP4 10.0.0.1 10.0.0.2 1 25\nEHLO x\r\n",
  ])("%j", (line) => {
    expect(readProxyHeader(Buffer.from(line)).kind).toBe("none");
  });

  test.each([
    ["another version", version2(0x11, 0x11, V4)],
    ["an unknown command", version2(0x22, 0x11, V4)],
    ["UDP", version2(0x21, 0x12, V4)],
    ["too short for its addresses", version2(0x21, 0x11, V4.subarray(0, 11))],
    ["longer than anybody sends", Buffer.concat([SIGNATURE, Buffer.from([0x21, 0x11, 0xff, 0xff])])],
  ])("version 2: %s", (_, octets) => {
    expect(readProxyHeader(octets).kind).toBe("none");
  });
});

test("whatever comes, the answer depends on the octets alone, never turns back, and comes within a bound", () => {
  const start = fc.constantFrom(Buffer.alloc(0), SIGNATURE, Buffer.from("PROXY "), Buffer.from("PROXY TCP4 "), SIGNATURE.subarray(0, 7));
  fc.assert(
    fc.property(start, fc.uint8Array({ maxLength: 300 }), (prefix, tail) => {
      const octets = Buffer.concat([prefix, tail]);
      const kinds = Array.from({ length: octets.length + 1 }, (_, length) => readProxyHeader(octets.subarray(0, length)));

      const decided = kinds.findIndex(({ kind }) => kind !== "more");
      for (const kind of decided < 0 ? [] : kinds.slice(decided)) expect(kind).toEqual(kinds[decided]);
    }),
    { numRuns: 200 },
  );
});
