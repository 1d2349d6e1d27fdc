import { chmod, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { tempDir, type TempDir } from "../../test/support/temp-dir.ts";
import type { PosternEvent } from "../mail/events.ts";
import { ManualClock } from "../platform/clock.ts";
import { tokenFilePath } from "./token-file.ts";
import { mayActAs, withoutTokens } from "./token.ts";
import { Tokens } from "./tokens.ts";

const HOUR_MS = 3_600_000;

let folder: TempDir;
let path: string;
let clock: ManualClock;
let events: PosternEvent[];
let tokens: Tokens;

beforeEach(async () => {
  folder = await tempDir();
  path = tokenFilePath(folder.path);
  clock = new ManualClock();
  events = [];
  tokens = new Tokens({ path, clock, emit: (event) => void events.push(event) });
});
afterEach(() => folder.remove());

const viewer = { name: "grafana", role: "viewer", by: "kim" } as const;

test("a token opens until it is revoked, and what is kept of it does not give it away", async () => {
  const { token, view } = await tokens.add(viewer);

  const right = await tokens.authenticate(token);
  const wrong = await tokens.authenticate(`${token.slice(0, -1)}${token.endsWith("A") ? "Q" : "A"}`);
  const kept = await readFile(path, "utf8");
  const revoked = [await tokens.revoke("grafana", "kim"), await tokens.revoke("grafana", "kim")];

  expect(token).toMatch(/^postern_[A-Za-z0-9_-]{43}$/);
  expect(view).toEqual({
    name: "grafana",
    role: "viewer",
    createdAt: clock.now(),
    createdBy: "kim",
    expiresAt: undefined,
    lastUsedAt: undefined,
  });
  expect(right).toMatchObject({ ok: true, token: { name: "grafana", role: "viewer" } });
  expect(JSON.stringify(right)).not.toMatch(/[0-9a-f]{64}/);
  expect(wrong).toEqual({ ok: false, reason: "unknown" });
  expect(kept).not.toContain(token.slice("postern_".length));
  expect(revoked).toEqual([true, false]);
  expect(await tokens.authenticate(token)).toEqual({ ok: false, reason: "unknown" });
  expect(events.filter(({ type }) => type.startsWith("token."))).toEqual([
    { type: "token.added", token: "grafana", role: "viewer", expiresAt: undefined, operator: "kim" },
    { type: "token.revoked", token: "grafana", operator: "kim" },
  ]);
  expect(JSON.stringify(events)).not.toContain(token.slice("postern_".length));
});

test("no two tokens are alike, and the hash itself opens nothing", async () => {
  const first = await tokens.add(viewer);
  const second = await tokens.add({ ...viewer, name: "other" });
  const [record] = (JSON.parse(await readFile(path, "utf8")) as { tokens: { hash: string }[] }).tokens;

  expect(first.token).not.toBe(second.token);
  expect(await tokens.authenticate(record?.hash ?? "")).toEqual({ ok: false, reason: "unknown" });
  expect(await tokens.authenticate("")).toEqual({ ok: false, reason: "unknown" });
});

test("a token ends at its time, and is told apart from one that nobody knows", async () => {
  const { token } = await tokens.add({ ...viewer, expiresAt: clock.now() + 1000 });

  clock.advance(999);
  const before = await tokens.authenticate(token);
  clock.advance(1);

  expect(before.ok).toBe(true);
  expect(await tokens.authenticate(token)).toEqual({ ok: false, reason: "expired", name: "grafana" });
});

test("the file and its folder are for their owner alone, and a restart knows the tokens", async () => {
  const { token } = await tokens.add(viewer);

  const again = new Tokens({ path, clock });

  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect((await stat(dirname(path))).mode & 0o777).toBe(0o700);
  expect(await again.authenticate(token)).toMatchObject({ ok: true });
});

test("what another process writes holds at once", async () => {
  const { token } = await tokens.add(viewer);
  await tokens.authenticate(token);
  await tokens.settled();
  const command = new Tokens({ path, clock });

  const added = await command.add({ ...viewer, name: "second" });
  const fromOutside = await tokens.authenticate(added.token);
  await tokens.settled();
  await command.revoke("grafana", "kim");

  expect(fromOutside).toMatchObject({ ok: true, token: { name: "second" } });
  expect(await tokens.authenticate(token)).toEqual({ ok: false, reason: "unknown" });
  expect((await tokens.list()).map(({ name }) => name)).toEqual(["second"]);
});

test("the last use is kept to the hour, without a writing for each request", async () => {
  const { token } = await tokens.add(viewer);
  clock.advance(10 * 60_000);
  await tokens.authenticate(token);
  await tokens.settled();
  const written = await stat(path);
  clock.advance(10 * 60_000);
  await tokens.authenticate(token);
  await tokens.settled();

  const hour = clock.now() - (clock.now() % HOUR_MS);
  expect((await stat(path)).mtimeMs).toBe(written.mtimeMs);
  expect(await new Tokens({ path, clock }).list()).toMatchObject([{ name: "grafana", lastUsedAt: hour }]);
});

test.each(["", "-x", "a b", "a/b", "x".repeat(64), "postern\n"])("%j is no name", async (name) => {
  await expect(tokens.add({ ...viewer, name })).rejects.toMatchObject({ code: "E_USAGE", message: expect.stringContaining("name") });
});

test("a name is taken once, and a hundred tokens are enough", async () => {
  await tokens.add(viewer);
  await expect(tokens.add({ ...viewer, role: "administrator" })).rejects.toMatchObject({ code: "E_USAGE" });
  const [record] = (JSON.parse(await readFile(path, "utf8")) as { tokens: object[] }).tokens;
  const many = Array.from({ length: 100 }, (_, index) => ({ ...record, name: `t${index}` }));
  await writeFile(path, JSON.stringify({ version: 1, tokens: many }));

  await expect(tokens.add({ ...viewer, name: "more" })).rejects.toMatchObject({ code: "E_USAGE", message: expect.stringContaining("100") });
});

describe("a file that cannot be used", () => {
  test.each([
    ["no JSON", "{"],
    ["no list", '{"version":1}'],
    ["of a version to come", '{"version":2,"tokens":[]}'],
    ["with an entry that makes no sense", '{"version":1,"tokens":[{"name":"x","role":"god"}]}'],
    ["with a hash that is none", '{"version":1,"tokens":[{"name":"x","role":"viewer","hash":"abc","createdAt":1,"createdBy":"kim"}]}'],
    ["empty", ""],
  ])("%s: nobody is let in, nothing is overwritten, an alert says so once, and its repair ends it", async (_, content) => {
    const { token } = await tokens.add(viewer);
    const good = await readFile(path, "utf8");
    await writeFile(path, content);
    events.length = 0;

    const refused = [
      tokens.authenticate(token),
      tokens.authenticate(token),
      tokens.add({ ...viewer, name: "b" }),
      tokens.revoke("grafana", "kim"),
    ];
    const reasons = await Promise.allSettled(refused);
    const left = await readFile(path, "utf8");
    await writeFile(path, good);
    const repaired = await tokens.authenticate(token);

    expect(reasons).toMatchObject(Array.from({ length: 4 }, () => ({ status: "rejected", reason: { code: "E_UNAVAILABLE" } })));
    expect(left).toBe(content);
    expect(repaired.ok).toBe(true);
    expect(events.filter(({ type }) => type.startsWith("alert."))).toMatchObject([
      {
        type: "alert.raised",
        alert: "tokens.file",
        text: expect.stringContaining(path),
        remedy: expect.stringContaining("postern token add"),
      },
      { type: "alert.cleared", alert: "tokens.file" },
    ]);
  });

  test("one that is a folder lets nobody in either", async () => {
    await mkdir(path, { recursive: true });

    await expect(tokens.authenticate("postern_x")).rejects.toMatchObject({
      code: "E_UNAVAILABLE",
      message: expect.stringContaining("EISDIR"),
    });
  });

  test.skipIf(process.getuid?.() === 0)("one that the service may not read lets nobody in either", async () => {
    const { token } = await tokens.add(viewer);
    await chmod(path, 0o000);

    await expect(tokens.authenticate(token)).rejects.toMatchObject({ code: "E_UNAVAILABLE", message: expect.stringContaining("EACCES") });
  });

  test("one that is gone is one without tokens", async () => {
    const { token } = await tokens.add(viewer);
    await rm(path);

    expect(await tokens.authenticate(token)).toEqual({ ok: false, reason: "unknown" });
  });
});

test("a token that cannot be written is not given out", async () => {
  await writeFile(dirname(path), "in the way");

  await expect(tokens.add(viewer)).rejects.toMatchObject({ code: "E_UNAVAILABLE" });
  expect(events.filter(({ type }) => type === "token.added")).toEqual([]);
});

test("each role may what the one before it may", () => {
  const roles = ["viewer", "operator", "administrator"] as const;

  expect(roles.map((role) => roles.filter((needed) => mayActAs(role, needed)))).toEqual([
    ["viewer"],
    ["viewer", "operator"],
    ["viewer", "operator", "administrator"],
  ]);
});

test("a token in a text is struck out", () => {
  expect(withoutTokens(`/api/v1/queue/postern_${"a-_Z".repeat(10)}abc?x`)).toBe("/api/v1/queue/postern_***?x");
});
