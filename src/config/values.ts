/** How single values are written in the file: durations, sizes, names, addresses. Each reader gives the value, or what was expected. */
import { isIP } from "node:net";
import { canonicalAddress, canonicalDomain, patternFault, splitAddress } from "../mail/address.ts";
import type { Endpoint, SyslogAddress } from "./config.ts";

/** A value as read; or what the text should have been, as the end of a sentence that starts with "expected". */
export type Read<T> = { readonly value: T } | { readonly expected: string };

const DURATION_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const SIZE_OCTETS: Readonly<Record<string, number>> = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 };

export const DURATION_PATTERN = "^[0-9]{1,6}[smhd]$";
export const SIZE_PATTERN = "^[0-9]{1,7}(KiB|MiB|GiB|TiB)$";

/** `30s 5m 4h 2d` in ms. */
export function readDuration(text: string): Read<number> {
  const unit = DURATION_MS[text.slice(-1)];
  if (unit === undefined || !new RegExp(DURATION_PATTERN).test(text)) return { expected: "a duration such as 30s, 5m, 4h or 2d" };
  return { value: Number(text.slice(0, -1)) * unit };
}

/** `64KiB 35MiB 2GiB` in octets. */
export function readSize(text: string): Read<number> {
  const unit = SIZE_OCTETS[text.slice(-3)];
  if (unit === undefined || !new RegExp(SIZE_PATTERN).test(text)) return { expected: "a size such as 64KiB, 35MiB or 2GiB" };
  return { value: Number(text.slice(0, -3)) * unit };
}

const RATE_UNIT_MS: Readonly<Record<string, number>> = { s: 1000, min: 60_000, h: 3_600_000, d: 86_400_000 };

/** `120/min 1000/h` as a number in ms. */
export function readRate(text: string): Read<{ readonly count: number; readonly perMs: number }> {
  const match = /^([0-9]{1,7})\/(s|min|h|d)$/.exec(text);
  const perMs = RATE_UNIT_MS[match?.[2] ?? ""];
  const count = Number(match?.[1] ?? 0);
  if (perMs === undefined || count < 1) return { expected: "a number in a time such as 120/min, 1000/h or 20000/d" };
  return { value: { count, perMs } };
}

/** The shortest way to write a size, for messages. */
export function formatSize(octets: number): string {
  for (const unit of ["TiB", "GiB", "MiB", "KiB"]) {
    const factor = SIZE_OCTETS[unit] ?? 1;
    if (octets >= factor && octets % factor === 0) return `${octets / factor}${unit}`;
  }
  return `${octets} octets`;
}

const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** True for dot-separated letter-digit-hyphen labels in lower case, 253 octets at most (RFC 1123 section 2.1). */
function isHostName(name: string): boolean {
  return (
    name.length <= 253 &&
    isIP(name) === 0 &&
    name.split(".").every((label) => LABEL.test(label)) &&
    !/^[0-9]+$/.test(name.split(".").at(-1) ?? "")
  );
}

/** A fully qualified host name in ASCII, lower-cased. */
export function readFqdn(text: string): Read<string> {
  const name = text.toLowerCase();
  if (!isHostName(name) || !name.includes(".")) return { expected: "a full host name such as relay.contoso.com" };
  return { value: name };
}

/** A host to connect to: a name, also a short one, or an IP address. */
export function readHost(text: string): Read<string> {
  if (isIP(text) !== 0 && !text.includes("%")) return { value: text.toLowerCase() };
  const name = canonicalDomain(text);
  if (!isHostName(name)) return { expected: "a host name or an IP address, without a port" };
  return { value: name };
}

/** An accepted domain in canonical form; `*.contoso.com` stands for all subdomains. */
export function readDomain(text: string): Read<string> {
  const wildcard = text.startsWith("*.");
  const name = canonicalDomain(wildcard ? text.slice(2) : text);
  // Microsoft 365 has no domain of a single label: it is a name cut short.
  if (!isHostName(name) || !name.includes(".")) return { expected: 'a domain such as contoso.com, or "*.contoso.com" for its subdomains' };
  return { value: wildcard ? `*.${name}` : name };
}

/** A full address with its domain in canonical form. */
export function readAddress(text: string): Read<string> {
  const { local, domain } = splitAddress(text);
  const expected = "an address with a domain such as it@contoso.com";
  if (local === "" || local.length > 64 || hasSpaceOrControl(text) || /[<>]/.test(text) || !isHostName(canonicalDomain(domain)))
    return { expected };
  // A mailbox of that name is possible, a pattern in the wrong place is what it is.
  if (local === "*") return { expected: "one address such as it@contoso.com, no pattern" };
  return { value: canonicalAddress(text) };
}

/** One pattern of addresses, see `mail/address.ts`. */
export function readPattern(text: string): Read<string> {
  if (hasSpaceOrControl(text)) return { expected: "an address, *@domain, *@*.domain, or one of: any, internal, external" };
  const fault = patternFault(text);
  if (fault === undefined) return { value: text };
  return { expected: fault.startsWith("expected ") ? fault.slice("expected ".length) : `an address pattern (${fault})` };
}

function hasSpaceOrControl(text: string): boolean {
  return /[\s\p{Cc}]/u.test(text);
}

/** `:25`, `0.0.0.0:587`, `[::]:25`. */
export function readEndpoint(text: string): Read<Endpoint> {
  const expected = 'an address and a port such as ":25", "0.0.0.0:587" or "[::]:25"';
  const match = /^(?:|\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):([0-9]{1,5})$/.exec(text);
  if (match === null) return { expected };
  const [, v6, v4, digits] = match;
  const port = Number(digits);
  if (port > 65_535) return { expected: `${expected}; ports end at 65535` };
  if (v6 !== undefined && isIP(v6) !== 6) return { expected };
  if (v4 !== undefined && isIP(v4) !== 4) return { expected };
  return { value: { host: (v6 ?? v4)?.toLowerCase(), port, text } };
}

const SYSLOG_PORTS: Readonly<Record<string, number>> = { udp: 514, tcp: 514, tls: 6514 };

/** `udp://host`, `tcp://host:514`, `tls://host:6514`, `unix:/dev/log`. */
export function readSyslogAddress(text: string): Read<SyslogAddress> {
  const expected = "an address such as udp://192.0.2.5, tcp://siem.contoso.com:514, tls://siem.contoso.com:6514 or unix:/dev/log";
  const local = /^unix:(\/[^\0]{1,106})$/.exec(text);
  if (local?.[1] !== undefined && !hasSpaceOrControl(text)) return { value: { transport: "unix", path: local[1] } };
  const match = /^(udp|tcp|tls):\/\/(?:\[([0-9A-Fa-f:.]+)\]|([^:/[\]\s]+))(?::([0-9]{1,5}))?$/.exec(text);
  if (match === null) return { expected };
  const [, transport = "", v6, name, digits] = match;
  const port = Number(digits ?? SYSLOG_PORTS[transport]);
  const host = readHost(v6 ?? name ?? "");
  if (!("value" in host) || (v6 !== undefined && isIP(v6) !== 6) || port < 1 || port > 65_535) return { expected };
  return { value: { transport: transport as "udp" | "tcp" | "tls", host: host.value, port } };
}

/** True for addresses that only this machine can reach: 127.0.0.0/8 and ::1. */
export function isLoopback(host: string | undefined): boolean {
  return host !== undefined && (host.startsWith("127.") || host === "::1" || host === "0:0:0:0:0:0:0:1");
}

/** An IP address without a zone. */
export function readIp(text: string): Read<string> {
  return isIP(text) !== 0 && !text.includes("%") ? { value: text.toLowerCase() } : { expected: "an IP address" };
}

/** A calendar day; the value is the end of it in UTC, as ms since the epoch. */
export function readDate(text: string): Read<number> {
  const start = /^[0-9]{4}-[0-9]{2}-[0-9]{2}$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : Number.NaN;
  if (Number.isNaN(start) || new Date(start).toISOString().slice(0, 10) !== text) return { expected: "a date such as 2027-03-01" };
  return { value: start + 86_400_000 };
}

/** An IANA time zone, as this machine knows them. */
export function readTimeZone(text: string): Read<string> {
  try {
    return { value: new Intl.DateTimeFormat("en", { timeZone: text }).resolvedOptions().timeZone };
  } catch {
    return { expected: "a time zone such as Europe/Paris or UTC" };
  }
}

/** Whether it is an id as Entra gives them. */
export function isGuid(text: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
}

/** The id (GUID) or a domain of an Entra tenant. */
export function readTenant(text: string): Read<string> {
  const name = text.toLowerCase();
  if (isGuid(name)) return { value: name };
  if (isHostName(name) && name.includes(".")) return { value: name };
  return { expected: "the tenant's id or one of its domains, such as contoso.onmicrosoft.com" };
}

/** An https URL without query, for a sign-in service; no slash at the end. */
export function readHttpsUrl(text: string): Read<string> {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (
    url === undefined ||
    url.protocol !== "https:" ||
    url.search !== "" ||
    url.hash !== "" ||
    url.username !== "" ||
    url.password !== ""
  ) {
    return { expected: "an https URL such as https://login.microsoftonline.com" };
  }
  return { value: url.href.replace(/\/+$/, "") };
}

/** `none`, or a proxy's URL. A user in it would be a secret written literally. */
export function readProxy(text: string): Read<string> {
  if (text === "none") return { value: text };
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const plain = url !== undefined && ["http:", "https:"].includes(url.protocol) && url.pathname === "/" && url.search + url.hash === "";
  if (!plain || url.username !== "" || url.password !== "")
    return { expected: "none, or a URL without a user such as http://proxy.contoso.com:3128" };
  return { value: url.origin };
}

/** A name server: an address, with a port where it is not 53; the form that `Resolver.setServers` takes. */
export function readDnsServer(text: string): Read<string> {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::([0-9]{1,5}))?$/.exec(text);
  const [address, port] = match === null ? [text, undefined] : [match[1] ?? match[2] ?? "", match[3]];
  if (isIP(address) === 0 || address.includes("%") || Number(port ?? 53) > 65_535 || Number(port ?? 53) === 0)
    return { expected: "an IP address, with or without a port" };
  if (port === undefined) return { value: address };
  return { value: isIP(address) === 6 ? `[${address}]:${port}` : `${address}:${port}` };
}

/** A mailbox's address, or the word `from`. */
export function readGraphMailbox(text: string): Read<string> {
  if (text === "from") return { value: text };
  const read = readAddress(text);
  return "value" in read ? read : { expected: "an address with a domain such as scanner@contoso.com, or from" };
}

/** A host of Microsoft Graph; the value is an https URL without a slash at the end. */
export function readGraphHost(text: string): Read<string> {
  const read = readHttpsUrl(text.includes("://") ? text : `https://${text}`);
  return "value" in read && !/\s/.test(text) ? read : { expected: "a host name such as graph.microsoft.com, or an https URL" };
}

/** A moment on the clock on the wall: `2026-12-01T12:00`, seconds and a zone (`Z`, `+01:00`) if one likes. */
export function readMoment(text: string): Read<string> {
  const expected = "a time such as 2026-12-01T12:00";
  const match = /^(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2})(:\d{2})?(Z|[+-]\d{2}:\d{2})?$/.exec(text);
  const day = match?.[1] ?? "";
  const start = Date.parse(`${day}T${match?.[2] ?? ""}${match?.[3] ?? ":00"}Z`);
  if (match === null || Number.isNaN(start) || new Date(start).toISOString().slice(0, 10) !== day) return { expected };
  return { value: text };
}
