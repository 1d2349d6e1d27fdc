/** What must agree between routes and what they name: clients, upstreams, sizes, recipients. */
import { isInternalDomain, splitAddress } from "../mail/address.ts";
import { largestMessage, servesOnlyInside } from "./agreement-upstreams.ts";
import { error, unknownName, warning } from "./disagreement.ts";
import type { Disagreement } from "./disagreement.ts";
import type { Readable } from "./readable.ts";
import type { ParsedFile } from "./schema/index.ts";
import { formatSize } from "./values.ts";

type ParsedRoute = ParsedFile["routes"][number];

/** The routes themselves, then what clients may send by them. */
export function* routeDisagreements(file: Readable): Generator<Disagreement> {
  yield* routes(file);
  yield* shares(file);
  yield* sizes(file);
  yield* served(file);
}

function* routes(file: Readable): Generator<Disagreement> {
  if (!file.hasRoutes) return;
  const last = file.routes.length - 1;
  if (last < 0) yield error(["routes"], "expected at least one route, the last without match");
  const seen = new Set<string>();
  for (const [index, route] of file.routes.entries()) {
    if (route === undefined) continue;
    const path = ["routes", index];
    if (seen.has(route.name)) yield error([...path, "name"], `${JSON.stringify(route.name)} is the name of another route`);
    seen.add(route.name);
    if (index === last && route.match !== undefined)
      yield error([...path, "match"], "expected no match on the last route: it takes everything that no other took");
    if (index < last && route.match === undefined)
      yield error(path, "missing match; only the last route has none, and those after this one would never be reached");
    if (route.match !== undefined && Object.values(route.match).every((value) => value === undefined))
      yield error([...path, "match"], "expected at least one of: client, user, sender, recipients, min_size");
    if (route.via.length === 0) yield error([...path, "via"], "expected at least one upstream");
    for (const key of ["spread", "spill"] as const) {
      if (route[key] && route.via.length === 1)
        yield error([...path, key], "expected more than one upstream in via: there is nothing to share with");
    }
    for (const [position, upstream] of route.via.entries()) {
      if (route.via.indexOf(upstream) !== position) yield error([...path, "via", position], `${upstream} is listed twice`);
      const known = file.names.upstreams;
      if (known !== undefined && !known.includes(upstream)) yield unknownName([...path, "via", position], "an upstream", upstream, known);
    }
    for (const [position, client] of (route.match?.client ?? []).entries()) {
      const known = file.names.clients;
      if (known !== undefined && !known.includes(client))
        yield unknownName([...path, "match", "client", position], "a client", client, known);
    }
    for (const key of ["client", "user", "sender", "recipients"] as const) {
      if (route.match?.[key]?.length === 0) yield error([...path, "match", key], "expected at least one: an empty list fits nothing");
    }
  }
}

/** Mail that is shared over several mailboxes should come from one sender, whichever way it went. */
function* shares(file: Readable): Generator<Disagreement> {
  for (const [index, route] of file.routes.entries()) {
    if (route?.spread !== true) continue;
    const senders = route.via.flatMap((door) => {
      const upstream = file.upstreams[door];
      if (upstream === undefined || upstream.sender.mode === "keep" || !("mailbox" in upstream)) return [];
      return [(upstream.sender.address ?? upstream.mailbox).toLowerCase()];
    });
    if (new Set(senders).size <= 1) continue;
    yield warning(
      ["routes", index, "spread"],
      `recipients will see different senders (${[...new Set(senders)].slice(0, 3).join(", ")}), depending on the way; give the upstreams one sender.address that all these mailboxes may send as`,
    );
  }
}

/** The routes that mail of a client may take, in order, as far as that shows without a message. */
function* routesOf(client: string, file: Readable): Generator<ParsedRoute> {
  for (const route of file.routes) {
    if (route === undefined) continue;
    const { match } = route;
    if (match?.client !== undefined && !match.client.includes(client)) continue;
    yield route;
    // Nothing of this client comes further than a route that asks for nothing else.
    if (match === undefined || asksOnlyFor(match, ["client"])) return;
  }
}

function asksOnlyFor(match: NonNullable<ParsedRoute["match"]>, keys: readonly string[]): boolean {
  return Object.entries(match).every(([key, value]) => keys.includes(key) || value === undefined);
}

/** A message that a client may send must fit a door of every route that may be chosen for it (it would be refused at MAIL or RCPT). */
function* sizes(file: Readable): Generator<Disagreement> {
  for (const [name, client] of Object.entries(file.clients)) {
    for (const route of routesOf(name, file)) {
      const limits = route.via.map((door) => {
        const upstream = file.upstreams[door];
        return { door, limit: upstream === undefined ? Infinity : largestMessage(upstream) };
      });
      const [largest] = limits.toSorted((a, b) => b.limit - a.limit);
      if (largest === undefined || largest.limit >= client.max_message_size) continue;
      const which = limits.length === 1 ? `upstream ${largest.door}` : `even upstream ${largest.door}`;
      yield warning(
        ["clients", name, "max_message_size"],
        `this client may send ${formatSize(client.max_message_size)}, but ${which} of route ${route.name} takes ${formatSize(largest.limit)}: larger messages on that way are refused`,
      );
    }
  }
}

/** Recipients outside that a client may write to need a door that serves them. */
function* served(file: Readable): Generator<Disagreement> {
  const own = file.organization?.domains;
  if (own === undefined) return;
  const outside = (pattern: string): boolean =>
    pattern === "any" || pattern === "external" || (pattern !== "internal" && !isInternalDomain(splitAddress(pattern).domain, own));
  const onlyInside = (door: string): boolean => {
    const upstream = file.upstreams[door];
    return upstream !== undefined && servesOnlyInside(upstream);
  };
  for (const [name, client] of Object.entries(file.clients)) {
    if (!client.recipients.some(outside)) continue;
    for (const route of routesOf(name, file)) {
      if (route.match?.recipients?.some(outside) === false) continue;
      if (route.via.length > 0 && route.via.every(onlyInside)) {
        yield warning(
          ["clients", name, "recipients"],
          `this client may write to recipients outside the organization, but no upstream of route ${route.name} serves them: ${route.via.join(", ")} ${route.via.length === 1 ? "takes" : "take"} internal recipients only`,
        );
      }
      // Whatever goes outside is taken by this route.
      const { match } = route;
      if (
        match?.recipients?.some((pattern) => pattern === "external" || pattern === "any") === true &&
        asksOnlyFor(match, ["client", "recipients"])
      )
        break;
    }
  }
}
