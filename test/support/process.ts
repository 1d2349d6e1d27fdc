/** Child processes for tests, benches and the crash harness: wait for a line instead of sleeping, stop by pid, leave none behind. */
import { spawn, type ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { once } from "node:events";
import { overhear } from "./canaries/canaries.ts";

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface StartOptions {
  readonly cwd?: string | undefined;
  readonly env?: NodeJS.ProcessEnv | undefined;
  /** File descriptor that takes stdout instead of us. Then there are no lines to wait for. */
  readonly stdoutFd?: number | undefined;
  /** Octets written to stdin, which is closed otherwise. */
  readonly input?: string | Uint8Array | undefined;
}

/** One started program. Lines of stdout and stderr are kept, the last 2,000 of them. */
export interface RunningProcess extends AsyncDisposable {
  readonly pid: number;
  readonly child: ChildProcess;
  /** Lines so far, stdout and stderr mixed in the order of arrival. */
  readonly lines: readonly string[];
  /** Resolves at the exit, never rejects. */
  readonly exited: Promise<Exit>;
  /** Has each line that comes from now on. */
  onLine(listener: (line: string) => void): void;
  /**
   * The first line, past or coming, that fits.
   *
   * @throws Error with the last lines when the process ends first, or after `timeoutMs`
   */
  waitForLine(fits: (line: string) => boolean, timeoutMs?: number): Promise<string>;
  /** Like `waitForLine` for a JSON log line with this `event`; resolves with the parsed line. */
  waitForEvent(event: string, timeoutMs?: number): Promise<Record<string, unknown>>;
  /** Sends the signal (default SIGTERM), SIGKILL after `graceMs`, and resolves at the exit. Does nothing once it has exited. */
  stop(signal?: NodeJS.Signals, graceMs?: number): Promise<Exit>;
}

const LINES_KEPT = 2000;
const living = new Set<ChildProcess>();

// An interrupted bench or a crashed test must not leave programs running.
process.on("exit", () => {
  for (const child of living) child.kill("SIGKILL");
});

/**
 * Starts a program.
 *
 * @throws Error when it cannot be started
 */
export async function startProcess(command: string, args: readonly string[], options: StartOptions = {}): Promise<RunningProcess> {
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: options.env ?? process.env,
    stdio: [options.input === undefined ? "ignore" : "pipe", options.stdoutFd ?? "pipe", "pipe"],
  });
  living.add(child);
  const exited = new Promise<Exit>((resolve) => {
    child.once("close", (code, signal) => {
      living.delete(child);
      resolve({ code, signal });
    });
  });
  const called = [command, ...args].join(" ");
  const lines: string[] = [];
  const watchers = new Set<(line: string) => void>();
  for (const stream of [child.stdout, child.stderr]) {
    if (stream === null) continue;
    createInterface({ input: stream, crlfDelay: Infinity }).on("line", (line) => {
      overhear(`a line of ${called}`, line);
      lines.push(line);
      if (lines.length > LINES_KEPT) lines.shift();
      for (const watcher of watchers) watcher(line);
    });
  }
  await once(child, "spawn").catch((error: unknown) => {
    living.delete(child);
    throw error;
  });
  // A program that exits without reading closes the pipe: that is its right, and its exit status says the rest.
  child.stdin?.on("error", () => undefined).end(options.input);
  const pid = child.pid ?? 0;

  const waitForLine = (fits: (line: string) => boolean, timeoutMs = 20_000): Promise<string> =>
    new Promise((resolve, reject) => {
      const past = lines.find(fits);
      if (past !== undefined) return resolve(past);
      const settle = (act: () => void) => {
        clearTimeout(timer);
        watchers.delete(watcher);
        act();
      };
      const fail = (why: string) => settle(() => reject(new Error(`${command} ${why}. Its last lines:\n${lines.slice(-20).join("\n")}`)));
      const watcher = (line: string) => {
        if (fits(line)) settle(() => resolve(line));
      };
      const timer = setTimeout(() => fail(`printed no such line in ${timeoutMs} ms`), timeoutMs);
      watchers.add(watcher);
      void exited.then(({ code, signal }) => fail(`ended first (${signal ?? code})`));
      return undefined;
    });

  const stop = async (signal: NodeJS.Signals = "SIGTERM", graceMs = 10_000): Promise<Exit> => {
    if (child.exitCode !== null || child.signalCode !== null) return exited;
    child.kill(signal);
    const force = setTimeout(() => child.kill("SIGKILL"), graceMs);
    const exit = await exited;
    clearTimeout(force);
    return exit;
  };

  return {
    pid,
    child,
    lines,
    exited,
    onLine: (listener) => void watchers.add(listener),
    waitForLine,
    waitForEvent: async (event, timeoutMs) =>
      parseLogLine(await waitForLine((line) => parseLogLine(line)?.["event"] === event, timeoutMs)) ?? {},
    stop,
    [Symbol.asyncDispose]: async () => {
      await stop("SIGKILL");
    },
  };
}

/** Runs a program to its end. Output is whole, however long. */
export async function runProcess(
  command: string,
  args: readonly string[],
  options: Omit<StartOptions, "stdoutFd"> = {},
): Promise<Exit & { readonly stdout: string; readonly stderr: string }> {
  const child = spawn(command, args, { cwd: options.cwd, env: options.env ?? process.env, stdio: "pipe" });
  living.add(child);
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
  child.stdin.on("error", () => undefined).end(options.input);
  try {
    const [code, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
    const printed = { stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() };
    // Whoever asks for a message itself gets it.
    const content = args.includes("queue") && (args.includes("export") || args.includes("show"));
    for (const [stream, text] of Object.entries(printed)) overhear(`${stream} of ${[command, ...args].join(" ")}`, text, { content });
    return { code, signal, ...printed };
  } finally {
    living.delete(child);
  }
}

function parseLogLine(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
