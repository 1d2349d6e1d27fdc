/** SPF (RFC 7208) as far as a relay needs it: does a domain's record allow Microsoft, and the address that we are seen at? */
import { BlockList, isIP } from "node:net";

/** What is asked of DNS; rejects with Node's codes (`ENOTFOUND`, `ENODATA`, `ETIMEOUT` …). */
export interface SpfDns {
  txt(name: string): Promise<readonly string[]>;
  /** IPv4 and IPv6 addresses; empty where there are none. */
  addresses(name: string): Promise<readonly string[]>;
  /** Names of hosts; empty where there are none. */
  mx(name: string): Promise<readonly string[]>;
}

/** What a domain's record says. */
export type SpfRecord =
  | { readonly kind: "record"; readonly text: string }
  | { readonly kind: "none" }
  /** More than one is an error that voids all. */
  | { readonly kind: "several"; readonly count: number }
  /** The domain does not exist here. */
  | { readonly kind: "unknown-domain" }
  | { readonly kind: "unanswered"; readonly why: string };

/** RFC 7208 §4.6.4. */
const MOST_LOOK_UPS = 10;

function codeOf(error: unknown): string {
  const { code } = error as { code?: unknown };
  return typeof code === "string" ? code : "unknown";
}

/** Never rejects. */
export async function findSpf(domain: string, dns: SpfDns): Promise<SpfRecord> {
  try {
    const records = (await dns.txt(domain)).filter((text) => /^v=spf1(?: |$)/i.test(text));
    const [text] = records;
    if (text === undefined) return { kind: "none" };
    return records.length > 1 ? { kind: "several", count: records.length } : { kind: "record", text };
  } catch (error) {
    const code = codeOf(error);
    if (code === "ENODATA") return { kind: "none" };
    return code === "ENOTFOUND" ? { kind: "unknown-domain" } : { kind: "unanswered", why: code };
  }
}

/** True where the record names one of these domains as an include or redirect, at any depth that it may have. */
export async function includes(record: string, wanted: readonly string[], dns: SpfDns): Promise<boolean> {
  const walk = new Walk(dns);
  let found = false;
  await walk.visit(record, (term) => {
    if ((term.name === "include" || term.name === "redirect") && wanted.includes(term.value.toLowerCase())) found = true;
    return found;
  });
  return found;
}

/** `pass`: mail of the domain may come from this address. `unclear`: macros, too many look-ups, or a name server that does not answer. */
export async function allows(record: string, domain: string, address: string, dns: SpfDns): Promise<"pass" | "no" | "unclear"> {
  const walk = new Walk(dns);
  const outcome = await walk.check(record, domain, address);
  return walk.unclear && outcome !== "pass" ? "unclear" : outcome;
}

interface Term {
  readonly qualifier: string;
  /** `ip4`, `include`, `all`, `redirect` … */
  readonly name: string;
  readonly value: string;
  readonly prefix: string;
}

function termsOf(record: string): Term[] {
  const terms: Term[] = [];
  for (const word of record.split(/\s+/).slice(1)) {
    const match = /^([+?~-]?)([a-z][\w.-]*)(?:[:=]([^/]*))?(\/.*)?$/i.exec(word);
    if (match === null) continue;
    const [, qualifier = "", name = "", value = "", prefix = ""] = match;
    // IPv6 addresses hold colons: what follows the first one is the value.
    terms.push({ qualifier: qualifier === "" ? "+" : qualifier, name: name.toLowerCase(), value, prefix });
  }
  return terms;
}

class Walk {
  unclear = false;
  readonly #dns: SpfDns;
  #lookUps = 0;

  constructor(dns: SpfDns) {
    this.#dns = dns;
  }

  /** Every term of the record and of those it leads to, until `done` says so. */
  async visit(record: string, done: (term: Term) => boolean): Promise<boolean> {
    for (const term of termsOf(record)) {
      if (done(term)) return true;
      if (term.name !== "include" && term.name !== "redirect") continue;
      const next = await this.#recordOf(term.value);
      if (next !== undefined && (await this.visit(next, done))) return true;
    }
    return false;
  }

  async check(record: string, domain: string, address: string): Promise<"pass" | "no"> {
    const terms = termsOf(record);
    for (const term of terms) {
      if (!(await this.#matches(term, domain, address))) continue;
      return term.qualifier === "+" ? "pass" : "no";
    }
    const redirect = terms.find(({ name }) => name === "redirect");
    const next = redirect === undefined ? undefined : await this.#recordOf(redirect.value);
    return next === undefined || redirect === undefined ? "no" : await this.check(next, redirect.value, address);
  }

  async #matches({ name, value, prefix }: Term, domain: string, address: string): Promise<boolean> {
    switch (name) {
      case "all":
        return true;
      case "ip4":
      case "ip6":
        return isWithin(address, value, prefix);
      case "include": {
        const next = await this.#recordOf(value);
        return next !== undefined && (await this.check(next, value, address)) === "pass";
      }
      case "a":
        return await this.#isHost(value === "" ? domain : value, prefix, address);
      case "mx": {
        for (const host of (await this.#ask(async () => await this.#dns.mx(value === "" ? domain : value))) ?? [])
          if (await this.#isHost(host, prefix, address)) return true;
        return false;
      }
      case "redirect":
      case "exp":
        return false;
      default:
        // exists, ptr: what they come to depends on the message.
        this.unclear = true;
        return false;
    }
  }

  async #isHost(host: string, prefix: string, address: string): Promise<boolean> {
    const addresses = (await this.#ask(async () => await this.#dns.addresses(host))) ?? [];
    return addresses.some((own) => isWithin(address, own, prefix));
  }

  async #recordOf(domain: string): Promise<string | undefined> {
    if (domain.includes("%")) {
      this.unclear = true;
      return undefined;
    }
    const found = await this.#ask(async () => await findSpf(domain, this.#dns));
    if (found?.kind === "unanswered") this.unclear = true;
    return found?.kind === "record" ? found.text : undefined;
  }

  async #ask<T>(question: () => Promise<T>): Promise<T | undefined> {
    this.#lookUps += 1;
    if (this.#lookUps > MOST_LOOK_UPS) {
      this.unclear = true;
      return undefined;
    }
    try {
      return await question();
    } catch {
      this.unclear = true;
      return undefined;
    }
  }
}

/** @param prefix - `/24`, `//64`, `/24//64` or nothing */
function isWithin(address: string, network: string, prefix: string): boolean {
  const family = isIP(network);
  if (family === 0 || isIP(address) !== family) return false;
  const given = (family === 4 ? /^\/(\d+)/ : /(?:^|\/)\/(\d+)$/).exec(prefix)?.[1];
  const most = family === 4 ? 32 : 128;
  const bits = given === undefined ? most : Number(given);
  if (bits > most) return false;
  const list = new BlockList();
  const kind = family === 4 ? "ipv4" : "ipv6";
  list.addSubnet(network, bits, kind);
  return list.check(address, kind);
}
