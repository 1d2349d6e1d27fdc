import fc from "fast-check";
import { Duplex } from "node:stream";
import type { Socket } from "node:net";
import { expect, test } from "vitest";
import { startScriptedSmtp } from "../../../test/fakes/scripted-smtp.ts";
import { makeTestAuthority } from "../../../test/fakes/test-ca.ts";
import { parseReply } from "../../mail/reply.ts";
import type { PosternEvent } from "../../mail/events.ts";
import { ManualClock } from "../../platform/clock.ts";
import type { Delivery } from "../upstream.ts";
import { SmtpConnection } from "./connection.ts";
import { dial, tlsPolicy } from "./dial.ts";
import { ReplyReader } from "./replies.ts";
import { DEFAULT_TIMEOUTS } from "./session.ts";
import type { SessionOptions } from "./session.ts";
import type { TransactionFacts } from "./transaction.ts";

/** The next hop as a stream: what it says arrives in exactly the pieces that a test wants. */
class FakeHop extends Duplex {
  heard = "";
  readonly #answers: [asked: string, pieces: readonly string[]][];

  constructor(answers: [asked: string, pieces: readonly string[]][]) {
    super();
    this.#answers = answers;
    this.push("220 fake\r\n");
  }

  override _read(): void {
    // Everything is pushed when it is due.
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.heard += chunk.toString("latin1");
    done();
    const next = this.#answers[0];
    if (next === undefined || !this.heard.endsWith(next[0])) return;
    this.#answers.shift();
    queueMicrotask(() => {
      for (const piece of next[1]) this.push(Buffer.from(piece, "latin1"));
    });
  }

  setTimeout(): this {
    return this;
  }
}

function cut(whole: string, at: readonly number[]): string[] {
  const places = [0, ...at.map((place) => place % (whole.length + 1)), whole.length].toSorted((a, b) => a - b);
  return places.slice(1).map((to, index) => whole.slice(places[index], to));
}

interface Outcome {
  readonly facts: TransactionFacts;
  readonly heard: string;
  readonly events: readonly PosternEvent[];
  readonly usable: boolean;
}

function settings(over: Partial<SessionOptions> = {}): SessionOptions {
  return {
    host: "127.0.0.1",
    port: 25,
    ehloName: "relay.contoso.com",
    startTls: "none",
    tls: tlsPolicy(false, []),
    timeouts: DEFAULT_TIMEOUTS,
    clock: new ManualClock(),
    replies: new ReplyReader("fake", () => undefined),
    ...over,
  };
}

function deliveryTo(recipients: readonly string[], reversePath = "scan@contoso.com"): Delivery {
  const content = Buffer.from("hello\r\n");
  return {
    queueId: "01",
    reversePath,
    recipients,
    smtpUtf8: false,
    eightBit: false,
    sizeBytes: content.length,
    content: {
      inMemory: content,
      async *blocks() {
        yield content;
      },
    },
  };
}

async function transact(
  recipients: readonly string[],
  answers: [string, readonly string[]][],
  pipelining = true,
  reversePath?: string,
): Promise<Outcome> {
  const events: PosternEvent[] = [];
  const hop = new FakeHop([["EHLO relay.contoso.com\r\n", [pipelining ? "250-fake\r\n250 PIPELINING\r\n" : "250 fake\r\n"]], ...answers]);
  const replies = new ReplyReader("fake", (event) => events.push(event));
  const connection = new SmtpConnection(hop as unknown as Socket, settings({ replies }), false);
  expect(await connection.start()).toBeUndefined();
  const facts = await connection.transact(deliveryTo(recipients, reversePath));
  const { usable } = connection;
  connection.close();
  return { facts, heard: hop.heard, events, usable };
}

const people = ["a@contoso.com", "b@contoso.com", "c@contoso.com"];
const reply = (code: number, lines: readonly string[]): string =>
  lines.map((line, index) => `${code}${index === lines.length - 1 ? " " : "-"}${line}\r\n`).join("");
const words = fc.array(fc.constantFrom("2.1.5 Ok", "5.1.1 No", "é", "", "250-odd", "x".repeat(90)), { minLength: 1, maxLength: 4 });
const cuts = fc.array(fc.nat(2000), { maxLength: 8 });

test("replies mean the same however the network cuts them", async () => {
  const codes = fc.array(fc.constantFrom(250, 251, 450, 550), { minLength: 3, maxLength: 3 });
  await fc.assert(
    fc.asyncProperty(codes, words, fc.constantFrom(250, 451, 554), cuts, async (rcpts, lines, final, at) => {
      const envelope = [250, ...rcpts].map((code) => reply(code, lines)).join("");
      const someone = rcpts.some((code) => code < 300);
      const data = someone ? "354 go\r\n" : "554 5.5.1 nobody\r\n";
      const last = reply(final, lines);

      const { facts, events } = await transact(people, [
        ["DATA\r\n", cut(envelope + data, at)],
        ["\r\n.\r\n", cut(last, at)],
      ]);

      const read = (wire: string) => parseReply(Buffer.from(wire, "latin1").toString("latin1"));
      expect(facts.recipients.map((one) => one.refusal?.reply)).toEqual(
        rcpts.map((code) => (code < 300 ? undefined : read(reply(code, lines)))),
      );
      expect(facts.accepted).toEqual(someone && final < 300 ? read(last) : undefined);
      expect(facts.refusal?.reply).toEqual(someone && final >= 300 ? read(last) : undefined);
      expect(facts.ambiguous).toBe(false);
      expect(events.map((event) => (event.type === "upstream.replied" ? event.stage : "")).slice(2)).toEqual([
        "mail",
        "rcpt",
        "rcpt",
        "rcpt",
        "data",
        ...(someone ? ["final"] : []),
      ]);
    }),
    { numRuns: 300 },
  );
});

test("UTF-8 in a reply is read as such, whatever else as latin1", async () => {
  const utf8 = Buffer.from("450 é\r\n").toString("latin1");

  const { facts } = await transact(people.slice(0, 2), [["DATA\r\n", [`250 ok\r\n${utf8}450 \u00e9!\r\n554 no\r\n`]]]);

  expect(facts.recipients.map((one) => one.refusal?.reply?.text)).toEqual(["é", "\u00e9!"]);
});

test.each([true, false])("a reply without a code ends the attempt as PROTOCOL where it came (pipelining: %s)", async (pipelining) => {
  const first = pipelining ? "DATA\r\n" : "MAIL FROM:<scan@contoso.com>\r\n";
  const { facts, usable } = await transact(people, [[first, ["hello there\r\n"]]], pipelining);

  expect(facts).toMatchObject({ refusal: { stage: "mail", fault: { code: "PROTOCOL" } }, ambiguous: false, reuse: "no", stale: false });
  expect(usable).toBe(false);
});

test("an answer to the content that makes no sense leaves it open whether the message was taken", async () => {
  const { facts } = await transact(people, [
    ["DATA\r\n", ["250 ok\r\n".repeat(4) + "354 go\r\n"]],
    ["\r\n.\r\n", ["thank you\r\n"]],
  ]);

  expect(facts).toMatchObject({ refusal: { stage: "final", fault: { code: "PROTOCOL" } }, ambiguous: true, reuse: "no" });
});

test("a reply that never ends is cut off", async () => {
  const { facts } = await transact(people, [["DATA\r\n", ["250-x\r\n".repeat(1000), "250-x\r\n".repeat(2000)]]]);

  expect(facts.refusal).toMatchObject({ stage: "mail", fault: { code: "PROTOCOL" } });
});

test("a server that wants content although it refused every recipient gets an empty message, and can be used again", async () => {
  const { facts, heard } = await transact(people, [
    ["DATA\r\n", ["250 ok\r\n550 no\r\n550 no\r\n550 no\r\n354 go\r\n"]],
    [".\r\n", ["554 5.5.1 nobody\r\n"]],
  ]);

  expect(heard.endsWith("DATA\r\n.\r\n")).toBe(true);
  expect(facts).toMatchObject({ refusal: undefined, accepted: undefined, reuse: "after-reset" });
  expect(facts.recipients.every((one) => one.refusal?.reply?.code === 550)).toBe(true);
});

test("a server that wants content of a sender it refused gets none", async () => {
  const { facts, heard, usable } = await transact(people, [["DATA\r\n", ["550 5.7.1 no\r\n550 no\r\n550 no\r\n550 no\r\n354 go\r\n"]]]);

  expect(heard.endsWith("DATA\r\n")).toBe(true);
  expect(facts).toMatchObject({ refusal: { stage: "mail", reply: { code: 550, enhanced: "5.7.1" } }, reuse: "no" });
  expect(usable).toBe(false);
});

test.each([true, false])("421 at RCPT is the answer for all, and nothing is said after it (pipelining: %s)", async (pipelining) => {
  const rcpts = "RCPT TO:<a@contoso.com>\r\n";
  const { facts, heard } = await transact(
    people,
    pipelining
      ? [["DATA\r\n", ["250 ok\r\n250 ok\r\n421 4.3.2 away\r\n"]]]
      : [
          ["MAIL FROM:<scan@contoso.com>\r\n", ["250 ok\r\n"]],
          [rcpts, ["421 4.3.2 away\r\n"]],
        ],
    pipelining,
  );

  expect(facts).toMatchObject({ refusal: { stage: "rcpt", reply: { code: 421 } }, reuse: "no", stale: true, ambiguous: false });
  expect(facts.recipients.every((one) => one.refusal === undefined)).toBe(true);
  expect(heard.endsWith(pipelining ? "DATA\r\n" : rcpts)).toBe(true);
});

test("what is said after the final reply ends the connection, and takes nothing back", async () => {
  const { facts, usable } = await transact(people, [
    ["DATA\r\n", ["250 ok\r\n".repeat(4) + "354 go\r\n"]],
    ["\r\n.\r\n", ["250 2.0.0 taken\r\n421 4.4.1 bye\r\n"]],
  ]);

  expect(facts).toMatchObject({ accepted: { code: 250, text: "taken" }, ambiguous: false });
  expect(usable).toBe(false);
});

test.each(["a@b.example>\r\nRCPT TO:<evil@example.com", "a\u0000@b.example", "", "<a@b.example>", '"a"@b.example>', '"a\\">b"@c.example>'])(
  "a recipient that would change the command is never sent, and the others are: %j",
  async (address) => {
    const { facts, heard } = await transact(
      [address, "a@contoso.com"],
      [
        ["DATA\r\n", ["250 ok\r\n250 ok\r\n354 go\r\n"]],
        ["\r\n.\r\n", ["250 2.0.0 taken\r\n"]],
      ],
    );
    const alone = await transact([address], []);

    expect(heard).toContain("\r\nMAIL FROM:<scan@contoso.com>\r\nRCPT TO:<a@contoso.com>\r\nDATA\r\n");
    expect(facts.accepted?.code).toBe(250);
    expect(facts.recipients.map((one) => one.refusal?.fault?.code)).toEqual(["INVALID_ADDRESS", undefined]);
    expect(alone.facts.recipients.map((one) => one.refusal?.fault?.code)).toEqual(["INVALID_ADDRESS"]);
    expect(alone.heard).toBe("EHLO relay.contoso.com\r\n");
    expect(alone.usable).toBe(true);
  },
);

test("a sender that would change the command is the whole message's fault", async () => {
  const { facts, heard, usable } = await transact(["a@contoso.com"], [], true, "a@b.example>\r\nRCPT TO:<evil@example.com");

  expect(facts).toMatchObject({
    refusal: { stage: "mail", fault: { code: "INVALID_ADDRESS" } },
    recipients: [{ address: "a@contoso.com" }],
  });
  expect(heard).toBe("EHLO relay.contoso.com\r\n");
  expect(usable).toBe(true);
});

test("brackets within quotes are written as they are", async () => {
  const { facts, heard } = await transact(
    ['"a>b"@x.example', '"<a\\""@x.example'],
    [
      ["DATA\r\n", ["250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n"]],
      ["\r\n.\r\n", ["250 2.0.0 taken\r\n"]],
    ],
    true,
    '"s>"@contoso.com',
  );

  expect(facts.accepted?.code).toBe(250);
  expect(heard).toContain('MAIL FROM:<"s>"@contoso.com>\r\nRCPT TO:<"a>b"@x.example>\r\nRCPT TO:<"<a\\""@x.example>\r\nDATA\r\n');
});

test.each(["plain", "TLS"])(
  "%s: once the session stands, replies and the end come without memory of their own for each read",
  async (line) => {
    const authority = makeTestAuthority();
    const secure = line === "TLS";
    const hop = await startScriptedSmtp(secure ? { tls: authority.issue(["127.0.0.1"]) } : {});
    const socket = (await dial({ host: "127.0.0.1", port: hop.port }, undefined).done) as Socket;
    const over = { startTls: secure ? ("required" as const) : ("none" as const), tls: tlsPolicy(true, [authority.ca]) };
    const connection = new SmtpConnection(socket, settings(over), false);
    const closed = new Promise<void>((resolve) => (connection.onClosed = resolve));
    expect(await connection.start()).toBeUndefined();
    let streamed = 0;
    connection._socket.on("data", () => streamed++);

    const first = await connection.transact(deliveryTo(people));
    const second = await connection.transact(deliveryTo(people));
    hop.sessions[0]?.drop("close");
    await closed;

    expect([connection.tlsVersion !== undefined, first.accepted?.code, second.accepted?.code]).toEqual([secure, 250, 250]);
    expect(streamed).toBe(0);
    expect(connection.usable).toBe(false);
    await hop.close();
  },
);
