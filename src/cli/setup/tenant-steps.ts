/** What is to be done in the tenant, in the DNS and in the printers, for exactly the doors that were chosen. */
import type { Answers, DoorKind } from "./answers.ts";
import { DOOR_NAMES } from "./config-file.ts";

/** A text as PowerShell takes it: nothing in it is expanded. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

// In quotes like what is known: PowerShell stops at a bare "<" before it has read which command is meant.
const CLIENT_ID = quoted("<application id>");

function has(answers: Answers, ...doors: readonly DoorKind[]): boolean {
  return answers.doors.some((door) => doors.includes(door));
}

const APPLICATION =
  "# --- The application. In Entra (https://entra.microsoft.com): App registrations > New registration, this organizational directory only.";

function mailboxSteps(mailbox: string): string[] {
  return [
    "# --- The mailbox",
    `if (-not (Get-Mailbox ${mailbox} -ErrorAction SilentlyContinue)) { New-Mailbox -Shared -Name 'Postern' -PrimarySmtpAddress ${mailbox} }`,
  ];
}

function smtpAuthSwitch(mailbox: string): string[] {
  return ["# --- SMTP AUTH for this mailbox only", `Set-CASMailbox ${mailbox} -SmtpClientAuthenticationDisabled $false`];
}

/** The application signs in as itself, and its rights are limited to one mailbox in Exchange Online. */
function applicationSteps(answers: Answers): string[] {
  const mailbox = quoted(answers.mailbox ?? "");
  const assign = (role: string): string =>
    `New-ManagementRoleAssignment -Role 'Application ${role}' -App $app -CustomResourceScope 'Postern'`;
  return [
    APPLICATION,
    answers.credential === "certificate"
      ? `# Certificates & secrets > Certificates > Upload certificate: ${answers.files.certificate}`
      : `# Certificates & secrets > New client secret: copy its VALUE (not its id) into ${answers.files.secret}`,
    "# The object id is the one under ENTERPRISE APPLICATIONS, not under App registrations:",
    `$app = ${answers.clientId === undefined ? CLIENT_ID : quoted(answers.clientId)}`,
    `$object = (Get-MgServicePrincipal -Filter "appId eq '$app'").Id`,
    "New-ServicePrincipal -AppId $app -ObjectId $object -DisplayName 'Postern'",
    "",
    ...mailboxSteps(mailbox),
    "# One mailbox and no other: the scope of the rights below. Do not add SMTP.SendAsApp or Mail.Send in Entra: there they hold for every mailbox.",
    `New-ManagementScope -Name 'Postern' -RecipientRestrictionFilter "PrimarySmtpAddress -eq '${(answers.mailbox ?? "").replaceAll("'", "''")}'"`,
    "",
    ...(has(answers, "mailbox") ? [...smtpAuthSwitch(mailbox), assign("SMTP.SendAsApp"), ""] : []),
    ...(has(answers, "graph")
      ? [
          "# --- Graph",
          assign("Mail.Send"),
          "# Optional: lets Postern look whether a message whose answer was lost has left",
          assign("Mail.Read"),
          "",
        ]
      : []),
    "# Rights take up to an hour to work everywhere.",
    `Test-ServicePrincipalAuthorization -Identity $app -Resource ${mailbox}`,
    "",
  ];
}

/** A certificate names a host in an accepted domain; a name of this relay elsewhere, such as of the inner network, can be in none. */
function connectorName({ hostname, domains }: Answers): string {
  const isOurs = domains.some((domain) => hostname === domain || hostname.endsWith(`.${domain.replace(/^\*\./, "")}`));
  return isOurs ? hostname : "<name in the certificate>";
}

/** A person signs in once, and the application acts for that person. */
function signInSteps(answers: Answers): string[] {
  const mailbox = quoted(answers.mailbox ?? "");
  const rights = [
    ...(has(answers, "mailbox") ? ["Office 365 Exchange Online > SMTP.Send"] : []),
    ...(has(answers, "graph") ? ["Microsoft Graph > Mail.Send and Mail.Send.Shared"] : []),
  ];
  return [
    APPLICATION,
    "# Authentication > Allow public client flows: Yes",
    `# API permissions > Delegated permissions: ${rights.join("; ")}`,
    "",
    ...mailboxSteps(mailbox),
    ...(has(answers, "mailbox") ? smtpAuthSwitch(mailbox) : []),
    "# Who signs in needs these rights, unless it is the mailbox itself:",
    `Add-MailboxPermission -Identity ${mailbox} -User '<person>' -AccessRights FullAccess`,
    `Add-RecipientPermission -Identity ${mailbox} -Trustee '<person>' -AccessRights SendAs`,
    `# Then, on this machine: ${answers.doors
      .filter((door) => door === "mailbox" || door === "graph")
      .map((door) => `postern auth login ${DOOR_NAMES[door]}`)
      .join("; ")}`,
    "",
  ];
}

/** The PowerShell script with its comments, ending in a line feed. Nothing in it needs more than Exchange Online and Graph's modules. */
export function renderPowerShell(answers: Answers): string {
  const asApplication = has(answers, "mailbox", "graph") && answers.credential !== "device-code";
  const lines = [
    `# For an administrator of the tenant. Once: Install-Module ExchangeOnlineManagement${asApplication ? ", Microsoft.Graph.Applications" : ""}`,
    "Connect-ExchangeOnline",
    ...(asApplication ? ["Connect-MgGraph -Scopes Application.Read.All   # to look the object id up"] : []),
    "",
  ];
  if (has(answers, "mailbox", "graph"))
    lines.push(...(answers.credential === "device-code" ? signInSteps(answers) : applicationSteps(answers)));
  if (has(answers, "connector-certificate")) {
    lines.push(
      `# --- Connector by certificate: of a public authority, for a name in ${answers.domains.join(" or ")}, with its intermediates in ${answers.files.connectorCertificate}`,
      `New-InboundConnector -Name 'Postern' -ConnectorType OnPremises -SenderDomains * -RequireTls $true -TlsSenderCertificateName ${quoted(connectorName(answers))}`,
      "",
    );
  }
  if (has(answers, "connector-address")) {
    lines.push(
      "# --- Connector by address: fixed, public, and nobody else's",
      `New-InboundConnector -Name 'Postern by address' -ConnectorType OnPremises -SenderDomains * -SenderIPAddresses ${answers.publicAddress ?? quoted("<public address>")}`,
      "",
    );
  }
  if (has(answers, "direct-send"))
    lines.push(
      "# --- Direct Send: must not be refused for the organization (or make a connector instead)",
      "Get-OrganizationConfig | Format-List RejectDirectSend",
      "",
    );
  if (has(answers, "high-volume"))
    lines.push(
      `# --- High Volume Email: Exchange admin center > Mail flow > High volume email: add ${answers.volumeAccount ?? ""}, its password into ${answers.files.volumePassword}`,
      "",
    );
  return `${lines.join("\n").trimEnd()}\n`;
}

/** DNS records to have, one line each; empty where the doors need none. */
export function dnsRecords(answers: Answers): string[] {
  if (!has(answers, "connector-certificate", "connector-address", "direct-send")) return [];
  const address = answers.publicAddress ?? "<public address>";
  return answers.domains
    .filter((domain) => !domain.startsWith("*."))
    .map(
      (domain) =>
        `${domain}.  TXT  "v=spf1 ip4:${address} include:spf.protection.outlook.com -all"   (one SPF record per domain: merge it with yours)`,
    );
}

/** What to type into the devices. */
export function deviceSheet(answers: Answers): string[] {
  const ports = [...new Set(answers.listen.map((listen) => listen.slice(listen.lastIndexOf(":") + 1)))];
  return [
    `Server            ${answers.hostname} (or its address)`,
    `Port              ${ports.join(" or ")}`,
    "Authentication    none",
    `Encryption        ${answers.oldTls ? "none, or STARTTLS where the device insists" : "none"}`,
    `Sender            ${answers.defaultSender}, or any address in ${answers.domains.join(", ")}`,
    `Recipients        ${answers.recipients === "any" ? "anybody" : `addresses in ${answers.domains.join(", ")}`}`,
    `Devices           in ${answers.networks.join(", ")}`,
  ];
}
