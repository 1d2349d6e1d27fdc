/**
 * What a route of the API is: one value from which the server answers, and from which its description (OpenAPI) is written. What is read of a request
 * and what is answered have a schema; the compiler holds the answers to theirs.
 */
import type { Role } from "../../access/token.ts";
import type { Caller } from "../caller.ts";
import type { AdminSources, Operator } from "../sources.ts";
import { z } from "./engine.ts";

/** A request as a route gets it, read and found right. */
export interface Asked<P, Q, B> {
  readonly params: P;
  readonly query: Q;
  readonly body: B;
  readonly caller: Caller;
  /** Who acts: the token's name, else what `by` says. On routes that do not act, whoever asks. */
  readonly operator: Operator;
  /** Ends the connection. */
  readonly hangUp: () => void;
}

/** How an answer goes out. */
export type Content =
  | { readonly type: "application/json"; readonly value: unknown }
  | {
      readonly type: "application/x-ndjson" | "text/event-stream" | "message/rfc822";
      readonly stream: ReadableStream<Uint8Array>;
      readonly headers?: Readonly<Record<string, string>>;
    };

/** One route. */
export interface Route {
  readonly method: "get" | "post";
  /** Below `/api/v1`; `:name` stands for a parameter. */
  readonly path: string;
  /** Least role that may ask. */
  readonly role: Role;
  /** What it does, in a few words. */
  readonly summary: string;
  readonly description: string | undefined;
  readonly params: z.ZodObject;
  readonly query: z.ZodObject;
  /** undefined: it has none. */
  readonly body: z.ZodObject | undefined;
  /** It changes something: on the control socket the body says `by` whom. */
  readonly acts: boolean;
  /** Of the answer, or of each item of a stream. */
  readonly answer: z.ZodType;
  readonly type: Content["type"];
  /** Faults that it has beside those of every route, by status. */
  readonly faults: Readonly<Record<number, string>>;
  readonly handle: (sources: AdminSources, asked: Asked<unknown, unknown, unknown>) => Promise<Content>;
}

interface Description<P extends z.ZodObject, Q extends z.ZodObject, B extends z.ZodObject, A extends z.ZodType> {
  readonly method: Route["method"];
  readonly path: string;
  readonly role: Role;
  readonly summary: string;
  readonly description?: string;
  readonly params?: P;
  readonly query?: Q;
  readonly body?: B;
  readonly acts?: boolean;
  readonly answer: A;
  readonly faults?: Readonly<Record<number, string>>;
}

const NOTHING = z.strictObject({});
type Empty = typeof NOTHING;

type Handler<P extends z.ZodObject, Q extends z.ZodObject, B extends z.ZodObject, R> = (
  sources: AdminSources,
  asked: Asked<z.output<P>, z.output<Q>, z.output<B>>,
) => R | Promise<R>;

/** A route that answers with one JSON value. */
export function jsonRoute<A extends z.ZodType, P extends z.ZodObject = Empty, Q extends z.ZodObject = Empty, B extends z.ZodObject = Empty>(
  description: Description<P, Q, B, A>,
  handle: Handler<P, Q, B, z.output<A>>,
): Route {
  return made(description, "application/json", async (sources, asked) => ({
    type: "application/json",
    value: await handle(sources, asked as Parameters<typeof handle>[1]),
  }));
}

/** A route whose answer comes piece by piece; `answer` describes one piece. */
export function streamRoute<
  A extends z.ZodType,
  P extends z.ZodObject = Empty,
  Q extends z.ZodObject = Empty,
  B extends z.ZodObject = Empty,
>(
  description: Description<P, Q, B, A> & { readonly type: Exclude<Content["type"], "application/json"> },
  handle: Handler<P, Q, B, { readonly stream: ReadableStream<Uint8Array>; readonly headers?: Readonly<Record<string, string>> }>,
): Route {
  const { type } = description;
  return made(description, type, async (sources, asked) => ({ type, ...(await handle(sources, asked as Parameters<typeof handle>[1])) }));
}

function made<P extends z.ZodObject, Q extends z.ZodObject, B extends z.ZodObject, A extends z.ZodType>(
  { method, path, role, summary, description, params, query, body, acts, answer, faults }: Description<P, Q, B, A>,
  type: Content["type"],
  handle: Route["handle"],
): Route {
  return {
    method,
    path,
    role,
    summary,
    description,
    params: params ?? NOTHING,
    query: query ?? NOTHING,
    body: method === "post" ? (body ?? NOTHING) : undefined,
    acts: acts ?? false,
    answer,
    type,
    faults: faults ?? {},
    handle,
  };
}
