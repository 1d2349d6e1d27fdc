import { simpleParser } from "mailparser";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runProcess } from "../../test/support/process.ts";
import { hasTool } from "../../test/support/tools.ts";
import { makeSamplePdf, makeSampleScan } from "./sample-scan.ts";

let folder: string;
let file: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "postern-scan-"));
  file = join(folder, "scan.pdf");
  await writeFile(file, makeSamplePdf());
});
afterAll(() => rm(folder, { recursive: true }));

test("the scan is a PDF of about a megabyte, the same each time", () => {
  const pdf = makeSamplePdf();

  expect(pdf.length).toBeGreaterThan(900_000);
  expect(pdf.length).toBeLessThan(1_200_000);
  expect(makeSamplePdf().equals(pdf)).toBe(true);
});

test.skipIf(!hasTool("pdfinfo"))("pdfinfo sees one A4 page and nothing to complain about (needs poppler-utils)", async () => {
  const run = await runProcess("pdfinfo", [file]);

  expect(run).toMatchObject({ code: 0, stderr: "" });
  expect(run.stdout).toMatch(/^Pages:\s+1$/m);
  expect(run.stdout).toContain("(A4)");
});

test.skipIf(!hasTool("pdftoppm"))("the page can be rendered, and is neither blank nor black (needs poppler-utils)", async () => {
  const run = await runProcess("pdftoppm", ["-r", "20", "-gray", file, join(folder, "page")]);
  const { readFile } = await import("node:fs/promises");
  const pixels = (await readFile(join(folder, "page-1.pgm"))).subarray(15);
  const mean = pixels.reduce((sum, value) => sum + value, 0) / pixels.length;

  expect(run).toMatchObject({ code: 0, stderr: "" });
  expect(mean).toBeGreaterThan(180);
  expect(mean).toBeLessThan(238);
});

test("the mail is what a device without a clock sends: no Date, no Message-ID, the PDF attached, CRLF and short lines", async () => {
  const scan = makeSampleScan({ from: "scanner@contoso.com", to: "office@contoso.com" });
  const lines = scan.toString("latin1").split("\r\n");
  const mail = await simpleParser(scan);

  expect(lines.join("")).not.toMatch(/[\r\n]/);
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(78);
  expect([mail.headers.has("date"), mail.messageId]).toEqual([false, undefined]);
  expect(mail.subject).toBe("Scan from floor 2");
  expect(mail.attachments[0]?.content.equals(makeSamplePdf())).toBe(true);
});
