/** Mail flow of the tenant: inbound connectors, High Volume Email accounts, resources of Azure Communication Services, DNS. Plain data. */

/** An inbound connector (`New-InboundConnector`). */
export interface TenantConnector {
  name: string;
  /** Only OnPremises ("your organization's email server") may relay to the outside. */
  type: "OnPremises" | "Partner";
  enabled: boolean;
  /** `-SenderIPAddresses`: IPv4 addresses or networks of /24 to /32. */
  senderIpAddresses: string[];
  /** `-TlsSenderCertificateName`: a name, or `*.contoso.com`. */
  tlsSenderCertificateName: string | undefined;
  /** `-SenderDomains` of a Partner connector: what it applies to. */
  senderDomains: string[];
  /** The next three act on Partner connectors only. */
  requireTls: boolean;
  restrictDomainsToIpAddresses: boolean;
  restrictDomainsToCertificate: boolean;
}

/** What a caller may give for a connector. */
export type ConnectorOptions = Partial<TenantConnector> & { name: string };

/** A connector from what was given. */
export function connectorFrom(given: ConnectorOptions): TenantConnector {
  return {
    type: "OnPremises",
    enabled: true,
    senderIpAddresses: [],
    tlsSenderCertificateName: undefined,
    senderDomains: [],
    requireTls: false,
    restrictDomainsToIpAddresses: false,
    restrictDomainsToCertificate: false,
    ...given,
  };
}

/** An account of High Volume Email. */
export interface HveAccount {
  address: string;
  password: string | undefined;
  /** `off`: an authentication policy forbids passwords. */
  basicAuth: "on" | "off";
  /** Client ids that may send as it (`Add-HVEAppAccess`). */
  apps: string[];
}

/** A resource of Azure Communication Services with its verified domains. */
export interface AcsResource {
  name: string;
  /** Client ids of the Entra apps that may send. */
  apps: string[];
  domains: string[];
  limits: { messagesPerMinute: number; messagesPerHour: number };
}

/** A record that stands in the tenant's zone instead of what the stand-in would say. */
export interface DnsRecord {
  name: string;
  type: "MX" | "A" | "AAAA" | "TXT" | "CNAME";
  /** An MX record's starts with the preference: `10 mail.example.net`. */
  data: string;
}

/** How a name is not answered. */
export type DnsFailure = "SERVFAIL" | "NXDOMAIN" | "REFUSED" | "EMPTY" | "SILENT";

/** What the DNS server says of the tenant. */
export interface TenantDns {
  /** Where host names of Microsoft lead. */
  addresses: string[];
  /** By accepted domain: its MX host, where it is not `contoso-com.mail.protection.outlook.com`. */
  mxHosts: Record<string, string>;
  records: DnsRecord[];
  /** By name; it goes for the name and what is under it. */
  failures: Record<string, DnsFailure>;
}

/** The MX host that Microsoft gave a domain. */
export function mxHostOf(dns: TenantDns, domain: string): string {
  return dns.mxHosts[domain.toLowerCase()] ?? `${domain.toLowerCase().replaceAll(".", "-")}.mail.protection.outlook.com`;
}
