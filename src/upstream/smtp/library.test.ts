import { expect, test } from "vitest";
import { startScriptedSmtp } from "../../../test/fakes/scripted-smtp.ts";
import { dial } from "./dial.ts";
import { LibraryConnection } from "./library.ts";
import type { Socket } from "node:net";

/** Keeps what the library hands to the members that are overridden. */
class Watched extends LibraryConnection {
  readonly calls: string[] = [];
  override _onData(chunk: Buffer): void {
    this.calls.push("data");
    super._onData(chunk);
  }
  override _actionGreeting(reply: string): void {
    this.calls.push(`greeting ${reply}`);
    super._actionGreeting(reply);
  }
  override _actionEHLO(reply: string): void {
    this.calls.push(`ehlo ${reply.replaceAll("\n", "|")}`);
    super._actionEHLO(reply);
  }
}

async function connected(greeting = "220 hi"): Promise<{ connection: Watched; close: () => Promise<void>; say: (wire: string) => void }> {
  const hop = await startScriptedSmtp({ replies: { greeting }, extensions: ["PIPELINING", "SIZE 1000", "8BITMIME", "AUTH XOAUTH2"] });
  const socket = (await dial({ host: "127.0.0.1", port: hop.port }, undefined).done) as Socket;
  const connection = new Watched({
    connection: socket,
    name: "relay.contoso.com",
    ignoreTLS: true,
    socketCloseTimeout: 0,
    maxResponseSize: 5000,
  });
  await new Promise<void>((resolve, reject) => {
    connection.once("error", reject);
    connection.connect((error) => (error === undefined ? resolve() : reject(error)));
  });
  const close = async (): Promise<void> => {
    connection.close();
    await hop.close();
  };
  return { connection, close, say: (wire) => hop.sessions[0]?.say(wire) };
}

test("the steps of the opening come by the members that are overridden, with whole replies", async () => {
  const { connection, close } = await connected();

  expect(connection.calls.filter((call) => call !== "data")).toEqual([
    "greeting 220 hi",
    expect.stringMatching(/^ehlo 250-.*\|250-SIZE 1000\|250-8BITMIME\|250 AUTH XOAUTH2$/),
  ]);
  expect(connection.calls).toContain("data");
  await close();
});

test("what the server offered is where it is looked for", async () => {
  const { connection, close } = await connected();

  expect(connection._supportedExtensions).toEqual(expect.arrayContaining(["PIPELINING", "SIZE", "8BITMIME"]));
  expect(connection._maxAllowedSize).toBe(1000);
  expect(connection._supportedAuth).toEqual(["XOAUTH2"]);
  expect([connection._remainder, connection._responsePartial, connection._destroyed]).toEqual(["", false, false]);
  await close();
});

test("a line that has not ended waits in the remainder, a reply that has not is partial", async () => {
  const { connection, close } = await connected();

  connection._onData(Buffer.from("421-4.3.2 going\r\n421"));

  expect([connection._remainder, connection._responsePartial]).toEqual(["421", true]);
  await close();
});

test("a remainder that says no is the reason given when the connection closes on it", async () => {
  const { connection, close } = await connected();
  const failed = new Promise<Error & { response?: string }>((resolve) => connection.once("error", resolve));

  connection._remainder = "554 5.7.1 away with you";
  connection._socket.destroy();

  expect((await failed).response).toBe("554 5.7.1 away with you");
  await close();
});

test("a connection whose replies are too large ends with an error", async () => {
  const { connection, close } = await connected();
  const failed = new Promise<Error & { code?: string }>((resolve) => connection.once("error", resolve));

  connection._onResponseTooLarge();

  expect((await failed).code).toBe("EPROTOCOL");
  expect(connection._destroyed).toBe(true);
  await close();
});

test("421 while nothing is asked ends the connection without an error", async () => {
  const { connection, close, say } = await connected();
  const ended = new Promise<void>((resolve) => connection.once("end", resolve));

  say("421 4.4.1 idle too long\r\n");

  await ended;
  expect(connection.lastServerResponse).toBe("421 4.4.1 idle too long");
  await close();
});
