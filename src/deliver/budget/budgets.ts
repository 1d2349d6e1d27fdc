/** All budgets of the deliverer: which doors share which, what an earlier process used of them, and the warning before a day's is used up. */
import { isInternalDomain, splitAddress } from "../../mail/address.ts";
import type { Emit } from "../../mail/events.ts";
import type { Clock } from "../../platform/clock.ts";
import type { DeliveryQueue } from "../../queue/queue.ts";
import type { Upstream } from "../../upstream/upstream.ts";
import { Allowance, type LimitName } from "./allowance.ts";
import { DoorBudget, levelOf, LOW_SHARE, type BudgetLevel, type Places, type SharedConnections } from "./door-budget.ts";
import { Throttle } from "./throttle.ts";

/** Graph: 10,000 requests in 10 minutes, 150 MB in 5 minutes, 4 at once for an application (Microsoft Graph throttling limits, Outlook service). */
const GRAPH_REQUESTS = 10_000;
const GRAPH_BYTES = 150_000_000;
const GRAPH_CONCURRENT = 4;
/** The history is read in this many steps of each window. */
const RESTORE_STEPS = 1_000;
/** A warning is taken back only when clearly more is left than raised it, so that it does not come and go with every minute that gets free. */
const CLEAR_SHARE = 0.15;

/** A limit that a group of doors shares. */
interface Rule {
  readonly limit: LimitName;
  /** What doors are counted together by; undefined: this door counts nowhere. */
  readonly key: (upstream: Upstream) => string | undefined;
  /** The door's own limit, where it has one. The smallest of a group holds. */
  readonly most: (upstream: Upstream) => number | undefined;
}

const byMailbox = ({ name, traits }: Upstream): string => traits.countedAs.mailbox ?? `door ${name}`;
const byTenant = ({ name, traits }: Upstream): string => traits.countedAs.tenant ?? `door ${name}`;
const byApplication = ({ traits }: Upstream): string | undefined => traits.countedAs.application;

const RULES: readonly Rule[] = [
  // Microsoft counts messages by the minute only where they come by SMTP: doors without the limit are not in it.
  {
    limit: "messages_per_minute",
    key: (door) => (door.limits.messagesPerMinute === undefined ? undefined : byMailbox(door)),
    most: (door) => door.limits.messagesPerMinute,
  },
  {
    limit: "messages_per_hour",
    key: (door) => (door.limits.messagesPerHour === undefined ? undefined : byMailbox(door)),
    most: (door) => door.limits.messagesPerHour,
  },
  { limit: "recipients_per_day", key: byMailbox, most: (door) => door.limits.recipientsPerDay },
  { limit: "external_recipients_per_day", key: byTenant, most: (door) => door.limits.externalRecipientsPerDay },
  { limit: "requests_per_10_minutes", key: byApplication, most: () => GRAPH_REQUESTS },
  { limit: "bytes_per_5_minutes", key: byApplication, most: () => GRAPH_BYTES },
];

/** What the budgets are made of. */
export interface BudgetOptions {
  readonly upstreams: readonly Upstream[];
  /** `organization.domains`. */
  readonly domains: readonly string[];
  readonly emit: Emit;
  readonly clock: Clock;
}

export class Budgets {
  readonly #options: BudgetOptions;
  #domains: readonly string[];
  #allowances: Allowance[] = [];
  readonly #doors = new Map<string, DoorBudget>();
  /** Those that were warned of, with the warning's subject. */
  readonly #low = new Map<Allowance, string>();
  readonly #throttles = new Map<string, Throttle>();
  readonly #connections = new Map<string, SharedConnections>();

  constructor(options: BudgetOptions) {
    this.#options = options;
    this.#domains = options.domains;
    this.#make(options.upstreams, new Set());
  }

  /**
   * A reload's doors. What is counted together under the same name keeps what is used of it, whoever shares it now.
   *
   * @param changed - names of doors that are other ones now
   * @returns names of doors with a new budget, which the old one of the same name has handed its attempts to; and what is new, to be restored
   */
  update(
    upstreams: readonly Upstream[],
    domains: readonly string[],
    changed: ReadonlySet<string>,
  ): { readonly renewed: ReadonlySet<string>; readonly fresh: readonly Allowance[] } {
    this.#domains = domains;
    return this.#make(upstreams, changed);
  }

  #make(upstreams: readonly Upstream[], changed: ReadonlySet<string>): { renewed: Set<string>; fresh: Allowance[] } {
    const known = new Map(this.#allowances.map((allowance) => [`${allowance.limit} ${allowance.key}`, allowance]));
    const fresh: Allowance[] = [];
    this.#allowances = [];
    for (const { limit, key, most } of RULES) {
      for (const [its, group] of groups(upstreams, key)) {
        const limits = group.flatMap((door) => most(door) ?? []);
        if (limits.length === 0) continue;
        const doors = group.map((door) => door.name);
        const old = known.get(`${limit} ${its}`);
        const allowance = old ?? new Allowance(limit, its, Math.min(...limits), doors);
        if (old === undefined) fresh.push(allowance);
        else old.update(Math.min(...limits), doors);
        this.#allowances.push(allowance);
      }
    }
    for (const [allowance, subject] of this.#low) {
      if (this.#allowances.includes(allowance)) continue;
      this.#low.delete(allowance);
      this.#options.emit({ type: "alert.cleared", alert: "budget.low", subject });
    }
    return { renewed: this.#makeDoors(upstreams, changed), fresh };
  }

  #makeDoors(upstreams: readonly Upstream[], changed: ReadonlySet<string>): Set<string> {
    const renewed = new Set<string>();
    const connections = sharedConnections(upstreams, this.#connections);
    for (const upstream of upstreams) {
      const { name } = upstream;
      const own = this.#allowances.filter((allowance) => allowance.doors.includes(name));
      const throttledBy = byApplication(upstream) ?? byMailbox(upstream);
      const throttle = this.#throttles.get(throttledBy) ?? new Throttle();
      this.#throttles.set(throttledBy, throttle);
      const old = this.#doors.get(name);
      if (old !== undefined && !changed.has(name) && old.isMadeOf(own, throttle, connections.get(name))) continue;
      const isExternal = own.some(({ unit }) => unit === "external")
        ? (address: string) => !isInternalDomain(splitAddress(address).domain, this.#domains)
        : undefined;
      const door = new DoorBudget(name, own, throttle, connections.get(name), isExternal, () => this.watch());
      old?.succeededBy(door);
      this.#doors.set(name, door);
      renewed.add(name);
    }
    const names = new Set(upstreams.map(({ name }) => name));
    for (const name of this.#doors.keys()) if (!names.has(name)) this.#doors.delete(name);
    for (const [name, door] of this.#doors) {
      const sharing = new Set(door.allowances.flatMap((allowance) => allowance.doors));
      for (const [other, shared] of connections) if (shared === connections.get(name)) sharing.add(other);
      sharing.delete(name);
      door.share([...sharing].flatMap((other) => this.#doors.get(other) ?? []));
    }
    return renewed;
  }

  /** @throws Error for a name that is no upstream's */
  door(name: string): DoorBudget {
    const door = this.#doors.get(name);
    if (door === undefined) throw new Error(`no upstream ${name}`);
    return door;
  }

  /** Counts what was used before, by earlier processes or while there was no such limit, from the queue's history. */
  async restore(queue: Pick<DeliveryQueue, "attemptCounts">, allowances: readonly Allowance[] = this.#allowances): Promise<void> {
    const { clock } = this.#options;
    for (const { doors, lengthMs, unit, window } of allowances) {
      for (const door of doors) {
        const now = clock.now();
        const monotonic = clock.monotonic();
        for (const counts of await queue.attemptCounts(door, now - lengthMs, Math.ceil(lengthMs / RESTORE_STEPS))) {
          // A time in the future is of a clock that was set back since.
          const ago = (at: number): number => monotonic - Math.max(0, now - at);
          window.count(counts[unit], ago(counts.startedAt), ago(counts.endedAt));
        }
      }
    }
    this.watch();
  }

  /** What may start by a door now; Infinity where it has no limit. For spreading mail over several doors. */
  remaining(name: string): Places {
    return this.door(name).places(this.#options.clock.monotonic());
  }

  /** What is left of every limit. */
  levels(): BudgetLevel[] {
    const now = this.#options.clock.monotonic();
    return this.#allowances.map((allowance) => levelOf(allowance, now));
  }

  /** Warns of days of which little is left, once each, and takes the warning back. To be called now and then. */
  watch(): void {
    const { clock, emit } = this.#options;
    const now = clock.monotonic();
    for (const allowance of this.#allowances) {
      if (!allowance.isDaily) continue;
      const { most, limit, doors } = allowance;
      const remaining = allowance.remaining(now);
      const subject = `${doors.join("+")} ${limit}`;
      if (!this.#low.has(allowance) && remaining < most * LOW_SHARE) {
        this.#low.set(allowance, subject);
        const words = limit === "recipients_per_day" ? "recipients" : "recipients outside the organization";
        const text = `${remaining} of ${most} ${words} are left of the last 24 hours for ${doors.join(", ")}: interactive mail goes first, then the rest waits`;
        const remedy =
          "Spread the mail over several mailboxes (spread: true), or send the bulk of it by a connector, High Volume Email or Azure Communication Services";
        emit({ type: "alert.raised", alert: "budget.low", subject, text, remedy });
      } else if (remaining >= most * CLEAR_SHARE) {
        const raised = this.#low.get(allowance);
        if (raised === undefined) continue;
        this.#low.delete(allowance);
        emit({ type: "alert.cleared", alert: "budget.low", subject: raised });
      }
    }
  }
}

function groups(upstreams: readonly Upstream[], key: Rule["key"]): Map<string, Upstream[]> {
  const byKey = new Map<string, Upstream[]>();
  for (const upstream of upstreams) {
    const its = key(upstream);
    if (its === undefined) continue;
    const group = byKey.get(its);
    if (group === undefined) byKey.set(its, [upstream]);
    else group.push(upstream);
  }
  return byKey;
}

/**
 * Connections that Microsoft counts together: those of SMTP by mailbox (3, of which a door takes 2 by default), requests of Graph by application (4).
 * Only where doors share them: a door alone keeps its own number itself.
 */
function sharedConnections(upstreams: readonly Upstream[], known: Map<string, SharedConnections>): Map<string, SharedConnections> {
  const shared = new Map<string, SharedConnections>();
  const smtp = groups(upstreams, (door) => (door.type === "smtp-auth" ? door.traits.countedAs.mailbox : undefined));
  const graph = groups(upstreams, byApplication);
  const add = (key: string, group: readonly Upstream[], most: number): void => {
    if (group.length < 2) return;
    const connections = known.get(key) ?? { most, underWay: 0 };
    connections.most = most;
    known.set(key, connections);
    for (const { name } of group) shared.set(name, connections);
  };
  for (const [key, group] of smtp) add(`smtp ${key}`, group, Math.max(...group.map((door) => door.limits.connections)));
  for (const [key, group] of graph)
    add(`graph ${key}`, group, Math.min(GRAPH_CONCURRENT, Math.max(...group.map((door) => door.limits.connections))));
  return shared;
}
