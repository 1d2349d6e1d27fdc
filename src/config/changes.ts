/** What differs between two configurations, by the keys of the file, and which of it a running daemon can take up: the schema says so of each key. */
import { isDeepStrictEqual } from "node:util";
import { formatKey, type KeyPath } from "./finding.ts";
import { jsonSchema, type JsonSchema } from "./json-schema.ts";

/** One key whose value is another one now; an entry that is new or gone is one change. */
export interface Change {
  readonly path: KeyPath;
  /** As shown: `clients.floor.networks`. */
  readonly key: string;
  /** The running daemon keeps the old value until it is started again. */
  readonly needsRestart: boolean;
}

/**
 * @param before - what the schema made of the file that is in force
 * @param after - and of the file as it is now
 */
export function changesBetween(before: unknown, after: unknown): Change[] {
  const schema = jsonSchema();
  return differences(before, after, [], [schema]).map((path) => ({ path, key: formatKey(path), needsRestart: needsRestart(schema, path) }));
}

/** `after`, but with the values of `before` at the given places. */
export function keeping(after: unknown, before: unknown, paths: readonly KeyPath[]): unknown {
  return paths.reduce<unknown>((result, path) => withValueOf(result, before, path), after);
}

/** Down to keys of the file: what the schema made of one text (an address with its port) is one value. */
function differences(before: unknown, after: unknown, path: KeyPath, nodes: readonly JsonSchema[]): KeyPath[] {
  if (isMapping(before) && isMapping(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
    const below = nodes.flatMap(alternatives);
    const known = keys.map((key) => ({ key, nodes: below.flatMap((node) => child(node, key)) }));
    if (known.some((one) => one.nodes.length > 0))
      return known.flatMap((one) => differences(before[one.key], after[one.key], [...path, one.key], one.nodes));
  }
  return isDeepStrictEqual(before, after) ? [] : [path];
}

/** The nearest word on the way to the key counts; a group that says nothing itself needs a restart if anything in it does. */
function needsRestart(root: JsonSchema, path: KeyPath): boolean {
  let nodes: readonly JsonSchema[] = [root];
  let restart: boolean | undefined;
  for (const part of path) {
    nodes = nodes.flatMap(alternatives).flatMap((node) => child(node, part));
    const words = nodes.flatMap((node) => node.apply ?? []);
    if (words.length > 0) restart = words.includes("restart");
  }
  return restart ?? nodes.some(holdsRestart);
}

function alternatives(node: JsonSchema): readonly JsonSchema[] {
  const all = [...(node.oneOf ?? []), ...(node.anyOf ?? [])];
  return all.length === 0 ? [node] : [node, ...all.flatMap(alternatives)];
}

function child(node: JsonSchema, part: string | number): JsonSchema[] {
  const next = typeof part === "number" ? node.items : (node.properties?.[part] ?? node.additionalProperties);
  return typeof next === "object" ? [next] : [];
}

function holdsRestart(node: JsonSchema): boolean {
  if (node.apply === "restart") return true;
  const below = [...Object.values(node.properties ?? {}), node.items, node.additionalProperties];
  return [...alternatives(node).slice(1), ...below].some((inner) => typeof inner === "object" && holdsRestart(inner));
}

function withValueOf(target: unknown, source: unknown, path: KeyPath): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return source;
  const result = isMapping(target) ? { ...target } : {};
  const from = isMapping(source) ? source[key] : undefined;
  const value = withValueOf(result[key], from, rest);
  if (value === undefined) delete result[key];
  else result[key] = value;
  return result;
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
