/** The short form of `npm run test:reload`, and that it sees what it must. */
import { expect, test } from "vitest";
import { SmtpReceiver } from "../crash/smtp-receiver.ts";
import { tempDir } from "../support/temp-dir.ts";
import { runReloadTest } from "./harness.ts";
import { Load } from "./load.ts";

/** Each kind of change once, and three broken files. */
const ROUND = 9;

test("nine reloads under 200 messages a second refuse no connection, drop none, and every message arrives exactly once", async () => {
  await using folder = await tempDir();

  const report = await runReloadTest({ folder: folder.path, rate: 200, goOn: (turns) => turns < ROUND, seed: 11, build: "dist" });

  expect(report).toMatchObject({ reloads: ROUND, refused: 3, faults: [], delivered: report.accepted });
  expect(report.accepted).toBeGreaterThan(200);
}, 150_000);

test("the load sees a connection that is dropped, and one that is refused", async () => {
  let taken = 0;
  const relay = new SmtpReceiver(() => `250 2.0.0 Ok: queued as ${String((taken += 1)).padStart(26, "0")}`);
  const port = await relay.listen();
  const load = new Load({ port, rate: 500, kept: 2, fresh: 2, seed: 1 });
  await expect.poll(() => load.accepted.size).toBeGreaterThan(20);

  await relay.close();
  await expect.poll(() => load.faults.length).toBeGreaterThan(10);
  await load.stop();

  const faults = new Set(load.faults.map((fault) => fault.replace(/ 127\..*/, "")));
  expect([...faults]).toContainEqual(expect.stringMatching(/dropped between two messages|ECONNRESET|closed the connection/));
  expect(faults).toContain("connect ECONNREFUSED");
});
