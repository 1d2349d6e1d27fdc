/** Builds the routes from the configuration: for the daemon, and for `explain`, which asks the same code. */
import type { Config } from "../config/config.ts";
import type { DoorBoard } from "../deliver/door-board.ts";
import { makeRouter, type Router } from "../deliver/routes.ts";
import type { Upstream } from "../upstream/upstream.ts";

/** @param board - how the doors are at the moment; without it all are open */
export function buildRouter(config: Config, upstreams: ReadonlyMap<string, Upstream>, board?: DoorBoard): Router {
  const doors = [...upstreams.values()].map(({ name, traits, limits }) => {
    const { maxMessageSizeBytes } = limits;
    return [name, { traits, maxMessageSizeBytes }] as const;
  });
  return makeRouter({
    routes: config.routes.map(({ match, ...route }) => ({ ...route, match: match && { ...match, minSizeBytes: match.min_size } })),
    domains: config.organization.domains,
    doors: new Map(doors),
    board,
  });
}
