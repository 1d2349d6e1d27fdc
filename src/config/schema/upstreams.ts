/** The ways out. */
import { z } from "./engine.ts";
import { readDate, readHttpsUrl } from "../values.ts";
import { about, address, host, integer, ip, line, listOf, name, oneOf, orWord, path, port, secret, text } from "./fields.ts";
import { CLOUDS, tenant } from "./organization.ts";
import { messageSize, TLS_MODES } from "./receive.ts";

const clientId = () =>
  about(line("text", "the application's (client) id"), {
    description: "Application (client) id of the app registration.",
    apply: "restart",
  });

const ownTenant = {
  tenant: about(tenant().optional(), { description: "Tenant of this application.", default_text: "organization.tenant", apply: "restart" }),
  cloud: about(oneOf(CLOUDS).optional(), {
    description: "Microsoft cloud of this application.",
    default_text: "organization.cloud",
    apply: "restart",
  }),
};

const ClientSecret = z.strictObject({
  type: about(z.literal("client-secret"), { description: "The application signs in with a secret.", apply: "restart" }),
  client_id: clientId(),
  secret: about(secret(), {
    description: "Value of the client secret.",
    samples: [{ credential: "entra-secret" }, { file: "secrets/entra" }],
    apply: "restart",
  }),
  expires: about(text(readDate, "date", "a date such as 2027-03-01").optional(), {
    description: "Last day of the secret, as the portal shows it: a warning comes in time.",
    samples: ["2027-03-01"],
    apply: "restart",
  }),
  ...ownTenant,
});

const ClientCertificate = z.strictObject({
  type: about(z.literal("client-certificate"), { description: "The application signs in with a certificate.", apply: "restart" }),
  client_id: clientId(),
  certificate: about(path(), {
    description: "Certificate that was uploaded to the app registration, PEM.",
    samples: ["certs/entra.pem"],
    apply: "restart",
  }),
  key: about(path(), { description: "Its private key, PEM.", samples: ["certs/entra.key"], apply: "restart" }),
  passphrase: about(secret().optional(), { description: "Passphrase of the key, where it has one.", apply: "restart" }),
  ...ownTenant,
});

const PasswordCredential = z.strictObject({
  type: about(z.literal("password"), { description: "User name and password (AUTH PLAIN or LOGIN).", apply: "restart" }),
  username: about(line("text", "a user name"), { description: "User name.", apply: "restart" }),
  password: about(secret(), { description: "Password.", samples: [{ file: "secrets/smart-host" }], apply: "restart" }),
});

const authorities = (what: string) =>
  about(listOf(path()).optional(), {
    description: `Files of further certificate authorities (PEM) that ${what} may have its certificate from.`,
    default_text: "network.ca",
    apply: "restart",
  });

const connections = (most: number, standard: number) =>
  about(integer(1, most).prefault(standard), { description: "Connections at the same time.", apply: "restart" });

const recipientsPerMessage = (most: number, standard: number) =>
  about(integer(1, most).prefault(standard), { description: "Recipients in one transaction; more are sent in several.", apply: "restart" });

const largestMessage = about(messageSize().prefault("33MiB"), { description: "Larger messages are refused on arrival.", apply: "restart" });

const SmtpAuth = z.strictObject({
  type: about(z.literal("smtp-auth"), { description: "Submission to Exchange Online: STARTTLS, then AUTH XOAUTH2.", apply: "restart" }),
  mailbox: about(address(), { description: "Mailbox that signs in and sends.", samples: ["scanner@contoso.com"], apply: "restart" }),
  credential: about(z.discriminatedUnion("type", [ClientSecret, ClientCertificate]), {
    description: "How the application gets its token from Microsoft Entra ID.",
    apply: "restart",
  }),
  host: about(host().optional(), {
    description: "Submission host.",
    default_text: "the cloud's, smtp.office365.com worldwide",
    apply: "restart",
  }),
  port: about(port().prefault(587), { description: "Port of the submission host.", apply: "restart" }),
  authority: about(text(readHttpsUrl, "https URL", "an https URL such as https://login.microsoftonline.com").optional(), {
    description: "Sign-in service; the tenant is added to it.",
    default_text: "the cloud's, https://login.microsoftonline.com worldwide",
    apply: "restart",
  }),
  scope: about(line("text", "a scope that ends in /.default", 512).optional(), {
    description: "Scope of the token.",
    default_text: "the cloud's, https://outlook.office365.com/.default worldwide",
    apply: "restart",
  }),
  ca: authorities("the submission host or the sign-in service"),
  limits: about(
    z
      .strictObject({
        messages_per_minute: about(integer(1, 100_000).prefault(30), {
          description: "Messages in any minute; Microsoft's limit for a mailbox is 30.",
          apply: "restart",
        }),
        connections: connections(100, 2),
        recipients_per_message: recipientsPerMessage(1000, 450),
        max_message_size: largestMessage,
      })
      .prefault({}),
    { description: "What this door can take.", apply: "restart" },
  ),
});

const SmartHost = z.strictObject({
  type: about(z.literal("smart-host"), { description: "Any SMTP server.", apply: "restart" }),
  host: about(host(), { description: "The server; no MX lookup.", samples: ["mail.corp.local"], apply: "restart" }),
  port: about(port().prefault(25), { description: "Its port.", apply: "restart" }),
  tls: about(oneOf(TLS_MODES).prefault("opportunistic"), {
    description:
      "none: never; opportunistic: STARTTLS where it is offered, with any certificate; required: STARTTLS with a valid certificate; implicit: TLS from the first byte with a valid certificate.",
    apply: "restart",
  }),
  credential: about(PasswordCredential.optional(), {
    description: "Signing in, where the server asks for it.",
    default_text: "no sign-in",
    apply: "restart",
  }),
  ca: authorities("the server"),
  source_address: about(ip().optional(), {
    description: "Local address of the connections.",
    default_text: "network.source_address",
    apply: "restart",
  }),
  limits: about(
    z
      .strictObject({
        messages_per_minute: about(orWord("none", integer(1, 100_000)).prefault("none"), {
          description: "Messages in any minute.",
          apply: "restart",
        }),
        connections: connections(100, 20),
        recipients_per_message: recipientsPerMessage(1000, 100),
        max_message_size: largestMessage,
      })
      .prefault({}),
    { description: "What this door can take.", apply: "restart" },
  ),
});

export const Upstreams = z.record(
  name(),
  z.discriminatedUnion("type", [SmtpAuth, SmartHost]).meta({ description: "A way out of the house." }),
);
