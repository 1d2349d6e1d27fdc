import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { startProcess } from "../../test/support/process.ts";
import { takeOwnership } from "./owner.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "postern-owner-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

test("a queue has one owner at a time, and another once it is given free", () => {
  const release = takeOwnership(folder);

  expect(() => takeOwnership(folder)).toThrow(expect.objectContaining({ code: "E_UNAVAILABLE" }));
  release();

  takeOwnership(folder)();
});

test("an owner that is killed owns nothing any more", async () => {
  const module = fileURLToPath(new URL("./owner.ts", import.meta.url));
  const script = `const { takeOwnership } = await import(${JSON.stringify(module)}); takeOwnership(${JSON.stringify(folder)}); console.log("mine"); setInterval(() => {}, 1000);`;
  await using owner = await startProcess(process.execPath, ["--input-type=module", "--eval", script]);
  await owner.waitForLine((line) => line === "mine");

  expect(() => takeOwnership(folder)).toThrow(expect.objectContaining({ code: "E_UNAVAILABLE" }));
  await owner.stop("SIGKILL");

  takeOwnership(folder)();
});

test("a lock that the file system refuses is told as a fault of the spool, in one line", () => {
  expect(() => takeOwnership("/nonexistent/queue")).toThrowError(
    expect.objectContaining({
      code: "E_SPOOL_FAILED",
      message: expect.stringMatching(/^\/nonexistent\/queue\/owner\.lock cannot be locked: .*ENOENT/),
    }),
  );
});
