/** `postern run`: the daemon, from the configuration file to a clean end. */
import { readConfigApart } from "../config/apart.ts";
import { formatFinding } from "../config/finding.ts";
import { describeError, POSTERN_ERRORS, PosternError } from "../mail/errors.ts";
import { createObserver } from "../observe/observer.ts";
import type { Observer } from "../observe/observer.ts";
import { systemClock } from "../platform/clock.ts";
import { releaseMemoryAtRest } from "../platform/memory.ts";
import { openServiceManager } from "../platform/sd-notify.ts";
import { watchSignals } from "../platform/signals.ts";
import type { GlobalOptions } from "./options.ts";

const EX_TEMPFAIL = 75;

/**
 * Runs until SIGTERM or SIGINT, then drains. Exit codes: 0 after a clean end, 78 for faults of the file or of a listener and when the
 * queue's file is damaged, 75 when the queue failed otherwise and the service manager should start it anew, 69 when another daemon uses the same data_dir.
 */
export async function runCommand(options: GlobalOptions): Promise<number> {
  // By itself it would end the process; whoever sends it this early wants what the file says by now.
  let askedEarly = false;
  const askEarly = (): void => {
    askedEarly = true;
  };
  process.on("SIGHUP", askEarly);
  const [read, { startDaemon }, { configWarned }] = await Promise.all([
    readConfigApart(options.config),
    import("../daemon/daemon.ts"),
    import("../daemon/reload.ts"),
  ]);
  if (!read.ok) {
    for (const finding of read.findings) process.stderr.write(`${formatFinding(finding)}\n`);
    return POSTERN_ERRORS.E_CONFIG.exitCode;
  }
  const { config, findings, values } = read;

  const observer = createObserver({ log: { level: config.log.level }, clock: systemClock });
  for (const finding of findings) observer.emit(configWarned(finding));
  endOnBugs(observer);
  try {
    // The flag lets the crash harness prove that it would find a queue that does not sync; it means nothing outside tests.
    const unsafeNoSync = process.env["NODE_ENV"] === "test" && process.env["POSTERN_UNSAFE_NO_SYNC"] === "1";
    const manager = openServiceManager({
      env: process.env,
      clock: systemClock,
      warn: (text) => observer.emit({ type: "alert.raised", alert: "systemd", subject: "notify", text }),
    });
    const path = options.config;
    const daemon = await startDaemon(config, {
      observer,
      clock: systemClock,
      file: { path, values, read: (inForce) => readConfigApart(path, inForce) },
      reloading: () => manager.reloading(),
      reloaded: () => manager.ready(),
      unsafeNoSync,
    });
    const stopWatchdog = manager.startWatchdog(() => true);
    await manager.ready();
    const stopReleasing = releaseMemoryAtRest(systemClock);

    const end = Promise.withResolvers<Error | undefined>();
    const unwatch = watchSignals({
      stop: (signal, again) => {
        // Whoever asks twice does not want to wait; the queue makes even that safe.
        if (again) process.exit(EX_TEMPFAIL);
        observer.emit({ type: "daemon.stopping", reason: signal });
        end.resolve(undefined);
      },
      // What came of it is in the log; while the daemon stops there is nothing to reload.
      reload: () => void daemon.reload().catch(() => undefined),
    });
    process.off("SIGHUP", askEarly);
    if (askedEarly) void daemon.reload().catch(() => undefined);
    void daemon.failed.then(end.resolve);
    const failure = await end.promise;
    if (failure !== undefined) observer.emit({ type: "daemon.stopping", reason: describeError(failure) });
    void manager.stopping();
    await daemon.stop();
    unwatch();
    stopWatchdog();
    stopReleasing();
    observer.emit({ type: "daemon.stopped" });
    if (failure === undefined) return 0;
    // Started again on a damaged file, it would send once more what it could not write down, and fail again.
    return failure instanceof PosternError && failure.code === "E_SPOOL_DAMAGED" ? failure.exitCode : EX_TEMPFAIL;
  } catch (error) {
    // Faults of the environment are told in one line; anything else is a bug, and its stack goes into the log.
    if (!(error instanceof PosternError)) observer.fatal(error);
    throw error;
  } finally {
    observer.close();
  }
}

/** A broken invariant ends the process: the service manager starts it anew, and the queue makes that safe. */
function endOnBugs(observer: Observer): void {
  const end = (error: unknown): void => {
    observer.fatal(error);
    process.exit(70);
  };
  process.on("uncaughtException", end);
  process.on("unhandledRejection", end);
}
