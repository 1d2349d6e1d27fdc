/** Where files of the package are, from wherever this code runs: the sources, a folder for each idea, or what is built of them, all in one folder. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";

const isSource = import.meta.url.endsWith(".ts");

/** Code that runs in a thread or a process of its own, by its place in the sources. scripts/prepare.js builds a file of each. */
export type EntryPoint = "queue/worker" | "queue/reader-worker" | "cli/preview/worker" | "config/apart-process";

/** The file to start it from. */
export function entryPoint(name: EntryPoint): URL {
  return new URL(isSource ? `../${name}.ts` : `${name.replaceAll("/", "-")}.js`, import.meta.url);
}

/** A file that lies beside package.json or below. @throws Error when the package is not whole */
export function packageFile(path: string): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, "package.json"))) {
    if (dirname(folder) === folder) throw new Error(`the package of ${import.meta.dirname} has no package.json`);
    folder = dirname(folder);
  }
  return join(folder, path);
}
