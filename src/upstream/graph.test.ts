import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import type { AddressInfo } from "node:net";
import { randomBytes } from "node:crypto";
import { afterEach, describe, expect, test } from "vitest";
import { graphError, startGraphServer } from "../../test/fakes/graph-server.ts";
import type { GraphAnswer, GraphServer, GraphServerOptions } from "../../test/fakes/graph-server.ts";
import { makeTestAuthority } from "../../test/fakes/test-ca.ts";
import { PosternError } from "../mail/errors.ts";
import type { PosternEvent } from "../mail/events.ts";
import { ManualClock } from "../platform/clock.ts";
import { createGraphUpstream } from "./graph.ts";
import type { GraphOptions } from "./graph.ts";
import type { Delivery, Upstream } from "./upstream.ts";

const authority = makeTestAuthority();
const certificate = authority.issue(["127.0.0.1", "localhost"]);
const never = new AbortController().signal;
const MAILBOX = "scanner@contoso.com";
const SENT_ITEMS = "/v1.0/users/scanner%40contoso.com/mailFolders/sentitems/messages";

const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
});

const LOOK_AGAIN_MS = 10_000;

/** Tells when something begins to wait for so long. */
class WatchedClock extends ManualClock {
  readonly #seen = new Set<number>();
  readonly #told = new Map<number, () => void>();

  override after(delayMs: number, callback: () => void): () => void {
    this.#seen.add(delayMs);
    this.#told.get(delayMs)?.();
    return super.after(delayMs, callback);
  }

  async waitsFor(delayMs: number): Promise<void> {
    if (this.#seen.has(delayMs)) return;
    await new Promise<void>((resolve) => this.#told.set(delayMs, resolve));
  }
}

interface Scene {
  readonly graph: GraphServer;
  readonly door: Upstream;
  readonly clock: WatchedClock;
  readonly events: PosternEvent[];
}

type Setting = Omit<GraphServerOptions, "tls"> & { readonly options?: Partial<GraphOptions> };

async function scene({ options, ...server }: Setting = {}): Promise<Scene> {
  const graph = await startGraphServer({ tls: certificate, ...server });
  // The token's life is counted by the system's clock inside msal.
  const clock = new WatchedClock(Date.now());
  const events: PosternEvent[] = [];
  const door = createGraphUpstream({
    name: "graph",
    mailbox: { kind: "one", address: MAILBOX },
    sender: { mode: "keep", address: MAILBOX, sendAs: [] },
    countedAs: {},
    largeMessages: "next",
    scope: "https://graph.microsoft.com/.default",
    credential: { type: "client-secret", clientId: "11111111-2222-3333-4444-555555555555", secret: async () => "canary~Secret.8Q" },
    graphHost: graph.url,
    authority: `${graph.url}/contoso.onmicrosoft.com`,
    ca: [authority.ca],
    limits: { connections: 4, messagesPerMinute: undefined, recipientsPerMessage: 450, maxMessageSizeBytes: 2000 * 1024 },
    clock,
    emit: (event) => events.push(event),
    ...options,
  });
  cleanUps.push(graph.close, async () => await door.close());
  return { graph, door, clock, events };
}

const HEAD =
  "From: scanner@contoso.com\r\nTo: anna@contoso.com\r\nSubject: scan\r\nMessage-ID: <1@contoso.com>\r\nX-Postern-Id: QUEUEID\r\n";

function mail(over: Partial<Delivery> & { readonly head?: string; readonly body?: Buffer } = {}): Delivery {
  const { head = HEAD, body = Buffer.from("hello\r\n"), ...rest } = over;
  const whole = Buffer.concat([Buffer.from(`${head}\r\n`, "latin1"), body]);
  async function* blocks(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < whole.length; at += 100_000) yield Buffer.from(whole.subarray(at, at + 100_000));
  }
  return {
    queueId: "QUEUEID",
    reversePath: MAILBOX,
    recipients: ["anna@contoso.com"],
    smtpUtf8: false,
    eightBit: false,
    sizeBytes: whole.length,
    content: { inMemory: whole.length > 100_000 ? undefined : whole, blocks },
    ...rest,
  };
}

const sent = (asked: { readonly body: string } | undefined): string => Buffer.from(asked?.body ?? "", "base64").toString("latin1");
const posts = ({ asked }: GraphServer): number => asked.filter(({ method }) => method === "POST").length;

describe("a message that Graph takes", () => {
  test("goes as base64 to its mailbox, octet for octet, and the facts tell of it", async () => {
    const { graph, door, events } = await scene();
    const message = mail();

    const facts = await door.attempt(message, never);

    expect(graph.asked).toHaveLength(1);
    expect(graph.asked[0]).toMatchObject({ method: "POST", path: "/v1.0/users/scanner%40contoso.com/sendMail" });
    expect(graph.asked[0]?.headers).toMatchObject({ "content-type": "text/plain", authorization: "Bearer TOKEN-1" });
    expect(graph.asked[0]?.headers["content-length"]).toBe(String(graph.asked[0]?.body.length));
    expect(sent(graph.asked[0])).toBe(Buffer.from(message.content.inMemory ?? []).toString("latin1"));
    expect(facts).toMatchObject({
      accepted: { code: 202, text: "Accepted", protocol: "http" },
      upstreamId: "request-1",
      remote: `127.0.0.1:${graph.port} [127.0.0.1]`,
      tls: "TLSv1.3",
      reusedConnection: false,
      ambiguous: false,
      recipients: [{ address: "anna@contoso.com" }],
    });
    expect(facts.refusal).toBeUndefined();
    expect(facts.note).toBeUndefined();
    expect(events.map(({ type }) => type)).toEqual(["upstream.connected", "upstream.replied", "upstream.auth.succeeded"]);
    expect(events[1]).toEqual({
      type: "upstream.replied",
      upstream: "graph",
      stage: "final",
      reply: { code: 202, text: "Accepted", protocol: "http" },
    });
  });

  test("four at a time of nearly 2,000 KiB arrive whole, and the next ones use their connections", async () => {
    const { graph, door } = await scene();
    const bodies = Array.from({ length: 8 }, () => Buffer.from(`${randomBytes(990_000).toString("hex")}\r\n`));
    const send = async (body: Buffer) => await door.attempt(mail({ body }), never);

    const first = await Promise.all(bodies.slice(0, 4).map(send));
    const second = await Promise.all(bodies.slice(4).map(send));

    expect([...first, ...second].map(({ accepted }) => accepted?.code)).toEqual(Array(8).fill(202));
    expect(second.map(({ reusedConnection }) => reusedConnection)).toEqual(Array(4).fill(true));
    expect(new Set(graph.asked.map(({ clientPort }) => clientPort)).size).toBe(4);
    const arrived = graph.asked.map((asked) => sent(asked)).toSorted();
    expect(arrived.map((mime) => mime.length)).toEqual(Array(8).fill(HEAD.length + 2 + 1_980_002));
    expect(new Set(arrived)).toEqual(new Set(bodies.map((body) => `${HEAD}\r\n${body.toString("latin1")}`)));
    expect(graph.tokens()).toBe(1);
  });
});

describe("recipients in the header", () => {
  const head = (fields: string): string => `From: scanner@contoso.com\r\n${fields}Subject: scan\r\n`;

  test.each<[string, string, string[], string]>([
    [
      "that are the envelope's stay as they are",
      "To: Anna <anna@contoso.com>\r\nCc: bob@x.example\r\n",
      ["anna@contoso.com", "bob@x.example"],
      "",
    ],
    ["in another spelling count", 'To: "Anna"@CONTOSO.com\r\n', ["anna@contoso.com"], ""],
    ["that lack some get those as Bcc", "To: anna@contoso.com\r\n", ["anna@contoso.com", "bob@x.example"], "Bcc: bob@x.example\r\n"],
    ["that are not there at all are all Bcc", "", ["a@x.example", "b@x.example"], "Bcc: a@x.example, b@x.example\r\n"],
    ["in a group count", "To: Team: anna@contoso.com;\r\n", ["anna@contoso.com"], ""],
    ["with an address that needs quotes are written so", "", ["a,b@x.example"], 'Bcc: "a,b"@x.example\r\n'],
  ])("%s", async (_, fields, recipients, added) => {
    const { graph, door } = await scene();

    const facts = await door.attempt(mail({ head: head(fields), recipients }), never);

    expect(facts).toMatchObject({ accepted: { code: 202 }, note: undefined });
    expect(sent(graph.asked[0])).toBe(`${head(fields)}${added}\r\nhello\r\n`);
  });

  test("that cannot be written are refused alone, brackets within quotes can be", async () => {
    const { graph, door } = await scene();
    const recipients = ["a>b@contoso.com", '"a>b"@contoso.com', "a@contoso.com\r\nX: y"];

    const facts = await door.attempt(mail({ head: head(""), recipients }), never);
    const none = await door.attempt(mail({ head: head(""), recipients: ["a>b@contoso.com"] }), never);

    expect(sent(graph.asked[0])).toBe(`${head("")}Bcc: "a>b"@contoso.com\r\n\r\nhello\r\n`);
    expect(facts.accepted?.code).toBe(202);
    expect(facts.recipients.map(({ refusal }) => refusal?.fault?.code)).toEqual(["INVALID_ADDRESS", undefined, "INVALID_ADDRESS"]);
    expect(none.refusal?.fault?.code).toBe("INVALID_ADDRESS");
    expect(graph.asked).toHaveLength(1);
  });

  test("undisclosed recipients leave with the field that names nobody", async () => {
    const { graph, door } = await scene();

    const facts = await door.attempt(mail({ head: head("To: undisclosed-recipients:;\r\n") }), never);

    expect(sent(graph.asked[0])).toBe(`${head("")}Bcc: anna@contoso.com\r\n\r\nhello\r\n`);
    expect(facts.note).toBe("a recipient field that names nobody was taken out");
  });

  test("a name without an address leaves, whatever else is there", async () => {
    const { graph, door } = await scene();

    const facts = await door.attempt(mail({ head: head("To: Everybody, anna@contoso.com\r\n") }), never);

    expect(sent(graph.asked[0])).toBe(`${head("To: anna@contoso.com\r\n")}\r\nhello\r\n`);
    expect(facts.note).toContain("Everybody");
  });

  test("whom the delivery does not hold is a case for another door, and nothing is sent", async () => {
    const { graph, door } = await scene();

    const facts = await door.attempt(mail({ head: head("To: anna@contoso.com, boss@x.example\r\n") }), never);

    expect(facts.refusal).toEqual({
      stage: "rcpt",
      fault: { code: "HEADER_RECIPIENTS", detail: expect.stringContaining("boss@x.example") as string },
    });
    expect(graph.asked).toEqual([]);
  });

  test("without another door they are taken out, the others stay as written, and the history says so", async () => {
    const { graph, door } = await scene();
    const fields = 'TO: "Doe, Anna" <anna@contoso.com> (sales),\r\n Boss <boss@x.example>\r\nCc: Team: boss@x.example;\r\n';

    const facts = await door.attempt(mail({ head: head(fields), lastDoor: true }), never);

    expect(sent(graph.asked[0])).toBe(`${head('TO: "Doe, Anna" <anna@contoso.com> (sales)\r\n')}\r\nhello\r\n`);
    expect(facts.accepted?.code).toBe(202);
    expect(facts.note).toContain("boss@x.example");
  });

  test("a stranger in a malformed entry is found, and so is one after a quote that never ends", async () => {
    const { graph, door } = await scene();

    for (const to of ["anna@contoso.com boss@x.example", '"Anna <anna@contoso.com>, boss@x.example', "boss@x.example <anna@contoso.com>"]) {
      const facts = await door.attempt(mail({ head: head(`To: ${to}\r\n`) }), never);
      expect(facts.refusal?.fault?.code).toBe("HEADER_RECIPIENTS");
    }
    expect(graph.asked).toEqual([]);
  });
});

describe("answers that are no success", () => {
  test.each<[string, GraphAnswer, object]>([
    ["200: nothing was sent", { status: 200 }, { fault: { code: "GRAPH_STATUS_200" } }],
    ["200 with a page: it never came to Graph", { status: 200, body: "<html>Please sign in</html>" }, { fault: { code: "GRAPH_PAGE" } }],
    [
      "403 ErrorSendAsDenied",
      { status: 403, body: graphError("ErrorSendAsDenied", "The user account  does not have the right\r\nto send.") },
      { reply: { code: 403, text: "ErrorSendAsDenied: The user account does not have the right to send." } },
    ],
    [
      "429, whatever the case of Retry-After",
      {
        status: 429,
        headers: { "RETRY-AFTER": "17" },
        body: graphError("ApplicationThrottled", "Application is over its MailboxConcurrency limit."),
      },
      { reply: { code: 429 }, retryAfterMs: 17_000 },
    ],
    ["503 without a wait", { status: 503, body: graphError("ServiceUnavailable", "x") }, { reply: { code: 503 }, retryAfterMs: undefined }],
    ["a proxy's page", { status: 502, body: "<html>secret page</html>" }, { reply: { code: 502, text: "Bad Gateway" } }],
    ["a redirect", { status: 307, headers: { location: "https://evil.example/" } }, { fault: { code: "PROTOCOL" } }],
  ])("%s", async (_, answer, refusal) => {
    const { graph, door } = await scene({ answer: () => answer });

    const facts = await door.attempt(mail(), never);

    expect(facts.refusal).toMatchObject({ stage: "final", ...refusal });
    expect(facts).toMatchObject({ accepted: undefined, ambiguous: false, upstreamId: "request-1" });
    expect(posts(graph)).toBe(1);
  });

  test("Retry-After as a date is counted from the date of the answer, however wrong our clock is", async () => {
    const said = { date: "Fri, 27 Nov 2026 09:00:00 GMT", "retry-after": "Fri, 27 Nov 2026 09:01:30 GMT" };
    const { door } = await scene({ answer: () => ({ status: 503, headers: said }) });

    const facts = await door.attempt(mail(), never);

    expect(facts.refusal?.retryAfterMs).toBe(90_000);
  });

  test.each(["0", "-5", "soon", "Thu, 26 Nov 2020 09:00:00 GMT"])("Retry-After: %s tells no time, so ours is waited", async (value) => {
    const { door } = await scene({ answer: () => ({ status: 429, headers: { "retry-after": value } }) });

    const facts = await door.attempt(mail(), never);

    expect(facts.refusal).toMatchObject({ reply: { code: 429 }, retryAfterMs: undefined });
  });

  test("401: one more try with a new token, which is enough where the permission was newer than the token", async () => {
    const { graph, door, events } = await scene({
      answer: (_, number) => (number === 1 ? { status: 401, body: graphError("InvalidAuthenticationToken", "expired") } : { status: 202 }),
    });

    const facts = await door.attempt(mail(), never);

    expect(facts).toMatchObject({ accepted: { code: 202 }, refusal: undefined });
    expect(graph.asked.map(({ headers }) => headers.authorization)).toEqual(["Bearer TOKEN-1", "Bearer TOKEN-2"]);
    expect(sent(graph.asked[1])).toBe(sent(graph.asked[0]));
    expect(events.filter(({ type }) => type.startsWith("upstream.auth"))).toEqual([{ type: "upstream.auth.succeeded", upstream: "graph" }]);
  });

  test("401 twice stands, and the next attempt gets a token of its own", async () => {
    const { graph, door, events } = await scene({
      answer: () => ({ status: 401, body: graphError("NoPermissionsInAccessToken", "no roles") }),
    });

    const facts = await door.attempt(mail(), never);
    await door.attempt(mail(), never);

    expect(facts.refusal).toMatchObject({ stage: "final", reply: { code: 401, text: "NoPermissionsInAccessToken: no roles" } });
    expect(graph.asked).toHaveLength(4);
    expect(graph.tokens()).toBe(4);
    expect(events.filter(({ type }) => type === "upstream.auth.failed")).toHaveLength(2);
  });

  test("no token: nothing is asked of Graph", async () => {
    const { graph, door, events } = await scene({
      token: () => ({
        status: 401,
        body: { error: "invalid_client", error_description: "AADSTS7000215: Invalid client secret provided." },
      }),
    });

    const facts = await door.attempt(mail(), never);

    expect(facts.refusal).toMatchObject({ stage: "token", fault: { code: "AADSTS7000215" } });
    expect(graph.asked).toEqual([]);
    expect(events.map(({ type }) => type)).toEqual(["upstream.auth.failed"]);
  });

  test("an answer before the message has gone out whole is the answer", async () => {
    const { door } = await scene({
      early: (request, response) => {
        if (!(request.url ?? "").endsWith("/sendMail")) return false;
        response
          .writeHead(413, { "content-type": "application/json", connection: "close" })
          .end(JSON.stringify(graphError("ErrorMessageSizeExceeded", "too large")));
        return true;
      },
    });

    const facts = await door.attempt(mail({ body: Buffer.alloc(1_900_000, "x\r\n") }), never);

    expect(facts).toMatchObject({ ambiguous: false, refusal: { stage: "final", reply: { code: 413 } } });
  });
});

describe("answers that are lost", () => {
  test("504 says that nobody knows: ambiguous", async () => {
    const { door } = await scene({ answer: () => ({ status: 504, headers: { "retry-after": "5" } }) });

    expect(await door.attempt(mail(), never)).toMatchObject({ ambiguous: true, refusal: { reply: { code: 504 }, retryAfterMs: 5_000 } });
  });

  test("no answer in time to a whole request: ambiguous", async () => {
    const { graph, door, clock } = await scene({ answer: () => "hang" });

    const attempt = door.attempt(mail(), never);
    await graph.whole(1);
    clock.advance(180_000);

    expect(await attempt).toMatchObject({ ambiguous: true, refusal: { stage: "final", fault: { code: "TIMEOUT" } } });
  });

  test("a connection that breaks after a whole request: ambiguous", async () => {
    const { door } = await scene({ answer: () => "reset" });

    expect(await door.attempt(mail(), never)).toMatchObject({ ambiguous: true, refusal: { stage: "final", fault: { code: "RESET" } } });
  });

  test("a connection that breaks in the middle of the message: not sent, not ambiguous", async () => {
    const { door } = await scene({
      early: (request) => {
        if (!(request.url ?? "").endsWith("/sendMail")) return false;
        request.once("data", () => request.socket.destroy());
        return true;
      },
    });

    const facts = await door.attempt(mail({ body: Buffer.alloc(1_900_000, "x\r\n") }), never);

    expect(facts).toMatchObject({ ambiguous: false, refusal: { stage: "content" } });
  });

  test("stopped while waiting for the answer: ambiguous; before anything went out: untried", async () => {
    const { graph, door } = await scene({ answer: () => "hang" });
    const stop = new AbortController();

    const attempt = door.attempt(mail(), stop.signal);
    await graph.whole(1);
    stop.abort();

    expect(await attempt).toMatchObject({ ambiguous: true, refusal: { fault: { code: "ABORTED" } } });
    expect(await door.attempt(mail(), stop.signal)).toMatchObject({ ambiguous: false, refusal: { fault: { code: "ABORTED" } } });
    expect(posts(graph)).toBe(1);
  });
});

describe("a message that may have been sent already", () => {
  const again = (over: Parameters<typeof mail>[0] = {}): Delivery => mail({ ...over, ambiguous: true });
  const copy = (over: object = {}): object => ({
    id: "AAMk=1",
    internetMessageId: "<1@contoso.com>",
    toRecipients: [{ emailAddress: { name: "Anna", address: "Anna@contoso.com" } }],
    ccRecipients: [],
    bccRecipients: [],
    internetMessageHeaders: [{ name: "X-POSTERN-ID", value: "QUEUEID" }],
    ...over,
  });
  const holding = (...copies: object[]) => ({ status: 200, body: { value: copies } });

  test("is not sent again when Sent Items holds it", async () => {
    const { graph, door } = await scene({ answer: () => holding(copy()) });

    const facts = await door.attempt(again(), never);

    expect(facts).toMatchObject({ accepted: { code: 202 }, ambiguous: false, refusal: undefined });
    expect(facts.note).toContain("not sent again");
    expect(graph.asked.map(({ method, path }) => [method, path])).toEqual([["GET", SENT_ITEMS]]);
    expect(graph.asked[0]?.query.get("$filter")).toBe("internetMessageId eq '<1@contoso.com>'");
  });

  test("is found again for those of its recipients that are left", async () => {
    const both = ["anna@contoso.com", "bob@x.example"].map((address) => ({ emailAddress: { address } }));
    const { graph, door } = await scene({ answer: () => holding(copy({ toRecipients: [], bccRecipients: both })) });

    expect((await door.attempt(again(), never)).accepted).toBeDefined();
    expect(posts(graph)).toBe(0);
  });

  test("is told from another of the same Message-ID by X-Postern-Id, out of the copy itself where the list has no headers", async () => {
    const { graph, door, clock } = await scene({
      answer: ({ method, path }) => {
        if (method === "POST") return { status: 202 };
        if (!path.endsWith("/$value")) return holding(copy({ internetMessageHeaders: undefined }));
        return { status: 200, body: Buffer.from(`Subject: x\r\nX-Postern-Id: ANOTHER\r\n\r\n${"x".repeat(2_000_000)}`) };
      },
    });

    const attempt = door.attempt(again(), never);
    await clock.waitsFor(LOOK_AGAIN_MS);
    clock.advance(LOOK_AGAIN_MS);

    expect(await attempt).toMatchObject({ accepted: { code: 202 }, note: undefined });
    expect(graph.asked[1]?.path).toBe("/v1.0/users/scanner%40contoso.com/messages/AAMk%3D1/$value");
    expect(posts(graph)).toBe(1);
  });

  test("that went to other recipients of the same message is not this one", async () => {
    const others = [{ emailAddress: { address: "bob@x.example" } }];
    const { graph, door, clock } = await scene({
      answer: ({ method }) => (method === "POST" ? { status: 202 } : holding(copy({ toRecipients: others }))),
    });

    const attempt = door.attempt(again(), never);
    await clock.waitsFor(LOOK_AGAIN_MS);
    clock.advance(LOOK_AGAIN_MS);

    expect((await attempt).accepted).toBeDefined();
    expect(posts(graph)).toBe(1);
  });

  test("is sent again when it is not there at a second look", async () => {
    const { graph, door, clock } = await scene({ answer: ({ method }) => (method === "GET" ? holding() : { status: 202 }) });

    const attempt = door.attempt(again(), never);
    await clock.waitsFor(LOOK_AGAIN_MS);
    expect(posts(graph)).toBe(0);
    clock.advance(LOOK_AGAIN_MS);

    expect(await attempt).toMatchObject({ accepted: { code: 202 }, note: undefined });
    expect(graph.asked.map(({ method }) => method)).toEqual(["GET", "GET", "POST"]);
  });

  test("is not sent again when it shows at the second look", async () => {
    const { graph, door, clock } = await scene({ answer: (_, number) => (number === 1 ? holding() : holding(copy())) });

    const attempt = door.attempt(again(), never);
    await clock.waitsFor(LOOK_AGAIN_MS);
    clock.advance(LOOK_AGAIN_MS);

    expect((await attempt).accepted?.code).toBe(202);
    expect(posts(graph)).toBe(0);
  });

  test("is simply sent again where the application may not read the mailbox", async () => {
    const { graph, door } = await scene({
      answer: ({ method }) =>
        method === "GET" ? { status: 403, body: graphError("ErrorAccessDenied", "Access is denied.") } : { status: 202 },
    });

    expect((await door.attempt(again(), never)).accepted?.code).toBe(202);
    expect(graph.asked.map(({ method }) => method)).toEqual(["GET", "POST"]);
  });

  test("waits while Graph can say neither yes nor no", async () => {
    const { graph, door } = await scene({ answer: () => ({ status: 429, headers: { "Retry-After": "30" } }) });

    expect(await door.attempt(again(), never)).toMatchObject({
      accepted: undefined,
      ambiguous: false,
      refusal: { stage: "final", reply: { code: 429 }, retryAfterMs: 30_000 },
    });
    expect(posts(graph)).toBe(0);
  });

  test("is looked for with its quotes doubled, and sent again when it has no Message-ID", async () => {
    const { graph, door } = await scene({ answer: ({ method }) => (method === "GET" ? { status: 400 } : { status: 202 }) });

    await door.attempt(again({ head: HEAD.replace("<1@", "<o'neil+1@") }), never);
    await door.attempt(again({ head: "From: scanner@contoso.com\r\nTo: anna@contoso.com\r\n" }), never);

    expect(graph.asked.map(({ method }) => method)).toEqual(["GET", "POST", "POST"]);
    expect(graph.asked[0]?.query.get("$filter")).toBe("internetMessageId eq '<o''neil+1@contoso.com>'");
  });

  test("a stop between the looks leaves it untried", async () => {
    const { graph, door, clock } = await scene({ answer: () => holding() });
    const stop = new AbortController();

    const attempt = door.attempt(again(), stop.signal);
    await clock.waitsFor(LOOK_AGAIN_MS);
    stop.abort();

    expect(await attempt).toMatchObject({ accepted: undefined, ambiguous: false, refusal: { fault: { code: "ABORTED" } } });
    expect(posts(graph)).toBe(0);
  });
});

describe("with the mailbox of each sender's own", () => {
  const own = { mailbox: { kind: "from", allow: ["*@contoso.com"], domains: ["contoso.com"] } } as const;

  test("the one that From: names is addressed", async () => {
    const { graph, door } = await scene({ options: own });

    const facts = await door.attempt(mail({ head: "From: ERP <erp@Contoso.com>\r\nTo: anna@contoso.com\r\n", reversePath: "" }), never);

    expect(facts.accepted?.code).toBe(202);
    expect(graph.asked[0]?.path).toBe("/v1.0/users/erp%40contoso.com/sendMail");
    expect(door.mailbox).toBeUndefined();
  });

  test.each([
    ["a sender that allow does not list", "From: erp@x.example\r\nTo: anna@contoso.com\r\n"],
    ["several senders", "From: erp@contoso.com, sap@contoso.com\r\nTo: anna@contoso.com\r\n"],
    ["a sender that cannot be told", "From: erp@contoso.com sap@contoso.com\r\nTo: anna@contoso.com\r\n"],
  ])("%s is refused before anything is sent", async (_, head) => {
    const { graph, door } = await scene({ options: own });

    const facts = await door.attempt(mail({ head }), never);

    expect(facts.refusal).toMatchObject({ stage: "mail", fault: { code: "SENDER_NOT_ALLOWED" } });
    expect(graph.asked).toEqual([]);
  });
});

describe("what is refused without a request", () => {
  test("a message over the limit, told by its size or found while reading", async () => {
    const { graph, door } = await scene();
    const body = Buffer.alloc(2_200_000, "x\r\n");

    const told = await door.attempt(mail({ body }), never);
    const found = await door.attempt(mail({ body, sizeBytes: 5 }), never);

    expect([told, found].map(({ refusal }) => refusal?.fault?.code)).toEqual(["TOO_LARGE", "TOO_LARGE"]);
    expect(graph.asked).toEqual([]);
  });

  test("content that fails its checksum", async () => {
    const { door } = await scene();
    const content = {
      inMemory: undefined,
      // eslint-disable-next-line require-yield
      async *blocks(): AsyncGenerator<Uint8Array> {
        throw new PosternError("E_CONTENT_CORRUPT", "row 1 of 2 is missing");
      },
    };

    expect((await door.attempt(mail({ content }), never)).refusal).toMatchObject({
      stage: "content",
      fault: { code: "E_CONTENT_CORRUPT" },
    });
  });
});

describe("reaching Graph", () => {
  test("a certificate of nobody we trust: not a byte of mail goes out, and the probe says the same", async () => {
    const impostor = await startGraphServer({ tls: makeTestAuthority("Somebody else").issue(["127.0.0.1"]) });
    cleanUps.push(impostor.close);
    const { door, events } = await scene({ options: { graphHost: impostor.url } });

    const facts = await door.attempt(mail(), never);

    expect(facts).toMatchObject({ ambiguous: false, refusal: { stage: "connect", fault: { code: "CERTIFICATE" } } });
    expect(await door.probe(never)).toMatchObject({ stage: "connect", fault: { code: "CERTIFICATE" } });
    expect(impostor.asked).toEqual([]);
    expect(events.filter(({ type }) => type === "upstream.connect.failed")).toHaveLength(2);
  });

  test("nobody there", async () => {
    const port = await closedPort();
    const { door } = await scene({ options: { graphHost: `https://127.0.0.1:${port}` } });

    expect((await door.attempt(mail(), never)).refusal).toMatchObject({ stage: "connect", fault: { code: "ECONNREFUSED" } });
  });

  test("nobody who answers: given up in time", async () => {
    const silent = net.createServer(() => {});
    silent.listen(0, "127.0.0.1");
    await once(silent, "listening");
    cleanUps.push(async () => await new Promise((resolve) => silent.close(resolve)));
    const { door, clock } = await scene({ options: { graphHost: `https://127.0.0.1:${(silent.address() as AddressInfo).port}` } });
    const connected = once(silent, "connection") as Promise<[net.Socket]>;

    const attempt = door.attempt(mail(), never);
    const [socket] = await connected;
    clock.advance(30_000);

    expect(await attempt).toMatchObject({ ambiguous: false, refusal: { stage: "connect", fault: { code: "TIMEOUT" } } });
    socket.destroy();
  });

  test("the probe wants a token and a connection, and sends nothing", async () => {
    const { graph, door, events } = await scene();

    expect(await door.probe(never)).toBeUndefined();
    expect(graph.tokens()).toBe(1);
    expect(graph.asked).toEqual([]);
    expect(events).toEqual([]);
  });

  test("the probe without a token says why", async () => {
    const { door } = await scene({
      token: () => ({ status: 400, body: { error: "invalid_client", error_description: "AADSTS7000222: The secret is expired." } }),
    });

    expect(await door.probe(never)).toMatchObject({ stage: "token", fault: { code: "AADSTS7000222" } });
  });

  test("through a proxy, with its password; one that refuses says so", async () => {
    const asked: { target: string; login: string | undefined }[] = [];
    const proxy = http.createServer().on("connect", (request, socket: net.Socket) => {
      asked.push({ target: request.url ?? "", login: request.headers["proxy-authorization"] });
      // Tokens go through it too: this is the second scene's way to Graph.
      if (asked.length === 4) {
        socket.end("HTTP/1.1 403 Blocked by policy\r\n\r\n");
        return;
      }
      const [host = "", port = ""] = (request.url ?? "").split(":");
      const far = net.connect(Number(port), host, () => {
        socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
        socket.pipe(far).pipe(socket);
      });
      for (const one of [socket, far]) one.on("error", () => {});
    });
    proxy.listen(0, "127.0.0.1");
    await once(proxy, "listening");
    cleanUps.push(async () => await new Promise((resolve) => proxy.close(resolve)));
    const { port } = proxy.address() as AddressInfo;
    const known = await scene({ options: { proxy: `http://relay:p%40ss@127.0.0.1:${port}` } });
    const stranger = await scene({ options: { proxy: `http://127.0.0.1:${port}/` } });

    const through = await known.door.attempt(mail(), never);
    const refused = await stranger.door.attempt(mail(), never);

    expect(through.accepted?.code).toBe(202);
    expect(asked.map(({ target }) => target)).toEqual([known, known, stranger, stranger].map(({ graph }) => `127.0.0.1:${graph.port}`));
    expect(asked[1]).toEqual({ target: `127.0.0.1:${known.graph.port}`, login: `Basic ${Buffer.from("relay:p@ss").toString("base64")}` });
    expect(refused.refusal).toMatchObject({
      stage: "connect",
      fault: { code: "PROXY", detail: expect.stringContaining("403 Blocked by policy") as string },
    });
    expect(posts(stranger.graph)).toBe(0);
  });

  test("a connection that rested for seconds is not trusted with a message", async () => {
    const { graph, door, clock } = await scene();
    const send = async (): Promise<boolean> => (await door.attempt(mail(), never)).reusedConnection;

    const reused = [await send(), await send()];
    clock.advance(3_001);
    reused.push(await send());

    expect(reused).toEqual([false, true, false]);
    expect(new Set(graph.asked.map(({ clientPort }) => clientPort)).size).toBe(2);
  });

  test("a kept connection that the server closed is not used", async () => {
    const { graph, door } = await scene({ answer: () => ({ status: 202, headers: { connection: "close" } }) });

    const first = await door.attempt(mail(), never);
    const second = await door.attempt(mail(), never);

    expect([first, second].map(({ accepted, reusedConnection }) => [accepted?.code, reusedConnection])).toEqual([
      [202, false],
      [202, false],
    ]);
    expect(graph.asked).toHaveLength(2);
  });
});

async function closedPort(): Promise<number> {
  const server = net.createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
