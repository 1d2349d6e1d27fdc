/** `postern demo --once`: proves the whole way and leaves nothing behind. */
import { readdir, readFile } from "node:fs/promises";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { expect, test, vi } from "vitest";
import { DEFAULT_PORTS } from "../../src/simulator/simulator.ts";
import { PROGRAM } from "../support/postern.ts";
import { startProcess } from "../support/process.ts";
import { tempDir } from "../support/temp-dir.ts";
import { demoOnce } from "./process.ts";

/** Processes that were started with this folder for their temporary files and still run. Linux. */
async function processesOf(folder: string): Promise<string[]> {
  const ids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const environments = await Promise.all(ids.map((id) => readFile(`/proc/${id}/environ`, "latin1").catch(() => "")));
  return ids.filter((_, index) => environments[index]?.includes(`TMPDIR=${folder}\0`));
}

test("it shows the scan's way, says that it arrived, exits 0, and leaves nothing running or on disk", async () => {
  await using folder = await tempDir();

  const { code, stdout, stderr } = await demoOnce(folder.path);

  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toMatch(/printer +HELO |device +HELO /);
  expect(stdout).toMatch(/relay +250 2\.0\.0 Ok: queued as [0-9A-Z]{26}/);
  expect(stdout).toMatch(/The scan arrived in the mailbox of anna@contoso\.com, its PDF byte for byte as the printer sent it\.\n$/);
  expect(await readdir(folder.path)).toEqual([]);
  expect(await processesOf(folder.path)).toEqual([]);
});

test("interrupted twice it ends at once, proves nothing by its exit code, and leaves nothing on disk", async () => {
  await using folder = await tempDir();
  const env = { ...process.env, TMPDIR: folder.path };
  const child = spawn(process.execPath, [PROGRAM, "demo", "--once"], { env, stdio: "ignore" });
  const ended = once(child, "exit");
  await vi.waitUntil(async () => (await readdir(folder.path)).length > 0, { timeout: 20_000, interval: 10 });

  // Two that come together count as one.
  const asking = setInterval(() => child.kill("SIGINT"), 50);
  const [code] = (await ended) as [number];
  clearInterval(asking);

  expect(code).toBe(75);
  expect(await readdir(folder.path)).toEqual([]);
});

test("with its own ports busy it takes others; as JSON it is one object", async () => {
  await using folder = await tempDir();
  const busy: Server[] = [];
  for (const port of [2525, 8025, ...Object.values(DEFAULT_PORTS)]) {
    const server = createServer();
    // Somebody else may have it already: then it is busy as well.
    const settled = Promise.race([once(server, "listening"), new Promise((resolve) => server.once("error", resolve))]);
    server.listen(port, "127.0.0.1");
    await settled;
    busy.push(server);
  }

  const { code, stdout, stderr } = await demoOnce(folder.path, "--json");
  for (const server of busy) server.close();

  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(JSON.parse(stdout)).toEqual({
    ok: true,
    queueId: expect.stringMatching(/^[0-9A-Z]{26}$/),
    answeredMs: expect.any(Number),
    attempts: [expect.objectContaining({ outcome: "delivered", upstream: "scans", reply: expect.objectContaining({ code: 250 }) })],
    arrived: { mailbox: "anna@contoso.com", id: expect.any(String), sizeBytes: expect.any(Number) },
  });
  expect(await readdir(folder.path)).toEqual([]);
});

test("where its port for metrics is busy it names the one that it took", async () => {
  await using folder = await tempDir();
  const busy = createServer();
  const settled = Promise.race([once(busy, "listening"), new Promise((resolve) => busy.once("error", resolve))]);
  busy.listen(8025, "127.0.0.1");
  await settled;
  await using demo = await startProcess(process.execPath, [PROGRAM, "demo"], { env: { ...process.env, TMPDIR: folder.path } });

  const line = await demo.waitForLine((text) => text.includes("/metrics"), 25_000);
  const answer = await fetch(/http:\S+/.exec(line)?.[0] ?? "");
  busy.close();

  expect(await answer.text()).toContain("postern_ready 1");
  expect(await demo.stop("SIGINT")).toMatchObject({ code: 0 });
});

test("two that are started together do not take each other's ports", { timeout: 60_000 }, async () => {
  await using folder = await tempDir();

  const ends = await Promise.all([1, 2].map(async () => await demoOnce(folder.path)));

  expect(ends.map(({ code, stderr }) => [code, stderr])).toEqual([1, 2].map(() => [0, ""]));
});
