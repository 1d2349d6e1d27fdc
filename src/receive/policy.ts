/** Relay policy: who may send as whom, to whom. Pure functions of (client, command); RFC 5321 §7.1, product rules of sender and recipients. */
import { canonicalAddress, isUnusableDomain, matchesPatterns, splitAddress } from "../mail/address.ts";
import type { AddressPattern } from "../mail/address.ts";
import type { Reply } from "../mail/reply.ts";

/** What policy needs of a client. */
export interface ClientPolicy {
  readonly name: string;
  readonly senders: readonly AddressPattern[];
  readonly recipients: readonly AddressPattern[];
  /** Stands in for a sender that cannot be used outside: an address. */
  readonly fallbackSender: string;
}

/** The organization's domains as written (canonical, `*.` allowed) and the one an address without domain belongs to. */
export interface Domains {
  readonly own: readonly string[];
  readonly first: string;
}

/** A sender as it goes on, or why not. */
export type SenderVerdict =
  | { readonly kind: "accepted"; readonly sender: string; readonly original: string | undefined }
  | { readonly kind: "refused"; readonly reply: Reply };

/** A recipient as it goes on, or why not. */
export type RecipientVerdict =
  | { readonly kind: "accepted"; readonly recipient: string }
  | { readonly kind: "refused"; readonly reply: Reply };

/**
 * Judges the reverse-path: `<>` passes; no domain gets the first one; an unusable domain becomes the fallback sender; then `senders` decides.
 *
 * @param path - canonical; undefined when the device named none at all
 */
export function judgeSender(path: string | undefined, client: ClientPolicy, domains: Domains): SenderVerdict {
  if (path === "") return { kind: "accepted", sender: "", original: undefined };
  const named = usableSender(path ?? "", client, domains);
  if (!matchesPatterns(named.sender, client.senders, domains.own)) {
    // Who reads the device's log knows only what the device said.
    const sender = named.original === undefined ? named.sender : `${named.sender}, in place of ${named.original || "none"},`;
    return {
      kind: "refused",
      reply: refusal(`sender ${sender}`, "senders", client),
    };
  }
  return { kind: "accepted", ...named };
}

/** The sender with its domain, or the fallback; `original` is set where another took its place. */
export function usableSender(path: string, client: ClientPolicy, domains: Domains): { sender: string; original: string | undefined } {
  const { local, domain } = splitAddress(path);
  if (path === "" || local === "") return { sender: client.fallbackSender, original: path };
  if (domain === "") return { sender: `${local}@${domains.first}`, original: undefined };
  if (isUnusableDomain(domain, domains.own)) return { sender: client.fallbackSender, original: path };
  return { sender: path, original: undefined };
}

/**
 * Judges a forward-path. Routing hidden in the local part (`user%host`, `host!user`, `"user@host"`, several of them) is judged by every
 * domain in it, so that next hops which follow it do not turn a client for internal mail into a relay.
 */
export function judgeRecipient(path: string, client: ClientPolicy, domains: Domains): RecipientVerdict {
  const recipient = splitAddress(path).domain === "" ? `${path}@${domains.first}` : path;
  for (let address: string | undefined = recipient; address !== undefined; address = routedAddress(splitAddress(address).local)) {
    if (!matchesPatterns(address, client.recipients, domains.own)) {
      return {
        kind: "refused",
        reply: refusal(`recipient ${recipient}`, "recipients", client),
      };
    }
  }
  return { kind: "accepted", recipient };
}

/**
 * The address a local part would be routed to by a host that follows such routing; undefined when it names no domain. Hosts without a dot are
 * passed over: `al%fabrikam.com%nas` is for fabrikam.com one step later.
 */
function routedAddress(local: string): string | undefined {
  let text = local.startsWith('"') ? local.slice(1, -1).replace(/\\(.)/g, "$1") : local;
  for (;;) {
    const at = Math.max(text.lastIndexOf("@"), text.lastIndexOf("%"));
    const bang = at < 0 ? text.indexOf("!") : -1;
    if (at < 0 && bang < 0) return undefined;
    const [rest, host] = at < 0 ? [text.slice(bang + 1), text.slice(0, bang)] : [text.slice(0, at), text.slice(at + 1)];
    if (host.includes(".") || host.startsWith("[")) return canonicalAddress(`${rest}@${host}`);
    text = rest;
  }
}

/** Judges the addresses of From: by the same patterns as the envelope's sender. Undefined when they may pass. */
export function judgeHeaderFrom(addresses: readonly string[], client: ClientPolicy, domains: Domains): Reply | undefined {
  const stranger = addresses.find((address) => !matchesPatterns(address, client.senders, domains.own));
  if (stranger === undefined) return undefined;
  return refusal(`From: ${stranger}`, "senders", client);
}

/** Patterns that a refusal names: a reply is one line of at most 512 octets (RFC 5321 §4.5.3.1.5), and old devices have no room for more. */
const MOST_NAMED = 4;
/** Characters of an address, and of all patterns, that it names. */
const MOST_SHOWN = 128;

function refusal(what: string, list: "senders" | "recipients", client: ClientPolicy): Reply {
  const patterns = client[list];
  const more = patterns.length > MOST_NAMED ? ` and ${patterns.length - MOST_NAMED} more` : "";
  const rule = `${shortened(patterns.slice(0, MOST_NAMED).join(", "))}${more}`;
  return {
    code: 550,
    enhanced: "5.7.1",
    text: `Refused by policy: ${shortened(what)} is not among the ${list} of client ${client.name} (${rule})`,
  };
}

function shortened(text: string): string {
  return text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}...` : text;
}
