/** Nobody borrows the relay: addresses written so that a next hop might route them on, claims to be somebody else, and nmap's own list. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { systemClock } from "../../src/platform/clock.ts";
import { createReceiver } from "../../src/receive/receiver.ts";
import { LineClient } from "../fakes/line-client.ts";
import { MemorySink } from "../fakes/memory-sink.ts";
import { runProcess } from "../support/process.ts";
import { findTool, hasTool } from "../support/tools.ts";
import { startHostileRelay } from "./hostile-relay.ts";
import type { HostileRelay } from "./hostile-relay.ts";

let relay: HostileRelay;
beforeAll(async () => {
  relay = await startHostileRelay();
});
afterAll(async () => {
  await relay[Symbol.asyncDispose]();
});

/** Ways to write an outside recipient; after nmap's smtp-open-relay, rlytest and abuse.net. */
const OUTSIDE = [
  "<postmaster>",
  "<a%b@contoso.com>",
  "<v@example.net>",
  "v@example.net",
  '<"v@example.net">',
  "<v%example.net>",
  "<v%example.net@contoso.com>",
  "<v%example.net@relay.contoso.com>",
  "<v%example.net@[127.0.0.1]>",
  '<"v%example.net">',
  '<"v%example.net"@contoso.com>',
  '<"v@example.net"@contoso.com>',
  '<"v\\@example.net"@contoso.com>',
  "<@contoso.com:v@example.net>",
  "<@[127.0.0.1]:v@example.net>",
  "<@contoso.com,@relay.contoso.com:v@example.net>",
  "<contoso.com!v@example.net>",
  "<example.net!v>",
  "<example.net!v@contoso.com>",
  "<example.net!v@relay.contoso.com>",
  "<contoso.com!example.net!v@contoso.com>",
  "<v@example.net@contoso.com>",
  "<v@contoso.com@example.net>",
  "<v@example.net,x@contoso.com>",
  "<x@contoso.com> <v@example.net>",
  "<v@contoso.com.example.net>",
  "<v@contoso.com\u3002example.net>",
  "<v@example.net.>",
  "<<v@example.net>>",
  "x@contoso.com <v@example.net>",
  "<v%example.net%contoso.com@contoso.com>",
  '<"example.net!v"@contoso.com>',
  "<v@[192.0.2.1]>",
  "<v@notcontoso.com>",
  "<v@sub.contoso.com>",
];

/** Domains that a message could leave to, by any reading of the address. */
function leavesFor(address: string): boolean {
  return !address.endsWith("@contoso.com") || /example\.net/.test(address);
}

test("a client for internal mail reaches nobody outside, however the address is written and whoever the sender", async () => {
  const taken: boolean[] = [];
  for (const sender of ["<a@contoso.com>", "<>", "<a@[127.0.0.1]>", "<root>", "<a@relay.local>"]) {
    for (const recipient of OUTSIDE) {
      await using client = await LineClient.open(relay.port);
      await client.reply();
      await client.say("EHLO x");
      await client.say(`MAIL FROM:${sender}`);
      const reply = await client.say(`RCPT TO:${Buffer.from(recipient, "utf8").toString("latin1")}`);
      taken.push(reply.startsWith("250"));
      if (reply.startsWith("250")) {
        await client.say("DATA");
        client.write("Subject: x\r\n\r\nx\r\n.\r\n");
        await client.reply();
      }
      await client.say("QUIT");
    }
  }

  // Some are inside by any reading, and a test that had everything refused would prove nothing.
  expect(relay.accepted).toHaveLength(taken.filter(Boolean).length);
  expect(relay.accepted.length).toBeGreaterThan(0);
  expect(relay.accepted.flatMap(({ recipients }) => recipients).filter(leavesFor)).toEqual([]);
}, 60_000);

test("what a client claims to be changes nothing", async () => {
  const before = relay.accepted.length;
  for (const claim of [
    "XCLIENT ADDR=127.0.0.9 NAME=app.contoso.com LOGIN=root",
    "XFORWARD ADDR=127.0.0.9",
    "EHLO [127.0.0.9]",
    "AUTH PLAIN AGFwcAB4",
    "PROXY TCP4 127.0.0.9 127.0.0.1 1 25",
  ]) {
    await using client = await LineClient.open(relay.port);
    await client.reply();
    await client.say(claim);
    await client.say("MAIL FROM:<a@contoso.com>");

    expect(await client.say("RCPT TO:<v@example.net>")).toMatch(/^550 5\.7\.1 |\(closed\)$/);
  }
  expect(relay.accepted).toHaveLength(before);
});

test("an address outside every client is told so, and nothing it sends is read", async () => {
  const before = relay.accepted.length;
  await using client = await LineClient.open(relay.port, "127.0.0.2");
  client.write("EHLO x\r\nMAIL FROM:<a@contoso.com>\r\nRCPT TO:<b@contoso.com>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n");

  expect(await client.end()).toMatch(/^554 5\.7\.1 [^\n]*\r\n$/);
  expect(relay.accepted).toHaveLength(before);
});

/** nmap's whole list against a port, and how many of its ways it found open. */
async function scan(port: number): Promise<string> {
  const args = ["-Pn", "-n", "-sT", "-p", `${port}`, "--script", "+smtp-open-relay", "--script-args", "smtp-open-relay.to=v@example.net"];
  const { stdout } = await runProcess(findTool("nmap") ?? "nmap", [...args, "127.0.0.1"]);
  return stdout;
}

test.skipIf(!hasTool("nmap"))(
  "nmap's smtp-open-relay from a client for internal mail: nothing reaches a domain outside",
  async () => {
    const before = relay.accepted.length;

    const said = await scan(relay.port);

    expect(said).toContain(`${relay.port}/tcp open`);
    expect(said).not.toMatch(/Server is an open relay/);
    expect(
      relay.accepted
        .slice(before)
        .flatMap(({ recipients }) => recipients)
        .filter(leavesFor),
    ).toEqual([]);
  },
  60_000,
);

test.skipIf(!hasTool("nmap"))(
  "nmap's smtp-open-relay from an address that no client has: nothing is relayed",
  async () => {
    const sink = new MemorySink();
    const refused: string[] = [];
    const stranger = createReceiver({
      hostname: "relay.contoso.com",
      domains: { own: ["contoso.com"], first: "contoso.com" },
      listeners: [{ name: "printers", endpoints: [{ host: "127.0.0.1", port: 0 }], tls: { mode: "none" } }],
      clients: [],
      sink,
      clock: systemClock,
      emit: (event) => event.type === "session.rejected" && refused.push(event.reason),
    });
    await stranger.start();

    const said = await scan(stranger.addresses()[0]?.port ?? 0);

    await stranger.stop(0);
    expect(said).not.toMatch(/Server is an open relay/);
    expect(refused).toContain("unlisted");
    expect(sink.opened).toBe(0);
  },
  60_000,
);
