/** CPU time and memory of a program with all its children, read from /proc. Linux only. */
import { readdirSync, readFileSync } from "node:fs";

/** Clock ticks a second in /proc: USER_HZ, 100 on every Linux port that Node runs on. */
const TICKS_PER_SECOND = 100;

interface Stat {
  readonly pid: number;
  readonly parent: number;
  readonly ticks: number;
}

/** Process ids of `root` and everything under it. */
export function processTree(root: number): number[] {
  return statsUnder(root).map(({ pid }) => pid);
}

/** CPU seconds, user and system, of the whole tree; children that ended and were waited for are included. */
export function cpuSeconds(root: number): number {
  return statsUnder(root).reduce((sum, { ticks }) => sum + ticks, 0) / TICKS_PER_SECOND;
}

/**
 * Resident memory of the tree in octets, each page counted in every process that maps it (as `ps` does).
 *
 * @param field - `VmRSS` now, `VmHWM` the peak of each process
 */
export function memoryBytes(root: number, field: "VmRSS" | "VmHWM"): number {
  return processTree(root).reduce((sum, pid) => sum + kilobytes(readOrEmpty(`/proc/${pid}/status`), field) * 1024, 0);
}

/** The tree's memory in octets with shared pages divided among those who share them: the fair figure for many small processes. */
export function proportionalMemoryBytes(root: number): number {
  return processTree(root).reduce((sum, pid) => sum + kilobytes(readOrEmpty(`/proc/${pid}/smaps_rollup`), "Pss") * 1024, 0);
}

function kilobytes(text: string, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? 0);
}

function statsUnder(root: number): Stat[] {
  const all = readdirSync("/proc").flatMap((name) => (/^\d+$/.test(name) ? readStat(Number(name)) : []));
  const members = new Set([root]);
  // Children are younger than their parents but pids wrap, so look until nothing is added.
  for (let before = 0; before !== members.size;) {
    before = members.size;
    for (const { pid, parent } of all) if (members.has(parent)) members.add(pid);
  }
  return all.filter(({ pid }) => members.has(pid));
}

/** proc(5): the command may hold anything, so fields are counted after its closing parenthesis. */
function readStat(pid: number): Stat[] {
  const text = readOrEmpty(`/proc/${pid}/stat`);
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  if (fields.length < 15) return [];
  const ticks = [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index]), 0);
  return [{ pid, parent: Number(fields[1]), ticks }];
}

/** A process may end between listing and reading. */
function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
