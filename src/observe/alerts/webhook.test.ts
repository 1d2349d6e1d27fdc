import { createHmac } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { IncomingMessage, Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { makeTestAuthority } from "../../../test/fakes/test-ca.ts";
import type { PosternEvent } from "../../mail/events.ts";
import { ManualClock } from "../../platform/clock.ts";
import type { Notice } from "./alert.ts";
import { bodyOf } from "./formats.ts";
import { poster } from "./post.ts";
import { MOST_OWED, Outbox } from "./outbox.ts";
import { webhookCarrier } from "./webhook.ts";
import type { WebhookOptions } from "./webhook.ts";

const SECRET = "canary~signing~key";
const PATH = "/services/canary~path?sig=canary~sig";
const clock = new ManualClock();
const NOTICE: Notice = {
  state: "raised",
  at: clock.now(),
  alert: {
    alert: "upstream.held",
    subject: "scans",
    text: "upstream scans is held: 535 5.7.3 <b>[click](https://evil.example)</b>",
    remedy: "renew the secret",
    severity: "critical",
    since: clock.now(),
    toldAt: clock.now(),
    metAt: clock.now(),
  },
};

interface Got {
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const one of undo.splice(0).toReversed()) await one();
});

/** A receiver that answers with the statuses given, the last one again and again. */
async function receiver(
  statuses: readonly number[],
  make: (handler: Parameters<typeof createServer>[1]) => Server = (handler) => createServer(handler ?? (() => {})),
) {
  const got: Got[] = [];
  const waiting: (() => void)[] = [];
  const server = make((request, response) => {
    let body = "";
    request.setEncoding("utf8");
    request.on("data", (piece: string) => (body += piece));
    request.on("end", () => {
      const status = statuses[Math.min(got.length, statuses.length - 1)] ?? 200;
      got.push({ headers: request.headers, body });
      response.writeHead(status, status === 302 ? { location: "http://127.0.0.1:9/" } : {}).end("no canary~answer please");
      for (const wake of waiting.splice(0)) wake();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  undo.push(() => server.close());
  const { port } = server.address() as AddressInfo;
  return { got, port, url: `http://127.0.0.1:${port}${PATH}` };
}

/** What a webhook owes, and a way to wait for an event of it. */
function sender(options: Partial<WebhookOptions> & { readonly address: string }) {
  const time = new ManualClock();
  const events: PosternEvent[] = [];
  const waiting: { type: string; times: number; resolve: () => void }[] = [];
  let changes = 0;
  const check = (): void => {
    for (const one of waiting) if (events.filter(({ type }) => type === one.type).length >= one.times) one.resolve();
  };
  const carrier = webhookCarrier({
    url: () => Promise.resolve(options.address),
    secret: () => Promise.resolve(SECRET),
    format: "generic",
    hostname: "relay.contoso.com",
    post: poster(() => Promise.resolve({ ca: [] })),
    clock: time,
    ...options,
  });
  const emit = (event: PosternEvent): void => {
    events.push(event);
    check();
  };
  const webhook = new Outbox({ way: "webhook", clock: time, emit, changed: () => void changes++ }, carrier);
  undo.push(() => webhook.stop());
  const seen = (type: PosternEvent["type"], times = 1): Promise<void> =>
    new Promise((resolve) => {
      waiting.push({ type, times, resolve });
      check();
    });
  return { webhook, events, seen, time, changes: () => changes };
}

test("posts what is promised, signed so that others can check it", async () => {
  const { got, url } = await receiver([200]);
  const { webhook, seen } = sender({ address: url });
  webhook.start();
  webhook.notify(NOTICE);
  await seen("alert.notified");
  const [request] = got;
  expect(JSON.parse(request?.body ?? "")).toEqual({
    alert: "upstream.held",
    subject: "scans",
    text: NOTICE.alert.text,
    remedy: "renew the secret",
    severity: "critical",
    state: "raised",
    hostname: "relay.contoso.com",
    at: "2026-01-05T09:00:00.000Z",
  });
  const { "x-postern-timestamp": timestamp, "x-postern-signature": signature } = request?.headers ?? {};
  expect(timestamp).toBe(String(Math.floor(clock.now() / 1000)));
  expect(signature).toBe(
    `sha256=${createHmac("sha256", SECRET)
      .update(`${String(timestamp)}.${request?.body ?? ""}`)
      .digest("hex")}`,
  );
  expect(webhook.owed).toEqual([]);
});

test("tries again with growing waits, in order and under the same id, and says so once an hour without the address", async () => {
  const { got, url } = await receiver([503, 302, 200]);
  const { webhook, seen, time, events } = sender({ address: url });
  const waits: number[] = [];
  const after = time.after.bind(time);
  let planned = Promise.withResolvers<void>();
  time.after = (ms, callback) => {
    waits.push(ms);
    planned.resolve();
    return after(ms, callback);
  };
  webhook.start();
  webhook.notify(NOTICE);
  webhook.notify({ ...NOTICE, state: "cleared" });
  for (const ms of [10_000, 20_000]) {
    await planned.promise;
    planned = Promise.withResolvers<void>();
    time.advance(ms);
  }
  await seen("alert.notified", 2);
  expect(waits).toEqual([10_000, 20_000]);
  expect(got.map(({ body }) => (JSON.parse(body) as { state: string }).state)).toEqual(["raised", "raised", "raised", "cleared"]);
  expect(new Set(got.slice(0, 3).map(({ headers }) => headers["x-postern-id"])).size).toBe(1);
  const failed = { type: "alert.notify.failed", way: "webhook", waiting: 2 };
  expect(events.filter(({ type }) => type === "alert.notify.failed")).toEqual([
    { ...failed, cause: "HTTP 503", failures: 1, isRepeated: false },
    { ...failed, cause: "HTTP 302", remedy: expect.stringMatching(/^Redirects are not followed/), failures: 2, isRepeated: true },
  ]);
  expect(JSON.stringify(events)).not.toContain("canary");
});

test.each([
  ["http://127.0.0.1:1/canary~path", "ECONNREFUSED (127.0.0.1:1)", expect.stringContaining("alerts.webhook.url")],
  ["http://relay.example/canary~path", "URL: expected https://…, or http:// to this machine", undefined],
  ["canary~path", "URL: expected https://…, or http:// to this machine", undefined],
])("a failure names host and port, never the rest of the address, which is a secret: %s", async (address, cause, remedy) => {
  const { webhook, seen, events } = sender({ address });
  webhook.start();
  webhook.notify(NOTICE);
  await seen("alert.notify.failed");
  expect(events).toEqual([{ type: "alert.notify.failed", way: "webhook", cause, remedy, failures: 1, waiting: 1, isRepeated: false }]);
  expect(JSON.stringify(events)).not.toContain("canary");
});

test("trusts a private authority, and nobody whose certificate does not lead to it", async () => {
  const authority = makeTestAuthority();
  const { cert, key } = authority.issue(["localhost"]);
  const { got, port } = await receiver([200], (handler) => createSecureServer({ cert, key }, handler));
  const address = `https://localhost:${port}/`;
  const stranger = sender({ address });
  stranger.webhook.start();
  stranger.webhook.notify(NOTICE);
  await stranger.seen("alert.notify.failed");
  expect(got).toEqual([]);
  const known = sender({ address, post: poster(() => Promise.resolve({ ca: [authority.ca] })) });
  known.webhook.start();
  known.webhook.notify(NOTICE);
  await known.seen("alert.notified");
  expect(got).toHaveLength(1);
});

test("a body that is refused for good does not hold up the others for ever", async () => {
  const statuses = [400, 400, 400, 400, 400, 200];
  const { got, url } = await receiver(statuses);
  const { webhook, seen, time } = sender({ address: url });
  let planned = Promise.withResolvers<void>();
  const after = time.after.bind(time);
  time.after = (ms, callback) => {
    planned.resolve();
    return after(ms, callback);
  };
  webhook.start();
  webhook.notify(NOTICE);
  webhook.notify({ ...NOTICE, state: "cleared" });
  for (let i = 0; i < 5; i++) {
    await planned.promise;
    planned = Promise.withResolvers<void>();
    time.advance(900_000);
  }
  await seen("alert.notified");
  await seen("alert.notify.dropped");
  expect((JSON.parse(got.at(-1)?.body ?? "") as { state: string }).state).toBe("cleared");
});

test("what it owes is bounded, the oldest leave, and old news is given up", async () => {
  const { webhook, events, time, seen } = sender({ address: "http://127.0.0.1:1/" });
  for (let i = 0; i < MOST_OWED + 2; i++) webhook.notify({ ...NOTICE, at: i < 10 ? NOTICE.at : time.now() + 4 * 86_400_000 });
  expect(webhook.owed).toHaveLength(MOST_OWED);
  expect(events).toHaveLength(2);
  time.advance(4 * 86_400_000);
  webhook.start();
  await seen("alert.notify.dropped", 10);
  await seen("alert.notify.failed");
  expect(webhook.owed).toHaveLength(MOST_OWED - 8);
});

test("formats for Teams and Slack carry foreign words as text", () => {
  const teams = JSON.parse(bodyOf("teams", NOTICE, "relay.contoso.com")) as {
    type: string;
    attachments: { contentType: string; content: { body: unknown[] } }[];
  };
  expect(teams).toMatchObject({ type: "message", attachments: [{ contentType: "application/vnd.microsoft.card.adaptive" }] });
  expect(teams.attachments[0]?.content.body).toEqual([
    {
      type: "RichTextBlock",
      inlines: [{ type: "TextRun", text: "critical: upstream.held scans", size: "large", weight: "bolder", color: "attention" }],
    },
    { type: "RichTextBlock", inlines: [{ type: "TextRun", text: NOTICE.alert.text }] },
    { type: "RichTextBlock", inlines: [{ type: "TextRun", text: "What to do: renew the secret" }] },
    {
      type: "RichTextBlock",
      inlines: [{ type: "TextRun", text: "relay.contoso.com, 2026-01-05T09:00:00.000Z", size: "small", isSubtle: true }],
    },
  ]);
  const slack = JSON.parse(bodyOf("slack", { ...NOTICE, state: "cleared" }, "relay.contoso.com")) as {
    text: string;
    blocks: { type: string; text?: { type: string } }[];
  };
  expect(slack.text).toBe("over: upstream.held scans: upstream scans is held: 535 5.7.3 &lt;b&gt;[click](https://evil.example)&lt;/b&gt;");
  expect(slack.blocks.map(({ type, text }) => `${type} ${text?.type ?? ""}`)).toEqual([
    "header plain_text",
    "section plain_text",
    "context ",
  ]);
});
