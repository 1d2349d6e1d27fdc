import { getEventListeners } from "node:events";
import { afterEach, describe, expect, test, vi } from "vitest";
import { startScriptedSmtp } from "../../test/fakes/scripted-smtp.ts";
import type { ScriptedReplies, ScriptedSmtp, ScriptedSmtpOptions } from "../../test/fakes/scripted-smtp.ts";
import { makeTestAuthority } from "../../test/fakes/test-ca.ts";
import { PosternError } from "../mail/errors.ts";
import type { PosternEvent } from "../mail/events.ts";
import { ManualClock } from "../platform/clock.ts";
import { createSmartHostUpstream } from "./smart-host.ts";
import type { SmartHostOptions } from "./smart-host.ts";
import type { Delivery, Upstream } from "./upstream.ts";

const authority = makeTestAuthority();
const good = authority.issue(["127.0.0.1", "localhost"]);
const TWO = { connections: 2, messagesPerMinute: undefined, recipientsPerMessage: 100, maxMessageSizeBytes: 1e9 };
const ONE = { ...TWO, connections: 1 };
const never = new AbortController().signal;

const cleanUps: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
});

interface Scene {
  readonly hop: ScriptedSmtp;
  readonly upstream: Upstream;
  readonly clock: ManualClock;
  readonly events: PosternEvent[];
}

async function scene(script: ScriptedReplies | ScriptedSmtpOptions = {}, options: Partial<SmartHostOptions> = {}): Promise<Scene> {
  const isOptions = "replies" in script || "tls" in script || "extensions" in script;
  const hop = await startScriptedSmtp(isOptions ? script : { replies: script as ScriptedReplies });
  const clock = new ManualClock();
  const events: PosternEvent[] = [];
  const upstream = createSmartHostUpstream({
    name: "inside",
    host: "127.0.0.1",
    port: hop.port,
    tls: "none",
    ehloName: "relay.contoso.com",
    limits: TWO,
    clock,
    emit: (event) => events.push(event),
    ...options,
  });
  cleanUps.push(
    async () => await hop.close(),
    async () => await upstream.close(),
  );
  return { hop, upstream, clock, events };
}

function mail(over: Partial<Delivery> & { readonly text?: string } = {}): Delivery {
  const content = Buffer.from(over.text ?? "Subject: x\r\n\r\nhello\r\n");
  return {
    queueId: "01",
    reversePath: "scan@contoso.com",
    recipients: ["a@contoso.com"],
    smtpUtf8: false,
    eightBit: false,
    sizeBytes: content.length,
    content: { inMemory: content, blocks: () => blocksOf([content]) },
    ...over,
  };
}

async function* blocksOf(blocks: Iterable<Uint8Array>, error?: Error): AsyncGenerator<Uint8Array> {
  yield* blocks;
  if (error !== undefined) throw error;
}

describe("a message that is taken", () => {
  test("arrives byte for byte, and the final reply comes back word for word with the id in it", async () => {
    const { hop, upstream } = await scene({ final: "250-2.0.0 thank you\r\n250 2.0.0 Ok: queued as 4XyZ12" });

    const facts = await upstream.attempt(mail({ text: ".dot\r\n..two\r\nlast\r\n" }), never);

    expect(facts.accepted).toEqual({ code: 250, enhanced: "2.0.0", text: "thank you\nOk: queued as 4XyZ12" });
    expect(facts).toMatchObject({
      upstreamId: "4XyZ12",
      ambiguous: false,
      reusedConnection: false,
      recipients: [{ address: "a@contoso.com" }],
    });
    expect(facts.remote).toBe(`127.0.0.1:${hop.port}`);
    expect(hop.messages[0]?.content.toString()).toBe(".dot\r\n..two\r\nlast\r\n");
    expect(hop.messages[0]?.mail).toBe("MAIL FROM:<scan@contoso.com> SIZE=19");
  });

  test("from blocks arrives whole, and the second message uses the same connection", async () => {
    const { hop, upstream } = await scene();
    const block = Buffer.from(`.${"x".repeat(70)}\r\n`.repeat(3000));
    const delivery = mail({
      sizeBytes: block.length * 5,
      content: { inMemory: undefined, blocks: () => blocksOf([block, block, block, block, block]) },
    });

    const first = await upstream.attempt(delivery, never);
    const second = await upstream.attempt(delivery, never);

    expect([first.reusedConnection, second.reusedConnection, second.connectMs]).toEqual([false, true, 0]);
    expect(hop.sessions).toHaveLength(1);
    for (const message of hop.messages) expect(message.content.equals(Buffer.concat([block, block, block, block, block]))).toBe(true);
  });

  test("of whatever size arrives whole when sizes alternate on one connection", async () => {
    const { hop, upstream } = await scene({}, { limits: ONE });
    const texts = [10, 5000, 100, 70_000, 64, 40_000, 65_400, 3].map((size, index) => `${String(index).repeat(size)}\r\n.\r\n`);

    for (const text of texts) await upstream.attempt(mail({ text }), never);

    expect(hop.messages.map((message) => message.content.toString())).toEqual(texts);
    expect(hop.sessions).toHaveLength(1);
  });

  test("names 8-bit content and addresses beyond ASCII as such", async () => {
    const { hop, upstream } = await scene();

    await upstream.attempt(mail({ recipients: ["zoé@contoso.com"], smtpUtf8: true, eightBit: true }), never);

    expect(hop.messages[0]?.mail).toContain("SMTPUTF8 BODY=8BITMIME");
  });

  test("keeps the null reverse-path", async () => {
    const { hop, upstream } = await scene();

    await upstream.attempt(mail({ reversePath: "" }), never);

    expect(hop.messages[0]?.mail).toContain("MAIL FROM:<>");
  });

  test("is reported reply by reply", async () => {
    const { upstream, events } = await scene();

    await upstream.attempt(mail(), never);

    expect(events.map((event) => (event.type === "upstream.replied" ? event.stage : event.type))).toEqual([
      "greeting",
      "ehlo",
      "upstream.connected",
      "mail",
      "rcpt",
      "data",
      "final",
    ]);
  });
});

describe("a refusal keeps its stage and its words", () => {
  const no = "550-5.7.1 first line\r\n550 5.7.1 second line";
  const reply = { code: 550, enhanced: "5.7.1", text: "first line\nsecond line" };
  test.each(["mail", "data", "final"] as const)("at %s, and the connection is used again after RSET", async (stage) => {
    const { hop, upstream } = await scene({ [stage]: [no, stage === "data" ? "354 Go" : "250 2.0.0 Ok"] }, { limits: ONE });

    const first = await upstream.attempt(mail(), never);
    const second = await upstream.attempt(mail(), never);

    expect(first).toMatchObject({ refusal: { stage, reply }, ambiguous: false, recipients: [{ address: "a@contoso.com" }] });
    expect(first.accepted).toBeUndefined();
    expect(second.accepted?.code).toBe(250);
    expect(hop.sessions.flatMap((session) => session.commands).filter((line) => line === "RSET")).toHaveLength(1);
  });

  test.each(["greeting", "ehlo"] as const)("at %s", async (stage) => {
    const { upstream, events } = await scene({ replies: { [stage]: no, helo: no } });

    const facts = await upstream.attempt(mail(), never);

    expect(facts.refusal).toEqual({ stage, reply });
    expect(events.at(-1)).toMatchObject({ type: "upstream.connect.failed", stage, reply });
  });

  test.each([true, false])("at RCPT for one recipient alone (pipelining: %s)", async (pipelining) => {
    const { hop, upstream } = await scene({ replies: { "rcpt b@contoso.com": no }, extensions: pipelining ? ["PIPELINING"] : [] });

    const facts = await upstream.attempt(mail({ recipients: ["a@contoso.com", "b@contoso.com", "c@contoso.com"] }), never);

    expect(facts.accepted?.code).toBe(250);
    expect(facts.refusal).toBeUndefined();
    expect(facts.recipients).toEqual([
      { address: "a@contoso.com" },
      { address: "b@contoso.com", refusal: { stage: "rcpt", reply } },
      { address: "c@contoso.com" },
    ]);
    expect(hop.messages[0]?.rcpts).toHaveLength(2);
  });

  test.each([true, false])(
    "at RCPT for every recipient (pipelining: %s), without a refusal of the whole, and RSET before the next",
    async (pipelining) => {
      const { hop, upstream } = await scene(
        {
          replies: {
            "rcpt a@contoso.com": no,
            "rcpt b@contoso.com": "451 4.7.1 later",
            data: (_line, session) => (session.commands.includes("RSET") ? undefined : "503 5.5.1 No recipients"),
          },
          extensions: pipelining ? ["PIPELINING"] : [],
        },
        { limits: ONE },
      );

      const facts = await upstream.attempt(mail({ recipients: ["a@contoso.com", "b@contoso.com"] }), never);
      const next = await upstream.attempt(mail({ recipients: ["c@contoso.com"] }), never);

      expect(facts.refusal).toBeUndefined();
      expect(facts.accepted).toBeUndefined();
      expect(facts.recipients.map((one) => one.refusal?.reply?.code)).toEqual([550, 451]);
      expect(next.accepted?.code).toBe(250);
      expect(hop.sessions.flatMap((session) => session.commands)).toContain("RSET");
    },
  );

  test("at MAIL does not become a refusal of the recipients", async () => {
    const { upstream } = await scene({ mail: no, rcpt: "503 5.5.1 need MAIL", data: "503 5.5.1 need MAIL" });

    const facts = await upstream.attempt(mail(), never);

    expect(facts).toMatchObject({ refusal: { stage: "mail", reply }, recipients: [{ address: "a@contoso.com" }] });
    expect(facts.recipients[0]?.refusal).toBeUndefined();
  });

  test("before the content has ended stops the content and the connection", async () => {
    const { hop, upstream } = await scene({ content: "552 5.3.4 too big for me" });
    let asked = 0;
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) {
        asked += 1;
        yield Buffer.alloc(64 * 1024, "x");
      }
    }
    const facts = await upstream.attempt(mail({ sizeBytes: 1000, content: { inMemory: undefined, blocks: endless } }), never);

    expect(facts).toMatchObject({ refusal: { stage: "content", reply: { code: 552 } }, ambiguous: false });
    expect(asked).toBeGreaterThan(0);
    expect(hop.messages).toHaveLength(0);
  });
});

describe("a connection that is lost", () => {
  test.each(["greeting", "ehlo", "mail", "rcpt", "data", "content"] as const)(
    "at %s is a fault of that stage, not ambiguous",
    async (stage) => {
      const { upstream } = await scene({ [stage]: { drop: stage === "content" ? "reset" : "close" } });
      // Enough blocks that the network cannot swallow them all before the connection is gone.
      const blocks = Array.from({ length: 120 }, () => Buffer.alloc(256 * 1024, "x"));
      const delivery =
        stage === "content"
          ? mail({ sizeBytes: 120 * 256 * 1024, content: { inMemory: undefined, blocks: () => blocksOf(blocks) } })
          : mail();

      const facts = await upstream.attempt(delivery, never);

      expect(facts).toMatchObject({ refusal: { stage, fault: { code: "RESET" } }, ambiguous: false });
    },
  );

  test.each(["close", "reset"] as const)("after the final dot (%s) is ambiguous", async (drop) => {
    const { upstream } = await scene({ final: { drop } });

    const facts = await upstream.attempt(mail(), never);

    expect(facts).toMatchObject({ refusal: { stage: "final", fault: { code: "RESET" } }, ambiguous: true });
  });

  test("when nobody listens is ECONNREFUSED at connect", async () => {
    const { hop, upstream, events } = await scene();
    await hop.close();
    cleanUps.shift();

    const facts = await upstream.attempt(mail(), never);

    expect(facts).toMatchObject({ refusal: { stage: "connect", fault: { code: "ECONNREFUSED" } }, ambiguous: false });
    expect(events).toMatchObject([{ type: "upstream.connect.failed", stage: "connect" }]);
  });
});

describe("an answer that never comes", () => {
  const limits = { greeting: 61, ehlo: 61, mail: 121, rcpt: 121, data: 121, final: 601 } as const;
  test.each(Object.keys(limits) as (keyof typeof limits)[])("at %s is a TIMEOUT there", async (stage) => {
    const { upstream, clock, events } = await scene({ [stage]: { silent: true } }, { timeouts: { connectMs: 1e9 } });
    const before = { greeting: undefined, ehlo: "greeting", mail: "ehlo", rcpt: "mail", data: "rcpt", final: "data" }[stage];

    const attempt = upstream.attempt(mail(), never);
    await vi.waitFor(
      () => expect(before === undefined || events.some((event) => event.type === "upstream.replied" && event.stage === before)).toBe(true),
      { interval: 2 },
    );
    const ticking = setInterval(() => clock.advance((limits[stage] + 2) * 1000), 5);
    const facts = await attempt;
    clearInterval(ticking);

    expect(facts).toMatchObject({ refusal: { stage, fault: { code: "TIMEOUT" } }, ambiguous: stage === "final" });
  });
});

describe("a kept connection that the server has ended", () => {
  test.each(["421 4.4.1 Connection timed out", undefined])("is replaced in the same attempt (%s)", async (reply) => {
    const { hop, upstream } = await scene({
      mail: ["250 2.1.0 Ok", reply === undefined ? { drop: "reset" } : { reply, drop: "close" }, "250 2.1.0 Ok"],
    });
    await upstream.attempt(mail(), never);

    const facts = await upstream.attempt(mail(), never);

    expect(facts).toMatchObject({ accepted: { code: 250 }, reusedConnection: false });
    expect(hop.sessions).toHaveLength(2);
    expect(hop.messages).toHaveLength(2);
  });

  test("is replaced once only: a second 421 is the answer", async () => {
    const { hop, upstream } = await scene({ mail: ["250 2.1.0 Ok", { reply: "421 4.3.2 away", drop: "close" }] });
    await upstream.attempt(mail(), never);

    const facts = await upstream.attempt(mail(), never);

    expect(facts.refusal).toMatchObject({ stage: "mail", reply: { code: 421 } });
    expect(hop.sessions).toHaveLength(2);
  });

  test("while idle is not used again", async () => {
    const { hop, upstream } = await scene();
    await upstream.attempt(mail(), never);
    const closed = hop.next("closed");
    hop.sessions[0]?.say("421 4.4.1 idle too long\r\n");
    await closed;

    const facts = await upstream.attempt(mail(), never);

    expect(facts).toMatchObject({ accepted: { code: 250 }, reusedConnection: false });
  });

  test("after the final dot is no reason to send again", async () => {
    const { hop, upstream } = await scene({ final: ["250 Ok", { drop: "reset" }] });
    await upstream.attempt(mail(), never);

    const facts = await upstream.attempt(mail(), never);

    expect(facts).toMatchObject({ ambiguous: true, reusedConnection: true });
    expect(hop.sessions).toHaveLength(1);
  });
});

describe("content that cannot be read", () => {
  test("never completes the message, and keeps the code of its fault", async () => {
    const { hop, upstream } = await scene();
    const closed = hop.next("closed");
    const broken = new PosternError("E_CONTENT_CORRUPT", "checksum of row 2");
    const content = { inMemory: undefined, blocks: () => blocksOf([Buffer.from("half\r\n")], broken) };

    const facts = await upstream.attempt(mail({ content }), never);
    const session = await closed;

    expect(facts).toMatchObject({
      refusal: { stage: "content", fault: { code: "E_CONTENT_CORRUPT", detail: "checksum of row 2" } },
      ambiguous: false,
    });
    expect(hop.messages).toHaveLength(0);
    expect(session.received().toString()).not.toContain("\r\n.\r\n");
  });

  test("to its announced end is not a message", async () => {
    const { hop, upstream } = await scene();

    const facts = await upstream.attempt(mail({ sizeBytes: 1000 }), never);

    expect(facts.refusal).toMatchObject({ stage: "content", fault: { code: "CONTENT" } });
    expect(hop.messages).toHaveLength(0);
  });
});

test("a message over the server's SIZE is not offered to it", async () => {
  const { hop, upstream } = await scene({ extensions: ["SIZE 1000"] });

  const facts = await upstream.attempt(mail({ sizeBytes: 1001 }), never);

  expect(facts.refusal).toMatchObject({ stage: "mail", fault: { code: "TOO_LARGE" } });
  expect(hop.sessions[0]?.commands).toEqual(["EHLO relay.contoso.com"]);
});

test("an address beyond ASCII is refused alone where the server lacks SMTPUTF8, and as a sender for all", async () => {
  const { upstream } = await scene({ extensions: ["PIPELINING"] });

  const recipient = await upstream.attempt(mail({ recipients: ["zoé@contoso.com", "a@contoso.com"], smtpUtf8: true }), never);
  const sender = await upstream.attempt(mail({ reversePath: "zoé@contoso.com", smtpUtf8: true }), never);

  expect(recipient.accepted?.code).toBe(250);
  expect(recipient.recipients.map((one) => one.refusal?.fault?.code)).toEqual(["NO_SMTPUTF8", undefined]);
  expect(sender.refusal).toMatchObject({ stage: "mail", fault: { code: "NO_SMTPUTF8" } });
});

test("an address that would break the command is never sent", async () => {
  const { hop, upstream } = await scene();

  const facts = await upstream.attempt(mail({ recipients: ["a@contoso.com>\r\nRCPT TO:<evil@example.com"] }), never);

  expect(facts.recipients[0]?.refusal?.fault?.code).toBe("INVALID_ADDRESS");
  expect(hop.sessions[0]?.received().toString()).not.toContain("evil");
});

describe("stopping", () => {
  test("an attempt under way ends as ABORTED and closes its connection", async () => {
    const { hop, upstream } = await scene({ data: { silent: true } });
    const reached = hop.next("command", ({ line }) => line === "DATA");
    const closed = hop.next("closed");
    const stop = new AbortController();
    const attempt = upstream.attempt(mail(), stop.signal);
    await reached;

    stop.abort();

    expect((await attempt).refusal?.fault?.code).toBe("ABORTED");
    await closed;
  });

  test("says QUIT on idle connections", async () => {
    const { hop, upstream } = await scene();
    await upstream.attempt(mail(), never);

    await upstream.close();

    expect(hop.sessions[0]?.commands.at(-1)).toBe("QUIT");
    expect((await upstream.attempt(mail(), never)).refusal?.fault?.code).toBe("ABORTED");
  });
});

describe("the pool", () => {
  test("never opens more connections than allowed, and serves those who wait", async () => {
    const { hop, upstream } = await scene();

    const all = await Promise.all(Array.from({ length: 30 }, async () => await upstream.attempt(mail(), never)));

    expect(all.every((facts) => facts.accepted?.code === 250)).toBe(true);
    expect(hop.mostOpen()).toBe(2);
    expect(hop.sessions).toHaveLength(2);
  });

  test("keeps to its limit when connections die under those who wait", async () => {
    const { hop, upstream } = await scene({ final: [{ drop: "reset" }, "250 Ok", { reply: "421 4.3.2 busy", drop: "close" }, "250 Ok"] });

    const all = await Promise.all(Array.from({ length: 12 }, async () => await upstream.attempt(mail(), never)));

    expect(all.filter((facts) => facts.accepted !== undefined)).toHaveLength(10);
    expect(hop.mostOpen()).toBeLessThanOrEqual(3);
  });

  test("retires a connection after its share of messages, with QUIT, before it opens the next", async () => {
    const { hop, upstream } = await scene(
      {},
      {
        keep: { messages: 2 },
        limits: ONE,
      },
    );

    await Promise.all(Array.from({ length: 5 }, async () => await upstream.attempt(mail(), never)));

    expect(hop.sessions.map((session) => session.commands.filter((line) => line === "DATA").length)).toEqual([2, 2, 1]);
    expect(hop.sessions[0]?.commands.at(-1)).toBe("QUIT");
  });

  test("retires a connection that was idle for a minute", async () => {
    const { hop, upstream, clock } = await scene();
    await upstream.attempt(mail(), never);
    const quit = hop.next("command", ({ line }) => line === "QUIT");

    clock.advance(62_000);

    await quit;
    const facts = await upstream.attempt(mail(), never);
    expect(facts.reusedConnection).toBe(false);
  });

  test("retires a connection that is four minutes old, however busy", async () => {
    const { upstream, clock } = await scene();
    for (let minute = 0; minute < 5; minute++) {
      expect((await upstream.attempt(mail(), never)).accepted?.code).toBe(250);
      clock.advance(50_000);
    }

    const facts = await upstream.attempt(mail(), never);

    expect(facts.reusedConnection).toBe(false);
  });
});

describe("TLS", () => {
  const password = { username: "relay", password: async () => "hunter2-canary" };

  test.each(["required", "implicit"] as const)("%s: verified by chain and name", async (mode) => {
    const tls = { ...good, mode: mode === "implicit" ? ("implicit" as const) : ("starttls" as const) };
    const { upstream } = await scene({ tls }, { tls: mode, ca: [authority.ca] });

    const facts = await upstream.attempt(mail(), never);

    expect(facts).toMatchObject({ tls: "TLSv1.3", accepted: { code: 250 } });
  });

  test("implicit: a port that speaks STARTTLS is told apart from TLS that fails", async () => {
    const { upstream } = await scene({ tls: good }, { tls: "implicit", ca: [authority.ca] });

    expect((await upstream.attempt(mail(), never)).refusal).toMatchObject({ stage: "connect", fault: { code: "NOT_TLS" } });
  });

  test.each(["required", "implicit"] as const)("%s: a name that does not fit is refused", async (mode) => {
    const tls = { ...authority.issue(["other.example"]), mode: mode === "implicit" ? ("implicit" as const) : ("starttls" as const) };
    const { hop, upstream } = await scene({ tls }, { tls: mode, ca: [authority.ca] });

    const facts = await upstream.attempt(mail(), never);

    expect(facts.refusal).toMatchObject({ stage: mode === "implicit" ? "connect" : "starttls", fault: { code: "CERTIFICATE" } });
    expect(hop.messages).toHaveLength(0);
  });

  test.each(["required", "implicit"] as const)("%s: an unknown authority is refused", async (mode) => {
    const tls = { ...good, mode: mode === "implicit" ? ("implicit" as const) : ("starttls" as const) };
    const { upstream } = await scene({ tls }, { tls: mode });

    const facts = await upstream.attempt(mail(), never);

    expect(facts.refusal?.fault?.code).toBe("CERTIFICATE");
  });

  test("required: an expired certificate is refused", async () => {
    const expired = authority.issue(["127.0.0.1"], { notBefore: new Date(Date.now() - 864e6), notAfter: new Date(Date.now() - 864e5) });
    const { upstream } = await scene({ tls: expired }, { tls: "required", ca: [authority.ca] });

    expect((await upstream.attempt(mail(), never)).refusal).toMatchObject({
      fault: { code: "CERTIFICATE", detail: expect.stringContaining("expired") },
    });
  });

  test("required: STARTTLS stripped on the way is NO_STARTTLS, and nothing is sent", async () => {
    const { hop, upstream } = await scene({}, { tls: "required" });

    const facts = await upstream.attempt(mail(), never);

    expect(facts.refusal).toMatchObject({ stage: "starttls", fault: { code: "NO_STARTTLS" } });
    expect(hop.sessions[0]?.commands).toEqual(["EHLO relay.contoso.com"]);
  });

  const REFUSALS = [
    { reply: "454 4.7.0 TLS not available" },
    { reply: "421 4.7.0 TLS not available" },
    { reply: "421 4.7.0 TLS not available", drop: "close" },
    { reply: "502 5.5.1 Not implemented", drop: "close" },
    { reply: "502 5.5.1 Not implemented", drop: "reset" },
  ] as const;

  test.each(REFUSALS)("required: a refusal of STARTTLS keeps its words: $reply, then $drop", async (starttls) => {
    const { upstream } = await scene({ tls: good, replies: { starttls } }, { tls: "required", ca: [authority.ca] });
    const code = Number(starttls.reply.slice(0, 3));

    expect((await upstream.attempt(mail(), never)).refusal).toMatchObject({ stage: "starttls", reply: { code } });
  });

  test.each(REFUSALS)(
    "opportunistic: where STARTTLS is refused it goes plain, on a connection of its own: $reply, then $drop",
    async (starttls) => {
      const { hop, upstream, events } = await scene({ tls: good, replies: { starttls } }, { tls: "opportunistic" });

      const facts = await upstream.attempt(mail(), never);

      expect(facts).toMatchObject({ accepted: { code: 250 }, tls: undefined });
      expect(hop.sessions.map(({ commands }) => commands.includes("STARTTLS"))).toEqual([true, false]);
      expect(events).toContainEqual(
        expect.objectContaining({
          type: "upstream.replied",
          stage: "starttls",
          reply: expect.objectContaining({ code: Number(starttls.reply.slice(0, 3)) }),
        }),
      );
    },
  );

  test("replies slipped in after the answer to STARTTLS are not believed", async () => {
    const { hop, upstream } = await scene(
      {
        tls: good,
        extensions: ["PIPELINING"],
        replies: { starttls: { reply: "220 Ready", raw: "220 Ready\r\n250-evil\r\n250 SIZE 1\r\n" } },
      },
      { tls: "required", ca: [authority.ca] },
    );
    // The scripted server starts TLS on `reply`; `raw` is what goes out.
    const facts = await upstream.attempt(mail(), never);

    expect(facts.accepted?.code).toBe(250);
    expect(hop.messages[0]?.mail).toBe("MAIL FROM:<scan@contoso.com>");
  });

  test("opportunistic: used where offered whatever the certificate, else plain", async () => {
    const offered = await scene({ tls: good }, { tls: "opportunistic" });
    const plain = await scene({}, { tls: "opportunistic" });

    expect((await offered.upstream.attempt(mail(), never)).tls).toBe("TLSv1.3");
    const facts = await plain.upstream.attempt(mail(), never);
    expect([facts.tls, facts.accepted?.code]).toEqual([undefined, 250]);
  });

  test("opportunistic: a handshake that fails is tried again without", async () => {
    const { hop, upstream } = await scene(
      { tls: good, replies: { starttls: { reply: "500", raw: "220 Ready\r\nthis is no TLS at all\r\n", drop: "close" } } },
      { tls: "opportunistic" },
    );

    const facts = await upstream.attempt(mail(), never);

    expect(facts).toMatchObject({ accepted: { code: 250 }, tls: undefined });
    expect(hop.sessions).toHaveLength(2);
    expect(hop.sessions[1]?.commands).not.toContain("STARTTLS");
  });

  test("a password is sent after TLS, and never seen in facts or events", async () => {
    const { hop, upstream, events } = await scene(
      { tls: good, secureExtensions: ["AUTH LOGIN PLAIN"], replies: { auth: "535 5.7.8 Error: authentication failed" } },
      { tls: "required", ca: [authority.ca], credential: password },
    );

    const facts = await upstream.attempt(mail(), never);

    expect(facts.refusal).toMatchObject({ stage: "auth", reply: { code: 535, enhanced: "5.7.8" } });
    expect(hop.sessions[0]?.commands.filter((line) => line.startsWith("AUTH"))).toEqual([
      `AUTH PLAIN ${Buffer.from("\0relay\0hunter2-canary").toString("base64")}`,
    ]);
    expect(JSON.stringify([facts, events])).not.toMatch(/hunter2|aHVudGVy/);
    expect(events.at(-1)).toMatchObject({ type: "upstream.auth.failed", reply: { code: 535 } });
  });

  test("a password goes to this machine itself without TLS", async () => {
    const { upstream, events } = await scene(
      { extensions: ["AUTH LOGIN"], replies: { auth: "334 VXNlcm5hbWU6", "auth-response": ["334 UGFzc3dvcmQ6", "235 2.7.0 Ok"] } },
      { credential: password },
    );

    expect((await upstream.attempt(mail(), never)).accepted?.code).toBe(250);
    expect(events.map((event) => event.type)).toContain("upstream.auth.succeeded");
  });

  test("no mechanism in common is NO_AUTH_OFFERED", async () => {
    const { upstream } = await scene({}, { credential: password });

    expect((await upstream.attempt(mail(), never)).refusal).toMatchObject({ stage: "auth", fault: { code: "NO_AUTH_OFFERED" } });
  });

  test("a password that cannot be read is SECRET, and no connection is opened for it", async () => {
    const { hop, upstream } = await scene(
      {},
      { credential: { username: "u", password: async () => await Promise.reject(new Error("no such file")) } },
    );

    expect((await upstream.attempt(mail(), never)).refusal).toEqual({ stage: "auth", fault: { code: "SECRET", detail: "no such file" } });
    expect(hop.sessions).toHaveLength(0);
  });
});

describe("a probe", () => {
  test("opens a connection and keeps it for the next attempt", async () => {
    const { upstream } = await scene();

    expect(await upstream.probe(never)).toBeUndefined();
    expect((await upstream.attempt(mail(), never)).reusedConnection).toBe(true);
  });

  test("says why it failed", async () => {
    const { upstream } = await scene({ greeting: "554 5.7.1 go away" });

    expect(await upstream.probe(never)).toMatchObject({ stage: "greeting", reply: { code: 554 } });
  });
});

test("what stops an opening is not listened to any more once the connection stands, or does not: a signal with listeners is never let go", async () => {
  const opening = vi.spyOn(AbortSignal, "any");
  cleanUps.push(async () => opening.mockRestore());
  const { hop, upstream } = await scene({ mail: "421 4.3.2 closing" });

  for (let n = 0; n < 3; n++) await upstream.attempt(mail(), never);
  await hop.close();
  await upstream.attempt(mail(), never);

  const signals = opening.mock.results.map(({ value }) => value as AbortSignal);
  expect(signals.length).toBeGreaterThanOrEqual(4);
  expect(signals.map((signal) => getEventListeners(signal, "abort").length)).toEqual(signals.map(() => 0));
});
