/**
 * What systemd is told (sd_notify(3)). Node cannot open AF_UNIX datagram sockets, so the program `systemd-notify` is started for each
 * message, without a shell; the unit needs NotifyAccess=all. Without NOTIFY_SOCKET nothing happens, and a failure is reported, never thrown:
 * mail must not stop because the service manager was not told.
 */
import { execFile } from "node:child_process";
import type { Clock } from "./clock.ts";

export interface ServiceManager {
  /** True when there is one to tell. */
  readonly present: boolean;
  /** Start-up is over. */
  ready(): Promise<void>;
  /** A reload has begun; `ready` ends it. */
  reloading(): Promise<void>;
  /** A clean end has begun. */
  stopping(): Promise<void>;
  /** Pings twice in each interval that the unit demands (WatchdogSec), as long as `alive` says so. Returns what ends it. */
  startWatchdog(alive: () => boolean): () => void;
}

export interface ServiceManagerOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  /** Told when a message could not be delivered. */
  readonly warn: (text: string) => void;
  /** Default: `systemd-notify`, looked for in PATH. */
  readonly program?: string | undefined;
}

const NOTIFY_TIMEOUT_MS = 5000;

/** Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. */
export function openServiceManager(options: ServiceManagerOptions): ServiceManager {
  const { env, clock } = options;
  const socket = env["NOTIFY_SOCKET"];
  const present = socket !== undefined && socket !== "";
  const notify = (...states: readonly string[]): Promise<void> => {
    if (!present) return Promise.resolve();
    return new Promise((resolve) => {
      const settings = { timeout: NOTIFY_TIMEOUT_MS, env: { PATH: env["PATH"], NOTIFY_SOCKET: socket } };
      execFile(options.program ?? "systemd-notify", states, settings, (error) => {
        if (error !== null) options.warn(`systemd was not told ${states[0]}: ${error.message.replace(/\s*\n\s*/g, " ").trim()}`);
        resolve();
      });
    });
  };
  return {
    present,
    ready: () => notify("READY=1"),
    // The time tells systemd which of several reloads this is about (Type=notify-reload).
    reloading: () => notify("RELOADING=1", `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`),
    stopping: () => notify("STOPPING=1"),
    startWatchdog(alive) {
      const intervalMs = watchdogMs(env);
      if (!present || intervalMs === undefined) return () => {};
      let cancel = (): void => {};
      const ping = (): void => {
        if (alive()) void notify("WATCHDOG=1");
        cancel = clock.after(intervalMs / 2, ping);
      };
      ping();
      return () => cancel();
    },
  };
}

/** The interval that systemd expects of this process; undefined when it expects none. */
function watchdogMs(env: ServiceManagerOptions["env"]): number | undefined {
  const microseconds = Number(env["WATCHDOG_USEC"]);
  // WATCHDOG_PID names the main process of the unit, which is the launcher where one had to find a newer Node: its child speaks for it.
  const pid = env["WATCHDOG_PID"];
  if (pid !== undefined && pid !== String(process.pid) && pid !== String(process.ppid)) return undefined;
  return Number.isSafeInteger(microseconds) && microseconds > 0 ? microseconds / 1000 : undefined;
}
