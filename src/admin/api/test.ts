/** `/api/v1/test`: a test mail of the relay's own, which then is followed by its queue id like any other. */
import type { Hono } from "hono";
import { readJsonObject, readText, RequestFault } from "../bodies.ts";

/** What is asked for. */
export interface TestRequest {
  readonly to: string;
  /** undefined: `organization.default_sender`. */
  readonly from: string | undefined;
  /** The one upstream it may leave by; undefined: as the routes say. */
  readonly upstream: string | undefined;
  /** Who asks, as declared. */
  readonly by: string;
}

/** A test mail that is in the queue. */
export interface TestSent {
  readonly queueId: string;
  /** ms since the epoch. */
  readonly acceptedAt: number;
  readonly from: string;
  readonly to: string;
  readonly sizeBytes: number;
  /** The route that it takes; where an upstream was asked for, that is said instead of a name. */
  readonly route: string;
  /** That route's upstreams in order, and why one cannot take the mail. */
  readonly doors: readonly { readonly name: string; readonly misfit: string | undefined }[];
}

export interface TestSource {
  /**
   * Puts a test mail into the queue, durably, and has the doors it may leave by tried, closed ones too.
   *
   * @throws PosternError E_USAGE for an address or an upstream that cannot be, E_SPOOL_* when the queue takes nothing
   */
  send(request: TestRequest): Promise<TestSent>;
}

const KEYS = new Set(["to", "from", "upstream", "by"]);

export function addTestRoutes(app: Hono, tests: TestSource): void {
  app.post("/api/v1/test", async (c) => {
    const body = await readJsonObject(c.req.raw);
    const unknown = Object.keys(body).find((key) => !KEYS.has(key));
    if (unknown !== undefined) throw new RequestFault(400, "unknown_key", `unknown key ${JSON.stringify(unknown.slice(0, 40))}`);
    const optional = (key: string): string | undefined => (body[key] === undefined ? undefined : readText(key, body[key]));
    const sent = await tests.send({
      to: readText("to", body["to"]),
      from: optional("from"),
      upstream: optional("upstream"),
      by: readText("by", body["by"]),
    });
    return c.json(sent);
  });
}
