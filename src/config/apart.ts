/**
 * Reads and checks the configuration in a process of its own that ends afterwards. The schema and YAML libraries take some 25 MB and a
 * quarter of a second; like this the daemon keeps neither, and loads its own code meanwhile. (A thread does not do: V8 keeps the memory.)
 */
import { fork, type ChildProcess } from "node:child_process";
import { PosternError } from "../mail/errors.ts";
import { entryPoint } from "../platform/place.ts";
import type { Config } from "./config.ts";
import type { Finding } from "./finding.ts";

/** The values of the file as the schema made them, for the comparison at the next reload. Only `readConfigApart` looks inside; no secret is in it. */
export type FileValues = Readonly<Record<string, unknown>>;

/** What a start or a reload needs to know of the file. Plain data, so that it can cross processes; no secret is in it. */
export type ReadApart =
  | {
      readonly ok: true;
      /** What is to be in force. At a reload keys that need a restart have their old values in it. */
      readonly config: Config;
      readonly values: FileValues;
      /** At a reload: keys whose values are other ones now, and are in `config`. */
      readonly changed: readonly string[];
      /** At a reload: keys whose values are other ones in the file, and need a restart. */
      readonly restart: readonly string[];
      /** Everything that was found, warnings included; faults of doors do not forbid a start. */
      readonly findings: readonly Finding[];
    }
  /** The file is not a configuration, or a listener cannot work. */
  | { readonly ok: false; readonly findings: readonly Finding[] };

/** What the process is asked. */
export interface ApartRequest {
  readonly path: string;
  /** What is in force; undefined at a start. */
  readonly inForce: FileValues | undefined;
}

/** A file that it reads may lie on a share that does not answer. */
const LONGEST_READ_MS = 30_000;

/**
 * Loads the file and checks what it names.
 *
 * @param inForce - at a reload, the values of the last reading that was taken up
 * @throws PosternError E_UNAVAILABLE when it takes too long; Error when the process itself fails
 */
export function readConfigApart(path: string, inForce?: FileValues, limitMs = LONGEST_READ_MS): Promise<ReadApart> {
  const tooLong = Promise.withResolvers<never>();
  const { child, answer } = ask({ path, inForce });
  const timer = setTimeout(() => {
    child.kill("SIGKILL");
    const text = `${path} could not be read in ${limitMs / 1000} s; see whether the folders of the files that it names answer: ls -l ${path}`;
    tooLong.reject(new PosternError("E_UNAVAILABLE", text));
  }, limitMs);
  return Promise.race([answer, tooLong.promise]).finally(() => clearTimeout(timer));
}

function ask(request: ApartRequest): { readonly child: ChildProcess; readonly answer: Promise<ReadApart> } {
  const child = fork(entryPoint("config/apart-process"), [], { serialization: "advanced" });
  const answer = new Promise<ReadApart>((resolve, reject) => {
    child.once("message", (message) => resolve(message as ReadApart));
    child.once("error", reject);
    child.once("exit", (code, signal) => reject(new Error(`the configuration could not be read: its process ended (${signal ?? code})`)));
    // A process that ended before it was asked says so by `exit`.
    child.send(request, () => undefined);
  });
  return { child, answer };
}
