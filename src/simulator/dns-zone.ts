/** What the DNS server says: the tenant's domains as Microsoft tells an administrator to set them up, and the host names of Microsoft. */
import { isIP } from "node:net";

import type { Answer, ResourceRecord } from "./dns-message.ts";
import { SERVER_NAMES } from "./pki.ts";
import { mxHostOf } from "./tenant-mail-flow.ts";
import type { DnsFailure } from "./tenant-mail-flow.ts";
import type { Tenant } from "./tenant.ts";

const TTL_SECONDS = 60;

/** Names that lead to the stand-in, in the form of its certificate: one label may stand for the asterisk. */
function isMicrosoftHost(name: string): boolean {
  return SERVER_NAMES.some(
    (known) => known === name || (known.startsWith("*.") && name.endsWith(known.slice(1)) && name !== known.slice(2)),
  );
}

/** How a name is kept from being answered: by its own switch, or by that of a name it is under. */
export function failureOf(tenant: Tenant, name: string): DnsFailure | undefined {
  const labels = name.split(".");
  const names = labels.map((_, index) => labels.slice(index).join("."));
  const { failures } = tenant.dns;
  return names.map((candidate) => failures[candidate]).find((failure) => failure !== undefined);
}

/**
 * Answers a question; records that were patched in stand instead of the stand-in's own of the same name and type.
 *
 * @param name - in lower case
 * @param type - `MX`, `A` …; undefined for types that are not known here
 */
export function answerFrom(tenant: Tenant, name: string, type: string | undefined): Answer {
  const failure = failureOf(tenant, name);
  if (failure === "SERVFAIL" || failure === "REFUSED") return { code: failure, answers: [], authority: [], additional: [] };
  if (failure === "NXDOMAIN") return negative(tenant, name, "NXDOMAIN");
  if (failure === "EMPTY") return negative(tenant, name, "NOERROR");

  const alias = recordsOf(tenant, name, "CNAME")[0];
  if (alias !== undefined && type !== "CNAME") {
    const target = answerFrom({ ...tenant, dns: { ...tenant.dns, records: withoutAlias(tenant, name) } }, alias.data.toLowerCase(), type);
    return { ...target, answers: [alias, ...target.answers] };
  }
  const answers = type === undefined ? [] : recordsOf(tenant, name, type);
  if (answers.length === 0) return negative(tenant, name, exists(tenant, name) ? "NOERROR" : "NXDOMAIN");
  const hosts = type === "MX" ? answers.map(({ data }) => (data.split(" ")[1] ?? "").toLowerCase()) : [];
  const additional = hosts.flatMap((host) => ["A", "AAAA"].flatMap((address) => recordsOf(tenant, host, address)));
  return { code: "NOERROR", answers, authority: [], additional };
}

/** An alias is followed once: a circle must not be walked for ever. */
function withoutAlias(tenant: Tenant, name: string): Tenant["dns"]["records"] {
  return tenant.dns.records.filter((record) => !(record.type === "CNAME" && record.name.toLowerCase() === name));
}

function domains(tenant: Tenant): string[] {
  return [...tenant.domains, tenant.domain].map((domain) => domain.toLowerCase());
}

function recordsOf(tenant: Tenant, name: string, type: string): ResourceRecord[] {
  const record = (data: string): ResourceRecord => ({ name, type, ttl: TTL_SECONDS, data });
  const patched = tenant.dns.records.filter((candidate) => candidate.name.toLowerCase() === name && candidate.type === type);
  if (patched.length > 0) return patched.map(({ data }) => record(data));
  if (domains(tenant).includes(name)) {
    if (type === "MX") return [record(`0 ${mxHostOf(tenant.dns, name)}`)];
    if (type === "TXT") return [record("v=spf1 include:spf.protection.outlook.com -all")];
  }
  if (isMicrosoftHost(name) && name.includes(".") && (type === "A" || type === "AAAA")) {
    return tenant.dns.addresses.filter((address) => isIP(address) === (type === "A" ? 4 : 6)).map(record);
  }
  return [];
}

function exists(tenant: Tenant, name: string): boolean {
  return isMicrosoftHost(name) || domains(tenant).includes(name) || tenant.dns.records.some((record) => record.name.toLowerCase() === name);
}

/** No such name, or no such record: with the zone's SOA, by which a resolver knows how long to believe it (RFC 2308). */
function negative(tenant: Tenant, name: string, code: "NXDOMAIN" | "NOERROR"): Answer {
  const zone = domains(tenant).find((domain) => name === domain || name.endsWith(`.${domain}`)) ?? name.split(".").slice(-2).join(".");
  const data = `ns1-01.azure-dns.com azuredns-hostmaster.microsoft.com 1 3600 300 2419200 ${TTL_SECONDS}`;
  return { code, answers: [], authority: [{ name: zone, type: "SOA", ttl: TTL_SECONDS, data }], additional: [] };
}
