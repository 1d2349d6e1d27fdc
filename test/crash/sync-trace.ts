/**
 * Does a sync to the disk lie between the last octet of a message and its 250? Seen by strace from outside the process.
 *
 * kill -9 alone cannot tell: the system keeps what was written without a sync. Only a power cut loses it.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { relayCommand, untilReady, writeRelayConfig, type RelayBuild } from "../support/postern.ts";
import { startProcess } from "../support/process.ts";
import { findTool } from "../support/tools.ts";
import { makeMessage } from "./message.ts";
import { Random } from "./random.ts";
import { SmtpReceiver } from "./smtp-receiver.ts";
import { Submitter } from "./submitter.ts";

/** One accepted message: was there a whole sync after its data and before its 250? */
export interface SyncFinding {
  readonly queueId: string;
  readonly synced: boolean;
}

/** Submits messages one after another to a relay under strace. The caller checks that strace is there. */
export async function traceSyncs(folder: string, messages: number, build: RelayBuild, env: NodeJS.ProcessEnv = {}): Promise<SyncFinding[]> {
  const sink = new SmtpReceiver(() => "250 2.0.0 Ok: taken");
  const files = await writeRelayConfig({ folder, smartHostPort: await sink.listen() });
  const traceFile = join(folder, "strace.out");
  const [command, args] = relayCommand(build, files.configFile);
  const calls = "trace=read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,fdatasync,fsync,sync_file_range,msync";
  const strace = await startProcess(findTool("strace") ?? "strace", ["-f", "-s", "65536", "-e", calls, "-o", traceFile, command, ...args], {
    env: { ...process.env, ...env },
  });
  const submitter = new Submitter(files.smtpPort);
  const queueIds: string[] = [];
  try {
    await untilReady(files.adminPort, strace, 60_000);
    for (let number = 0; number < messages; number++) {
      queueIds.push(await submitter.submit(makeMessage(number, new Random(smallMessageSeed(number))).content, () => undefined));
    }
  } finally {
    submitter.close();
    // strace would let the relay go on without it; it ends with the relay.
    for (const pid of await childrenOf(strace.pid)) process.kill(pid, "SIGTERM");
    await Promise.race([strace.exited, wait(20_000, undefined, { ref: false })]);
    for (const pid of await childrenOf(strace.pid)) process.kill(pid, "SIGKILL");
    await strace.exited;
    await sink.close();
  }
  const trace = await readFile(traceFile, "latin1");
  return queueIds.map((queueId) => ({ queueId, synced: syncedBeforeReply(trace, queueId) }));
}

async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => "");
  return text
    .split(" ")
    .filter((word) => word !== "")
    .map(Number);
}

/** Any seed: the size does not matter, only that messages differ. */
function smallMessageSeed(number: number): number {
  return 1000 + number;
}

/**
 * Reads a trace of `strace -f`: lines in the order of the calls, a call that another thread interrupted in two halves.
 *
 * @returns true when an fsync or fdatasync began after the final dot was read and ended well before `queueId` was written in a 250
 */
export function syncedBeforeReply(trace: string, queueId: string): boolean {
  const lines = trace.split("\n");
  const reply = lines.findIndex(
    (line) => /\b(write|writev|sendto|sendmsg)\(/.test(line) && line.includes(`250 2.0.0 Ok: queued as ${queueId}`),
  );
  if (reply === -1) throw new Error(`the trace does not show the 250 of ${queueId}`);
  const dot = lines
    .slice(0, reply)
    .findLastIndex((line) => /\b(read|readv|recvfrom|recvmsg)\b/.test(line) && /(\\r\\n|")\.\\r\\n/.test(line));
  if (dot === -1) throw new Error(`the trace does not show the final dot before the 250 of ${queueId}`);
  const between = lines.slice(dot + 1, reply);
  return between.some((line, index) => {
    const [thread = ""] = line.trim().split(/\s+/);
    if (!/\bf(data)?sync\(/.test(line)) return false;
    if (line.trimEnd().endsWith("= 0")) return true;
    return (
      line.includes("unfinished") &&
      between.slice(index + 1).some((later) => later.startsWith(thread) && /<\.\.\. f(data)?sync resumed>.*= 0$/.test(later.trimEnd()))
    );
  });
}
