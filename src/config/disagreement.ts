/** One thing that does not fit another in the file. */
import type { KeyPath } from "./finding.ts";
import { nearest } from "./nearest.ts";

/** Where, what and how bad. */
export interface Disagreement {
  readonly path: KeyPath;
  readonly message: string;
  readonly severity: "error" | "warning";
}

/** Entries by the names that the file gave them. */
export type Named<T> = Readonly<Record<string, T>>;

export const error = (path: KeyPath, message: string): Disagreement => ({ path, message, severity: "error" });
export const warning = (path: KeyPath, message: string): Disagreement => ({ path, message, severity: "warning" });

/** Says that a name is not there, and which one may have been meant. */
export function unknownName(path: KeyPath, what: string, name: string, known: readonly string[]): Disagreement {
  const near = nearest(name, known);
  const hint =
    near !== undefined ? `did you mean ${near}?` : known.length === 0 ? "there is none" : `known: ${known.slice(0, 20).join(", ")}`;
  return error(path, `expected the name of ${what}, not ${JSON.stringify(name)}; ${hint}`);
}
