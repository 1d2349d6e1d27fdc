/** The words of the tables that say what an answer means, and the phrases that several rows share. */
import type { Stage, UpstreamType } from "../upstream/upstream.ts";

/** What is done: try again, try again slower, keep until repaired, give up and report. */
export type Outcome = "retry" | "slow" | "hold" | "bounce";

/**
 * Whose fault a row says it is.
 *
 * - `recipient`, `message`, `sender`: this one only.
 * - `mailbox`: the mailbox that signed in. Where one mailbox sends for all that is the door; where each sender has its own it is the sender.
 * - `upstream`: the door. Closes it, never bounces anybody.
 * - `tenant`: the whole organization. Closes the door that met it, as `upstream` does. The organization's other doors stay open until they meet it
 *   themselves, with one message each: Microsoft does not count every path alike, and mail that could leave must not be held on hearsay.
 */
export type Scope = "recipient" | "message" | "sender" | "mailbox" | "upstream" | "tenant";

/** To what an outcome applies on a given door. */
export type Reach = "recipient" | "message" | "sender" | "upstream";

/** What every row says, be it about a reply or a fault of our own side. */
export interface Meaning {
  /** Stable name in docs and tests. */
  readonly id: string;
  readonly outcome: Outcome;
  readonly scope: Scope;
  /** Says nothing about other doors: the next one of the route may take it now. Where there is none, `outcome` applies. */
  readonly next?: true;
  /** Other mail still passes, that inside the organization or small one, so three senders who meet it do not close the door. */
  readonly othersPass?: true;
  /** The next hop does not take so many recipients in one message: they go again in smaller parts. */
  readonly split?: true;
  /** A wait other than the schedule's. */
  readonly waitMs?: number;
  /** Temporary at first sight; after this long without a success it is held. See `heldAfterMs`. */
  readonly holdAfterMs?: number;
  /** What happened, in a few plain words. */
  readonly cause: string;
  /**
   * What to do about it. `MAILBOX`, `SENDER`, `UPSTREAM` (the door's name), `OWN-ADDRESS` (what it rewrites senders to), `AUTHORITY` (host and port of its sign-in service; in a cause too)
   * `PASSWORD-PLACE` and `SECRET-PLACE` (where its password or secret is) are filled in where they are known.
   */
  readonly remedy: string;
  /** Status of the report where the next hop gave none (RFC 3463). */
  readonly status?: string;
}

/** Throttling of a door that lets nothing pass for so long. */
const THROTTLED_FOR_MS = 2 * 3_600_000;

/**
 * After how long without a success a door is held for it, in ms; undefined for never. Nobody's mail is given up because its door was slowed down: held
 * mail does not expire, and the alarm says that something other than patience is needed.
 */
export function heldAfterMs({ holdAfterMs, outcome, scope }: Pick<Meaning, "holdAfterMs" | "outcome" | "scope">): number | undefined {
  const ofDoor = scope === "upstream" || scope === "mailbox" || scope === "tenant";
  return holdAfterMs ?? (outcome === "slow" && ofDoor ? THROTTLED_FOR_MS : undefined);
}

/** One kind of reply. All given keys must fit. */
export interface AnswerRow extends Meaning {
  /**
   * Numbers in the catalogue of Microsoft's SMTP replies, 1 to 86. A letter behind it where one number has several meanings: `9a`, `9b`.
   * None for replies of other servers and of Graph.
   */
  readonly catalogue?: readonly string[];
  /** `any`: the words are unmistakable, whoever says them. `microsoft`: only doors to Microsoft 365. */
  readonly from: "microsoft" | "any";
  /** Only doors of these types. */
  readonly doors?: readonly UpstreamType[];
  /** Only when another recipient outside the organization was taken in the same transaction. */
  readonly othersOutsideAccepted?: true;
  /** Only when the whole message was refused for several recipients: to a single one the reply says something else. */
  readonly severalRecipients?: true;
  /** Only when the message was offered as from the door's own address. */
  readonly ownSender?: true;
  readonly stages?: readonly Stage[];
  readonly codes?: readonly number[];
  readonly enhanced?: RegExp;
  /** Tried on the text without trailing `[HOST …]` brackets, on one line. */
  readonly words?: RegExp;
  /** Whole replies of this kind, each with the stage it comes at. */
  readonly examples: readonly (readonly [Stage, string])[];
}

/** One kind of fault without a reply. */
export interface FaultRow extends Meaning {
  /** `Refusal.fault.code`, any of them; `AADSTS` alone stands for every number that no other row has. */
  readonly codes: readonly string[];
  /** Only at these stages. */
  readonly stages?: readonly Stage[];
  /** Only doors of these types. */
  readonly doors?: readonly UpstreamType[];
}

export const SECONDS = 1_000;
export const MINUTES = 60 * SECONDS;
export const HOURS = 60 * MINUTES;

export const SIGN_IN_LOG = "Entra admin center > Monitoring > Sign-in logs, filtered to MAILBOX";
/** Ends the remedies of what is held by `sender`. */
export const LEAVES_BY_ITSELF = "the mail then leaves by itself, or at once with postern queue release --from SENDER";
export const SERVICE_HEALTH = "Wait; see Microsoft 365 admin center > Health > Service health";
export const GRANT_SEND_AS = `Add-RecipientPermission -Identity SENDER -Trustee MAILBOX -AccessRights SendAs, or let the device use MAILBOX as its sender; ${LEAVES_BY_ITSELF}`;
/** The sender that was refused is not the device's any more. */
export const OWN_SENDER: Pick<AnswerRow, "ownSender" | "outcome" | "scope" | "next" | "cause" | "remedy"> = {
  ownSender: true,
  outcome: "hold",
  scope: "message",
  next: true,
  cause: "the upstream may not even send as its own address",
  remedy: `Get-Recipient OWN-ADDRESS must know the address that upstream UPSTREAM sends as (sender.address, else mailbox). Then Add-RecipientPermission -Identity OWN-ADDRESS -Trustee OBJECT-ID -AccessRights SendAs for the application, or with MAILBOX in place of OBJECT-ID for another address than the mailbox's. With Azure Communication Services it must be a MailFrom address of a verified domain; ${LEAVES_BY_ITSELF}`,
};
/** The narrow right first: whoever has given the application one mailbox must not be led to give it more. */
export const OPEN_MAILBOX =
  "New-ManagementRoleAssignment -Role 'Application SMTP.SendAsApp' -App CLIENT-ID -CustomResourceScope SCOPE lets the application send as the mailboxes of that scope; where SMTP.SendAsApp was granted in Entra instead: Add-MailboxPermission -Identity MAILBOX -User OBJECT-ID -AccessRights FullAccess. It takes up to an hour";
export const RESTRICTED = "Microsoft Defender > Email & collaboration > Review > Restricted entities";
export const WAIT_A_DAY =
  "It frees itself within a day and the mail leaves then. For such volumes use a connector, High Volume Email or Azure Communication Services";
