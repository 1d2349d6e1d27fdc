import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { addressEntries, addressKey, formatAddressList, headerAddress, keepEntries, parseAddressList } from "./addresses.ts";

const read = (value: string): [string, readonly string[]][] =>
  addressEntries(parseAddressList(value)).map(({ kind, addresses }) => [kind, addresses]);
const one = (address: string): [string, readonly string[]] => ["mailbox", [address]];
const latin1 = (text: string): string => Buffer.from(text, "utf8").toString("latin1");

describe("an entry that is one mailbox by the grammar", () => {
  test.each([
    ["anna@contoso.com", "anna@contoso.com"],
    [" Anna <anna@Contoso.COM>\r\n", "anna@contoso.com"],
    ['"Doe, Anna" <anna@contoso.com>', "anna@contoso.com"],
    ['"a \\" <x@y.z>, b" <anna@contoso.com>', "anna@contoso.com"],
    ["=?utf-8?Q?J=C3=BCrgen=2C_M=2E?= <anna@contoso.com>", "anna@contoso.com"],
    ["anna@contoso.com (Anna (Sales), Paris)", "anna@contoso.com"],
    ["(hidden, x@y.z) anna@contoso.com", "anna@contoso.com"],
    ["Anna\r\n <anna@contoso.com>", "anna@contoso.com"],
    ["Anna J. Doe <\r\n anna@contoso.com>", "anna@contoso.com"],
    ["anna . doe @ contoso . com", "anna.doe@contoso.com"],
    ['"anna doe"@contoso.com', '"anna doe"@contoso.com'],
    ["anna@[192.0.2.1]", "anna@[192.0.2.1]"],
    [latin1("anna@bücher.example"), "anna@xn--bcher-kva.example"],
    [latin1("Jürgen <jürgen@contoso.com>"), "jürgen@contoso.com"],
    ["a..b@contoso.com", "a..b@contoso.com"],
    ["<anna@contoso.com>", "anna@contoso.com"],
  ])("%j", (value, address) => {
    expect(read(value)).toEqual([one(address)]);
  });
});

describe("a name without an address", () => {
  test.each(["undisclosed-recipients", "Undisclosed recipients", '"Floor printers"', "=?utf-8?B?YUBiLmM=?="])("%j", (value) => {
    expect(read(value)).toEqual([["name", []]]);
  });
});

describe("in an odd entry everything that looks like an address counts", () => {
  test.each([
    ["anna@contoso.com bob@contoso.com", ["anna@contoso.com", "bob@contoso.com"]],
    ["Anna <anna@contoso.com> <bob@contoso.com>", ["anna@contoso.com", "bob@contoso.com"]],
    ["bob@x.example <anna@contoso.com>", ["bob@x.example", "anna@contoso.com"]],
    ["Anna <anna@contoso.com, bob@contoso.com", ["anna@contoso.com", "bob@contoso.com"]],
    ["<SMTP:anna@contoso.com>", ["anna@contoso.com"]],
    ["<@a.example,@b.example:anna@contoso.com>", ["@a.example", "@b.example", "anna@contoso.com"]],
    ["anna @contoso.com@x.example", ["@contoso.com@x.example"]],
  ])("%j", (value, addresses) => {
    expect(read(value)).toEqual([["odd", addresses]]);
  });

  test("a quote that is never closed hides nobody", () => {
    expect(read('"Anna <anna@contoso.com>, bob@contoso.com')).toEqual([["odd", ["anna@contoso.com"]], one("bob@contoso.com")]);
  });

  test("a comment that is never closed hides nobody", () => {
    expect(read("Anna (sales, bob@contoso.com")).toEqual([["name", []], one("bob@contoso.com")]);
  });
});

test("groups, empty ones and semicolons that close none", () => {
  expect(parseAddressList("undisclosed-recipients:;")).toEqual([{ kind: "group", text: "undisclosed-recipients", members: [] }]);
  expect(parseAddressList(": ;")).toEqual([{ kind: "group", text: "", members: [] }]);
  expect(read("Team: a@x.example, Bob <b@x.example>;, c@x.example")).toEqual([one("a@x.example"), one("b@x.example"), one("c@x.example")]);
  expect(read("a@x.example; b@x.example;")).toEqual([one("a@x.example"), one("b@x.example")]);
  expect(read("Team: a@x.example")).toEqual([one("a@x.example")]);
  expect(read(", ,, (nobody) ,")).toEqual([]);
});

test("taking entries out leaves the others as they were written", () => {
  const items = parseAddressList(
    ' "Doe, Anna" <anna@x.example>,\r\n Team: b@x.example (Bob), c@x.example;, Empty: d@x.example;, =?utf-8?Q?=C3=A9?=\r\n <e@x.example>\r\n',
  );

  const kept = keepEntries(items, ({ addresses }) => !["c@x.example", "d@x.example"].includes(addresses[0] ?? ""));

  expect(formatAddressList(kept)).toBe(
    '"Doe, Anna" <anna@x.example>,\r\n Team: b@x.example (Bob);,\r\n =?utf-8?Q?=C3=A9?=\r\n <e@x.example>',
  );
});

test("spellings of one mailbox have one key", () => {
  expect(addressKey('"Anna"@Contoso.COM')).toBe(addressKey("anna@contoso.com"));
  expect(addressKey("a@bücher.example")).toBe(addressKey("A@xn--bcher-kva.example"));
  expect(addressKey('"a\\"b"@x.example')).toBe(addressKey('"A\\"B"@x.example'));
});

test("an address is quoted in a header where the grammar asks for it", () => {
  expect(headerAddress("anna@contoso.com")).toBe("anna@contoso.com");
  expect(headerAddress("a,b@contoso.com")).toBe('"a,b"@contoso.com');
  expect(headerAddress('"a b"@contoso.com')).toBe('"a b"@contoso.com');
  expect(headerAddress("jürgen@contoso.com")).toBe(latin1("jürgen@contoso.com"));
});

describe("for any text", () => {
  const spice = fc.string({ unit: fc.constantFrom(...' \t\r\n"()<>[]@,;:\\.=?abc\u00e9\u00ff'.split("")), maxLength: 60 });
  const address = fc
    .tuple(fc.stringMatching(/^[a-z]{1,8}(\.[a-z]{1,5})?$/), fc.stringMatching(/^[a-z]{1,8}\.example$/))
    .map(([local, domain]) => `${local}@${domain}`);

  test("nothing is thrown, and what is written back says the same", () => {
    fc.assert(
      fc.property(spice, (value) => {
        const items = parseAddressList(value);
        const again = parseAddressList(formatAddressList(items));

        expect(addressEntries(again).flatMap(({ addresses }) => addresses)).toEqual(
          addressEntries(items).flatMap(({ addresses }) => addresses),
        );
      }),
    );
  });

  test("an address among commas is found whatever stands before and after it", () => {
    fc.assert(
      fc.property(spice, address, spice, (before, wanted, after) => {
        // Closed quotes, comments and literals may hold it: then it is no address for anybody.
        const clean = (text: string): string => text.replace(/["()[\]\\]/g, "");
        const found = addressEntries(parseAddressList(`${clean(before)}, ${wanted} ,${clean(after)}`));

        expect(found.flatMap(({ addresses }) => addresses).map(addressKey)).toContain(wanted);
      }),
    );
  });

  test("mailboxes in every dress are read one by one", () => {
    const dressed = fc.tuple(address, fc.constantFrom("bare", "angle", "phrase", "quoted", "comment", "folded")).map(([inner, dress]) => {
      if (dress === "angle") return [inner, `<${inner}>`];
      if (dress === "phrase") return [inner, `Anna J. Doe <${inner}>`];
      if (dress === "quoted") return [inner, `"Doe, \\"A\\" <x@y.z>" <${inner}>`];
      if (dress === "comment") return [inner, `${inner} (Doe, (A) x@y.z)`];
      if (dress === "folded") return [inner, `Anna\r\n\t<\r\n ${inner}>`];
      return [inner, inner];
    });
    fc.assert(
      fc.property(fc.array(dressed, { maxLength: 12 }), (list) => {
        expect(read(list.map(([, text]) => text).join(" ,\r\n "))).toEqual(list.map(([inner]) => one(inner ?? "")));
      }),
    );
  });
});

test("a quarter of a megabyte of anything is read in a moment", () => {
  const size = 262_144;
  // Work that grows with the square of it would take minutes.
  const before = process.threadCpuUsage();
  for (const unit of ["a", "@", "<", "(", '"', "[", "\\", ",", ";", ":", "a@b,", " ", "<a@b> ", '"(', "a . "])
    parseAddressList(unit.repeat(size / unit.length));
  parseAddressList(`${"(".repeat(size / 2)}@${":".repeat(size / 2)}`);

  expect(process.threadCpuUsage(before).user).toBeLessThan(15_000_000);
});
