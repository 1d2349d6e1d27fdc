/** What is wrong with a configuration, and where. */

/**
 * How much a finding matters. `error` and `listener`: nothing starts (exit 78). `door`: `run` starts with that upstream held, `check` exits 78.
 * `moment`: it may be the clock that is wrong, so `run` starts without what the time forbids; `check` exits 78, and a reload is refused.
 * `warning`: all go on.
 */
export type Severity = "error" | "listener" | "door" | "moment" | "warning";

/** A key's path: names, and indexes of list items. */
export type KeyPath = readonly (string | number)[];

/** One line to show. */
export interface Finding {
  readonly file: string;
  /** Both count from 1; columns count UTF-16 units. */
  readonly line: number;
  readonly column: number;
  /** Dotted path such as `upstreams.scans.credential.secret`; empty for the file as a whole. */
  readonly key: string;
  readonly message: string;
  readonly severity: Severity;
  /** The upstream that cannot work, where `severity` is `door`. */
  readonly upstream?: string | undefined;
}

/** `FILE:LINE:COL KEY: message`, on one line. */
export function formatFinding(finding: Finding): string {
  const place = `${finding.file}:${finding.line}:${finding.column}`;
  const subject = finding.key === "" ? place : `${place} ${finding.key}`;
  return `${subject}: ${finding.severity === "warning" ? "warning: " : ""}${finding.message}`;
}

/** A path as shown: `clients.erp.networks[1]`. */
export function formatKey(path: KeyPath): string {
  return path.reduce<string>((text, part) => (typeof part === "number" ? `${text}[${part}]` : text === "" ? part : `${text}.${part}`), "");
}

/** Findings that read differently: what several upstreams take over from one key is one fault to a person. */
export function distinct(findings: readonly Finding[]): Finding[] {
  return [...new Map(findings.toReversed().map((finding) => [formatFinding(finding), finding])).values()].toReversed();
}

/** Order of appearance in the file, so that an administrator reads from top to bottom. */
export function byPosition(a: Finding, b: Finding): number {
  return a.line - b.line || a.column - b.column;
}
