/** The view of what arrived and the fault switches: a page and a JSON API on the loopback interface. */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { createServer } from "../platform/http.ts";
import { FAULTS } from "./fault-table.ts";
import { UnknownFault, faultNamed } from "./faults.ts";
import type { ActiveFault, FaultBook, FaultScope } from "./faults.ts";
import { readBody } from "./http-body.ts";
import type { ReceivedMessage } from "./mail-store.ts";
import { moveClock } from "./movable-clock.ts";
import type { MovableClock } from "./movable-clock.ts";
import { PatchFault } from "./patch-values.ts";
import { patchTenant } from "./tenant-patch.ts";
import { scopeWords } from "./scopes.ts";
import type { Tenant } from "./tenant.ts";
import type { UserSignIns } from "./user-sign-ins.ts";
import { findMailbox } from "./tenant.ts";
import { PAGE_SCRIPT, PAGE_STYLE } from "./view-assets.ts";
import { renderFaults, renderSignIns } from "./view-control-pages.ts";
import { renderMailbox, renderMessage } from "./view-mail-pages.ts";
import type { PageContext } from "./view-html.ts";
import { renderMissing, renderPage } from "./view-page.ts";

const BODY_MAX = 65_536;
const LOOPBACK_HOST = /^(?:127\.0\.0\.1|localhost|\[::1\])(?::\d+)?$/i;
/** Messages in one answer of the API; `?after=ID` pages on. */
const PAGE_OF_MESSAGES = 1000;

/** What the view shows and switches. */
export interface ViewOptions extends PageContext {
  readonly clock: MovableClock;
  readonly throttled: () => Record<string, number>;
  readonly reset: () => void;
}

/** A request that is refused with a status and one sentence. */
class HttpFault extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Makes the HTTP server; the caller listens (on loopback) and closes. */
export function createView(options: ViewOptions): Server {
  return createServer((request, response) => {
    handle(options, request, response).catch((error: unknown) => {
      if (error instanceof HttpFault) sendJson(response, error.status, { error: error.message });
      else response.destroy();
    });
  });
}

async function handle(options: ViewOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  // A name that a foreign site made resolve to 127.0.0.1 is not us.
  if (!LOOPBACK_HOST.test(request.headers.host ?? "")) throw new HttpFault(403, "only loopback host names are served");
  const url = new URL(request.url ?? "/", "http://localhost");
  const method = request.method === "HEAD" ? "GET" : (request.method ?? "GET");
  const body = method === "GET" ? undefined : await readChange(request, method);
  const [, root = "", name = "", id = ""] = url.pathname.split("/");

  if (url.pathname === "/page.css" && method === "GET") return send(response, 200, "text/css; charset=utf-8", PAGE_STYLE);
  if (url.pathname === "/page.js" && method === "GET") return send(response, 200, "text/javascript; charset=utf-8", PAGE_SCRIPT);
  if (root !== "api") {
    const page = method === "GET" && id === "" ? renderedPage(options, url, root, name) : undefined;
    if (page !== undefined) return send(response, 200, "text/html; charset=utf-8", page);
    if (method !== "GET" || !/\btext\/html\b/.test(request.headers.accept ?? "")) throw new HttpFault(404, "there is no such page");
    return send(response, 404, "text/html; charset=utf-8", renderMissing(options));
  }
  switch (`${method} ${name}`) {
    case "GET messages":
      return id === "" ? listMessages(options, url, response) : showMessage(options, id, response);
    case "GET faults":
      return sendJson(response, 200, { active: options.faults.active().map(describeFault), available: FAULTS });
    case "POST faults":
      return sendJson(response, 201, describeFault(switchOn(options.faults, body)));
    case "DELETE faults": {
      const found = options.faults.clear(id === "" ? undefined : id);
      if (!found && id !== "") throw new HttpFault(404, "no such fault is on");
      return sendJson(response, 200, { active: options.faults.active().map(describeFault) });
    }
    case "GET device":
      return sendJson(response, 200, describeSignIns(options.signIns));
    case "POST device":
      return decideDevice(options.signIns, options.tenant, body, response);
    case "POST revoke":
      return revoke(options.signIns, body, response);
    case "GET violations":
      return sendJson(response, 200, { violations: options.store.violations });
    case "GET throttled":
      return sendJson(response, 200, { throttled: options.throttled() });
    case "POST reset":
      options.reset();
      return sendJson(response, 200, {});
    case "GET clock":
      return sendJson(response, 200, describeClock(options.clock));
    case "POST clock": {
      const fault = moveClock(options.clock, body);
      if (fault !== undefined) throw new HttpFault(400, fault);
      return sendJson(response, 200, describeClock(options.clock));
    }
    case "POST tenant":
      return changeTenant(options, body, response);
    default:
      throw new HttpFault(404, "there is no such thing in the API; see docs/stand-in.md");
  }
}

/** The page at `/root/name`; undefined when there is none. */
function renderedPage(options: ViewOptions, url: URL, root: string, name: string): string | undefined {
  if (root === "messages") {
    const message = options.store.find(name);
    return message === undefined ? undefined : renderMessage(options, message);
  }
  if (root === "mailboxes") {
    const mailbox = findMailbox(options.tenant, decode(name));
    return mailbox === undefined ? undefined : renderMailbox(options, mailbox);
  }
  if (name !== "") return undefined;
  switch (root) {
    case "":
      return renderPage(options, url.searchParams.get("door") ?? undefined);
    case "faults":
      return renderFaults(options, url.searchParams.get("find") ?? undefined);
    case "sign-ins":
    case "devicelogin":
      return renderSignIns(options, root === "devicelogin");
    default:
      return undefined;
  }
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return "";
  }
}

/** A change must come from this page or from a program: a foreign site can neither send JSON nor hide its origin. */
async function readChange(request: IncomingMessage, method: string): Promise<unknown> {
  const { origin } = request.headers;
  if (origin !== undefined && origin !== `http://${request.headers.host ?? ""}`)
    throw new HttpFault(403, "requests from other sites are refused");
  if (request.headers["sec-fetch-site"] !== undefined && request.headers["sec-fetch-site"] !== "same-origin") {
    throw new HttpFault(403, "requests from other sites are refused");
  }
  const text = await readBody(request, BODY_MAX);
  if (text === undefined) throw new HttpFault(413, "the body is too long");
  if (method !== "POST") return undefined;
  if (!/^application\/json(?:;|$)/i.test(request.headers["content-type"] ?? ""))
    throw new HttpFault(415, "send Content-Type: application/json");
  try {
    return text === "" ? {} : (JSON.parse(text) as unknown);
  } catch {
    throw new HttpFault(400, "the body is not JSON");
  }
}

function summary(message: ReceivedMessage): object {
  const { content, headers: _headers, ...rest } = message;
  return {
    ...rest,
    receivedAt: new Date(message.receivedAt).toISOString(),
    deliveredAt: new Date(message.deliveredAt).toISOString(),
    contentKept: content !== undefined,
  };
}

function listMessages(options: ViewOptions, url: URL, response: ServerResponse): void {
  const recipient = url.searchParams.get("recipient")?.toLowerCase();
  const messageId = url.searchParams.get("messageId");
  const door = url.searchParams.get("door");
  const sentBy = url.searchParams.get("sentItemsOf")?.toLowerCase();
  const after = Number(url.searchParams.get("after") ?? "0");
  const matching = options.store.messages.filter(
    (message) =>
      Number(message.id) > after &&
      (recipient === undefined || message.recipients.some((address) => address.toLowerCase() === recipient)) &&
      (door === null || message.door === door) &&
      (sentBy === undefined || (message.inSentItems && message.mailbox.toLowerCase() === sentBy)) &&
      (messageId === null || message.messageId === messageId),
  );
  sendJson(response, 200, { total: options.store.messages.length, messages: matching.slice(0, PAGE_OF_MESSAGES).map(summary) });
}

function showMessage(options: ViewOptions, name: string, response: ServerResponse): void {
  const isFile = name.endsWith(".eml");
  const message = options.store.find(isFile ? name.slice(0, -4) : name);
  if (message === undefined) throw new HttpFault(404, "no such message arrived");
  if (!isFile) return sendJson(response, 200, { ...summary(message), headers: message.headers });
  if (message.content === undefined) throw new HttpFault(410, "the content was not kept: the bound on memory was reached");
  response.setHeader("content-disposition", `attachment; filename="message-${message.id}.eml"`);
  send(response, 200, "message/rfc822", message.content);
}

function describeFault(fault: ActiveFault): object {
  const { id, definition, scope, applied, remaining } = fault;
  return { id, name: definition.name, stage: definition.stage, ...scope, applied, remaining };
}

function switchOn(faults: FaultBook, body: unknown): ActiveFault {
  const { name, count, host, mailbox, recipient, ...unknown } = (body ?? {}) as Record<string, unknown>;
  const [extra] = Object.keys(unknown);
  if (extra !== undefined) throw new HttpFault(400, `${extra}: unknown; expected name, count, host, mailbox or recipient`);
  if (typeof name !== "string") throw new HttpFault(400, "name: expected the name of a fault");
  if (count !== undefined && !(typeof count === "number" && Number.isSafeInteger(count) && count > 0))
    throw new HttpFault(400, "count: expected a whole number above 0");
  if (mailbox !== undefined && typeof mailbox !== "string") throw new HttpFault(400, "mailbox: expected an address");
  if (recipient !== undefined && typeof recipient !== "string") throw new HttpFault(400, "recipient: expected an address");
  const definition = faultNamed(name);
  const known = definition?.hosts.find((one) => one === host);
  if (host !== undefined && definition !== undefined && known === undefined)
    throw new HttpFault(400, `host: expected one of ${definition.hosts.join(", ")}`);
  const scope: FaultScope = { count, host: known, mailbox, recipient };
  try {
    return faults.set(name, scope);
  } catch (error) {
    if (error instanceof UnknownFault) throw new HttpFault(404, error.message);
    throw error;
  }
}

function describeSignIns(signIns: UserSignIns): object {
  const time = (ms: number): string => new Date(ms).toISOString();
  return {
    waiting: signIns.waiting().map(({ userCode, app, scope, startedAt, expiresAt }) => ({
      user_code: userCode,
      client_id: app.clientId,
      name: app.name,
      scope: scopeWords(scope),
      startedAt: time(startedAt),
      expiresAt: time(expiresAt),
    })),
    signedIn: signIns.signIns().map(({ grant, issuedAt, usedAt }) => ({
      client_id: grant.app.clientId,
      name: grant.app.name,
      user: grant.user,
      scope: scopeWords(grant.scope),
      issuedAt: time(issuedAt),
      usedAt: time(usedAt),
    })),
  };
}

function decideDevice(signIns: UserSignIns, tenant: Tenant, body: unknown, response: ServerResponse): void {
  const { user_code: userCode, user, action = "approve", ...unknown } = (body ?? {}) as Record<string, unknown>;
  const [extra] = Object.keys(unknown);
  if (extra !== undefined) throw new HttpFault(400, `${extra}: unknown; expected user_code, user or action`);
  if (typeof userCode !== "string") throw new HttpFault(400, "user_code: expected the code that the client shows");
  if (action !== "approve" && action !== "decline") throw new HttpFault(400, "action: expected approve or decline");
  const who = user ?? tenant.mailboxes[0]?.address;
  if (typeof who !== "string") throw new HttpFault(400, "user: expected an address of the tenant");
  const wrong = signIns.decide(userCode, who, action);
  if (wrong !== undefined) throw new HttpFault(404, wrong);
  sendJson(response, 200, { user_code: userCode, user: who, action });
}

function revoke(signIns: UserSignIns, body: unknown, response: ServerResponse): void {
  const { user } = (body ?? {}) as Record<string, unknown>;
  if (typeof user !== "string") throw new HttpFault(400, "user: expected an address of the tenant");
  signIns.revoke(user);
  sendJson(response, 200, {});
}

function describeClock(clock: MovableClock): object {
  return { now: new Date(clock.now()).toISOString(), aheadMs: clock.offsetMs };
}

function changeTenant(options: ViewOptions, body: unknown, response: ServerResponse): void {
  try {
    patchTenant(options.tenant, body);
  } catch (error) {
    if (error instanceof PatchFault) throw new HttpFault(400, error.message);
    throw error;
  }
  sendJson(response, 200, {});
}

function sendJson(response: ServerResponse, status: number, value: object): void {
  send(response, status, "application/json; charset=utf-8", JSON.stringify(value));
}

function send(response: ServerResponse, status: number, type: string, content: string | Buffer): void {
  response.writeHead(status, {
    "content-type": type,
    "cache-control": "no-store",
    "content-security-policy":
      "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
  });
  response.end(content);
}
