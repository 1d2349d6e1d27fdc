/**
 * Whose mail is this? The MX host serves every tenant, and finds the one that a message belongs to by the certificate's domain, then the
 * envelope sender's, then the recipient's; which connector matches is asked apart from that. Pure: facts in, findings out.
 */
import type { PresentedCertificate } from "./client-certificate.ts";
import { domainOf } from "./smtp-syntax.ts";
import { isAcceptedDomain } from "./tenant.ts";
import type { Tenant, TenantConnector } from "./tenant.ts";

/** What is known of a client when a recipient is named. */
export interface Source {
  readonly certificate: PresentedCertificate;
  readonly address: string;
  readonly isSecure: boolean;
  readonly reversePath: string;
}

/** What was found. */
export interface Finding {
  /** How the tenant was found before the recipient was looked at; undefined: it was not. */
  readonly by: "certificate domain" | "envelope sender" | undefined;
  /** The first enabled connector that the certificate or the address matches, those of type OnPremises first. */
  readonly connector: TenantConnector | undefined;
  readonly connectorBy: "certificate" | "address" | undefined;
  /** Whether mail to the outside may pass: an OnPremises connector, and the tenant found (requirements since November 2023). */
  readonly mayRelay: boolean;
}

/** Finds tenant and connector. */
export function attribute(tenant: Tenant, source: Source): Finding {
  const { certificate, address, reversePath } = source;
  const enabled = tenant.connectors.filter((connector) => connector.enabled);
  const ordered = [...enabled.filter(({ type }) => type === "OnPremises"), ...enabled.filter(({ type }) => type === "Partner")];
  const byCertificate = ordered.find(
    ({ tlsSenderCertificateName: name }) => name !== undefined && certificate.names.some((own) => matchesCertificateName(name, own)),
  );
  const byAddress = ordered.find(({ senderIpAddresses }) => senderIpAddresses.some((network) => isInNetwork(address, network)));
  const onPremises = [byCertificate, byAddress].find((connector) => connector?.type === "OnPremises");
  const connector = onPremises ?? byCertificate ?? byAddress;

  const certificateCounts =
    certificate.names.some((name) => isAcceptedDomain(tenant, withoutWildcard(name))) || coversAccepted(tenant, byCertificate);
  const senderCounts = reversePath !== "" && isAcceptedDomain(tenant, domainOf(reversePath));
  const by = certificateCounts ? "certificate domain" : senderCounts ? "envelope sender" : undefined;
  const connectorBy = connector === undefined ? undefined : connector === byCertificate ? "certificate" : "address";
  return { by, connector, connectorBy, mayRelay: onPremises !== undefined && by !== undefined };
}

/** `*.contoso.com` in the connector lets mail.contoso.com count for contoso.com: Microsoft's advice where a host name is no accepted domain. */
function coversAccepted(tenant: Tenant, connector: TenantConnector | undefined): boolean {
  const name = connector?.tlsSenderCertificateName;
  return name?.startsWith("*.") === true && isAcceptedDomain(tenant, withoutWildcard(name));
}

function withoutWildcard(name: string): string {
  return name.replace(/^\*\./, "").toLowerCase();
}

/** Whether a connector's `-TlsSenderCertificateName` fits a name in the certificate; either may be a wildcard. */
export function matchesCertificateName(wanted: string, name: string): boolean {
  const a = wanted.toLowerCase();
  const b = name.toLowerCase();
  if (a === b) return true;
  if (a.startsWith("*.")) return b === a.slice(2) || b.endsWith(a.slice(1));
  return b.startsWith("*.") && a.slice(a.indexOf(".") + 1) === b.slice(2);
}

function toNumber(address: string): number | undefined {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(address)?.slice(1).map(Number);
  if (parts === undefined || parts.some((part) => part > 255)) return undefined;
  return parts.reduce((sum, part) => sum * 256 + part, 0);
}

/** Whether an IPv4 address is in a network, written `192.0.2.1` or `192.0.2.0/24`. */
export function isInNetwork(address: string, network: string): boolean {
  const [base = "", bits = "32"] = network.split("/");
  const [a, b] = [toNumber(address), toNumber(base)];
  const size = 2 ** (32 - Number(bits));
  return a !== undefined && b !== undefined && Math.floor(a / size) === Math.floor(b / size);
}

/** Whether `New-InboundConnector` would take it: IPv4, alone or a network of /24 to /32. */
export function isSenderAddress(network: string): boolean {
  const [base = "", bits = "32", ...rest] = network.split("/");
  return rest.length === 0 && toNumber(base) !== undefined && /^\d+$/.test(bits) && Number(bits) >= 24 && Number(bits) <= 32;
}
