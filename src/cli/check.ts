/** `postern check`: everything that is wrong with the configuration and what it names. */
import { checkConfig } from "../config/check.ts";
import type { Finding } from "../config/finding.ts";
import { distinct, formatFinding } from "../config/finding.ts";
import { loadConfig } from "../config/load.ts";
import { POSTERN_ERRORS } from "../mail/errors.ts";
import type { GlobalOptions } from "./options.ts";
import { harmless, paint, print, printJson } from "./table.ts";

/** Prints all findings. 0 when there are none but warnings, else 78. */
export async function checkCommand(options: GlobalOptions): Promise<number> {
  const loaded = await loadConfig(options.config);
  const findings = distinct(loaded.ok ? [...loaded.warnings, ...(await checkConfig(loaded.config, loaded.source))] : loaded.faults);
  const faults = findings.filter((finding) => finding.severity !== "warning").length;
  const warnings = findings.length - faults;
  if (options.json) printJson({ ok: faults === 0, file: options.config, findings });
  else {
    for (const finding of findings) {
      const line = formatLine(finding);
      if (finding.severity === "warning") print(line);
      else process.stderr.write(`${line}\n`);
    }
    if (faults === 0) print(`${options.config}: ${paint("green", "ok")}${warnings === 0 ? "" : `, ${count(warnings, "warning")}`}`);
    else
      process.stderr.write(
        `postern: ${options.config}: ${count(faults, "fault")}${warnings === 0 ? "" : `, ${count(warnings, "warning")}`}\n`,
      );
  }
  return faults === 0 ? 0 : POSTERN_ERRORS.E_CONFIG.exitCode;
}

function formatLine(finding: Finding): string {
  return harmless(formatFinding(finding), 2000);
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
