import { expect, test } from "vitest";
import { ENVELOPE } from "../../test/fakes/memory-queue.ts";
import { makeRouter } from "./routes.ts";

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
