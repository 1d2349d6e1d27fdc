import { mkdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { PosternError } from "../mail/errors.ts";
import { tempDir } from "../../test/support/temp-dir.ts";
import { prepareDataDir, usingDataDir } from "./data-dir.ts";

test("it is made for us alone, and one that is there keeps its mode", async () => {
  await using folder = await tempDir();
  const [fresh, old] = [join(folder.path, "a/b"), join(folder.path, "old")];
  await mkdir(old, { mode: 0o750 });

  await prepareDataDir(fresh);
  await prepareDataDir(old);

  expect((await stat(fresh)).mode & 0o777).toBe(0o700);
  expect((await stat(old)).mode & 0o777).toBe(0o750);
});

test.each([
  ["EACCES", "E_CONFIG", /; all of it must belong to the user that runs postern: chown -R USER, or name another folder$/],
  ["EPERM", "E_CONFIG", /; all of it must belong/],
  ["ENOSPC", "E_TEMPORARY", /; the disk is full: make room on its file system$/],
  ["EROFS", "E_UNAVAILABLE", /; mount its file system for writing, or name another folder$/],
] as const)("%s below it is told as a fault of the folder", async (errno, code, text) => {
  const refused = usingDataDir("/var/lib/postern", () => Promise.reject(Object.assign(new Error(`${errno}: no`), { code: errno })));

  await expect(refused).rejects.toMatchObject({ code, message: expect.stringMatching(text) });
  await expect(refused).rejects.toThrow(`data_dir /var/lib/postern cannot be used: ${errno}: no`);
});

test("a quota that is used up is named, although Node has no name for it", async () => {
  const said = "Unknown system error -122: Unknown system error -122, write";
  const refused = usingDataDir("/x", () =>
    Promise.reject(Object.assign(new Error(said), { code: "Unknown system error -122", errno: -122 })),
  );

  await expect(refused).rejects.toMatchObject({
    code: "E_TEMPORARY",
    message: "data_dir /x cannot be used: EDQUOT: disk quota exceeded, write; its quota is used up: raise it, or make room within it",
  });
});

test("our own faults, and those that are nobody's doing, stay what they are", async () => {
  await using folder = await tempDir();
  const file = join(folder.path, "file");
  await writeFile(file, "");
  const own = new PosternError("E_SPOOL_NEWER", "newer");

  await expect(usingDataDir("/x", () => Promise.reject(own))).rejects.toBe(own);
  await expect(usingDataDir("/x", () => Promise.reject(new TypeError("a bug")))).rejects.toThrow(TypeError);
  await expect(prepareDataDir(join(file, "y"))).rejects.toMatchObject({ code: "E_CONFIG", message: expect.stringContaining("ENOTDIR") });
});
