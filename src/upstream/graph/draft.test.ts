import { createHash, randomBytes } from "node:crypto";
import { afterEach, describe, expect, test } from "vitest";
import { graphError, startGraphServer } from "../../../test/fakes/graph-server.ts";
import type { GraphAnswer, GraphAsked, GraphServer } from "../../../test/fakes/graph-server.ts";
import { makeTestAuthority } from "../../../test/fakes/test-ca.ts";
import { systemClock } from "../../platform/clock.ts";
import { createGraphUpstream } from "../graph.ts";
import type { Delivery, Upstream } from "../upstream.ts";

const authority = makeTestAuthority();
const certificate = authority.issue(["127.0.0.1"]);
const never = new AbortController().signal;
const USER = "/v1.0/users/scanner%40contoso.com";

const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
});

/** Answers as Graph does, but for the steps that a test wants otherwise. */
async function scene(
  other: (asked: GraphAsked) => GraphAnswer | undefined = () => undefined,
): Promise<{ graph: GraphServer; door: Upstream }> {
  const graph: GraphServer = await startGraphServer({
    tls: certificate,
    answer: (asked) => other(asked) ?? usual(asked, graph.url),
  });
  const door = createGraphUpstream({
    name: "graph",
    mailbox: { kind: "one", address: "scanner@contoso.com" },
    sender: { mode: "keep", address: undefined, sendAs: [] },
    countedAs: {},
    largeMessages: "draft",
    scope: "https://graph.microsoft.com/.default",
    credential: { type: "client-secret", clientId: "11111111-2222-3333-4444-555555555555", secret: async () => "x" },
    graphHost: graph.url,
    authority: `${graph.url}/contoso.onmicrosoft.com`,
    ca: [authority.ca],
    limits: { connections: 4, messagesPerMinute: undefined, recipientsPerMessage: 450, maxMessageSizeBytes: 33 * 1024 * 1024 },
    clock: systemClock,
    emit: () => {},
  });
  cleanUps.push(graph.close, async () => await door.close());
  return { graph, door };
}

function usual({ method, path, headers }: GraphAsked, url: string): GraphAnswer {
  if (method === "DELETE") return { status: 204 };
  if (method === "PUT") {
    const [, last = 0, size = 0] = (/-(\d+)\/(\d+)$/.exec(String(headers["content-range"])) ?? []).map(Number);
    return last + 1 === size ? { status: 201 } : { status: 200, body: { nextExpectedRanges: [String(last + 1)] } };
  }
  if (path.endsWith("/createUploadSession")) return { status: 201, body: { uploadUrl: `${url}/AttachmentSessions/1?authtoken=abc` } };
  if (path.endsWith("/attachments")) return { status: 201, body: { id: "file-1" } };
  if (path.endsWith("/send")) return { status: 202 };
  return { status: 201, body: { id: "AAMk/draft=" } };
}

const wrapped = (octets: Buffer): string => octets.toString("base64").replace(/(.{76})/g, "$1\r\n");
const HEAD = [
  "From: Scanner <scanner@contoso.com>",
  'To: "Doe, Anna" <anna@contoso.com>',
  "Subject: =?utf-8?Q?Gepr=C3=BCft?=",
  "Message-ID: <1@contoso.com>",
  "X-Postern-Id: QUEUEID",
  "MIME-Version: 1.0",
].join("\r\n");

function mixed(parts: readonly string[], head = HEAD, type = "multipart/mixed"): Buffer {
  return Buffer.from(
    `${head}\r\nContent-Type: ${type}; boundary="=_b"\r\n\r\npreamble\r\n${parts.map((part) => `--=_b\r\n${part}\r\n`).join("")}--=_b--\r\n`,
    "latin1",
  );
}

function mail(whole: Buffer, over: Partial<Delivery> = {}): Delivery {
  return {
    queueId: "QUEUEID",
    reversePath: "scanner@contoso.com",
    recipients: ["anna@contoso.com", "bob@x.example"],
    smtpUtf8: false,
    eightBit: false,
    sizeBytes: whole.length,
    content: {
      inMemory: undefined,
      async *blocks() {
        // As the queue gives them: a block's memory is gone once the next one is asked for.
        for (let at = 0; at < whole.length; at += 262_144) {
          const block = Buffer.from(whole.subarray(at, at + 262_144));
          yield block;
          block.fill(0);
        }
      },
    },
    ...over,
  };
}

const TEXT =
  "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nHere is your scan, =\r\nJ=C3=BCrgen.\r\n";
const file = (octets: Buffer, name: string): string =>
  `Content-Type: application/pdf\r\nContent-Disposition: attachment; ${name}\r\nContent-Transfer-Encoding: base64\r\n\r\n${wrapped(octets)}`;
const steps = ({ asked }: GraphServer): string[] => asked.map(({ method, path }) => `${method} ${path.replace(USER, "")}`);

describe("a scan that is too large for MIME", () => {
  test("goes as a draft: large files in slices without a token, small ones in one request, then it is sent", async () => {
    const { graph, door } = await scene();
    const large = randomBytes(9_000_001);
    const small = randomBytes(500_000);

    const facts = await door.attempt(
      mail(mixed([TEXT, file(large, 'filename="scan 1.pdf"'), file(small, "filename*=utf-8''R%C3%A9sum%C3%A9.pdf")])),
      never,
    );

    expect(facts).toMatchObject({ accepted: { code: 202 }, refusal: undefined, ambiguous: false });
    expect(facts.note).toContain("sent as a draft with 2 attachments");
    const draft = "/messages/AAMk%2Fdraft%3D";
    expect(steps(graph)).toEqual([
      "POST /messages",
      `POST ${draft}/attachments/createUploadSession`,
      "PUT /AttachmentSessions/1",
      "PUT /AttachmentSessions/1",
      "PUT /AttachmentSessions/1",
      `POST ${draft}/attachments`,
      `POST ${draft}/send`,
    ]);
    expect(JSON.parse(Buffer.from(graph.asked[0]?.body ?? "", "latin1").toString())).toEqual({
      subject: "Geprüft",
      body: { contentType: "text", content: "Here is your scan, Jürgen.\r\n" },
      from: { emailAddress: { name: "Scanner", address: "scanner@contoso.com" } },
      toRecipients: [{ emailAddress: { name: "Doe, Anna", address: "anna@contoso.com" } }],
      ccRecipients: [],
      bccRecipients: [{ emailAddress: { address: "bob@x.example" } }],
      internetMessageId: "<1@contoso.com>",
      internetMessageHeaders: [{ name: "X-Postern-Id", value: "QUEUEID" }],
    });
    const puts = graph.asked.filter(({ method }) => method === "PUT");
    expect(puts.map(({ headers }) => headers["content-range"])).toEqual([
      "bytes 0-3932159/9000001",
      "bytes 3932160-7864319/9000001",
      "bytes 7864320-9000000/9000001",
    ]);
    expect(puts.map(({ headers, query }) => [headers.authorization, query.get("authtoken")])).toEqual(puts.map(() => [undefined, "abc"]));
    const uploaded = Buffer.concat(puts.map(({ body }) => Buffer.from(body, "latin1")));
    expect(createHash("sha256").update(uploaded).digest("hex")).toBe(createHash("sha256").update(large).digest("hex"));
    const attached = JSON.parse(Buffer.from(graph.asked[5]?.body ?? "", "latin1").toString()) as { name: string; contentBytes: string };
    expect(attached.name).toBe("Résumé.pdf");
    expect(Buffer.from(attached.contentBytes, "base64").equals(small)).toBe(true);
  });

  test("that is nothing but the file goes with an empty text", async () => {
    const { graph, door } = await scene();
    const whole = Buffer.from(`${HEAD}\r\n${file(randomBytes(3_000_000), "filename=scan.pdf")}\r\n`, "latin1");

    expect((await door.attempt(mail(whole), never)).accepted?.code).toBe(202);

    expect(JSON.parse(graph.asked[0]?.body ?? "")).toMatchObject({ body: { contentType: "text", content: "" } });
    expect(graph.asked.filter(({ method }) => method === "PUT")).toHaveLength(1);
  });

  test("whose text has an HTML form goes with that", async () => {
    const { graph, door } = await scene();
    const alternative = [
      'Content-Type: multipart/alternative; boundary="in"\r\n',
      "--in\r\nContent-Type: text/plain\r\n\r\nplain",
      "--in\r\nContent-Type: text/html; charset=iso-8859-1\r\n\r\n<b>\xe9</b>",
      "--in--",
    ].join("\r\n");

    expect((await door.attempt(mail(mixed([alternative, file(randomBytes(3_000_000), "filename=a.pdf")])), never)).accepted?.code).toBe(
      202,
    );

    expect(JSON.parse(Buffer.from(graph.asked[0]?.body ?? "", "latin1").toString())).toMatchObject({
      body: { contentType: "html", content: "<b>é</b>" },
    });
  });
});

describe("what would be harmed by it is left to another door, and nothing is made", () => {
  const large = file(randomBytes(3_000_000), "filename=a.pdf");
  test.each<[string, Buffer]>([
    ["a DKIM signature", mixed([TEXT, large], `DKIM-Signature: v=1; a=rsa-sha256\r\n${HEAD}`)],
    ["S/MIME", mixed([TEXT, large], HEAD, "multipart/signed")],
    ["a report", mixed([TEXT, large], HEAD, "multipart/report")],
    ["a message in the message", mixed([TEXT, "Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nx", large])],
    ["a text after the file", mixed([TEXT, large, TEXT])],
    ["a text of 3 MB", mixed([`Content-Type: text/plain\r\n\r\n${"x\r\n".repeat(1_000_000)}`])],
    ["an encoding that nobody knows", mixed([TEXT, large.replace("base64", "x-uuencode")])],
  ])("%s", async (_, whole) => {
    const { graph, door } = await scene();

    const facts = await door.attempt(mail(whole), never);

    expect(facts.refusal).toMatchObject({
      stage: "mail",
      fault: { code: "TOO_LARGE", detail: expect.stringContaining("cannot go as a draft") as string },
    });
    expect(graph.asked).toEqual([]);
  });
});

describe("when a step fails", () => {
  const whole = mixed([TEXT, file(randomBytes(5_000_000), "filename=a.pdf")]);

  test.each<[string, (asked: GraphAsked) => boolean]>([
    ["the session", ({ path }) => path.endsWith("/createUploadSession")],
    ["a slice", ({ headers }) => headers["content-range"]?.startsWith("bytes 3932160-") === true],
    ["the sending", ({ path }) => path.endsWith("/send")],
  ])("%s: the draft is deleted, and the answer is the attempt's", async (_, isFailing) => {
    const { graph, door } = await scene((asked) =>
      isFailing(asked) ? { status: 503, headers: { "Retry-After": "9" }, body: graphError("ErrorServerBusy", "busy") } : undefined,
    );

    const facts = await door.attempt(mail(whole), never);

    expect(facts).toMatchObject({
      accepted: undefined,
      ambiguous: false,
      refusal: { reply: { code: 503, text: "ErrorServerBusy: busy" }, retryAfterMs: 9_000 },
    });
    expect(steps(graph).at(-1)).toBe("DELETE /messages/AAMk%2Fdraft%3D");
  });

  test("the answer to the sending is lost: ambiguous, and the draft is not ours to delete", async () => {
    const { graph, door } = await scene(({ path }) => (path.endsWith("/send") ? { status: 504 } : undefined));

    expect(await door.attempt(mail(whole), never)).toMatchObject({ ambiguous: true, refusal: { reply: { code: 504 } } });
    expect(graph.asked.some(({ method }) => method === "DELETE")).toBe(false);
  });

  test("no right to make drafts: Graph's own words, which are of the content and not of the right to send", async () => {
    const { door } = await scene(({ path }) =>
      path.endsWith("/messages") ? { status: 403, body: graphError("ErrorAccessDenied", "no") } : undefined,
    );

    const facts = await door.attempt(mail(whole), never);

    expect(facts.refusal).toMatchObject({ stage: "content", reply: { code: 403, text: "ErrorAccessDenied: no" } });
  });
});
