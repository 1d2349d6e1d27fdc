/** What commands need of the configuration. */
import type { Config } from "../config/config.ts";
import { formatFinding } from "../config/finding.ts";
import { readPlaces, type Places } from "../config/places.ts";
import { PosternError } from "../mail/errors.ts";

/** @throws PosternError E_CONFIG with the first fault of the file, and how many more there are */
export async function readConfig(path: string): Promise<Config> {
  const { loadConfig } = await import("../config/load.ts");
  const loaded = await loadConfig(path);
  if (loaded.ok) return loaded.config;
  const [first] = loaded.faults;
  const more = loaded.faults.length > 1 ? ` (and ${loaded.faults.length - 1} more, see postern check)` : "";
  throw new PosternError("E_CONFIG", first === undefined ? `${path} is not a configuration` : formatFinding(first) + more);
}

/**
 * For commands that look at what a daemon does or did, or ask it to act: a file with faults elsewhere does not keep them from it.
 *
 * @throws PosternError E_CONFIG as `readConfig`
 */
export async function findPlaces(path: string): Promise<Places> {
  return (await readPlaces(path)) ?? (await readConfig(path));
}
