/** Reads the configuration file: everything that is wrong with it at once, each with its place; else the configuration. */
import { dirname, resolve as resolvePath } from "node:path";
import { disagreements } from "./agreement.ts";
import type { Readable } from "./readable.ts";
import type { Config } from "./config.ts";
import { parseText } from "./document.ts";
import type { ParsedDocument } from "./document.ts";
import { byPosition, formatKey } from "./finding.ts";
import type { Finding, KeyPath, Severity } from "./finding.ts";
import { objections, valueAt } from "./issues.ts";
import { knownKeys, knownPart } from "./known-keys.ts";
import { readConfigText } from "./read-file.ts";
import { resolveConfig } from "./resolve.ts";
import { ConfigFile, type ParsedFile } from "./schema/index.ts";
import { literalSecrets } from "./secret-places.ts";

/** Says where a key of the file is, for findings made later. */
export interface ConfigSource {
  readonly file: string;
  find(path: KeyPath, severity: Severity, message: string): Finding;
  /** Whether the file itself has a value there. */
  has(path: KeyPath): boolean;
}

/** A configuration that may be used, or all that is wrong with the file. */
export type LoadedConfig =
  | {
      readonly ok: true;
      readonly config: Config;
      /** What the schema made of the file, and the folder that its relative paths start at: what `config` was resolved from. */
      readonly values: ParsedFile;
      readonly folder: string;
      readonly warnings: readonly Finding[];
      readonly source: ConfigSource;
    }
  | { readonly ok: false; readonly faults: readonly Finding[] };

/**
 * Reads and validates a configuration file; touches nothing else that it names (see `checkConfig`).
 *
 * Never rejects: a file that cannot be read is a fault at its first line.
 *
 * @param path - shown in findings as given
 */
export async function loadConfig(path: string): Promise<LoadedConfig> {
  const read = await readConfigText(path);
  if ("fault" in read)
    return { ok: false, faults: [{ file: path, line: 1, column: 1, key: "", message: `the file ${read.fault}`, severity: "error" }] };
  return parseConfig(read.text, path, dirname(resolvePath(path)));
}

/**
 * Validates the text of a configuration.
 *
 * @param file - name for findings
 * @param folder - absolute path of the folder that relative paths start at
 */
export function parseConfig(text: string, file: string, folder: string): LoadedConfig {
  const document = parseText(text);
  // Only where something is said: a file without fault needs no list of them.
  let literals: readonly string[] | undefined;
  const secrets = (): readonly string[] => (literals ??= literalSecrets(document.value));
  const find = (path: KeyPath, severity: Severity, message: string, place = document.placeOf(path), key = formatKey(path)): Finding => ({
    file,
    ...place,
    key: withheld(key, secrets()),
    message: withheld(message, secrets()),
    severity,
  });
  const faults = document.faults.map((fault) =>
    find(fault.path, "error", fault.message, fault, formatKey(knownPart(fault.path, document.value))),
  );
  // Of a torn document they come first: what is wrong besides may be their consequence.
  const first = document.isTorn ? faults.splice(0).toSorted(byPosition) : [];
  const parsed = ConfigFile.safeParse(document.value);
  if (!parsed.success) {
    // An empty or torn document would only repeat that everything is missing.
    const issues = isMapping(document.value) || document.faults.length === 0 ? parsed.error.issues : [];
    for (const objection of objections(issues, document.value, (path) => knownKeys(path, document.value))) {
      const place = objection.atKey ? document.placeOfKey(objection.path) : document.placeOf(objection.path);
      if (document.tornLines.has(place.line)) continue;
      if (document.isTorn && (valueAt(document.value, objection.path) ?? null) === null) continue;
      faults.push(find(objection.path, "error", objection.message, place, objection.key));
    }
  }
  const found = (document.isTorn ? [] : disagreements(bare(parsed.success ? wholly(parsed.data) : salvage(document))))
    .filter(({ path }) => !document.tornLines.has(document.placeOf(path).line))
    .map(({ path, message, severity }) => find(path, severity, message));
  faults.push(...found.filter((finding) => finding.severity === "error"));
  if (first.length + faults.length > 0 || !parsed.success) return { ok: false, faults: [...first, ...faults.toSorted(byPosition)] };
  const warnings = found.filter((finding) => finding.severity === "warning").toSorted(byPosition);
  return {
    ok: true,
    config: resolveConfig(parsed.data, folder),
    values: parsed.data,
    folder,
    warnings,
    source: { file, find, has: (path) => document.has(path) },
  };
}

function withheld(text: string, secrets: readonly string[]): string {
  return secrets.reduce((rest, secret) => rest.replaceAll(secret, "(withheld)"), text);
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function wholly(file: typeof ConfigFile._zod.output): Readable {
  return {
    ...file,
    names: { listeners: Object.keys(file.listeners), clients: Object.keys(file.clients), upstreams: Object.keys(file.upstreams) },
    hasRoutes: true,
  };
}

/** The sections and entries that are right by themselves, so that what disagrees between them is shown along with the other faults. */
function salvage(document: ParsedDocument): Readable {
  const { shape } = ConfigFile;
  const entries = (section: "listeners" | "clients" | "upstreams") => {
    const value = valueAt(document.value, [section]);
    return isMapping(value) ? Object.entries(value) : undefined;
  };
  const read = <T>(
    schema: { safeParse(value: unknown): { success: true; data: T } | { success: false } },
    value: unknown,
  ): T | undefined => {
    const result = schema.safeParse(value);
    return result.success ? result.data : undefined;
  };
  const readEach = <T>(
    section: "listeners" | "clients" | "upstreams",
    schema: { safeParse(value: unknown): { success: true; data: T } | { success: false } },
  ) => Object.fromEntries((entries(section) ?? []).flatMap(([name, value]) => definedPair(name, read(schema, value))));
  const routes = valueAt(document.value, ["routes"]);
  const names = (section: "listeners" | "clients" | "upstreams") => entries(section)?.map(([name]) => name);
  return {
    organization: read(shape.organization, valueAt(document.value, ["organization"])),
    listeners: readEach("listeners", shape.listeners.valueType),
    clients: readEach("clients", shape.clients.valueType),
    users: read(shape.users, valueAt(document.value, ["users"])),
    upstreams: readEach("upstreams", shape.upstreams.valueType),
    routes: Array.isArray(routes) ? routes.map((route) => read(shape.routes.element, route)) : [],
    hasRoutes: Array.isArray(routes),
    retry: read(shape.retry, valueAt(document.value, ["retry"])),
    admin: read(shape.admin, valueAt(document.value, ["admin"])),
    alerts: read(shape.alerts, valueAt(document.value, ["alerts"])),
    metrics: read(shape.metrics, valueAt(document.value, ["metrics"])),
    names: { listeners: names("listeners"), clients: names("clients"), upstreams: names("upstreams") },
  };
}

/** Looked up by names that the file gives, which may be those that every object inherits: `via: [constructor]`. */
function bare(file: Readable): Readable {
  const own = <T>(entries: Readonly<Record<string, T>>): Record<string, T> => Object.assign(Object.create(null) as object, entries);
  return { ...file, listeners: own(file.listeners), clients: own(file.clients), upstreams: own(file.upstreams) };
}

function definedPair<T>(name: string, value: T | undefined): [string, T][] {
  return value === undefined ? [] : [[name, value]];
}
