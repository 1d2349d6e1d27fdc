/** `POST /api/v1/reload`: the configuration file is read again. */
import type { Hono } from "hono";
import { readJsonObject, readText, RequestFault } from "../bodies.ts";

/** What came of a reload. */
export type ReloadAnswer =
  | { readonly ok: true; readonly changed: readonly string[]; readonly restart: readonly string[]; readonly warnings: readonly string[] }
  | { readonly ok: false; readonly faults: readonly string[] };

/** What the route asks. */
export interface ReloadSource {
  /** @param by - the operator, as declared */
  reload(by: string): Promise<ReloadAnswer>;
}

/** Answers 200 with what changed, 422 with one line for each fault; nothing has changed then. */
export function addReloadRoute(app: Hono, source: ReloadSource): void {
  app.post("/api/v1/reload", async (c) => {
    const { by, ...unknown } = await readJsonObject(c.req.raw);
    const [extra] = Object.keys(unknown);
    if (extra !== undefined) throw new RequestFault(400, "unknown_key", `unknown key ${JSON.stringify(extra.slice(0, 40))}`);
    const answer = await source.reload(readText("by", by));
    if (answer.ok) return c.json(answer);
    return c.json({ ...answer, error: { code: "E_CONFIG", message: answer.faults.join("\n") } }, 422);
  });
}
