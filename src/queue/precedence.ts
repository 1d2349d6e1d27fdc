/** In which order the lines of a door with a budget are served: interactive mail goes ahead, bulk is never starved, unless little is left. */
import { priorityOfLine } from "../mail/line.ts";
import { PRIORITIES, type Priority } from "../mail/message.ts";

/** Whose turn it is while all three wait. */
const TURNS: readonly Priority[] = [
  "interactive",
  "interactive",
  "normal",
  "interactive",
  "interactive",
  "normal",
  "interactive",
  "interactive",
  "normal",
  "bulk",
];

/** What is remembered of a lane between claims. */
export interface Turns {
  next: number;
  /** The line served last, by priority. */
  readonly served: Record<Priority, string>;
}

export function firstTurns(): Turns {
  return { next: 0, served: { interactive: "", normal: "", bulk: "" } };
}

interface Line {
  readonly name: string;
  load: number;
}

/**
 * Serves lines until nothing is due or `serve` has had enough.
 *
 * @param lines - every line with something due, in the order of their names
 * @param loads - by line; those with less go first
 * @param strict - a priority waits until nothing of a higher one is due; else they take turns
 * @param serve - takes the next message of a line: `none` when the line has nothing due, `last` when no more is wanted
 */
export function serveByPriority(
  lines: readonly string[],
  loads: ReadonlyMap<string, number>,
  strict: boolean,
  turns: Turns,
  serve: (line: string) => "taken" | "none" | "last",
): void {
  const waiting: Record<Priority, Line[]> = { interactive: [], normal: [], bulk: [] };
  for (const name of lines) waiting[priorityOfLine(name)].push({ name, load: loads.get(name) ?? 0 });
  // Round robin goes on after the line served last.
  for (const priority of PRIORITIES) {
    const its = waiting[priority];
    const after = its.findIndex(({ name }) => name > turns.served[priority]);
    if (after > 0) its.push(...its.splice(0, after));
  }
  for (;;) {
    const turn = strict ? undefined : TURNS[turns.next % TURNS.length];
    const priority = turn !== undefined && waiting[turn].length > 0 ? turn : PRIORITIES.find((one) => waiting[one].length > 0);
    if (priority === undefined) return;
    const its = waiting[priority];
    let least = 0;
    for (const [at, { load }] of its.entries()) if (load < (its[least]?.load ?? Infinity)) least = at;
    const line = its[least];
    if (line === undefined) return;
    const answer = serve(line.name);
    if (answer === "none") {
      its.splice(least, 1);
      continue;
    }
    line.load += 1;
    turns.served[priority] = line.name;
    if (!strict) turns.next += 1;
    if (answer === "last") return;
  }
}
