import { once } from "node:events";
import { request, type IncomingMessage } from "node:http";
import { createServer, connect } from "node:net";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { NO_OPERATIONS } from "../../test/fakes/no-operations.ts";
import { NO_DEVICES } from "../../test/fakes/no-devices.ts";
import type { PosternEvent } from "../mail/events.ts";
import { PosternError } from "../mail/errors.ts";
import type { ActResult, FoundMessage, MessageQuery, MessageView, OperatorAct, QueueEntry, QueueFilter } from "../queue/queue.ts";
import type { Admin, Readiness, StatusView } from "./admin.ts";
import { controlSocketPath, startAdmin } from "./admin.ts";

const ID = "01JD8ZQ3V5W6X7Y8Z9A0B1C2D3";
const VERSION = { postern: "0.1.0", node: "24.0.0", sqlite: "3.53.0" };

class FakeQueue {
  readonly asked: unknown[] = [];
  result: ActResult = { changed: [{ queueId: ID, recipient: "anna@contoso.com", lane: "scans" }], recipients: 1, messages: 1, busy: 1 };

  list(filter: QueueFilter, limit: number, after?: string): Promise<QueueEntry[]> {
    this.asked.push({ filter, limit, after });
    return Promise.resolve([]);
  }

  find(query: MessageQuery, limit: number): Promise<FoundMessage[]> {
    this.asked.push({ query, limit });
    return Promise.resolve([]);
  }

  contentRow(): Promise<Uint8Array | undefined> {
    return Promise.resolve(undefined);
  }

  show(queueId: string): Promise<MessageView | undefined> {
    this.asked.push({ show: queueId });
    return Promise.resolve(undefined);
  }

  act(act: OperatorAct): Promise<ActResult> {
    this.asked.push(act);
    return Promise.resolve(this.result);
  }
}

let dataDir: string;
let queue: FakeQueue;
let events: PosternEvent[];
let ready: Readiness;
const running: Admin[] = [];

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "postern-admin-"));
  queue = new FakeQueue();
  events = [];
  ready = { ok: true, reasons: [] };
});

afterEach(async () => {
  for (const admin of running.splice(0)) await admin.close();
  await rm(dataDir, { recursive: true });
});

async function start(): Promise<{ url: string; socket: string }> {
  const socket = controlSocketPath(dataDir);
  const admin = await startAdmin({
    listen: [{ host: "127.0.0.1", port: 0, api: true }],
    controlSocket: socket,
    queue,
    devices: NO_DEVICES,
    ...NO_OPERATIONS,
    status: () => Promise.resolve({ ready } as unknown as StatusView),
    ready: () => ready,
    metricsText: () => Promise.resolve("postern_ready 1\n"),
    version: VERSION,
    emit: (event) => void events.push(event),
  });
  running.push(admin);
  return { url: `http://127.0.0.1:${admin.addresses[0]?.port}`, socket };
}

function ask(socketPath: string, path: string, body?: string, type = "application/json"): Promise<{ status: number; body: unknown }> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { socketPath, path, method: body === undefined ? "GET" : "POST", headers: { "content-type": type } },
      (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (part: string) => (text += part));
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) }));
      },
    );
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

describe("monitoring", () => {
  test("metrics are text 0.0.4, health is 200", async () => {
    const { url } = await start();

    const metrics = await fetch(`${url}/metrics`);
    const health = await fetch(`${url}/healthz`);

    expect(metrics.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(await metrics.text()).toBe("postern_ready 1\n");
    expect(health.status).toBe(200);
  });

  test("readyz says why it is not ready", async () => {
    const { url } = await start();

    const before = await fetch(`${url}/readyz`);
    ready = { ok: false, reasons: ["the queue does not commit"] };
    const after = await fetch(`${url}/readyz`);

    expect([before.status, after.status]).toEqual([200, 503]);
    expect(await after.json()).toEqual({ ok: false, reasons: ["the queue does not commit"] });
  });
});

describe("the control socket", () => {
  test("only its owner can reach it", async () => {
    const { socket } = await start();

    expect((await stat(socket)).mode & 0o777).toBe(0o600);
    expect((await stat(join(dataDir, "deliver"))).mode & 0o777).toBe(0o700);
  });

  test("one that a crash left behind is replaced", async () => {
    const { socket } = await start();
    const left = createServer();
    const stale = `${socket}.stale`;
    await new Promise<void>((resolve) => left.listen(stale, resolve));
    await running.pop()?.close();
    const { rename } = await import("node:fs/promises");
    await rename(stale, socket);
    await new Promise((resolve) => left.close(resolve));

    const again = await start();

    expect(await ask(again.socket, "/api/v1/version")).toEqual({ status: 200, body: VERSION });
  });

  test("one of a living daemon is left alone", async () => {
    const { socket } = await start();

    await expect(start()).rejects.toMatchObject({ code: "E_UNAVAILABLE" });

    expect(await ask(socket, "/api/v1/version")).toEqual({ status: 200, body: VERSION });
  });

  test("a file that is no socket is not removed", async () => {
    const { socket } = await start();
    await running.pop()?.close();
    await writeFile(socket, "mine");

    await expect(start()).rejects.toBeInstanceOf(PosternError);

    expect((await stat(socket)).isFile()).toBe(true);
  });

  test("closing ends connections and removes the socket", async () => {
    const { socket } = await start();
    const idle = connect(socket);
    await new Promise((resolve) => idle.once("connect", resolve));
    const closed = new Promise((resolve) => idle.once("close", resolve));

    await running.pop()?.close();
    await closed;

    await expect(stat(socket)).rejects.toMatchObject({ code: "ENOENT" });
  });
});

describe("the queue", () => {
  test("a list takes filters, limit and the place to go on from", async () => {
    const { socket } = await start();

    const answer = await ask(
      socket,
      `/api/v1/queue?state=held,deferred&lane=scans&device=10.0.0.1&from=a&to=b&client=c&acceptedBefore=5&limit=7&after=X&id=${ID}`,
    );

    expect(answer).toEqual({ status: 200, body: { entries: [] } });
    expect(queue.asked).toEqual([
      {
        filter: {
          states: ["held", "deferred"],
          lane: "scans",
          device: "10.0.0.1",
          from: "a",
          to: "b",
          client: "c",
          acceptedBefore: 5,
          ids: [ID],
        },
        limit: 7,
        after: "X",
      },
    ]);
  });

  test.each([
    ["/api/v1/queue?state=lost", "state"],
    ["/api/v1/queue?limit=0", "limit"],
    ["/api/v1/queue?limit=99999", "limit"],
    ["/api/v1/queue?colour=red", "unknown_key"],
    ["/api/v1/queue?id=short", "id"],
    ["/api/v1/queue/short", "id"],
  ])("%s is refused", async (path, code) => {
    const { socket } = await start();

    expect(await ask(socket, path)).toMatchObject({ status: 400, body: { error: { code } } });
    expect(queue.asked).toEqual([]);
  });

  test.each([
    ["limit=-1", 'limit: expected a whole number from 1 to 1000, not "-1"'],
    ["limit=abc", 'limit: expected a whole number from 1 to 1000, not "abc"'],
    ["limit=0", 'limit: expected a whole number from 1 to 1000, not "0"'],
    ["id=short", 'id.0: expected a queue id (26 letters and digits), not "short"'],
  ])("%s is told what was given and what is expected", async (query, message) => {
    const { socket } = await start();

    expect(await ask(socket, `/api/v1/queue?${query}`)).toMatchObject({ body: { error: { message } } });
  });

  test("what an act lacks is missing, and what is of another kind is said to be", async () => {
    const { socket } = await start();
    const told = async (body: unknown) => await ask(socket, "/api/v1/test", JSON.stringify(body));

    expect(await told({ by: "kim" })).toMatchObject({ body: { error: { message: expect.stringMatching(/^to: missing; expected /) } } });
    expect(await told({ by: "kim", to: 5 })).toMatchObject({
      body: { error: { message: expect.stringMatching(/^to: expected .*, not 5$/) } },
    });
    expect(await told({ by: "kim", to: ["x"] })).toMatchObject({ body: { error: { message: expect.stringMatching(/, not this list$/) } } });
  });

  test("an unknown message is a 404", async () => {
    const { socket } = await start();

    expect(await ask(socket, `/api/v1/queue/${ID}`)).toMatchObject({ status: 404, body: { error: { code: "E_NO_SUCH_MESSAGE" } } });
  });

  test("a delete is announced once, with the operator's name", async () => {
    const { socket } = await start();

    const answer = await ask(socket, "/api/v1/queue/delete", JSON.stringify({ ids: [ID], by: "kim" }));

    expect(answer).toEqual({ status: 200, body: queue.result });
    expect(queue.asked).toEqual([{ verb: "delete", filter: { ids: [ID] }, by: "kim" }]);
    expect(events).toEqual([{ type: "operator.acted", verb: "delete", queueIds: [ID], recipients: 1, operator: "kim", declared: true }]);
  });

  test("a bounce is announced once: its recipients are told of by whoever ended them", async () => {
    const { socket } = await start();

    const answer = await ask(socket, "/api/v1/queue/bounce", JSON.stringify({ filter: { lane: "scans" }, by: "kim" }));

    expect(answer).toEqual({ status: 200, body: queue.result });
    expect(queue.asked).toEqual([{ verb: "bounce", filter: { lane: "scans" }, by: "kim" }]);
    expect(events).toEqual([{ type: "operator.acted", verb: "bounce", queueIds: [ID], recipients: 1, operator: "kim", declared: true }]);
  });

  test.each([
    ["neither ids nor filter", JSON.stringify({ by: "kim" }), 400],
    ["both", JSON.stringify({ by: "kim", ids: [ID], filter: {} }), 400],
    ["nobody's name", JSON.stringify({ ids: [ID] }), 400],
    ["a filter that does not exist", JSON.stringify({ by: "kim", filter: { id: "x" } }), 400],
    ["no JSON", "{", 400],
    ["a list", "[]", 400],
    ["too much", `{"by":"${"x".repeat(1_100_000)}"}`, 413],
  ])("an act with %s changes nothing", async (_, body, status) => {
    const { socket } = await start();

    expect(await ask(socket, "/api/v1/queue/delete", body)).toMatchObject({ status });
    expect(queue.asked).toEqual([]);
  });

  test("a body that is announced as too large is refused before it comes", async () => {
    const { socket } = await start();
    const headers = { "content-type": "application/json", "content-length": 1_000_000_000 };
    const outgoing = request({ socketPath: socket, path: "/api/v1/queue/delete", method: "POST", headers });
    outgoing.write("{");

    const [answer] = (await once(outgoing, "response")) as [IncomingMessage];
    outgoing.on("error", () => undefined).destroy();

    expect(answer.statusCode).toBe(413);
  });

  test("a form of a web page is refused", async () => {
    const { socket } = await start();

    expect(await ask(socket, "/api/v1/queue/delete", `{"by":"kim","filter":{}}`, "text/plain")).toMatchObject({ status: 415 });
  });

  test("a queue that failed answers with its code", async () => {
    const { socket } = await start();
    queue.list = () => Promise.reject(new PosternError("E_SPOOL_FAILED", "the disk is gone"));

    expect(await ask(socket, "/api/v1/queue")).toEqual({
      status: 503,
      body: { error: { code: "E_SPOOL_FAILED", message: "the disk is gone" } },
    });
  });
});
