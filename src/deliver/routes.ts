/** Which way out a recipient takes: the first route that matches. Pure, so that `explain` and the queue ask the same function. */
import { matchesPatterns } from "../mail/address.ts";
import type { Envelope } from "../mail/message.ts";
import type { RouteRecipient } from "../queue/queue.ts";

/** What a route asks for. All given keys must match; within a list, one entry. An absent key matches everything. */
export interface RouteMatch {
  /** Client names. */
  readonly client?: string | readonly string[] | undefined;
  /** Patterns of the reverse-path. */
  readonly sender?: string | readonly string[] | undefined;
  /** Patterns of this one recipient. */
  readonly recipients?: string | readonly string[] | undefined;
  /** Octets of the stored content, at least. */
  readonly minSizeBytes?: number | undefined;
}

/** One rule, in the order of the configuration. `via` has exactly one upstream. */
export interface Route {
  readonly name: string;
  readonly match?: RouteMatch | undefined;
  readonly via: readonly string[];
}

type Test = (envelope: Envelope, recipient: string) => boolean;

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

/**
 * Makes the function that gives each recipient its lane.
 *
 * @param routes - in order; the last has no `match`
 * @param domains - `organization.domains`, which give `internal` and `external` their meaning
 * @throws Error when a recipient could match no route, or a route names no upstream: the configuration's check was not run
 */
export function makeRouter(routes: readonly Route[], domains: readonly string[]): RouteRecipient {
  const rules = routes.map((route) => {
    const lane = route.via[0];
    if (lane === undefined) throw new Error(`route ${route.name} names no upstream`);
    return { lane, test: route.match === undefined ? undefined : testOf(route.match, domains) };
  });
  const last = rules.at(-1);
  if (last === undefined || last.test !== undefined) throw new Error("the last route must match everything");
  // The usual configuration has one route: no search for each recipient.
  if (rules.length === 1) return () => last.lane;
  return (envelope, recipient) => rules.find((rule) => rule.test === undefined || rule.test(envelope, recipient))?.lane ?? last.lane;
}
