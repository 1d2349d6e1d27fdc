/** The configuration's JSON Schema (draft 2020-12), for editors and for the reference page. */
import { z } from "./schema/engine.ts";
import { ConfigFile } from "./schema/index.ts";

/** The parts of JSON Schema that ours uses; `apply`, `kind` and `default_text` are annotations of our own. */
export interface JsonSchema {
  readonly $schema?: string;
  readonly title?: string;
  readonly description?: string;
  readonly type?: string;
  readonly const?: string;
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly examples?: readonly unknown[];
  readonly pattern?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: JsonSchema | boolean;
  readonly required?: readonly string[];
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly apply?: string;
  readonly kind?: string;
  readonly default_text?: string;
}

/** What may be written in the file, as JSON Schema. */
export function jsonSchema(): JsonSchema {
  const schema = z.toJSONSchema(ConfigFile, {
    io: "input",
    target: "draft-2020-12",
    override: ({ jsonSchema: node }) => {
      if (Array.isArray(node["samples"])) node.examples = node["samples"] as unknown[];
      delete node["samples"];
    },
  }) as JsonSchema;
  return { ...schema, title: "Configuration of Postern" };
}

/** The content of `config/postern.schema.json`. */
export function renderJsonSchema(): string {
  return `${JSON.stringify(jsonSchema(), undefined, 2)}\n`;
}
