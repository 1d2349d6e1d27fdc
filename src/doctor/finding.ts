/** What the doctor says of one thing that it looked at. */

/**
 * - `ok`: proved.
 * - `warning`: works, and should be looked after.
 * - `fault`: does not work, or will not.
 * - `not-tested`: cannot be proved from here; never taken for well.
 */
export type Verdict = "ok" | "warning" | "fault" | "not-tested";

export interface DoctorFinding {
  /** What was looked at: a stable word. */
  readonly id: string;
  /** Whose: `machine`, `configuration`, an upstream's name, a listener's, a domain. */
  readonly subject: string;
  readonly verdict: Verdict;
  /** What was seen, verbatim where somebody else said it. */
  readonly evidence: string;
  /** What to do, most likely cause first; present for warnings and faults, and where a test could be made otherwise. */
  readonly remedy?: string | undefined;
}

/** What comes of the doctor, one after the other. */
export type DoctorItem = { readonly finding: DoctorFinding } | { readonly doing: string };

/** The doctor of a running relay. */
export interface DoctorSource {
  /** Looks at everything. Ends early when the signal aborts. */
  examine(signal: AbortSignal): AsyncIterable<DoctorItem>;
}
