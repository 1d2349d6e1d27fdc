/**
 * The inventory: every address seen at a listener, made from events, never on the way of a message.
 *
 * Bounded: a scan of the network must not grow memory, nor push out devices that send mail. Refused addresses have a place of their own, and of
 * each kind the one that was seen longest ago leaves first.
 */
import { formatReply } from "../mail/reply.ts";
import type { Emit, EventOf, PosternEvent } from "../mail/events.ts";
import type { Device, QuirkSeen, Refusal, Verdict } from "./device.ts";

export const MOST_DEVICES = 10_000;
export const MOST_REFUSED = 1_000;
const MOST_NAMES = 5;
const MOST_SENDERS = 10;
const MOST_REFUSALS = 10;
const MOST_QUIRKS = 50;
/** How often a log line tells of a kind of repair that a device needs. */
const TELL_EVERY_MS = 86_400_000;

/** A device as the inventory keeps it. */
type Entry = { -readonly [K in keyof Device]: Device[K] };

/** What the inventory is told about where devices belong. */
export type VerdictOf = (address: string) => { readonly verdict: Verdict; readonly client?: string | undefined } | undefined;

export class Inventory {
  /** In the order of last sight, the latest last. */
  readonly #known = new Map<string, Entry>();
  readonly #refused = new Map<string, Entry>();
  readonly #now: () => number;
  readonly #changed: () => void;
  /** Told of an address that was never seen before, so that its name may be looked up. */
  readonly #met: (address: string) => void;
  readonly #emit: Emit;

  /**
   * @param now - ms since the epoch
   * @param changed - called for each change; must be cheap
   * @param emit - told of each kind of repair that a device needs, once a day
   */
  constructor(now: () => number, changed: () => void = () => {}, met: (address: string) => void = () => {}, emit: Emit = () => {}) {
    this.#now = now;
    this.#changed = changed;
    this.#met = met;
    this.#emit = emit;
  }

  /** Takes note of an event; most are none of its business. */
  observe(event: PosternEvent): void {
    switch (event.type) {
      case "session.opened":
        this.#opened(event);
        break;
      case "session.auth.succeeded":
        this.#signedIn(event);
        break;
      case "session.auth.failed":
        this.#signInFailed(event);
        break;
      case "session.closed":
        this.#closed(event);
        break;
      case "session.rejected":
        this.#rejected(event);
        break;
      case "session.repaired":
        this.#repaired(event.device, event.quirk, event.detail);
        break;
      case "message.accepted":
        this.#accepted(event);
        break;
      default:
    }
  }

  /** The latest seen first. */
  list(): Device[] {
    return [...this.#known.values(), ...this.#refused.values()].toSorted((a, b) => b.lastSeen - a.lastSeen);
  }

  get(address: string): Device | undefined {
    return this.#known.get(address) ?? this.#refused.get(address);
  }

  /** Drops what is known; the device is new when it comes again. @returns false when it was not known */
  forget(address: string): boolean {
    const forgotten = this.#known.delete(address) || this.#refused.delete(address);
    if (forgotten) this.#changed();
    return forgotten;
  }

  /** Devices by verdict, every verdict named. */
  counts(): Readonly<Record<Verdict, number>> {
    const counts = { allowed: 0, learned: 0, refused: this.#refused.size };
    for (const { verdict } of this.#known.values()) counts[verdict] += 1;
    return counts;
  }

  /** An operator's decision: what it is from now on. Known or not. */
  decided(address: string, verdict: Verdict, client: string | undefined): void {
    const entry = this.#seen(address, verdict, this.get(address)?.lastSeen ?? this.#now());
    entry.client = client;
    this.#changed();
  }

  named(address: string, dnsName: string | undefined): void {
    const entry = this.#known.get(address) ?? this.#refused.get(address);
    if (entry === undefined || entry.dnsName === dnsName) return;
    entry.dnsName = dnsName;
    this.#changed();
  }

  /** Takes up what an earlier process knew; the bounds apply. */
  restore(devices: readonly Device[]): void {
    for (const device of devices.toSorted((a, b) => a.lastSeen - b.lastSeen)) {
      const into = device.verdict === "refused" ? this.#refused : this.#known;
      into.set(device.address, { ...device });
      bound(into, device.verdict === "refused" ? MOST_REFUSED : MOST_DEVICES);
    }
  }

  // ---- events -----------------------------------------------------------------------------------------------------------

  #opened({ device, client, listener, admission }: EventOf<"session.opened">): void {
    // Anybody may come as far as signing in: it is a device of ours once somebody did.
    if (admission === "user") return;
    const entry = this.#seen(device, admission === "learned" ? "learned" : "allowed", this.#now());
    entry.client = client;
    entry.listeners = withLatest(entry.listeners, listener, MOST_NAMES);
    entry.sessions += 1;
    this.#changed();
  }

  #signedIn({ device, client, listener, user }: EventOf<"session.auth.succeeded">): void {
    const old = this.#known.get(device);
    const entry = this.#seen(device, old?.verdict ?? "allowed", this.#now());
    entry.client = client;
    entry.listeners = withLatest(entry.listeners, listener, MOST_NAMES);
    entry.users = withLatest(entry.users, user, MOST_NAMES);
    if (old === undefined) entry.sessions += 1;
    this.#changed();
  }

  #signInFailed({ device, listener, reply, cause, remedy }: EventOf<"session.auth.failed">): void {
    const now = this.#now();
    const entry = this.#known.get(device) ?? this.#seen(device, "refused", now);
    entry.triedAuth = true;
    entry.listeners = withLatest(entry.listeners, listener, MOST_NAMES);
    entry.refusals += 1;
    const refusal: Refusal = { at: now, listener, reason: "credentials", reply: formatReply(reply), detail: cause, remedy };
    entry.lastRefusals = [...entry.lastRefusals.slice(-(MOST_REFUSALS - 1)), refusal];
    this.#changed();
  }

  #closed({ device, tls, helo, triedAuth }: EventOf<"session.closed">): void {
    const entry = this.#known.get(device);
    if (entry === undefined) return;
    const version = tls ?? "none";
    entry.tls = { ...entry.tls, [version]: (entry.tls[version] ?? 0) + 1 };
    if (helo !== undefined && helo !== "") entry.names = withLatest(entry.names, helo, MOST_NAMES);
    if (triedAuth) entry.triedAuth = true;
    this.#changed();
  }

  #accepted({ queueId, origin, reversePath, originalSender, recipients, sizeBytes, repairs }: EventOf<"message.accepted">): void {
    const entry = this.#known.get(origin.device);
    if (entry === undefined) return;
    const now = this.#now();
    entry.messages += 1;
    entry.recipients += recipients.length;
    entry.bytes += sizeBytes;
    entry.lastMessageAt = now;
    entry.lastSeen = now;
    entry.senders = withLatest(entry.senders, originalSender ?? reversePath, MOST_SENDERS);
    if (origin.user !== undefined) entry.users = withLatest(entry.users, origin.user, MOST_NAMES);
    for (const repair of repairs) this.#repaired(origin.device, repair, `queue id ${queueId}`);
    this.#changed();
  }

  #rejected({ device, listener, reason, reply, detail, remedy }: EventOf<"session.rejected">): void {
    const now = this.#now();
    const entry = reason === "unlisted" ? this.#seen(device, "refused", now) : this.#known.get(device);
    if (entry === undefined) return;
    const refusal: Refusal = { at: now, listener, reason, reply: formatReply(reply), detail, remedy };
    if (reason === "unlisted") {
      entry.client = undefined;
      entry.listeners = withLatest(entry.listeners, listener, MOST_NAMES);
    }
    entry.refusals += 1;
    entry.lastRefusals = [...entry.lastRefusals.slice(-(MOST_REFUSALS - 1)), refusal];
    this.#changed();
  }

  #repaired(device: string, quirk: string, example: string): void {
    const entry = this.#known.get(device);
    if (entry === undefined) return;
    const now = this.#now();
    const seen = entry.quirks.find(({ kind }) => kind === quirk);
    const tell = seen?.toldAt === undefined || now - seen.toldAt >= TELL_EVERY_MS;
    const next: QuirkSeen = { kind: quirk, count: (seen?.count ?? 0) + 1, lastAt: now, example, toldAt: tell ? now : seen.toldAt };
    entry.quirks = [...entry.quirks.filter((other) => other !== seen), next].slice(-MOST_QUIRKS);
    this.#changed();
    if (tell) this.#emit({ type: "device.repaired", device, client: entry.client, quirk, detail: example, times: next.count });
  }

  /** The entry of an address, moved to where its verdict and its last sight put it. */
  #seen(address: string, verdict: Verdict, now: number): Entry {
    const old = this.#known.get(address) ?? this.#refused.get(address);
    const entry = old ?? freshEntry(address, verdict, now);
    this.#known.delete(address);
    this.#refused.delete(address);
    entry.verdict = verdict;
    entry.lastSeen = now;
    const into = verdict === "refused" ? this.#refused : this.#known;
    into.set(address, entry);
    bound(into, verdict === "refused" ? MOST_REFUSED : MOST_DEVICES);
    if (old === undefined) this.#met(address);
    return entry;
  }
}

function freshEntry(address: string, verdict: Verdict, now: number): Entry {
  return {
    address,
    verdict,
    firstSeen: now,
    lastSeen: now,
    names: [],
    listeners: [],
    tls: {},
    triedAuth: false,
    users: [],
    senders: [],
    sessions: 0,
    messages: 0,
    recipients: 0,
    bytes: 0,
    refusals: 0,
    lastRefusals: [],
    quirks: [],
  };
}

/** The oldest leave: entries stand in the order of their last sight. */
function bound(entries: Map<string, Entry>, most: number): void {
  for (const address of entries.keys()) {
    if (entries.size <= most) return;
    entries.delete(address);
  }
}

/** A bounded list of different values, the latest last. The same list where nothing changes. */
function withLatest(values: readonly string[], value: string, most: number): readonly string[] {
  if (values.at(-1) === value) return values;
  return [...values.filter((other) => other !== value), value].slice(-most);
}
