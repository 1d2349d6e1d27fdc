/** The HTTP application for the operator. */
import { Hono } from "hono";
import type { Context } from "hono";
import type { Emit } from "../mail/events.ts";
import { describeError, PosternError } from "../mail/errors.ts";
import type { ActResult, OperatorAct, QueueReader } from "../queue/queue.ts";
import type { VersionView } from "../platform/version.ts";
import type { DeviceSource } from "./api/devices.ts";
import { addDoctorRoutes } from "./api/doctor.ts";
import type { DoctorSource } from "../doctor/finding.ts";
import { addTestRoutes } from "./api/test.ts";
import type { TestSource } from "./api/test.ts";
import { addAlertRoutes } from "./api/alerts.ts";
import type { AlertSource } from "./api/alerts.ts";
import { addReloadRoute, type ReloadSource } from "./api/reload.ts";
import { addTranscriptRoutes } from "./api/transcripts.ts";
import type { TranscriptSource } from "./api/transcripts.ts";
import { addDeviceRoutes } from "./api/devices.ts";
import { addMessageRoutes } from "./api/messages.ts";
import { readFilter, readIds, readInteger, readJsonObject, readText, RequestFault } from "./bodies.ts";
import type { Readiness, StatusView } from "./views.ts";

/** What the applications look at and act on. */
export interface AdminSources {
  readonly queue: Pick<QueueReader, "list" | "show" | "find"> & { act(act: OperatorAct): Promise<ActResult> };
  readonly devices: DeviceSource;
  readonly tests: TestSource;
  readonly doctor: DoctorSource;
  readonly alerts: AlertSource;
  readonly reloads: ReloadSource;
  readonly transcripts: TranscriptSource;
  status(): Promise<StatusView>;
  ready(): Readiness;
  metricsText(): Promise<string>;
  readonly version: VersionView;
  readonly emit: Emit;
}

const VERBS = ["retry", "hold", "release", "bounce", "delete"] as const;
const MOST_LISTED = 1000;
const DEFAULT_LISTED = 100;

/** `/api/v1` for the CLI, on the control socket only: whoever can open that socket may do everything here. */
export function createControlApp(sources: AdminSources): Hono {
  const app = withErrors(new Hono());
  app.get("/api/v1/version", (c) => c.json(sources.version));
  app.get("/api/v1/status", async (c) => c.json(await sources.status()));
  app.get("/api/v1/queue", async (c) => {
    const { limit, after, state, id, ...rest } = c.req.query();
    const states = state === undefined ? undefined : state.split(",");
    const ids = id === undefined ? undefined : id.split(",");
    const filter = readFilter({ ...rest, states, ids });
    const most = readInteger("limit", limit ?? DEFAULT_LISTED, 1, MOST_LISTED);
    return c.json({ entries: await sources.queue.list(filter, most, after === undefined ? undefined : readText("after", after)) });
  });
  app.get("/api/v1/queue/:id", async (c) => {
    const [id = ""] = readIds([c.req.param("id")]);
    const view = await sources.queue.show(id);
    if (view === undefined) throw new RequestFault(404, "E_NO_SUCH_MESSAGE", `no message has the queue id ${id}`);
    return c.json(view);
  });
  addMessageRoutes(app, sources.queue);
  addDeviceRoutes(app, sources.devices);
  addAlertRoutes(app, sources.alerts, sources.emit);
  addTranscriptRoutes(app, sources.transcripts);
  addTestRoutes(app, sources.tests);
  addDoctorRoutes(app, sources.doctor);
  addReloadRoute(app, sources.reloads);
  for (const verb of VERBS) app.post(`/api/v1/queue/${verb}`, (c) => act(sources, verb, c));
  return app;
}

async function act(sources: AdminSources, verb: OperatorAct["verb"], c: Context): Promise<Response> {
  const body = await readJsonObject(c.req.raw);
  const { ids, filter, by, ...unknown } = body;
  const [extra] = Object.keys(unknown);
  if (extra !== undefined) throw new RequestFault(400, "unknown_key", `unknown key ${JSON.stringify(extra.slice(0, 40))}`);
  if ((ids === undefined) === (filter === undefined))
    throw new RequestFault(400, "filter", "give either ids or filter; an empty filter means all");
  if (filter !== undefined && (typeof filter !== "object" || filter === null || Array.isArray(filter)))
    throw new RequestFault(400, "filter", "filter: expected an object");
  const operator = readText("by", by);
  const result = await sources.queue.act({ verb, filter: readFilter(ids === undefined ? { ...filter } : { ids }), by: operator });
  announce(sources.emit, verb, result, operator);
  return c.json(result);
}

function announce(emit: Emit, verb: OperatorAct["verb"], result: ActResult, operator: string): void {
  const queueIds = [...new Set(result.changed.map((entry) => entry.queueId))];
  emit({ type: "operator.acted", verb, queueIds, recipients: result.changed.length, operator, declared: true });
  if (verb !== "delete") return;
  for (const { queueId, recipient, lane } of result.changed)
    emit({ type: "recipient.deleted", queueId, recipient, upstream: lane, operator });
}

function withErrors(app: Hono): Hono {
  app.use(async (c, next) => {
    await next();
    c.header("cache-control", "no-store");
    c.header("x-content-type-options", "nosniff");
  });
  app.notFound((c) => c.json({ error: { code: "not_found", message: `nothing is at ${c.req.path.slice(0, 200)}` } }, 404));
  app.onError((error, c) => {
    if (error instanceof RequestFault) return c.json({ error: { code: error.code, message: error.message } }, error.status);
    const code = error instanceof PosternError ? error.code : "E_INTERNAL";
    return c.json(
      { error: { code, message: describeError(error) } },
      code === "E_NO_SUCH_MESSAGE" ? 404 : code === "E_USAGE" ? 400 : code === "E_INTERNAL" ? 500 : 503,
    );
  });
  return app;
}
