import { once } from "node:events";
import type { AddressInfo } from "node:net";
import tls from "node:tls";
import { expect, test } from "vitest";
import { makeDevCertificates, type DevCertificates } from "../../test/support/certificates.ts";
import { trusting } from "./trust.ts";

/** Whether a server is believed by who trusts these roots besides the system's. */
async function isBelieved(server: DevCertificates, ca: readonly string[]): Promise<boolean> {
  const listening = tls.createServer({ key: server["listener.key"], cert: server["listener.pem"] }, (socket) => socket.end());
  listening.listen(0, "127.0.0.1");
  await once(listening, "listening");
  const { port } = listening.address() as AddressInfo;
  const socket = tls.connect({ host: "127.0.0.1", port, secureContext: trusting(ca), rejectUnauthorized: false });
  await once(socket, "secureConnect");
  socket.destroy();
  listening.close();
  await once(listening, "close");
  return socket.authorized;
}

test("whoever trusts the same roots shares a context, and only they do", async () => {
  const [one, other] = await Promise.all([makeDevCertificates(), makeDevCertificates()]);
  const roots = one["ca.pem"];

  expect(trusting([roots])).toBe(trusting([roots]));
  expect(await isBelieved(one, [roots])).toBe(true);
  expect(await isBelieved(one, [other["ca.pem"], roots])).toBe(true);
  expect(await isBelieved(other, [roots])).toBe(false);
  expect(await isBelieved(one, [])).toBe(false);
});

test("the context of roots that nobody asked for again is not kept for ever", async () => {
  const roots = (await makeDevCertificates())["ca.pem"];
  const first = trusting([roots]);
  for (let others = 2; others < 12; others++) trusting(Array.from({ length: others }, () => roots));

  expect(trusting([roots])).not.toBe(first);
});
