import { expect, test } from "vitest";
import { startProcess } from "../test/support/process.ts";
import { tempDir } from "../test/support/temp-dir.ts";
import { hasTool } from "../test/support/tools.ts";
import { cpuSeconds, memoryBytes, processTree } from "./accounting.ts";
import { makeLongHistory } from "./long-history.ts";
import { measureSync, median } from "./machine.ts";
import { CountingSink, sendLoad } from "./smtp-tools.ts";

test("the median of an even number of rounds is the mean of the middle two", () => {
  expect([median([3, 1, 2]), median([4, 1, 3, 2])]).toEqual([2, 2.5]);
});

test("CPU and memory of a process include its children, those that ended too", async () => {
  const burn = "const end = process.cpuUsage().user + 300000; while (process.cpuUsage().user < end);";
  const script = `require("child_process").spawnSync(process.execPath, ["-e", ${JSON.stringify(burn)}]);
    require("child_process").spawn(process.execPath, ["-e", "console.log('child'); process.stdin.resume()"], { stdio: ["pipe", "inherit", "inherit"] });`;
  await using parent = await startProcess(process.execPath, ["-e", script]);
  await parent.waitForLine((line) => line === "child");

  const tree = processTree(parent.pid);

  expect(tree).toHaveLength(2);
  expect(cpuSeconds(parent.pid)).toBeGreaterThanOrEqual(0.3);
  expect(memoryBytes(parent.pid, "VmHWM")).toBeGreaterThan(50e6);
  for (const pid of tree) if (pid !== parent.pid) process.kill(pid, "SIGKILL");
});

test("a sync to the disk takes some time", async () => {
  await using folder = await tempDir();

  expect(measureSync(folder.path, 5)).toBeGreaterThan(0);
});

test("the long history has mail in every state, and one message that questions can be asked about", async () => {
  await using folder = await tempDir();

  const { landmark, states } = await makeLongHistory(folder.path, 500, () => undefined);

  expect(Object.entries(states).filter(([, count]) => count === 0)).toEqual([["delivering", 0]]);
  expect(landmark).toMatchObject({
    messageId: "<400@relay.contoso.com>",
    upstreamId: "AM0PR04MB7000400",
    subject: "Scan 400 of the third floor",
  });
});

test.skipIf(!hasTool("smtp-sink"))("the sink counts what smtp-source sends, on new and on kept connections (needs Postfix)", async () => {
  await using folder = await tempDir();
  const sink = await CountingSink.start(folder.path);

  await sendLoad(sink.port, { messages: 30, bodyBytes: 1000, sessions: 3, keepConnections: false });
  await sendLoad(sink.port, { messages: 20, bodyBytes: 1000, sessions: 4, keepConnections: true });
  await sink.until(50);
  const received = sink.received();
  await sink.stop();

  expect(received).toBe(50);
});
