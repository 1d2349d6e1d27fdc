/**
 * The header that a balancer puts before a connection, so that the address of the device is known behind it: PROXY protocol versions 1 and 2
 * (haproxy.org, proxy-protocol.txt). Pure and strict: a header that is odd in any way is none.
 */
import { isIPv4, isIPv6, SocketAddress } from "node:net";
import { canonicalPeer } from "./networks.ts";

/** Longest line of version 1, its CR LF included. */
const LONGEST_LINE = 107;
const SIGNATURE = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
const FIXED_OCTETS = 16;
/** Addresses and further information of version 2; balancers send some hundred octets. */
const MOST_OCTETS = 4096;
const LINE_START = Buffer.from("PROXY ");

/** What the first octets of a connection are. */
export type ProxyHeader =
  /** Not whole yet. */
  | { readonly kind: "more" }
  | { readonly kind: "none"; readonly why: string }
  /** `device` is undefined where the connection is the balancer's own, as health checks are. */
  | { readonly kind: "header"; readonly length: number; readonly device: string | undefined };

/** @param octets - everything that has come, from the first on */
export function readProxyHeader(octets: Buffer): ProxyHeader {
  if (startsLike(octets, SIGNATURE)) return octets.length < FIXED_OCTETS ? { kind: "more" } : version2(octets);
  if (startsLike(octets, LINE_START)) return version1(octets);
  return { kind: "none", why: "the connection does not begin with a PROXY header" };
}

/** True as far as the octets go. */
function startsLike(octets: Buffer, start: Buffer): boolean {
  const length = Math.min(octets.length, start.length);
  return octets.compare(start, 0, length, 0, length) === 0;
}

function version1(octets: Buffer): ProxyHeader {
  const end = octets.subarray(0, LONGEST_LINE).indexOf("\r\n", 0, "latin1");
  if (end < 0) return octets.length < LONGEST_LINE ? { kind: "more" } : { kind: "none", why: "the line of the PROXY header does not end" };
  const line = octets.toString("latin1", 0, end);
  const length = end + 2;
  if (/^PROXY UNKNOWN(?: |$)/.test(line)) return { kind: "header", length, device: undefined };
  const match = /^PROXY (TCP4|TCP6) (\S+) (\S+) (\d{1,5}) (\d{1,5})$/.exec(line);
  const [, family, source = "", destination = "", ...ports] = match ?? [];
  const isAddress = family === "TCP4" ? isIPv4 : isIPv6;
  const fits = match !== null && isAddress(source) && isAddress(destination) && !`${source}${destination}`.includes("%");
  if (!fits || ports.some((port) => Number(port) > 65_535 || (port.length > 1 && port.startsWith("0"))))
    return { kind: "none", why: "the line of the PROXY header cannot be read" };
  return { kind: "header", length, device: canonical(source) };
}

function version2(octets: Buffer): ProxyHeader {
  const command = octets[12] ?? 0;
  const family = octets[13] ?? 0;
  const rest = octets.readUInt16BE(14);
  if (command !== 0x20 && command !== 0x21) return { kind: "none", why: "the PROXY header has an unknown version or command" };
  if (rest > MOST_OCTETS) return { kind: "none", why: `the PROXY header is longer than ${MOST_OCTETS} octets` };
  // UNSPEC and UNIX say nothing about a device; LOCAL is the balancer itself.
  const own = command === 0x20 || family === 0x00 || family === 0x31 || family === 0x32;
  if (!own && family !== 0x11 && family !== 0x21) return { kind: "none", why: "the PROXY header is not about a TCP connection" };
  const size = family === 0x11 ? 4 : 16;
  if (!own && rest < 2 * size + 4) return { kind: "none", why: "the PROXY header is too short for its addresses" };
  const length = FIXED_OCTETS + rest;
  if (octets.length < length) return { kind: "more" };
  if (own) return { kind: "header", length, device: undefined };
  return { kind: "header", length, device: canonical(addressText(octets.subarray(FIXED_OCTETS, FIXED_OCTETS + size))) };
}

function addressText(octets: Buffer): string {
  if (octets.length === 4) return [...octets].join(".");
  return Array.from({ length: 8 }, (_, index) => octets.readUInt16BE(2 * index).toString(16)).join(":");
}

/** As the kernel would have said it of the device itself. */
function canonical(address: string): string {
  return canonicalPeer(isIPv4(address) ? address : new SocketAddress({ address, family: "ipv6" }).address);
}
