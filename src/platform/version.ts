/** Which Postern this is, and what it runs on. */
import { readFileSync } from "node:fs";
import { packageFile } from "./place.ts";

/** Versions that matter in a report of a fault. */
export interface VersionView {
  readonly postern: string;
  readonly node: string;
  readonly sqlite: string;
}

/** Read from package.json. */
export function versions(): VersionView {
  const manifest: unknown = JSON.parse(readFileSync(packageFile("package.json"), "utf8"));
  const postern = typeof manifest === "object" && manifest !== null && "version" in manifest ? String(manifest.version) : "unknown";
  return { postern, node: process.versions.node, sqlite: process.versions["sqlite"] ?? "none" };
}
