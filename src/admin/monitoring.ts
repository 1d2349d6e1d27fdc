/**
 * What monitoring asks, answered without the API's libraries: a fault there must not take the scrape along, and a relay that is only
 * watched does without their memory.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Readiness } from "./views.ts";

/** What is shown. Nothing of it is confidential. */
export interface MonitoringSources {
  ready(): Readiness;
  metricsText(): Promise<string>;
}

const TEXT_0_0_4 = "text/plain; version=0.0.4; charset=utf-8";
const JSON_TYPE = "application/json";

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** Answers one request: `/metrics`, `/healthz` (the process lives), `/readyz` (200 while mail is taken, else 503 with the reasons). */
export async function answerMonitoring(sources: MonitoringSources, request: IncomingMessage, response: ServerResponse): Promise<void> {
  write(await answerTo(sources, request), response);
}

/** Says that the API cannot answer now, in the API's form. */
export function answerUnavailable(message: string, response: ServerResponse): void {
  write(json(503, { error: { code: "E_UNAVAILABLE", message } }), response);
}

function write({ status, type, body }: Answer, response: ServerResponse): void {
  response.writeHead(status, {
    "content-type": type,
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
  });
  // Node leaves the body out for HEAD.
  response.end(body);
}

async function answerTo(sources: MonitoringSources, request: IncomingMessage): Promise<Answer> {
  if (request.method !== "GET" && request.method !== "HEAD")
    return json(405, { error: { code: "method", message: "only GET is answered here" } });
  const path = (request.url ?? "/").split("?", 1)[0] ?? "/";
  switch (path) {
    case "/metrics":
      return { status: 200, type: TEXT_0_0_4, body: await sources.metricsText() };
    case "/healthz":
      return json(200, { ok: true });
    case "/readyz": {
      const readiness = sources.ready();
      return json(readiness.ok ? 200 : 503, readiness);
    }
    default:
      return json(404, { error: { code: "not_found", message: `nothing is at ${path.slice(0, 200)}` } });
  }
}

function json(status: number, value: unknown): Answer {
  return { status, type: JSON_TYPE, body: JSON.stringify(value) };
}
