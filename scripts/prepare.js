/**
 * Builds dist/ unless it is already newer than everything it is made from: `npm ci` comes here, and so does each `npx postern` in a clone.
 * Plain JavaScript, because it also runs where Node cannot strip types yet; without the compiler (an installation for production) it leaves
 * things as they are.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const stamp = join(root, "dist", ".built");
const inputs = ["package.json", "package-lock.json", "tsconfig.json", "tsconfig.build.json", "src"];

/** @param {string} path @returns {number} ms since the epoch of the last change at or below */
function changedAt(path) {
  const entry = statSync(path);
  if (!entry.isDirectory()) return entry.mtimeMs;
  return Math.max(entry.mtimeMs, ...readdirSync(path).map((name) => changedAt(join(path, name))));
}

const newest = Math.max(...inputs.map((name) => changedAt(join(root, name))));
if (!existsSync(stamp) || statSync(stamp).mtimeMs < newest) {
  let compiler;
  try {
    compiler = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin", "tsc");
  } catch {
    console.error("postern: no compiler is installed, so dist/ stays as it is");
  }
  if (compiler !== undefined) {
    // A file whose source is gone must not be left to be loaded.
    rmSync(join(root, "dist"), { recursive: true, force: true });
    const { status, error } = spawnSync(process.execPath, [compiler, "-p", join(root, "tsconfig.build.json")], { stdio: "inherit" });
    if (error !== undefined) throw error;
    if (status !== 0) process.exit(status ?? 1);
    writeFileSync(stamp, "");
  }
}
