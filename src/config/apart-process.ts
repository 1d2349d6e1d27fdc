/** The process of `readConfigApart`: takes the path as its argument, answers once, and ends. */
import type { ReadApart } from "./apart.ts";
import { checkConfig } from "./check.ts";
import { loadConfig } from "./load.ts";

async function read(path: string): Promise<ReadApart> {
  const loaded = await loadConfig(path);
  if (!loaded.ok) return { ok: false, findings: loaded.faults };
  const findings = [...loaded.warnings, ...(await checkConfig(loaded.config, loaded.source))];
  const forbidding = findings.filter(({ severity }) => severity === "error" || severity === "listener");
  return forbidding.length > 0 ? { ok: false, findings: forbidding } : { ok: true, config: loaded.config, findings };
}

process.send?.(await read(process.argv[2] ?? ""), () => process.disconnect());
