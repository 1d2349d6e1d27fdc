/** YAML text as plain values with the place of each: the only module that knows the parser. */
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument } from "yaml";
import type { Alias, Document, Node, Pair } from "yaml";
import type { KeyPath } from "./finding.ts";

/** A place in the text; both count from 1. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

/** What the text says, and where. */
export interface ParsedDocument {
  /** Plain values: objects without a prototype, arrays, strings, numbers, booleans, null. */
  readonly value: unknown;
  /** What is wrong with the text itself; never quotes it, since it may hold a secret. */
  readonly faults: readonly (Place & { readonly path: KeyPath; readonly message: string })[];
  /** Lines whose structure is broken: what seems to be on them is not what was meant. */
  readonly tornLines: ReadonlySet<number>;
  /** True where it is not known what belongs to what: keys that seem to be missing may be there. */
  readonly isTorn: boolean;
  /** Where the value of a key is; where its nearest known ancestor is when the key is not in the text. */
  placeOf(path: KeyPath): Place;
  /** Whether the text has a value there. */
  has(path: KeyPath): boolean;
  /** Where a key itself is; as `placeOf` where there is none. */
  placeOfKey(path: KeyPath): Place;
}

/** A list or mapping deeper than the schema ever goes. */
const MAX_DEPTH = 20;
/** Values in all, aliases counted each time: bounds what a small text can expand to. */
const MAX_VALUES = 50_000;
const MAX_FAULTS = 100;

/** Names that mean something to JavaScript objects: no key of ours, and never let through. */
const FORBIDDEN_KEYS = new Set(["__proto__", "constructor", "prototype"]);

const QUOTES = "put it in quotes";

/** Reads YAML 1.2. Never throws; what can be read of a broken text is still given, so that all faults can be shown at once. */
export function parseText(text: string): ParsedDocument {
  return new Reading(text);
}

class Reading implements ParsedDocument {
  readonly value: unknown;
  readonly faults: (Place & { path: KeyPath; message: string })[] = [];
  readonly tornLines = new Set<number>();
  isTorn = false;
  readonly #text: string;
  readonly #lines = new LineCounter();
  readonly #document: Document;
  readonly #values = new Map<string, number>();
  readonly #keys = new Map<string, number>();
  #count = 0;

  constructor(text: string) {
    this.#text = text;
    this.#document = parseDocument(text, {
      lineCounter: this.#lines,
      prettyErrors: false,
      version: "1.2",
      merge: false,
      logLevel: "error",
    });
    /** Faults of a single value, whose key is on the same line. */
    const inValues = new Set<number>();
    for (const error of [...this.#document.errors, ...this.#document.warnings]) {
      const [offset] = error.pos;
      const place = this.#place(offset);
      // One mistake makes the parser stumble several times on the same line; the first says it best.
      if (this.tornLines.has(place.line)) continue;
      this.tornLines.add(place.line);
      // The key above an indentation by tabs seems empty.
      if (error.code === "TAB_AS_INDENT") this.tornLines.add(place.line - 1);
      const trap = this.#startOfTrap(offset);
      const isLocal = LOCAL_FAULTS.has(error.code) || matchesAt(BARE_IPV6, this.#text, trap);
      if (isLocal || error.code === "BLOCK_AS_IMPLICIT_KEY") inValues.add(this.faults.length);
      this.isTorn ||= !isLocal;
      this.#fault(trap, [], this.#explain(error.code, offset));
    }
    this.value = this.#convert(this.#document.contents, [], 0);
    for (const [index, fault] of this.faults.entries()) {
      if (inValues.has(index)) this.faults[index] = { ...fault, path: this.#keyBefore(fault) };
    }
  }

  placeOf(path: KeyPath): Place {
    return this.#find(path, this.#values);
  }

  has(path: KeyPath): boolean {
    return this.#values.has(pathId(path));
  }

  placeOfKey(path: KeyPath): Place {
    return this.#find(path, this.#keys);
  }

  #find(path: KeyPath, first: Map<string, number>): Place {
    // A single item may stand without brackets: then the list's place is the item's.
    const own =
      first.get(pathId(path)) ??
      this.#values.get(pathId(path)) ??
      (typeof path.at(-1) === "number" ? this.#values.get(pathId(path.slice(0, -1))) : undefined);
    if (own !== undefined) return this.#place(own);
    for (let length = path.length - 1; length > 0; length--) {
      const ancestor = this.#keys.get(pathId(path.slice(0, length))) ?? this.#values.get(pathId(path.slice(0, length)));
      if (ancestor !== undefined) return this.#place(ancestor);
    }
    return { line: 1, column: 1 };
  }

  /** The parser does not say whose value it stumbled over: the last key before it on its line; the empty path where there is none. */
  #keyBefore({ line, column }: Place): KeyPath {
    let nearest: readonly [number, KeyPath] | undefined;
    for (const [id, offset] of this.#keys) {
      const place = this.#place(offset);
      if (place.line === line && place.column <= column && (nearest === undefined || place.column > nearest[0]))
        nearest = [place.column, JSON.parse(id) as KeyPath];
    }
    return nearest?.[1] ?? [];
  }

  #place(offset: number): Place {
    const { line, col } = this.#lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  }

  #fault(offset: number, path: KeyPath, message: string): void {
    if (this.faults.length < MAX_FAULTS) this.faults.push({ ...this.#place(offset), path, message });
  }

  /** The value that starts with `[` is shown from there, not from where the parser stumbled. */
  #startOfTrap(offset: number): number {
    const start = this.#text.lastIndexOf("\n", offset - 1) + 1;
    const end = endOfLine(this.#text, offset);
    for (const match of this.#text.slice(start, end).matchAll(BARE_IPV6)) {
      const from = start + match.index;
      if (from <= offset && offset <= from + match[0].length + 1) return from;
    }
    return offset;
  }

  /** Own words for the parser's codes: its own would quote the text, and talk of tokens. */
  #explain(code: string, offset: number): string {
    const trap = this.#startOfTrap(offset);
    if (trap !== offset || matchesAt(BARE_IPV6, this.#text, offset))
      return `a value that starts with [ is a list in YAML: ${QUOTES}, as in "[::]:25"`;
    switch (code) {
      case "TAB_AS_INDENT":
        return "tabs are not allowed as indentation: use spaces";
      case "DUPLICATE_KEY":
        return "this key is here twice";
      case "BAD_SCALAR_START":
        return `a value cannot start with ${this.#text[offset] ?? "this character"}: ${QUOTES}`;
      case "BAD_ALIAS":
        return `a value that starts with * or & is an alias or anchor in YAML: ${QUOTES}`;
      case "MULTIPLE_DOCS":
        return "the file must hold a single YAML document";
      case "BLOCK_AS_IMPLICIT_KEY":
        return `unexpected ": " in a value, or wrong indentation: if it belongs to the value, ${QUOTES}`;
      case "MULTILINE_IMPLICIT_KEY":
        return 'expected "KEY: VALUE"; is a colon with a space after it missing?';
      case "MISSING_CHAR":
        return this.#text.slice(offset - 1, offset + 1).includes('"') || offset >= this.#text.length
          ? "a quote, bracket or comma is missing here or before"
          : `a quote, bracket or comma is missing here; if the value holds one of , [ ] { } ", ${QUOTES}`;
      case "BAD_DQ_ESCAPE":
        return "an escape after \\ that YAML does not know: use single quotes, or write \\\\ for a backslash";
      case "TAG_RESOLVE_FAILED":
        return `a value that starts with ! is a tag in YAML, and tags are not used here: ${QUOTES}`;
      case "BAD_INDENT":
        return "wrong indentation, or a bracket is not closed";
      default:
        return `this is not YAML as expected here (${code.toLowerCase().replaceAll("_", " ")}): check indentation and brackets, or ${QUOTES}`;
    }
  }

  #convert(node: Node | null | undefined, path: KeyPath, depth: number): unknown {
    if (node === null || node === undefined) return null;
    const offset = node.range?.[0];
    if (offset !== undefined && !this.#values.has(pathId(path))) this.#values.set(pathId(path), offset);
    this.#count += 1;
    if (this.#count > MAX_VALUES || depth > MAX_DEPTH) {
      if (this.#count <= MAX_VALUES + 1) this.#fault(offset ?? 0, path, depth > MAX_DEPTH ? "nested too deeply" : "too many values in all");
      return null;
    }
    if (isAlias(node)) return this.#follow(node, path, depth);
    if (isScalar(node)) return scalarValue(node.value);
    if (isSeq(node)) return node.items.map((item, index) => this.#convert(item as Node | null, [...path, index], depth + 1));
    if (isMap(node)) return this.#convertMap(node.items as Pair<Node, Node | null>[], path, depth);
    return null;
  }

  #follow(alias: Alias, path: KeyPath, depth: number): unknown {
    const target = alias.resolve(this.#document);
    if (target !== undefined) return this.#convert(target, path, depth + 1);
    this.#fault(
      alias.range?.[0] ?? 0,
      path,
      `a value that starts with * is an alias in YAML, and there is no such anchor: ${QUOTES}, as in "*@contoso.com"`,
    );
    return UNREADABLE;
  }

  #convertMap(pairs: readonly Pair<Node, Node | null>[], path: KeyPath, depth: number): unknown {
    const result: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
    for (const pair of pairs) {
      const keyOffset = pair.key?.range?.[0] ?? 0;
      if (!isScalar(pair.key)) {
        this.#fault(
          keyOffset,
          path,
          isAlias(pair.key) ? `a key that starts with * is an alias in YAML: ${QUOTES}` : `a key must be plain text: ${QUOTES}`,
        );
        continue;
      }
      const key = String(scalarValue(pair.key.value));
      if (FORBIDDEN_KEYS.has(key)) {
        this.#fault(keyOffset, path, "this name is not allowed as a key");
        continue;
      }
      const own = [...path, key];
      this.#keys.set(pathId(own), keyOffset);
      result[key] = this.#convert(pair.value, own, depth + 1);
    }
    return result;
  }
}

/** Stands for a value that a fault was already reported about, so that it is not reported once more. */
export const UNREADABLE = Symbol("unreadable");

/** The parser's codes for what is wrong with a single value or key: around it everything is read as it was meant. */
const LOCAL_FAULTS = new Set(["DUPLICATE_KEY", "TAG_RESOLVE_FAILED", "BAD_SCALAR_START", "BAD_ALIAS", "BAD_DQ_ESCAPE"]);

const BARE_IPV6 = /\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]:[0-9]+/g;

function matchesAt(pattern: RegExp, text: string, offset: number): boolean {
  return [...text.slice(offset, endOfLine(text, offset)).matchAll(pattern)].some((match) => match.index === 0);
}

function endOfLine(text: string, offset: number): number {
  const end = text.indexOf("\n", offset);
  return end < 0 ? text.length : end;
}

function scalarValue(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  return value === undefined ? null : value;
}

function pathId(path: KeyPath): string {
  return JSON.stringify(path);
}
