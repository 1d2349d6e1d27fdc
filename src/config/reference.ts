/** Writes the reference page of the configuration from its schema. */
import { jsonSchema } from "./json-schema.ts";
import type { JsonSchema } from "./json-schema.ts";

/** The smallest file that works; also what a test loads. */
export const MINIMAL_EXAMPLE = `hostname: relay.contoso.com
data_dir: /var/lib/postern
organization:
  tenant: contoso.onmicrosoft.com
  domains: [contoso.com]
  postmaster: it@contoso.com
listeners:
  printers: { listen: ":25" }
clients:
  floor: { networks: [10.20.0.0/16] }
upstreams:
  scans:
    type: smtp-auth
    mailbox: scanner@contoso.com
    credential:
      type: client-secret
      client_id: 11111111-2222-3333-4444-555555555555
      secret: { file: secrets/entra }
routes:
  - { name: default, via: [scans] }
`;

const INTRODUCTION = `# Configuration

Generated from the schema: do not edit.

Postern reads one YAML file, by default \`/etc/postern/postern.yaml\`. \`postern check\` says everything that is wrong with it and with the files it
names, one line each: \`FILE:LINE:COL KEY: message\`. Unknown keys are errors. \`config/postern.example.yaml\` shows every key with comments, and
\`config/postern.schema.json\` lets editors complete and check while you type.

| how to write | |
|---|---|
| durations | \`30s\` \`5m\` \`4h\` \`2d\`; never a bare number |
| sizes | \`64KiB\` \`35MiB\` \`2GiB\`; never a bare number |
| paths | relative ones start at the folder of the file |
| lists | a single item may stand without brackets |
| addresses | \`a@contoso.com\` \`"*@contoso.com"\` \`"*@*.contoso.com"\`, and the words \`any\` \`internal\` \`external\` |
| secrets | never the secret itself: \`{ file: PATH }\`, \`{ env: VARIABLE }\`, or \`{ credential: NAME }\` for a file in systemd's \`$CREDENTIALS_DIRECTORY\` |
| quotes | needed around values that start with \`*\`, \`&\`, \`!\`, \`@\` or \`[\` and are no list: \`"*@contoso.com"\`, \`"[::]:25"\` |

The smallest file that works:

\`\`\`yaml
${MINIMAL_EXAMPLE}\`\`\`

In the tables, NAME stands for a name of your choice. Changes of a key marked *reload* take effect with \`postern reload\` or
SIGHUP ([reload.md](reload.md)), of one marked *restart* when the service is restarted.
`;

interface Row {
  readonly key: string;
  readonly schema: JsonSchema;
  readonly required: boolean;
}

/** The content of `docs/configuration.md`. */
export function renderReference(): string {
  const root = jsonSchema();
  const sections = Object.entries(root.properties ?? {});
  const plain = sections.filter(([, schema]) => !hasKeys(schema));
  const parts = [INTRODUCTION, "## General\n", table(plain.map(([key, schema]) => ({ key, schema, required: isRequired(root, key) })))];
  for (const [key, schema] of sections) {
    if (!hasKeys(schema)) continue;
    parts.push(`## ${key}\n`, ...paragraph(schema), ...tables(key, schema));
  }
  return `${parts.join("\n").trimEnd()}\n`;
}

function paragraph(schema: JsonSchema): string[] {
  return schema.description === undefined ? [] : [`${schema.description}\n`];
}

/** One table for a section; one for each type where its entries differ by type. */
function tables(key: string, schema: JsonSchema): string[] {
  const entry = typeof schema.additionalProperties === "object" ? schema.additionalProperties : schema.items;
  if (entry === undefined) return [table(rows(key, schema))];
  const prefix = schema.items === undefined ? `${key}.NAME` : `${key}[]`;
  if (entry.oneOf === undefined) return [...paragraph(entry), table(rows(prefix, entry))];
  return entry.oneOf.flatMap((one) => [
    `### ${typeOf(one)}\n`,
    `${one.properties?.["type"]?.description ?? ""}\n`,
    table(rows(prefix, one)),
  ]);
}

/** The keys below a prefix, mappings opened; alternatives by type one after another. */
function rows(prefix: string, schema: JsonSchema): Row[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, child]): Row[] => {
    const key = `${prefix}.${name}`;
    const own: Row = { key, schema: child, required: isRequired(schema, name) };
    if (child.kind === "secret reference") return [own];
    if (child.oneOf !== undefined)
      return [own].concat(child.oneOf.flatMap((one) => rows(key, one).map((row) => withType(row, typeOf(one)))));
    return child.properties === undefined ? [own] : [own].concat(rows(key, child));
  });
}

function withType(row: Row, type: string): Row {
  return { ...row, schema: { ...row.schema, description: `(${type}) ${row.schema.description ?? ""}` } };
}

function table(list: readonly Row[]): string {
  const lines = list.map(({ key, schema, required }) => {
    const cells = [`\`${key}\``, kindOf(schema), defaultOf(schema, required), descriptionOf(schema), schema.apply ?? ""];
    return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  });
  return `${["| key | type | default | description | apply |", "|---|---|---|---|---|", ...lines].join("\n")}\n`;
}

function kindOf(schema: JsonSchema): string {
  if (schema.kind !== undefined) return schema.kind;
  if (schema.const !== undefined) return `\`${schema.const}\``;
  if (schema.oneOf !== undefined || schema.properties !== undefined) return "keys below";
  const [first, second] = schema.anyOf ?? [];
  if (first?.const !== undefined && second !== undefined) return `\`${first.const}\` or ${kindOf(second)}`;
  if (first !== undefined && second?.type === "array") return `list: ${kindOf(first)}`;
  return schema.type ?? "";
}

function defaultOf(schema: JsonSchema, required: boolean): string {
  if (schema.default_text !== undefined) return schema.default_text;
  if (schema.properties !== undefined) return required ? "required" : "";
  if (schema.default !== undefined) return `\`${shown(schema.default)}\``;
  return required ? "**required**" : "none";
}

function descriptionOf(schema: JsonSchema): string {
  const examples = (schema.examples ?? []).map((example) => `\`${shown(example)}\``).join(" or ");
  return [schema.description ?? "", examples === "" ? "" : `Example: ${examples}`].filter((part) => part !== "").join(" ");
}

/** A value as YAML on one line. */
function shown(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(shown).join(", ")}]`;
  if (typeof value === "object" && value !== null) {
    return `{ ${Object.entries(value)
      .map(([key, item]) => `${key}: ${shown(item)}`)
      .join(", ")} }`;
  }
  return typeof value === "string" && /^[*:[&!@]|: /.test(value) ? JSON.stringify(value) : String(value);
}

function typeOf(schema: JsonSchema): string {
  return String(schema.properties?.["type"]?.const);
}

function hasKeys(schema: JsonSchema): boolean {
  return schema.type === "object" || schema.items !== undefined;
}

function isRequired(schema: JsonSchema, key: string): boolean {
  return schema.required?.includes(key) === true;
}
