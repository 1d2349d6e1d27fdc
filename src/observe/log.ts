/**
 * Log lines: one JSON object a line, ASCII only; or a readable line on a terminal. Written here rather than by a library: JSON.stringify
 * takes a third of pino's time for a line such as ours, and there are three of them for each message.
 */
import type { Clock } from "../platform/clock.ts";
import { inColour } from "../platform/colour.ts";
import type { LineFile } from "./line-file.ts";
import { openLineFile } from "./line-file.ts";
import { formatPretty } from "./pretty.ts";

export const LOG_LEVELS = ["error", "warn", "info", "debug"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Where lines go: a file descriptor, a file, or a function that takes whole lines (tests, a terminal of one's own). */
export type LogDestination = number | string | { write(line: string): void };

export interface LogOptions {
  readonly level: LogLevel;
  /** One readable line instead of JSON; default: when the destination is standard output and that is a terminal. */
  readonly pretty?: boolean | undefined;
  /** Default 1, standard output. */
  readonly destination?: LogDestination | undefined;
}

/** Values of a line. Undefined ones are left out. */
export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  write(level: LogLevel | "fatal", event: string, fields: LogFields): void;
  enabled(level: LogLevel): boolean;
  /** From now on nothing less severe is enabled. */
  setLevel(level: LogLevel): void;
  /** Writes what is buffered before it returns. For the end of the process. */
  flush(): void;
  close(): void;
}

/** Escapes what is not printable ASCII. In a line of JSON such characters only occur inside strings, so the line stays JSON. */
export function toAsciiJson(line: string): string {
  return /[^\n -~]/.test(line) ? line.replace(/[^\n -~]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`) : line;
}

/** Opens the log. An unusable destination is not an error: mail must not stop because nobody listens. */
export function openLog(options: LogOptions, clock: Clock): Log {
  const destination = options.destination ?? 1;
  const pretty = options.pretty ?? (destination === 1 && process.stdout.isTTY);
  const colour = pretty && destination === 1 && inColour();
  const time = isoTime(clock);
  let lowest = LOG_LEVELS.indexOf(options.level);
  const write: Log["write"] = (level, event, fields) => {
    const values = JSON.stringify(fields);
    const line = `{"level":"${level}","time":"${time()}","event":"${event}"${values === "{}" ? "" : ","}${values.slice(1)}\n`;
    // Whatever is the matter may be the last line of this process.
    const soon = level !== "info" && level !== "debug";
    stream.write(pretty ? formatPretty(line, colour) : toAsciiJson(line), soon);
  };
  const stream = openStream(destination, (lines) => write("warn", "log.dropped", { lines }));
  return {
    write,
    enabled: (level) => LOG_LEVELS.indexOf(level) <= lowest,
    setLevel: (level) => {
      lowest = LOG_LEVELS.indexOf(level);
    },
    flush: () => stream.flush(),
    close: () => stream.close(),
  };
}

/** @param tellDropped - called with a number of lost lines once there is room again to say so */
function openStream(destination: LogDestination, tellDropped: (lines: number) => void): LineFile {
  if (typeof destination === "object") return { write: (line) => destination.write(line), flush: () => {}, close: () => {} };
  return openLineFile(destination, tellDropped);
}

/** The time in UTC, made once per millisecond. */
function isoTime(clock: Clock): () => string {
  let lastMs = -1;
  let last = "";
  return () => {
    const now = clock.now();
    if (now !== lastMs) {
      lastMs = now;
      last = new Date(now).toISOString();
    }
    return last;
  };
}
