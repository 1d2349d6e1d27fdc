/** The process of `readConfigApart`: is asked once, answers once, and ends. */
import type { ApartRequest, ReadApart } from "./apart.ts";
import { changesBetween, keeping } from "./changes.ts";
import { checkConfig } from "./check.ts";
import type { Severity } from "./finding.ts";
import { loadConfig } from "./load.ts";
import { resolveConfig } from "./resolve.ts";
import type { ParsedFile } from "./schema/index.ts";

async function read({ path, inForce }: ApartRequest): Promise<ReadApart> {
  const loaded = await loadConfig(path);
  if (!loaded.ok) return { ok: false, findings: loaded.faults };
  const findings = [...loaded.warnings, ...(await checkConfig(loaded.config, loaded.source))];
  const forbids: readonly Severity[] = inForce === undefined ? ["error", "listener"] : ["error", "listener", "moment"];
  const forbidding = findings.filter(({ severity }) => forbids.includes(severity));
  if (forbidding.length > 0) return { ok: false, findings: forbidding };
  const { values, folder } = loaded;
  if (inForce === undefined) return { ok: true, config: loaded.config, values, changed: [], restart: [], findings };
  const changes = changesBetween(inForce, values);
  const restart = changes.filter(({ needsRestart }) => needsRestart);
  const kept = restart.map((change) => change.path);
  const merged = keeping(values, inForce, kept) as ParsedFile;
  return {
    ok: true,
    config: resolveConfig(merged, folder),
    values: merged,
    changed: changes.filter(({ needsRestart }) => !needsRestart).map(({ key }) => key),
    restart: restart.map(({ key }) => key),
    findings,
  };
}

process.once("message", (request: ApartRequest) => {
  void read(request).then((answer) => process.send?.(answer, () => process.disconnect()));
});
