/** What the schema objects to, in the administrator's words. */
import type { z } from "zod";
import { UNREADABLE } from "./document.ts";
import { formatKey } from "./finding.ts";
import type { KeyPath } from "./finding.ts";
import { nearest } from "./nearest.ts";
import { NAME_EXPECTED, SECRET_EXPECTED } from "./schema/fields.ts";
import { isAboveSecret, mayHoldSecret } from "./secret-places.ts";

type Issue = z.core.$ZodIssue;

/** One objection: where to point, which key to name, what to say. */
export interface Objection {
  readonly path: KeyPath;
  /** Point at the key instead of its value. */
  readonly atKey: boolean;
  /** As shown, with what might be a secret left out. */
  readonly key: string;
  readonly message: string;
}

/**
 * Flattens the issues of a failed parse.
 *
 * @param root - the value that was parsed
 * @param knownKeys - names of the keys that the schema knows at a path
 */
export function objections(issues: readonly Issue[], root: unknown, knownKeys: (path: KeyPath) => readonly string[]): Objection[] {
  return issues.flatMap((issue) => objectionsOf(issue, [], root, knownKeys));
}

function objectionsOf(issue: Issue, prefix: KeyPath, root: unknown, knownKeys: (path: KeyPath) => readonly string[]): Objection[] {
  const path: KeyPath = [...prefix, ...issue.path.map((part) => (typeof part === "symbol" ? String(part) : part))];
  const seen = valueAt(root, path);
  if (seen === UNREADABLE) return [];
  if (issue.code === "unrecognized_keys") return issue.keys.map((key) => unknownKey([...path, key], valueAt(seen, [key]), knownKeys(path)));
  if (issue.code === "invalid_key")
    return [{ path, atKey: true, key: formatKey(path.slice(0, -1)), message: issue.issues[0]?.message ?? NAME_EXPECTED }];
  if (issue.code === "invalid_union") {
    // A secret given literally must not be taken for a misspelt file name.
    if (issue.message === SECRET_EXPECTED) return [{ path, atKey: false, key: formatKey(path), message: SECRET_EXPECTED }];
    if ("options" in issue && Array.isArray(issue.options)) return [wrongType(path, seen, issue.options)];
    return likeliestBranch(issue.errors).flatMap((inner) => objectionsOf(inner, path, root, knownKeys));
  }
  if (seen === undefined) return [{ path, atKey: false, key: formatKey(path), message: `missing; ${wanted(issue)}` }];
  return [{ path, atKey: false, key: formatKey(path), message: `${wanted(issue)}${not(path, seen)}` }];
}

/** Of the alternatives of a value, the one that was meant: the first that did not fail as a whole, else the last. */
function likeliestBranch(branches: readonly (readonly Issue[])[]): readonly Issue[] {
  const fit = branches.find(
    (issues) => !issues.some((issue) => issue.path.length === 0 && (issue.code === "invalid_type" || issue.code === "invalid_value")),
  );
  return fit ?? branches.find((issues) => issues.some((issue) => issue.code === "invalid_type")) ?? branches[0] ?? [];
}

function wanted(issue: Issue): string {
  if (issue.message.startsWith("expected ")) return issue.message;
  if (issue.code === "invalid_value")
    return `expected ${issue.values.length === 1 ? "" : "one of: "}${issue.values.map(String).join(", ")}`;
  if (issue.code === "invalid_type") return `expected ${KINDS[issue.expected] ?? issue.expected}`;
  return "expected another value";
}

const KINDS: Readonly<Record<string, string>> = {
  object: "keys below it",
  record: "names with keys below them",
  array: "a list",
  string: "text",
  number: "a number",
  boolean: "true or false",
};

function wrongType(path: KeyPath, seen: unknown, options: readonly unknown[]): Objection {
  const words = options.map(String);
  const message = `expected ${words.length === 1 ? "" : "one of: "}${words.join(", ")}`;
  if (seen === undefined) return { path, atKey: false, key: formatKey(path), message: `missing; ${message}` };
  const hint = typeof seen === "string" ? nearest(seen, words) : undefined;
  return {
    path,
    atKey: false,
    key: formatKey(path),
    message: `${message}${not(path, seen)}${hint === undefined ? "" : `; did you mean ${hint}?`}`,
  };
}

function unknownKey(path: KeyPath, value: unknown, known: readonly string[]): Objection {
  const key = String(path.at(-1));
  const near = nearest(key, known);
  const parent = path.slice(0, -1);
  const tail = near === undefined ? `; known here: ${known.join(", ")}` : `; did you mean ${near}?`;
  // A colon that is missing or misplaced can turn a secret into a key.
  const mixedUp = mayHoldSecret(parent) || (value === null && isAboveSecret(parent));
  const safe = near !== undefined || (/^[a-z][a-z_]{0,31}$/.test(key) && !mixedUp);
  const shown = safe ? formatKey(path) : formatKey(parent);
  return { path, atKey: true, key: shown, message: `unknown key${tail}` };
}

/** What was seen, cut and on one line; nothing where it may be a secret. */
function not(path: KeyPath, seen: unknown): string {
  if (mayHoldSecret(path)) return "";
  if (isAboveSecret(path) && typeof seen !== "object") return "";
  if (seen === null) return ", not nothing";
  if (Array.isArray(seen)) return ", not a list";
  if (typeof seen === "object") return ", not keys below it";
  const text = JSON.stringify(seen) ?? "";
  // With a key in it, it is what follows a quote that nobody closed.
  if (typeof seen === "string" && (/-----BEGIN|:\s/.test(seen) || seen.length > 100)) return "";
  return `, not ${withoutUser(text).replace(/[^\x20-\x7e]/g, (letter) => `\\u{${letter.codePointAt(0)?.toString(16) ?? ""}}`)}`;
}

/** An address without the user and password, and without the query, that it may have: `tls://user:password@host`. */
function withoutUser(text: string): string {
  const safe = text.replace(/:.*@/, ":(withheld)@");
  return safe.includes("://") || safe !== text ? safe.replace(/\?[^"]*/, "?(withheld)") : safe;
}

/** The raw value at a path; undefined where there is none. */
export function valueAt(root: unknown, path: KeyPath): unknown {
  let value = root;
  for (const part of path) {
    if (value === UNREADABLE) return UNREADABLE;
    if (typeof value !== "object" || value === null) return undefined;
    if (Array.isArray(value)) value = typeof part === "number" ? value[part] : undefined;
    else value = Object.hasOwn(value, part) ? (value as Record<string, unknown>)[part] : undefined;
  }
  return value;
}
