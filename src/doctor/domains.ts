/** SPF of the organization's domains against the ways their mail leaves. */
import { BlockList, isIP } from "node:net";
import type { Config } from "../config/config.ts";
import type { DoctorFinding } from "./finding.ts";
import { allows, findSpf, includes, type SpfDns } from "./spf.ts";

/** Records of Microsoft 365, by cloud. */
const MICROSOFT_SPF = ["spf.protection.outlook.com", "spf.protection.office365.us", "spf.protection.partner.outlook.cn"];

const PRIVATE = new BlockList();
for (const [network, bits] of [
  ["10.0.0.0", 8],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["100.64.0.0", 10],
] as const)
  PRIVATE.addSubnet(network, bits, "ipv4");
PRIVATE.addSubnet("fc00::", 7, "ipv6");
PRIVATE.addSubnet("fe80::", 10, "ipv6");
PRIVATE.addAddress("::1", "ipv6");

/** The address that Microsoft sees us at: `250-HOST Hello [203.0.113.7]`. */
export function seenAddress(ehlo: string): string | undefined {
  const address = /\bHello \[([\da-f.:]+)\]/i.exec(ehlo)?.[1];
  return address !== undefined && isIP(address) !== 0 ? address : undefined;
}

/** @param seenAt - the address that Microsoft sees us at; undefined where no door told */
export async function* spfFindings(config: Config, seenAt: string | undefined, dns: SpfDns): AsyncGenerator<DoctorFinding> {
  const types = new Set(Object.values(config.upstreams).map(({ type }) => type));
  // Mail that Microsoft sends on, and mail that it gets from us as from anybody.
  const byMicrosoft = types.has("smtp-auth") || types.has("graph") || types.has("connector");
  const byUs = types.has("direct-send");
  if (!byMicrosoft && !byUs) return;
  for (const domain of config.organization.domains) {
    if (domain.startsWith("*."))
      yield { id: "spf", subject: domain, verdict: "not-tested", evidence: "a pattern has no record of its own" };
    else yield await spfFinding(domain, seenAt, byMicrosoft, byUs, dns);
  }
}

async function spfFinding(
  domain: string,
  seenAt: string | undefined,
  byMicrosoft: boolean,
  byUs: boolean,
  dns: SpfDns,
): Promise<DoctorFinding> {
  const about = { id: "spf", subject: domain } as const;
  const isPublic = seenAt !== undefined && !PRIVATE.check(seenAt, isIP(seenAt) === 4 ? "ipv4" : "ipv6");
  const ours = byUs && isPublic ? ` ip${isIP(seenAt)}:${seenAt}` : "";
  const wanted = `v=spf1${ours} include:${MICROSOFT_SPF[0]} -all`;
  const found = await findSpf(domain, dns);
  switch (found.kind) {
    case "unanswered":
      return { ...about, verdict: "not-tested", evidence: `the TXT records of ${domain} cannot be looked up: ${found.why}` };
    case "unknown-domain":
      return {
        ...about,
        verdict: "warning",
        evidence: `the name servers asked do not know ${domain}`,
        remedy: "If they are for inside only, name public ones in network.dns.servers; else correct organization.domains",
      };
    case "none":
      return {
        ...about,
        verdict: "fault",
        evidence: `${domain} has no SPF record: receivers take its mail for forged`,
        remedy: `Add this TXT record at ${domain}: ${wanted} (besides what else sends mail of the domain); it takes as long to be seen as the TTL of the domain's records`,
      };
    case "several":
      return {
        ...about,
        verdict: "fault",
        evidence: `${domain} has ${found.count} SPF records: that voids them all`,
        remedy: "Make one of them: v=spf1 once, then the terms of all, -all or ~all once at the end",
      };
    case "record":
      break;
    default:
      return found satisfies never;
  }
  const { text } = found;
  if (byMicrosoft && !(await includes(text, MICROSOFT_SPF, dns)))
    return {
      ...about,
      verdict: "fault",
      evidence: `the SPF record of ${domain} does not name Microsoft 365: ${text.slice(0, 300)}`,
      remedy: `Put include:${MICROSOFT_SPF[0]} into the record before its last term`,
    };
  if (!byUs) return { ...about, verdict: "ok", evidence: text.slice(0, 300) };
  if (!isPublic)
    return {
      ...about,
      verdict: "not-tested",
      evidence: `${text.slice(0, 300)}; whether it names this network's public address is not known: ${seenAt === undefined ? "no upstream told it" : `Microsoft's host sees ${seenAt}`}`,
      remedy: "Compare the record with the public address of this network: mail by Direct Send comes from there",
    };
  const outcome = await allows(text, domain, seenAt, dns);
  if (outcome === "pass")
    return { ...about, verdict: "ok", evidence: `it allows ${seenAt}, where Microsoft sees us: ${text.slice(0, 300)}` };
  if (outcome === "unclear")
    return { ...about, verdict: "not-tested", evidence: `whether it allows ${seenAt} cannot be told: ${text.slice(0, 300)}` };
  return {
    ...about,
    verdict: "fault",
    evidence: `the SPF record does not allow ${seenAt}, where Microsoft sees us: ${text.slice(0, 300)}`,
    remedy: `Put ip${isIP(seenAt)}:${seenAt} into the record before its last term: mail by Direct Send comes from there, and goes to Junk otherwise`,
  };
}
