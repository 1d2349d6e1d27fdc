import { expect, test } from "vitest";
import { readMailboxes } from "./mailboxes.ts";

const read = (value: string): string[] => readMailboxes(value).map(({ display, address }) => `${display}|${address}`);

test.each([
  ["a bracket in a comment", "ceo@contoso.com (x <scan@contoso.com>)", ["x <scan@contoso.com>|ceo@contoso.com"]],
  ["a bracket in a comment behind the address", '"x" <ceo@contoso.com> (<scan@contoso.com>)', ["x|ceo@contoso.com"]],
  ["a bracket in quotes", '"<scan@contoso.com>" <ceo@contoso.com>', ["<scan@contoso.com>|ceo@contoso.com"]],
  ["a second address in brackets", "<ceo@contoso.com> <scan@contoso.com>", ["|ceo@contoso.com", "|scan@contoso.com"]],
  ["an address before one in brackets that never close", "<ceo@contoso.com <scan@contoso.com>", ["|ceo@contoso.com", "|scan@contoso.com"]],
  ["a backslash before a comma", "ceo@contoso.com\\, <scan@contoso.com>", ["|ceo@contoso.com\\", "|scan@contoso.com"]],
])("%s hides no sender", (_, value, mailboxes) => {
  expect(read(value)).toEqual(mailboxes);
});

test.each([
  ["<<scan@contoso.com>>", ["|scan@contoso.com"]],
  ["HP (2nd floor <scan@contoso.com>", ["HP (2nd floor|scan@contoso.com"]],
  ['"HP <scan@contoso.com>', ['"HP|scan@contoso.com']],
  ["Scanners: HP <scan@contoso.com>;", ["HP|scan@contoso.com"]],
  ["scan@contoso.com <scan@contoso.com>", ["scan@contoso.com|scan@contoso.com"]],
])("what devices write as %j is read as it is meant", (value, mailboxes) => {
  expect(read(value)).toEqual(mailboxes);
});

test("beyond a thousand mailboxes the rest is one without an address", () => {
  const mailboxes = readMailboxes("a@contoso.com,".repeat(100_000));

  expect(mailboxes).toHaveLength(1_001);
  expect(mailboxes.at(-1)).toEqual({ display: "", address: "" });
});

test("a quarter of a megabyte of anything is read in a moment", () => {
  const half = 131_072;
  const units = ["<", "<a", "(", '"', ":", "a", ",", "a@", "\\", "(a)", "< "];
  // Work that grows with the square of it would take minutes for each.
  const before = process.threadCpuUsage();
  for (const unit of units) for (const end of ["x<a@b.c>", `@${":".repeat(half)}`]) readMailboxes(unit.repeat(half / unit.length) + end);

  expect(process.threadCpuUsage(before).user).toBeLessThan(15_000_000);
});
