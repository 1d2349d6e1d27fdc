/** What must agree between the keys of upstreams. */
import { isInternalDomain, splitAddress } from "../mail/address.ts";
import { CLOUD_ENDPOINTS } from "./clouds.ts";
import { error, warning } from "./disagreement.ts";
import type { Disagreement, Named } from "./disagreement.ts";
import type { KeyPath } from "./finding.ts";
import { graphLimits, MAILBOX, PRESETS } from "./presets.ts";
import type { ParsedFile } from "./schema/index.ts";
import { isGuid } from "./values.ts";

type ParsedUpstream = ParsedFile["upstreams"][string];
type Parsed<T extends ParsedUpstream["type"]> = Extract<ParsedUpstream, { type: T }>;
type Organization = ParsedFile["organization"] | undefined;

/** The largest message that a door takes, octets. */
export function largestMessage(upstream: ParsedUpstream): number {
  const { max_message_size: own } = upstream.limits;
  if (own !== undefined) return own;
  if (upstream.type === "graph") return graphLimits(upstream.large_messages).max_message_size;
  const service = upstream.type === "smtp-auth" && upstream.preset !== undefined ? PRESETS[upstream.preset] : MAILBOX;
  return service.limits.max_message_size;
}

/** Whether it takes recipients in the organization only. */
export function servesOnlyInside(upstream: ParsedUpstream): boolean {
  if (upstream.type === "direct-send") return true;
  return upstream.type === "smtp-auth" && upstream.preset !== undefined && PRESETS[upstream.preset].serves === "internal";
}

/** Everything within one upstream, then what several have in common. */
export function* upstreamDisagreements(upstreams: Named<ParsedUpstream>, organization: Organization): Generator<Disagreement> {
  for (const [name, upstream] of Object.entries(upstreams)) {
    const path = ["upstreams", name];
    yield* common(path, upstream);
    if (upstream.type === "smtp-auth" || upstream.type === "graph") {
      yield* mailboxKnown(path, upstream, organization);
      yield* applicationKnown(path, upstream.credential);
      yield* overMicrosoft(path, upstream);
    }
    if (upstream.type === "smtp-auth") yield* submission(path, upstream, organization);
    else if (upstream.type === "graph") yield* graph(path, upstream, organization);
    else if (upstream.type === "connector") yield* connector(path, upstream);
    else if (upstream.type === "smart-host") yield* smartHost(path, upstream);
  }
  yield* sharedAddresses(upstreams, organization);
}

function* common(path: KeyPath, upstream: ParsedUpstream): Generator<Disagreement> {
  if (upstream.ca !== undefined && upstream.network?.ca !== undefined)
    yield error([...path, "network", "ca"], "expected ca either here or beside type, not in both places");
  if ("source_address" in upstream && upstream.source_address !== undefined && upstream.network?.source_address !== undefined)
    yield error([...path, "network", "source_address"], "expected source_address either here or beside type, not in both places");
  const { mode, send_as } = upstream.sender;
  if (send_as.length > 0 && mode === "keep")
    yield warning([...path, "sender", "send_as"], "has no effect with mode: keep, where every sender stays as it is");
}

function* tenantKnown(path: KeyPath, credential: Parsed<"graph">["credential"], organization: Organization): Generator<Disagreement> {
  // A machine's own identity knows its tenant.
  if (credential.type === "managed-identity") return;
  if (organization !== undefined && organization.tenant === undefined && credential.tenant === undefined)
    yield error([...path, "credential"], "missing tenant; expected organization.tenant, or a tenant in this credential");
}

/** Microsoft sends only as addresses of the tenant's accepted domains; a domain that is misspelt, or missing in the list, is most likely. */
export function* foreignDomain(path: KeyPath, address: string, domains: readonly string[]): Generator<Disagreement> {
  const { domain } = splitAddress(address);
  if (domains.length === 0 || isInternalDomain(domain, domains)) return;
  yield warning(
    path,
    `${domain} is not in organization.domains (${domains.slice(0, 5).join(", ")}): add it there if it is a domain of the organization, else correct the address`,
  );
}

function* mailboxKnown(path: KeyPath, upstream: Parsed<"smtp-auth" | "graph">, organization: Organization): Generator<Disagreement> {
  const { mailbox, credential } = upstream;
  // A tenant of its own has domains of its own, and Azure Communication Services gives some away.
  const elsewhere = ("tenant" in credential && credential.tenant !== undefined) || ("preset" in upstream && upstream.preset === "acs");
  if (organization === undefined || elsewhere || mailbox === "from") return;
  yield* foreignDomain([...path, "mailbox"], mailbox, organization.domains);
}

function* applicationKnown(path: KeyPath, credential: Parsed<"smtp-auth">["credential"]): Generator<Disagreement> {
  if (credential.type === "password" || credential.client_id === undefined || isGuid(credential.client_id)) return;
  const where =
    credential.type === "managed-identity"
      ? "the identity's Client ID in the Azure portal"
      : "Application (client) ID on its overview in Entra";
  yield warning([...path, "credential", "client_id"], `is no id such as 11111111-2222-3333-4444-555555555555: take ${where}, not its name`);
}

/** What Exchange Online lets a mailbox do (Exchange Online limits: sending limits). */
const MICROSOFT_LIMITS = [
  ["messages_per_minute", 30, "30 messages a minute"],
  ["connections", 3, "3 connections"],
  ["recipients_per_day", 10_000, "10,000 recipients a day"],
] as const;

/** A limit that is higher than Microsoft's only means that Microsoft refuses mail, and slows the mailbox down for it. */
function* overMicrosoft(path: KeyPath, upstream: Parsed<"smtp-auth" | "graph">): Generator<Disagreement> {
  const isMailbox = upstream.type === "graph" || (upstream.preset === undefined && isExchange(upstream.host));
  if (!isMailbox || upstream.mailbox === "from") return;
  for (const [key, most, words] of MICROSOFT_LIMITS) {
    // Graph has no limit of the first kind, and another of the second.
    if (upstream.type === "graph" && (key === "messages_per_minute" || key === "connections")) continue;
    const own = upstream.limits[key];
    if (own !== undefined && (own === "none" || own > most))
      yield warning([...path, "limits", key], `Microsoft takes ${words} of a mailbox at most, and slows down or refuses what is over that`);
  }
}

function* submission(path: KeyPath, upstream: Parsed<"smtp-auth">, organization: Organization): Generator<Disagreement> {
  const { credential, preset } = upstream;
  if (credential.type !== "password") {
    if (preset === "acs")
      yield error(
        [...path, "credential", "type"],
        `expected password, not ${credential.type}: Azure Communication Services takes the application's client secret as a password`,
      );
    yield* tenantKnown(path, credential, organization);
    return;
  }
  if (preset === "acs" && credential.username === undefined)
    yield error([...path, "credential"], "missing username; expected RESOURCE|CLIENT-ID|TENANT-ID, or a user name that was made there");
  if (preset === undefined && isExchange(upstream.host)) {
    yield warning(
      [...path, "credential", "type"],
      "Exchange Online switches passwords for SMTP off: for existing tenants by default at the end of December 2026, where an administrator can still turn them on again. Use client-secret, client-certificate, managed-identity or device-code",
    );
  }
}

/** Whether a submission host is Exchange Online's; without one it is the cloud's. */
function isExchange(host: string | undefined): boolean {
  const own = Object.values(CLOUD_ENDPOINTS).map(({ submissionHost }) => submissionHost);
  return host === undefined || own.includes(host) || /(^|\.)(office365\.com|office365\.us|outlook\.cn|outlook\.com)$/.test(host);
}

function* graph(path: KeyPath, upstream: Parsed<"graph">, organization: Organization): Generator<Disagreement> {
  const { mailbox, allow, sender } = upstream;
  yield* tenantKnown(path, upstream.credential, organization);
  if (mailbox === "from") {
    if (allow === undefined || allow.length === 0)
      yield error([...path, allow === undefined ? "mailbox" : "allow"], "missing allow; expected the senders whose mailbox may be used");
    if (sender.mode === "rewrite" || sender.mode === "on-behalf-of")
      yield error([...path, "sender", "mode"], "expected auto or keep with mailbox: from, where every sender uses its own mailbox");
  } else if (allow !== undefined) {
    yield error([...path, "allow"], "expected mailbox: from with it; for addresses that this mailbox may send as there is sender.send_as");
  }
}

function* connector(path: KeyPath, { certificate, key, passphrase, domain, host }: Parsed<"connector">): Generator<Disagreement> {
  if (certificate !== undefined && key === undefined) yield error([...path, "certificate"], "expected a key with the certificate");
  if (key !== undefined && certificate === undefined) yield error([...path, "key"], "expected a certificate with the key");
  if (passphrase !== undefined && key === undefined) yield error([...path, "passphrase"], "expected a certificate and a key with it");
  if (domain !== undefined && host !== undefined) yield warning([...path, "domain"], "has no effect: host is given");
}

function* smartHost(path: KeyPath, { credential, tls }: Parsed<"smart-host">): Generator<Disagreement> {
  if (credential !== undefined && (tls === "none" || tls === "opportunistic")) {
    yield warning([...path, "tls"], `with tls: ${tls} the password may cross the network in the clear; required or implicit protects it`);
  }
}

/**
 * Microsoft looks for a connector before it thinks of Direct Send. From an address that an IP connector knows, mail handed in as Direct
 * Send comes in by the connector, with its rules and its limits.
 */
function* sharedAddresses(upstreams: Named<ParsedUpstream>, organization: Organization): Generator<Disagreement> {
  const all = Object.entries(upstreams);
  const placeOf = ({ host, domain }: Parsed<"direct-send" | "connector">): string => host ?? domain ?? organization?.domains[0] ?? "";
  const sourceOf = (upstream: ParsedUpstream): string => upstream.network?.source_address ?? "";
  for (const [name, upstream] of all) {
    if (upstream.type !== "direct-send") continue;
    const [connectorName] =
      all.find(
        ([, other]) => other.type === "connector" && placeOf(other) === placeOf(upstream) && sourceOf(other) === sourceOf(upstream),
      ) ?? [];
    if (connectorName === undefined) continue;
    yield warning(
      ["upstreams", name],
      `goes to the same host from the same address as ${connectorName}: if that connector knows this network by its address, Microsoft takes this mail for the connector's too`,
    );
  }
}
