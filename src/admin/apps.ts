/** The API: routes behind their roles, for the control socket and for the network alike. */
import type { ServerResponse } from "node:http";
import { Hono } from "hono";
import type { Context } from "hono";
import { mayActAs } from "../access/token.ts";
import { describeError, PosternError } from "../mail/errors.ts";
import type { z } from "./api/engine.ts";
import type { Asked, Content, Route } from "./api/route.ts";
import { ROUTES } from "./api/routes.ts";
import { readJsonObject } from "./bodies.ts";
import type { Caller } from "./caller.ts";
import { RequestFault } from "./fault.ts";
import { pathOf } from "./guard.ts";
import type { AdminSources, Operator } from "./sources.ts";

/** Name of who asks by the control socket on routes where nobody has to say so. */
const SOMEBODY: Operator = { name: "control socket", declared: true };
const MOST_NAME = 200;
/** Characters of a value that are shown. */
const MOST_SHOWN = 60;

/**
 * Makes the application.
 *
 * @param callerOf - who asks; the request was let in by then
 */
export function createApp(sources: AdminSources, callerOf: (c: Context) => Caller): Hono {
  const app = withErrors(new Hono());
  for (const route of ROUTES) {
    app[route.method](`/api/v1${route.path}`, async (c) => {
      const caller = callerOf(c);
      checkRole(route, caller, c, sources);
      const asked = await read(route, caller, c);
      // Nobody would read the stream, and nobody has looked at what is in it.
      if (c.req.method === "HEAD" && route.type !== "application/json") return c.body(null, 200, { "content-type": route.type });
      return answer(c, await route.handle(sources, asked));
    });
  }
  answerOtherMethods(app);
  return app;
}

/** What is there, but not by this method (RFC 9110 section 15.5.6). Comes after the routes, names before parameters. */
function answerOtherMethods(app: Hono): void {
  const methods = Map.groupBy(ROUTES, ({ path }) => path);
  for (const [path, routes] of [...methods].toSorted(([a], [b]) => Number(a.includes(":")) - Number(b.includes(":")))) {
    const allowed = routes.flatMap(({ method }) => (method === "get" ? ["GET", "HEAD"] : [method.toUpperCase()])).join(", ");
    app.all(`/api/v1${path}`, (c) => {
      c.header("allow", allowed);
      return c.json(
        { error: { code: "method", message: `${c.req.method} is not for ${c.req.path.slice(0, 200)}; allowed: ${allowed}` } },
        405,
      );
    });
  }
}

function checkRole(route: Route, { role, token, address }: Caller, c: Context, { emit }: AdminSources): void {
  if (mayActAs(role, route.role)) return;
  const { method } = c.req;
  emit({
    type: "api.refused",
    address,
    reason: "role",
    method,
    path: pathOf(c.req.path),
    token: token?.name,
    needed: route.role,
    failures: 0,
  });
  throw new RequestFault(403, "role", `this needs the role ${route.role}; the token ${token?.name ?? ""} has the role ${role}`);
}

async function read(route: Route, caller: Caller, c: Context): Promise<Asked<unknown, unknown, unknown>> {
  const params = checked(route.params, c.req.param());
  const query = checked(route.query, c.req.query());
  let body: unknown;
  let operator: Operator = caller.token === undefined ? SOMEBODY : { name: caller.token.name, declared: false };
  if (route.body !== undefined) {
    const { by, ...rest } = await readJsonObject(c.req.raw);
    if (by !== undefined && caller.token !== undefined)
      throw new RequestFault(400, "by", `by: leave it out, the name of the token (${caller.token.name}) says who acts`);
    if (route.acts && caller.token === undefined) operator = { name: readName(by), declared: true };
    else if (by !== undefined && !route.acts) throw unknownKey("by");
    body = checked(route.body, rest);
  }
  const { outgoing } = c.env as { readonly outgoing: ServerResponse };
  return { params, query, body, caller, operator, hangUp: () => void outgoing.destroy() };
}

function readName(by: unknown): string {
  if (typeof by === "string" && by !== "" && by.length <= MOST_NAME) return by;
  throw new RequestFault(400, "by", `by: expected a text of 1 to ${MOST_NAME} characters`);
}

/** The value as the schema makes it. @throws RequestFault for the first thing that is wrong */
function checked(schema: z.ZodObject, value: unknown): unknown {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  if (issue?.code === "unrecognized_keys") throw unknownKey(issue.keys[0] ?? "");
  const [key = "body"] = issue?.path ?? [];
  const given = valueAt(value, issue?.path ?? []);
  const wanted = issue?.message ?? "wrong";
  const said = given === undefined ? `missing; ${wanted}` : `${wanted}${not(given)}`;
  throw new RequestFault(400, String(key), `${issue?.path.map(String).join(".") ?? ""}: ${said}`);
}

/** What was given there. A list in a query is one text. */
function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce(
    (value, part) => (typeof value === "object" && value !== null ? (value as Record<PropertyKey, unknown>)[part] : value),
    root,
  );
}

/** What was given, in short. */
function not(given: unknown): string {
  if (given === null) return ", not null";
  if (typeof given === "object") return Array.isArray(given) ? ", not this list" : ", not an object";
  const text = JSON.stringify(given);
  return text.length <= MOST_SHOWN ? `, not ${text}` : `, not ${text.slice(0, MOST_SHOWN)}…`;
}

function unknownKey(key: string): RequestFault {
  return new RequestFault(400, "unknown_key", `unknown key ${JSON.stringify(key.slice(0, 40))}`);
}

function answer(c: Context, content: Content): Response {
  if (content.type === "application/json") return c.json(content.value);
  return c.body(content.stream, 200, { "content-type": content.type, ...content.headers });
}

function withErrors(app: Hono): Hono {
  app.use(async (c, next) => {
    await next();
    c.header("cache-control", "no-store");
    c.header("x-content-type-options", "nosniff");
  });
  app.notFound((c) => c.json({ error: { code: "not_found", message: `nothing is at ${c.req.path.slice(0, 200)}` } }, 404));
  app.onError((error, c) => {
    if (error instanceof RequestFault) {
      if (error.status === 403) c.header("www-authenticate", 'Bearer realm="postern", error="insufficient_scope"');
      return c.json({ ...error.more, error: { code: error.code, message: error.message } }, error.status);
    }
    const code = error instanceof PosternError ? error.code : "E_INTERNAL";
    return c.json(
      { error: { code, message: describeError(error) } },
      code === "E_NO_SUCH_MESSAGE" ? 404 : code === "E_USAGE" ? 400 : code === "E_INTERNAL" ? 500 : 503,
    );
  });
  return app;
}
