/** What Postern knows of a message from the moment it is accepted, and the states its recipients go through. */

/** `queued delivering deferred held` wait; the other four are final. See the state table in ARCHITECTURE.md. */
export const WAITING_STATES = ["queued", "delivering", "deferred", "held"] as const;
export const TERMINAL_STATES = ["delivered", "bounced", "expired", "deleted"] as const;
export type WaitingState = (typeof WAITING_STATES)[number];
export type TerminalState = (typeof TERMINAL_STATES)[number];
export type RecipientState = WaitingState | TerminalState;

/** Who holds a held recipient. Only `upstream` and `sender` are released automatically. */
export const HOLDERS = ["upstream", "sender", "operator", "corrupt"] as const;
export type Holder = (typeof HOLDERS)[number];

export const PRIORITIES = ["interactive", "normal", "bulk"] as const;
export type Priority = (typeof PRIORITIES)[number];

/**
 * Messages of our own making count as generated: a `report` (RFC 3464), whose failure is told to the postmaster once, and an `alert`, about which no
 * report is ever made.
 */
export type MessageKind = "mail" | "report" | "alert";

/** Where a message came from, fixed at acceptance. For reports: listener, client and device are empty. */
export interface Origin {
  readonly listener: string;
  readonly client: string;
  /** The device's address in canonical form, IPv4-mapped IPv6 as IPv4. Also the unit of fairness. */
  readonly device: string;
  readonly user?: string | undefined;
  /** HELO name as sent, escaped and cut to 255 characters. */
  readonly helo?: string | undefined;
  /** Negotiated TLS version, `TLSv1.3`; absent on a plain connection. */
  readonly tls?: string | undefined;
}

/**
 * Everything fixed at acceptance besides the content. Domains are A-labels in lower case, local parts as given.
 * This is what routing, sender policy and reports work from at each attempt, so that they never need the content.
 */
export interface Envelope {
  /** Reverse-path; the empty string is the null reverse-path `<>`. */
  readonly reversePath: string;
  /** Forward-paths in the order given, without duplicates; at least one, at most 1,000. */
  readonly recipients: readonly string[];
  /** The reverse-path the device gave, where policy replaced it. */
  readonly originalSender?: string | undefined;
  readonly origin: Origin;
  readonly kind: MessageKind;
  readonly priority: Priority;
  /** True when an address is not ASCII: the next hop must offer SMTPUTF8 (RFC 6531). */
  readonly smtpUtf8: boolean;
  /** True when the content has octets over 127. */
  readonly eightBit: boolean;
  /** A signature covers sender and content (DKIM, multipart/signed, pkcs7-mime). Absent, as in mail of older versions: not known. */
  readonly signed?: boolean | undefined;
  /** Some line is longer than SMTP allows, 998 octets. Absent: not known. */
  readonly longLines?: boolean | undefined;
  /**
   * The upstreams it may leave by, in order, whatever the routes say, for as long as the configuration has one of them: a test mail's, or an
   * alert's, which must not go by the upstream that it is about.
   */
  readonly via?: string | readonly string[] | undefined;
  /** Mail that we sent by ourselves and that has come back: as with `<>`, nothing is ever reported about it. */
  readonly returned?: boolean | undefined;
  /** Octets of the stored content, added header lines included. */
  readonly sizeBytes: number;
  /** Message-ID with its angle brackets, the device's own or the one added. */
  readonly messageId: string;
  /** The From: header field's addr-spec as stored, where one could be read. */
  readonly headerFrom?: string | undefined;
  /** Decoded subject, at most 200 characters; only where `log.subjects` is on. */
  readonly subject?: string | undefined;
  /** What intake repaired, one word each (`date-added`, `bare-lf` …); empty when nothing was. */
  readonly repairs: readonly string[];
  /** Start of the SMTP session, ms since the epoch: the first of the four delays is accepted minus this. */
  readonly sessionStartedAt: number;
}

/** A message that the queue has taken responsibility for. */
export interface AcceptedMessage extends Envelope {
  /** ULID, 26 characters. */
  readonly queueId: string;
  /** Commit time of the acceptance, ms since the epoch. */
  readonly acceptedAt: number;
}
