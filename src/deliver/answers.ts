/**
 * What the answers of a next hop mean, as one table: the judge reads it, docs/errors.md is made from it, a test walks it.
 *
 * Rows are tried in order and the first that fits wins. Words are matched as well as codes, because Microsoft uses one enhanced
 * code for several meanings. What no row fits is judged by class (see `judge.ts`).
 */
import type { Stage } from "../upstream/upstream.ts";

/** What is done: try again, try again slower, keep until repaired, give up and report. */
export type Outcome = "retry" | "slow" | "hold" | "bounce";

/** Whose fault it is, and so what the outcome applies to. `upstream` closes the door for all, never bounces anybody. */
export type Scope = "recipient" | "message" | "sender" | "upstream";

/** What every row says, be it about a reply or a fault of our own side. */
export interface Meaning {
  /** Stable name in docs and tests. */
  readonly id: string;
  readonly outcome: Outcome;
  readonly scope: Scope;
  /** Says nothing about other doors: the next one of the route may take it now. Where there is none, `outcome` applies. */
  readonly next?: true;
  /** A wait other than the schedule's. */
  readonly waitMs?: number;
  /** Temporary at first sight; after this long without a success it is held. */
  readonly holdAfterMs?: number;
  /** What happened, in a few plain words. */
  readonly cause: string;
  /** What to do about it. `MAILBOX` and `SENDER` are filled in where they are known. */
  readonly remedy: string;
  /** Status of the report where the next hop gave none (RFC 3463). */
  readonly status?: string;
}

/** One kind of reply. All given keys must fit. */
export interface AnswerRow extends Meaning {
  /** `any`: the words are unmistakable, whoever says them. `microsoft`: only doors to Microsoft 365. */
  readonly from: "microsoft" | "any";
  readonly stages?: readonly Stage[];
  readonly codes?: readonly number[];
  readonly enhanced?: RegExp;
  /** Tried on the text without trailing `[HOST …]` brackets, on one line. */
  readonly words?: RegExp;
  /** A whole reply of this kind, and the stage it comes at. */
  readonly example: readonly [Stage, string];
}

const SECONDS = 1_000;
const MINUTES = 60 * SECONDS;
const HOURS = 60 * MINUTES;

const SIGN_IN_LOG = "Entra admin center > Monitoring > Sign-in logs, filtered to MAILBOX";
const SEND_AS = "Add-RecipientPermission -Identity SENDER -Trustee MAILBOX -AccessRights SendAs";
/** Ends the remedies of what is held by `sender`. */
export const LEAVES_BY_ITSELF = "the mail then leaves by itself, or at once with postern queue release";

/** Replies of SMTP servers. Source: Microsoft's NDR and SMTP AUTH articles, and public logs where these are silent. */
export const ANSWERS: readonly AnswerRow[] = [
  // ---- signing in ----
  {
    id: "smtp-auth-off-tenant",
    from: "microsoft",
    enhanced: /^5\.7\.139$/,
    words: /SmtpClientAuthentication is disabled for the Tenant/i,
    outcome: "hold",
    scope: "upstream",
    cause: "SMTP AUTH is switched off for the organization",
    remedy: "Switch it on for this mailbox only: Set-CASMailbox -Identity MAILBOX -SmtpClientAuthenticationDisabled $false",
    example: [
      "auth",
      "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled for more information.",
    ],
  },
  {
    id: "smtp-auth-off-mailbox",
    from: "microsoft",
    enhanced: /^5\.7\.139$/,
    words: /SmtpClientAuthentication is disabled for the Mailbox/i,
    outcome: "hold",
    scope: "upstream",
    cause: "SMTP AUTH is switched off for the mailbox",
    remedy:
      "Set-CASMailbox -Identity MAILBOX -SmtpClientAuthenticationDisabled $false (or Microsoft 365 admin center > user > Mail > Manage email apps > Authenticated SMTP)",
    example: [
      "auth",
      "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox. Visit https://aka.ms/smtp_auth_disabled for more information.",
    ],
  },
  {
    id: "basic-auth-off",
    from: "microsoft",
    enhanced: /^5\.7\.(139|30)$/,
    words: /basic authentication is (disabled|not supported)/i,
    outcome: "hold",
    scope: "upstream",
    cause: "passwords are no longer accepted for SMTP AUTH",
    remedy: "Use OAuth: give the upstream a credential of type client-secret or client-certificate",
    example: ["auth", "535 5.7.139 Authentication unsuccessful, basic authentication is disabled."],
  },
  {
    id: "security-defaults",
    from: "microsoft",
    enhanced: /^5\.7\.139$/,
    words: /security defaults policy/i,
    outcome: "hold",
    scope: "upstream",
    cause: "the organization's security defaults block passwords",
    remedy: "Use OAuth: give the upstream a credential of type client-secret or client-certificate. Do not switch security defaults off",
    example: [
      "auth",
      "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy. Contact your administrator.",
    ],
  },
  {
    id: "conditional-access",
    from: "microsoft",
    enhanced: /^5\.7\.139$/,
    words: /did not meet the criteria/i,
    outcome: "hold",
    scope: "upstream",
    cause: "conditional access, multi-factor or location rules refuse the sign-in",
    remedy: `Find the rule in the sign-in log (${SIGN_IN_LOG}) and exclude the account, or use OAuth application credentials`,
    example: [
      "auth",
      "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully. Contact your administrator.",
    ],
  },
  {
    id: "wrong-password",
    from: "microsoft",
    enhanced: /^5\.7\.139$/,
    words: /user credentials were incorrect/i,
    outcome: "hold",
    scope: "upstream",
    cause: "user name or password is wrong",
    remedy: "Correct the password in the upstream's credential (an app password where multi-factor is on), or use OAuth",
    example: ["auth", "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect."],
  },
  {
    id: "account-locked",
    from: "microsoft",
    enhanced: /^5\.7\.139$/,
    words: /account (is )?locked/i,
    outcome: "hold",
    scope: "upstream",
    cause: "the account is locked after wrong passwords",
    remedy: `Find who guesses in the sign-in log (${SIGN_IN_LOG}), stop it, and wait half an hour or unlock the account`,
    example: ["auth", "535 5.7.139 Authentication unsuccessful, account locked. Contact your administrator."],
  },
  {
    id: "federation-down",
    from: "microsoft",
    enhanced: /^5\.7\.139$/,
    words: /federated STS service was unreachable/i,
    outcome: "slow",
    scope: "upstream",
    waitMs: 5 * MINUTES,
    cause: "the federated sign-in service (AD FS) of the organization cannot be reached",
    remedy: "Repair AD FS, or use a cloud-only account or OAuth application credentials",
    example: ["auth", "535 5.7.139 Authentication unsuccessful, federated STS service was unreachable."],
  },
  {
    id: "federation-plain",
    from: "microsoft",
    enhanced: /^5\.7\.139$/,
    words: /federated STS URL does not support HTTPS/i,
    outcome: "hold",
    scope: "upstream",
    cause: "the federated sign-in service (AD FS) has no HTTPS",
    remedy: "Give AD FS an HTTPS address, or use a cloud-only account or OAuth application credentials",
    example: ["auth", "535 5.7.139 Authentication unsuccessful, federated STS URL does not support HTTPS."],
  },
  {
    id: "organization-forbids",
    from: "microsoft",
    enhanced: /^5\.7\.139$/,
    words: /organization configuration doesn.t allow/i,
    outcome: "hold",
    scope: "upstream",
    cause: "an authentication policy of the organization forbids this sign-in",
    remedy: "Get-AuthenticationPolicy | Format-List Name,AllowBasicAuthSmtp  and allow it for MAILBOX, or use OAuth",
    example: ["auth", "535 5.7.139 Authentication unsuccessful, the organization configuration doesn't allow this authentication request"],
  },
  {
    id: "auth-refused-with-reason",
    from: "microsoft",
    enhanced: /^5\.7\.139$/,
    outcome: "hold",
    scope: "upstream",
    cause: "Microsoft refuses the sign-in",
    remedy: `The reply names the reason; the sign-in log tells more (${SIGN_IN_LOG})`,
    example: ["auth", "535 5.7.139 Authentication unsuccessful, a reason nobody has seen yet."],
  },
  {
    id: "auth-refused",
    from: "microsoft",
    enhanced: /^5\.7\.3$/,
    words: /Authentication unsuccessful/i,
    outcome: "hold",
    scope: "upstream",
    cause: "Microsoft does not accept the token: the application may not use this mailbox, or is not known to Exchange",
    remedy:
      "New-ServicePrincipal -AppId CLIENT-ID -ObjectId OBJECT-ID (the one under Enterprise applications, not App registrations), then Add-MailboxPermission -Identity MAILBOX -User OBJECT-ID -AccessRights FullAccess, and wait up to one hour",
    example: [
      "auth",
      "535 5.7.3 Authentication unsuccessful [AM0P190CA0005.EURP190.PROD.OUTLOOK.COM 2026-01-05T09:00:00.000Z 08DD000000000000]",
    ],
  },
  {
    id: "auth-mechanism",
    from: "microsoft",
    enhanced: /^5\.7\.4$/,
    words: /Unrecognized authentication type/i,
    outcome: "hold",
    scope: "upstream",
    cause: "the host offers no such authentication: it is not the submission host, or TLS was not on",
    remedy: "Use host smtp.office365.com with port 587, and no firewall that strips STARTTLS",
    example: ["auth", "504 5.7.4 Unrecognized authentication type"],
  },
  {
    id: "auth-user-invalid",
    from: "microsoft",
    enhanced: /^5\.5\.124$/,
    outcome: "hold",
    scope: "upstream",
    cause: "the user name in the sign-in is not an address that Microsoft knows",
    remedy: "Set the upstream's mailbox to the primary address: Get-Mailbox MAILBOX | Format-List PrimarySmtpAddress",
    example: ["auth", "501 5.5.124 Invalid XOAUTH2 auth data - User address provided is not valid"],
  },
  {
    id: "proxy-failed-at-auth",
    from: "microsoft",
    stages: ["auth"],
    enhanced: /^4\.7\.0$/,
    words: /\bPRX\d/,
    outcome: "retry",
    scope: "upstream",
    holdAfterMs: 1 * HOURS,
    cause: "Microsoft cannot reach the mailbox's server while signing in",
    remedy: "If it lasts for an hour, check that the account has a mailbox: Get-Mailbox MAILBOX",
    example: ["auth", "451 4.7.0 Temporary server error. Please try again later. PRX4"],
  },
  {
    id: "old-tls",
    from: "microsoft",
    enhanced: /^4\.7\.66$/,
    outcome: "hold",
    scope: "upstream",
    cause: "the connection came to Microsoft with TLS 1.0 or 1.1",
    remedy: "A firewall between Postern and Microsoft breaks up TLS with an old version: exempt port 587 from inspection",
    example: [
      "auth",
      "421 4.7.66 TLS 1.0 and 1.1 are not supported. Please upgrade/update your client to support TLS 1.2. Visit https://aka.ms/smtp_auth_tls.",
    ],
  },
  {
    id: "starttls-required",
    from: "any",
    codes: [530, 451],
    words: /STARTTLS/i,
    outcome: "hold",
    scope: "upstream",
    cause: "the next hop wants STARTTLS first",
    remedy: "Set tls: required on the upstream",
    example: ["mail", "530 5.7.0 Must issue a STARTTLS command first"],
  },
  {
    id: "ehlo-name",
    from: "any",
    stages: ["ehlo"],
    enhanced: /^5\.5\.4$/,
    outcome: "hold",
    scope: "upstream",
    cause: "the next hop does not like our host name",
    remedy: "Set hostname to a plain name such as relay.contoso.com: no underscore, no trailing dot",
    example: ["ehlo", "501 5.5.4 Invalid domain name"],
  },
  {
    id: "not-authenticated",
    from: "microsoft",
    enhanced: /^5\.7\.57$/,
    outcome: "hold",
    scope: "upstream",
    cause: "the connection is not signed in",
    remedy:
      "Check the upstream's credential and that SMTP AUTH is on: Set-CASMailbox -Identity MAILBOX -SmtpClientAuthenticationDisabled $false",
    example: ["mail", "530 5.7.57 SMTP; Client was not authenticated to send anonymous mail during MAIL FROM"],
  },
  {
    id: "authentication-required",
    from: "any",
    codes: [530],
    stages: ["mail", "rcpt", "data", "content", "final"],
    outcome: "hold",
    scope: "upstream",
    cause: "the next hop wants a sign-in first",
    remedy: "Give the upstream a credential, or allow Postern's address on the next hop",
    example: ["mail", "530 5.7.1 Authentication required"],
  },
  // ---- the sender's rights ----
  {
    id: "send-as-denied-at-mail",
    from: "any",
    enhanced: /^5\.7\.60$/,
    outcome: "hold",
    scope: "sender",
    cause: "the mailbox may not send as this sender",
    remedy: `${SEND_AS}, or let the device use MAILBOX as its sender; ${LEAVES_BY_ITSELF}`,
    example: ["mail", "550 5.7.60 SMTP; Client does not have permissions to send as this sender"],
  },
  {
    id: "send-as-denied",
    from: "any",
    words: /SendAsDenied/i,
    outcome: "hold",
    scope: "sender",
    cause: "the mailbox may not send as this sender",
    remedy: `${SEND_AS}, or let the device use MAILBOX as its sender; ${LEAVES_BY_ITSELF}`,
    example: [
      "final",
      "554 5.2.252 SendAsDenied; scanner@contoso.com not allowed to send as erp@contoso.com; STOREDRV.Submission.Exception:SendAsDeniedException",
    ],
  },
  // ---- the mailbox that sends ----
  {
    id: "mailbox-logon-failed",
    from: "microsoft",
    codes: [430],
    words: /STOREDRV; mailbox logon failure|MapiExceptionLogonFailed/i,
    outcome: "slow",
    scope: "upstream",
    waitMs: 5 * MINUTES,
    holdAfterMs: 2 * HOURS,
    cause: "the sign-in works, but the application may not open the mailbox (new permissions take up to an hour)",
    remedy: "Add-MailboxPermission -Identity MAILBOX -User OBJECT-ID -AccessRights FullAccess, and wait up to one hour",
    example: [
      "final",
      "430 4.2.0 STOREDRV; mailbox logon failure; STOREDRV.Submission.Exception:ConnectionFailedTransientException.MapiExceptionLogonFailed; Cannot open mailbox",
    ],
  },
  {
    id: "concurrent-connections",
    from: "microsoft",
    codes: [432],
    words: /concurrent connections limit|sender thread limit/i,
    outcome: "slow",
    scope: "upstream",
    waitMs: 30 * SECONDS,
    cause: "more than three connections use this mailbox at once",
    remedy: "Give Postern a mailbox of its own; other programs that send with MAILBOX count too",
    example: ["final", "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information."],
  },
  {
    id: "daily-recipients-used",
    from: "microsoft",
    words: /SubmissionQuotaExceeded|sender .*exceeded .*recipient.* limit/i,
    outcome: "hold",
    scope: "upstream",
    cause: "the mailbox has used its 10,000 recipients of the last 24 hours",
    remedy:
      "It frees itself within a day and the mail leaves then. For such volumes use a connector, High Volume Email or Azure Communication Services",
    example: [
      "final",
      "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message due to a permanent exception",
    ],
  },
  {
    id: "daily-recipients-used-code",
    from: "microsoft",
    enhanced: /^5\.1\.9[02]$/,
    outcome: "hold",
    scope: "upstream",
    cause: "the mailbox has used its recipients of the last 24 hours",
    remedy:
      "It frees itself within a day and the mail leaves then. For such volumes use a connector, High Volume Email or Azure Communication Services",
    example: ["final", "550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients"],
  },
  {
    id: "tenant-recipients-used",
    from: "microsoft",
    enhanced: /^5\.7\.23[23]$/,
    outcome: "hold",
    scope: "upstream",
    cause: "the organization has used its external recipients of the last 24 hours",
    remedy:
      "It frees itself within a day. Exchange admin center > Reports > Mail flow > Tenant outbound external recipients shows who sends so much",
    example: [
      "final",
      "550 5.7.233 Your message can't be sent because your tenant exceeded its daily limit for sending email to external recipients",
    ],
  },
  {
    id: "mailbox-full",
    from: "microsoft",
    words: /\bmailbox full|aka\.ms\/mailboxfull/i,
    stages: ["mail", "data", "content", "final"],
    outcome: "hold",
    scope: "upstream",
    cause: "the sending mailbox is full, usually with copies in Sent Items",
    remedy: "Empty Sent Items, and stop the copies: Set-Mailbox -Identity MAILBOX -MessageCopyForSMTPClientSubmissionEnabled $false",
    example: ["final", "554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException.MapiExceptionShutoffQuotaExceeded"],
  },
  {
    id: "outbound-spam",
    from: "microsoft",
    words: /OutboundSpamException|WASCL UserAction/i,
    outcome: "hold",
    scope: "upstream",
    cause: "Microsoft has blocked the mailbox for sending what looks like spam",
    remedy:
      "Find the device that sent it (postern queue list), then Microsoft Defender > Email & collaboration > Review > Restricted entities: unblock MAILBOX",
    example: [
      "final",
      "554 5.2.0 STOREDRV.Submission.Exception:OutboundSpamException; WASCL UserAction verdict is not None. Actual verdict is RefuseQuota",
    ],
  },
  {
    id: "bad-outbound-sender",
    from: "microsoft",
    enhanced: /^5\.1\.8$/,
    outcome: "hold",
    scope: "sender",
    cause: "Microsoft has restricted this sender for spam",
    remedy: `Microsoft Defender > Email & collaboration > Review > Restricted entities: unblock the sender; ${LEAVES_BY_ITSELF}`,
    example: ["final", "550 5.1.8 Access denied, bad outbound sender AS(42004)"],
  },
  {
    id: "tenant-blocked",
    from: "microsoft",
    enhanced: /^5\.7\.70[58]$/,
    outcome: "hold",
    scope: "upstream",
    cause: "Microsoft takes no mail from this organization for now (threshold, reputation or an expired subscription)",
    remedy: "Stop the source of unusual mail, check the subscription, then open a support request in the Microsoft 365 admin center",
    example: ["final", "550 5.7.705 Access denied, tenant has exceeded threshold."],
  },
  // ---- the message ----
  {
    id: "message-too-large-mailbox",
    from: "microsoft",
    words: /MessageSubmissionExceeded|MaxSubmissionExceeded/i,
    outcome: "bounce",
    scope: "message",
    status: "5.3.4",
    cause: "the message is larger than the mailbox may send",
    remedy: "Set-Mailbox -Identity MAILBOX -MaxSendSize 150MB, or scan with a lower resolution",
    example: [
      "final",
      "554 5.3.4 STOREDRV.Submission.Exception:MessageSubmissionExceededException.MapiExceptionMaxSubmissionExceeded; Message size exceeds maximum size limit",
    ],
  },
  {
    id: "headers-too-large",
    from: "any",
    words: /Header size exceeds/i,
    outcome: "bounce",
    scope: "message",
    status: "5.3.4",
    cause: "the message has too many or too long header lines",
    remedy: "Correct what the device or application writes into the header",
    example: ["final", "552 5.3.4 Header size exceeds fixed maximum size"],
  },
  {
    id: "message-too-large",
    from: "any",
    codes: [552, 554],
    enhanced: /^5\.3\.4$/,
    outcome: "bounce",
    scope: "message",
    cause: "the message is too large for the next hop",
    remedy: "Scan with a lower resolution, or raise the next hop's limit",
    example: ["mail", "552 5.3.4 Message size exceeds fixed maximum message size"],
  },
  {
    id: "header-value-too-long",
    from: "microsoft",
    enhanced: /^5\.6\.211$/,
    outcome: "bounce",
    scope: "message",
    cause: "one header line is longer than 32 KB",
    remedy: "The device writes a broken header: update its firmware",
    example: [
      "final",
      "554 5.6.211 Invalid MIME Content: Single text value size (33061) exceeded allowed maximum (32768) for the 'X-Test' header.",
    ],
  },
  {
    id: "mime-broken",
    from: "microsoft",
    enhanced: /^5\.6\.0$/,
    outcome: "bounce",
    scope: "message",
    cause: "the message's MIME structure is broken",
    remedy: "Update the device's firmware",
    example: ["final", "554 5.6.0 Invalid message content"],
  },
  // ---- recipients ----
  {
    id: "address-malformed",
    from: "any",
    enhanced: /^5\.1\.[37]$/,
    words: /Invalid address/i,
    outcome: "bounce",
    scope: "recipient",
    cause: "the address is malformed",
    remedy: "Correct the address in the device",
    example: ["rcpt", "501 5.1.3 Invalid address"],
  },
  {
    id: "too-many-recipients",
    from: "any",
    stages: ["rcpt"],
    codes: [452],
    enhanced: /^4\.5\.3$/,
    outcome: "retry",
    scope: "recipient",
    waitMs: 0,
    cause: "more recipients than the next hop takes in one go; the rest follows at once",
    remedy: "Lower limits.recipients_per_message of the upstream",
    example: ["rcpt", "452 4.5.3 Too many recipients"],
  },
  {
    id: "recipient-unknown",
    from: "microsoft",
    stages: ["rcpt"],
    enhanced: /^5\.(4\.1|1\.1|1\.10)$/,
    outcome: "bounce",
    scope: "recipient",
    cause: "there is no such recipient",
    remedy: "Check the address; a new mailbox needs up to an hour before it is known",
    example: ["rcpt", "550 5.4.1 Recipient address rejected: Access denied."],
  },
  {
    id: "direct-send-rejected",
    from: "microsoft",
    enhanced: /^5\.7\.68$/,
    outcome: "hold",
    scope: "upstream",
    cause: "the organization refuses Direct Send from unknown sources",
    remedy:
      "New-InboundConnector -ConnectorType OnPremises -SenderDomains * with our address or certificate, or use an upstream of type smtp-auth",
    example: ["rcpt", "550 5.7.68 TenantInboundAttribution; Direct Send not allowed for this organization from unauthorized sources"],
  },
  {
    id: "recipient-busy",
    from: "microsoft",
    enhanced: /^5\.2\.12[12]$/,
    outcome: "retry",
    scope: "recipient",
    waitMs: 1 * HOURS,
    cause: "this mailbox receives more messages an hour than Microsoft allows",
    remedy: "Find the device or application that floods it, and make it send less",
    example: ["final", "554 5.2.121 The recipient has exceeded their limit for the number of messages they can receive per hour"],
  },
  // ---- throttling ----
  {
    id: "server-busy",
    from: "microsoft",
    enhanced: /^4\.7\.(5\d\d|6\d\d|8[5-9]\d)$/,
    outcome: "slow",
    scope: "upstream",
    waitMs: 2 * MINUTES,
    cause: "Microsoft slows this sender down",
    remedy: "Wait; if it stays, use a connector or SMTP AUTH from a static address with SPF",
    example: ["mail", "451 4.7.500 Server busy. Please try again later from [203.0.113.7]. (S77714)"],
  },
  {
    id: "queue-quota",
    from: "microsoft",
    enhanced: /^4\.7\.3$/,
    outcome: "slow",
    scope: "upstream",
    waitMs: 2 * MINUTES,
    cause: "the organization's queue at Microsoft is full",
    remedy: "Look for a mail loop or a flood: postern queue list",
    example: ["final", "450 4.7.3 Organization queue quota exceeded."],
  },
  {
    id: "no-resources",
    from: "any",
    enhanced: /^4\.3\.1$/,
    outcome: "slow",
    scope: "upstream",
    waitMs: 1 * MINUTES,
    cause: "the next hop is short of resources",
    remedy: "Wait; with a smart host of your own, look at its disk and memory",
    example: ["mail", "452 4.3.1 Insufficient system resources (TSTE)"],
  },
  // ---- trouble on the other side ----
  {
    id: "proxy-failed",
    from: "microsoft",
    enhanced: /^4\.7\.0$/,
    words: /\bPRX\d|Message not proxied/i,
    outcome: "retry",
    scope: "message",
    cause: "Microsoft cannot reach the mailbox's server",
    remedy: "Wait; see Microsoft 365 admin center > Health > Service health",
    example: ["final", "450 4.7.0 Message not proxied"],
  },
  {
    id: "directory-trouble",
    from: "microsoft",
    enhanced: /^4\.(4\.[34]|3\.2)$/,
    words: /Temporary server error/i,
    outcome: "retry",
    scope: "message",
    cause: "Microsoft cannot look up the organization right now",
    remedy: "Wait; see Microsoft 365 admin center > Health > Service health",
    example: ["rcpt", "451 4.4.4 Temporary server error. Please try again later ATTR5"],
  },
  {
    id: "replication-trouble",
    from: "microsoft",
    enhanced: /^4\.4\.(0|22|23|28)$/,
    outcome: "retry",
    scope: "message",
    cause: "Microsoft could not store the message twice",
    remedy: "Wait; see Microsoft 365 admin center > Health > Service health",
    example: ["final", "451 4.4.0 Message failed to be replicated: No healthy secondary server available"],
  },
  {
    id: "mailbox-moving",
    from: "microsoft",
    enhanced: /^4\.3\.111$/,
    outcome: "retry",
    scope: "message",
    cause: "the mailbox's server is changing",
    remedy: "Wait; see Microsoft 365 admin center > Health > Service health",
    example: ["final", "451 4.3.111 Temporary server error. Please try again later MRH1"],
  },
  {
    id: "session-too-long",
    from: "any",
    codes: [421],
    enhanced: /^4\.4\.[12]$/,
    outcome: "retry",
    scope: "message",
    cause: "the next hop ended the session",
    remedy: "None, unless it happens often: then check the firewall between Postern and the next hop",
    example: ["mail", "421 4.4.1 Connection timed out. Total session duration: 00:20:55"],
  },
  {
    id: "too-many-errors",
    from: "any",
    codes: [421],
    enhanced: /^4\.7\.0$/,
    words: /Too many errors/i,
    outcome: "retry",
    scope: "message",
    cause: "the next hop ended the session after refusals",
    remedy: "None",
    example: ["rcpt", "421 4.7.0 Too many errors on this connection, closing transmission channel"],
  },
  {
    id: "service-not-available",
    from: "any",
    codes: [421],
    outcome: "retry",
    scope: "upstream",
    cause: "the next hop is not available at the moment",
    remedy: "Wait; see Microsoft 365 admin center > Health > Service health",
    example: ["greeting", "421 4.3.2 Service not available"],
  },
];
