import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ManualClock } from "./clock.ts";
import { openServiceManager } from "./sd-notify.ts";

let folder: string;
let program: string;

/** A stand-in for systemd-notify that writes down what it was told. */
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "postern-notify-"));
  program = join(folder, "notify.mjs");
  await writeFile(
    program,
    `#!${process.execPath}\nimport { appendFileSync } from "node:fs";\nappendFileSync(${JSON.stringify(join(folder, "told"))}, process.env.NOTIFY_SOCKET + " " + process.argv.slice(2).join(" ") + "\\n");\n`,
  );
  await chmod(program, 0o755);
});

afterEach(() => rm(folder, { recursive: true }));

const told = (): Promise<string> => readFile(join(folder, "told"), "utf8").catch(() => "");

test("systemd is told of readiness and of the end", async () => {
  const warnings: string[] = [];
  const manager = openServiceManager({
    env: { NOTIFY_SOCKET: "/run/n" },
    clock: new ManualClock(),
    warn: (text) => warnings.push(text),
    program,
  });

  await manager.ready();
  await manager.stopping();

  expect(await told()).toBe("/run/n READY=1\n/run/n STOPPING=1\n");
  expect(warnings).toEqual([]);
});

test("without NOTIFY_SOCKET nothing is started", async () => {
  const manager = openServiceManager({ env: {}, clock: new ManualClock(), warn: () => {}, program });

  await manager.ready();

  expect(manager.present).toBe(false);
  expect(await told()).toBe("");
});

test("a missing systemd-notify is a warning, not a fault", async () => {
  const warnings: string[] = [];
  const manager = openServiceManager({
    env: { NOTIFY_SOCKET: "/run/n" },
    clock: new ManualClock(),
    warn: (text) => warnings.push(text),
    program: join(folder, "none"),
  });

  await manager.ready();

  expect(warnings).toEqual([expect.stringMatching(/^systemd was not told READY=1: .*ENOENT$/)]);
});

test("the watchdog is fed twice an interval while the daemon is well, and not after", () => {
  const clock = new ManualClock();
  const asked: boolean[] = [];
  let well = true;
  const env = { NOTIFY_SOCKET: "/run/n", WATCHDOG_USEC: "60000000", WATCHDOG_PID: String(process.pid) };
  const manager = openServiceManager({ env, clock, warn: () => {}, program: join(folder, "none") });

  const stop = manager.startWatchdog(() => {
    asked.push(well);
    return well;
  });
  clock.advance(60_000);
  well = false;
  clock.advance(30_000);
  stop();
  clock.advance(90_000);

  expect(asked).toEqual([true, true, true, false]);
});

test("a watchdog meant for another process is left to it", () => {
  const clock = new ManualClock();
  const manager = openServiceManager({
    env: { NOTIFY_SOCKET: "/run/n", WATCHDOG_USEC: "60000000", WATCHDOG_PID: "1" },
    clock,
    warn: () => {},
    program,
  });

  manager.startWatchdog(() => true);

  // A process whose parent is 1 was started by systemd itself, as its main process.
  expect(clock.pending).toBe(process.ppid === 1 ? 1 : 0);
});
