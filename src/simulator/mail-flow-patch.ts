/** Changes over HTTP to what concerns mail flow: accepted domains, connectors, RejectDirectSend, licences, DNS, accounts of other doors. */
import { isIP } from "node:net";

import { isSenderAddress } from "./attribution.ts";
import { readCertificates } from "./client-certificate.ts";
import { PatchFault, boolean, count, domain, object, oneOf, text, texts, whole } from "./patch-values.ts";
import type { Change } from "./patch-values.ts";
import { connectorFrom } from "./tenant-mail-flow.ts";
import type { AcsResource, DnsRecord, HveAccount, TenantConnector, TenantDns } from "./tenant-mail-flow.ts";
import type { Tenant } from "./tenant.ts";

const RECORDS_MAX = 1000;
const RECORD_TYPES = ["MX", "A", "AAAA", "TXT", "CNAME"] as const;
const FAILURES = ["SERVFAIL", "NXDOMAIN", "REFUSED", "EMPTY", "SILENT"] as const;
/** A certificate is longer than other texts. */
const PEM_MAX = 50_000;

/**
 * What one key of a patch does to the tenant. Maps (`connectors`, `hveAccounts`, `acsResources`) are by name: an entry changes or adds, null removes.
 *
 * @throws PatchFault when it cannot be done
 */
export function mailFlowChange(tenant: Tenant, key: string, value: unknown): Change[] {
  switch (key) {
    case "rejectDirectSend":
    case "edgeBlocking":
    case "trial": {
      const on = boolean(value, key);
      return [() => (tenant[key] = on)];
    }
    case "domains": {
      const domains = texts(value, key).map((name) => domain(name, key));
      return [() => (tenant.domains = domains)];
    }
    case "licenses": {
      const licenses = whole(value, key);
      return [() => (tenant.licenses = licenses)];
    }
    case "trustedRoots": {
      const roots = pems(value, key);
      return [() => (tenant.trustedRoots = roots)];
    }
    case "connectors":
      return Object.entries(object(value, key)).map(([name, fields]) => named(tenant.connectors, "name", name, fields, connectorFields));
    case "hveAccounts":
      return Object.entries(object(value, key)).map(([name, fields]) => named(tenant.hveAccounts, "address", name, fields, hveFields));
    case "acsResources":
      return Object.entries(object(value, key)).map(([name, fields]) => named(tenant.acsResources, "name", name, fields, acsFields));
    case "dns": {
      const dns = dnsFields(tenant.dns, value);
      return [() => (tenant.dns = dns)];
    }
    default:
      throw new PatchFault(
        `${key}: unknown; expected smtpAuthDisabled, cloud, apps, mailboxes, domains, connectors, rejectDirectSend, edgeBlocking, licenses, trial, hveAccounts, acsResources, trustedRoots or dns`,
      );
  }
}

/** Changes, adds or removes the entry of this name in a list. */
function named<K extends string, T extends Record<K, string>>(
  list: T[],
  nameKey: K,
  name: string,
  fields: unknown,
  read: (name: string, fields: unknown, old: T | undefined) => T,
): Change {
  const isIt = (entry: T): boolean => entry[nameKey].toLowerCase() === name.toLowerCase();
  const old = list.find(isIt);
  const made = fields === null ? undefined : read(old?.[nameKey] ?? name, fields, old);
  return () => {
    const at = list.findIndex(isIt);
    if (at < 0) {
      if (made !== undefined) list.push(made);
    } else if (made === undefined) list.splice(at, 1);
    else list[at] = made;
  };
}

function connectorFields(name: string, fields: unknown, old: TenantConnector | undefined): TenantConnector {
  const connector = { ...(old ?? connectorFrom({ name })) };
  for (const [key, value] of Object.entries(object(fields, name))) {
    switch (key) {
      case "type":
        connector.type = oneOf(value, key, ["OnPremises", "Partner"]);
        break;
      case "enabled":
      case "requireTls":
      case "restrictDomainsToIpAddresses":
      case "restrictDomainsToCertificate":
        connector[key] = boolean(value, key);
        break;
      case "senderIpAddresses":
        connector.senderIpAddresses = texts(value, key);
        if (!connector.senderIpAddresses.every(isSenderAddress))
          throw new PatchFault(`${key}: expected IPv4 addresses or networks of /24 to /32`);
        break;
      case "senderDomains":
        connector.senderDomains = texts(value, key).map((entry) => domain(entry, key));
        break;
      case "tlsSenderCertificateName":
        connector.tlsSenderCertificateName = value === null ? undefined : text(value, key);
        break;
      default:
        throw new PatchFault(
          `${key}: unknown; expected type, enabled, senderIpAddresses, tlsSenderCertificateName, senderDomains, requireTls, restrictDomainsToIpAddresses or restrictDomainsToCertificate`,
        );
    }
  }
  return connector;
}

function hveFields(address: string, fields: unknown, old: HveAccount | undefined): HveAccount {
  const account: HveAccount = { ...(old ?? { address, password: undefined, basicAuth: "on", apps: [] }) };
  for (const [key, value] of Object.entries(object(fields, address))) {
    if (key === "password") account.password = text(value, key);
    else if (key === "basicAuth") account.basicAuth = oneOf(value, key, ["on", "off"]);
    else if (key === "apps") account.apps = texts(value, key);
    else throw new PatchFault(`${key}: unknown; expected password, basicAuth or apps`);
  }
  if (account.apps.length > 10) throw new PatchFault("apps: an account takes at most 10");
  return account;
}

function acsFields(name: string, fields: unknown, old: AcsResource | undefined): AcsResource {
  const resource: AcsResource = { ...(old ?? { name, apps: [], domains: [], limits: { messagesPerMinute: 30, messagesPerHour: 100 } }) };
  for (const [key, value] of Object.entries(object(fields, name))) {
    if (key === "apps") resource.apps = texts(value, key);
    else if (key === "domains") resource.domains = texts(value, key).map((entry) => domain(entry, key));
    else if (key === "messagesPerMinute" || key === "messagesPerHour") resource.limits = { ...resource.limits, [key]: count(value, key) };
    else throw new PatchFault(`${key}: unknown; expected apps, domains, messagesPerMinute or messagesPerHour`);
  }
  return resource;
}

function dnsFields(old: TenantDns, fields: unknown): TenantDns {
  const dns = { ...old };
  for (const [key, value] of Object.entries(object(fields, "dns"))) {
    switch (key) {
      case "addresses":
        dns.addresses = texts(value, key);
        if (!dns.addresses.every((address) => isIP(address) !== 0)) throw new PatchFault(`${key}: expected IP addresses`);
        break;
      case "mxHosts":
        dns.mxHosts = { ...dns.mxHosts };
        for (const [name, host] of Object.entries(object(value, key))) {
          if (host === null) delete dns.mxHosts[domain(name, key)];
          else dns.mxHosts[domain(name, key)] = domain(host, `${key}.${name}`);
        }
        break;
      case "failures":
        dns.failures = { ...dns.failures };
        for (const [name, failure] of Object.entries(object(value, key))) {
          if (failure === null) delete dns.failures[domain(name, key)];
          else dns.failures[domain(name, key)] = oneOf(failure, `${key}.${name}`, FAILURES);
        }
        break;
      case "records":
        if (!Array.isArray(value) || value.length > RECORDS_MAX) throw new PatchFault(`${key}: expected a list of records`);
        dns.records = value.map(dnsRecord);
        break;
      default:
        throw new PatchFault(`${key}: unknown; expected addresses, mxHosts, records or failures`);
    }
  }
  return dns;
}

const RECORD_DATA: Readonly<Record<DnsRecord["type"], (data: string) => boolean>> = {
  MX: (data) => /^\d{1,5} [A-Za-z0-9._-]+$/.test(data) && Number(data.split(" ")[0]) < 65_536,
  A: (data) => isIP(data) === 4,
  AAAA: (data) => isIP(data) === 6 && !data.includes("."),
  TXT: () => true,
  CNAME: (data) => /^[A-Za-z0-9._-]+$/.test(data),
};

function dnsRecord(value: unknown): DnsRecord {
  const { name, type, data, ...rest } = object(value, "records");
  if (Object.keys(rest).length > 0) throw new PatchFault("records: expected name, type and data");
  const record = { name: domain(name, "records.name"), type: oneOf(type, "records.type", RECORD_TYPES), data: text(data, "records.data") };
  if (!RECORD_DATA[record.type](record.data)) throw new PatchFault(`records.data: ${record.data} is no data of an ${record.type} record`);
  return record;
}

function pems(value: unknown, key: string): string[] {
  const isPem = (pem: unknown): pem is string => typeof pem === "string" && pem.length <= PEM_MAX && readCertificates(pem) !== undefined;
  if (Array.isArray(value) && value.length <= 20 && value.every(isPem)) return value;
  throw new PatchFault(`${key}: expected a list of at most 20 certificates in PEM`);
}
