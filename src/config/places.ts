/**
 * What a command that talks to the daemon needs of the configuration, read without the schema: loading that takes longer than the answer to most
 * questions, and a fault elsewhere in the file is no reason to keep the queue from the operator.
 */
import { dirname, resolve as resolvePath } from "node:path";
import { systemTimeZone } from "../platform/zone.ts";
import type { Config } from "./config.ts";
import { parseText } from "./document.ts";
import { readConfigText } from "./read-file.ts";
import { readTimeZone } from "./values.ts";

/** Where the daemon keeps what it keeps, and how times are read and shown; as in the whole configuration. */
export interface Places {
  readonly data_dir: string;
  readonly organization: Pick<Config["organization"], "time_zone">;
}

/** The names of upstreams or clients; undefined where the text cannot be read. Never rejects. */
export async function readNames(path: string, section: "upstreams" | "clients"): Promise<readonly string[] | undefined> {
  const read = await readConfigText(path);
  if ("fault" in read) return undefined;
  const { value, faults } = parseText(read.text);
  const named = member(value, section);
  return faults.length > 0 || typeof named !== "object" || named === null ? undefined : Object.keys(named);
}

/** Never rejects; undefined where the text or one of these keys is not right, which `loadConfig` can tell more about. */
export async function readPlaces(path: string): Promise<Places | undefined> {
  const read = await readConfigText(path);
  if ("fault" in read) return undefined;
  const { value, faults } = parseText(read.text);
  if (faults.length > 0) return undefined;
  const dataDir = member(value, "data_dir");
  const timeZone = member(member(value, "organization"), "time_zone");
  if (typeof dataDir !== "string" || !isPath(dataDir)) return undefined;
  if (timeZone !== undefined && typeof timeZone !== "string") return undefined;
  const zone = timeZone === undefined ? { value: systemTimeZone() } : readTimeZone(timeZone);
  if (!("value" in zone)) return undefined;
  return { data_dir: resolvePath(dirname(resolvePath(path)), dataDir), organization: { time_zone: zone.value } };
}

function member(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>)[key] : undefined;
}

/** One line that is not empty, as the schema has it. */
function isPath(text: string): boolean {
  return text !== "" && text.length <= 4096 && !/\p{Cc}/u.test(text);
}
