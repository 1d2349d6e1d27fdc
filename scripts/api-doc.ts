/** config/openapi.json and the table of routes in docs/api.md, both from the routes themselves. */
import { openApi } from "../src/admin/api/openapi.ts";
import type { Route } from "../src/admin/api/route.ts";
import { ROUTES } from "../src/admin/api/routes.ts";

const BEGIN = "<!-- routes: begin -->";
const END = "<!-- routes: end -->";
const HEAD = ["| route | role | does | takes |", "|---|---|---|---|"];

/** The content of config/openapi.json. */
export function renderOpenApi(): string {
  return `${JSON.stringify(openApi(ROUTES), undefined, 2)}\n`;
}

/**
 * The page with the table between its two marks replaced by what the code has.
 *
 * @throws Error when the page has lost its marks
 */
export function withRoutes(page: string): string {
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`the page has no ${BEGIN} … ${END}`);
  const rows = ROUTES.map((route) => `| ${[nameOf(route), route.role, route.summary, takenBy(route)].join(" | ")} |`);
  return `${page.slice(0, begin)}${BEGIN}\n\n${[...HEAD, ...rows].join("\n")}\n\n${page.slice(end)}`;
}

function nameOf({ method, path }: Route): string {
  return `\`${method.toUpperCase()} ${path.replace(/:(\w+)/g, (_, name: string) => name.toUpperCase())}\``;
}

/** Names of what a request may have beside its path. */
function takenBy({ query, body }: Route): string {
  const names = (shape: object): string[] => Object.keys(shape).map((name) => `\`${name}\``);
  return [...names(query.shape), ...names(body?.shape ?? {})].join(" ");
}
