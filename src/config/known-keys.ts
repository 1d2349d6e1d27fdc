/** Which keys the schema knows at a place, for "did you mean". */
import type { KeyPath } from "./finding.ts";
import { valueAt } from "./issues.ts";
import { jsonSchema } from "./json-schema.ts";
import type { JsonSchema } from "./json-schema.ts";
import { NAME_PATTERN } from "./schema/fields.ts";

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

/** The part of a path that the schema knows: keys, and names that are fit to be names. What follows may be a value that was taken for a key. */
export function knownPart(path: KeyPath, root: unknown): KeyPath {
  wholeSchema ??= jsonSchema();
  let schemas: JsonSchema[] = [wholeSchema];
  for (const [index, part] of path.entries()) {
    const here = schemas.flatMap((schema) => alternatives(schema, valueAt(root, path.slice(0, index))));
    const isFit = typeof part === "number" || NAME.test(part) || here.some((schema) => schema.properties?.[part] !== undefined);
    schemas = here.flatMap((schema) => child(schema, part));
    if (!isFit || schemas.length === 0) return path.slice(0, index);
  }
  return path;
}

const NAME = new RegExp(NAME_PATTERN);

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
