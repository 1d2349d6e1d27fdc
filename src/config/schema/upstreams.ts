/** The ways out. */
import { z } from "./engine.ts";
import { readGraphHost, readGraphMailbox, readHttpsUrl } from "../values.ts";
import { OAuthCredential, PasswordCredential, SubmissionCredential } from "./credentials.ts";
import { authorities, derivedLimits, limits, ownNetwork, sender } from "./door-fields.ts";
import { about, address, fqdn, host, ip, line, listOf, name, oneOf, pattern, port, path, secret, text } from "./fields.ts";
import { TLS_MODES } from "./receive.ts";

const type = <T extends string>(word: T, description: string) => about(z.literal(word), { description, apply: "reload" });

const authority = () =>
  about(text(readHttpsUrl, "https URL", "an https URL such as https://login.microsoftonline.com").optional(), {
    description: "Sign-in service; the tenant is added to it.",
    default_text: "the cloud's, https://login.microsoftonline.com worldwide",
    apply: "reload",
  });

const scope = (standard: string) =>
  about(line("text", "a scope that ends in /.default", 512).optional(), {
    description: "Scope of the token. With a device-code credential: delegated scopes, separated by spaces.",
    default_text: `the cloud's, ${standard} worldwide`,
    apply: "reload",
  });

export const PRESETS = ["hve", "acs"] as const;

const SmtpAuth = z.strictObject({
  type: type("smtp-auth", "Submission to Exchange Online, High Volume Email or Azure Communication Services: STARTTLS, then AUTH."),
  preset: about(oneOf(PRESETS).optional(), {
    description:
      "Another service than a mailbox of Exchange Online, with its host, scope and limits. hve: High Volume Email, internal recipients only; acs: Azure Communication Services.",
    default_text: "Exchange Online",
    apply: "reload",
  }),
  mailbox: about(address(), {
    description: "Mailbox that signs in and sends; the account of High Volume Email; a sender address of Azure Communication Services.",
    samples: ["scanner@contoso.com"],
    apply: "reload",
  }),
  credential: about(SubmissionCredential, { description: "How this door signs in.", apply: "reload" }),
  host: about(host().optional(), {
    description: "Submission host.",
    default_text: "the preset's or the cloud's, smtp.office365.com worldwide",
    apply: "reload",
  }),
  port: about(port().prefault(587), { description: "Port of the submission host.", apply: "reload" }),
  authority: authority(),
  scope: scope("https://outlook.office365.com/.default"),
  ca: authorities("the submission host or the sign-in service"),
  sender: sender("auto", "the mailbox"),
  limits: derivedLimits({
    messages_per_minute: "30; hve: none",
    messages_per_hour: "none; acs: 100",
    connections: "2",
    recipients_per_day: "9500; hve and acs: none",
    external_recipients_per_day: "none",
    recipients_per_message: "450; hve and acs: 50",
    max_message_size: "33MiB; hve and acs: 9500KiB",
  }),
  network: ownNetwork(),
});

/** Where Microsoft 365 takes the tenant's own mail. */
const mxHost = {
  domain: about(fqdn().optional(), {
    description: "Domain whose MX is looked up: the tenant's host for incoming mail.",
    default_text: "the first of organization.domains",
    samples: ["contoso.com"],
    apply: "reload",
  }),
  host: about(host().optional(), {
    description: "The tenant's host by name, instead of a look-up: where the MX points elsewhere, or where there is no DNS.",
    default_text: "looked up",
    samples: ["contoso-com.mail.protection.outlook.com"],
    apply: "reload",
  }),
  port: about(port().prefault(25), { description: "Its port.", apply: "reload" }),
};

const NO_MAILBOX = "organization.default_sender";

const DirectSend = z.strictObject({
  type: type("direct-send", "Direct Send: to the tenant's own MX, without signing in, internal recipients only."),
  ...mxHost,
  tls: about(oneOf(["required", "opportunistic"]).prefault("required"), {
    description:
      "required: STARTTLS with a certificate for the host's name, or nothing is sent; opportunistic: STARTTLS where it is offered, with any certificate.",
    apply: "reload",
  }),
  ca: authorities("the host"),
  sender: sender("keep", NO_MAILBOX),
  limits: limits({
    messages_per_minute: "none",
    connections: 5,
    recipients_per_day: "none",
    recipients_per_message: 100,
    max_message_size: "33MiB",
  }),
  network: ownNetwork(),
});

const Connector = z.strictObject({
  type: type(
    "connector",
    "Through an inbound connector of the tenant, to anybody. By certificate; without one by this network's public address.",
  ),
  ...mxHost,
  certificate: about(path().optional(), {
    description:
      "Certificate that the connector knows, with all intermediates, PEM, leaf first. Goes together with key. Files are watched.",
    default_text: "none: by IP address",
    samples: ["certs/connector.pem"],
    apply: "reload",
  }),
  key: about(path().optional(), { description: "Its private key, PEM.", samples: ["certs/connector.key"], apply: "reload" }),
  passphrase: about(secret().optional(), { description: "Passphrase of the key, where it has one.", apply: "reload" }),
  tls: about(z.literal("required").prefault("required"), {
    description: "A connector is never used without STARTTLS and a certificate for the host's name.",
    apply: "reload",
  }),
  ca: authorities("the host"),
  sender: sender("keep", NO_MAILBOX),
  limits: limits({
    messages_per_minute: "none",
    connections: 10,
    recipients_per_day: "none",
    recipients_per_message: 100,
    max_message_size: "33MiB",
  }),
  network: ownNetwork(),
});

const Graph = z.strictObject({
  type: type("graph", "Microsoft Graph sendMail over HTTPS."),
  mailbox: about(text(readGraphMailbox, "address, `from`", "an address with a domain such as scanner@contoso.com, or from"), {
    description: "Mailbox that sends. from: the sender's own, for senders that allow lists.",
    samples: ["scanner@contoso.com", "from"],
    apply: "reload",
  }),
  allow: about(listOf(pattern()).optional(), {
    description: "With mailbox: from, the senders whose mailbox may be used, as addresses or patterns.",
    default_text: "required with mailbox: from",
    samples: [["erp@contoso.com", "*@sales.contoso.com"]],
    apply: "reload",
  }),
  credential: about(OAuthCredential, { description: "How the application gets its token from Microsoft Entra ID.", apply: "reload" }),
  graph_host: about(text(readGraphHost, "host name, https URL", "a host name such as graph.microsoft.com, or an https URL").optional(), {
    description: "Host of Microsoft Graph.",
    default_text: "the cloud's, https://graph.microsoft.com worldwide",
    apply: "reload",
  }),
  authority: authority(),
  scope: scope("https://graph.microsoft.com/.default"),
  large_messages: about(oneOf(["next", "draft"]).prefault("next"), {
    description:
      "Messages over 2000KiB. next: they take the route's next door; draft: they are rebuilt as a draft with uploaded attachments, which needs Mail.ReadWrite and loses signatures.",
    apply: "reload",
  }),
  ca: authorities("Graph or the sign-in service"),
  sender: sender("auto", "the mailbox"),
  limits: derivedLimits({
    messages_per_minute: "none",
    messages_per_hour: "none",
    connections: "4",
    recipients_per_day: "9500",
    external_recipients_per_day: "none",
    recipients_per_message: "450",
    max_message_size: "2000KiB; with large_messages: draft 33MiB",
  }),
  network: ownNetwork(),
});

const SmartHost = z.strictObject({
  type: type("smart-host", "Any SMTP server."),
  host: about(host(), { description: "The server; no MX lookup.", samples: ["mail.corp.local"], apply: "reload" }),
  port: about(port().prefault(25), { description: "Its port.", apply: "reload" }),
  tls: about(oneOf(TLS_MODES).prefault("opportunistic"), {
    description:
      "none: never; opportunistic: STARTTLS where it is offered, with any certificate; required: STARTTLS with a valid certificate; implicit: TLS from the first byte with a valid certificate.",
    apply: "reload",
  }),
  credential: about(PasswordCredential.optional(), {
    description: "Signing in, where the server asks for it.",
    default_text: "no sign-in",
    apply: "reload",
  }),
  ca: authorities("the server"),
  source_address: about(ip().optional(), {
    description: "Local address of the connections.",
    default_text: "network.source_address",
    apply: "reload",
  }),
  sender: sender("keep", NO_MAILBOX),
  limits: limits({
    messages_per_minute: "none",
    connections: 20,
    recipients_per_day: "none",
    recipients_per_message: 100,
    max_message_size: "33MiB",
  }),
  network: ownNetwork(),
});

export const Upstreams = z.record(
  name(),
  z.discriminatedUnion("type", [SmtpAuth, DirectSend, Connector, Graph, SmartHost]).meta({ description: "A way out of the house." }),
);
