import { describe, expect, test } from "vitest";
import type { PosternEvent } from "../mail/events.ts";
import { ManualClock } from "../platform/clock.ts";
import { EventFeed, type Listener, type Reader } from "./event-feed.ts";

const ACCEPTED: PosternEvent = {
  type: "message.accepted",
  queueId: "01JD8ZQ3V5W6X7Y8Z9A0B1C2D3",
  session: "s",
  origin: { listener: "printers", client: "floor", device: "10.20.0.7" },
  reversePath: "scan@contoso.com",
  recipients: ["anna@contoso.com"],
  sizeBytes: 1,
  messageId: "<1@contoso.com>",
  subject: "Dismissal",
  repairs: [],
  acceptSeconds: 0.01,
};
const throttled = (waitMs: number): PosternEvent => ({ type: "upstream.throttled", upstream: "scans", waitMs });

interface Setting {
  readonly clock: ManualClock;
  readonly feed: EventFeed;
  readonly hungUp: string[];
  readonly open: (more?: Partial<Listener>) => Reader;
}

function setting(): Setting {
  const clock = new ManualClock();
  const feed = new EventFeed(clock);
  const hungUp: string[] = [];
  const open = (more: Partial<Listener> = {}): Reader => {
    const reader = feed.open({
      wants: () => true,
      subjects: () => true,
      token: { name: "wall" },
      holds: () => Promise.resolve(true),
      hangUp: () => void hungUp.push("hung up"),
      ...more,
    });
    if (reader === undefined) throw new Error("no place");
    return reader;
  };
  return { clock, feed, hungUp, open };
}

/** The JSON values of an event stream, with the names of their events. */
function told(text: string | undefined): [string, Record<string, unknown>][] {
  return [...(text ?? "").matchAll(/event: (\S+)\ndata: (.+)\n\n/g)].map(([, event = "", data = "{}"]) => [
    event,
    JSON.parse(data) as Record<string, unknown>,
  ]);
}

test("a reader gets what it wants as it happens, with id and time, and nothing from before it came", async () => {
  const { clock, feed, open } = setting();
  feed.publish(throttled(1));
  const reader = open({ wants: (type) => type === "upstream.throttled" });
  const greeting = await reader.take();
  const waiting = reader.take();
  feed.publish({ type: "daemon.stopped" });
  clock.advance(5);

  feed.publish(throttled(2));
  const first = await waiting;
  feed.publish(throttled(3));
  feed.publish(throttled(4));

  expect(greeting).toBe(":\nretry: 5000\n\n");
  const [[name, { id, ...values }] = ["", {}]] = told(first);
  expect(name).toBe("upstream.throttled");
  expect(values).toEqual({ time: clock.now(), type: "upstream.throttled", upstream: "scans", waitMs: 2 });
  expect(first).toContain(`id: ${String(id)}\n`);
  expect(told(await reader.take()).map(([, { waitMs }]) => waitMs)).toEqual([3, 4]);
});

test("of a reader that does not keep up a thousand events wait; then it is told how many it lost, in their place", async () => {
  const { feed, open } = setting();
  const reader = open();
  for (let at = 0; at < 1500; at += 1) feed.publish(throttled(at));

  const caughtUp = told(await reader.take());
  feed.publish(throttled(9999));
  const after = told(await reader.take());

  expect(caughtUp).toHaveLength(1000);
  expect(caughtUp.at(-2)).toMatchObject(["upstream.throttled", { waitMs: 998 }]);
  expect(caughtUp.at(-1)).toEqual(["lost", { lost: 501 }]);
  expect(after).toMatchObject([["upstream.throttled", { waitMs: 9999 }]]);
});

test("large events are bounded by their size too", async () => {
  const { feed, open } = setting();
  const reader = open();
  for (let at = 0; at < 10; at += 1) feed.publish({ type: "queue.failed", cause: "x".repeat(300_000), damaged: false });

  const text = await reader.take();

  expect(text?.length).toBeLessThan(1024 * 1024);
  expect(told(text).at(-1)).toEqual(["lost", { lost: 7 }]);
});

test("subjects are only for those who may see them", async () => {
  const { feed, open } = setting();
  const [operator, viewer] = [open(), open({ subjects: () => false })];

  feed.publish(ACCEPTED);

  expect(await operator.take()).toContain("Dismissal");
  const hidden = await viewer.take();
  expect(hidden).not.toContain("Dismissal");
  expect(told(hidden)).toMatchObject([["message.accepted", { recipients: ["anna@contoso.com"] }]]);
});

describe("the end", () => {
  test("of a token that is revoked ends its readers and no others, after what was for them", async () => {
    const { feed, open } = setting();
    const [reader, other] = [open(), open({ token: { name: "portal" } })];

    feed.publish({ type: "token.revoked", token: "wall", operator: "kim" });
    feed.publish(throttled(1));

    expect(told(await reader.take())).toMatchObject([
      ["token.revoked", { token: "wall" }],
      ["end", { reason: "token" }],
    ]);
    expect(await reader.take()).toBeUndefined();
    expect(told(await other.take()).map(([name]) => name)).toEqual(["token.revoked", "upstream.throttled"]);
  });

  test("of a token comes at its time, and within a heartbeat where nobody told", async () => {
    const { clock, open } = setting();
    let holds = true;
    const expiring = open({ token: { name: "short", expiresAt: clock.now() + 5000 }, holds: () => Promise.resolve(false) });
    const revoked = open({ holds: () => Promise.resolve(holds) });
    await expiring.take();
    await revoked.take();
    const [first, second] = [expiring.take(), revoked.take()];

    clock.advance(5000);
    const ended = await first;
    holds = false;
    clock.advance(10_000);

    expect(told(ended)).toEqual([["end", { reason: "token" }]]);
    expect(await second).toBe(":\n\n");
    expect(told(await revoked.take())).toEqual([["end", { reason: "token" }]]);
  });

  test("of the relay is told to all, and waited for, but not for ever", async () => {
    const { clock, feed, open } = setting();
    const [quick, slow] = [open(), open()];
    const closing = feed.close();

    const last = told(await quick.take());
    const over = await quick.take();
    clock.advance(1000);
    await closing;

    expect(last).toEqual([["end", { reason: "stopping" }]]);
    expect(over).toBeUndefined();
    expect(told(await slow.take())).toEqual([["end", { reason: "stopping" }]]);
    expect(feed.open({ ...slow.listener })).toBeUndefined();
  });

  test("comes at once for one that leaves, and its place is free", async () => {
    const { feed, open } = setting();
    const readers = Array.from({ length: 16 }, () => open());
    const before = feed.open({ ...(readers[0] as Reader).listener });
    await readers[0]?.take();
    const waiting = readers[0]?.take();

    readers[0]?.leave();

    expect(before).toBeUndefined();
    expect(await waiting).toBeUndefined();
    expect(open()).toBeDefined();
  });

  test("comes for one that takes nothing for a minute: it is gone", () => {
    const { clock, hungUp, open } = setting();
    open();

    clock.advance(59_999);
    const early = hungUp.length;
    clock.advance(15_000);

    expect([early, hungUp.length]).toEqual([0, 1]);
    expect(clock.pending).toBe(0);
  });
});

test("while nobody listens nothing is kept and no clock runs", () => {
  const { clock, feed, open } = setting();
  open().leave();
  for (let at = 0; at < 10; at += 1) feed.publish(ACCEPTED);

  expect(clock.pending).toBe(0);
});
