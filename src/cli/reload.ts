/** `postern reload`: has the running relay read its configuration again. */
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { ReloadAnswer } from "../admin/sources.ts";
import { controlSocketPath } from "../admin/control-socket.ts";
import { parseText } from "../config/document.ts";
import { formatFinding } from "../config/finding.ts";
import { valueAt } from "../config/issues.ts";
import { loadConfig } from "../config/load.ts";
import { POSTERN_ERRORS, PosternError } from "../mail/errors.ts";
import { isUnavailable, openControlClient } from "./control-client.ts";
import { operatorName } from "./operator.ts";
import type { GlobalOptions } from "./options.ts";
import { harmless, print, printJson } from "./table.ts";

export interface ReloadOptions {
  /** Recipient of a test mail once the configuration is in force. */
  readonly testTo?: string;
}

/** 0 when the file is in force, 78 when it has faults and nothing changed, 69 when no daemon runs; with a test mail as `postern test`. */
export async function reloadCommand(options: GlobalOptions, { testTo }: ReloadOptions): Promise<number> {
  const { dataDir, faults } = await findDaemon(options.config);
  if (dataDir === undefined) return tellFaults(options, faults);
  const client = openControlClient(controlSocketPath(dataDir));
  let answer: ReloadAnswer;
  try {
    answer = (await client.post("/api/v1/reload", { by: operatorName() })) as ReloadAnswer;
  } catch (error) {
    if (error instanceof PosternError && error.code === "E_CONFIG") return tellFaults(options, error.message.split("\n"));
    // Nobody is there to be shown them: they are no less faults.
    if (isUnavailable(error) && faults.length > 0) return tellFaults(options, faults);
    throw error;
  }
  if (!answer.ok) return tellFaults(options, answer.faults);
  if (!options.json) tell(answer);
  if (testTo !== undefined) {
    const { testCommand } = await import("./test.ts");
    // With --json there is one document: the test's, which only follows where the reload did.
    return await testCommand(options, { to: testTo, wait: "60s" });
  }
  if (options.json) printJson(answer);
  return 0;
}

function tell({ changed, restart, warnings }: Extract<ReloadAnswer, { ok: true }>): void {
  for (const line of warnings) process.stderr.write(`${harmless(line)}\n`);
  print(changed.length === 0 ? "nothing to take up has changed" : `in force now: ${harmless(changed.join(", "))}`);
  if (restart.length > 0) print(`needs a restart: ${harmless(restart.join(", "))}`);
}

function tellFaults(options: GlobalOptions, faults: readonly string[]): number {
  if (options.json) printJson({ ok: false, faults });
  else for (const line of faults) process.stderr.write(`${harmless(line)}\n`);
  return POSTERN_ERRORS.E_CONFIG.exitCode;
}

/**
 * Where the daemon is asked. A file with faults is shown to it all the same where its data_dir can be read: the log then says what the operator sees,
 * and the alert is raised.
 */
async function findDaemon(path: string): Promise<{ readonly dataDir: string | undefined; readonly faults: readonly string[] }> {
  const loaded = await loadConfig(path);
  if (loaded.ok) return { dataDir: loaded.config.data_dir, faults: [] };
  const faults = loaded.faults.map(formatFinding);
  const text = await readFile(path, "utf8").catch(() => "");
  const dataDir = valueAt(parseText(text).value, ["data_dir"]);
  return { dataDir: typeof dataDir === "string" && dataDir !== "" ? resolve(dirname(path), dataDir) : undefined, faults };
}
