/** Which keys the schema knows at a place, for "did you mean". */
import type { KeyPath } from "./finding.ts";
import { valueAt } from "./issues.ts";
import { jsonSchema } from "./json-schema.ts";
import type { JsonSchema } from "./json-schema.ts";

let wholeSchema: JsonSchema | undefined;

/** Names of the keys that may stand below `path`; of the alternatives by `type`, the one that the file chose. */
export function knownKeys(path: KeyPath, root: unknown): string[] {
  wholeSchema ??= jsonSchema();
  let schemas: JsonSchema[] = [wholeSchema];
  for (const [index, part] of path.entries()) {
    schemas = schemas
      .flatMap((schema) => alternatives(schema, valueAt(root, path.slice(0, index))))
      .flatMap((schema) => child(schema, part));
  }
  const here = schemas.flatMap((schema) => alternatives(schema, valueAt(root, path)));
  return [...new Set(here.flatMap((schema) => Object.keys(schema.properties ?? {})))];
}

function alternatives(schema: JsonSchema, value: unknown): JsonSchema[] {
  const all = schema.oneOf ?? schema.anyOf;
  if (all === undefined) return [schema];
  const type = valueAt(value, ["type"]);
  const chosen = all.filter((one) => one.properties?.["type"]?.const !== undefined && one.properties["type"].const === type);
  return (chosen.length > 0 ? chosen : all).flatMap((one) => alternatives(one, value));
}

function child(schema: JsonSchema, part: string | number): JsonSchema[] {
  const next = typeof part === "number" ? schema.items : (schema.properties?.[part] ?? schema.additionalProperties);
  return typeof next === "object" ? [next] : [];
}
