import { createHash, randomBytes } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { usedKeys } from "../../test/support/keys.ts";
import { tempDir } from "../../test/support/temp-dir.ts";
import type { TempDir } from "../../test/support/temp-dir.ts";
import { systemClock, type Clock } from "../platform/clock.ts";
import { FAULTS } from "../simulator/fault-table.ts";
import { startSimulator } from "../simulator/simulator.ts";
import type { Simulator } from "../simulator/simulator.ts";
import { DEFAULT_CLIENT_ID, DEFAULT_SECRET } from "../simulator/tenant.ts";
import { createGraphUpstream } from "./graph.ts";
import type { Delivery, Upstream } from "./upstream.ts";

const never = new AbortController().signal;
const SCANNER = "scanner@contoso.com";
let directory: TempDir;
let microsoft: Simulator;
const doors: Upstream[] = [];

beforeAll(async () => {
  directory = await tempDir();
  microsoft = await startSimulator({ keys: usedKeys(), directory: directory.path });
});

afterEach(async () => {
  for (const door of doors.splice(0)) await door.close();
  microsoft.reset();
});

afterAll(async () => {
  await microsoft.close();
  await directory.remove();
});

function open(largeMessages: "next" | "draft" = "next", clock: Clock = systemClock): Upstream {
  const door = createGraphUpstream({
    name: "graph",
    mailbox: { kind: "one", address: SCANNER },
    sender: { mode: "keep", address: undefined, sendAs: [] },
    countedAs: {},
    largeMessages,
    graphHost: microsoft.graphUrl,
    authority: `${microsoft.authority}/${microsoft.tenant.id}`,
    scope: "https://graph.microsoft.com/.default",
    credential: { type: "client-secret", clientId: DEFAULT_CLIENT_ID, secret: async () => DEFAULT_SECRET },
    ca: [microsoft.caPem],
    limits: { connections: 4, messagesPerMinute: undefined, recipientsPerMessage: 450, maxMessageSizeBytes: 33 * 1024 * 1024 },
    clock,
    emit: () => {},
  });
  doors.push(door);
  return door;
}

function mail(over: Partial<Delivery> & { readonly text?: string } = {}): Delivery {
  const { text, ...rest } = over;
  const usual = `From: ${SCANNER}\r\nTo: anna@contoso.com\r\nSubject: scan\r\nMessage-ID: <1@contoso.com>\r\nX-Postern-Id: QUEUEID\r\n\r\nhello\r\n`;
  const whole = Buffer.from(text ?? usual, "latin1");
  async function* blocks(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < whole.length; at += 262_144) yield Buffer.from(whole.subarray(at, at + 262_144));
  }
  return {
    queueId: "QUEUEID",
    reversePath: SCANNER,
    recipients: ["anna@contoso.com"],
    smtpUtf8: false,
    eightBit: false,
    sizeBytes: whole.length,
    content: { inMemory: undefined, blocks },
    ...rest,
  };
}

test("what arrives is what was given, and who is only in the envelope gets it unseen", async () => {
  const facts = await open().attempt(mail({ recipients: ["anna@contoso.com", "bob@fabrikam.example"] }), never);

  const [message] = microsoft.messages();
  expect(facts).toMatchObject({ accepted: { code: 202 }, upstreamId: message?.upstreamId });
  expect(message).toMatchObject({
    door: "graph",
    mailbox: SCANNER,
    recipients: ["anna@contoso.com", "bob@fabrikam.example"],
    bcc: ["bob@fabrikam.example"],
    inSentItems: true,
  });
  expect(message?.content?.toString("latin1")).not.toContain("bob");
  expect(message?.bodySha256).toBe(createHash("sha256").update("hello\r\n").digest("hex"));
});

const graphFaults = FAULTS.filter(({ action, hosts }) => hosts.includes("graph") && action.kind === "graph");

describe("every answer that the stand-in knows comes as a reply in its words", () => {
  test.each(graphFaults.map((fault) => [fault.name, fault] as const))("%s", async (name, { action }) => {
    microsoft.faults.set(name);

    const facts = await open().attempt(mail(), never);

    if (action.kind !== "graph") throw new Error("not a fault of Graph");
    expect(facts.refusal).toMatchObject({ stage: "final", reply: { code: action.status } });
    expect(facts.refusal?.reply?.text.startsWith(`${action.code}: `)).toBe(true);
    expect(facts.refusal?.retryAfterMs).toBe(action.retryAfter === undefined ? undefined : Number(action.retryAfter.value) * 1000);
    expect(facts.ambiguous).toBe(action.status === 504);
  });

  test("there are such answers", () => {
    expect(graphFaults.length).toBeGreaterThan(15);
  });
});

describe("an answer that is lost after the message was sent", () => {
  test.each(["graph-timeout-sent", "graph-answer-lost"])("%s: found in Sent Items, and not sent again", async (fault) => {
    mayRead();
    const door = open();
    microsoft.faults.set(fault, { count: 1 });

    const first = await door.attempt(mail(), never);
    const second = await door.attempt(mail({ ambiguous: true }), never);

    expect(first).toMatchObject({ accepted: undefined, ambiguous: true });
    expect(second).toMatchObject({ accepted: { code: 202 }, ambiguous: false });
    expect(second.note).toContain("Sent Items holds the message");
    expect(microsoft.messages()).toHaveLength(1);
  });

  test("another message of the same Message-ID is not taken for it", async () => {
    mayRead();
    // The second look comes ten seconds after the first.
    const door = open("next", { ...systemClock, after: (ms, then) => systemClock.after(ms === 10_000 ? 0 : ms, then) });
    await door.attempt(
      mail({
        queueId: "OTHER",
        text: `From: ${SCANNER}\r\nTo: anna@contoso.com\r\nMessage-ID: <1@contoso.com>\r\nX-Postern-Id: OTHER\r\n\r\nx\r\n`,
      }),
      never,
    );

    await door.attempt(mail({ ambiguous: true }), never);

    expect(microsoft.messages()).toHaveLength(2);
  });

  test("without the right to read it is sent again, with the same ids", async () => {
    mayRead(false);
    const door = open();
    microsoft.faults.set("graph-answer-lost", { count: 1 });

    await door.attempt(mail(), never);
    const second = await door.attempt(mail({ ambiguous: true }), never);

    expect(second.accepted?.code).toBe(202);
    expect(microsoft.messages().map(({ messageId }) => messageId)).toEqual(["<1@contoso.com>", "<1@contoso.com>"]);
  });
});

/** Gives the application Mail.Read, or takes away what lets it read. */
function mayRead(isAllowed = true): void {
  const app = microsoft.tenant.apps[0];
  if (app === undefined) throw new Error("the tenant has no app");
  app.permissions = isAllowed ? ["SMTP.SendAsApp", "Mail.Send", "Mail.ReadWrite"] : ["SMTP.SendAsApp", "Mail.Send"];
}

test("a scan of 30 MB goes as a draft, and its file arrives octet for octet", async () => {
  mayRead();
  const scan = randomBytes(22_000_000);
  const wrapped = scan.toString("base64").replace(/(.{76})/g, "$1\r\n");
  const text = [
    `From: ${SCANNER}`,
    "To: anna@contoso.com",
    "Subject: scan",
    "Message-ID: <30@contoso.com>",
    "X-Postern-Id: QUEUEID",
    "MIME-Version: 1.0",
    "Content-Type: multipart/mixed; boundary=b",
    "",
    "--b",
    "Content-Type: text/plain",
    "",
    "Here it is.",
    "--b",
    "Content-Type: application/pdf; name=scan.pdf",
    "Content-Transfer-Encoding: base64",
    "",
    wrapped,
    "--b--",
    "",
  ].join("\r\n");

  const facts = await open("draft").attempt(mail({ text, recipients: ["anna@contoso.com", "bob@fabrikam.example"] }), never);

  expect(facts).toMatchObject({ accepted: { code: 202 } });
  const [message] = microsoft.messages();
  expect(message).toMatchObject({ door: "graph", messageId: "<30@contoso.com>", recipients: ["anna@contoso.com", "bob@fabrikam.example"] });
  const { simpleParser } = await import("mailparser");
  const arrived = await simpleParser(message?.content ?? Buffer.alloc(0));
  expect(arrived.attachments[0]?.filename).toBe("scan.pdf");
  expect(
    createHash("sha256")
      .update(arrived.attachments[0]?.content ?? "")
      .digest("hex"),
  ).toBe(createHash("sha256").update(scan).digest("hex"));
}, 60_000);
