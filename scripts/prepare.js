/**
 * Builds dist/ unless it is already newer than everything it is made from: `npm ci` comes here, and so does each `npx postern` in a clone.
 * Plain JavaScript, because it also runs where Node cannot strip types yet; without the bundler (an installation for production) it leaves
 * things as they are.
 */
import { existsSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const stamp = join(root, "dist", ".built");
const inputs = ["package.json", "package-lock.json", "tsconfig.json", "scripts/prepare.js", "src"];

/** What is started by itself: the program, and the code of threads and processes of its own, which src/platform/place.ts finds by these names. */
const ENTRY_POINTS = {
  main: "src/main.ts",
  "queue-worker": "src/queue/worker.ts",
  "queue-reader-worker": "src/queue/reader-worker.ts",
  "cli-preview-worker": "src/cli/preview/worker.ts",
  "config-apart-process": "src/config/apart-process.ts",
};

/**
 * Packages of many small files that a command or a start waits for. The others stay where they are: what they do beside loading (conditional exports,
 * native parts, files read by name) is theirs.
 */
const BUNDLED = ["commander", "ip-num", "yaml", "zod"];

/** @param {string} id as it stands in an import @returns {boolean} */
function staysOutside(id) {
  if (/^(\.|\/)/.test(id)) return false;
  return !BUNDLED.some((name) => id === name || id.startsWith(`${name}/`));
}

/** @param {string} path @returns {number} ms since the epoch of the last change at or below */
function changedAt(path) {
  const entry = statSync(path);
  if (!entry.isDirectory()) return entry.mtimeMs;
  return Math.max(entry.mtimeMs, ...readdirSync(path).map((name) => changedAt(join(path, name))));
}

const newest = Math.max(...inputs.map((name) => changedAt(join(root, name))));
if (!existsSync(stamp) || statSync(stamp).mtimeMs < newest) {
  const bundler = await import("rolldown").catch((error) => {
    // One that is there and cannot run here is a fault to be seen.
    if (error.code === "ERR_MODULE_NOT_FOUND" && String(error.message).includes("'rolldown'")) return undefined;
    throw error;
  });
  if (bundler === undefined) {
    console.error("postern: no bundler is installed, so dist/ stays as it is");
  } else {
    const bundle = await bundler.rolldown({ cwd: root, input: ENTRY_POINTS, platform: "node", external: staysOutside });
    // Beside the old one, which a fault in the sources leaves as it is. No file whose source is gone stays to be loaded.
    const fresh = join(root, "dist.new");
    rmSync(fresh, { recursive: true, force: true });
    await bundle.write({ dir: fresh, format: "esm", sourcemap: true });
    await bundle.close();
    writeFileSync(join(fresh, ".built"), "");
    rmSync(join(root, "dist"), { recursive: true, force: true });
    renameSync(fresh, join(root, "dist"));
  }
}
