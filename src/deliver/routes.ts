/**
 * Which way out a recipient takes: the first route that matches, and of its doors the first that fits and is open. `explain`, the queue, the
 * receiving stage's size limit and the deliverer all ask this one place.
 */
import { matchesPatterns } from "../mail/address.ts";
import type { Envelope } from "../mail/message.ts";
import type { RouteRecipient, Standing } from "../queue/queue.ts";
import { DoorBoard } from "./door-board.ts";
import { misfit, type DoorFacts, type Misfit } from "./fit.ts";

/** What a route asks for. All given keys must match; within a list, one entry. An absent key matches everything. */
export interface RouteMatch {
  /** Client names. */
  readonly client?: string | readonly string[] | undefined;
  /** Names of users that signed in. */
  readonly user?: string | readonly string[] | undefined;
  /** Patterns of the reverse-path. */
  readonly sender?: string | readonly string[] | undefined;
  /** Patterns of this one recipient. */
  readonly recipients?: string | readonly string[] | undefined;
  /** Octets of the stored content, at least. */
  readonly minSizeBytes?: number | undefined;
}

/** One rule, in the order of the configuration. */
export interface Route {
  readonly name: string;
  readonly match?: RouteMatch | undefined;
  /** Upstreams: the first that fits and is open is taken, the others follow in their order. At least one. */
  readonly via: readonly string[];
  /** Shares what comes over the doors that are open, by what is left of their budgets. */
  readonly spread?: boolean | undefined;
  /** Takes the next door when the budget of one is used up, instead of waiting. */
  readonly spill?: boolean | undefined;
}

/** What routing is made of. */
export interface RouterOptions {
  /** In order; the last has no `match`. */
  readonly routes: readonly Route[];
  /** `organization.domains`, which give `internal` and `external` their meaning. */
  readonly domains: readonly string[];
  /** What the doors are like; one that is not here fits everything. */
  readonly doors?: ReadonlyMap<string, DoorFacts> | undefined;
  /** How they are at the moment; without it all are open. */
  readonly board?: DoorBoard | undefined;
}

/** One door of the route that a recipient takes. */
export interface WayOut {
  readonly door: string;
  /** Why it cannot take the recipient; undefined where it fits. */
  readonly misfit: Misfit | undefined;
}

export interface Router {
  /** The lane for a recipient: what the queue asks. */
  readonly choose: RouteRecipient;
  /**
   * Another door for a recipient that the door of its lane did not take: the next open one of its route in order, around the end, that did not
   * refuse it before.
   *
   * @param orClosed - where all others are closed, the first of them, to wait there
   * @returns undefined where there is none
   */
  another(envelope: Envelope, recipient: string, standing: Standing, orClosed: boolean): string | undefined;
  /** The door that a recipient takes where all are open. Changes nothing. */
  usual(envelope: Envelope, recipient: string): string;
  /** The route that a recipient takes, and its doors in order. */
  find(envelope: Envelope, recipient: string): { readonly route: Route; readonly doors: readonly WayOut[] };
  /** Doors that share a route with this one. */
  companions(door: string): readonly string[];
  /** True where a route sends mail that waits for this door's budget to another door. */
  spills(door: string): boolean;
}

type Test = (envelope: Envelope, recipient: string) => boolean;

interface Rule {
  readonly route: Route;
  readonly first: string;
  readonly test: Test | undefined;
  /** Running weights of a spread route: smooth weighted round robin. */
  readonly turns: Map<string, number>;
}

function list(value: string | readonly string[]): readonly string[] {
  return typeof value === "string" ? [value] : value;
}

function testOf(match: RouteMatch, domains: readonly string[]): Test {
  const tests: Test[] = [];
  const { minSizeBytes } = match;
  if (match.client !== undefined) {
    const clients = new Set(list(match.client));
    tests.push((envelope) => clients.has(envelope.origin.client));
  }
  if (match.user !== undefined) {
    const users = new Set(list(match.user));
    tests.push((envelope) => envelope.origin.user !== undefined && users.has(envelope.origin.user));
  }
  if (match.sender !== undefined) {
    const patterns = list(match.sender);
    tests.push((envelope) => matchesPatterns(envelope.reversePath, patterns, domains));
  }
  if (match.recipients !== undefined) {
    const patterns = list(match.recipients);
    tests.push((_envelope, recipient) => matchesPatterns(recipient, patterns, domains));
  }
  if (minSizeBytes !== undefined) tests.push((envelope) => envelope.sizeBytes >= minSizeBytes);
  return (envelope, recipient) => tests.every((test) => test(envelope, recipient));
}

/** Name of the route of a message that names its doors itself. */
const DEMANDED = "(asked for)";

/** @throws Error when a recipient could match no route, or a route names no upstream: the configuration's check was not run */
export function makeRouter(options: RouterOptions): Router {
  return new Rules(options);
}

class Rules implements Router {
  readonly choose: RouteRecipient;
  readonly #options: RouterOptions;
  readonly #board: DoorBoard;
  readonly #rules: readonly Rule[];
  readonly #last: Rule;

  constructor(options: RouterOptions) {
    this.#options = options;
    this.#board = options.board ?? new DoorBoard();
    this.#rules = options.routes.map((route) => {
      const [first] = route.via;
      if (first === undefined) throw new Error(`route ${route.name} names no upstream`);
      return { route, first, test: route.match === undefined ? undefined : testOf(route.match, options.domains), turns: new Map() };
    });
    const last = this.#rules.at(-1);
    if (last === undefined || last.test !== undefined) throw new Error("the last route must match everything");
    this.#last = last;
    // The usual configuration has one route with one door: next to nothing is looked at for each recipient.
    this.choose =
      this.#rules.length === 1 && last.route.via.length === 1
        ? (envelope, recipient, standing) => (envelope.via === undefined ? last.first : this.#choose(envelope, recipient, standing))
        : this.#choose;
  }

  /** The doors that the message may leave by, where it says so and there still are some of those names. */
  #demanded({ via = [] }: Envelope): readonly string[] {
    return list(via).filter((door) => this.#options.doors?.has(door) === true);
  }

  #ruleOf(envelope: Envelope, recipient: string): Rule {
    const demanded = this.#demanded(envelope);
    const [first] = demanded;
    if (first !== undefined) return { route: { name: DEMANDED, via: demanded }, first, test: undefined, turns: this.#last.turns };
    if (this.#rules.length === 1) return this.#last;
    return this.#rules.find((rule) => rule.test === undefined || rule.test(envelope, recipient)) ?? this.#last;
  }

  #fits(door: string, envelope: Envelope, recipient: string): boolean {
    const facts = this.#options.doors?.get(door);
    return facts === undefined || misfit(facts, envelope, recipient, this.#options.domains) === undefined;
  }

  readonly #choose: RouteRecipient = (envelope, recipient, standing) => {
    const rule = this.#ruleOf(envelope, recipient);
    const { via } = rule.route;
    if (via.length === 1) return rule.first;
    // What may have arrived must not arrive by another door as well.
    if (standing?.ambiguous === true && via.includes(standing.lane)) return standing.lane;
    const fitting = via.filter((door) => this.#fits(door, envelope, recipient));
    // Where none fits the first one says why.
    if (fitting.length === 0) return rule.first;
    const passed = standing?.passed ?? [];
    const left = passed.length === 0 ? fitting : fitting.filter((door) => !passed.includes(door));
    const [first] = left;
    if (first === undefined) return standing !== undefined && via.includes(standing.lane) ? standing.lane : rule.first;
    for (const door of left) if (this.#board.accept(door)) return door;
    const open = left.filter((door) => this.#board.isOpen(door));
    if (open.length === 0) return standing !== undefined && left.includes(standing.lane) ? standing.lane : first;
    if (rule.route.spread === true) {
      // What has its share is not dealt out again.
      return standing !== undefined && open.includes(standing.lane) ? standing.lane : this.#share(rule, open);
    }
    if (rule.route.spill === true) return this.#spill(open, standing);
    return open[0] ?? first;
  };

  /** The first door with budget to spare. With all used up it waits where it is, or for the first. */
  #spill(open: readonly string[], standing: Standing | undefined): string {
    const here = standing !== undefined && open.includes(standing.lane) ? standing.lane : undefined;
    if (here !== undefined && this.#board.of(here).startable > 0) return here;
    const ready = open.find((door) => door !== here && this.#board.spare(door) > 0);
    if (ready !== undefined) this.#board.give(ready);
    return ready ?? here ?? open[0] ?? this.#last.first;
  }

  /**
   * The door whose turn it is. Each gains its weight with every recipient, and the one that is ahead pays the sum: with equal weights they take
   * turns, with others their shares are as their weights, and no door gets its share in one piece.
   */
  #share(rule: Rule, open: readonly string[]): string {
    // A day's budget that is used up gives no share, one without a limit as much as the largest that is limited.
    const weights = open.map((door) => ({ door, weight: Math.max(0, this.#board.of(door).left) }));
    const largest = Math.max(1, ...weights.map(({ weight }) => (weight === Infinity ? 0 : weight)));
    let sum = 0;
    let chosen = open[0] ?? rule.first;
    let most = -Infinity;
    for (const { door, weight } of weights) {
      const share = Math.min(weight, largest) / largest;
      sum += share;
      const turn = (rule.turns.get(door) ?? 0) + share;
      rule.turns.set(door, turn);
      if (share > 0 && turn > most) [chosen, most] = [door, turn];
    }
    rule.turns.set(chosen, (rule.turns.get(chosen) ?? 0) - sum);
    return chosen;
  }

  another(envelope: Envelope, recipient: string, standing: Standing, orClosed: boolean): string | undefined {
    const { via } = this.#ruleOf(envelope, recipient).route;
    const at = via.indexOf(standing.lane);
    const others = [...via.slice(at + 1), ...via.slice(0, Math.max(at, 0))].filter(
      (door) => !standing.passed.includes(door) && this.#fits(door, envelope, recipient),
    );
    return others.find((door) => this.#board.isOpen(door)) ?? (orClosed ? others[0] : undefined);
  }

  usual(envelope: Envelope, recipient: string): string {
    const { route, first } = this.#ruleOf(envelope, recipient);
    return route.via.find((door) => this.#fits(door, envelope, recipient)) ?? first;
  }

  find(envelope: Envelope, recipient: string): { readonly route: Route; readonly doors: readonly WayOut[] } {
    const { route } = this.#ruleOf(envelope, recipient);
    const doors = route.via.map((door): WayOut => {
      const facts = this.#options.doors?.get(door);
      return { door, misfit: facts === undefined ? undefined : misfit(facts, envelope, recipient, this.#options.domains) };
    });
    return { route, doors };
  }

  companions(door: string): readonly string[] {
    const shared = this.#options.routes.filter((route) => route.via.includes(door)).flatMap((route) => route.via);
    return [...new Set(shared)].filter((other) => other !== door);
  }

  spills(door: string): boolean {
    return this.#options.routes.some((route) => route.spill === true && route.via.length > 1 && route.via.includes(door));
  }
}
