/**
 * The table of faults: name, protocol stage, and what the other side then says or does. Replies are Microsoft's words as published or
 * logged; `row` is the number in the catalogue of Microsoft's errors. Where a catalogue entry is cut with an ellipsis, the tail is
 * the usual text of the same error.
 */

/** Where in the protocol a fault shows. `token` is the Entra token endpoint, all others the submission host. */
export const FAULT_STAGES = [
  "connect",
  "greeting",
  "ehlo",
  "starttls",
  "auth",
  "mail",
  "rcpt",
  "data",
  "content",
  "final",
  "token",
] as const;
export type FaultStage = (typeof FAULT_STAGES)[number];

/** What happens. */
export type FaultAction =
  /** The reply without the bracket Microsoft appends: `session` = "[HOST TIME ID]", `hostname` = "[Hostname=HOST]". `close` ends the connection after it. */
  | { readonly kind: "reply"; readonly text: string; readonly suffix: "session" | "hostname"; readonly close?: true }
  /** TCP reset without a word. */
  | { readonly kind: "reset" }
  /** No answer until the fault is cleared or the client leaves; then the normal answer. */
  | { readonly kind: "hold" }
  /** The normal answer, this much later. */
  | { readonly kind: "delay"; readonly ms: number }
  /** EHLO does not offer this keyword. */
  | { readonly kind: "omit"; readonly keyword: string }
  /** An error of the token endpoint by its AADSTS number. */
  | { readonly kind: "aadsts"; readonly code: number }
  /** A bare HTTP status from in front of the token endpoint. */
  | { readonly kind: "http"; readonly status: number };

/** One line of the table. */
export interface FaultDefinition {
  readonly name: string;
  readonly stage: FaultStage;
  /** Row of the error catalogue; absent for faults of the network. */
  readonly row?: number;
  /** Local part that triggers it, in any domain: `throttle@…`. */
  readonly recipient?: string;
  /** In plain words. */
  readonly meaning: string;
  readonly action: FaultAction;
}

const said = (text: string): FaultAction => ({ kind: "reply", text, suffix: "session" });
const saidAndClosed = (text: string): FaultAction => ({ kind: "reply", text, suffix: "session", close: true });
const storeDriver = (text: string): FaultAction => ({ kind: "reply", text, suffix: "hostname" });
const UNSUCCESSFUL = "535 5.7.139 Authentication unsuccessful";
const PERMANENT = "Failed to process message due to a permanent exception with message";

export const FAULTS: readonly FaultDefinition[] = [
  { name: "connection-reset", stage: "connect", meaning: "the connection is reset at once", action: { kind: "reset" } },
  { name: "greeting-hold", stage: "greeting", meaning: "connected, but no greeting comes", action: { kind: "hold" } },
  {
    name: "service-unavailable",
    stage: "greeting",
    row: 54,
    meaning: "the host is being drained",
    action: saidAndClosed("421 4.3.2 Service not available"),
  },
  {
    name: "no-starttls",
    stage: "ehlo",
    meaning: "a firewall strips STARTTLS from the EHLO list",
    action: { kind: "omit", keyword: "STARTTLS" },
  },
  { name: "invalid-helo", stage: "ehlo", row: 18, meaning: "the EHLO name is not accepted", action: said("501 5.5.4 Invalid domain name") },
  { name: "starttls-reset", stage: "starttls", meaning: "the connection is reset in the TLS handshake", action: { kind: "reset" } },

  {
    name: "auth-unsuccessful",
    stage: "auth",
    row: 1,
    meaning: "token refused: wrong object id, no service principal, wrong audience",
    action: said("535 5.7.3 Authentication unsuccessful"),
  },
  {
    name: "smtp-auth-off-tenant",
    stage: "auth",
    row: 2,
    meaning: "SMTP AUTH is off for the organisation",
    action: said(
      `${UNSUCCESSFUL}, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled for more information.`,
    ),
  },
  {
    name: "smtp-auth-off-mailbox",
    stage: "auth",
    row: 3,
    meaning: "SMTP AUTH is off for the mailbox",
    action: said(
      `${UNSUCCESSFUL}, SmtpClientAuthentication is disabled for the Mailbox. Visit https://aka.ms/smtp_auth_disabled for more information.`,
    ),
  },
  {
    name: "basic-auth-off",
    stage: "auth",
    row: 4,
    meaning: "passwords are not allowed by policy",
    action: said(`${UNSUCCESSFUL}, basic authentication is disabled.`),
  },
  {
    name: "security-defaults",
    stage: "auth",
    row: 5,
    meaning: "security defaults refuse the password",
    action: said(`${UNSUCCESSFUL}, user is locked by your organization's security defaults policy. Contact your administrator.`),
  },
  {
    name: "conditional-access",
    stage: "auth",
    row: 6,
    meaning: "conditional access, MFA or location refuses the sign-in",
    action: said(`${UNSUCCESSFUL}, the request did not meet the criteria to be authenticated successfully. Contact your administrator.`),
  },
  {
    name: "wrong-password",
    stage: "auth",
    row: 7,
    meaning: "the password is wrong",
    action: said(`${UNSUCCESSFUL}, the user credentials were incorrect.`),
  },
  {
    name: "account-locked",
    stage: "auth",
    row: 8,
    meaning: "smart lockout",
    action: said(`${UNSUCCESSFUL}, account locked. Contact your administrator.`),
  },
  {
    name: "federation-down",
    stage: "auth",
    row: 9,
    meaning: "AD FS cannot be reached",
    action: said(`${UNSUCCESSFUL}, federated STS service was unreachable.`),
  },
  {
    name: "federation-plain",
    stage: "auth",
    row: 9,
    meaning: "AD FS is not on HTTPS",
    action: said(`${UNSUCCESSFUL}, federated STS URL does not support HTTPS.`),
  },
  {
    name: "organization-policy",
    stage: "auth",
    row: 10,
    meaning: "the organisation's configuration forbids this sign-in",
    action: said(`${UNSUCCESSFUL}, the organization configuration doesn't allow this authentication request`),
  },
  {
    name: "basic-auth-retired",
    stage: "auth",
    row: 11,
    meaning: "passwords are retired for good",
    action: said("550 5.7.30 Basic authentication is not supported for Client Submission."),
  },
  {
    name: "auth-unrecognized",
    stage: "auth",
    row: 12,
    meaning: "the authentication type is not offered here",
    action: said("504 5.7.4 Unrecognized authentication type"),
  },
  {
    name: "auth-user-invalid",
    stage: "auth",
    row: 13,
    meaning: "the user in the SASL string is no valid address",
    action: said("501 5.5.124 Invalid XOAUTH2 auth data - User address provided is not valid"),
  },
  {
    name: "auth-temporary",
    stage: "auth",
    row: 14,
    meaning: "the back end has trouble",
    action: said("454 4.7.0 Temporary authentication failure"),
  },
  {
    name: "auth-proxy",
    stage: "auth",
    row: 15,
    meaning: "the proxy to the mailbox failed",
    action: said("451 4.7.0 Temporary server error. Please try again later. PRX4"),
  },
  {
    name: "old-tls",
    stage: "auth",
    row: 16,
    meaning: "TLS below 1.2",
    action: saidAndClosed(
      "421 4.7.66 TLS 1.0 and 1.1 are not supported. Please upgrade/update your client to support TLS 1.2. Visit https://aka.ms/smtp_auth_tls",
    ),
  },

  {
    name: "starttls-first",
    stage: "mail",
    row: 17,
    meaning: "STARTTLS is wanted first",
    action: said("530 5.7.0 Must issue a STARTTLS command first"),
  },
  {
    name: "starttls-required",
    stage: "mail",
    row: 17,
    meaning: "STARTTLS is wanted",
    action: said("451 5.7.3 STARTTLS is required to send mail"),
  },
  {
    name: "not-authenticated",
    stage: "mail",
    row: 19,
    meaning: "not signed in",
    action: said("530 5.7.57 Client not authenticated to send mail."),
  },
  {
    name: "anonymous",
    stage: "mail",
    row: 20,
    meaning: "not signed in, older words",
    action: said("530 5.7.57 SMTP; Client was not authenticated to send anonymous mail during MAIL FROM"),
  },
  {
    name: "send-as-mail",
    stage: "mail",
    row: 21,
    meaning: "this sender is not the mailbox's",
    action: said("550 5.7.60 SMTP; Client does not have permissions to send as this sender"),
  },
  {
    name: "size-exceeded",
    stage: "mail",
    row: 31,
    meaning: "SIZE is over the fixed maximum",
    action: said("552 5.3.4 Message size exceeds fixed maximum message size"),
  },
  {
    name: "invalid-sender",
    stage: "mail",
    row: 36,
    meaning: "the sender's address is malformed",
    action: said("501 5.1.7 Invalid address"),
  },
  {
    name: "insufficient-resources",
    stage: "mail",
    row: 53,
    meaning: "back pressure",
    action: said("452 4.3.1 Insufficient system resources (TSTE)"),
  },
  {
    name: "organization-queue",
    stage: "mail",
    row: 53,
    meaning: "the tenant's queue is full",
    action: said("450 4.7.3 Organization queue quota exceeded."),
  },
  {
    name: "mail-unavailable",
    stage: "mail",
    row: 54,
    meaning: "the host is drained in mid-session",
    action: saidAndClosed("421 4.3.2 Service not available"),
  },

  {
    name: "invalid-recipient",
    stage: "rcpt",
    row: 36,
    recipient: "invalid",
    meaning: "the recipient's address is malformed",
    action: said("501 5.1.3 Invalid address"),
  },
  {
    name: "too-many-recipients",
    stage: "rcpt",
    row: 37,
    recipient: "toomany",
    meaning: "over the recipients of one message",
    action: said("452 4.5.3 Too many recipients"),
  },
  {
    name: "multiple-regions",
    stage: "rcpt",
    row: 38,
    recipient: "region",
    meaning: "this recipient lives in another region",
    action: said("452 4.5.3 Recipients belong to multiple regions ATTR38"),
  },
  {
    name: "recipient-unknown",
    stage: "rcpt",
    row: 39,
    recipient: "unknown",
    meaning: "no such recipient (directory based edge blocking)",
    action: said("550 5.4.1 Recipient address rejected: Access denied. AS(201806281)"),
  },
  {
    name: "external-refused",
    stage: "rcpt",
    row: 86,
    recipient: "hve-external",
    meaning: "a High Volume Email account may not send outside",
    action: said("550 5.5.105 External sending is not supported for High Volume Email accounts"),
  },

  { name: "not-proxied", stage: "data", row: 52, meaning: "internal trouble", action: said("450 4.7.0 Message not proxied") },
  {
    name: "content-reset",
    stage: "content",
    recipient: "cut",
    meaning: "the connection is reset before the content has been taken",
    action: { kind: "reset" },
  },

  {
    name: "proxy-failed",
    stage: "final",
    row: 15,
    recipient: "proxy",
    meaning: "the proxy to the mailbox failed",
    action: said("451 4.7.0 Temporary server error. Please try again later. PRX4"),
  },
  {
    name: "send-as-final",
    stage: "final",
    row: 21,
    recipient: "sendas",
    meaning: "this sender is not the mailbox's",
    action: said("550 5.7.60 SMTP; Client does not have permissions to send as this sender"),
  },
  {
    name: "send-as-denied",
    stage: "final",
    row: 22,
    recipient: "senddenied",
    meaning: "no Send As right",
    action: storeDriver(
      `554 5.2.252 SendAsDenied; {mailbox} not allowed to send as {from}; STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; ${PERMANENT} Cannot submit message.`,
    ),
  },
  {
    name: "send-as-denied-old",
    stage: "final",
    row: 23,
    meaning: "no Send As right, older words",
    action: storeDriver(
      `554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.MapiExceptionSendAsDenied; ${PERMANENT} Cannot submit message.`,
    ),
  },
  {
    name: "logon-failure",
    stage: "final",
    row: 24,
    recipient: "logonfailure",
    meaning: "the app has no Full Access to the mailbox (yet)",
    action: storeDriver(
      "430 4.2.0 STOREDRV; mailbox logon failure; STOREDRV.Submission.Exception:ConnectionFailedTransientException.MapiExceptionLogonFailed; Failed to process message due to a transient exception with message Cannot open mailbox",
    ),
  },
  {
    name: "concurrent-connections",
    stage: "final",
    row: 25,
    recipient: "throttle",
    meaning: "over three connections of one mailbox",
    action: storeDriver("432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information."),
  },
  {
    name: "thread-limit",
    stage: "final",
    row: 26,
    meaning: "over three connections, older words",
    action: storeDriver("432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded"),
  },
  {
    name: "submission-quota",
    stage: "final",
    row: 27,
    recipient: "quota",
    meaning: "10,000 recipients in 24 hours are used up",
    action: storeDriver(
      `554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException.MapiExceptionSubmissionQuotaExceeded; ${PERMANENT} The message can't be submitted because the sender's submission quota was exceeded.`,
    ),
  },
  {
    name: "mailbox-full",
    stage: "final",
    row: 28,
    recipient: "full",
    meaning: "the sending mailbox is full",
    action: storeDriver(
      `554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException.MapiExceptionShutoffQuotaExceeded; ${PERMANENT} Cannot submit message. Visit https://aka.ms/mailboxfull`,
    ),
  },
  {
    name: "outbound-spam",
    stage: "final",
    row: 29,
    recipient: "spam",
    meaning: "the account is blocked for spam",
    action: storeDriver(
      "554 5.2.0 STOREDRV.Submission.Exception:OutboundSpamException; Failed to process message due to a permanent exception with message WASCL UserAction verdict is not None. Actual verdict is RefuseQuota",
    ),
  },
  {
    name: "send-size",
    stage: "final",
    row: 30,
    recipient: "toolarge",
    meaning: "over the mailbox's send limit",
    action: storeDriver(
      `554 5.2.0 STOREDRV.Submission.Exception:MessageSubmissionExceededException.MapiExceptionMaxSubmissionExceeded; ${PERMANENT} Message size exceeds maximum size limit`,
    ),
  },
  {
    name: "fixed-size",
    stage: "final",
    row: 31,
    meaning: "over the fixed maximum",
    action: said("552 5.3.4 Message size exceeds fixed maximum message size"),
  },
  {
    name: "header-size",
    stage: "final",
    row: 32,
    meaning: "the header block is too large",
    action: said("552 5.3.4 Header size exceeds fixed maximum size"),
  },
  {
    name: "header-value",
    stage: "final",
    row: 33,
    meaning: "one header field is too large",
    action: said("554 5.6.211 Invalid MIME Content: Single text value size (33061) exceeded allowed maximum (32768) for the 'X' header."),
  },
  {
    name: "invalid-content",
    stage: "final",
    row: 34,
    recipient: "invalidcontent",
    meaning: "broken MIME",
    action: said("554 5.6.0 Invalid message content"),
  },
  {
    name: "replication",
    stage: "final",
    row: 50,
    meaning: "internal replication failed",
    action: said("451 4.4.0 Message failed to be replicated: No healthy secondary server available at this time."),
  },
  {
    name: "mailbox-moving",
    stage: "final",
    row: 51,
    recipient: "tempfail",
    meaning: "the mailbox is being moved",
    action: said("451 4.3.111 Temporary server error. Please try again later MRH1"),
  },
  {
    name: "session-timeout",
    stage: "final",
    row: 55,
    meaning: "the session lasted too long",
    action: saidAndClosed("421 4.4.1 Connection timed out. Total session duration: 00:20:55"),
  },
  {
    name: "too-many-errors",
    stage: "final",
    row: 57,
    meaning: "too many protocol errors",
    action: saidAndClosed("421 4.7.0 Too many errors on this connection, closing transmission channel"),
  },
  {
    name: "spam-abuse",
    stage: "final",
    row: 64,
    meaning: "spam from this account",
    action: said("550 5.7.501 Access denied, spam abuse detected"),
  },
  {
    name: "not-compliant",
    stage: "final",
    row: 69,
    recipient: "nofrom",
    meaning: "no From:, or two",
    action: said("550 5.7.512 Access denied, message must be RFC 5322 section 3.6.2 compliant"),
  },
  {
    name: "bad-outbound-sender",
    stage: "final",
    row: 71,
    recipient: "badsender",
    meaning: "the sender is restricted",
    action: said("550 5.1.8 Access denied, bad outbound sender AS(42004)"),
  },
  {
    name: "daily-limit",
    stage: "final",
    row: 72,
    meaning: "the sender's recipients of the day are used up",
    action: said("550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients"),
  },
  {
    name: "tenant-external-trial",
    stage: "final",
    row: 73,
    meaning: "the trial tenant's external recipients of the day are used up",
    action: said(
      "550 5.7.232 Your message can't be sent because your trial tenant has exceeded its daily limit for sending email to external recipients",
    ),
  },
  {
    name: "tenant-external",
    stage: "final",
    row: 73,
    meaning: "the tenant's external recipients of the day are used up",
    action: said(
      "550 5.7.233 Your message can't be sent because your tenant has exceeded its daily limit for sending email to external recipients",
    ),
  },
  {
    name: "onmicrosoft-limit",
    stage: "final",
    row: 74,
    meaning: "over 100 external recipients from an onmicrosoft.com address",
    action: said("550 5.7.236 Access denied, onmicrosoft.com domain has exceeded its daily limit for external recipients"),
  },
  {
    name: "recipient-blocked",
    stage: "final",
    row: 75,
    meaning: "the recipient is on the tenant's block list",
    action: said("550 5.7.703 Your message can't be delivered because the recipient is blocked by your organization"),
  },
  {
    name: "tenant-threshold",
    stage: "final",
    row: 76,
    recipient: "tenantblocked",
    meaning: "the tenant is blocked",
    action: said("550 5.7.705 Access denied, tenant has exceeded threshold."),
  },
  {
    name: "traffic-not-accepted",
    stage: "final",
    row: 77,
    meaning: "a new tenant or an address of low reputation",
    action: said("550 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP. AS(7171)"),
  },
  {
    name: "unregistered-domain",
    stage: "final",
    row: 78,
    meaning: "mail from domains that are not the tenant's",
    action: said("550 5.7.750 Service unavailable. Client blocked from sending from unregistered domains"),
  },
  {
    name: "recipient-hot",
    stage: "final",
    row: 80,
    meaning: "the recipient gets too many messages an hour",
    action: said("554 5.2.121 The recipient has exceeded the limit on messages received per hour"),
  },
  {
    name: "answer-lost",
    stage: "final",
    recipient: "drop",
    meaning: "the message is taken, but the connection is reset before the answer",
    action: { kind: "reset" },
  },
  {
    name: "answer-slow",
    stage: "final",
    recipient: "slow",
    meaning: "the answer comes after 20 seconds",
    action: { kind: "delay", ms: 20_000 },
  },
  {
    name: "answer-hold",
    stage: "final",
    meaning: "the message is taken, the answer is held back until this is cleared",
    action: { kind: "hold" },
  },

  { name: "entra-down", stage: "token", meaning: "the token endpoint answers 503", action: { kind: "http", status: 503 } },
  { name: "entra-hold", stage: "token", meaning: "the token endpoint does not answer", action: { kind: "hold" } },
  { name: "entra-reset", stage: "token", meaning: "the connection to the token endpoint is reset", action: { kind: "reset" } },
  { name: "entra-slow", stage: "token", meaning: "the token comes after 10 seconds", action: { kind: "delay", ms: 10_000 } },
  { name: "entra-transient", stage: "token", meaning: "a transient error of Entra", action: { kind: "aadsts", code: 90033 } },
  { name: "entra-throttled", stage: "token", meaning: "too many token requests of the tenant", action: { kind: "aadsts", code: 90055 } },
  {
    name: "entra-conditional-access",
    stage: "token",
    meaning: "conditional access blocks the app",
    action: { kind: "aadsts", code: 53003 },
  },
];
