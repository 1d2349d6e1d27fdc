/** One thing that does not fit another in the file. */
import type { KeyPath } from "./finding.ts";

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
