/** Commands in any order against a real listener: replies and accepted mail are those of the model, whatever failed before. */
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../src/platform/clock.ts";
import { createReceiver } from "../../src/receive/receiver.ts";
import type { Receiver } from "../../src/receive/receiver.ts";
import { LineClient } from "../fakes/line-client.ts";
import { MemorySink } from "../fakes/memory-sink.ts";
import { SessionModel } from "./session-model.ts";
import type { Said } from "./session-model.ts";

const sink = new MemorySink();
let receiver: Receiver;
let port: number;

beforeAll(async () => {
  receiver = createReceiver({
    hostname: "relay.contoso.com",
    domains: { own: ["contoso.com"], first: "contoso.com" },
    listeners: [{ name: "printers", endpoints: [{ host: "127.0.0.1", port: 0 }], tls: { mode: "none" } }],
    clients: [
      {
        name: "floor",
        networks: ["127.0.0.1"],
        senders: ["internal"],
        recipients: ["internal"],
        fallbackSender: "scans@contoso.com",
        maxMessageSizeBytes: 1_000_000,
        priority: "normal",
      },
    ],
    sink,
    clock: systemClock,
    emit: () => undefined,
  });
  await receiver.start();
  port = receiver.addresses()[0]?.port ?? 0;
});

afterAll(() => receiver.stop(0));

beforeEach(() => {
  sink.messages.length = 0;
});

const COMMANDS: readonly Said[] = [
  { what: "greet", line: "EHLO x" },
  { what: "greet", line: "HELO" },
  { what: "mail", line: "MAIL FROM:<a@contoso.com>", address: "a@contoso.com" },
  { what: "mail", line: "mail from: b@contoso.com SIZE=100", address: "b@contoso.com" },
  { what: "mail", line: "MAIL FROM:<>", address: "" },
  { what: "mail-refused", line: "MAIL FROM:<x@example.net>" },
  { what: "mail-fault", line: "MAIL FROM:<a@contoso.com>,<b@contoso.com>" },
  { what: "mail-fault", line: "MAIL" },
  { what: "rcpt", line: "RCPT TO:<anna@contoso.com>", address: "anna@contoso.com" },
  { what: "rcpt", line: "RCPT TO:bo", address: "bo@contoso.com" },
  { what: "rcpt-refused", line: "RCPT TO:<x@example.net>" },
  { what: "rcpt-refused", line: "RCPT TO:<x%example.net@contoso.com>" },
  { what: "rcpt-fault", line: "RCPT TO:<>" },
  { what: "rcpt-fault", line: "RCPT TO:" },
  { what: "data", line: "DATA" },
  { what: "rset", line: "RSET" },
  { what: "other", line: "NOOP" },
  { what: "other", line: "VRFY root" },
  { what: "other", line: "HELP" },
  { what: "other", line: "" },
  { what: "auth", line: "AUTH PLAIN AGEAYg==" },
  { what: "unknown", line: "XCLIENT ADDR=127.0.0.9 NAME=app" },
  { what: "unknown", line: "STOP" },
  { what: "not-implemented", line: "BDAT 10 LAST" },
  { what: "not-implemented", line: "STARTTLS" },
];
const CONTENT = "From: a@contoso.com\r\n\r\nMAIL FROM:<x@contoso.com>\r\n..\r\n.\r\n";
const sequences = fc.array(fc.constantFrom(...COMMANDS), { minLength: 1, maxLength: 18 });

/** What was taken since the last time. */
function taken(): { sender: string; recipients: readonly string[] }[] {
  return sink.messages.splice(0).map(({ message }) => ({ sender: message.reversePath, recipients: message.recipients }));
}

test("a client that waits for each answer gets those of the model, and no message but the model's is taken", async () => {
  await fc.assert(
    fc.asyncProperty(sequences, async (sequence) => {
      const model = new SessionModel();
      await using client = await LineClient.open(port);
      await client.reply();
      const expected: string[] = [];
      const heard: string[] = [];
      for (const said of sequence) {
        const code = model.say(said);
        const reply = await client.say(said.line);
        expected.push(`${said.line}: ${code === 0 ? "2" : code}`);
        heard.push(`${said.line}: ${reply.slice(0, code === 0 ? 1 : 3)}`);
        if (!reply.startsWith("354")) continue;
        client.write(CONTENT);
        expected.push("content: 250");
        heard.push(`content: ${(await client.reply()).slice(0, 3)}`);
      }

      expect(heard).toEqual(expected);
      expect(taken()).toEqual(model.accepted);
    }),
    { numRuns: 300 },
  );
});

test("a client that says everything at once, with content behind each DATA, gets no more taken than the model allows", async () => {
  await fc.assert(
    fc.asyncProperty(sequences, fc.nat(600), async (sequence, cut) => {
      const model = new SessionModel();
      let refused = false;
      const wire = sequence.map((said) => {
        // Whatever stands behind refused data is lost with the connection.
        if (!refused) {
          const code = model.say(said);
          refused = (said.what === "data" && code !== 354) || said.line.startsWith("BDAT");
        }
        return `${said.line}\r\n${said.what === "data" ? CONTENT : ""}`;
      });
      const text = `${wire.join("")}QUIT\r\n`;
      await using client = await LineClient.open(port);
      client.write(text.slice(0, cut));
      await new Promise((resolve) => setImmediate(resolve));
      client.write(text.slice(cut));
      await client.end();

      const got = taken();
      // Cut between a refused DATA and its content the connection may live on; then the next transaction is a new one, whole and in order.
      expect(got.slice(0, model.accepted.length)).toEqual(model.accepted);
      expect(refused || got.length === model.accepted.length).toBe(true);
      for (const { sender, recipients } of got) {
        expect(sender).toMatch(/^$|@contoso\.com$/);
        expect(recipients.length).toBeGreaterThan(0);
        for (const recipient of recipients) expect(recipient).toMatch(/^(?:anna|bo)@contoso\.com$/);
      }
    }),
    { numRuns: 300 },
  );
});
