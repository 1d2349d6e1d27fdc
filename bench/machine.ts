/** What the figures were measured on: versions, processor, and what the disk takes for one sync. */
import { closeSync, fdatasyncSync, openSync, readFileSync, writeSync } from "node:fs";
import { cpus, release } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runProcess } from "../test/support/process.ts";
import { findTool } from "../test/support/tools.ts";

export interface Machine {
  readonly postern: string;
  readonly node: string;
  readonly sqlite: string;
  readonly postfix: string | undefined;
  readonly kernel: string;
  readonly cpu: string;
}

export async function describeMachine(): Promise<Machine> {
  const manifest = JSON.parse(readFileSync(fileURLToPath(new URL("../package.json", import.meta.url)), "utf8")) as { version: string };
  const postconf = findTool("postconf");
  const postfix = postconf === undefined ? undefined : (await runProcess(postconf, ["-d", "-h", "mail_version"])).stdout.trim();
  return {
    postern: manifest.version,
    node: process.versions.node,
    sqlite: process.versions["sqlite"] ?? "unknown",
    postfix,
    kernel: release(),
    cpu: `${cpus().length} x ${cpus()[0]?.model.trim() ?? "unknown"}`,
  };
}

/** Median milliseconds of a write of 4 KB and an fdatasync, appended to a file in `folder`. */
export function measureSync(folder: string, rounds = 200): number {
  const file = openSync(join(folder, "fdatasync.probe"), "w");
  const block = Buffer.alloc(4096, 0x41);
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const before = performance.now();
    writeSync(file, block);
    fdatasyncSync(file);
    times.push(performance.now() - before);
  }
  closeSync(file);
  return median(times);
}

/** The middle value; the mean of both middle ones where there are two. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low, high] = [sorted[sorted.length % 2 === 1 ? middle : middle - 1], sorted[middle]];
  if (low === undefined || high === undefined) throw new Error("no values");
  return (low + high) / 2;
}
