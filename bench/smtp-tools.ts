/** Postfix's smtp-source and smtp-sink: load on one side of a relay, a counting next hop on the other. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { freePort } from "../test/support/ports.ts";
import { runProcess, startProcess, type RunningProcess } from "../test/support/process.ts";
import { findTool } from "../test/support/tools.ts";

/** What smtp-source sends. */
export interface Load {
  readonly messages: number;
  /** Octets of the body, headers not counted. */
  readonly bodyBytes: number;
  readonly sessions: number;
  /** Many messages on one connection, or a connection for each. */
  readonly keepConnections: boolean;
}

/**
 * Sends the load and resolves once the last 250 has come.
 *
 * @throws Error when a message was not accepted
 */
export async function sendLoad(port: number, load: Load): Promise<void> {
  const args = ["-s", load.sessions, "-m", load.messages, "-l", load.bodyBytes, "-f", "scanner@plant.example", "-t", "office@next.example"];
  if (load.keepConnections) args.push("-d");
  const run = await runProcess(requireTool("smtp-source"), [...args.map(String), `127.0.0.1:${port}`]);
  if (run.code !== 0) throw new Error(`smtp-source: ${run.stderr.trim() || `exit ${run.code ?? run.signal}`}`);
}

/** A next hop that throws messages away and counts them. */
export class CountingSink {
  readonly port: number;
  readonly #process: RunningProcess;
  readonly #counter: number;

  private constructor(port: number, process: RunningProcess, counter: number) {
    this.port = port;
    this.#process = process;
    this.#counter = counter;
  }

  /** @param folder - takes the counter's file */
  static async start(folder: string): Promise<CountingSink> {
    const port = await freePort();
    const counterFile = join(folder, `sink-${port}.count`);
    const writeEnd = openSync(counterFile, "w");
    // As root, smtp-sink insists on another user.
    const user = userInfo().uid === 0 ? ["-u", "nobody"] : [];
    const sink = await startProcess(requireTool("smtp-sink"), ["-c", ...user, `127.0.0.1:${port}`, "1024"], { stdoutFd: writeEnd });
    closeSync(writeEnd);
    return new CountingSink(port, sink, openSync(counterFile, "r"));
  }

  /** Messages received since the start. smtp-sink rewrites its line for each; a file costs it the least. */
  received(): number {
    const size = fstatSync(this.#counter).size;
    const tail = Buffer.alloc(Math.min(size, 256));
    readSync(this.#counter, tail, 0, tail.length, size - tail.length);
    return Number([...tail.toString("latin1").matchAll(/mesg=(\d+)\r/g)].at(-1)?.[1] ?? 0);
  }

  /**
   * Resolves when `count` messages have come, looking every 2 ms.
   *
   * @throws Error when none came for 60 s
   */
  async until(count: number): Promise<void> {
    let seen = -1;
    let progressAt = performance.now();
    for (;;) {
      const now = this.received();
      if (now >= count) return;
      if (now !== seen) progressAt = performance.now();
      else if (performance.now() - progressAt > 60_000)
        throw new Error(`the next hop got ${now} of ${count} messages and then none for a minute`);
      seen = now;
      await wait(2);
    }
  }

  async stop(): Promise<void> {
    await this.#process.stop("SIGTERM", 2000);
    closeSync(this.#counter);
  }
}

function requireTool(name: string): string {
  const tool = findTool(name);
  if (tool === undefined)
    throw new Error(`${name} is missing; it comes with Postfix (Debian: apt-get install --no-install-recommends postfix)`);
  return tool;
}
