import { copyFile, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeEach, expect, test } from "vitest";
import { tempDir } from "../../../test/support/temp-dir.ts";
import type { TempDir } from "../../../test/support/temp-dir.ts";
import { signInStore } from "./sign-in-store.ts";
import type { SignIn } from "./sign-in-store.ts";

const CANARY = "0.AXoA-canary-refresh-token";
const signIn: SignIn = {
  refreshToken: CANARY,
  account: "anna@contoso.com",
  clientId: "app",
  authority: "https://login.microsoftonline.com/contoso.com",
  usedAt: 1_790_000_000_000,
};

let folder: TempDir;
let directory: string;
let serial = 0;
beforeEach(async () => {
  folder ??= await tempDir();
  directory = join(folder.path, `data-${++serial}`, "deliver");
  await mkdir(join(directory, ".."));
});
afterAll(() => folder.remove());

test("a sign-in is read as it was written, by another process too", async () => {
  await signInStore(directory, "scans").write(signIn);

  expect(await signInStore(directory, "scans").read()).toEqual(signIn);
});

test("before anybody signed in there is nothing, and nothing is made", async () => {
  expect(await signInStore(directory, "scans").read()).toBeUndefined();
  expect(await readdir(join(directory, ".."))).toEqual([]);
});

test("what lies on disk is private, and tells nothing", async () => {
  await signInStore(directory, "scans").write(signIn);

  const files = (await readdir(directory)).toSorted();
  expect(files).toEqual(["scans.sign-in", "sign-in.key"]);
  expect((await stat(directory)).mode & 0o777).toBe(0o700);
  for (const file of files) {
    expect((await stat(join(directory, file))).mode & 0o777).toBe(0o600);
    const octets = await readFile(join(directory, file), "latin1");
    expect(octets).not.toContain("canary");
    expect(octets).not.toContain("anna");
  }
});

test("the same sign-in never looks the same twice", async () => {
  const store = signInStore(directory, "scans");
  await store.write(signIn);
  const first = await readFile(join(directory, "scans.sign-in"));
  await store.write(signIn);

  expect((await readFile(join(directory, "scans.sign-in"))).equals(first)).toBe(false);
});

test("several upstreams share the key, made by many at once, and cannot be swapped", async () => {
  await Promise.all(["a", "b", "c", "d"].map((name) => signInStore(directory, name).write({ ...signIn, account: name })));

  for (const name of ["a", "b", "c", "d"]) expect((await signInStore(directory, name).read())?.account).toBe(name);
  await copyFile(join(directory, "a.sign-in"), join(directory, "b.sign-in"));
  await expect(signInStore(directory, "b").read()).rejects.toThrow("cannot be opened with sign-in.key");
});

test.each([
  ["a bit that changed", (octets: Buffer) => octets.with(octets.length - 1, (octets.at(-1) ?? 0) ^ 1)],
  ["a file that was cut", (octets: Buffer) => octets.subarray(0, 30)],
  ["an empty file", () => Buffer.alloc(0)],
])("%s is a fault, not a sign-in", async (_, damage) => {
  const store = signInStore(directory, "scans");
  await store.write(signIn);
  const file = join(directory, "scans.sign-in");
  await writeFile(file, damage(await readFile(file)));

  await expect(store.read()).rejects.toThrow("cannot be opened");
});
