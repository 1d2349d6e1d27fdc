import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** Folders where system programs live that are not on every user's PATH. */
const SYSTEM_FOLDERS = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

/** Full path of a program, or undefined where it is not installed. */
export function findTool(name: string): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), ...SYSTEM_FOLDERS];
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

/** True when the program is installed. For tests against real peers: `test.skipIf(!hasTool("swaks"))`. */
export function hasTool(name: string): boolean {
  return findTool(name) !== undefined;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
