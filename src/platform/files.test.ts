import { mkdtemp, mkdir, open, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { ensurePrivateDirectory, makeDirectory, writeFileAtomic } from "./files.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "postern-files-"));
});

afterEach(() => rm(folder, { recursive: true }));

test("a file is replaced whole, with the mode asked for, and nothing else is left", async () => {
  const path = join(folder, "token.json");
  await writeFileAtomic(path, "old", 0o644);

  await writeFileAtomic(path, "new");

  expect(await readFile(path, "utf8")).toBe("new");
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readdir(folder)).toEqual(["token.json"]);
});

test("a file is on disk before it takes the place of the old one, and so is its place before that is said", async () => {
  const path = join(folder, "token.json");
  await writeFileAtomic(path, "old");
  const handle = await open(folder);
  const sync = vi.spyOn(Object.getPrototypeOf(handle) as typeof handle, "sync");
  await handle.close();
  onTestFinished(() => sync.mockRestore());
  const found: string[] = [];
  sync.mockImplementation(async () => void found.push(await readFile(path, "utf8")));

  await writeFileAtomic(path, "new");

  expect(found).toEqual(["old", "new"]);
});

test("a write that fails leaves no temporary file", async () => {
  await mkdir(join(folder, "taken"));

  await expect(writeFileAtomic(join(folder, "taken"), "new")).rejects.toMatchObject({ code: "EISDIR" });

  expect(await readdir(folder)).toEqual(["taken"]);
});

test("a folder that others could enter is closed", async () => {
  const path = join(folder, "deliver");
  await mkdir(path, { mode: 0o755 });

  await ensurePrivateDirectory(path);

  expect((await stat(path)).mode & 0o777).toBe(0o700);
});

test("a folder is made with those above it; one that is there stays as it is, and a file is none", async () => {
  const path = join(folder, "a/b/c");
  await makeDirectory(path, 0o700);
  await makeDirectory(path, 0o755);
  await writeFileAtomic(join(path, "file"), "");

  expect((await stat(path)).mode & 0o777).toBe(0o700);
  expect((await stat(join(folder, "a"))).mode & 0o777).toBe(0o700);
  await expect(makeDirectory(join(path, "file"))).rejects.toMatchObject({ code: "EEXIST" });
  await expect(makeDirectory(join(path, "file/x"))).rejects.toMatchObject({ code: "ENOTDIR" });
});

test("a file system that has no room for folders says so, instead of being asked for ever", async () => {
  await expect(makeDirectory("/proc/postern/data")).rejects.toMatchObject({ code: "ENOENT", path: "/proc/postern" });
});
