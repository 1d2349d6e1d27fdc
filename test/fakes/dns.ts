/** A name server over UDP on the loopback interface, with the records that a test gives it (RFC 1035). */
import dgram from "node:dgram";
import { once } from "node:events";

/** What it knows of one name. */
export interface DnsName {
  /** Preference and exchange; an empty exchange is the root (RFC 7505). */
  readonly mx?: readonly (readonly [number, string])[] | undefined;
  readonly a?: readonly string[] | undefined;
  readonly aaaa?: readonly string[] | undefined;
  /** Answers this code to everything instead: 2 SERVFAIL, 5 REFUSED. */
  readonly rcode?: number | undefined;
  /** Seconds; default 60. */
  readonly ttl?: number | undefined;
}

/** A running name server. */
export interface FakeDns {
  /** As `Resolver.setServers` takes it. */
  readonly server: string;
  /** Names it knows; a test may change them. Others are NXDOMAIN. */
  readonly names: Record<string, DnsName>;
  /** Every question so far: `MX contoso.com`. */
  readonly asked: readonly string[];
  readonly close: () => Promise<void>;
}

const TYPES: Readonly<Record<number, "A" | "MX" | "AAAA">> = { 1: "A", 15: "MX", 28: "AAAA" };

/** Starts it on a free port. */
export async function startFakeDns(names: Record<string, DnsName>): Promise<FakeDns> {
  const socket = dgram.createSocket("udp4");
  const asked: string[] = [];
  socket.on("message", (query, from) => {
    const { name, end } = readName(query, 12);
    const type = TYPES[query.readUInt16BE(end)];
    asked.push(`${type ?? "?"} ${name}`);
    const known = names[name];
    const records = known === undefined || type === undefined || known.rcode !== undefined ? [] : recordsOf(known, type);
    const header = Buffer.alloc(12);
    query.copy(header, 0, 0, 2);
    header.writeUInt16BE(0x8180 | (known === undefined ? 3 : (known.rcode ?? 0)), 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(records.length, 6);
    socket.send(Buffer.concat([header, query.subarray(12, end + 4), ...records]), from.port, from.address);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return {
    server: `127.0.0.1:${socket.address().port}`,
    names,
    asked,
    close: async () => {
      socket.close();
      await once(socket, "close");
    },
  };
}

function readName(packet: Buffer, start: number): { readonly name: string; readonly end: number } {
  const labels: string[] = [];
  let at = start;
  for (let length = packet[at] ?? 0; length > 0; length = packet[at] ?? 0) {
    labels.push(packet.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join(".").toLowerCase(), end: at + 1 };
}

function recordsOf({ mx = [], a = [], aaaa = [], ttl = 60 }: DnsName, type: "A" | "MX" | "AAAA"): Buffer[] {
  if (type === "MX") return mx.map(([preference, exchange]) => record(15, ttl, Buffer.concat([uint16(preference), writtenName(exchange)])));
  if (type === "A") return a.map((address) => record(1, ttl, Buffer.from(address.split(".").map(Number))));
  return aaaa.map((address) => record(28, ttl, ipv6(address)));
}

function record(type: number, ttl: number, data: Buffer): Buffer {
  const seconds = Buffer.alloc(4);
  seconds.writeUInt32BE(ttl);
  // The name is a pointer to the question's.
  return Buffer.concat([Buffer.from([0xc0, 0x0c]), uint16(type), uint16(1), seconds, uint16(data.length), data]);
}

function uint16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff]);
}

function writtenName(name: string): Buffer {
  const labels = name === "" ? [] : name.split(".");
  return Buffer.concat([...labels.map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)])), Buffer.from([0])]);
}

function ipv6(address: string): Buffer {
  const [head = "", tail] = address.split("::");
  const groups = (text: string | undefined): string[] => (text === undefined || text === "" ? [] : text.split(":"));
  const [before, after] = [groups(head), groups(tail)];
  const all = tail === undefined ? before : [...before, ...Array<string>(8 - before.length - after.length).fill("0"), ...after];
  return Buffer.concat(all.map((group) => uint16(Number.parseInt(group, 16))));
}
