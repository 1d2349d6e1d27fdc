import { EventEmitter, once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { freePort } from "../support/ports.ts";
import { startProcess } from "../support/process.ts";
import { tempDir } from "../support/temp-dir.ts";
import { hasTool } from "../support/tools.ts";
import { runCrashTest, type RelayUnderTest } from "./harness.ts";
import { posternUnderTest } from "./postern-under-test.ts";
import { SmtpReceiver } from "./smtp-receiver.ts";
import { Submitter } from "./submitter.ts";
import { syncedBeforeReply, traceSyncs } from "./sync-trace.ts";

const forgetfulRelay = fileURLToPath(new URL("./forgetful-relay.ts", import.meta.url));

test("no accepted message is lost when the relay is killed 6 times while 600 come over 8 connections", { timeout: 150_000 }, async () => {
  await using folder = await tempDir();

  const report = await runCrashTest((nextHop) => posternUnderTest(folder.path, nextHop, "dist"), {
    kills: 6,
    messages: 600,
    connections: 8,
    seed: Date.now() % 1_000_000,
  });

  expect(report, `seed ${report.seed}`).toMatchObject({ accepted: 600, kills: 6, lost: [], faults: [] });
});

test("deliveries in flight at a kill are counted from the disk, also when the next process is killed before its log is written", async () => {
  await using folder = await tempDir();
  const taken = new EventEmitter();
  // Never answers: what it has is in flight.
  const sink = new SmtpReceiver(() => new Promise(() => taken.emit("message")));
  const relay = await posternUnderTest(folder.path, await sink.listen(), "dist");
  let run = await relay.start();
  try {
    for (const content of ["one", "two", "three"]) {
      const arrived = once(taken, "message");
      await new Submitter(relay.port).submit(Buffer.from(`Subject: ${content}\r\n\r\n${content}\r\n`), () => undefined);
      await arrived;
    }
    await run.kill();
    run = await relay.start();
    await run.kill();

    expect(await relay.ambiguousDeliveries?.()).toBeGreaterThanOrEqual(3);
  } finally {
    await run.kill();
    await sink.close();
  }
});

test("the harness finds out a relay that says 250 before it has stored the message", { timeout: 60_000 }, async () => {
  const relay = async (nextHop: number): Promise<RelayUnderTest> => {
    const port = await freePort();
    return {
      port,
      start: async () => {
        const stub = await startProcess(process.execPath, [forgetfulRelay, String(port), String(nextHop)]);
        await stub.waitForLine((line) => line === "ready");
        return {
          kill: async () => void (await stub.stop("SIGKILL")),
          stop: async () => void (await stub.stop()),
          ended: stub.exited,
          untilEmpty: async () => undefined,
        };
      },
    };
  };

  const report = await runCrashTest(relay, { kills: 5, messages: 300, connections: 8, seed: 7, stallMs: 1000 });

  expect(report.lost.length).toBeGreaterThan(0);
  expect(report.faults[0]).toContain("accepted messages were lost");
});

test.skipIf(!hasTool("strace"))(
  "every message is synced to the disk between its final dot and its 250 (needs strace)",
  { timeout: 120_000 },
  async () => {
    await using folder = await tempDir();

    const findings = await traceSyncs(folder.path, 5, "dist");

    expect(findings).toHaveLength(5);
    expect(findings.filter(({ synced }) => !synced)).toEqual([]);
  },
);

test.skipIf(!hasTool("strace"))(
  "the trace shows missing syncs when durability is switched off (needs strace)",
  { timeout: 120_000 },
  async () => {
    await using folder = await tempDir();

    const findings = await traceSyncs(folder.path, 5, "dist", { NODE_ENV: "test", POSTERN_UNSAFE_NO_SYNC: "1" });

    expect(findings.some(({ synced }) => !synced)).toBe(true);
  },
);

test("a sync counts only when it began after the final dot and ended well before the 250", () => {
  const dot = '10 read(20, "end\\r\\n.\\r\\n", 65536) = 9';
  const reply = '10 write(20, "250 2.0.0 Ok: queued as Q1\\r\\n", 29) = 29';
  const verdict = (...lines: string[]) => syncedBeforeReply(lines.join("\n"), "Q1");

  expect(verdict(dot, "11 fdatasync(5) = 0", reply)).toBe(true);
  expect(verdict(dot, "11 fdatasync(5 <unfinished ...>", '10 write(1, "x", 1) = 1', "11 <... fdatasync resumed>) = 0", reply)).toBe(true);
  expect(verdict("11 fdatasync(5) = 0", dot, reply)).toBe(false);
  expect(verdict(dot, reply, "11 fdatasync(5) = 0")).toBe(false);
  expect(verdict(dot, "11 fdatasync(5 <unfinished ...>", reply, "11 <... fdatasync resumed>) = 0")).toBe(false);
  expect(verdict(dot, "11 fdatasync(5) = -1 EIO (Input/output error)", reply)).toBe(false);
});
