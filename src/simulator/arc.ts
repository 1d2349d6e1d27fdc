/**
 * The managed identity endpoint of an Azure Arc agent: plain HTTP, and a secret in a file that only a reader on the same machine can answer with
 * (learn.microsoft.com, "Authenticate against Azure resources with Azure Arc-enabled servers").
 */
import { randomBytes, randomUUID } from "node:crypto";
import { mkdir, rm, writeFile } from "node:fs/promises";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import path from "node:path";

import type { Clock } from "../platform/clock.ts";
import { createServer } from "../platform/http.ts";
import { allResources } from "./clouds.ts";
import type { ActiveFault, FaultBook } from "./faults.ts";
import type { SimulatorEvent } from "./simulator-events.ts";
import type { Tenant } from "./tenant.ts";
import type { TokenIssuer } from "./token-issuer.ts";

const VERSIONS = ["2019-11-01", "2020-06-01"];
/** Challenges that wait for their answer; the oldest are forgotten, with their files. */
const CHALLENGES_MAX = 16;

/** What the agent works with. */
export interface ArcOptions {
  readonly tenant: Tenant;
  readonly issuer: TokenIssuer;
  readonly faults: FaultBook;
  readonly clock: Clock;
  /** Where key files are put; the real agent's is /var/opt/azcmagent/tokens. */
  readonly keyDirectory: string;
  readonly emit: (event: SimulatorEvent) => void;
}

/** The agent. */
export class ArcAgent {
  readonly server: Server;
  #options: ArcOptions;
  /** Content of key files → file. */
  #challenges = new Map<string, string>();

  constructor(options: ArcOptions) {
    this.#options = options;
    this.server = createServer((request, response) => {
      this.#handle(request, response).catch(() => response.destroy());
    });
  }

  /** Removes key files that nobody asked with. */
  async clear(): Promise<void> {
    const files = [...this.#challenges.values()];
    this.#challenges.clear();
    await Promise.all(files.map((file) => rm(file, { force: true })));
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    request.resume();
    const url = new URL(request.url ?? "/", "http://127.0.0.1");
    if (url.pathname !== "/metadata/identity/oauth2/token") return refuse(response, 404, "not_found", "There is no such endpoint.");
    if (request.method !== "GET") return refuse(response, 405, "invalid_request", "Only GET is supported.");
    if (request.headers["metadata"]?.toString().toLowerCase() !== "true")
      return refuse(response, 400, "invalid_request", "Required metadata header not specified");
    if (!VERSIONS.includes(url.searchParams.get("api-version") ?? ""))
      return refuse(response, 400, "invalid_request", `The api-version must be one of ${VERSIONS.join(", ")}`);
    const fault = this.#options.faults.take("arc", { host: "arc" });
    if (fault !== undefined && !(await this.#act(fault, request, response))) return;
    const answer = /^Basic (\S+)$/i.exec(request.headers.authorization ?? "")?.[1];
    if (answer === undefined) return this.#challenge(response, fault?.definition.action.kind === "omit");
    const file = this.#challenges.get(answer);
    if (file === undefined) return refuse(response, 401, "unauthorized", "The challenge token is invalid.");
    // Good for one answer: the next request gets a challenge of its own.
    this.#challenges.delete(answer);
    await rm(file, { force: true });
    this.#issue(url.searchParams.get("resource"), response);
  }

  /** Lets a fault act; false when it has taken the request for itself. */
  async #act(fault: ActiveFault, request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    const { action } = fault.definition;
    if (action.kind === "reset") request.socket.destroy();
    else if (action.kind === "http") response.writeHead(action.status).end();
    else if (action.kind === "hold") {
      await Promise.race([fault.cleared, new Promise<void>((resolve) => response.once("close", resolve))]);
      return !response.destroyed;
    } else return true;
    return false;
  }

  async #challenge(response: ServerResponse, withoutFile: boolean): Promise<void> {
    const { keyDirectory } = this.#options;
    const file = path.join(keyDirectory, `${randomUUID()}.key`);
    const content = randomBytes(48).toString("base64url");
    if (!withoutFile) {
      await mkdir(keyDirectory, { recursive: true, mode: 0o700 });
      await writeFile(file, content, { mode: 0o640 });
    }
    this.#challenges.set(content, file);
    const [oldest] = this.#challenges;
    if (oldest !== undefined && this.#challenges.size > CHALLENGES_MAX) {
      this.#challenges.delete(oldest[0]);
      await rm(oldest[1], { force: true });
    }
    response.writeHead(401, { "www-authenticate": `Basic realm=${file}`, "content-length": "0" }).end();
  }

  #issue(given: string | null, response: ServerResponse): void {
    const { tenant, issuer, clock, emit } = this.#options;
    const resource = (given ?? "").replace(/\/$/, "");
    const identity = tenant.apps.find((app) => app.managedIdentity);
    if (identity === undefined || identity.disabled)
      return refuse(response, 400, "invalid_request", "The machine has no managed identity.");
    if (!allResources(tenant.cloud).includes(resource)) {
      return refuse(
        response,
        400,
        "invalid_resource",
        `AADSTS500011: The resource principal named ${resource} was not found in the tenant named ${tenant.domain}.`,
      );
    }
    const { accessToken, expiresInSeconds } = issuer.issue(identity, resource, "certificate");
    emit({ type: "token.issued", clientId: identity.clientId, expiresInSeconds });
    const now = Math.trunc(clock.now() / 1000);
    sendJson(response, 200, {
      access_token: accessToken,
      client_id: identity.clientId,
      expires_in: String(expiresInSeconds),
      expires_on: String(now + expiresInSeconds),
      ext_expires_in: String(expiresInSeconds),
      not_before: String(now),
      resource,
      token_type: "Bearer",
    });
  }
}

function refuse(response: ServerResponse, status: number, error: string, description: string): void {
  sendJson(response, status, { error, error_description: description });
}

function sendJson(response: ServerResponse, status: number, value: object): void {
  const text = JSON.stringify(value);
  response.writeHead(status, { "content-type": "application/json", "content-length": String(Buffer.byteLength(text)) }).end(text);
}
