/** The description of the API (OpenAPI 3.1), written from the routes themselves; served by the API and kept as `config/openapi.json`. */
import { ROLES } from "../../access/token.ts";
import { versions } from "../../platform/version.ts";
import { z } from "./engine.ts";
import { jsonRoute, type Route } from "./route.ts";

/** JSON Schema, as far as it is looked into here. */
type Schema = Readonly<Record<string, unknown>> & {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly description?: string;
  readonly type?: string;
};

/** Schemas with a name, by it. */
type Components = Map<string, Schema>;

/** The routes and one more, which answers with the description of them all. */
export function described(routes: readonly Route[]): readonly Route[] {
  const all: readonly Route[] = [
    ...routes,
    jsonRoute(
      {
        method: "get",
        path: "/openapi.json",
        role: "viewer",
        summary: "This description",
        answer: z.record(z.string(), z.unknown()).describe("OpenAPI 3.1."),
      },
      () => openApi(all),
    ),
  ];
  return all;
}

/** The document. */
export function openApi(routes: readonly Route[]): Record<string, unknown> {
  const components: Components = new Map([["Fault", FAULT]]);
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    const path = route.path.replace(/:(\w+)/g, "{$1}");
    paths[path] = { ...paths[path], [route.method]: operation(route, components) };
  }
  return {
    openapi: "3.1.1",
    info: {
      title: "Postern",
      version: versions().postern,
      description: `${INTRODUCTION}\n\nRoles, each with what the one before it may: ${ROLES.join(", ")}.`,
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: "/api/v1" }],
    security: [{ token: [] }],
    paths,
    components: {
      securitySchemes: {
        token: { type: "http", scheme: "bearer", description: "A token that postern token add makes. The control socket needs none." },
      },
      schemas: Object.fromEntries([...components].toSorted(([a], [b]) => (a < b ? -1 : 1))),
    },
  };
}

const INTRODUCTION =
  "The operator's API of the mail relay Postern; docs/api.md is the guide. Times are milliseconds since the epoch. Values that are not known are left out, and further ones may come with a later version.";

const FAULT: Schema = {
  type: "object",
  description: "What is wrong.",
  properties: {
    error: {
      type: "object",
      properties: { code: { type: "string", description: "A stable word." }, message: { type: "string" } },
      required: ["code", "message"],
    },
    faults: { type: "array", items: { type: "string" }, description: "Of a configuration, one line each." },
  },
  required: ["error"],
};

function operation(route: Route, components: Components): Record<string, unknown> {
  const { method, path, role, summary, description, body, type } = route;
  const answer = { description: "Done.", content: { [type]: { schema: schemaOf(route.answer, "output", components) } } };
  return {
    operationId: method + path.replace(/[^A-Za-z]+(\w?)/g, (_, letter: string) => letter.toUpperCase()),
    tags: [path.split("/")[1]?.replace(/\..*/, "") ?? ""],
    summary,
    description: [...(description === undefined ? [] : [description]), `Role: ${role}.`].join(" "),
    "x-role": role,
    ...withParameters([...parametersOf(route.params, "path", components), ...parametersOf(route.query, "query", components)]),
    ...(body === undefined
      ? {}
      : { requestBody: { required: true, content: { "application/json": { schema: schemaOf(body, "input", components) } } } }),
    responses: { 200: answer, ...faultsOf(route) },
  };
}

function withParameters(parameters: readonly object[]): object {
  return parameters.length === 0 ? {} : { parameters };
}

function faultsOf({ faults, body, params, query, role }: Route): Record<string, unknown> {
  const reads = body !== undefined || Object.keys(params.shape).length + Object.keys(query.shape).length > 0;
  const all: Record<number, string> = {
    ...(reads ? { 400: "Something in the request is wrong." } : {}),
    401: "No token, or one that is not good.",
    ...(role === "viewer" ? {} : { 403: `The token has not the role ${role}.` }),
    ...faults,
    ...(body === undefined ? {} : { 413: "The body is too large.", 415: "The body is not application/json." }),
    429: "Too many requests of this address were refused.",
    503: "Not now.",
  };
  const content = { "application/json": { schema: { $ref: "#/components/schemas/Fault" } } };
  return Object.fromEntries(Object.entries(all).map(([status, description]) => [status, { description, content }]));
}

function parametersOf(schema: z.ZodObject, place: "path" | "query", components: Components): object[] {
  const { properties = {}, required = [] } = schemaOf(schema, "input", components);
  return Object.entries(properties).map(([name, schema]) => parameter(name, place, schema, place === "path" || required.includes(name)));
}

function parameter(name: string, place: "path" | "query", { description, ...schema }: Schema, required: boolean): object {
  const about = description === undefined ? {} : { description };
  // A list is one parameter with commas in it.
  const form = schema.type === "array" ? { style: "form", explode: false } : {};
  return { name, in: place, ...about, required, ...form, schema };
}

/** A schema as the document has it: named parts moved to its components. */
function schemaOf(schema: z.ZodType, io: "input" | "output", components: Components): Schema {
  const {
    $schema: _,
    $defs = {},
    ...own
  } = z.toJSONSchema(schema, {
    io,
    target: "draft-2020-12",
    override: ({ jsonSchema }) => {
      // What is answered may grow; whoever reads it has to pass over what is new.
      if (io === "output" && jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
      // That nobody here changes a list says nothing of what may be sent.
      delete jsonSchema.readOnly;
    },
  });
  for (const [name, part] of Object.entries($defs)) components.set(name, named(part as Schema));
  const { id, ...rest } = moved(own) as Schema & { readonly id?: string };
  if (id === undefined) return rest;
  components.set(id, rest);
  return { $ref: `#/components/schemas/${id}` };
}

function named(part: Schema): Schema {
  const { id: _, ...rest } = moved(part) as Schema;
  return rest;
}

/** References to where the parts are. */
function moved(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(moved);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key,
      key === "$ref" && typeof inner === "string" ? inner.replace("#/$defs/", "#/components/schemas/") : moved(inner),
    ]),
  );
}
