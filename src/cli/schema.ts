import { renderJsonSchema } from "../config/json-schema.ts";

/** `postern schema`: prints the JSON Schema, for editors. */
export function schemaCommand(): number {
  process.stdout.write(renderJsonSchema());
  return 0;
}
