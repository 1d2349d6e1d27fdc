/** Faults of Microsoft Graph: the answers a program that sends mail can get, and answers that get lost. */
import type { FaultAction, FaultDefinition } from "./fault-model.ts";

const error = (status: number, code: string, text: string): FaultAction => ({ kind: "graph", status, code, text });
const wait = (status: number, code: string, text: string, value: string, name = "Retry-After"): FaultAction => ({
  kind: "graph",
  status,
  code,
  text,
  retryAfter: { name, value },
});
const CONCURRENCY = "Application is over its MailboxConcurrency limit.";
const GATEWAY = "The server did not receive a response from the upstream service in time.";

const ROWS: readonly Omit<FaultDefinition, "hosts">[] = [
  {
    name: "graph-reset",
    stage: "graph",
    meaning: "the connection is reset as soon as the request has been read",
    action: { kind: "reset" },
  },
  { name: "graph-hold", stage: "graph", meaning: "no answer comes, and nothing is sent before this is cleared", action: { kind: "hold" } },
  { name: "graph-slow", stage: "graph", meaning: "the request is worked on 20 seconds later", action: { kind: "delay", ms: 20_000 } },
  {
    name: "graph-token-expired",
    stage: "graph",
    meaning: "the token is not valid (any more)",
    action: error(401, "InvalidAuthenticationToken", "Access token has expired or is not yet valid."),
  },
  {
    name: "graph-no-permissions",
    stage: "graph",
    meaning: "the token has no permission at all: consent is missing",
    action: error(401, "NoPermissionsInAccessToken", "The token contains no permissions, or permissions can not be understood."),
  },
  {
    name: "graph-throttled",
    stage: "graph",
    meaning: "over four requests at once for one mailbox",
    action: wait(429, "ApplicationThrottled", CONCURRENCY, "10"),
  },
  {
    name: "graph-throttled-odd-case",
    stage: "graph",
    meaning: "the same, with the header in unusual letters",
    action: wait(429, "ApplicationThrottled", CONCURRENCY, "7", "rETRY-aFTER"),
  },
  {
    name: "graph-throttled-silent",
    stage: "graph",
    meaning: "the same, without any word about how long",
    action: error(429, "ApplicationThrottled", CONCURRENCY),
  },
  {
    name: "graph-too-many-requests",
    stage: "graph",
    meaning: "too many requests of the app or the tenant",
    action: wait(429, "TooManyRequests", "Too many requests.", "30"),
  },
  {
    name: "graph-busy",
    stage: "graph",
    meaning: "the mailbox server is busy",
    action: wait(503, "ErrorServerBusy", "The server is too busy to process the request. Please try again later.", "5"),
  },
  {
    name: "graph-unavailable",
    stage: "graph",
    meaning: "Graph is down",
    action: wait(503, "ServiceUnavailable", "The service is temporarily unavailable.", "10"),
  },
  { name: "graph-bad-gateway", stage: "graph", meaning: "a proxy in front of Graph has trouble", action: { kind: "http", status: 502 } },
  {
    name: "graph-mailbox-not-enabled",
    stage: "graph",
    meaning: "the mailbox has no licence, or is still on premises",
    action: error(404, "MailboxNotEnabledForRESTAPI", "The mailbox is either inactive, soft-deleted, or is hosted on-premise."),
  },
  {
    name: "graph-user-invalid",
    stage: "graph",
    meaning: "there is no such mailbox",
    action: error(404, "ErrorInvalidUser", "The requested user '{mailbox}' is invalid."),
  },
  {
    name: "graph-user-unknown",
    stage: "graph",
    meaning: "there is no such user in the directory",
    action: error(
      404,
      "Request_ResourceNotFound",
      "Resource '{mailbox}' does not exist or one of its queried reference-property objects are not present.",
    ),
  },
  {
    name: "graph-resource-not-found",
    stage: "graph",
    meaning: "there is no such user, other words",
    action: error(404, "ResourceNotFound", "Resource could not be discovered."),
  },
  {
    name: "graph-access-denied",
    stage: "graph",
    meaning: "Mail.Send is missing, or was added as a delegated permission",
    action: error(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again."),
  },
  {
    name: "graph-access-scope",
    stage: "graph",
    meaning: "the mailbox is outside the scope of the app's role",
    action: error(403, "ErrorAccessDenied", "Access to OData is disabled."),
  },

  {
    name: "graph-send-as-denied",
    stage: "graph-send",
    recipient: "senddenied",
    meaning: "no Send As right on the address in From:",
    action: error(
      403,
      "ErrorSendAsDenied",
      "The user account which was used to submit this request does not have the right to send mail on behalf of the specified sending account., Cannot submit message.",
    ),
  },
  {
    name: "graph-invalid-base64",
    stage: "graph-send",
    meaning: "the MIME is not proper base64",
    action: error(400, "ErrorMimeContentInvalidBase64String", "Invalid base64 string for MIME content."),
  },
  {
    name: "graph-size-exceeded",
    stage: "graph-send",
    recipient: "toolarge",
    meaning: "over what the mailbox may send",
    action: error(
      413,
      "ErrorMessageSizeExceeded",
      "The message exceeds the maximum supported size., Cannot save changes made to an item to store.",
    ),
  },
  {
    name: "graph-request-too-long",
    stage: "graph-send",
    meaning: "the request is over 4 MB",
    action: error(413, "RequestEntityTooLarge", "The maximum request length supported is 4MB."),
  },
  {
    name: "graph-invalid-recipients",
    stage: "graph-send",
    recipient: "invalid",
    meaning: "a recipient in the header is not valid",
    action: error(
      400,
      "ErrorInvalidRecipients",
      "At least one recipient is not valid., A message can't be sent because it contains no recipients.",
    ),
  },
  {
    name: "graph-mailbox-full",
    stage: "graph-send",
    recipient: "full",
    meaning: "the sending mailbox is full",
    action: error(507, "ErrorQuotaExceeded", "Mailbox has exceeded maximum mailbox size."),
  },
  {
    name: "graph-named-properties",
    stage: "graph-send",
    meaning: "the mailbox has no place for another kind of header",
    action: error(400, "ErrorQuotaExceeded", "Cannot get ID from name."),
  },
  {
    name: "graph-submission-blocked",
    stage: "graph-send",
    recipient: "spam",
    meaning: "the account is blocked from sending",
    action: error(403, "ErrorMessageSubmissionBlocked", "Cannot send mail. Follow the instructions in your Inbox to verify your account."),
  },
  {
    name: "graph-daily-limit",
    stage: "graph-send",
    recipient: "quota",
    meaning: "10,000 recipients in 24 hours are used up",
    action: error(
      429,
      "ErrorExceededMessageLimit",
      "Cannot send mail. Daily Message/Recipient limit exceeded. Follow the instructions in your Inbox to verify your account.",
    ),
  },
  {
    name: "graph-send-throttled",
    stage: "graph-send",
    recipient: "throttle",
    meaning: "over four requests at once for one mailbox, for this recipient",
    action: wait(429, "ApplicationThrottled", CONCURRENCY, "10"),
  },
  {
    name: "graph-internal-error",
    stage: "graph-send",
    recipient: "tempfail",
    meaning: "an error inside the mailbox server",
    action: error(500, "ErrorInternalServerError", "An internal server error occurred. The operation failed."),
  },
  {
    name: "graph-ok-unsent",
    stage: "graph-send",
    meaning: "200 instead of 202, and nothing is sent",
    action: { kind: "http", status: 200 },
  },
  { name: "graph-timeout-unsent", stage: "graph-send", meaning: "504, and nothing is sent", action: error(504, "GatewayTimeout", GATEWAY) },
  {
    name: "graph-cut-unsent",
    stage: "graph-send",
    recipient: "cut",
    meaning: "the connection is cut, nothing is sent",
    action: { kind: "reset" },
  },

  {
    name: "graph-ok-sent",
    stage: "graph-answer",
    meaning: "200 instead of 202, but the message is sent",
    action: { kind: "http", status: 200 },
  },
  {
    name: "graph-timeout-sent",
    stage: "graph-answer",
    recipient: "gateway",
    meaning: "504, but the message is sent",
    action: error(504, "GatewayTimeout", GATEWAY),
  },
  {
    name: "graph-answer-lost",
    stage: "graph-answer",
    recipient: "drop",
    meaning: "the message is sent, but the connection is cut before the answer",
    action: { kind: "reset" },
  },
  {
    name: "graph-answer-slow",
    stage: "graph-answer",
    recipient: "slow",
    meaning: "the message is sent, the answer comes 20 seconds later",
    action: { kind: "delay", ms: 20_000 },
  },
  {
    name: "graph-answer-hold",
    stage: "graph-answer",
    meaning: "the message is sent, the answer is held back until this is cleared",
    action: { kind: "hold" },
  },
];

export const GRAPH_FAULTS: readonly FaultDefinition[] = ROWS.map((row) => Object.assign({ hosts: ["graph"] as const }, row));
