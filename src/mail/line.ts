/** The lines that mail waits in: one for each device and priority. The queue is fair between lines of equal priority. */
import type { Priority } from "./message.ts";

/** Devices are IP addresses, or empty: no line of one priority sorts among those of another. The empty line (our own reports) is a normal one. */
const MARKS: Readonly<Record<Priority, string>> = { interactive: "!", normal: "", bulk: "~" };

/** The line of a device's mail. Normal mail waits in the line named like the device. */
export function lineOf(device: string, priority: Priority): string {
  return priority === "normal" ? device : MARKS[priority] + device;
}

/** The device whose mail waits in a line. */
export function deviceOfLine(line: string): string {
  return priorityOfLine(line) === "normal" ? line : line.slice(1);
}

export function priorityOfLine(line: string): Priority {
  const first = line.charAt(0);
  return first === MARKS.interactive ? "interactive" : first === MARKS.bulk ? "bulk" : "normal";
}
