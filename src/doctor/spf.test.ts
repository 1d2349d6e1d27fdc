import { describe, expect, test } from "vitest";
import { allows, findSpf, includes, type SpfDns } from "./spf.ts";

const TXT: Readonly<Record<string, readonly string[]>> = {
  "contoso.com": ["v=spf1 a mx include:spf.protection.outlook.com -all", "some-verification=1"],
  "spf.protection.outlook.com": ["v=spf1 ip4:40.92.0.0/15 ip6:2a01:111:f400::/48 -all"],
  "twice.example": ["v=spf1 -all", "v=spf1 ~all"],
  "not-spf.example": ["v=spf10 -all"],
};
const ADDRESSES: Readonly<Record<string, readonly string[]>> = { "contoso.com": ["203.0.113.7"], "mail.contoso.com": ["203.0.113.9"] };

function failing(code: string): Promise<never> {
  return Promise.reject(Object.assign(new Error(code), { code }));
}

const DNS: SpfDns = {
  txt: (name) => (name === "silent.example" ? failing("ETIMEOUT") : name in TXT ? Promise.resolve(TXT[name] ?? []) : failing("ENOTFOUND")),
  addresses: (name) => Promise.resolve(ADDRESSES[name] ?? []),
  mx: (name) => Promise.resolve(name === "contoso.com" ? ["mail.contoso.com"] : []),
};

test.each([
  ["contoso.com", { kind: "record", text: "v=spf1 a mx include:spf.protection.outlook.com -all" }],
  ["not-spf.example", { kind: "none" }],
  ["twice.example", { kind: "several", count: 2 }],
  ["nowhere.example", { kind: "unknown-domain" }],
  ["silent.example", { kind: "unanswered", why: "ETIMEOUT" }],
])("the record of %s", async (domain, expected) => {
  expect(await findSpf(domain, DNS)).toEqual(expected);
});

describe("an address", () => {
  test.each([
    ["v=spf1 ip4:203.0.113.7 -all", "203.0.113.7", "pass"],
    ["v=spf1 ip4:203.0.113.0/24 -all", "203.0.113.99", "pass"],
    ["v=spf1 ip4:203.0.113.0/24 -all", "203.0.114.1", "no"],
    ["v=spf1 -ip4:203.0.113.7 +all", "203.0.113.7", "no"],
    ["v=spf1 ip6:2001:db8::/32 -all", "2001:db8::7", "pass"],
    ["v=spf1 ip6:2001:db8::/32 -all", "203.0.113.7", "no"],
    ["v=spf1 a -all", "203.0.113.7", "pass"],
    ["v=spf1 a:mail.contoso.com/28 -all", "203.0.113.1", "pass"],
    ["v=spf1 mx -all", "203.0.113.9", "pass"],
    ["v=spf1 include:spf.protection.outlook.com -all", "40.93.1.1", "pass"],
    ["v=spf1 include:spf.protection.outlook.com -all", "2a01:111:f400::1", "pass"],
    ["v=spf1 include:spf.protection.outlook.com ~all", "203.0.113.7", "no"],
    ["v=spf1 redirect=spf.protection.outlook.com", "40.92.0.1", "pass"],
    ["v=spf1 ?all", "203.0.113.7", "no"],
    ["v=spf1 exists:%{i}.example -all", "203.0.113.7", "unclear"],
    ["v=spf1 include:silent.example -all", "203.0.113.7", "unclear"],
    ["v=spf1 include:silent.example ip4:203.0.113.7 -all", "203.0.113.7", "pass"],
    // A circle ends at ten look-ups.
    [
      "v=spf1 a:nowhere.example a:n2.example a:n3.example a:n4.example a:n5.example a:n6.example a:n7.example a:n8.example a:n9.example a:n10.example a:mail.contoso.com -all",
      "203.0.113.9",
      "unclear",
    ],
  ])("%s and %s: %s", async (record, address, expected) => {
    expect(await allows(record, "contoso.com", address, DNS)).toBe(expected);
  });
});

test("Microsoft's record is found at any depth, and a circle of includes ends", async () => {
  const circle: SpfDns = {
    ...DNS,
    txt: (name) => Promise.resolve([`v=spf1 include:${name === "a.example" ? "b.example" : "a.example"} -all`]),
  };
  const deep: SpfDns = {
    ...DNS,
    txt: (name) => Promise.resolve([name === "b.example" ? "v=spf1 include:spf.protection.outlook.com -all" : "v=spf1 -all"]),
  };
  const wanted = ["spf.protection.outlook.com"];

  expect(await includes("v=spf1 include:b.example -all", wanted, deep)).toBe(true);
  expect(await includes("v=spf1 include:a.example -all", wanted, circle)).toBe(false);
});
