/** What all SMTP hosts of the stand-in work with. */
import type { Clock } from "../platform/clock.ts";
import type { FaultBook } from "./faults.ts";
import type { MailStore } from "./mail-store.ts";
import type { UsageBook } from "./mailbox-usage.ts";
import type { SimulatorEvent } from "./simulator-events.ts";
import type { Tenant } from "./tenant.ts";
import type { TokenIssuer } from "./token-issuer.ts";

/** What an administrator or a test may choose; the same on every host. */
export interface SubmissionSettings {
  /** Wait before a failed AUTH is answered; Microsoft's is about 5 s. */
  tarpitMs: number;
  /**
   * Messages over the rate of a mailbox: `delay` takes them and delivers them in a following minute, as Microsoft now says it does;
   * `refuse` is its older word; `count` only counts them.
   */
  overRate: "delay" | "refuse" | "count";
  idleTimeoutMs: number;
  sessionTimeoutMs: number;
  /** Protocol errors that end a session. */
  maxErrors: number;
}

export const DEFAULT_SUBMISSION: Readonly<SubmissionSettings> = {
  tarpitMs: 5_000,
  overRate: "delay",
  idleTimeoutMs: 5 * 60_000,
  sessionTimeoutMs: 20 * 60_000,
  maxErrors: 5,
};

/** What all hosts work with. */
export interface HostOptions {
  readonly tenant: Tenant;
  readonly issuer: TokenIssuer;
  readonly faults: FaultBook;
  readonly store: MailStore;
  readonly usage: UsageBook;
  readonly clock: Clock;
  readonly settings: SubmissionSettings;
  readonly emit: (event: SimulatorEvent) => void;
}
