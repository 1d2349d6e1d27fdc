import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { PosternEvent } from "../mail/events.ts";
import { Inventory, MOST_DEVICES, MOST_REFUSED } from "./inventory.ts";

const START = Date.UTC(2026, 10, 2, 9, 0);

function start(): { inventory: Inventory; at: (ms: number) => void; met: string[]; told: PosternEvent[] } {
  let now = START;
  const met: string[] = [];
  const told: PosternEvent[] = [];
  return {
    inventory: new Inventory(
      () => now,
      () => {},
      (address) => met.push(address),
      (event) => told.push(event),
    ),
    at: (ms) => (now = START + ms),
    met,
    told,
  };
}

const opened = (device: string, admission: "network" | "learned" = "network"): PosternEvent => ({
  type: "session.opened",
  session: "s-1",
  listener: "printers",
  client: "floor",
  device,
  implicitTls: false,
  admission,
});

const refused = (device: string, reason = "unlisted"): PosternEvent => ({
  type: "session.rejected",
  session: "s-1",
  listener: "printers",
  device,
  reason,
  reply: { code: 554, enhanced: "5.7.1", text: `${device} is not allowed to relay` },
  remedy: "add it",
});

const accepted = (device: string, reversePath: string): PosternEvent => ({
  type: "message.accepted",
  queueId: "01JD8ZQ3V5W6X7Y8Z9A0B1C2D3",
  session: "s-1",
  origin: { listener: "printers", client: "floor", device },
  reversePath,
  recipients: ["anna@contoso.com", "bruno@contoso.com"],
  sizeBytes: 1000,
  messageId: "<1@relay>",
  repairs: [],
  acceptSeconds: 0.01,
});

describe("a device", () => {
  test("is known by what it did", () => {
    const { inventory, at } = start();

    inventory.observe(opened("10.20.3.7"));
    at(1000);
    inventory.observe(accepted("10.20.3.7", "scanner@contoso.com"));
    inventory.observe({ ...accepted("10.20.3.7", "scans@contoso.com"), originalSender: "root@localhost" } as PosternEvent);
    inventory.observe({
      type: "session.repaired",
      session: "s-1",
      listener: "printers",
      device: "10.20.3.7",
      quirk: "empty-helo",
      detail: "HELO",
    });
    inventory.observe(refused("10.20.3.7", "recipient"));
    at(2000);
    inventory.observe({
      type: "session.closed",
      session: "s-1",
      listener: "printers",
      device: "10.20.3.7",
      tls: "TLSv1.2",
      helo: "NPI65E56",
      triedAuth: true,
      messages: 2,
      durationMs: 2000,
    });

    expect(inventory.get("10.20.3.7")).toEqual({
      address: "10.20.3.7",
      verdict: "allowed",
      client: "floor",
      firstSeen: START,
      lastSeen: START + 1000,
      names: ["NPI65E56"],
      listeners: ["printers"],
      tls: { "TLSv1.2": 1 },
      triedAuth: true,
      users: [],
      senders: ["scanner@contoso.com", "root@localhost"],
      sessions: 1,
      messages: 2,
      recipients: 4,
      bytes: 2000,
      lastMessageAt: START + 1000,
      refusals: 1,
      lastRefusals: [
        {
          at: START + 1000,
          listener: "printers",
          reason: "recipient",
          reply: "554 5.7.1 10.20.3.7 is not allowed to relay",
          remedy: "add it",
        },
      ],
      quirks: [{ kind: "empty-helo", count: 1, lastAt: START + 1000, example: "HELO", toldAt: START + 1000 }],
    });
  });

  test("that needs a repair, of a command or of a message, is told of once a day for each kind, over restarts too", () => {
    const { inventory, at, told } = start();
    const repaired: PosternEvent = {
      type: "session.repaired",
      session: "s-1",
      listener: "printers",
      device: "10.20.3.7",
      quirk: "missing-brackets",
      detail: "MAIL FROM:a@contoso.com",
    };
    const message = { ...accepted("10.20.3.7", "a@contoso.com"), repairs: ["date-added"] } as PosternEvent;

    inventory.observe(opened("10.20.3.7"));
    for (const event of [repaired, message, repaired, message]) inventory.observe(event);
    at(86_399_999);
    inventory.observe(repaired);
    const seen = inventory.list();
    const next = start();
    next.inventory.restore(seen);
    next.at(86_400_000);
    for (const event of [repaired, repaired, message]) next.inventory.observe(event);

    expect(told).toEqual([
      expect.objectContaining({ type: "device.repaired", device: "10.20.3.7", client: "floor", quirk: "missing-brackets", times: 1 }),
      expect.objectContaining({ quirk: "date-added", times: 1, detail: expect.stringMatching(/^queue id \S+$/) }),
    ]);
    expect(next.told).toEqual([
      expect.objectContaining({ quirk: "missing-brackets", times: 4 }),
      expect.objectContaining({ quirk: "date-added", times: 3 }),
    ]);
    expect(next.inventory.get("10.20.3.7")?.quirks).toMatchObject([
      { kind: "missing-brackets", count: 5 },
      { kind: "date-added", count: 3, example: expect.stringMatching(/^queue id/) },
    ]);
  });

  test("that was refused and is listed since is an allowed one, and keeps its past", () => {
    const { inventory, at } = start();

    inventory.observe(refused("10.9.0.1"));
    at(60_000);
    inventory.observe(opened("10.9.0.1"));

    expect(inventory.counts()).toEqual({ allowed: 1, learned: 0, refused: 0 });
    expect(inventory.get("10.9.0.1")).toMatchObject({ verdict: "allowed", firstSeen: START, refusals: 1 });
  });

  test("that a learning client let in is told apart", () => {
    const { inventory } = start();

    inventory.observe(opened("10.9.0.1", "learned"));

    expect(inventory.counts()).toEqual({ allowed: 0, learned: 1, refused: 0 });
  });

  test("that may only sign in is nobody's until somebody does; wrong passwords are refusals of an unknown address", () => {
    const { inventory, at } = start();
    const about = { session: "s-1", listener: "submission", device: "192.0.2.7", mechanism: "PLAIN" } as const;
    const reply = { code: 535, enhanced: "5.7.8", text: "no" };

    inventory.observe({
      type: "session.opened",
      session: "s-1",
      listener: "submission",
      device: "192.0.2.7",
      implicitTls: false,
      admission: "user",
    });
    expect(inventory.list()).toEqual([]);
    inventory.observe({ type: "session.auth.failed", ...about, cause: "wrong password", failures: 1, reply });
    expect(inventory.get("192.0.2.7")).toMatchObject({ verdict: "refused", triedAuth: true, lastRefusals: [{ reason: "credentials" }] });
    at(1000);
    inventory.observe({ type: "session.auth.succeeded", ...about, user: "crm", client: "apps" });

    expect(inventory.get("192.0.2.7")).toMatchObject({ verdict: "allowed", client: "apps", users: ["crm"], sessions: 1, refusals: 1 });
    expect(inventory.counts()).toEqual({ allowed: 1, learned: 0, refused: 0 });
  });

  test("is met once, and again after it was forgotten", () => {
    const { inventory, met } = start();

    inventory.observe(opened("10.20.3.7"));
    inventory.observe(opened("10.20.3.7"));
    expect(inventory.forget("10.20.3.7")).toBe(true);
    inventory.observe(opened("10.20.3.7"));

    expect(met).toEqual(["10.20.3.7", "10.20.3.7"]);
    expect(inventory.forget("10.0.0.9")).toBe(false);
  });
});

describe("bounds", () => {
  test("a scan of the network pushes out the oldest refused addresses, and no device that sends", () => {
    const { inventory } = start();

    inventory.observe(opened("10.20.3.7"));
    for (let i = 0; i < MOST_REFUSED + 50; i++) inventory.observe(refused(`172.16.${i >> 8}.${i & 255}`));

    expect(inventory.counts()).toEqual({ allowed: 1, learned: 0, refused: MOST_REFUSED });
    expect(inventory.get("172.16.0.0")).toBeUndefined();
    expect(inventory.get("172.16.0.50")).toBeDefined();
  });

  test("of more devices than there is room for, the one that was seen longest ago leaves", () => {
    const { inventory, at } = start();

    for (let i = 0; i < MOST_DEVICES; i++) inventory.observe(opened(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`));
    at(1);
    inventory.observe(opened("10.0.0.0"));
    inventory.observe(opened("10.200.0.1"));

    expect(inventory.counts().allowed).toBe(MOST_DEVICES);
    expect(inventory.get("10.0.0.0")).toBeDefined();
    expect(inventory.get("10.0.0.1")).toBeUndefined();
  });

  test("whatever a device says, its entry stays small", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.string(), fc.string(), fc.string()), { maxLength: 200 }), (said) => {
        const { inventory } = start();
        inventory.observe(opened("10.20.3.7"));

        for (const [sender, quirk, helo] of said) {
          inventory.observe(accepted("10.20.3.7", sender));
          inventory.observe(refused("10.20.3.7", "sender"));
          inventory.observe({ type: "session.repaired", session: "s", listener: "l", device: "10.20.3.7", quirk, detail: "" });
          inventory.observe({
            type: "session.closed",
            session: "s",
            listener: "l",
            device: "10.20.3.7",
            helo,
            triedAuth: false,
            messages: 0,
            durationMs: 1,
          });
        }

        const device = inventory.get("10.20.3.7");
        expect(device?.senders.length).toBeLessThanOrEqual(10);
        expect(device?.names.length).toBeLessThanOrEqual(5);
        expect(device?.quirks.length).toBeLessThanOrEqual(50);
        expect(device?.lastRefusals.length).toBeLessThanOrEqual(10);
        expect(device?.messages).toBe(said.length);
      }),
      { numRuns: 50 },
    );
  });

  test("what was restored obeys the same bounds, and the latest stay", () => {
    const { inventory } = start();
    const old = start();
    for (let i = 0; i < MOST_REFUSED; i++) {
      old.at(i);
      old.inventory.observe(refused(`172.16.${i >> 8}.${i & 255}`));
    }
    const elder = start();
    elder.at(-1000);
    for (let i = 0; i < MOST_REFUSED; i++) elder.inventory.observe(refused(`192.168.${i >> 8}.${i & 255}`));

    inventory.restore([...old.inventory.list(), ...elder.inventory.list()]);

    expect(inventory.counts().refused).toBe(MOST_REFUSED);
    expect(inventory.get("172.16.0.0")).toBeDefined();
  });
});
