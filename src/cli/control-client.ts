/** Talks to the running daemon over its control socket. */
import { existsSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import { POSTERN_ERRORS, PosternError } from "../mail/errors.ts";
import type { PosternErrorCode } from "../mail/errors.ts";
import { request } from "../platform/http.ts";

export interface ControlClient {
  /** The JSON answer to GET `path`, such as `/api/v1/status`. @throws PosternError E_UNAVAILABLE when no daemon answers */
  get(path: string): Promise<unknown>;
  /** The JSON answer to POST `path`. */
  post(path: string, body: unknown): Promise<unknown>;
  /** The JSON lines that POST `path` is answered with, each as it comes. */
  lines(path: string, body: unknown): AsyncIterable<unknown>;
  /** The server-sent events that GET `path` is answered with, each as it comes, until the signal aborts. */
  events(path: string, signal: AbortSignal): AsyncIterable<StreamEvent>;
}

/** One server-sent event. */
export interface StreamEvent {
  readonly event: string;
  readonly data: unknown;
}

const ANSWER_TIMEOUT_MS = 60_000;
const MOST_ANSWER_BYTES = 64 * 1024 * 1024;

/** @param socketPath - `<data_dir>/deliver/control.sock` */
export function openControlClient(socketPath: string): ControlClient {
  return {
    get: (path) => exchange(socketPath, "GET", path, undefined),
    post: (path, body) => exchange(socketPath, "POST", path, JSON.stringify(body)),
    lines: (path, body) => readLines(socketPath, path, JSON.stringify(body)),
    events: (path, signal) => readEvents(socketPath, path, signal),
  };
}

/** True for the fault that says that no daemon is there; not for one that a daemon told of. */
export function isUnavailable(error: unknown): error is PosternError {
  return error instanceof PosternError && error.code === "E_UNAVAILABLE" && error.cause !== undefined;
}

let noted = false;

/** Says once that an answer comes from files: what waits in them waits for a daemon. On stderr, so that output stays what it is. */
export function noteNotRunning(): void {
  if (!noted) process.stderr.write("postern: the daemon is not running: this is what its files say\n");
  noted = true;
}

function exchange(socketPath: string, method: string, path: string, body: string | undefined): Promise<unknown> {
  const headers = body === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, method, path, headers, agent: false, timeout: ANSWER_TIMEOUT_MS }, (response) => {
      const parts: Buffer[] = [];
      let length = 0;
      response.on("data", (part: Buffer) => {
        length += part.length;
        if (length > MOST_ANSWER_BYTES) outgoing.destroy(new PosternError("E_TEMPORARY", "the daemon's answer is too long"));
        else parts.push(part);
      });
      response.on("error", (error: NodeJS.ErrnoException) => reject(explain(error, socketPath)));
      response.on("end", () => {
        try {
          resolve(readAnswer(response.statusCode ?? 0, Buffer.concat(parts).toString("utf8")));
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      });
    });
    outgoing.on("timeout", () =>
      outgoing.destroy(new PosternError("E_TEMPORARY", `the daemon did not answer within ${ANSWER_TIMEOUT_MS / 1000} s`)),
    );
    outgoing.on("error", (error: NodeJS.ErrnoException) => reject(explain(error, socketPath)));
    outgoing.end(body);
  });
}

async function* readLines(socketPath: string, path: string, body: string): AsyncGenerator {
  for await (const line of linesOf(await open(socketPath, "POST", path, body))) if (line !== "") yield JSON.parse(line) as unknown;
}

async function* readEvents(socketPath: string, path: string, signal: AbortSignal): AsyncGenerator<StreamEvent> {
  let event: string | undefined;
  const response = await open(socketPath, "GET", path, undefined);
  // Whoever has seen enough ends the lines, not the command with a fault.
  const lines = createInterface({ input: response, crlfDelay: Infinity, signal });
  signal.addEventListener("abort", () => response.destroy(), { once: true });
  for await (const line of lines) {
    // The daemon writes each value on one line; comments, ids and times to wait are of no use here.
    if (line.startsWith("event: ")) event = line.slice("event: ".length);
    else if (line.startsWith("data: ") && event !== undefined) yield { event, data: JSON.parse(line.slice("data: ".length)) as unknown };
    else if (line === "") event = undefined;
  }
}

/** The answer to a request, once its head says that it is one. */
async function open(socketPath: string, method: string, path: string, body: string | undefined): Promise<IncomingMessage> {
  const headers = body === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const outgoing = request({ socketPath, method, path, headers, agent: false }, resolve);
    outgoing.on("error", (error: NodeJS.ErrnoException) => reject(explain(error, socketPath)));
    outgoing.end(body);
  });
  if (response.statusCode === 200) return response;
  const parts: Buffer[] = [];
  for await (const part of response as AsyncIterable<Buffer>) parts.push(part);
  readAnswer(response.statusCode ?? 0, Buffer.concat(parts).toString("utf8"));
  throw new PosternError("E_TEMPORARY", `the daemon answered ${response.statusCode ?? 0}`);
}

async function* linesOf(response: IncomingMessage): AsyncGenerator<string> {
  try {
    yield* createInterface({ input: response, crlfDelay: Infinity });
  } finally {
    response.destroy();
  }
  if (!response.complete) throw new PosternError("E_TEMPORARY", "the daemon's answer was cut off");
}

function explain(error: NodeJS.ErrnoException, socketPath: string): Error {
  if (error instanceof PosternError) return error;
  switch (error.code) {
    case "ENOENT":
    case "ENOTDIR":
    case "ECONNREFUSED":
      return new PosternError(
        "E_UNAVAILABLE",
        `the daemon is not running (no answer on ${socketPath}): start it with systemctl start postern or postern run${movedHint(socketPath)}`,
        { cause: error },
      );
    case "EACCES":
    case "EPERM":
      return new PosternError("E_POLICY", `no permission to open ${socketPath}; run this as root or as the user of the daemon`, {
        cause: error,
      });
    default:
      return new PosternError("E_TEMPORARY", `the daemon's answer was cut off: ${error.code ?? error.message}`, { cause: error });
  }
}

/** Where no relay ever ran, one may run all the same: with the data_dir that the file named before. */
function movedHint(socketPath: string): string {
  return existsSync(dirname(socketPath)) ? "" : "; where data_dir was changed in the file, restart the one that runs";
}

function readAnswer(status: number, text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new PosternError("E_TEMPORARY", `the daemon answered ${status} without JSON`, { cause: error });
  }
  if (status >= 200 && status < 300) return value;
  const fault = readFault(value);
  const code = isErrorCode(fault.code) ? fault.code : status >= 500 ? "E_TEMPORARY" : "E_USAGE";
  throw new PosternError(code, fault.message);
}

function readFault(value: unknown): { code: string; message: string } {
  if (typeof value === "object" && value !== null && "error" in value) {
    const { error } = value;
    if (typeof error === "object" && error !== null && "code" in error && "message" in error) {
      return { code: String(error.code), message: String(error.message) };
    }
  }
  return { code: "", message: "the daemon refused without a reason" };
}

function isErrorCode(code: string): code is PosternErrorCode {
  return Object.hasOwn(POSTERN_ERRORS, code);
}
