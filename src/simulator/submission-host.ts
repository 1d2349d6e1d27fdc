/** What the submission host is made of, and what one session needs of it. */
import type { SecureContext } from "node:tls";

import type { Clock } from "../platform/clock.ts";
import type { FaultBook } from "./faults.ts";
import type { MailboxUsage } from "./mailbox-usage.ts";
import type { MailStore } from "./mail-store.ts";
import type { KeyAndCertificate } from "./pki.ts";
import type { SimulatorEvent } from "./simulator-events.ts";
import type { Tenant, TenantMailbox } from "./tenant.ts";
import type { TokenIssuer } from "./token-issuer.ts";

/** What an administrator or a test may choose. */
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

/** What the service works with. */
export interface SubmissionOptions {
  readonly tenant: Tenant;
  readonly issuer: TokenIssuer;
  readonly faults: FaultBook;
  readonly store: MailStore;
  readonly clock: Clock;
  readonly certificate: KeyAndCertificate;
  readonly settings: SubmissionSettings;
  readonly emit: (event: SimulatorEvent) => void;
}

/** What sessions share. */
export interface SubmissionHost {
  readonly options: SubmissionOptions;
  readonly secureContext: SecureContext;
  /** What a mailbox has used so far. */
  usageOf(mailbox: TenantMailbox): MailboxUsage;
}
