/**
 * Writes the files that are made from code. With `--check` it writes nothing, and exits 1 when one of them is stale.
 *
 *     node scripts/generate.ts [--check]
 */
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { renderJsonSchema } from "../src/config/json-schema.ts";
import { renderReference } from "../src/config/reference.ts";
import { renderErrorsPage } from "../src/deliver/errors-doc.ts";
import { renderOpenApi, withRoutes } from "./api-doc.ts";
import { renderManPage } from "./man-page.ts";
import { renderDashboard } from "./grafana-dashboard.ts";
import { withFaultTable } from "../src/simulator/fault-doc.ts";

const ROOT = new URL("../", import.meta.url);

/** A file made from code; its path starts at the repository. */
export interface Generated {
  readonly path: string;
  readonly render: () => string | Promise<string>;
}

export const GENERATED: readonly Generated[] = [
  { path: "config/postern.schema.json", render: renderJsonSchema },
  { path: "docs/configuration.md", render: renderReference },
  { path: "docs/errors.md", render: renderErrorsPage },
  { path: "config/grafana/postern.json", render: renderDashboard },
  { path: "docs/postern.8", render: renderManPage },
  { path: "config/openapi.json", render: renderOpenApi },
  // Written by hand but for the table of routes.
  { path: "docs/api.md", render: async () => withRoutes(await readFile(new URL("docs/api.md", ROOT), "utf8")) },
  // Written by hand but for the table of faults.
  { path: "docs/stand-in.md", render: async () => withFaultTable(await readFile(new URL("docs/stand-in.md", ROOT), "utf8")) },
];

/** Paths of the files that differ from what the code makes, or are missing. */
export async function staleFiles(files: readonly Generated[] = GENERATED, root: URL = ROOT): Promise<string[]> {
  const checked = await Promise.all(
    files.map(async ({ path, render }) => ({ path, fresh: (await current(new URL(path, root))) === (await render()) })),
  );
  return checked.filter(({ fresh }) => !fresh).map(({ path }) => path);
}

async function current(file: URL): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (error instanceof Error && (error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

async function main(args: readonly string[]): Promise<void> {
  const stale = await staleFiles();
  if (args.includes("--check")) {
    for (const path of stale) process.stderr.write(`${path} is stale: run node scripts/generate.ts\n`);
    process.exitCode = stale.length === 0 ? 0 : 1;
    return;
  }
  for (const { path, render } of GENERATED) {
    if (!stale.includes(path)) continue;
    await writeFile(new URL(path, ROOT), await render());
    process.stdout.write(`wrote ${path}\n`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.slice(2));
