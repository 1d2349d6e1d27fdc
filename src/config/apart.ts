/**
 * Reads and checks the configuration in a process of its own that ends afterwards. The schema and YAML libraries take some 25 MB and a
 * quarter of a second; like this the daemon keeps neither, and loads its own code meanwhile. (A thread does not do: V8 keeps the memory.)
 */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Config } from "./config.ts";
import type { Finding } from "./finding.ts";

/** What a start needs to know of the file. Plain data, so that it can cross processes; no secret is in it. */
export type ReadApart =
  | {
      readonly ok: true;
      readonly config: Config;
      /** Everything that was found, warnings included; faults of doors do not forbid a start. */
      readonly findings: readonly Finding[];
    }
  /** The file is not a configuration, or a listener cannot work. */
  | { readonly ok: false; readonly findings: readonly Finding[] };

/**
 * Loads the file and checks what it names.
 *
 * @throws Error when the process itself fails
 */
export function readConfigApart(path: string): Promise<ReadApart> {
  const script = fileURLToPath(new URL(import.meta.url.endsWith(".ts") ? "./apart-process.ts" : "./apart-process.js", import.meta.url));
  return new Promise((resolve, reject) => {
    const child = fork(script, [path], { serialization: "advanced" });
    child.once("message", (message) => resolve(message as ReadApart));
    child.once("error", reject);
    child.once("exit", (code, signal) => reject(new Error(`the configuration could not be read: its process ended (${signal ?? code})`)));
  });
}
