/** Inputs that are meant to fill memory or hold up the event loop, against a listener in a process of its own. */
import { connect } from "node:net";
import type { Socket } from "node:net";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { LineClient } from "../fakes/line-client.ts";
import { startHostileRelay } from "./hostile-relay.ts";
import type { HostileRelay } from "./hostile-relay.ts";
import { HEAVY, send } from "./heavy.ts";

const MIB = 1024 * 1024;
/** A loaded test machine stalls by itself; `node test/hostile/stalls.ts` prints the figures of a quiet one. */
const LONGEST_STALL_MS = 1000;

let relay: HostileRelay;
beforeAll(async () => {
  relay = await startHostileRelay();
});
afterEach(() => {
  if (relay.faults.length > 0) throw new Error(relay.faults.join("\n"));
});
afterAll(async () => {
  await relay[Symbol.asyncDispose]();
});

test.each(HEAVY)(
  "$what: $reply, in bounded memory, and the event loop turns",
  async (heavy) => {
    await relay.figures(true);
    const before = await relay.figures(true);

    const reply = await send(relay.port, heavy);
    const during = await relay.figures();
    const after = await relay.figures(true);

    expect(reply).toMatch(new RegExp(`^${heavy.reply}`));
    expect(after.longestStallMs).toBeLessThan(LONGEST_STALL_MS);
    expect(during.longestStallMs).toBeLessThan(LONGEST_STALL_MS);
    expect((after.rssBytes - before.rssBytes) / MIB).toBeLessThan(40);
  },
  60_000,
);

test("with 300 slow connections of one address, another device is greeted at once and its mail is taken", async () => {
  const slow = await Promise.all(
    Array.from({ length: 300 }, async () => {
      const socket = connect({ host: "127.0.0.1", port: relay.port, localAddress: "127.0.0.1" });
      socket.on("error", () => undefined);
      await new Promise((resolve) => socket.once("connect", resolve));
      socket.write("E");
      return socket;
    }),
  );

  const startedAt = performance.now();
  await using client = await LineClient.open(relay.port, "127.0.0.9");
  await client.reply();
  const greetedAt = performance.now();
  for (const line of ["EHLO app", "MAIL FROM:<a@contoso.com>", "RCPT TO:<b@example.net>", "DATA"]) await client.say(line);
  client.write("Subject: x\r\n\r\nx\r\n.\r\n");
  const reply = await client.reply();
  const takenAt = performance.now();
  for (const socket of slow) socket.destroy();
  await client.say("QUIT");
  await client.end();

  expect(reply).toMatch(/^250 2\.0\.0 Ok: queued as /);
  expect(greetedAt - startedAt).toBeLessThan(500);
  expect(takenAt - startedAt).toBeLessThan(1000);
  await allGone();
});

test("peers that vanish, half-close, reset or never read leave nothing behind", async () => {
  const before = await relay.figures(true);
  for (let round = 0; round < 200; round += 1) {
    const socket = await open();
    // Replies nobody reads: thousands of them.
    if (round % 5 === 0) socket.pause();
    socket.write(
      `EHLO x\r\n${"NOOP\r\n".repeat(round % 5 === 0 ? 5_000 : 3)}MAIL FROM:<a@contoso.com>\r\nRCPT TO:<b@contoso.com>\r\nDATA\r\nhalf a mess`,
    );
    if (round % 3 === 0) socket.end();
    else if (round % 3 === 1) socket.resetAndDestroy();
    else socket.destroy();
    if (round % 3 === 0) socket.resume().once("close", () => socket.destroy());
    await new Promise((resolve) => setImmediate(resolve));
  }
  await allGone();
  const after = await relay.figures(true);

  expect(after.sessions).toBe(0);
  expect((after.rssBytes - before.rssBytes) / MIB).toBeLessThan(40);
}, 60_000);

test("a stranger who knocks 5,000 times costs no memory, and a device beside it is served", async () => {
  const knock = async (times: number): Promise<Set<string>> => {
    const heard = new Set<string>();
    for (let at = 0; at < times; at += 1) {
      await using stranger = await LineClient.open(relay.port, "127.0.0.7");
      heard.add((await stranger.end()).slice(0, 10));
    }
    return heard;
  };
  // What the first ones need for good is no growth.
  await knock(500);
  const before = await relay.figures(true);
  const [heard] = await Promise.all([knock(2_500), knock(2_500)]);
  await using device = await LineClient.open(relay.port, "127.0.0.9");
  const greeting = await device.reply();
  const after = await relay.figures(true);

  expect([...heard]).toEqual(["554 5.7.1 "]);
  expect(greeting).toMatch(/^220 /);
  expect(after.rssBytes).toBeLessThan(before.rssBytes * 1.2);
}, 60_000);

async function open(): Promise<Socket> {
  const socket = connect({ host: "127.0.0.1", port: relay.port, allowHalfOpen: true });
  socket.on("error", () => undefined);
  await new Promise((resolve) => socket.once("connect", resolve).once("close", resolve));
  return socket;
}

/** Each question is answered by the relay's process, so this does not spin. */
async function allGone(): Promise<void> {
  while ((await relay.figures()).sessions > 0);
}
