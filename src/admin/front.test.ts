/** What Node does with sockets that a server of its own accepts for none: the time limits hold, and new certificates are shown. */
import { connect, type Socket } from "node:net";
import { connect as connectSecurely } from "node:tls";
import { afterEach, expect, test } from "vitest";
import { makeTestAuthority } from "../../test/fakes/test-ca.ts";
import { Bound } from "./bound.ts";
import { Front, type Answer } from "./front.ts";

const SHORT = { handshake: 50, head: 50, request: 100, look: 20 };
const LONG = { handshake: 60_000, head: 60_000, request: 60_000, look: 20 };
const answer: Answer = async (request, response) => {
  for await (const part of request) void part;
  response.end("answered");
};
const authority = makeTestAuthority();

const running: { bound: Bound; front: Front }[] = [];
afterEach(async () => {
  for (const { bound, front } of running.splice(0)) {
    await bound.close();
    front.close();
  }
});

async function start(front: Front): Promise<{ port: number; bound: Bound }> {
  const bound = await Bound.listen({ host: "127.0.0.1", port: 0 }, front);
  running.push({ bound, front });
  return { port: bound.address?.port ?? 0, bound };
}

/** What is said to somebody who says this and no more, until the connection ends. */
function say(port: number, text: string): Promise<string> {
  return new Promise((resolve) => {
    const socket: Socket = connect(port, "127.0.0.1");
    let heard = "";
    socket.on("error", () => undefined);
    socket.setEncoding("latin1").on("data", (part: string) => (heard += part));
    socket.once("close", () => resolve(heard));
    socket.write(text);
  });
}

/** The names in the certificate that is shown. */
function shownBy(port: number): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connectSecurely({
      port,
      host: "127.0.0.1",
      ca: authority.ca,
      servername: "localhost",
      checkServerIdentity: () => undefined,
    });
    socket.once("error", reject).once("secureConnect", () => {
      resolve(socket.getPeerCertificate().subjectaltname);
      socket.destroy();
    });
  });
}

test.each([
  ["a head that does not end", "GET / HTTP/1.1\r\nHost: x\r\n", /^HTTP\/1\.1 408 /],
  ["a body that does not come", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab", /^HTTP\/1\.1 408 /],
  ["a header of 20 KiB", `GET / HTTP/1.1\r\nHost: x\r\nX: ${"x".repeat(20_480)}\r\n\r\n`, /^HTTP\/1\.1 431 /],
])("%s ends the connection", async (_, text, reply) => {
  const { port } = await start(new Front(answer, undefined, SHORT));

  expect(await say(port, text)).toMatch(reply);
});

test("a handshake that does not come ends the connection", async () => {
  const { port } = await start(new Front(answer, authority.issue(["localhost"]), SHORT));

  expect(await say(port, "")).toBe("");
});

test("another certificate is shown from the next handshake on", async () => {
  const front = new Front(answer, authority.issue(["before.contoso.com"]), LONG);
  const { port } = await start(front);
  const before = await shownBy(port);

  front.present(authority.issue(["after.contoso.com"]));

  expect([before, await shownBy(port)]).toEqual(["DNS:before.contoso.com", "DNS:after.contoso.com"]);
});

test("an address that begins to speak TLS answers a request that is under way as it began", async () => {
  const plain = new Front(answer, undefined, LONG);
  const { port, bound } = await start(plain);
  const socket = connect(port, "127.0.0.1");
  const closed = new Promise((resolve) => socket.once("close", resolve));
  let heard = "";
  socket.setEncoding("latin1").on("data", (part: string) => (heard += part));
  await new Promise<void>((resolve) =>
    socket.write("POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\na", () => resolve()),
  );
  // Its first octet is on the way by now; the next connection comes after it.
  await say(port, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const secure = new Front(answer, authority.issue(["localhost"]), LONG);

  bound.handTo(secure);
  plain.retire();
  const shown = await shownBy(port);
  socket.write("b");
  await closed;
  secure.close();

  expect(shown).toBe("DNS:localhost");
  expect(heard).toMatch(/^HTTP\/1\.1 200 [^]*answered$/);
});
