/** What is known of one address that has been seen at a listener. Times in ms since the epoch, text as escaped by the stage that met it. */

/**
 * Why a device may send, or that it may not:
 *
 * - `allowed`: it belongs to a client's networks or names, or an operator added it.
 * - `learned`: it was let in because its client is learning; unless an operator adds it, that ends with the learning.
 * - `refused`: no client has it.
 */
export const VERDICTS = ["allowed", "learned", "refused"] as const;
export type Verdict = (typeof VERDICTS)[number];

/** A "no" that a device got. */
export interface Refusal {
  readonly at: number;
  readonly listener: string;
  /** The word that the metric `smtp_rejects_total` counts it under. */
  readonly reason: string;
  /** Our reply on one line. */
  readonly reply: string;
  /** The offending value. */
  readonly detail?: string | undefined;
  readonly remedy?: string | undefined;
}

/** A kind of repair that its syntax or content needs. */
export interface QuirkSeen {
  readonly kind: string;
  readonly count: number;
  readonly lastAt: number;
  /** An example, as the device sent it; of a message its queue id. */
  readonly example: string;
  /** When a log line last told of it. */
  readonly toldAt?: number | undefined;
}

/** Everything known of one device. Lists are bounded, the latest are kept. */
export interface Device {
  readonly address: string;
  readonly verdict: Verdict;
  /** Absent where no client has it. */
  readonly client?: string | undefined;
  readonly firstSeen: number;
  readonly lastSeen: number;
  /** HELO names it gave. */
  readonly names: readonly string[];
  /** Name in the DNS (PTR), looked up after the fact; it proves nothing. */
  readonly dnsName?: string | undefined;
  readonly listeners: readonly string[];
  /** Sessions by TLS version; `none` for plain ones. */
  readonly tls: Readonly<Record<string, number>>;
  /** It offered credentials, needed or not. */
  readonly triedAuth: boolean;
  readonly users: readonly string[];
  /** Reverse-paths it gave, before policy replaced any. */
  readonly senders: readonly string[];
  readonly sessions: number;
  readonly messages: number;
  readonly recipients: number;
  readonly bytes: number;
  readonly lastMessageAt?: number | undefined;
  readonly refusals: number;
  /** The latest last. */
  readonly lastRefusals: readonly Refusal[];
  readonly quirks: readonly QuirkSeen[];
}
