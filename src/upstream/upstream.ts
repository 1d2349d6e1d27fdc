/** One way out, whatever it speaks. It moves octets and reports facts; `deliver/judge.ts` alone says what they mean. */
import type { AddressPattern } from "../mail/address.ts";
import type { Reply } from "../mail/reply.ts";

/** Where in the protocol something happened, in order. */
export const STAGES = ["connect", "greeting", "ehlo", "starttls", "token", "auth", "mail", "rcpt", "data", "content", "final"] as const;
export type Stage = (typeof STAGES)[number];

/** A "no", or the lack of an answer. */
export interface Refusal {
  readonly stage: Stage;
  /** What the other side said, verbatim; absent when it said nothing. */
  readonly reply?: Reply | undefined;
  /** Our own words for what went wrong without a reply: `ECONNREFUSED`, `TIMEOUT`, `CERTIFICATE`, `NO_STARTTLS`, `AADSTS7000215` … and detail. */
  readonly fault?: { readonly code: string; readonly detail: string } | undefined;
  /** How long the other side asks us to wait (`Retry-After` over HTTP); absent where it did not say. */
  readonly retryAfterMs?: number | undefined;
}

/** One recipient's part of an attempt. */
export interface RecipientFact {
  readonly address: string;
  /** Present when this recipient alone was refused at RCPT. */
  readonly refusal?: Refusal | undefined;
}

/** What happened in one attempt, without judgement. */
export interface AttemptFacts {
  /** `host:port`, and the address reached where a connection was made. */
  readonly remote?: string | undefined;
  readonly tls?: string | undefined;
  readonly reusedConnection: boolean;
  /** Time until a ready (authenticated) connection was at hand; 0 when one was waiting. */
  readonly connectMs: number;
  /** Ready connection to the last reply. */
  readonly transmitMs: number;
  /** Stops the attempt for every recipient that has no refusal of its own. */
  readonly refusal?: Refusal | undefined;
  readonly recipients: readonly RecipientFact[];
  /** The 2xx reply that took responsibility. Exactly one of `refusal` and `accepted`, unless every recipient was refused. */
  readonly accepted?: Reply | undefined;
  /** The next hop's id of the message, where its reply told one. */
  readonly upstreamId?: string | undefined;
  /** The content was sent whole, but no answer came: it may have been delivered. */
  readonly ambiguous: boolean;
  /** What had to be changed in the message for this door, or how it is known to have arrived, in one sentence for the history. */
  readonly note?: string | undefined;
}

/** One message on its way out by one door. */
export interface Delivery {
  readonly queueId: string;
  /** Empty string for the null reverse-path. */
  readonly reversePath: string;
  readonly recipients: readonly string[];
  readonly smtpUtf8: boolean;
  readonly eightBit: boolean;
  readonly sizeBytes: number;
  /** Canonical content: CRLF line ends only. Whole in memory where small, else as blocks, each valid until the next one is asked for. */
  readonly content: { readonly inMemory: Uint8Array | undefined; blocks(): AsyncIterable<Uint8Array> };
  /** Every recipient may have got it already by this door: one that can look it up does so before it sends again. */
  readonly ambiguous?: boolean | undefined;
  /** No other door of the route could take it: what another door would have done better is done here. */
  readonly lastDoor?: boolean | undefined;
}

/** What a door can take, from its configuration. */
export interface UpstreamLimits {
  /** Attempts at the same time. */
  readonly connections: number;
  /** undefined: not limited. */
  readonly messagesPerMinute: number | undefined;
  /** undefined: not limited. */
  readonly messagesPerHour?: number | undefined;
  /** In any 24 hours; undefined: not limited. */
  readonly recipientsPerDay?: number | undefined;
  /** Recipients outside the organization in any 24 hours, counted for the whole tenant; undefined: not limited. */
  readonly externalRecipientsPerDay?: number | undefined;
  readonly recipientsPerMessage: number;
  readonly maxMessageSizeBytes: number;
}

/** The kinds of ways out, as the configuration names them. */
export const UPSTREAM_TYPES = ["smtp-auth", "direct-send", "connector", "graph", "smart-host"] as const;
export type UpstreamType = (typeof UPSTREAM_TYPES)[number];

/** What becomes of a message's sender on a door. */
export interface SenderPolicy {
  /**
   * - `auto`: the mailbox itself and what `sendAs` lists stay, everything else is rewritten.
   * - `keep`: nothing is changed.
   * - `rewrite`: envelope and From: become `address`.
   * - `on-behalf-of`: From: stays, Sender: and the envelope become `address`.
   */
  readonly mode: "auto" | "keep" | "rewrite" | "on-behalf-of";
  /** What a sender is rewritten to: the mailbox, where nothing else was configured. Present unless the mode is `keep`. */
  readonly address: string | undefined;
  /** Senders that the mailbox may use besides itself. */
  readonly sendAs: readonly AddressPattern[];
}

/** What Microsoft counts a door's mail by; doors with an equal key share that budget. Absent: counted by the door itself. */
export interface CountedAs {
  /** Messages and recipients: cloud and mailbox. */
  readonly mailbox?: string | undefined;
  /** Recipients outside: the tenant. */
  readonly tenant?: string | undefined;
  /** Graph requests: tenant and client id. */
  readonly application?: string | undefined;
}

/** What a door is like, besides its limits. Fixed by its type and configuration. */
export interface DoorTraits {
  /** A door to Microsoft 365, whose words the judge's table knows; a smart host may mean anything by them. */
  readonly microsoft: boolean;
  /** `internal`: Microsoft takes only recipients in the organization's domains here. */
  readonly serves: "any" | "internal";
  /** The null reverse-path: carried, carried to internal recipients only, or replaced by the mailbox. */
  readonly nullSender: "any" | "internal" | "mailbox";
  readonly sender: SenderPolicy;
  readonly countedAs: CountedAs;
}

/** What any SMTP server is like. */
export const PLAIN_TRAITS: DoorTraits = {
  microsoft: false,
  serves: "any",
  nullSender: "any",
  sender: { mode: "keep", address: undefined, sendAs: [] },
  countedAs: {},
};

/** Who is asked about at a door, up to RCPT; nothing is sent. */
export interface Trial {
  readonly reversePath: string;
  /** Each is asked in a transaction of its own. */
  readonly recipients: readonly string[];
}

/** What a token says of itself, as far as Microsoft documents it. Never the token. */
export interface TokenClaims {
  readonly audience: string | undefined;
  readonly tenant: string | undefined;
  readonly application: string | undefined;
  /** ms since the epoch. */
  readonly expiresAt: number | undefined;
  /** Application permissions. */
  readonly roles: readonly string[];
  /** Delegated permissions. */
  readonly scopes: readonly string[];
}

/** What a look at a door found, without judgement: every stage that was tried, in order. Nothing was sent. */
export interface Diagnosis {
  readonly stages: readonly { readonly stage: Stage; readonly refusal?: Refusal | undefined }[];
  /** Where it leads: `host:port`, and the address where a name was looked up. */
  readonly places: readonly string[];
  /** The connection, where there was one. */
  readonly remote?: string | undefined;
  readonly tls?: string | undefined;
  /** The reply to EHLO: Microsoft's names the address that it sees us at. */
  readonly ehlo?: Reply | undefined;
  /** The other side's certificate. */
  readonly certificate?:
    | { readonly names: string; readonly issuer: string; readonly endsAt: number; readonly verified: boolean }
    | undefined;
  /** Present where a token was to be had, and could be read. */
  readonly token?: TokenClaims | undefined;
  /** What RCPT was answered; empty where it did not come to that. */
  readonly recipients: readonly RecipientFact[];
}

/** A way out. Safe for as many concurrent attempts as `limits.connections`. */
export interface Upstream {
  readonly name: string;
  readonly type: UpstreamType;
  readonly limits: UpstreamLimits;
  readonly traits: DoorTraits;
  /** The mailbox that sends all this door's mail, where there is one; `traits` say what that means for senders. */
  readonly mailbox: string | undefined;
  /** Never rejects: every fault is a fact. Aborting closes the connection and gives a refusal with fault `ABORTED`. */
  attempt(delivery: Delivery, signal: AbortSignal): Promise<AttemptFacts>;
  /** Opens, secures and authenticates a connection, and keeps it for the next attempt. Undefined when that works. */
  probe(signal: AbortSignal): Promise<Refusal | undefined>;
  /** Reads what the door shows or signs in with, and opens no connection. Undefined when that is fit to be used. Absent: nothing to read. */
  prepare?(signal: AbortSignal): Promise<Refusal | undefined>;
  /**
   * Looks at the door stage by stage, on a connection and with a token of its own, up to RCPT where there is such a thing. Goes on where a stage
   * failed that the next one does not need. Never rejects.
   */
  diagnose?(trial: Trial, signal: AbortSignal): Promise<Diagnosis>;
  /** Where its sign-in comes from, for people: host and port of the sign-in service; where the password or the secret is, never what it is. */
  readonly signInFrom?:
    | { readonly authority?: string | undefined; readonly password?: string | undefined; readonly secret?: string | undefined }
    | undefined;
  /** When the secret, certificate or sign-in ends, where that is known. */
  readonly credentialExpiresAt: number | undefined;
  /** Says QUIT on idle connections and ends those in use. */
  close(): Promise<void>;
}

/** A fault on one line: its code, unless its detail begins with that, and its detail. */
export function describeFault({ code, detail }: NonNullable<Refusal["fault"]>, most = Infinity): string {
  const cut = detail.length > most ? detail.slice(0, most) : detail;
  return cut.startsWith(code) ? cut : `${code}: ${cut}`;
}
