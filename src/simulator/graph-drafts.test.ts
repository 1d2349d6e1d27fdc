import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { simpleParser } from "mailparser";

import { usedKeys } from "../../test/support/keys.ts";
import { askGraph } from "../../test/fakes/graph-request.ts";
import type { GraphAnswer } from "../../test/fakes/graph-request.ts";
import { fetchToken } from "../../test/fakes/token-request.ts";
import { ManualClock } from "../platform/clock.ts";
import { startSimulator } from "./simulator.ts";
import type { Simulator } from "./simulator.ts";

const directory = mkdtempSync(path.join(tmpdir(), "stand-in-"));
const MAILBOX = "/v1.0/users/scanner@contoso.com";
let simulator: Simulator;
let token: string;

beforeAll(async () => {
  simulator = await startSimulator({ keys: usedKeys(), directory, clock: new ManualClock(Date.now()) });
  token = await fetchToken(simulator, "https://graph.microsoft.com/.default");
});
afterEach(() => simulator.reset());
afterAll(async () => {
  await simulator.close();
  rmSync(directory, { recursive: true });
});

function post(target: string, body: object): Promise<GraphAnswer> {
  return askGraph(simulator, "POST", target, { token, type: "application/json", body: JSON.stringify(body) });
}

function message(changes: object = {}): object {
  return {
    subject: "Scan für Anna",
    body: { contentType: "html", content: "<p>Scan</p>" },
    toRecipients: [{ emailAddress: { name: "Anna, Office", address: "anna@contoso.com" } }],
    internetMessageHeaders: [{ name: "x-postern-id", value: "01J" }],
    ...changes,
  };
}

async function draft(changes: object = {}): Promise<string> {
  return String((await post(`${MAILBOX}/messages`, message(changes))).body["id"]);
}

function put(url: string, content: Buffer, first: number, size: number, headers: Record<string, string> = {}): Promise<GraphAnswer> {
  const range = { "content-range": `bytes ${first}-${first + content.length - 1}/${size}`, ...headers };
  return askGraph(simulator, "PUT", url, { type: "application/octet-stream", body: content, headers: range });
}

async function openSession(id: string, size: number): Promise<GraphAnswer> {
  return post(`${MAILBOX}/messages/${id}/attachments/createUploadSession`, {
    AttachmentItem: { attachmentType: "file", name: "scan.pdf", contentType: "application/pdf", size },
  });
}

test("a draft with a large attachment is uploaded in slices, sent, and then in Sent Items", async () => {
  const content = Buffer.alloc(5_000_000, "%PDF");
  const id = await draft();
  const opened = await openSession(id, content.length);
  const url = String(opened.body["uploadUrl"]);

  const first = await put(url, content.subarray(0, 3_932_160), 0, content.length);
  const last = await put(url, content.subarray(3_932_160), 3_932_160, content.length);
  const sent = await askGraph(simulator, "POST", `${MAILBOX}/messages/${id}/send`, { token });

  expect(opened).toMatchObject({ status: 201, body: { nextExpectedRanges: ["0"] } });
  expect(first).toMatchObject({ status: 200, body: { nextExpectedRanges: ["3932160"] } });
  expect(last.status).toBe(201);
  expect(last.headers.location).toContain(id);
  expect(sent).toMatchObject({ status: 202, text: "" });
  const [received] = simulator.messages();
  const parsed = await simpleParser(received?.content ?? "");
  expect(received).toMatchObject({ door: "graph", inSentItems: true, recipients: ["anna@contoso.com"] });
  expect(parsed.subject).toBe("Scan für Anna");
  expect(received?.content?.toString()).toContain(Buffer.from("<p>Scan</p>").toString("base64"));
  expect(parsed.headers.get("x-postern-id")).toBe("01J");
  expect(parsed.attachments[0]?.content.equals(content)).toBe(true);
  expect((await askGraph(simulator, "POST", `${MAILBOX}/messages/${id}/send`, { token })).status).toBe(404);
});

test("a small attachment goes in one request", async () => {
  const id = await draft();

  const attached = await post(`${MAILBOX}/messages/${id}/attachments`, {
    "@odata.type": "#microsoft.graph.fileAttachment",
    name: "a.txt",
    contentType: "text/plain",
    contentBytes: Buffer.from("hello").toString("base64"),
  });
  await askGraph(simulator, "POST", `${MAILBOX}/messages/${id}/send`, { token });

  expect(attached).toMatchObject({ status: 201, body: { name: "a.txt", size: 5 } });
  const parsed = await simpleParser(simulator.messages()[0]?.content ?? "");
  expect(parsed.attachments[0]?.content.toString()).toBe("hello");
});

describe("an upload session", () => {
  test.each([
    ["under 3 MB", 2_999_999, "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize"],
    ["over 150 MB", 150 * 1024 * 1024 + 1, "ErrorAttachmentSizeLimitExceeded"],
  ])("is refused for %s", async (_, size, code) => {
    expect((await openSession(await draft(), size)).body.error?.code).toBe(code);
  });

  test("takes slices in their order only, without a token, and of what was announced", async () => {
    const url = String((await openSession(await draft(), 3_000_000)).body["uploadUrl"]);
    const slice = Buffer.alloc(1000);

    const withToken = await put(url, slice, 0, 3_000_000, { authorization: `Bearer ${token}` });
    const gap = await put(url, slice, 1000, 3_000_000);
    const otherSize = await put(url, slice, 0, 3_000_001);
    const noRange = await askGraph(simulator, "PUT", url, { body: slice });
    const foreign = await put(url.replace(/authtoken=.*/, "authtoken=guess"), slice, 0, 3_000_000);

    expect([withToken, gap, otherSize, noRange, foreign].map(({ status }) => status)).toEqual([401, 416, 400, 400, 404]);
  });

  test("ends: by DELETE, and after an hour", async () => {
    const id = await draft();
    const cancelled = String((await openSession(id, 3_000_000)).body["uploadUrl"]);
    const old = String((await openSession(id, 3_000_000)).body["uploadUrl"]);

    const removed = await askGraph(simulator, "DELETE", cancelled);
    simulator.clock.advance(60 * 60_000);

    expect(removed.status).toBe(204);
    expect((await put(cancelled, Buffer.alloc(10), 0, 3_000_000)).status).toBe(404);
    expect((await put(old, Buffer.alloc(10), 0, 3_000_000)).status).toBe(404);
    token = await fetchToken(simulator, "https://graph.microsoft.com/.default");
  });
});

describe("a message in JSON", () => {
  test.each([
    [
      "six headers",
      { internetMessageHeaders: Array.from({ length: 6 }, (_, at) => ({ name: `x-${at}`, value: "" })) },
      "InvalidInternetMessageHeaderCollection",
    ],
    ["an empty list of headers", { internetMessageHeaders: [] }, "InvalidInternetMessageHeaderCollection"],
    [
      "a header without x-",
      { internetMessageHeaders: [{ name: "Auto-Submitted", value: "auto-replied" }] },
      "InvalidInternetMessageHeader",
    ],
    ["an unknown property", { recipients: [] }, "RequestBodyRead"],
    ["an address that is none", { toRecipients: [{ emailAddress: { address: "anna" } }] }, "ErrorInvalidRecipients"],
    [
      "an attachment that is no base64",
      { attachments: [{ "@odata.type": "#microsoft.graph.fileAttachment", name: "a", contentBytes: "?" }] },
      "RequestBodyRead",
    ],
  ])("is refused with %s", async (_, changes, code) => {
    const answer = await post(`${MAILBOX}/messages`, message(changes));

    expect(answer).toMatchObject({ status: 400, body: { error: { code } } });
  });

  test.each([
    [false, 0],
    [true, 1],
  ])("is sent at once, kept in Sent Items: %s", async (saveToSentItems, kept) => {
    const answer = await post(`${MAILBOX}/sendMail`, { message: message(), saveToSentItems });

    expect(answer.status).toBe(202);
    expect(simulator.messages().filter(({ inSentItems }) => inSentItems)).toHaveLength(kept);
  });

  test("that is no JSON is refused", async () => {
    const answer = await askGraph(simulator, "POST", `${MAILBOX}/sendMail`, { token, type: "application/json", body: "{" });

    expect(answer.status).toBe(400);
  });
});

test("a draft of MIME is sent as it is; one that is deleted is gone", async () => {
  const mime = "From: scanner@contoso.com\r\nTo: anna@contoso.com\r\nMessage-ID: <d@relay>\r\n\r\nx\r\n";
  const create = (): Promise<GraphAnswer> =>
    askGraph(simulator, "POST", `${MAILBOX}/messages`, { token, type: "text/plain", body: Buffer.from(mime).toString("base64") });
  const kept = await create();
  const deleted = await create();

  await askGraph(simulator, "POST", `${MAILBOX}/messages/${String(kept.body["id"])}/send`, { token });
  await askGraph(simulator, "DELETE", `${MAILBOX}/messages/${String(deleted.body["id"])}`, { token });

  expect(kept).toMatchObject({ status: 201, body: { isDraft: true, internetMessageId: "<d@relay>" } });
  expect(simulator.messages().map(({ content }) => content?.toString())).toEqual([mime]);
  expect((await askGraph(simulator, "GET", `${MAILBOX}/messages/${String(deleted.body["id"])}`, { token })).status).toBe(404);
});
