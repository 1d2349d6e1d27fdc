/** Mail addresses as values: canonical form, the words `any`, `internal`, `external`, and patterns of them. */
import { isIPv4 } from "node:net";
import { domainToASCII } from "node:url";

/** An address cut at its last `@`. `domain` is empty where there is none. */
export interface Mailbox {
  readonly local: string;
  readonly domain: string;
}

/** Cuts an address at its last `@`; a quoted local part may contain others (RFC 5321 §4.1.2). */
export function splitAddress(address: string): Mailbox {
  const at = address.lastIndexOf("@");
  return at < 0 ? { local: address, domain: "" } : { local: address.slice(0, at), domain: address.slice(at + 1) };
}

/** A domain as A-label in lower case without a trailing dot; the empty string when it is no domain name. */
export function canonicalDomain(domain: string): string {
  const bare = domain.endsWith(".") ? domain.slice(0, -1) : domain;
  if (bare === "" || bare.startsWith("[")) return bare.toLowerCase();
  if (/^[!-~]+$/.test(bare)) return bare.toLowerCase();
  return domainToASCII(bare).toLowerCase();
}

/** An address with its domain in canonical form; the local part stays as it is. */
export function canonicalAddress(address: string): string {
  const { local, domain } = splitAddress(address);
  return domain === "" ? local : `${local}@${canonicalDomain(domain)}`;
}

/** True when the two name the same mailbox as Exchange sees it: without regard to case, the local part included. */
export function sameAddress(a: string, b: string): boolean {
  return canonicalAddress(a).toLowerCase() === canonicalAddress(b).toLowerCase();
}

/** True when the address has octets beyond ASCII, so that the next hop must offer SMTPUTF8 (RFC 6531). */
export function isNonAscii(address: string): boolean {
  return /[\u0080-\u{10ffff}]/u.test(address);
}

/** True when the address can stand between `<` and `>` and mean itself there: brackets only in a quoted local part, no control character anywhere. */
export function isWritable(address: string): boolean {
  if (address === "" || /[\u0000-\u001f\u007f]/.test(address)) return false;
  return !/[<>]/.test(address.replace(/^"(?:[^"\\]|\\.)*"@/, ""));
}

/**
 * Whether a domain belongs to the organization: exactly one of `domains`, or below one written `*.contoso.com`.
 *
 * @param domain - in any form
 * @param domains - `organization.domains`, canonical, `*.` allowed
 */
export function isInternalDomain(domain: string, domains: readonly string[]): boolean {
  const canonical = canonicalDomain(domain);
  return domains.some((own) => (own.startsWith("*.") ? canonical.endsWith(own.slice(1)) : canonical === own));
}

/** Top-level names that nobody outside can answer to: RFC 6761, 6762, 8375, ICANN's reserved ones, and what cloud providers and routers use. */
const PRIVATE_SUFFIXES = [
  "local", "localdomain", "localhost", "lan", "internal", "intranet", "private", "corp", "home", "home.arpa", "invalid", "test", "workgroup", "mshome", "domain",
] as const; // prettier-ignore

/**
 * Whether mail from this domain could never be answered: literal, bare IP address, one label, or private. One of the organization's own
 * domains is never that.
 */
export function isUnusableDomain(domain: string, own: readonly string[]): boolean {
  if (domain === "" || domain.startsWith("[") || isIPv4(domain)) return true;
  if (isInternalDomain(domain, own)) return false;
  if (!domain.includes(".")) return true;
  return PRIVATE_SUFFIXES.some((suffix) => domain.endsWith(`.${suffix}`));
}

/**
 * Whether an answer to this address could arrive: a local part, and a full domain name that is not private.
 *
 * @param address - canonical
 */
export function isRoutable(address: string, own: readonly string[]): boolean {
  const { local, domain } = splitAddress(address);
  return local !== "" && /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)+$/.test(domain) && !isUnusableDomain(domain, own);
}

/** One entry of a list of addresses in the configuration: `a@d`, `*@d`, `*@*.d`, or a word. */
export type AddressPattern = string;

const WORDS = new Set(["any", "internal", "external"]);

/** Says what is wrong with a pattern; undefined when it is one. */
export function patternFault(pattern: string): string | undefined {
  if (WORDS.has(pattern)) return undefined;
  const { local, domain } = splitAddress(pattern);
  if (domain === "" || local === "") return "expected an address, *@domain, *@*.domain, or one of: any, internal, external";
  const name = domain.startsWith("*.") ? domain.slice(2) : domain;
  if (domain.startsWith("*.") && local !== "*") return "subdomains can only be matched whole: write *@*.domain";
  if (name.includes("*") || (local.includes("*") && local !== "*"))
    return "a star stands for a whole local part (*@domain) or for all subdomains (*@*.domain)";
  if (canonicalDomain(name) === "" || !/^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$/.test(canonicalDomain(name)))
    return "the part after @ is not a domain name";
  return undefined;
}

/**
 * Whether an address matches one of the patterns. An empty list matches nothing; the null reverse-path matches only `any`.
 *
 * @param address - canonical
 * @param domains - `organization.domains`, which give `internal` and `external` their meaning
 */
export function matchesPatterns(address: string, patterns: readonly AddressPattern[], domains: readonly string[]): boolean {
  const lower = address.toLowerCase();
  const { local, domain } = splitAddress(lower);
  return patterns.some((pattern) => {
    if (pattern === "any") return true;
    if (domain === "") return false;
    if (pattern === "internal") return isInternalDomain(domain, domains);
    if (pattern === "external") return !isInternalDomain(domain, domains);
    const wanted = splitAddress(pattern.toLowerCase());
    if (wanted.local !== "*" && wanted.local !== local) return false;
    return wanted.domain.startsWith("*.")
      ? domain.endsWith(`.${canonicalDomain(wanted.domain.slice(2))}`)
      : domain === canonicalDomain(wanted.domain);
  });
}
