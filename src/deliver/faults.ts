/** What faults without a reply mean: of the network, of TLS, of a credential, of the content, and the token endpoint's AADSTS numbers. */
import type { Meaning } from "./answers.ts";

/** One kind of fault. */
export interface FaultRow extends Meaning {
  /** `Refusal.fault.code`, any of them; without a number for AADSTS rows. */
  readonly codes: readonly string[];
}

const NETWORK_REMEDY =
  "Check name resolution and the firewall: postern needs to reach the upstream's host and port; nothing else is to be done, mail leaves when it can";
const NEW_SECRET =
  "Make a new secret in Entra admin center > App registrations > Certificates & secrets, and put its value (not its id) where the upstream's secret points to";

/** Faults of the connection that come before any mail is offered; later in a session they are a message's bad luck and only retried. */
export const FAULTS: readonly FaultRow[] = [
  {
    id: "unreachable",
    codes: ["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EADDRNOTAVAIL", "EACCES", "EPERM"],
    outcome: "retry",
    scope: "upstream",
    cause: "the next hop cannot be reached",
    remedy: NETWORK_REMEDY,
  },
  {
    id: "name-unknown",
    codes: ["ENOTFOUND", "EAI_AGAIN", "ENODATA", "ESERVFAIL"],
    outcome: "retry",
    scope: "upstream",
    cause: "the next hop's name cannot be resolved",
    remedy: NETWORK_REMEDY,
  },
  {
    id: "timed-out",
    codes: ["TIMEOUT", "ETIMEDOUT"],
    outcome: "retry",
    scope: "upstream",
    cause: "the next hop did not answer in time",
    remedy: NETWORK_REMEDY,
  },
  {
    id: "reset",
    codes: ["RESET", "ECONNRESET", "EPIPE"],
    outcome: "retry",
    scope: "upstream",
    cause: "the connection broke",
    remedy: NETWORK_REMEDY,
  },
  {
    id: "no-starttls",
    codes: ["NO_STARTTLS"],
    outcome: "hold",
    scope: "upstream",
    cause: "the next hop offers no STARTTLS",
    remedy:
      "A firewall may strip it: exempt this port from inspection. For a smart host inside, set tls: opportunistic or none on the upstream",
  },
  {
    id: "certificate",
    codes: ["CERTIFICATE"],
    outcome: "hold",
    scope: "upstream",
    cause: "the next hop's certificate is not valid",
    remedy:
      "If a firewall inspects TLS, exempt this port; if the host has a certificate of your own authority, name that in the upstream's ca; else correct host to the name in the certificate",
  },
  {
    id: "tls-failed",
    codes: ["TLS"],
    outcome: "retry",
    scope: "upstream",
    holdAfterMs: 3_600_000,
    cause: "the TLS handshake failed",
    remedy: "The next hop must speak TLS 1.2 or better: openssl s_client -starttls smtp -connect HOST:PORT shows what it offers",
  },
  {
    id: "no-auth-offered",
    codes: ["NO_AUTH_OFFERED"],
    outcome: "hold",
    scope: "upstream",
    cause: "the next hop offers no authentication that we can use",
    remedy: "Use the submission host and port (smtp.office365.com, 587), or remove the credential from an upstream that needs none",
  },
  {
    id: "cleartext-auth",
    codes: ["CLEARTEXT_AUTH"],
    outcome: "hold",
    scope: "upstream",
    cause: "the password would have gone over a line without verified TLS",
    remedy: "Set tls: required on the upstream, or remove its credential",
  },
  {
    id: "secret-missing",
    codes: ["SECRET", "E_SECRET"],
    outcome: "hold",
    scope: "upstream",
    cause: "the upstream's secret, certificate or key cannot be read",
    remedy: "postern check names the file; put it there, readable for the service's user",
  },
  {
    id: "too-large",
    codes: ["TOO_LARGE"],
    outcome: "bounce",
    scope: "message",
    status: "5.3.4",
    cause: "the message is too large for the next hop",
    remedy: "Scan with a lower resolution, or raise the limit of the upstream and of the next hop",
  },
  {
    id: "no-smtputf8",
    codes: ["NO_SMTPUTF8"],
    outcome: "bounce",
    scope: "message",
    status: "5.6.7",
    cause: "an address has characters beyond ASCII, which the next hop does not take",
    remedy: "Use an address of plain letters",
  },
  {
    id: "address-invalid",
    codes: ["INVALID_ADDRESS"],
    outcome: "bounce",
    scope: "message",
    status: "5.1.3",
    cause: "an address of the envelope cannot be written in SMTP",
    remedy: "Correct the address in the device",
  },
  {
    id: "protocol",
    codes: ["PROTOCOL"],
    outcome: "retry",
    scope: "upstream",
    cause: "the next hop's answers make no sense",
    remedy: "Check that the upstream's host and port belong to an SMTP server, and that no firewall rewrites SMTP",
  },
  {
    id: "token-endpoint-trouble",
    codes: ["TOKEN", "HTTP_429", "HTTP_500", "HTTP_502", "HTTP_503", "HTTP_504", "temporarily_unavailable", "server_error"],
    outcome: "retry",
    scope: "upstream",
    cause: "the token endpoint has trouble",
    remedy: "Wait; a proxy on the way may answer in its place: check that login.microsoftonline.com is reachable",
  },
  {
    id: "content-unreadable",
    codes: ["CONTENT", "EXCEPTION"],
    outcome: "retry",
    scope: "message",
    cause: "a fault on our side",
    remedy: "The log has the details; the message is tried again",
  },
];

/** Entra's numbers. Microsoft asks not to branch on them, and we do not: every one holds the door but the transient ones; they choose the remedy. */
export const ENTRA: readonly FaultRow[] = [
  {
    id: "secret-wrong",
    codes: ["AADSTS7000215"],
    outcome: "hold",
    scope: "upstream",
    cause: "Entra: the client secret is wrong (often its id was pasted instead of its value)",
    remedy: NEW_SECRET,
  },
  {
    id: "secret-expired",
    codes: ["AADSTS7000222"],
    outcome: "hold",
    scope: "upstream",
    cause: "Entra: the client secret has expired",
    remedy: NEW_SECRET,
  },
  {
    id: "secret-absent",
    codes: ["AADSTS7000218"],
    outcome: "hold",
    scope: "upstream",
    cause: "Entra: no secret and no assertion was sent",
    remedy: "Give the upstream's credential a secret, or a certificate with its key",
  },
  {
    id: "app-unknown",
    codes: ["AADSTS700016", "AADSTS700011"],
    outcome: "hold",
    scope: "upstream",
    cause: "Entra: the application is not known in this tenant",
    remedy:
      "Correct client_id and organization.tenant; then grant admin consent: Entra admin center > Enterprise applications > the application > Permissions",
  },
  {
    id: "tenant-unknown",
    codes: ["AADSTS90002", "AADSTS90038", "AADSTS900023"],
    outcome: "hold",
    scope: "upstream",
    cause: "Entra: the tenant does not exist in this cloud",
    remedy: "Correct organization.tenant, and organization.cloud for a national cloud",
  },
  {
    id: "consent-missing",
    codes: ["AADSTS65001", "AADSTS90094"],
    outcome: "hold",
    scope: "upstream",
    cause: "Entra: the application has no consent",
    remedy:
      "Entra admin center > App registrations > the application > API permissions: add Office 365 Exchange Online > SMTP.SendAsApp and grant admin consent",
  },
  {
    id: "assertion-refused",
    codes: ["AADSTS700027", "AADSTS50012", "AADSTS700030"],
    outcome: "hold",
    scope: "upstream",
    cause: "Entra: it does not know the certificate that signed our request",
    remedy:
      "Upload the certificate at Entra admin center > App registrations > Certificates & secrets, and check that the upstream's certificate and key are the same pair",
  },
  {
    id: "clock-wrong",
    codes: ["AADSTS700024"],
    outcome: "hold",
    scope: "upstream",
    cause: "Entra: our request is outside its time range",
    remedy: "Check this machine's clock: timedatectl",
  },
  {
    id: "account-disabled",
    codes: ["AADSTS7000112", "AADSTS50057"],
    outcome: "hold",
    scope: "upstream",
    cause: "Entra: the application or account is disabled",
    remedy: "Entra admin center > Enterprise applications > the application > Properties > Enabled for users to sign-in: Yes",
  },
  {
    id: "user-refused",
    codes: ["AADSTS50034", "AADSTS50126", "AADSTS50055", "AADSTS50053"],
    outcome: "hold",
    scope: "upstream",
    cause: "Entra: the account is unknown or locked, or its password wrong or expired",
    remedy: "Correct the credential; the sign-in log in the Entra admin center tells which",
  },
  {
    id: "policy-blocks",
    codes: ["AADSTS50076", "AADSTS50079", "AADSTS53003", "AADSTS530032", "AADSTS530035"],
    outcome: "hold",
    scope: "upstream",
    cause: "Entra: multi-factor, conditional access or security defaults block the sign-in",
    remedy: "Use application credentials (client-secret or client-certificate), or exclude the account from the policy",
  },
  {
    id: "sign-in-ended",
    codes: ["AADSTS70008", "AADSTS700082", "AADSTS70043", "AADSTS50173"],
    outcome: "hold",
    scope: "upstream",
    cause: "Entra: the sign-in has expired or was revoked",
    remedy: "Sign in again, or use application credentials",
  },
  {
    id: "scope-wrong",
    codes: ["AADSTS70011", "AADSTS500011"],
    outcome: "hold",
    scope: "upstream",
    cause: "Entra: the requested resource does not exist in this tenant",
    remedy: "Check organization.cloud and the upstream's scope; the tenant needs Exchange Online",
  },
  {
    id: "request-loop",
    codes: ["AADSTS50196"],
    outcome: "slow",
    scope: "upstream",
    waitMs: 300_000,
    cause: "Entra: too many token requests in a short time",
    remedy: "Wait five minutes; if it stays, find what else uses the same client_id",
  },
  {
    id: "entra-throttled",
    codes: ["AADSTS90055"],
    outcome: "slow",
    scope: "upstream",
    waitMs: 300_000,
    cause: "Entra: the tenant is throttled",
    remedy: "Wait",
  },
  {
    id: "entra-trouble",
    codes: ["AADSTS90033", "AADSTS90006", "AADSTS90024", "AADSTS50033"],
    outcome: "retry",
    scope: "upstream",
    cause: "Entra has trouble at the moment",
    remedy: "Wait; see Microsoft 365 admin center > Health > Service health",
  },
  {
    id: "entra-refused",
    codes: ["AADSTS"],
    outcome: "hold",
    scope: "upstream",
    cause: "Entra refuses to give a token",
    remedy: "Look the AADSTS number up at https://login.microsoftonline.com/error, correct the credential",
  },
];
