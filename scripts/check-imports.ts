/**
 * Checks every import of src (types too) against the table in import-rules.ts, and refuses circles.
 *
 * Own code because dependency-cruiser cannot read TypeScript beside TypeScript 7: it cruises 0 modules and exits 0. This one fails
 * when it saw no module or no import, and a known-bad tree in test/fixtures/bad-imports must fail (check-imports.test.ts).
 *
 * Tests are free in what they import: only files that ship are checked.
 *
 *     node scripts/check-imports.ts [ROOT]      ROOT holds src/; default the repository
 */
import { globSync, readFileSync } from "node:fs";
import { dirname, join, normalize, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseSync } from "oxc-parser";
import { MAY_IMPORT } from "./import-rules.ts";

/** One import that the table forbids. */
export interface Violation {
  /** Importing file and imported file, relative to the root. */
  readonly from: string;
  readonly to: string;
  readonly line: number;
  readonly why: string;
}

export interface Report {
  readonly modules: number;
  readonly imports: number;
  readonly violations: readonly Violation[];
}

interface Import {
  readonly specifier: string;
  readonly line: number;
}

/**
 * Reads all modules under `root`/src.
 *
 * @throws Error when a file does not parse
 */
export function checkImports(root: string): Report {
  const files = globSync("src/**/*.{ts,js,mjs}", { cwd: root })
    .map((file) => file.replaceAll("\\", "/"))
    .filter((file) => !file.endsWith(".test.ts"))
    .toSorted();
  const known = new Set(files);
  const graph = new Map<string, { to: string; line: number }[]>();
  const violations: Violation[] = [];
  let imports = 0;
  for (const file of files) {
    const edges: { to: string; line: number }[] = [];
    for (const { specifier, line } of importsOf(file, readFileSync(join(root, file), "utf8"))) {
      imports++;
      if (!specifier.startsWith(".")) continue;
      const to = normalize(join(dirname(file), specifier));
      const why = known.has(to) || to === "package.json" ? refusal(file, to) : `${to} is not a module of src`;
      if (why !== undefined) violations.push({ from: file, to, line, why });
      if (known.has(to)) edges.push({ to, line });
    }
    graph.set(file, edges);
  }
  return { modules: files.length, imports, violations: [...violations, ...circles(graph)] };
}

/** Why `from` may not import `to`; undefined when it may. */
function refusal(from: string, to: string): string | undefined {
  if (to === "package.json") return undefined;
  const [own, target] = [folderOf(from), folderOf(to)];
  const allowed = MAY_IMPORT[own];
  if (allowed === undefined) return `${own} has no row in scripts/import-rules.ts`;
  if (own === target) return undefined;
  if (allowed.includes(target) || allowed.includes(to.slice("src/".length))) return undefined;
  if (allowed.includes("*") && target !== "cli" && target !== "main.ts") return undefined;
  return `${own} may import ${allowed.length === 0 ? "nothing" : allowed.join(", ")}`;
}

/** `src/mail/reply.ts` is of `mail`, `src/main.ts` is of `main.ts`. */
function folderOf(file: string): string {
  return file.split("/")[1] ?? file;
}

/** Import and re-export statements, `import()` of a literal, and types written `import("…")`. */
function importsOf(file: string, source: string): Import[] {
  const parsed = parseSync(file, source);
  if (parsed.errors.length > 0) throw new Error(`${file} does not parse: ${parsed.errors[0]?.message ?? ""}`);
  const found: Import[] = [];
  const add = (specifier: string, offset: number) => found.push({ specifier, line: lineAt(source, offset) });
  for (const { moduleRequest } of parsed.module.staticImports) add(moduleRequest.value, moduleRequest.start);
  for (const { entries } of parsed.module.staticExports) {
    const request = entries.find((entry) => entry.moduleRequest)?.moduleRequest;
    if (request) add(request.value, request.start);
  }
  for (const { moduleRequest } of parsed.module.dynamicImports) {
    const literal = /^["'](.*)["']$/s.exec(source.slice(moduleRequest.start, moduleRequest.end));
    if (literal?.[1] !== undefined) add(literal[1], moduleRequest.start);
  }
  visit(parsed.program, (node) => {
    const source = node["source"] as { value?: unknown; start?: number } | undefined;
    if (node["type"] === "TSImportType" && typeof source?.value === "string") add(source.value, source.start ?? 0);
  });
  return found;
}

/** Calls back for every node of a syntax tree. */
function visit(node: unknown, call: (node: Record<string, unknown>) => void): void {
  if (Array.isArray(node)) return node.forEach((child) => visit(child, call));
  if (typeof node !== "object" || node === null) return;
  call(node as Record<string, unknown>);
  for (const child of Object.values(node)) visit(child, call);
}

function lineAt(source: string, offset: number): number {
  return source.slice(0, offset).split("\n").length;
}

/** Each circle once, reported at the import that closes it. */
function circles(graph: ReadonlyMap<string, readonly { to: string; line: number }[]>): Violation[] {
  const found: Violation[] = [];
  const done = new Set<string>();
  const path: string[] = [];
  const walk = (file: string) => {
    if (done.has(file)) return;
    path.push(file);
    for (const { to, line } of graph.get(file) ?? []) {
      const start = path.indexOf(to);
      if (start === -1) walk(to);
      else found.push({ from: file, to, line, why: `circle: ${[...path.slice(start), to].join(" -> ")}` });
    }
    path.pop();
    done.add(file);
  };
  for (const file of graph.keys()) walk(file);
  return found;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = resolve(process.argv[2] ?? fileURLToPath(new URL("..", import.meta.url)));
  const { modules, imports, violations } = checkImports(root);
  for (const { from, to, line, why } of violations) console.error(`${from}:${line} imports ${to}: ${why}`);
  const sawNothing = modules === 0 || imports === 0;
  if (sawNothing) console.error(`saw ${modules} modules and ${imports} imports in ${root}: the check does not work`);
  else console.log(`${modules} modules, ${imports} imports, ${violations.length} forbidden`);
  process.exitCode = sawNothing || violations.length > 0 ? 1 : 0;
}
