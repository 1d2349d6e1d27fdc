import http from "node:http";
import { once } from "node:events";
import net from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import { makeTestAuthority } from "../../../test/fakes/test-ca.ts";
import { startTokenEndpoint } from "../../../test/fakes/token-endpoint.ts";
import { systemClock } from "../../platform/clock.ts";
import { entraClient } from "./entra.ts";
import type { EntraOptions } from "./entra.ts";

const authority = makeTestAuthority();
const certificate = authority.issue(["127.0.0.1"]);

const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
});

/** A proxy that knows CONNECT alone, and may refuse it. */
async function startProxy(status = 200): Promise<{ readonly url: string; readonly connects: string[]; readonly sources: string[] }> {
  const connects: string[] = [];
  const sources: string[] = [];
  const sockets = new Set<Socket>();
  const proxy = http.createServer((_, response) => response.writeHead(405).end());
  proxy.on("connect", (request: http.IncomingMessage, client: Socket, head: Buffer) => {
    connects.push(request.url ?? "");
    sources.push(client.remoteAddress ?? "");
    if (status !== 200) {
      client.end(`HTTP/1.1 ${status} No\r\n\r\n`);
      return;
    }
    const [host = "", port = ""] = (request.url ?? "").split(":");
    const onward = net.connect(Number(port), host, () => {
      client.write("HTTP/1.1 200 OK\r\n\r\n");
      onward.write(head);
      onward.pipe(client).pipe(onward);
    });
    for (const socket of [client, onward]) {
      sockets.add(socket);
      socket.on("error", () => socket.destroy());
    }
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  cleanUps.push(async () => {
    for (const socket of sockets) socket.destroy();
    proxy.closeAllConnections();
    proxy.close();
    await once(proxy, "close");
  });
  return { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, connects, sources };
}

async function askedThrough(proxy: string | undefined, over: Partial<EntraOptions> = {}) {
  const entra = await startTokenEndpoint(certificate, () => ({
    body: { token_type: "Bearer", expires_in: 4500, access_token: "TOKEN" },
  }));
  cleanUps.push(entra.close);
  const client = entraClient({
    authority: `${entra.url}/contoso.onmicrosoft.com`,
    scope: "https://outlook.office365.com/.default",
    credential: { type: "client-secret", clientId: "app", secret: async () => "secret" },
    ca: [authority.ca],
    proxy,
    clock: systemClock,
    ...over,
  });
  return { entra, answer: await client.fetch() };
}

test("a token comes through the proxy, whose tunnel ends at the sign-in service itself", async () => {
  const proxy = await startProxy();

  const { entra, answer } = await askedThrough(proxy.url);

  expect(answer).toMatchObject({ value: "TOKEN" });
  expect(proxy.connects).toEqual([`127.0.0.1:${entra.port}`]);
});

test("the certificate behind the proxy is the sign-in service's, or nothing is told", async () => {
  const proxy = await startProxy();

  const { entra, answer } = await askedThrough(proxy.url, { ca: [makeTestAuthority("another").ca] });

  expect(answer).toMatchObject({ stage: "token", fault: { code: "CERTIFICATE" } });
  expect(entra.asked).toHaveLength(0);
});

test("a proxy that refuses, or is not there, is a fact", async () => {
  const refusing = await startProxy(407);

  const refused = await askedThrough(refusing.url);
  const missing = await askedThrough("http://127.0.0.1:9");

  expect(refused.answer).toMatchObject({ stage: "token", fault: { detail: expect.stringContaining("407") } });
  expect(missing.answer).toMatchObject({ stage: "token", fault: { code: "ECONNREFUSED" } });
});

test("the source address is that of the connection, to the proxy where there is one", async () => {
  const proxy = await startProxy();

  await askedThrough(proxy.url, { sourceAddress: "127.0.0.8" });
  const { entra } = await askedThrough(undefined, { sourceAddress: "127.0.0.7" });

  expect(proxy.sources).toEqual(["127.0.0.8"]);
  expect(entra.asked.map(({ from }) => from)).toEqual(["127.0.0.7"]);
});
