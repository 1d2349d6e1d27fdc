/** The API on the network: who comes in, who does not, and what that costs. Over real sockets, with tokens in a real file. */
import { request, type IncomingHttpHeaders } from "node:http";
import { connect, type Socket } from "node:net";
import { writeFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { NO_DEVICES } from "../../test/fakes/no-devices.ts";
import { NO_OPERATIONS } from "../../test/fakes/no-operations.ts";
import { tempDir, type TempDir } from "../../test/support/temp-dir.ts";
import { tokenFilePath } from "../access/token-file.ts";
import type { Role } from "../access/token.ts";
import { Tokens } from "../access/tokens.ts";
import type { Emit, EventOf, PosternEvent } from "../mail/events.ts";
import { ManualClock } from "../platform/clock.ts";
import type { MessageQuery, MessageView, OperatorAct } from "../queue/queue.ts";
import { EventFeed, startAdmin, type Admin, type AdminPlace, type StatusView } from "./admin.ts";

const ID = "01JD8ZQ3V5W6X7Y8Z9A0B1C2D3";

let folder: TempDir;
let clock: ManualClock;
let events: PosternEvent[];
let acts: OperatorAct[];
let reloadedBy: string[];
let tokens: Tokens;
let admin: Admin;
let subjectsShown: boolean;
let searches: MessageQuery[];
let feed: EventFeed;

beforeEach(async () => {
  folder = await tempDir();
  clock = new ManualClock();
  events = [];
  acts = [];
  reloadedBy = [];
  subjectsShown = false;
  searches = [];
  feed = new EventFeed(clock);
  tokens = new Tokens({ path: tokenFilePath(folder.path), clock, emit: (event) => feed.publish(event) });
  admin = await startAdmin({
    ...NO_OPERATIONS,
    listen: [{ host: "127.0.0.1", port: 0, api: true }],
    controlSocket: undefined,
    queue: {
      list: () => Promise.resolve([]),
      show: (queueId) =>
        Promise.resolve(
          queueId === ID ? ({ message: { queueId, subject: "Dismissal" }, entries: [] } as unknown as MessageView) : undefined,
        ),
      find: (query) => {
        searches.push(query);
        return Promise.resolve([]);
      },
      contentRow: (_, place) => Promise.resolve([Buffer.from("Subject: Dismissal\r\n\r\n"), Buffer.from("Dear Sir\r\n")][place]),
      act: (act) => {
        acts.push(act);
        return Promise.resolve({ changed: [], recipients: 0, messages: 0, busy: 0 });
      },
    },
    devices: NO_DEVICES,
    reloads: {
      reload: (by) => {
        reloadedBy.push(by);
        return Promise.resolve({ ok: true, changed: [], restart: [], warnings: [] });
      },
    },
    tokens,
    events: feed,
    subjectsShown: () => subjectsShown,
    status: () => Promise.resolve({ pid: 7 } as unknown as StatusView),
    ready: () => ({ ok: true, reasons: [] }),
    metricsText: () => Promise.resolve(""),
    version: { postern: "0", node: "0", sqlite: "0" },
    clock,
    emit: (event) => void events.push(event),
  });
});

afterEach(async () => {
  await admin.close();
  await folder.remove();
});

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

function ask(
  path: string,
  headers: Record<string, string> = {},
  given: { readonly method?: string; readonly body?: unknown; readonly from?: string } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { method = given.body === undefined ? "GET" : "POST", from = "127.0.0.1" } = given;
    const outgoing = request(
      { host: "127.0.0.1", port: admin.addresses[0]?.port, path, method, localAddress: from, headers, agent: false },
      (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (part: string) => (text += part));
        response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
      },
    );
    outgoing.on("error", reject);
    outgoing.end(given.body === undefined ? undefined : JSON.stringify(given.body));
  });
}

async function tokenOf(role: Role, name: string = role): Promise<string> {
  return (await tokens.add({ name, role, by: "kim" })).token;
}

const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}`, "content-type": "application/json" });
const refusals = (): EventOf<"api.refused">[] => events.filter((event) => event.type === "api.refused");

/** Moves time on once the answer waits for it: the guard has asked the file by then. */
async function passes(ms: number): Promise<void> {
  while (clock.pending === 0) await new Promise((resolve) => setImmediate(resolve));
  clock.advance(ms);
}

describe("without the right token", () => {
  test("there is a 401 that says how, and monitoring answers as before", async () => {
    const refused = await ask("/api/v1/status");
    const health = await ask("/healthz");

    expect(refused).toMatchObject({ status: 401, headers: { "www-authenticate": 'Bearer realm="postern"', "cache-control": "no-store" } });
    expect(JSON.parse(refused.text)).toEqual({ error: { code: "no_token", message: expect.stringContaining("Authorization: Bearer") } });
    expect(health.status).toBe(200);
    expect(refusals()).toEqual([
      {
        type: "api.refused",
        address: "127.0.0.1",
        reason: "no-token",
        method: "GET",
        path: "/api/v1/status",
        token: undefined,
        failures: 1,
      },
    ]);
  });

  test.each([
    ["a password", "Basic cm9vdDpyb290", "malformed"],
    ["another scheme", "Digest x", "malformed"],
    ["no value", "Bearer", "malformed"],
    ["a token that nobody has", `Bearer postern_${"A".repeat(43)}`, "unknown-token"],
    ["a token in pieces", "Bearer postern_a b", "malformed"],
    ["a hash", `Bearer ${"0".repeat(64)}`, "unknown-token"],
    ["a very long one", `Bearer ${"A".repeat(8000)}`, "malformed"],
  ])("%s is refused, and never in the log", async (_, authorization, reason) => {
    const refused = await ask("/api/v1/status", { authorization });

    expect(refused.status).toBe(401);
    expect(refusals()).toMatchObject([{ reason }]);
    expect(JSON.stringify(events)).not.toMatch(/AAAA|cm9v|0000/);
  });

  test.each(["/api/v1/status?access_token=TOKEN", "/api/v1/TOKEN", "/api/v1/status;TOKEN"])(
    "a token in the address, %s, opens nothing, and is not logged",
    async (path) => {
      const token = await tokenOf("administrator");

      const refused = await ask(path.replace("TOKEN", token));

      expect(refused.status).toBe(401);
      expect(JSON.stringify(events)).not.toContain(token);
    },
  );

  test("a page of somebody else's gets no leave to ask, and a form none to act", async () => {
    const token = await tokenOf("operator");
    const asked = await ask(
      "/api/v1/queue/delete",
      { origin: "https://evil.example", "access-control-request-method": "POST" },
      { method: "OPTIONS" },
    );
    const form = await ask("/api/v1/queue/delete", { ...bearer(token), "content-type": "text/plain" }, { body: { filter: {} } });
    const cookie = await ask("/api/v1/queue", { cookie: `token=${token}`, host: "rebound.example" }, { from: "127.0.0.4" });

    expect(asked.status).toBe(401);
    expect(Object.keys(asked.headers).filter((name) => name.startsWith("access-control"))).toEqual([]);
    expect([form.status, cookie.status]).toEqual([415, 401]);
    expect(acts).toEqual([]);
  });

  test("the second failure of an address waits, a right token from there does not, nor does another address", async () => {
    const token = await tokenOf("viewer");
    const first = await ask("/api/v1/status");
    const second = ask("/api/v1/status");
    const right = await ask("/api/v1/status", bearer(token));
    const other = await ask("/api/v1/status", {}, { from: "127.0.0.9" });
    let waited = true;
    void second.then(() => (waited = false));

    await passes(249);
    const early = waited;
    clock.advance(1);

    expect([first.status, right.status, other.status]).toEqual([401, 200, 401]);
    expect(early).toBe(true);
    expect((await second).status).toBe(401);
  });

  test("more than four that wait are answered 429 at once, and a thousand cost twenty lines a minute", async () => {
    await ask("/api/v1/status");
    const waiting = Array.from({ length: 4 }, () => ask("/api/v1/status"));
    while (clock.pending < 4) await new Promise((resolve) => setImmediate(resolve));

    const fifth = await ask("/api/v1/status");
    clock.advance(10_000);

    expect(fifth).toMatchObject({ status: 429, headers: { "retry-after": "10" } });
    expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual([401, 401, 401, 401]);
    expect(refusals().at(-1)).toMatchObject({ reason: "too-many" });
  });

  test("one that hangs up while it waits leaves its place", async () => {
    await ask("/api/v1/status");
    const socket = connect(admin.addresses[0]?.port ?? 0, "127.0.0.1");
    socket.write("GET /api/v1/status HTTP/1.1\r\nHost: x\r\n\r\n");
    while (clock.pending === 0) await new Promise((resolve) => setImmediate(resolve));

    socket.destroy();
    while (clock.pending > 0) await new Promise((resolve) => setImmediate(resolve));

    expect(clock.pending).toBe(0);
  });

  test("a file of tokens that cannot be read lets nobody in, with 503", async () => {
    const token = await tokenOf("administrator");
    await writeFile(tokenFilePath(folder.path), "{");

    const refused = await ask("/api/v1/status", bearer(token));

    expect(refused).toMatchObject({ status: 503, text: expect.stringContaining("damaged") });
    expect(refusals()).toMatchObject([{ reason: "tokens-unusable" }]);
  });

  test("one that has expired, or was revoked, is refused from that moment", async () => {
    const { token } = await tokens.add({ name: "short", role: "viewer", expiresAt: clock.now() + 1000, by: "kim" });
    const revoked = await tokenOf("viewer", "long");
    const before = [await ask("/api/v1/version", bearer(token)), await ask("/api/v1/version", bearer(revoked))];
    clock.advance(1000);
    await tokens.revoke("long", "kim");

    const after = [await ask("/api/v1/version", bearer(token)), await ask("/api/v1/version", bearer(revoked), { from: "127.0.0.2" })];

    expect([...before, ...after].map(({ status }) => status)).toEqual([200, 200, 401, 401]);
    expect(after[0]?.headers["www-authenticate"]).toContain('error="invalid_token"');
    expect(refusals()).toMatchObject([{ reason: "expired-token", token: "short" }, { reason: "unknown-token" }]);
  });
});

describe("roles", () => {
  const ACT = { filter: {} };

  test.each([
    ["viewer", "/api/v1/status", undefined],
    ["operator", "/api/v1/queue/hold", ACT],
    ["operator", `/api/v1/queue/${ID}/content`, undefined],
    ["operator", "/api/v1/doctor", {}],
    ["administrator", "/api/v1/reload", {}],
    ["administrator", "/api/v1/queue/retry", ACT],
    ["administrator", "/api/v1/tokens", undefined],
  ] as const)("%s: %s with %j is answered", async (role, path, body) => {
    const answer = await ask(path, bearer(await tokenOf(role)), { body });

    expect(answer.status).toBe(200);
  });

  test.each([
    ["viewer", `/api/v1/queue/${ID}/content`, undefined, "operator"],
    ["viewer", "/api/v1/queue/retry", ACT, "operator"],
    ["viewer", "/api/v1/doctor", {}, "operator"],
    ["viewer", "/api/v1/tokens", undefined, "administrator"],
    ["operator", "/api/v1/reload", {}, "administrator"],
    ["operator", "/api/v1/tokens/add", { name: "x", role: "administrator" }, "administrator"],
    ["operator", "/api/v1/tokens/revoke", { name: "x" }, "administrator"],
  ] as const)("%s: %s with %j needs the role that the answer names", async (role, path, body, needed) => {
    const answer = await ask(path, bearer(await tokenOf(role)), { body });

    expect(answer).toMatchObject({ status: 403, text: expect.stringContaining(`needs the role ${needed}`) });
    expect(answer.headers["www-authenticate"]).toContain("insufficient_scope");
    expect(refusals()).toMatchObject([{ reason: "role", token: role, needed }]);
    expect([acts, reloadedBy]).toEqual([[], []]);
  });

  test.each([
    ["PUT", "/api/v1/queue", "GET, HEAD"],
    ["DELETE", `/api/v1/queue/${ID}`, "GET, HEAD"],
    ["PUT", "/api/v1/queue/hold", "POST"],
    ["GET", "/api/v1/reload", "POST"],
  ])("%s %s is told which methods there are", async (method, path, allow) => {
    const answer = await ask(path, bearer(await tokenOf("administrator")), { method });

    expect(answer).toMatchObject({ status: 405, text: expect.stringContaining(`allowed: ${allow}`) });
    expect(answer.headers).toMatchObject({ allow });
  });

  test("what a token does is logged under its name, and nobody else's can be given", async () => {
    const token = await tokenOf("administrator", "portal");

    const acted = await ask("/api/v1/queue/hold", bearer(token), { body: { ids: [ID] } });
    const forged = await ask("/api/v1/queue/hold", bearer(token), { body: { ids: [ID], by: "root" } });
    await ask("/api/v1/reload", bearer(token), { body: {} });
    const content = await ask(`/api/v1/queue/${ID}/content`, bearer(token));

    expect(acted.status).toBe(200);
    expect(forged).toMatchObject({ status: 400, text: expect.stringContaining("portal") });
    expect(acts).toEqual([{ verb: "hold", filter: { ids: [ID] }, by: "portal" }]);
    expect(reloadedBy).toEqual(["portal"]);
    expect(content.text).toBe("Subject: Dismissal\r\n\r\nDear Sir\r\n");
    expect(content.headers).toMatchObject({ "content-type": "message/rfc822", "content-disposition": `attachment; filename="${ID}.eml"` });
    expect(events).toEqual([
      { type: "operator.acted", verb: "hold", queueIds: [], recipients: 0, operator: "portal", declared: false },
      { type: "operator.acted", verb: "export", queueIds: [ID], recipients: 0, operator: "portal", declared: false },
    ]);
  });

  test("a viewer sees subjects only where the log does", async () => {
    const [viewer, operator] = [await tokenOf("viewer"), await tokenOf("operator")];

    const hidden = await ask(`/api/v1/queue/${ID}`, bearer(viewer));
    const forOperator = await ask(`/api/v1/queue/${ID}`, bearer(operator));
    subjectsShown = true;
    const shown = await ask(`/api/v1/queue/${ID}`, bearer(viewer));

    expect(hidden.status).toBe(200);
    expect(hidden.text).not.toContain("Dismissal");
    expect([forOperator.text, shown.text]).toEqual([expect.stringContaining("Dismissal"), expect.stringContaining("Dismissal")]);
  });

  test("a viewer's search looks into subjects only where the log does: what may not be read is not guessed at by searching", async () => {
    const [viewer, operator] = [await tokenOf("viewer"), await tokenOf("operator")];

    await ask("/api/v1/messages?text=dismissal", bearer(viewer));
    await ask("/api/v1/messages?text=dismissal", bearer(operator));
    subjectsShown = true;
    await ask("/api/v1/messages?text=dismissal", bearer(viewer));

    expect(searches.map(({ text, subjects }) => [text, subjects])).toEqual([
      ["dismissal", false],
      ["dismissal", true],
      ["dismissal", true],
    ]);
  });

  test("an administrator makes and revokes tokens from afar, and is told of a name that is taken", async () => {
    const token = await tokenOf("administrator");
    const add = (name: string): Promise<Answer> =>
      ask("/api/v1/tokens/add", bearer(token), { body: { name, role: "viewer", expiresAt: clock.now() + 5000 } });

    const made = JSON.parse((await add("wall")).text) as { token: string; view: object };
    const again = await add("wall");
    const works = await ask("/api/v1/version", bearer(made.token));
    const listed = await ask("/api/v1/tokens", bearer(token));
    const revoked = [
      await ask("/api/v1/tokens/revoke", bearer(token), { body: { name: "wall" } }),
      await ask("/api/v1/tokens/revoke", bearer(token), { body: { name: "wall" } }),
    ];

    expect(made.view).toMatchObject({ name: "wall", role: "viewer", createdBy: "administrator", expiresAt: clock.now() + 5000 });
    expect([again.status, works.status]).toEqual([400, 200]);
    expect(listed.text).not.toContain(made.token);
    expect(JSON.parse(listed.text)).toMatchObject({ tokens: [{ name: "administrator" }, { name: "wall" }] });
    expect(revoked.map(({ status }) => status)).toEqual([200, 404]);
  });
});

describe("events", () => {
  /** A connection that listens. */
  interface Ear {
    readonly socket: Socket;
    /** What has come, once this is in it. */
    readonly heard: (part: string) => Promise<string>;
    readonly closed: Promise<unknown>;
  }

  /** What comes is megabytes, and only its end is looked at. */
  const MOST_KEPT = 200_000;
  const ears: Socket[] = [];
  afterEach(() => {
    for (const socket of ears.splice(0)) socket.destroy();
  });

  function listen(token: string, query = ""): Ear {
    const socket = connect(admin.addresses[0]?.port ?? 0, "127.0.0.1");
    ears.push(socket);
    socket.write(`GET /api/v1/events${query} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`);
    let text = "";
    const waiting = new Set<() => void>();
    socket.setEncoding("utf8").on("data", (part: string) => {
      text = (text + part).slice(-MOST_KEPT);
      for (const look of waiting) look();
    });
    const closed = new Promise((resolve) => socket.on("error", () => undefined).once("close", resolve));
    const heard = (part: string): Promise<string> =>
      new Promise((resolve) => {
        const look = (): void => {
          if (!text.includes(part)) return;
          waiting.delete(look);
          resolve(text);
        };
        waiting.add(look);
        look();
      });
    return { socket, heard, closed };
  }

  const throttled = (waitMs: number, upstream = "scans"): PosternEvent => ({ type: "upstream.throttled", upstream, waitMs });

  test("come as they happen, only those asked for, and end with the token", async () => {
    const token = await tokenOf("viewer", "wall");
    const ear = listen(token, "?types=upstream.*,token.revoked");
    const head = await ear.heard("retry:");

    feed.publish({ type: "daemon.stopped" });
    feed.publish(throttled(7));
    const first = await ear.heard('"waitMs":7');
    await tokens.revoke("wall", "kim");
    const last = await ear.heard("event: end");

    expect(head).toMatch(/^HTTP\/1\.1 200 [^]*cache-control: no-store[^]*content-type: text\/event-stream/i);
    expect(first).not.toContain("daemon.stopped");
    expect(last).toContain("event: token.revoked");
    expect(last).toContain('data: {"reason":"token"}');
  });

  test("for one that reads nothing are bounded, told as lost, and hold up nobody else", async () => {
    const token = await tokenOf("viewer");
    const slow = listen(token);
    const quick = listen(token, "?types=upstream.throttled");
    await Promise.all([slow.heard("retry:"), quick.heard("retry:")]);
    slow.socket.pause();
    const long = "x".repeat(10_000);

    for (let at = 0; at < 3000; at += 1) {
      feed.publish(throttled(at, long));
      // The quick one is let keep up.
      if (at % 50 === 49) await quick.heard(`"waitMs":${at}}`);
    }
    slow.socket.resume();
    const told = await slow.heard("event: lost");

    const [, lost = "0"] = /"lost":(\d+)/.exec(told) ?? [];
    expect(Number(lost)).toBeGreaterThan(1000);
    expect((await quick.heard('"waitMs":2999}')).includes("event: lost")).toBe(false);
  });

  test("are for 16 at a time; one that hangs up leaves its place", async () => {
    const token = await tokenOf("viewer");
    const all = Array.from({ length: 16 }, () => listen(token));
    await Promise.all(all.map((ear) => ear.heard("retry:")));

    const refused = await ask("/api/v1/events", bearer(token));
    all[0]?.socket.destroy();
    let again = await listen(token).heard("HTTP/1.1");
    // That somebody hung up is heard of when the socket is looked at: there is no event for it here.
    while (again.includes("503")) again = await listen(token).heard("HTTP/1.1");

    expect(refused).toMatchObject({ status: 503, text: expect.stringContaining("too_many_readers") });
    expect(again).toContain("200 OK");
  });

  test.each(["nothing.*", "recipient", "", "recipient.delivered,lost", "*", "../x"])("of the kind %j do not exist", async (types) => {
    const answer = await ask(`/api/v1/events?types=${encodeURIComponent(types)}`, bearer(await tokenOf("viewer")));

    expect(answer.status).toBe(400);
    expect(answer.text).toContain("recipient.*");
  });

  test("and messages are not begun for who asks for the head alone", async () => {
    const token = await tokenOf("operator");

    const heads = [
      await ask("/api/v1/events", bearer(token), { method: "HEAD" }),
      await ask(`/api/v1/queue/${ID}/content`, bearer(token), { method: "HEAD" }),
      await ask("/api/v1/version", bearer(token), { method: "HEAD" }),
    ];

    expect(heads.map(({ status, text }) => [status, text])).toEqual(Array.from({ length: 3 }, () => [200, ""]));
    expect(events).toEqual([]);
    expect(clock.pending).toBe(0);
  });

  test("end with a word when the relay stops", async () => {
    const ear = listen(await tokenOf("viewer"));
    await ear.heard("retry:");

    const closing = admin.close();
    const last = await ear.heard("event: end");
    await ear.closed;
    await closing;

    expect(last).toContain('data: {"reason":"stopping"}');
    // A whole answer, not one that was cut off.
    expect(last).toMatch(/\r\n0\r\n\r\n$/);
  });
});

test("one address may hold 32 connections, and another one still gets through", async () => {
  const port = admin.addresses[0]?.port ?? 0;
  const sockets = Array.from({ length: 33 }, () => connect({ port, host: "127.0.0.1", localAddress: "127.0.0.7" }));
  const closed = sockets.map((socket) => new Promise((resolve) => socket.once("close", resolve).on("error", () => undefined)));

  await Promise.race(closed);
  const other = await ask("/healthz");

  expect(other.status).toBe(200);
  expect(sockets.filter(({ destroyed }) => destroyed)).toHaveLength(1);
  for (const socket of sockets) socket.destroy();
});

describe("other places while it runs", () => {
  test("from one address to all and back on the same port, with what is under way going on; one that is taken changes nothing", async () => {
    const port = admin.addresses[0]?.port ?? 0;
    const token = await tokenOf("viewer");
    const kept = connect(port, "127.0.0.1");
    await new Promise((resolve) => kept.once("connect", resolve));
    // Accepted by now: this one came later.
    await ask("/healthz");
    const answered = new Promise<string>((resolve) => kept.once("data", (part) => resolve(String(part))));

    (await admin.prepare([{ host: "0.0.0.0", port, api: true }])).apply();
    const everywhere = await ask("/api/v1/version", bearer(token), { from: "127.0.0.3" });
    kept.write("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    const place = { host: "127.0.0.1", port, api: true };
    const taken = { host: "127.0.0.1", port: (await occupied()).port, api: false };
    const failed = admin.prepare([place, taken]);
    await expect(failed).rejects.toMatchObject({ code: "E_CONFIG", message: expect.stringContaining("EADDRINUSE") });
    const after = await ask("/api/v1/version", bearer(token));
    (await admin.prepare([place])).apply();

    expect(everywhere.status).toBe(200);
    expect(await answered).toMatch(/^HTTP\/1\.1 200/);
    expect(after.status).toBe(200);
    expect((await ask("/api/v1/version", bearer(token))).status).toBe(200);
    expect(admin.addresses).toMatchObject([{ address: "127.0.0.1", port }]);
  });

  test("where only monitoring is to answer a token opens nothing", async () => {
    const token = await tokenOf("administrator");
    (await admin.prepare([{ host: "127.0.0.1", port: 0, api: false }])).apply();

    const [api, health] = [await ask("/api/v1/version", bearer(token)), await ask("/healthz")];

    expect([api.status, health.status]).toEqual([404, 200]);
  });

  test("what was prepared and dropped leaves things as they were", async () => {
    const port = admin.addresses[0]?.port ?? 0;

    const places = await admin.prepare([{ host: "0.0.0.0", port, api: false }]);
    await places.drop();

    expect((await ask("/api/v1/version")).status).toBe(401);
    expect(admin.addresses).toMatchObject([{ address: "127.0.0.1", port }]);
  });
});

describe("an address that is not free at the start", () => {
  const told: PosternEvent[] = [];
  const free = async (taken: number): Promise<void> => {
    const owner = occupying.find(({ addresses }) => addresses[0]?.port === taken);
    await owner?.close();
  };
  const toldOf = (type: PosternEvent["type"]): Promise<unknown> =>
    vi.waitFor(() => expect(told.map((event) => event.type)).toContain(type));
  beforeEach(() => void told.splice(0));

  test("is an alert that says who has it, and is tried every 15 seconds until it is bound", async () => {
    const { port } = await occupied();

    const other = await startAnother([{ host: "127.0.0.1", port, api: true }], (event) => void told.push(event));
    const before = [...other.addresses];
    const raised = told.splice(0);
    clock.advance(15_000);
    await toldOf("alert.raised");
    told.splice(0);
    await free(port);
    await vi.waitFor(() => expect(clock.pending).toBeGreaterThan(0));
    clock.advance(15_000);
    await toldOf("alert.cleared");

    expect(before).toEqual([]);
    expect(raised).toEqual([
      {
        type: "alert.raised",
        alert: "admin.unbound",
        subject: "admin.listen",
        text: `admin.listen: cannot listen on 127.0.0.1:${port}: EADDRINUSE; another program listens there: ss -ltnp 'sport = :${port}' names it`,
        remedy: expect.stringContaining("Mail goes on"),
      },
    ]);
    expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
    expect(other.addresses).toMatchObject([{ port }]);
  });

  test("of no interface is told with how to see those that are there", async () => {
    await startAnother([{ host: "192.0.2.1", port: 9125, api: false }], (event) => void told.push(event));

    expect(told).toMatchObject([
      { subject: "metrics.listen", text: expect.stringContaining("EADDRNOTAVAIL; no interface of this machine") },
    ]);
  });

  test("does not keep other changes from a reload, and is forgotten with the place", async () => {
    const { port } = await occupied();
    const unbound = { host: "127.0.0.1", port, api: true };
    const other = await startAnother([unbound], (event) => void told.push(event));

    (await other.prepare([unbound, { host: "127.0.0.1", port: 0, api: false }])).apply();
    const beside = [...other.addresses];
    const refused = other.prepare([unbound, { host: "127.0.0.1", port: admin.addresses[0]?.port ?? 0, api: false }]);
    await expect(refused).rejects.toMatchObject({ code: "E_CONFIG" });
    (await other.prepare([{ host: "127.0.0.1", port: 0, api: true }])).apply();

    expect(beside).toHaveLength(1);
    expect(told.at(-1)).toEqual({ type: "alert.cleared", alert: "admin.unbound", subject: "admin.listen" });
    expect(other.addresses).toHaveLength(1);
  });
});

const occupying: Admin[] = [];
afterEach(async () => {
  for (const other of occupying.splice(0)) await other.close();
});

/** A port that somebody else has. */
async function occupied(): Promise<{ port: number }> {
  const other = await startAnother([{ host: "127.0.0.1", port: 0, api: false }]);
  return { port: other.addresses[0]?.port ?? 0 };
}

async function startAnother(listen: readonly AdminPlace[], emit: Emit = () => {}): Promise<Admin> {
  const other = await startAdmin({
    ...NO_OPERATIONS,
    listen,
    controlSocket: undefined,
    queue: {
      list: () => Promise.resolve([]),
      show: () => Promise.resolve(undefined),
      find: () => Promise.resolve([]),
      contentRow: () => Promise.resolve(undefined),
      act: () => Promise.resolve({ changed: [], recipients: 0, messages: 0, busy: 0 }),
    },
    devices: NO_DEVICES,
    status: () => Promise.reject(new Error("not asked")),
    ready: () => ({ ok: true, reasons: [] }),
    metricsText: () => Promise.resolve(""),
    version: { postern: "0", node: "0", sqlite: "0" },
    clock,
    emit,
  });
  occupying.push(other);
  return other;
}
