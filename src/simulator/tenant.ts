/** The tenant that the stand-in plays: domains, app registrations, mailboxes, and who may do what. Plain data that tests may change. */
import type { Cloud } from "./clouds.ts";

import { connectorFrom } from "./tenant-mail-flow.ts";
import type { AcsResource, ConnectorOptions, HveAccount, TenantConnector, TenantDns } from "./tenant-mail-flow.ts";

export type { AcsResource, HveAccount, TenantConnector } from "./tenant-mail-flow.ts";

/** A client secret of an app registration. */
export interface AppSecret {
  value: string;
  /** ms since the epoch */
  expiresAt: number;
}

/** A role of RBAC for Applications in Exchange: it needs no permission in Entra, and reaches only the mailboxes of its scope. */
export interface RoleAssignment {
  role: "Application SMTP.SendAsApp" | "Application Mail.Send" | "Application Mail.ReadWrite" | "Application Mail.Read";
  /** Addresses of the management scope; `all` without one. */
  scope: string[] | "all";
}

/** An app registration with its service principal in Exchange. */
export interface TenantApp {
  clientId: string;
  name: string;
  secrets: AppSecret[];
  /** Uploaded certificates, PEM. */
  certificates: string[];
  /** Application permissions with admin consent: `SMTP.SendAsApp`, `Mail.Send` … */
  permissions: string[];
  /** `New-ManagementRoleAssignment -App`. */
  roleAssignments: RoleAssignment[];
  /** "Allow public client flows": device code without a secret. */
  publicClient: boolean;
  /** No registration of its own: the identity of an Azure Arc machine, which has no secret either. */
  managedIdentity: boolean;
  disabled: boolean;
}

/** Limits that Exchange Online applies to one mailbox (exchange-online limits, section "Sending limits"). */
export interface MailboxLimits {
  messagesPerMinute: number;
  recipientsPerDay: number;
  connections: number;
  recipientsPerMessage: number;
  maxSendSizeBytes: number;
}

/** A mailbox. */
export interface TenantMailbox {
  address: string;
  aliases: string[];
  /** `Set-CASMailbox -SmtpClientAuthenticationDisabled`: true and false win over the organisation's setting, undefined follows it. */
  smtpAuth: boolean | undefined;
  /** `off`: an authentication policy forbids passwords; `on`: allowed; `retired`: refused with the announced final text. */
  basicAuth: "off" | "on" | "retired";
  password: string | undefined;
  /** Client ids whose service principal has Full Access, and addresses of users who have it. */
  fullAccess: string[];
  /** Addresses this mailbox may send as, by Send As on others. */
  sendAs: string[];
  /** `Set-Mailbox -MessageCopyForSMTPClientSubmissionEnabled`: mail sent by SMTP is copied to Sent Items. */
  keepsSubmissionCopies: boolean;
  /** `licensed`: in this tenant and enabled; `on-premises`: not hosted here, or without a licence. */
  hosting: "licensed" | "on-premises";
  limits: MailboxLimits;
  /** Where a multi-geo tenant keeps it: recipients of one transaction must be in one region (ATTR38). */
  region: string;
}

/** What the stand-in is, as a tenant. */
export interface Tenant {
  id: string;
  /** The initial domain, `contoso.onmicrosoft.com`. */
  domain: string;
  /** Accepted domains. */
  domains: string[];
  cloud: Cloud;
  /** The organisation's switch (`Set-TransportConfig -SmtpClientAuthenticationDisabled`). */
  smtpAuthDisabled: boolean;
  /** `Set-OrganizationConfig -RejectDirectSend`. */
  rejectDirectSend: boolean;
  /** Whether the MX host refuses recipients that the directory does not know (accepted domains of type Authoritative). */
  edgeBlocking: boolean;
  /** Exchange licences; 0: a tenant without a mail-enabled subscription. */
  licenses: number;
  /** A trial tenant may send to fewer external recipients. */
  trial: boolean;
  connectors: TenantConnector[];
  hveAccounts: HveAccount[];
  acsResources: AcsResource[];
  dns: TenantDns;
  /** Authorities besides the public ones and the stand-in's own whose client certificates the MX host believes, PEM. */
  trustedRoots: string[];
  apps: TenantApp[];
  mailboxes: TenantMailbox[];
}

/** What a caller may give for a mailbox: the rest is as a new mailbox would be. */
export type MailboxOptions = Partial<Omit<TenantMailbox, "limits">> & { address: string; limits?: Partial<MailboxLimits> | undefined };
/** What a caller may give for an app. */
export type AppOptions = Partial<TenantApp> & { clientId: string };
/** What a caller may give for a tenant; absent parts are those of the default tenant. */
export type TenantOptions = Partial<Omit<Tenant, "apps" | "mailboxes" | "connectors" | "dns">> & {
  apps?: AppOptions[] | undefined;
  mailboxes?: MailboxOptions[] | undefined;
  connectors?: ConnectorOptions[] | undefined;
  dns?: Partial<TenantDns> | undefined;
};

/** Microsoft's published limits. */
export const DEFAULT_LIMITS: Readonly<MailboxLimits> = {
  messagesPerMinute: 30,
  recipientsPerDay: 10_000,
  connections: 3,
  recipientsPerMessage: 500,
  maxSendSizeBytes: 35 * 1024 * 1024,
};

/** Client id of the default tenant's app. */
export const DEFAULT_CLIENT_ID = "11111111-2222-4333-8444-555555555555";
/** Secret of the default tenant's app: public on purpose, it opens nothing but the stand-in. */
export const DEFAULT_SECRET = "stand-in~secret~of~the~contoso~relay";
/** Password of the default tenant's High Volume Email account; as public as the secret. */
export const DEFAULT_HVE_PASSWORD = "stand-in-of-the-volume-account";
/** The source address that the default tenant's connector by address knows. */
export const CONNECTOR_ADDRESS = "127.0.0.2";
/** Client id of the default tenant's Arc machine. */
export const DEFAULT_MACHINE_ID = "22222222-3333-4444-8555-666666666666";
/** Id of the default tenant. */
export const DEFAULT_TENANT_ID = "8b1c6a2e-0f4d-4c57-9a63-2d5f7e9b1c04";

const RELAY_PERMISSIONS = ["SMTP.SendAsApp", "Mail.Send", "Mail.ReadWrite"];
const NEVER = Date.UTC(2099, 0, 1);

function mailboxFrom(given: MailboxOptions): TenantMailbox {
  return {
    aliases: [],
    smtpAuth: true,
    basicAuth: "off",
    password: undefined,
    fullAccess: [],
    sendAs: [],
    region: "EUR",
    keepsSubmissionCopies: true,
    hosting: "licensed",
    ...given,
    limits: { ...DEFAULT_LIMITS, ...given.limits },
  };
}

function appFrom(given: AppOptions): TenantApp {
  return {
    name: "Relay",
    secrets: [],
    certificates: [],
    permissions: ["SMTP.SendAsApp"],
    roleAssignments: [],
    publicClient: false,
    managedIdentity: false,
    disabled: false,
    ...given,
  };
}

/**
 * A whole tenant from what was given. Without apps it has one that may send with the mailbox scanner@ by SMTP and by Graph, and the identity
 * of an Azure Arc machine that may do the same; without mailboxes those of a small office: scanner@ (the only one open to SMTP AUTH), it@, anna@, bruno@, accounting@.
 */
export function makeTenant(given: TenantOptions = {}): Tenant {
  const domains = given.domains ?? ["contoso.com"];
  const home = domains[0] ?? "contoso.com";
  const apps = given.apps ?? [
    {
      clientId: DEFAULT_CLIENT_ID,
      name: "Contoso relay",
      secrets: [{ value: DEFAULT_SECRET, expiresAt: NEVER }],
      permissions: [...RELAY_PERMISSIONS],
      publicClient: true,
    },
    { clientId: DEFAULT_MACHINE_ID, name: "relay", permissions: [...RELAY_PERMISSIONS], managedIdentity: true },
  ];
  const people = ["it", "anna", "bruno", "accounting"].map((name): MailboxOptions => ({ address: `${name}@${home}`, smtpAuth: undefined }));
  const scanner: MailboxOptions = {
    address: `scanner@${home}`,
    fullAccess: apps.map((app) => app.clientId),
    sendAs: [`printers@${home}`],
  };
  return {
    id: given.id ?? DEFAULT_TENANT_ID,
    domain: given.domain ?? "contoso.onmicrosoft.com",
    domains: [...domains],
    cloud: given.cloud ?? "worldwide",
    // Off for organisations made since January 2020: each mailbox opts in.
    smtpAuthDisabled: given.smtpAuthDisabled ?? true,
    rejectDirectSend: given.rejectDirectSend ?? false,
    edgeBlocking: given.edgeBlocking ?? true,
    licenses: given.licenses ?? 25,
    trial: given.trial ?? false,
    connectors: (
      given.connectors ?? [
        { name: "Relay by certificate", tlsSenderCertificateName: home },
        { name: "Relay by address", senderIpAddresses: [CONNECTOR_ADDRESS] },
      ]
    ).map(connectorFrom),
    hveAccounts: given.hveAccounts ?? [
      { address: `hve@${home}`, password: DEFAULT_HVE_PASSWORD, basicAuth: "on", apps: apps.map((app) => app.clientId) },
    ],
    acsResources: given.acsResources ?? [
      {
        name: "contoso-acs",
        apps: apps.map((app) => app.clientId),
        domains: [home],
        limits: { messagesPerMinute: 30, messagesPerHour: 100 },
      },
    ],
    dns: { addresses: ["127.0.0.1"], mxHosts: {}, records: [], failures: {}, ...given.dns },
    trustedRoots: given.trustedRoots ?? [],
    apps: apps.map(appFrom),
    mailboxes: (given.mailboxes ?? [scanner, ...people]).map(mailboxFrom),
  };
}

/** The mailbox with this address or alias, without regard to case. */
export function findMailbox(tenant: Tenant, address: string): TenantMailbox | undefined {
  const wanted = address.toLowerCase();
  return tenant.mailboxes.find((mailbox) => ownsAddress(mailbox, wanted));
}

/** Whether an address is the mailbox's own: primary or alias. */
export function ownsAddress(mailbox: TenantMailbox, address: string): boolean {
  const wanted = address.toLowerCase();
  return mailbox.address.toLowerCase() === wanted || mailbox.aliases.some((alias) => alias.toLowerCase() === wanted);
}

/** Whether the mailbox may put this address in MAIL FROM and From:. */
export function maySendAs(mailbox: TenantMailbox, address: string): boolean {
  const wanted = address.toLowerCase();
  return ownsAddress(mailbox, wanted) || mailbox.sendAs.some((other) => other.toLowerCase() === wanted);
}

/** Whether an app has a role over this mailbox by RBAC for Applications. */
export function hasRole(app: TenantApp, role: RoleAssignment["role"], mailbox: TenantMailbox): boolean {
  return app.roleAssignments.some(
    (assignment) =>
      assignment.role === role && (assignment.scope === "all" || assignment.scope.some((address) => ownsAddress(mailbox, address))),
  );
}

/** Whether a user may open a mailbox: it is theirs, or they have Full Access. */
export function mayOpen(mailbox: TenantMailbox, user: string): boolean {
  return ownsAddress(mailbox, user) || mailbox.fullAccess.some((entry) => entry.toLowerCase() === user.toLowerCase());
}

/** Whether an address is in one of the tenant's accepted domains. */
export function isInside(tenant: Tenant, address: string): boolean {
  return isAcceptedDomain(tenant, address.slice(address.lastIndexOf("@") + 1));
}

/** Whether a domain is one of the tenant's accepted ones, the initial one included. */
export function isAcceptedDomain(tenant: Tenant, domain: string): boolean {
  const wanted = domain.toLowerCase();
  return wanted === tenant.domain.toLowerCase() || tenant.domains.some((own) => own.toLowerCase() === wanted);
}

/** Whether SMTP AUTH is open for a mailbox, and if not, who closed it. */
export function smtpAuthState(tenant: Tenant, mailbox: TenantMailbox): "open" | "off for the mailbox" | "off for the tenant" {
  if (mailbox.smtpAuth === true) return "open";
  if (mailbox.smtpAuth === false) return "off for the mailbox";
  return tenant.smtpAuthDisabled ? "off for the tenant" : "open";
}
