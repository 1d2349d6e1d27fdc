/** Microsoft Graph, as far as it sends mail: HTTPS, routes, tokens, limits, faults; the work itself is done elsewhere. */
import { Buffer } from "node:buffer";
import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { Server } from "node:https";
import type { TLSSocket } from "node:tls";

import type { Clock } from "../platform/clock.ts";
import type { FaultStage } from "./fault-model.ts";
import type { FaultBook } from "./faults.ts";
import { authorize, readToken } from "./graph-access.ts";
import type { GraphCaller, GraphPermission } from "./graph-access.ts";
import { GraphDrafts } from "./graph-drafts.ts";
import { GraphFault, badRequest, graphFault } from "./graph-fault.ts";
import { describeItem, findItem, messagesIn, readQuery } from "./graph-items.ts";
import type { Folder } from "./graph-items.ts";
import { composeMime, readMessage } from "./graph-message.ts";
import { judgeMail, readMail, sendMail } from "./graph-send.ts";
import type { Origin } from "./graph-send.ts";
import { GraphThrottle } from "./graph-throttle.ts";
import type { GraphSettings } from "./graph-throttle.ts";
import { addressesOf, headerValues } from "./headers.ts";
import { readBytes } from "./http-body.ts";
import type { UsageBook } from "./mailbox-usage.ts";
import type { MailStore, ReceivedMessage } from "./mail-store.ts";
import type { KeyAndCertificate } from "./pki.ts";
import type { SimulatorEvent } from "./simulator-events.ts";
import type { Tenant, TenantMailbox } from "./tenant.ts";
import type { TokenIssuer } from "./token-issuer.ts";

/** What the service works with. */
export interface GraphOptions {
  readonly tenant: Tenant;
  readonly issuer: TokenIssuer;
  readonly faults: FaultBook;
  readonly store: MailStore;
  readonly clock: Clock;
  readonly certificate: KeyAndCertificate;
  readonly settings: GraphSettings;
  readonly emit: (event: SimulatorEvent) => void;
  readonly usage: UsageBook;
}

/** Thrown where a fault has taken the request for itself: there is nothing more to answer. */
class Taken extends Error {}

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly url: URL;
  readonly origin: string;
  readonly requestId: string;
}

/** The service. */
export class GraphService {
  readonly server: Server;
  readonly throttle: GraphThrottle;
  readonly drafts: GraphDrafts;
  #options: GraphOptions;

  constructor(options: GraphOptions) {
    this.#options = options;
    this.throttle = new GraphThrottle(options.settings, options.clock);
    this.drafts = new GraphDrafts(options.clock);
    const { keyPem, certificatePem } = options.certificate;
    this.server = createServer({ key: keyPem, cert: certificatePem, minVersion: "TLSv1.2" }, (request, response) => {
      this.#handle(request, response).catch(() => response.destroy());
    });
  }

  /** Forgets drafts and counts; what is being worked on goes on. */
  clear(): void {
    this.throttle.clear();
    this.drafts.clear();
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const requestId = randomUUID();
    const origin = `https://${request.headers.host ?? "graph.microsoft.com"}`;
    const exchange: Exchange = { request, response, url: new URL(request.url ?? "/", origin), origin, requestId };
    // A client that leaves in the middle of its request is no fault of ours.
    request.on("error", () => undefined);
    try {
      await this.#route(exchange);
    } catch (error) {
      if (error instanceof Taken || response.destroyed) return;
      const fault = error instanceof GraphFault ? error : new GraphFault(400, "BadRequest", "Unable to read the request.");
      this.#refuse(exchange, fault);
    }
  }

  async #route(exchange: Exchange): Promise<void> {
    const { url, request } = exchange;
    const parts = url.pathname.split("/").filter((part) => part !== "");
    if (parts[0] === "AttachmentSessions") return this.#upload(exchange, decodeURIComponent(parts[1] ?? ""));
    const [version, root = "", ...others] = parts.map(decodeURIComponent);
    if (version !== "v1.0" && version !== "beta") throw badRequest("Invalid version.");
    // Before anything else, as the front door does: without a token nothing is told.
    readToken(this.#options.issuer, request.headers.authorization);
    const user = root === "users" ? others.shift() : undefined;
    if (root !== "users" && root !== "me") throw badRequest(`Resource not found for the segment '${root}'.`);
    const method = request.method ?? "GET";
    const [first = "", second, third, fourth] = others;

    if (method === "POST" && first === "sendMail" && second === undefined) return this.#sendMail(exchange, user);
    if (first === "mailFolders" && third === "messages" && method === "GET") {
      const folder = folderNamed(second ?? "");
      return fourth === undefined ? this.#list(exchange, user, [folder]) : this.#show(exchange, user, fourth, others[4]);
    }
    if (first !== "messages") throw badRequest(`Resource not found for the segment '${first}'.`);
    switch (`${method} ${second === undefined ? "" : "ID"} ${third ?? ""} ${fourth ?? ""}`.trim()) {
      case "GET":
        return this.#list(exchange, user, ["inbox", "sentitems"]);
      case "POST":
        return this.#draft(exchange, user);
      case "GET ID":
      case "GET ID $value":
        return this.#show(exchange, user, second ?? "", third);
      case "DELETE ID":
        return this.#remove(exchange, user, second ?? "");
      case "POST ID send":
        return this.#sendDraft(exchange, user, second ?? "");
      case "POST ID attachments":
        return this.#attach(exchange, user, second ?? "");
      case "POST ID attachments createUploadSession":
        return this.#openSession(exchange, user, second ?? "");
      default:
        throw badRequest(`Resource not found for the segment '${third ?? first}'.`);
    }
  }

  /** Lets a request in, if token, limits and faults do, and does the work. */
  async #work(
    exchange: Exchange,
    user: string | undefined,
    permission: GraphPermission,
    work: (caller: GraphCaller, body: Buffer) => Promise<void> | void,
  ): Promise<void> {
    const { tenant, issuer, settings } = this.#options;
    const { request, response } = exchange;
    const caller = authorize(tenant, readToken(issuer, request.headers.authorization), user, permission);
    const leave = this.throttle.enter(caller.app.clientId, caller.mailbox.address);
    response.once("close", leave);
    const body = await readBytes(request, settings.maxRequestBytes);
    this.throttle.uploaded(caller.app.clientId, caller.mailbox.address, body?.length ?? settings.maxRequestBytes);
    await this.#meet(exchange, "graph", caller.mailbox);
    if (body === undefined) throw graphFault("graph-request-too-long");
    await work(caller, body);
  }

  /** Lets a fault of this stage act. @throws Taken or GraphFault when the request ends with it */
  async #meet(exchange: Exchange, stage: FaultStage, mailbox: TenantMailbox, recipients?: readonly string[]): Promise<void> {
    const fault = this.#options.faults.take(stage, { host: "graph", mailbox: mailbox.address, recipients });
    if (fault === undefined) return;
    const { definition } = fault;
    const { response, request } = exchange;
    switch (definition.action.kind) {
      case "graph":
        throw graphFault(definition.name, { mailbox: mailbox.address });
      case "http":
        this.#reply(exchange, definition.action.status);
        throw new Taken();
      case "reset":
        request.socket.destroy();
        throw new Taken();
      case "hold":
      case "delay": {
        const { action } = definition;
        const gone = new Promise<void>((resolve) => response.once("close", resolve));
        const over = action.kind === "hold" ? fault.cleared : new Promise<void>((resolve) => this.#options.clock.after(action.ms, resolve));
        await Promise.race([over, gone]);
        if (response.destroyed) throw new Taken();
        return;
      }
      default:
        throw new Error(`the fault ${definition.name} is none of Graph`);
    }
  }

  #sendMail(exchange: Exchange, user: string | undefined): Promise<void> {
    return this.#work(exchange, user, "Mail.Send", async ({ mailbox }, body) => {
      const type = exchange.request.headers["content-type"] ?? "";
      if (/^text\/plain(?:;|$)/i.test(type)) {
        const mime = readBase64(body);
        // Seen at Microsoft, and documented nowhere: no error, and no message either.
        if (mime.length > this.#options.settings.maxMimeBytes) return this.#reply(exchange, 200);
        return this.#submit(exchange, mailbox, mime, true);
      }
      const { message, save } = readMessage(readJson(type, body), "sendMail");
      await this.#submit(exchange, mailbox, composeMime(message, mailbox, this.#options.clock.now()), save);
    });
  }

  /** Judges, sends and answers 202. */
  async #submit(exchange: Exchange, mailbox: TenantMailbox, mime: Buffer, save: boolean): Promise<void> {
    const { tenant, clock, usage, emit } = this.#options;
    const mail = readMail(mime, mailbox);
    try {
      await this.#meet(exchange, "graph-send", mailbox, mail.recipients);
      judgeMail(tenant, mail, usage, clock.now());
    } catch (error) {
      if (error instanceof GraphFault)
        emit({ type: "message.refused", session: exchange.requestId, mailbox: mailbox.address, reply: `${error.status} ${error.code}` });
      throw error;
    }
    const message = sendMail(this.#options, mail, originOf(exchange, save));
    await this.#meet(exchange, "graph-answer", mailbox, mail.recipients);
    this.#reply(exchange, 202);
    message.answered = !exchange.response.destroyed;
  }

  #list(exchange: Exchange, user: string | undefined, folders: readonly Folder[]): Promise<void> {
    return this.#work(exchange, user, "Mail.Read", ({ mailbox }) => {
      const { store, clock, issuer } = this.#options;
      const { url, origin } = exchange;
      const query = readQuery(url.searchParams);
      const found = folders
        .flatMap((folder) => messagesIn(store, folder, mailbox, clock.now()).map((message) => ({ folder, message })))
        .filter(({ message }) => query.matches(message))
        .toSorted((a, b) => Number(a.message.id) - Number(b.message.id));
      if (query.newestFirst) found.reverse();
      const page = found.slice(query.skip, query.skip + query.top);
      const more = new URL(url.pathname + url.search, origin);
      more.searchParams.set("$skip", String(query.skip + query.top));
      this.#reply(exchange, 200, {
        "@odata.context": `${issuer.graphAudience}/v1.0/$metadata#users('${mailbox.address}')/messages`,
        ...(url.searchParams.get("$count") === "true" ? { "@odata.count": found.length } : {}),
        value: page.map(({ folder, message }) => describeItem(folder, message, fieldAddresses(message), query.select)),
        ...(found.length > query.skip + query.top ? { "@odata.nextLink": more.href } : {}),
      });
    });
  }

  #show(exchange: Exchange, user: string | undefined, id: string, part: string | undefined): Promise<void> {
    return this.#work(exchange, user, "Mail.Read", ({ mailbox }) => {
      const { store, clock } = this.#options;
      const draft = this.drafts.find(mailbox, id);
      const item = findItem(store, mailbox, id, clock.now());
      if (draft === undefined && item === undefined) throw itemNotFound();
      if (part === "$value") {
        const content = draft === undefined ? item?.message.content : draft.mime(mailbox, clock.now());
        if (content === undefined) throw itemNotFound();
        exchange.response.writeHead(200, { ...this.#headers(exchange), "content-type": "text/plain" }).end(content);
      } else if (part !== undefined) throw badRequest(`Resource not found for the segment '${part}'.`);
      else if (draft !== undefined) this.#reply(exchange, 200, draft.describe());
      else if (item !== undefined) {
        const { select } = readQuery(exchange.url.searchParams);
        this.#reply(exchange, 200, describeItem(item.folder, item.message, fieldAddresses(item.message), select));
      }
    });
  }

  #draft(exchange: Exchange, user: string | undefined): Promise<void> {
    return this.#work(exchange, user, "Mail.ReadWrite", ({ mailbox }, body) => {
      const type = exchange.request.headers["content-type"] ?? "";
      const draft = /^text\/plain(?:;|$)/i.test(type)
        ? this.drafts.createFromMime(mailbox, readBase64(body))
        : this.drafts.create(mailbox, readMessage(readJson(type, body), "draft").message);
      this.#reply(exchange, 201, draft.describe());
    });
  }

  #attach(exchange: Exchange, user: string | undefined, id: string): Promise<void> {
    return this.#work(exchange, user, "Mail.ReadWrite", ({ mailbox }, body) => {
      const draft = this.drafts.get(mailbox, id);
      this.#reply(exchange, 201, this.drafts.attach(draft, readJson(exchange.request.headers["content-type"] ?? "", body)));
    });
  }

  #openSession(exchange: Exchange, user: string | undefined, id: string): Promise<void> {
    return this.#work(exchange, user, "Mail.ReadWrite", ({ app, mailbox }, body) => {
      const asked = readJson(exchange.request.headers["content-type"] ?? "", body);
      const draft = this.drafts.get(mailbox, id);
      this.#reply(exchange, 201, this.drafts.openSession(draft, asked, exchange.origin, { clientId: app.clientId, mailbox }));
    });
  }

  #sendDraft(exchange: Exchange, user: string | undefined, id: string): Promise<void> {
    return this.#work(exchange, user, "Mail.Send", async ({ mailbox }) => {
      const draft = this.drafts.get(mailbox, id);
      const mime = draft.mime(mailbox, this.#options.clock.now());
      await this.#submit(exchange, mailbox, mime, true);
      this.drafts.remove(mailbox, id);
    });
  }

  #remove(exchange: Exchange, user: string | undefined, id: string): Promise<void> {
    return this.#work(exchange, user, "Mail.ReadWrite", ({ mailbox }) => {
      const item = findItem(this.#options.store, mailbox, id, this.#options.clock.now());
      if (item?.folder === "sentitems") item.message.inSentItems = false;
      else if (!this.drafts.remove(mailbox, id)) throw itemNotFound();
      this.#reply(exchange, 204);
    });
  }

  /** A slice of an attachment, or the end of its session. The address itself is the right to it. */
  async #upload(exchange: Exchange, id: string): Promise<void> {
    const { request, url, response } = exchange;
    // The real host is another one, for which a token of Graph is not meant.
    if (request.headers.authorization !== undefined)
      throw new GraphFault(401, "InvalidAudienceForResource", "The audience claim value is invalid for current resource.");
    const session = this.drafts.session(id, url.searchParams.get("authtoken") ?? "");
    const { clientId, mailbox } = session.owner;
    response.once("close", this.throttle.enter(clientId, mailbox.address));
    const body = await readBytes(request, this.#options.settings.maxRequestBytes);
    this.throttle.uploaded(clientId, mailbox.address, body?.length ?? this.#options.settings.maxRequestBytes);
    await this.#meet(exchange, "graph", mailbox);
    if (request.method === "DELETE") {
      this.drafts.closeSession(session);
      return this.#reply(exchange, 204);
    }
    if (request.method !== "PUT") throw new GraphFault(405, "MethodNotAllowed", "The method is not allowed.");
    if (body === undefined) throw graphFault("graph-request-too-long");
    const location = this.drafts.addSlice(session, request.headers["content-range"], body, exchange.origin);
    if (location === undefined) this.#reply(exchange, 200, session.describe());
    else response.writeHead(201, { ...this.#headers(exchange), location, "content-length": "0" }).end();
  }

  #headers({ request, requestId }: Exchange): Record<string, string> {
    const asked = request.headers["client-request-id"];
    return {
      "cache-control": "private",
      "request-id": requestId,
      "client-request-id": typeof asked === "string" && /^[\w-]{1,64}$/.test(asked) ? asked : requestId,
      "strict-transport-security": "max-age=31536000",
    };
  }

  #reply(exchange: Exchange, status: number, body?: object): void {
    const { response } = exchange;
    const text = body === undefined ? "" : JSON.stringify(body);
    const type: Record<string, string> = body === undefined ? {} : { "content-type": "application/json; charset=utf-8" };
    // No length with "no content" (RFC 9110 section 8.6).
    const length: Record<string, string> = status === 204 ? {} : { "content-length": String(Buffer.byteLength(text)) };
    response.writeHead(status, { ...this.#headers(exchange), ...type, ...length }).end(text);
  }

  #refuse(exchange: Exchange, fault: GraphFault): void {
    const { request, response, requestId } = exchange;
    // What the client still sends is read and forgotten, or it would never look at the answer.
    request.resume();
    const headers = this.#headers(exchange);
    const date = new Date(this.#options.clock.now()).toISOString().slice(0, 19);
    const innerError = { date, "request-id": requestId, "client-request-id": headers["client-request-id"] };
    const text = JSON.stringify({ error: { code: fault.code, message: fault.message, innerError } });
    const length = String(Buffer.byteLength(text));
    response
      .writeHead(fault.status, { ...headers, ...fault.headers, "content-type": "application/json", "content-length": length })
      .end(text);
  }
}

function originOf({ request, requestId }: Exchange, saveToSentItems: boolean): Origin {
  return {
    requestId,
    remoteAddress: request.socket.remoteAddress ?? "",
    tls: (request.socket as TLSSocket).getProtocol() ?? "",
    userAgent: (request.headers["user-agent"] ?? "").slice(0, 200),
    saveToSentItems,
  };
}

function folderNamed(name: string): Folder {
  const folder = name.toLowerCase();
  if (folder === "inbox" || folder === "sentitems") return folder;
  throw new GraphFault(404, "ErrorItemNotFound", "The specified folder could not be found in the store.");
}

function itemNotFound(): GraphFault {
  return new GraphFault(404, "ErrorItemNotFound", "The specified object was not found in the store.");
}

function fieldAddresses(message: ReceivedMessage): (name: string) => string[] {
  return (name) => headerValues(message.headers, name).flatMap(addressesOf);
}

/** The MIME of a body in base64; line breaks are allowed in it. */
function readBase64(body: Buffer): Buffer {
  const text = body.toString("latin1").replace(/[\r\n\t ]+/g, "");
  if (text === "" || text.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) throw graphFault("graph-invalid-base64");
  return Buffer.from(text, "base64");
}

function readJson(type: string, body: Buffer): unknown {
  if (!/^application\/json(?:;|$)/i.test(type))
    throw new GraphFault(415, "RequestBodyRead", "A supported MIME type could not be found that matches the content type of the request.");
  try {
    return JSON.parse(body.toString("utf8")) as unknown;
  } catch {
    throw badRequest("Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format.");
  }
}
