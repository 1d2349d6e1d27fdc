/** Where in the file secrets are kept, or may have been written by mistake: what stands there is never shown. */
import type { KeyPath } from "./finding.ts";
import { jsonSchema } from "./json-schema.ts";
import type { JsonSchema } from "./json-schema.ts";

/** Keys whose value is never shown, whatever is wrong with it, along with everything below them. */
const SECRET_KEYS = new Set(["secret", "password", "passphrase", "credential", "proxy", "webhook"]);

/** True when the value at the path may be a secret, or may have been mixed up with one. */
export function mayHoldSecret(path: KeyPath): boolean {
  return path.some(isSecretKey);
}

function isSecretKey(part: string | number): boolean {
  return typeof part === "string" && (SECRET_KEYS.has(part) || /secret|pass|token/i.test(part));
}

/** True where the schema has keys for a secret somewhere below the path: a value that stands there instead of keys may be the secret itself. */
export function isAboveSecret(path: KeyPath): boolean {
  places ??= findPlaces();
  return includes(places.above, path);
}

/** Literals found where a reference to a secret belongs. Nothing that is printed may contain one. */
export function literalSecrets(value: unknown, path: KeyPath = []): string[] {
  if (typeof value === "string") return value.length >= 6 && isLiteral(value, path) ? [value] : [];
  if (Array.isArray(value)) return value.flatMap((item, index) => literalSecrets(item, [...path, index]));
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) => {
    if (SECRET_REFERENCE.has(key)) return [];
    // Without a space after it the colon is part of the key.
    if (item === null && key.includes(":") && isAboveSecret([...path, key])) return [key];
    return literalSecrets(item, [...path, key]);
  });
}

function isLiteral(value: string, path: KeyPath): boolean {
  // `scans: connector` lacks its keys, but is no secret.
  if (isAboveSecret(path)) return places?.words.has(value) !== true;
  return mayHoldSecret(path.slice(-1)) && !(isCredentialName(path) && looksLikeName(value));
}

/** The forms of a reference that say where a secret is. The third, `credential`, is also the name of the mapping around it. */
const SECRET_REFERENCE = new Set(["file", "env"]);

/** True where the name of a systemd credential belongs. */
function isCredentialName(path: KeyPath): boolean {
  places ??= findPlaces();
  return path.at(-1) === "credential" && includes(places.references, path.slice(0, -1));
}

/** Names are words (`entra-secret`); what is generated mixes capitals, small letters and digits, and is long. */
function looksLikeName(text: string): boolean {
  const isGenerated = text.length >= 16 && /[a-z]/.test(text) && /[A-Z]/.test(text) && /[0-9]/.test(text);
  return /^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(text) && text.length <= 64 && !isGenerated;
}

/** Paths of the schema, with `*` for any name or index. */
interface Places {
  /** What has a key for a secret below it. */
  readonly above: KeyPath[];
  /** References to secrets. */
  readonly references: KeyPath[];
  /** Keys, and words that values are chosen from. */
  readonly words: Set<string>;
}

let places: Places | undefined;

function findPlaces(): Places {
  const found: Places = { above: [], references: [], words: new Set() };
  collect(jsonSchema(), [], found);
  return found;
}

/** Gives whether there is a key for a secret in the schema or below it. */
function collect(schema: JsonSchema, path: KeyPath, found: Places): boolean {
  const { properties = {}, additionalProperties: others, items, anyOf = [], oneOf = [] } = schema;
  for (const word of [...Object.keys(properties), schema.const, ...(schema.enum ?? [])]) found.words.add(String(word));
  const alternatives = [...anyOf, ...oneOf].map((one) => collect(one, path, found));
  const named = Object.entries(properties).map(([key, child]) => collect(child, [...path, key], found) || isSecretKey(key));
  const unnamed = [others, items].map((child) => typeof child === "object" && collect(child, [...path, "*"], found));
  if (properties["credential"]?.type === "string") found.references.push(path);
  const any = [...alternatives, ...named, ...unnamed].includes(true);
  if (any && path.length > 0) found.above.push(path);
  return any;
}

function includes(all: readonly KeyPath[], path: KeyPath): boolean {
  return all.some((one) => one.length === path.length && one.every((part, index) => part === "*" || part === path[index]));
}
