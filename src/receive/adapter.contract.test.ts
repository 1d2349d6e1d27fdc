/**
 * What we rely on in smtp-server, beyond its documentation. When an upgrade breaks one of these, read connection.ts, input.ts and server.ts
 * against the new version before anything else.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import type { Socket } from "node:net";
import { expect, test } from "vitest";
import { LineClient } from "../../test/fakes/line-client.ts";
import { SMTPConnection, SMTPServer, SMTPStream } from "./library.ts";
import { forget, readThrough } from "../platform/read-buffer.ts";

const require = createRequire(import.meta.url);

test("the version is the one that was read", () => {
  const manifest = JSON.parse(readFileSync(require.resolve("smtp-server/package.json"), "utf8")) as { version: string };

  expect(manifest.version).toBe("3.21.6");
});

test("every method we override or call is there", () => {
  const connection = SMTPConnection.prototype as unknown as Record<string, unknown>;
  const methods = [
    "init",
    "send",
    "close",
    "upgrade",
    "_createParser",
    "_setListeners",
    "_onCloseEvent",
    "_onClose",
    "_onError",
    "_onTimeout",
    "_armTimeout",
    "_whenWritable",
  ];
  expect(methods.filter((name) => typeof connection[name] !== "function")).toEqual([]);

  const stream = SMTPStream.prototype as unknown as Record<string, unknown>;
  expect(["write", "end"].filter((name) => typeof stream[name] !== "function")).toEqual([]);
  expect(typeof SMTPServer.prototype.onSecure).toBe("function");
});

/** A connection on a real socket, made as our server does it. */
async function withConnection(
  act: (connection: SMTPConnection, client: LineClient, server: SMTPServer) => Promise<void>,
  options = {},
): Promise<void> {
  const smtp = new SMTPServer({ logger: false, disableReverseLookup: true, authOptional: true, ...options });
  smtp.on("error", () => undefined);
  const { promise, resolve } = Promise.withResolvers<Socket>();
  const listener = createServer({ allowHalfOpen: true }, resolve);
  await new Promise<void>((bound) => listener.listen(0, "127.0.0.1", bound));
  const address = listener.address();
  const client = await LineClient.open(typeof address === "object" && address !== null ? address.port : 0);
  const connection = new SMTPConnection(smtp, await promise, { id: "1", remoteAddress: "192.0.2.1" });
  smtp.connections.add(connection);
  try {
    await act(connection, client, smtp);
  } finally {
    connection._socket.destroy();
    await client[Symbol.asyncDispose]();
    await new Promise<void>((closed) => listener.close(() => closed()));
  }
}

test("a server that never listens takes sockets from elsewhere, and connections take our address for them", async () => {
  await withConnection(async (connection, _client, server) => {
    expect(server.server.listening).toBe(false);
    expect(connection.remoteAddress).toBe("192.0.2.1");
    expect(connection.id).toBe("1");
  });
});

test("the parser is made by _createParser in the constructor, and again for TLS, so that ours takes its place", () => {
  let made = 0;
  class Counting extends SMTPConnection {
    override _createParser(): SMTPStream {
      made += 1;
      return super._createParser();
    }
  }
  const smtp = new SMTPServer({ logger: false });
  const socket = { setNoDelay: () => undefined } as unknown as Socket;

  const connection = new Counting(smtp, socket, {});

  expect(made).toBe(1);
  expect(connection._parser).toBeInstanceOf(SMTPStream);
  expect(SMTPConnection.prototype.upgrade.toString()).toMatch(/_parser\.isClosed = true;\s+this\._parser = this\._createParser\(\)/);
});

test("the constructor neither writes, nor arms timers, nor listens: init does, and we replace it", async () => {
  await withConnection(async (connection, client) => {
    expect(connection._socket.listenerCount("data")).toBe(0);
    expect(connection._ready).toBe(false);
    expect(client.chunks).toEqual([]);
  });
});

test("this Node reads an accepted socket into a buffer of ours, and tells of pause, resume and end as ever", async () => {
  const taken: string[] = [];
  const { promise, resolve } = Promise.withResolvers<Socket>();
  const listener = createServer({ allowHalfOpen: true }, (socket) => {
    const offered = readThrough(socket, (chunk) => {
      taken.push(chunk.toString("latin1"));
      socket.write("+\r\n");
      return false;
    });
    expect(offered).toBe(true);
    socket.resume();
    resolve(socket);
  });
  await new Promise<void>((bound) => listener.listen(0, "127.0.0.1", bound));
  const address = listener.address();
  await using client = await LineClient.open(typeof address === "object" && address !== null ? address.port : 0);
  const socket = await promise;
  const ended = new Promise((done) => socket.once("end", done));

  client.write("one");
  await client.seen("+\r\n");
  client.write("two");
  client.halfClose();
  expect(taken).toEqual(["one"]);
  socket.resume();
  await client.seen("+\r\n+\r\n");
  socket.resume();
  await ended;

  expect(taken).toEqual(["one", "two"]);
  expect(socket.bytesRead).toBe(6);
  socket.destroy();
  await new Promise<void>((closed) => listener.close(() => closed()));
});

test("a closed socket that is forgotten leads to nobody any more, and a late error of it harms nobody", async () => {
  const { promise, resolve } = Promise.withResolvers<Socket>();
  const listener = createServer((socket) => resolve(socket));
  await new Promise<void>((bound) => listener.listen(0, "127.0.0.1", bound));
  const address = listener.address();
  await using _client = await LineClient.open(typeof address === "object" && address !== null ? address.port : 0);
  const socket = await promise;
  const open = socket as unknown as Record<symbol, unknown>;
  const functions = () =>
    Object.getOwnPropertySymbols(socket)
      .map((symbol) => open[symbol])
      .filter((value) => typeof value === "function");
  readThrough(socket, () => true);
  socket.on("data", () => undefined);
  const before = functions();
  const closed = new Promise((done) => socket.once("close", done));

  socket.destroy();
  await closed;
  forget(socket);

  expect(before).toHaveLength(1);
  expect(functions().filter((one) => before.includes(one))).toEqual([]);
  expect(socket.eventNames()).toEqual(["error"]);
  expect(socket.emit("error", new Error("late"))).toBe(true);
  await new Promise<void>((done) => listener.close(() => done()));
});

test("_setListeners, which we replace, listens for close and error and calls back at once when TLS does not come first", async () => {
  await withConnection(async (connection) => {
    let called = false;

    connection._setListeners(() => (called = true));

    expect(called).toBe(true);
    expect(connection._socket.listenerCount("close")).toBeGreaterThan(0);
    expect(connection._socket.listenerCount("error")).toBeGreaterThan(0);
  });
});

test("close ends our side, closes the parser, forgets the connection, and destroys a socket that the client keeps open", async () => {
  await withConnection(async (connection, client, server) => {
    connection._setListeners(() => undefined);

    connection.close();

    expect(connection._closing).toBe(true);
    expect(server.connections.has(connection)).toBe(false);
    expect(connection._closeTimer).toBeDefined();
    expect(await client.end()).toBe("");
  });
});

test("what comes inside TLS is piped into the parser: by write, end and drain, which are ours", () => {
  expect(SMTPConnection.prototype.upgrade.toString()).toMatch(/this\._socket\.pipe\(this\._parser\)/);
  const stream = new SMTPStream({ maxCommandLength: 10 });
  expect(stream._dataMode).toBe(false);
  expect(stream.isClosed).toBe(false);
});

test("without a certificate it would serve a public one: we must never offer TLS then", () => {
  const smtp = new SMTPServer({ logger: false });

  expect(smtp.secureContext.has("*")).toBe(true);
});

test("idle time comes from a method of ours, and the pending flags it looks at exist", async () => {
  await withConnection(async (connection) => {
    expect(connection._handlerPending).toBe(false);
    expect(connection._upgrading).toBe(false);
    expect(connection._closed).toBe(false);
  });
});
