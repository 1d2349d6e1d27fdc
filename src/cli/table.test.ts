import { expect, test, vi } from "vitest";
import { printJson } from "./table.ts";

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
