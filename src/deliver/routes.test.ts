import { describe, expect, test } from "vitest";
import { ENVELOPE } from "../../test/fakes/memory-queue.ts";
import { DoorBoard, type DoorGauge } from "./door-board.ts";
import type { DoorFacts } from "./fit.ts";
import { makeRouter, type Route, type Router } from "./routes.ts";

const DOMAINS = ["contoso.com"];
const { choose: route } = makeRouter({
  routes: [
    { name: "erp", match: { client: "erp", recipients: "external" }, via: ["connector"] },
    { name: "big", match: { minSizeBytes: 1_000_000, sender: ["*@contoso.com"] }, via: ["large"] },
    { name: "default", via: ["scans"] },
  ],
  domains: DOMAINS,
});
const erp = { ...ENVELOPE, origin: { ...ENVELOPE.origin, client: "erp" } };

test("one message may split: each recipient takes the first route that matches it", () => {
  expect(route(erp, "a@fabrikam.com")).toBe("connector");
  expect(route(erp, "a@contoso.com")).toBe("scans");
});

test("all keys of a match must fit", () => {
  expect(route(ENVELOPE, "a@fabrikam.com")).toBe("scans");
  expect(route({ ...ENVELOPE, sizeBytes: 1_000_000 }, "a@contoso.com")).toBe("large");
  expect(route({ ...ENVELOPE, sizeBytes: 1_000_000, reversePath: "x@fabrikam.com" }, "a@contoso.com")).toBe("scans");
  expect(route({ ...ENVELOPE, sizeBytes: 999_999 }, "a@contoso.com")).toBe("scans");
});

test("a list of routes whose last one matches only some is refused", () => {
  expect(() => makeRouter({ routes: [{ name: "only", match: { client: "a" }, via: ["x"] }], domains: DOMAINS })).toThrow("last route");
});

describe("a route with several doors", () => {
  const INSIDE: DoorFacts = { traits: { serves: "internal", nullSender: "any" }, maxMessageSizeBytes: 1_000_000 };
  const BY_IP: DoorFacts = { traits: { serves: "any", nullSender: "internal" }, maxMessageSizeBytes: 1_000_000 };
  const MAILBOX: DoorFacts = { traits: { serves: "any", nullSender: "mailbox" }, maxMessageSizeBytes: 500_000 };
  const doors = new Map(Object.entries({ inside: INSIDE, ip: BY_IP, scans: MAILBOX }));
  const gauge = (part: Partial<DoorGauge> = {}): DoorGauge => ({ isClosed: false, startable: Infinity, left: Infinity, ...part });

  function router(via: string[], route: Partial<Route> = {}, gauges: Record<string, DoorGauge> = {}) {
    const board = new DoorBoard();
    for (const [name, its] of Object.entries(gauges)) board.register(name, its);
    return { board, ...asFunctions(makeRouter({ routes: [{ name: "default", via, ...route }], domains: DOMAINS, doors, board })) };
  }
  const asFunctions = (made: Router) => ({
    choose: made.choose,
    another: (...asked: Parameters<Router["another"]>) => made.another(...asked),
    find: (...asked: Parameters<Router["find"]>) => made.find(...asked),
  });

  test.each([
    ["an internal recipient", {}, "a@contoso.com", "inside"],
    ["an external one", {}, "a@fabrikam.example", "ip"],
    ["an external one without a sender", { reversePath: "" }, "a@fabrikam.example", "scans"],
    ["one that is too large for all", { sizeBytes: 2_000_000 }, "a@contoso.com", "inside"],
    ["a large one that no door serves but one", { reversePath: "", sizeBytes: 600_000 }, "a@contoso.com", "inside"],
  ])("takes the first that fits: %s", (_what, envelope, recipient, door) => {
    expect(router(["inside", "ip", "scans"]).choose({ ...ENVELOPE, ...envelope }, recipient)).toBe(door);
  });

  test("says of each door why it does not fit", () => {
    const { doors: found } = router(["inside", "ip", "scans"]).find(
      { ...ENVELOPE, reversePath: "", sizeBytes: 600_000 },
      "a@fabrikam.example",
    );

    expect(found).toEqual([
      { door: "inside", misfit: "external-recipient" },
      { door: "ip", misfit: "null-sender" },
      { door: "scans", misfit: "size" },
    ]);
  });

  test("a closed door is passed by; with all closed the first is waited for, and what waits elsewhere stays", () => {
    const closed = gauge({ isClosed: true });
    expect(router(["a", "b"], {}, { a: closed }).choose(ENVELOPE, "x@contoso.com")).toBe("b");
    const all = router(["a", "b"], {}, { a: closed, b: closed });
    expect(all.choose(ENVELOPE, "x@contoso.com")).toBe("a");
    expect(all.choose(ENVELOPE, "x@contoso.com", { lane: "b", passed: [], ambiguous: false })).toBe("b");
  });

  test("a door that refused is not chosen again, and another is sought around the end of the list", () => {
    const { choose, another } = router(["a", "b", "c"]);
    expect(choose(ENVELOPE, "x@contoso.com", { lane: "b", passed: ["a"], ambiguous: false })).toBe("b");
    expect(another(ENVELOPE, "x@contoso.com", { lane: "c", passed: [], ambiguous: false }, true)).toBe("a");
    expect(another(ENVELOPE, "x@contoso.com", { lane: "c", passed: ["a", "b"], ambiguous: false }, true)).toBeUndefined();
  });

  test("a recipient that may have been delivered stays, even by a closed door, unless the route no longer names it", () => {
    const { choose } = router(["a", "b"], {}, { a: gauge({ isClosed: true }) });
    expect(choose(ENVELOPE, "x@contoso.com", { lane: "a", passed: [], ambiguous: true })).toBe("a");
    expect(choose(ENVELOPE, "x@contoso.com", { lane: "gone", passed: [], ambiguous: true })).toBe("b");
  });

  test("shares are as what is left of the budgets, well mixed", () => {
    const { choose } = router(["a", "b"], { spread: true }, { a: gauge({ left: 300 }), b: gauge({ left: 100 }) });

    const order = Array.from({ length: 12 }, () => choose(ENVELOPE, "x@contoso.com")).join("");

    expect(order).toBe("aabaaabaaaba");
    const spent = router(["a", "b"], { spread: true }, { a: gauge({ left: 0 }), b: gauge({ left: 5 }) });
    expect(Array.from({ length: 4 }, () => spent.choose(ENVELOPE, "x@contoso.com"))).toEqual(["b", "b", "b", "b"]);
  });

  test("spill fills one budget after the other, and counts what it gave", () => {
    const { choose, board } = router(["a", "b"], { spill: true }, { a: gauge({ startable: 2 }), b: gauge({ startable: 1 }) });

    expect(Array.from({ length: 5 }, () => choose(ENVELOPE, "x@contoso.com")).join("")).toBe("aabaa");
    board.started("a");
    expect(choose(ENVELOPE, "x@contoso.com")).toBe("a");
  });

  test("a route may ask for the user that signed in", () => {
    const { choose } = makeRouter({
      routes: [
        { name: "sap", match: { user: ["sap", "crm"] }, via: ["bulk"] },
        { name: "default", via: ["scans"] },
      ],
      domains: DOMAINS,
    });
    expect(choose({ ...ENVELOPE, origin: { ...ENVELOPE.origin, user: "crm" } }, "x@contoso.com")).toBe("bulk");
    expect(choose(ENVELOPE, "x@contoso.com")).toBe("scans");
  });
});

test("a message for one upstream takes no other, open or closed, fitting or not; once that upstream is gone it goes as all mail", () => {
  const fits: DoorFacts = { traits: { serves: "any", nullSender: "any" }, maxMessageSizeBytes: 1_000 };
  const board = new DoorBoard();
  board.register("b", { isClosed: true, startable: 0, left: 0 });
  const doors = new Map(["a", "b"].map((name) => [name, fits] as const));
  const several = makeRouter({ routes: [{ name: "default", via: ["a", "b"] }], domains: DOMAINS, doors, board });
  const one = makeRouter({ routes: [{ name: "default", via: ["a"] }], domains: DOMAINS, doors });
  const asked = { ...ENVELOPE, via: "b" };
  const standing = { lane: "b", passed: [], ambiguous: false };

  expect(several.choose(asked, "a@fabrikam.example")).toBe("b");
  expect(several.choose({ ...asked, sizeBytes: 2_000 }, "a@fabrikam.example")).toBe("b");
  expect(several.choose(asked, "a@fabrikam.example", standing)).toBe("b");
  expect(several.another(asked, "a@fabrikam.example", standing, true)).toBeUndefined();
  expect(several.find(asked, "a@fabrikam.example").doors.map(({ door }) => door)).toEqual(["b"]);
  expect(one.choose(asked, "a@fabrikam.example")).toBe("b");
  expect(one.choose({ ...ENVELOPE, via: "gone" }, "a@fabrikam.example")).toBe("a");
  expect(several.choose({ ...ENVELOPE, via: "gone" }, "a@fabrikam.example")).toBe("a");
});

test("a message for several upstreams takes the first of them that is open, and another one once that is shut, whatever the routes", () => {
  const fits: DoorFacts = { traits: { serves: "any", nullSender: "any" }, maxMessageSizeBytes: 1_000 };
  const board = new DoorBoard();
  const doors = new Map(["a", "b", "c"].map((name) => [name, fits] as const));
  const router = makeRouter({ routes: [{ name: "default", via: ["a"] }], domains: DOMAINS, doors, board });
  const asked = { ...ENVELOPE, via: ["gone", "b", "c"] };
  const standing = { lane: "b", passed: [], ambiguous: false };
  const open = router.choose(asked, "a@fabrikam.example");
  board.register("b", { isClosed: true, startable: 0, left: 0 });

  expect(open).toBe("b");
  expect(router.choose(asked, "a@fabrikam.example", standing)).toBe("c");
  expect(router.another(asked, "a@fabrikam.example", standing, false)).toBe("c");
  expect(router.choose(asked, "a@fabrikam.example", { ...standing, ambiguous: true })).toBe("b");
  expect(router.find(asked, "a@fabrikam.example").doors.map(({ door }) => door)).toEqual(["b", "c"]);
  expect(router.choose(ENVELOPE, "a@fabrikam.example")).toBe("a");
});
