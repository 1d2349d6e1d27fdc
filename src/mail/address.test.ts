import { test, expect, describe } from "vitest";
import {
  canonicalAddress,
  canonicalDomain,
  isInternalDomain,
  isNonAscii,
  matchesPatterns,
  patternFault,
  sameAddress,
  splitAddress,
} from "./address.ts";

const OWN = ["contoso.com", "*.plant.contoso.com"];

test("an address is cut at its last @, so that a quoted local part keeps its own", () => {
  expect(splitAddress('"a@b"@contoso.com')).toEqual({ local: '"a@b"', domain: "contoso.com" });
  expect(splitAddress("root")).toEqual({ local: "root", domain: "" });
});

test("domains become A-labels in lower case without a trailing dot, local parts stay", () => {
  expect(canonicalAddress("Anna@Contoso.COM.")).toBe("Anna@contoso.com");
  expect(canonicalDomain("Bücher.example")).toBe("xn--bcher-kva.example");
  expect(canonicalDomain("[IPv6:FE80::1]")).toBe("[ipv6:fe80::1]");
  expect(sameAddress("anna@contoso.com", "ANNA@CONTOSO.COM")).toBe(true);
});

test("internal is exactly one of the organization's domains, or below one that is starred", () => {
  expect(isInternalDomain("CONTOSO.com", OWN)).toBe(true);
  expect(isInternalDomain("mail.contoso.com", OWN)).toBe(false);
  expect(isInternalDomain("a.b.plant.contoso.com", OWN)).toBe(true);
  expect(isInternalDomain("plant.contoso.com", OWN)).toBe(false);
  expect(isInternalDomain("evilcontoso.com", OWN)).toBe(false);
});

describe("patterns", () => {
  test.each([
    ["anna@contoso.com", ["Anna@Contoso.com"], true],
    ["ben@contoso.com", ["anna@contoso.com"], false],
    ["ben@contoso.com", ["*@contoso.com"], true],
    ["ben@sub.contoso.com", ["*@contoso.com"], false],
    ["ben@sub.contoso.com", ["*@*.contoso.com"], true],
    ["ben@contoso.com", ["*@*.contoso.com"], false],
    ["ben@fabrikam.example", ["internal"], false],
    ["ben@fabrikam.example", ["external"], true],
    ["ben@contoso.com", ["anna@contoso.com", "internal"], true],
    ["", ["any"], true],
    ["", ["internal", "external"], false],
    ["ben@contoso.com", [], false],
  ])("%s against %j: %s", (address, patterns, expected) => {
    expect(matchesPatterns(address, patterns, OWN)).toBe(expected);
  });

  test("a faulty pattern says what is wrong with it", () => {
    expect(patternFault("*@contoso.com")).toBeUndefined();
    expect(patternFault("*@*.contoso.com")).toBeUndefined();
    expect(patternFault("internal")).toBeUndefined();
    expect(patternFault("everyone")).toContain("expected an address");
    expect(patternFault("scan*@contoso.com")).toContain("a star stands for");
    expect(patternFault("a@*.contoso.com")).toContain("*@*.domain");
    expect(patternFault("a@con toso.com")).toContain("not a domain name");
  });
});

test("only octets beyond ASCII ask for SMTPUTF8", () => {
  expect(isNonAscii("anna@contoso.com")).toBe(false);
  expect(isNonAscii("änna@contoso.com")).toBe(true);
});
