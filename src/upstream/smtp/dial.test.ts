import dns from "node:dns";
import { once } from "node:events";
import net from "node:net";
import type { AddressInfo } from "node:net";
import { networkInterfaces } from "node:os";
import { afterEach, expect, test, vi } from "vitest";
import { dial } from "./dial.ts";

const servers: net.Server[] = [];
const accepted: net.Socket[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  for (const socket of accepted.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) {
    server.close();
    await once(server, "close");
  }
});

async function listening(host: string): Promise<{ port: number; peer: Promise<string | undefined> }> {
  const server = net.createServer((socket) => accepted.push(socket));
  servers.push(server);
  const peer = once(server, "connection").then(([socket]) => (socket as net.Socket).remoteAddress);
  server.listen(0, host);
  await once(server, "listening");
  return { port: (server.address() as AddressInfo).port, peer };
}

/** The resolver knows one name. */
function resolveTo(addresses: readonly { readonly address: string; readonly family: 4 | 6 }[]): void {
  const lookup = (_name: string, options: dns.LookupOptions, callback: (...answer: unknown[]) => void): void => {
    const fitting = addresses.filter(({ family }) => !options.family || options.family === family);
    if (fitting.length === 0) callback(Object.assign(new Error("getaddrinfo ENOTFOUND"), { code: "ENOTFOUND" }));
    else if (options.all === true) callback(null, fitting);
    else callback(null, fitting[0]?.address, fitting[0]?.family);
  };
  vi.spyOn(dns, "lookup").mockImplementation(lookup as unknown as typeof dns.lookup);
}

const hasIpv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === "::1"));

test("the connection comes from the source address", async () => {
  const { port, peer } = await listening("127.0.0.1");

  const socket = await dial({ host: "127.0.0.1", port, sourceAddress: "127.0.0.9" }, undefined).done;

  expect(socket).toBeInstanceOf(net.Socket);
  expect(await peer).toBe("127.0.0.9");
  (socket as net.Socket).destroy();
});

test("a source address that this machine does not have is a fault of connecting", async () => {
  const { port } = await listening("127.0.0.1");

  const refusal = await dial({ host: "127.0.0.1", port, sourceAddress: "192.0.2.1" }, undefined).done;

  expect(refusal).toMatchObject({ stage: "connect", fault: { code: "EADDRNOTAVAIL" } });
});

test("an address that refuses is passed over for the next of the same name", async () => {
  const { port, peer } = await listening("127.0.0.1");
  resolveTo([
    { address: "127.0.0.2", family: 4 },
    { address: "127.0.0.1", family: 4 },
  ]);

  const socket = await dial({ host: "relay.example", port }, undefined).done;

  expect((socket as net.Socket).remoteAddress).toBe("127.0.0.1");
  expect(await peer).toBe("127.0.0.1");
  (socket as net.Socket).destroy();
});

test("when every address of a name refuses, each is named", async () => {
  const { port } = await listening("127.0.0.1");
  resolveTo([
    { address: "127.0.0.2", family: 4 },
    { address: "127.0.0.3", family: 4 },
  ]);

  const refusal = await dial({ host: "relay.example", port }, undefined).done;

  expect(refusal).toMatchObject({ fault: { code: "ECONNREFUSED", detail: expect.stringMatching(/127\.0\.0\.2.*127\.0\.0\.3/) } });
});

test("a source address of one family leaves the addresses of the other alone", async () => {
  const { port, peer } = await listening("127.0.0.1");
  resolveTo([
    { address: "::1", family: 6 },
    { address: "127.0.0.1", family: 4 },
  ]);

  const socket = await dial({ host: "relay.example", port, sourceAddress: "127.0.0.1" }, undefined).done;

  expect(await peer).toBe("127.0.0.1");
  (socket as net.Socket).destroy();
});

test.skipIf(!hasIpv6)("IPv6: by address, and by a name that has both", async () => {
  const { port, peer } = await listening("::1");
  resolveTo([
    { address: "127.0.0.1", family: 4 },
    { address: "::1", family: 6 },
  ]);

  const byAddress = await dial({ host: "::1", port }, undefined).done;
  const byName = await dial({ host: "relay.example", port }, undefined).done;

  expect([(byAddress as net.Socket).remoteAddress, (byName as net.Socket).remoteAddress]).toEqual(["::1", "::1"]);
  expect(await peer).toBe("::1");
  for (const socket of [byAddress, byName]) (socket as net.Socket).destroy();
});
