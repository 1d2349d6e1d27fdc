import { expect, test, vi } from "vitest";
import { cell, harmless, printJson, renderTable } from "./table.ts";

test("JSON is printed with everything escaped that steers a terminal, and says the same", () => {
  const value = { subject: "\u001b[2J\u009b31m\u202egpj.exe\u2066\u200f\u0085 é 印刷" };
  const written: string[] = [];
  const write = vi.spyOn(process.stdout, "write").mockImplementation((text) => written.push(String(text)) > 0);

  printJson(value);
  write.mockRestore();

  const text = written.join("");
  expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200f\u202a-\u202e\u2066-\u2069]/);
  expect(text).toContain("é 印刷");
  expect(JSON.parse(text)).toEqual(value);
});

test.each([
  ["a zero-width blank in a domain", "anna@contoso\u200b.com", String.raw`anna@contoso\u200b.com`],
  ["joiners and a byte order mark", "a\u200c\u200d\u2060\ufeffb", String.raw`a\u200c\u200d\u2060\ufeffb`],
  ["a soft hyphen", "con\u00adtoso.com", String.raw`con\xadtoso.com`],
  ["turned round", "\u202egpj.exe\u061c\u2066", String.raw`\u202egpj.exe\u061c\u2066`],
  ["tags beyond the first plane", "a\u{e0041}", String.raw`a\u{e0041}`],
  ["what is only another script", "é 印刷 😀 \u05d0", "é 印刷 😀 \u05d0"],
])("what is not seen is shown as what it is, and JSON says the same: %s", (_, text, shown) => {
  const written: string[] = [];
  const write = vi.spyOn(process.stdout, "write").mockImplementation((line) => written.push(String(line)) > 0);

  printJson([text]);
  write.mockRestore();

  expect(harmless(text)).toBe(shown);
  expect(written.join("")).not.toMatch(/\p{Cf}/u);
  expect(JSON.parse(written.join(""))).toEqual([text]);
});

const COLUMNS = [
  { title: "ID" },
  { title: "SIZE", align: "right" },
  { title: "FROM", below: 1 },
  { title: "TO", below: 1 },
  { title: "REASON", below: 2 },
] as const;
const ROWS = [
  ["01A", "4 B", "scanner@contoso.com", "anna@contoso.com", "535 5.7.3 no"],
  ["01B", "12 B", "a@contoso.com", "b@contoso.com", ""],
];

test("a table that fits has one line a row", () => {
  expect(renderTable(COLUMNS, ROWS, 63)).toEqual([
    "ID   SIZE  FROM                 TO                REASON",
    "01A   4 B  scanner@contoso.com  anna@contoso.com  535 5.7.3 no",
    "01B  12 B  a@contoso.com        b@contoso.com",
  ]);
});

test("into a pipe each row has every field, with a tab between and nothing to fill up: cut and awk find the same column in each", () => {
  const written = renderTable(COLUMNS, [...ROWS, ["01C", "", "a\tb\nc", "", "x"]], undefined);

  expect(written).toEqual([
    "ID\tSIZE\tFROM\tTO\tREASON",
    "01A\t4 B\tscanner@contoso.com\tanna@contoso.com\t535 5.7.3 no",
    "01B\t12 B\ta@contoso.com\tb@contoso.com\t",
    "01C\t\ta b c\t\tx",
  ]);
});

test("a long value is cut for people only: in a pipe the address that is looked for is whole", () => {
  const address = `${"a".repeat(60)}@contoso.com`;
  const { isTTY } = process.stdout;
  const on = (terminal: boolean): string => {
    process.stdout.isTTY = terminal;
    return cell(address, 60);
  };

  const cells = [on(true), on(false)];
  process.stdout.isTTY = isTTY;

  expect(cells).toEqual([`${"a".repeat(57)}...`, address]);
});

test("on a terminal too narrow for it the columns that may go below do, and what is empty takes no line", () => {
  expect(renderTable(COLUMNS, ROWS, 61)).toEqual([
    "ID   SIZE",
    "  FROM                 TO",
    "  REASON",
    "01A   4 B",
    "  scanner@contoso.com  anna@contoso.com",
    "  535 5.7.3 no",
    "01B  12 B",
    "  a@contoso.com        b@contoso.com",
  ]);
});

test("a table whose columns all stay is as wide as it is", () => {
  expect(renderTable([{ title: "A LONG TITLE" }], [["x"]], 5)).toEqual(["A LONG TITLE", "x"]);
});
