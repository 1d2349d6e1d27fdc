import { versions } from "../platform/version.ts";
import type { GlobalOptions } from "./options.ts";
import { print, printJson } from "./table.ts";

/** `postern version`. */
export function versionCommand(options: GlobalOptions): number {
  const view = versions();
  if (options.json) printJson(view);
  else print(`postern ${view.postern} (node ${view.node}, sqlite ${view.sqlite})`);
  return 0;
}
