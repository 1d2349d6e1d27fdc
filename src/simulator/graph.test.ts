import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";

import { usedKeys } from "../../test/support/keys.ts";
import { askGraph, postMime } from "../../test/fakes/graph-request.ts";
import type { GraphAnswer } from "../../test/fakes/graph-request.ts";
import { fetchToken } from "../../test/fakes/token-request.ts";
import { ManualClock } from "../platform/clock.ts";
import { FAULTS } from "./fault-table.ts";
import { DEFAULT_GRAPH } from "./graph-throttle.ts";
import { startSimulator } from "./simulator.ts";
import type { Simulator } from "./simulator.ts";
import { findMailbox } from "./tenant.ts";
import type { TenantApp, TenantMailbox } from "./tenant.ts";

const directory = mkdtempSync(path.join(tmpdir(), "stand-in-"));
const GRAPH = "https://graph.microsoft.com/.default";
const MINUTE_MS = 60_000;
let simulator: Simulator;
let token: string;
let app: TenantApp;
let scanner: TenantMailbox;
let originals: { app: TenantApp; scanner: TenantMailbox };

beforeAll(async () => {
  simulator = await startSimulator({ keys: usedKeys(), directory, clock: new ManualClock(Date.now()) });
  app = simulator.tenant.apps[0] as TenantApp;
  scanner = findMailbox(simulator.tenant, "scanner@contoso.com") as TenantMailbox;
  originals = structuredClone({ app, scanner });
});
beforeEach(async () => {
  token = await fetchToken(simulator, GRAPH);
});
afterEach(() => {
  simulator.reset();
  Object.assign(app, structuredClone(originals.app));
  Object.assign(scanner, structuredClone(originals.scanner));
  Object.assign(simulator.graphSettings, DEFAULT_GRAPH);
});
afterAll(async () => {
  await simulator.close();
  rmSync(directory, { recursive: true });
});

function mime(headers: Record<string, string> = {}, body = "Scan of 9:14\r\n"): string {
  const fields = { From: "scanner@contoso.com", To: "anna@contoso.com", Subject: "Scan", "Message-ID": "<1@relay>", ...headers };
  return `${Object.entries(fields)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("")}\r\n${body}`;
}

/** Status and error code in one word each. */
function said({ status, body }: GraphAnswer): string {
  return `${status} ${body.error?.code ?? ""}`.trim();
}

describe("sendMail with MIME", () => {
  test("is answered with 202 and nothing else, and the message is in the mailboxes of the recipients and in Sent Items", async () => {
    const content = mime({ Cc: "Bruno <bruno@contoso.com>, c@example.net" });

    const answer = await postMime(simulator, token, content);

    const [message] = simulator.messages();
    expect(answer).toMatchObject({ status: 202, text: "", headers: { "request-id": message?.upstreamId } });
    expect(message).toMatchObject({
      door: "graph",
      mailbox: "scanner@contoso.com",
      method: "Bearer",
      reversePath: "scanner@contoso.com",
      internal: ["anna@contoso.com", "bruno@contoso.com"],
      external: ["c@example.net"],
      inSentItems: true,
      answered: true,
    });
    expect(message?.content?.toString()).toBe(content);
  });

  test("sends to Bcc: as well, and only the copy in Sent Items still names them", async () => {
    await postMime(simulator, token, mime({ To: "undisclosed-recipients:;", Bcc: "anna@contoso.com,\r\n bruno@contoso.com" }));

    const sent = await askGraph(simulator, "GET", "/v1.0/users/scanner@contoso.com/mailFolders/sentitems/messages", { token });
    const [message] = simulator.messages();
    expect(message?.recipients).toEqual(["anna@contoso.com", "bruno@contoso.com"]);
    expect(message?.content?.toString()).toBe(mime({ To: "undisclosed-recipients:;" }));
    expect(sent.body["value"]).toMatchObject([
      { bccRecipients: [{ emailAddress: { address: "anna@contoso.com" } }, { emailAddress: { address: "bruno@contoso.com" } }] },
    ]);
  });

  test("puts a From: and a Message-ID in where there are none", async () => {
    await postMime(simulator, token, "To: anna@contoso.com\r\n\r\nx\r\n");

    const [message] = simulator.messages();
    expect(message?.headerFrom).toEqual(["scanner@contoso.com"]);
    expect(message?.messageId).toMatch(/^<.+@.+>$/);
  });

  test("takes base64 with line breaks", async () => {
    const body = Buffer.from(mime()).toString("base64").replace(/.{40}/g, "$&\r\n");

    const answer = await askGraph(simulator, "POST", "/v1.0/users/scanner@contoso.com/sendMail", { token, type: "text/plain", body });

    expect(answer.status).toBe(202);
  });

  test.each([
    ["no base64", "===not base64===", "400 ErrorMimeContentInvalidBase64String"],
    ["nothing", "", "400 ErrorMimeContentInvalidBase64String"],
    ["a request over 4 MB", "A".repeat(4 * 1024 * 1024 + 4), "413 RequestEntityTooLarge"],
  ])("refuses %s", async (_, body, expected) => {
    const answer = await askGraph(simulator, "POST", "/v1.0/users/scanner@contoso.com/sendMail", { token, type: "text/plain", body });

    expect(said(answer)).toBe(expected);
    expect(simulator.messages()).toEqual([]);
  });

  test("over 2,240 KB of MIME is answered with 200 and never sent", async () => {
    const head = mime({}, "");
    const fits = await postMime(simulator, token, head + "x".repeat(DEFAULT_GRAPH.maxMimeBytes - head.length));
    const over = await postMime(simulator, token, head + "x".repeat(DEFAULT_GRAPH.maxMimeBytes - head.length + 1));

    expect([fits.status, over.status, over.text]).toEqual([202, 200, ""]);
    expect(simulator.messages()).toHaveLength(1);
  });

  test.each([
    ["no recipient", { To: "undisclosed-recipients:;" }, "400 ErrorInvalidRecipients"],
    ["a recipient that is no address", { To: "<anna @contoso.com>" }, "400 ErrorInvalidRecipients"],
    ["a sender that is not the mailbox's", { From: "anna@contoso.com" }, "403 ErrorSendAsDenied"],
    ["a Sender: that is not the mailbox's", { Sender: "anna@contoso.com" }, "403 ErrorSendAsDenied"],
  ])("refuses %s", async (_, headers: Record<string, string>, expected) => {
    const answer = await postMime(simulator, token, mime(headers));

    expect(said(answer)).toBe(expected);
    expect(answer.body.error?.innerError).toMatchObject({ "request-id": answer.headers["request-id"] });
    expect(simulator.messages()).toEqual([]);
  });

  test("counts its recipients with those of the other doors, by day", async () => {
    simulator.clock.advance(24 * 60 * MINUTE_MS);
    token = await fetchToken(simulator, GRAPH);
    scanner.limits = { ...scanner.limits, recipientsPerDay: 1 };

    const first = await postMime(simulator, token, mime());
    const second = await postMime(simulator, token, mime());
    simulator.clock.advance(24 * 60 * MINUTE_MS + 1);
    const nextDay = await postMime(simulator, await fetchToken(simulator, GRAPH), mime());

    expect([said(first), said(second), said(nextDay)]).toEqual(["202", "429 ErrorExceededMessageLimit", "202"]);
  });
});

describe("who may", () => {
  test.each([
    ["no token", () => undefined, "401 InvalidAuthenticationToken"],
    ["no JWT", () => "abc", "401 InvalidAuthenticationToken"],
    ["a token for Exchange", () => fetchToken(simulator), "401 InvalidAuthenticationToken"],
    ["another's signature", () => `${token.slice(0, -8)}AAAAAAAA`, "401 InvalidAuthenticationToken"],
  ])("%s is told so", async (_, given: () => string | undefined | Promise<string>, expected) => {
    const answer = await askGraph(simulator, "POST", "/v1.0/users/scanner@contoso.com/sendMail", {
      token: await given(),
      type: "text/plain",
      body: Buffer.from(mime()).toString("base64"),
    });

    expect(said(answer)).toBe(expected);
    expect(answer.headers["www-authenticate"]).toMatch(/^Bearer /);
  });

  test("a token ends", async () => {
    simulator.clock.advance(91 * MINUTE_MS);

    const answer = await postMime(simulator, token, mime());

    expect(answer).toMatchObject({ status: 401, body: { error: { message: "Lifetime validation failed, the token is expired." } } });
  });

  test.each([
    [[], "401 NoPermissionsInAccessToken"],
    [["Mail.Read"], "403 ErrorAccessDenied"],
    [["Mail.Send"], "202"],
  ])("an app with the permissions %j gets %s", async (permissions, expected) => {
    app.permissions = permissions;

    const answer = await postMime(simulator, await fetchToken(simulator, GRAPH), mime());

    expect(said(answer)).toBe(expected);
  });

  test("a role of RBAC for Applications reaches the mailboxes of its scope, without any permission in the token", async () => {
    app.permissions = [];
    app.roleAssignments = [{ role: "Application Mail.Send", scope: ["scanner@contoso.com"] }];
    const bare = await fetchToken(simulator, GRAPH);

    const inside = await postMime(simulator, bare, mime());
    const outside = await postMime(simulator, bare, mime({ From: "anna@contoso.com" }), "anna@contoso.com");

    expect(inside.status).toBe(202);
    expect(outside.body.error).toMatchObject({ code: "ErrorAccessDenied", message: "Access to OData is disabled." });
  });

  test.each([
    ["nobody@contoso.com", "404 ErrorInvalidUser"],
    ["00000000-0000-4000-8000-000000000000", "404 Request_ResourceNotFound"],
  ])("the mailbox %s is not there", async (mailbox, expected) => {
    expect(said(await postMime(simulator, token, mime(), mailbox))).toBe(expected);
  });

  test("a mailbox on premises has no Graph", async () => {
    scanner.hosting = "on-premises";

    expect(said(await postMime(simulator, token, mime()))).toBe("404 MailboxNotEnabledForRESTAPI");
  });

  test("Sent Items are closed without a permission to read", async () => {
    app.permissions = ["Mail.Send"];
    const sender = await fetchToken(simulator, GRAPH);

    const answer = await askGraph(simulator, "GET", "/v1.0/users/scanner@contoso.com/mailFolders/sentitems/messages", { token: sender });

    expect(said(answer)).toBe("403 ErrorAccessDenied");
  });
});

describe("Sent Items", () => {
  const sentItems = (query: Record<string, string>): Promise<GraphAnswer> =>
    askGraph(simulator, "GET", `/v1.0/users/scanner@contoso.com/mailFolders/sentitems/messages?${new URLSearchParams(query).toString()}`, {
      token,
    });

  test("find a message by its Message-ID, with the headers that were asked for", async () => {
    await postMime(simulator, token, mime({ "Message-ID": "<wanted'1@relay>", "X-Postern-Id": "01J" }));
    await postMime(simulator, token, mime({ "Message-ID": "<other@relay>" }));

    const found = await sentItems({
      $filter: "internetMessageId eq '<wanted''1@relay>'",
      $select: "internetMessageId,internetMessageHeaders",
    });
    const none = await sentItems({ $filter: "internetMessageId eq '<never@relay>'" });

    expect(found.body["value"]).toMatchObject([{ internetMessageId: "<wanted'1@relay>" }]);
    expect(found.text).toContain('{"name":"X-Postern-Id","value":"01J"}');
    expect(found.text).not.toContain('"subject"');
    expect(none.body["value"]).toEqual([]);
  });

  test("come newest first, in pages", async () => {
    for (const subject of ["first", "second", "third"]) await postMime(simulator, token, mime({ Subject: subject }));

    const page = await sentItems({ $top: "2", $select: "subject" });
    const rest = await askGraph(simulator, "GET", String(page.body["@odata.nextLink"]), { token });

    const subjects = ({ body }: GraphAnswer): unknown[] => (body["value"] as { subject: string }[]).map(({ subject }) => subject);
    expect([subjects(page), subjects(rest)]).toEqual([["third", "second"], ["first"]]);
  });

  test.each([
    { $filter: "internetMessageId like 'x'" },
    { $filter: "size gt 3" },
    { $search: "x" },
    { $top: "0" },
    { $select: "nonsense" },
  ])("refuse %j instead of answering something else", async (query) => {
    await postMime(simulator, token, mime());

    expect((await sentItems(query as Record<string, string>)).status).toBe(400);
  });

  test("lose a message that is deleted", async () => {
    await postMime(simulator, token, mime());
    const [item] = (await sentItems({})).body["value"] as { id: string }[];

    const removed = await askGraph(simulator, "DELETE", `/v1.0/users/scanner@contoso.com/messages/${item?.id}`, { token });

    expect(removed.status).toBe(204);
    expect((await sentItems({})).body["value"]).toEqual([]);
  });
});

describe("throttling", () => {
  test("the fifth request at once is refused, the next after one has ended is not", async () => {
    const held = simulator.faults.set("graph-answer-hold");
    const four = [1, 2, 3, 4].map(() => postMime(simulator, token, mime()));
    await held.reached(4);

    const fifth = await postMime(simulator, token, mime());
    held.clear();
    const answers = await Promise.all(four);

    expect(said(fifth)).toBe("429 ApplicationThrottled");
    expect(fifth.headers["retry-after"]).toBe("10");
    expect(answers.map(({ status }) => status)).toEqual([202, 202, 202, 202]);
    expect((await postMime(simulator, token, mime())).status).toBe(202);
    expect(simulator.throttled()["scanner@contoso.com"]).toBe(1);
  });

  test("10,000 requests fit into ten minutes", async () => {
    simulator.graphSettings.requestsPer10Minutes = 2;
    await postMime(simulator, token, mime());
    simulator.clock.advance(4 * MINUTE_MS);
    await postMime(simulator, token, mime());

    const third = await postMime(simulator, token, mime());
    simulator.clock.advance(10 * MINUTE_MS);
    const later = await postMime(simulator, token, mime());

    expect(said(third)).toBe("429 ApplicationThrottled");
    expect(Number(third.headers["retry-after"])).toBeGreaterThan(5 * 60);
    expect(later.status).toBe(202);
  });

  test("150 MB fit into five minutes", async () => {
    simulator.graphSettings.uploadBytesPer5Minutes = 100;
    const first = await postMime(simulator, token, mime());

    const second = await postMime(simulator, token, mime());
    simulator.clock.advance(5 * MINUTE_MS);
    const later = await postMime(simulator, token, mime());

    expect([said(first), said(second), said(later)]).toEqual(["202", "429 ApplicationThrottled", "202"]);
  });
});

describe("faults", () => {
  const answering = FAULTS.filter(({ hosts, action }) => hosts.includes("graph") && (action.kind === "graph" || action.kind === "http"));

  test.each(answering.map(({ name }) => name))("%s answers as the table has it, and says the truth about what was sent", async (name) => {
    const fault = simulator.faults.set(name, { count: 1 });
    const { action, stage } = fault.definition;

    const answer = await postMime(simulator, token, mime());
    const after = await postMime(simulator, token, mime());

    expect(answer.status).toBe("status" in action ? action.status : 0);
    expect(answer.body.error?.code).toBe("code" in action ? action.code : undefined);
    const wait = answer.rawHeaders.findIndex((header) => header.toLowerCase() === "retry-after");
    const given = wait < 0 ? undefined : { name: answer.rawHeaders[wait], value: answer.rawHeaders[wait + 1] };
    expect(given).toEqual(action.kind === "graph" ? action.retryAfter : undefined);
    expect(after.status).toBe(202);
    expect(simulator.messages()).toHaveLength(stage === "graph-answer" ? 2 : 1);
  });

  test.each([
    ["graph-reset", 0],
    ["graph-cut-unsent", 0],
    ["graph-answer-lost", 1],
  ])("%s cuts the connection with %i messages sent", async (name, sent) => {
    simulator.faults.set(name, { count: 1 });

    await expect(postMime(simulator, token, mime())).rejects.toThrow();

    expect(simulator.messages().map(({ answered }) => answered)).toEqual(Array<boolean>(sent).fill(false));
  });

  test.each([
    ["graph-slow", 0],
    ["graph-answer-slow", 1],
  ])("%s answers late", async (name, sentBefore) => {
    const fault = simulator.faults.set(name, { count: 1 });
    const answer = postMime(simulator, token, mime());
    await fault.reached(1);

    expect(simulator.messages()).toHaveLength(sentBefore);
    simulator.clock.advance(20_000);

    expect((await answer).status).toBe(202);
  });

  test.each(
    FAULTS.flatMap(({ name, recipient, hosts, action }) =>
      hosts.includes("graph") && recipient !== undefined && action.kind === "graph" ? [{ name, recipient, action }] : [],
    ),
  )("$recipient@ means $name", async ({ recipient, action }) => {
    const answer = await postMime(simulator, token, mime({ To: `anna@contoso.com, ${recipient}@example.net` }));

    expect(said(answer)).toBe(`${action.status} ${action.code}`);
  });

  test("a fault for one mailbox leaves the others alone", async () => {
    simulator.faults.set("graph-busy", { mailbox: "scanner@contoso.com" });

    const own = await postMime(simulator, token, mime());
    const other = await postMime(simulator, token, mime({ From: "anna@contoso.com" }), "anna@contoso.com");

    expect([own.status, other.status]).toEqual([503, 202]);
  });
});
