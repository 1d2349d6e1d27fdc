import { chmod, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { tempDir, type TempDir } from "../../test/support/temp-dir.ts";
import { isProgramReplaced, watchFile } from "./program.ts";

let folder: TempDir;
let path: string;
let isReplaced: () => boolean;
beforeEach(async () => {
  folder = await tempDir();
  path = join(folder.path, "main.js");
  await writeFile(path, "1");
  isReplaced = watchFile(path);
});
afterEach(() => folder.remove());

test("a file that stays is not replaced, whatever its rights become", async () => {
  await chmod(path, 0o400);

  expect([isReplaced(), isProgramReplaced()]).toEqual([false, false]);
});

test("a file that is gone, or another one of the same name, is", async () => {
  await rm(path);
  const gone = isReplaced();
  await writeFile(join(folder.path, "new.js"), "1");
  await rename(join(folder.path, "new.js"), path);

  expect([gone, isReplaced()]).toEqual([true, true]);
});
