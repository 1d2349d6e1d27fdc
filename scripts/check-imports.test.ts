import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { tempDir } from "../test/support/temp-dir.ts";
import { runProcess } from "../test/support/process.ts";
import { checkImports } from "./check-imports.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const badTree = `${root}test/fixtures/bad-imports`;
const script = `${root}scripts/check-imports.ts`;

test("the sources keep the import rules", () => {
  const report = checkImports(root);

  expect(report.modules).toBeGreaterThan(5);
  expect(report.imports).toBeGreaterThan(5);
  expect(report.violations).toEqual([]);
});

test("every forbidden import of the known-bad tree is found: value, type, re-export, dynamic, type expression, circle, test", () => {
  const report = checkImports(badTree);

  expect(report.violations.map(({ from, to, line }) => `${from}:${line} ${to}`)).toEqual([
    "src/daemon/daemon.ts:3 src/cli/run.ts",
    "src/daemon/daemon.ts:4 test/fake.ts",
    "src/mail/word.ts:2 src/platform/clock.ts",
    "src/receive/session.ts:3 src/queue/rows.ts",
    "src/receive/session.ts:4 src/queue/rows.ts",
    "src/receive/session.ts:6 src/queue/rows.ts",
    "src/receive/session.ts:7 src/queue/rows.ts",
    "src/platform/half.ts:1 src/platform/clock.ts",
  ]);
});

test("the command fails on the known-bad tree", async () => {
  const run = await runProcess(process.execPath, [script, badTree]);

  expect(run.code).toBe(1);
  expect(run.stderr).toContain("src/mail/word.ts:2 imports src/platform/clock.ts: mail may import nothing");
});

test("the command fails when it sees no modules", async () => {
  await using empty = await tempDir();

  const run = await runProcess(process.execPath, [script, empty.path]);

  expect(run.code).toBe(1);
  expect(run.stderr).toContain("saw 0 modules");
});
