/** How a door proves who it is. */
import { z } from "./engine.ts";
import { readDate } from "../values.ts";
import { about, line, oneOf, path, secret, text } from "./fields.ts";
import { CLOUDS, tenant } from "./organization.ts";

const clientId = () =>
  about(line("text", "the application's (client) id"), {
    description: "Application (client) id of the app registration.",
    apply: "reload",
  });

const ownTenant = {
  tenant: about(tenant().optional(), { description: "Tenant of this application.", default_text: "organization.tenant", apply: "reload" }),
  cloud: about(oneOf(CLOUDS).optional(), {
    description: "Microsoft cloud of this application.",
    default_text: "organization.cloud",
    apply: "reload",
  }),
};

const ClientSecret = z.strictObject({
  type: about(z.literal("client-secret"), { description: "The application signs in with a secret.", apply: "reload" }),
  client_id: clientId(),
  secret: about(secret(), {
    description: "Value of the client secret.",
    samples: [{ credential: "entra-secret" }, { file: "secrets/entra" }],
    apply: "reload",
  }),
  expires: about(text(readDate, "date", "a date such as 2027-03-01").optional(), {
    description: "Last day of the secret, as the portal shows it: a warning comes in time.",
    samples: ["2027-03-01"],
    apply: "reload",
  }),
  ...ownTenant,
});

const ClientCertificate = z.strictObject({
  type: about(z.literal("client-certificate"), { description: "The application signs in with a certificate.", apply: "reload" }),
  client_id: clientId(),
  certificate: about(path(), {
    description: "Certificate that was uploaded to the app registration, PEM.",
    samples: ["certs/entra.pem"],
    apply: "reload",
  }),
  key: about(path(), { description: "Its private key, PEM.", samples: ["certs/entra.key"], apply: "reload" }),
  passphrase: about(secret().optional(), { description: "Passphrase of the key, where it has one.", apply: "reload" }),
  ...ownTenant,
});

const DeviceCode = z.strictObject({
  type: about(z.literal("device-code"), {
    description: "A person signs in once with `postern auth login UPSTREAM`; from then on Postern renews the sign-in by itself.",
    apply: "reload",
  }),
  client_id: clientId(),
  ...ownTenant,
});

const ManagedIdentity = z.strictObject({
  type: about(z.literal("managed-identity"), {
    description: "This machine's own identity: a server connected with Azure Arc, or a virtual machine in Azure. No secret at all.",
    apply: "reload",
  }),
  client_id: about(line("text", "the identity's client id").optional(), {
    description: "Client id of a user-assigned identity; Azure Arc has none of these.",
    default_text: "the system-assigned identity",
    apply: "reload",
  }),
  ...ownTenant,
});

const password = () => about(secret(), { description: "Password.", samples: [{ file: "secrets/smart-host" }], apply: "reload" });

const MailboxPassword = z.strictObject({
  type: about(z.literal("password"), {
    description:
      "User name and password: for High Volume Email, Azure Communication Services (there the password is the application's client secret), and others.",
    apply: "reload",
  }),
  username: about(line("text", "a user name", 512).optional(), {
    description: "User name. Azure Communication Services: `RESOURCE|CLIENT-ID|TENANT-ID`, or a user name that was made there.",
    default_text: "the mailbox",
    apply: "reload",
  }),
  password: password(),
  expires: about(text(readDate, "date", "a date such as 2027-03-01").optional(), {
    description: "Last day of the password, where it has one: a warning comes in time.",
    apply: "reload",
  }),
});

/** Any SMTP server's. */
export const PasswordCredential = z.strictObject({
  type: about(z.literal("password"), { description: "User name and password (AUTH PLAIN or LOGIN).", apply: "reload" }),
  username: about(line("text", "a user name"), { description: "User name.", apply: "reload" }),
  password: password(),
});

/** What Microsoft Entra ID takes. */
export const OAuthCredential = z.discriminatedUnion("type", [ClientSecret, ClientCertificate, DeviceCode, ManagedIdentity]);

/** What submission takes. */
export const SubmissionCredential = z.discriminatedUnion("type", [
  ClientSecret,
  ClientCertificate,
  DeviceCode,
  ManagedIdentity,
  MailboxPassword,
]);
