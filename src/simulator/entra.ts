/** Entra ID's token endpoint with the documents a client reads before it: HTTPS, tokens for an app and for its users. */
import { randomUUID } from "node:crypto";
import { createServer } from "node:https";
import type { Server } from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";

import type { Clock } from "../platform/clock.ts";
import { EntraRefusal, entraTime } from "./aadsts.ts";
import { assertionClientId, verifyAssertion } from "./client-assertion.ts";
import type { FaultBook } from "./faults.ts";
import type { KeyAndCertificate } from "./pki.ts";
import type { SimulatorEvent } from "./simulator-events.ts";
import { readBody } from "./http-body.ts";
import type { Tenant, TenantApp } from "./tenant.ts";
import { userObjectId } from "./token-issuer.ts";
import type { AppProof, IssuedToken, TokenIssuer } from "./token-issuer.ts";
import type { DeviceCode, UserGrant, UserSignIns } from "./user-sign-ins.ts";
import { delegatedScope, resourceOf } from "./scopes.ts";

const BODY_MAX = 65_536;
const DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code";
const ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/** What the endpoint works with. */
export interface EntraOptions {
  readonly tenant: Tenant;
  readonly issuer: TokenIssuer;
  readonly signIns: UserSignIns;
  /** The page where a user enters a device code. */
  readonly verificationUri: () => string;
  readonly faults: FaultBook;
  readonly clock: Clock;
  /** What a client dates its assertions by: it does not know that ours was moved. */
  readonly clientClock: Clock;
  readonly certificate: KeyAndCertificate;
  readonly emit: (event: SimulatorEvent) => void;
}

/** Makes the HTTPS server; the caller listens and closes. */
export function createEntra(options: EntraOptions): Server {
  const service = new EntraService(options);
  return createServer(
    { key: options.certificate.keyPem, cert: options.certificate.certificatePem, minVersion: "TLSv1.2" },
    (request, response) => {
      service.handle(request, response).catch(() => response.destroy());
    },
  );
}

class EntraService {
  #options: EntraOptions;

  constructor(options: EntraOptions) {
    this.#options = options;
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const origin = `https://${request.headers.host ?? "login.microsoftonline.com"}`;
    const url = new URL(request.url ?? "/", origin);
    const [tenant = "", ...rest] = url.pathname
      .split("/")
      .filter((part) => part !== "")
      .map(decodeURIComponent);
    const path = rest.join("/");

    if (path === "oauth2/v2.0/token" && request.method === "POST") await this.#token(request, response, origin, tenant);
    else if (path === "oauth2/v2.0/devicecode" && request.method === "POST") await this.#deviceCode(request, response, tenant);
    else if (path === "v2.0/.well-known/openid-configuration") this.#discovery(response, origin, tenant);
    else if (url.pathname === "/common/discovery/instance") this.#instances(response, url, origin);
    else if (path === "discovery/v2.0/keys") sendJson(response, 200, { keys: [this.#options.issuer.publicJwk] });
    else sendJson(response, 404, { error: "not_found" });
  }

  #discovery(response: ServerResponse, origin: string, tenant: string): void {
    if (!this.#isOurs(tenant) && tenant !== "common" && tenant !== "organizations") {
      this.#refuse(response, new EntraRefusal(90002, { tenant }), randomUUID());
      return;
    }
    const id = this.#isOurs(tenant) ? this.#options.tenant.id : tenant;
    sendJson(response, 200, {
      token_endpoint: `${origin}/${id}/oauth2/v2.0/token`,
      token_endpoint_auth_methods_supported: ["client_secret_post", "private_key_jwt", "client_secret_basic"],
      jwks_uri: `${origin}/${id}/discovery/v2.0/keys`,
      response_modes_supported: ["query", "fragment", "form_post"],
      subject_types_supported: ["pairwise"],
      id_token_signing_alg_values_supported: ["RS256"],
      response_types_supported: ["code", "id_token", "code id_token", "id_token token"],
      scopes_supported: ["openid", "profile", "email", "offline_access"],
      issuer: `${origin}/${id}/v2.0`,
      request_uri_parameter_supported: false,
      authorization_endpoint: `${origin}/${id}/oauth2/v2.0/authorize`,
      device_authorization_endpoint: `${origin}/${id}/oauth2/v2.0/devicecode`,
      claims_supported: ["sub", "iss", "aud", "exp", "iat", "tid", "ver"],
      tenant_region_scope: "EU",
      cloud_instance_name: "microsoftonline.com",
      cloud_graph_host_name: "graph.windows.net",
      msgraph_host: "graph.microsoft.com",
    });
  }

  #instances(response: ServerResponse, url: URL, origin: string): void {
    const asked = url.searchParams.get("authorization_endpoint") ?? "";
    const tenant = asked.split("/")[3] ?? this.#options.tenant.id;
    const host = new URL(origin).host;
    sendJson(response, 200, {
      tenant_discovery_endpoint: `${origin}/${tenant}/v2.0/.well-known/openid-configuration`,
      "api-version": "1.1",
      metadata: [
        { preferred_network: host, preferred_cache: host, aliases: [host] },
        {
          preferred_network: "login.microsoftonline.com",
          preferred_cache: "login.windows.net",
          aliases: ["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"],
        },
      ],
    });
  }

  async #token(request: IncomingMessage, response: ServerResponse, origin: string, tenant: string): Promise<void> {
    const body = await readBody(request, BODY_MAX);
    const correlationId = header(request, "client-request-id") ?? randomUUID();
    const form = new URLSearchParams(body ?? "");
    const clientId = form.get("client_id") ?? assertionClientId(form.get("client_assertion") ?? "") ?? "";
    try {
      if (!(await this.#passFault("token", request, response))) return;
      const issued = this.#grant(form, origin, tenant, clientId);
      this.#options.emit({ type: "token.issued", clientId, expiresInSeconds: issued.expires_in });
      sendJson(response, 200, issued);
    } catch (error) {
      if (!(error instanceof EntraRefusal)) throw error;
      this.#options.emit({ type: "token.refused", clientId, code: `AADSTS${error.code}` });
      this.#refuse(response, error, correlationId);
    }
  }

  async #deviceCode(request: IncomingMessage, response: ServerResponse, tenant: string): Promise<void> {
    const { signIns, verificationUri, emit } = this.#options;
    const correlationId = header(request, "client-request-id") ?? randomUUID();
    const form = new URLSearchParams((await readBody(request, BODY_MAX)) ?? "");
    const clientId = form.get("client_id") ?? "";
    try {
      if (!(await this.#passFault("device", request, response))) return;
      const app = this.#app(tenant, clientId, true);
      const code: DeviceCode = signIns.begin(app, delegatedScope(form.get("scope"), this.#options.tenant));
      emit({ type: "device.started", clientId: app.clientId, userCode: code.userCode });
      sendJson(response, 200, {
        user_code: code.userCode,
        device_code: code.deviceCode,
        verification_uri: verificationUri(),
        expires_in: signIns.settings.deviceCodeSeconds,
        interval: signIns.settings.deviceIntervalSeconds,
        message: `To sign in, use a web browser to open the page ${verificationUri()} and enter the code ${code.userCode} to authenticate.`,
      });
    } catch (error) {
      if (!(error instanceof EntraRefusal)) throw error;
      emit({ type: "token.refused", clientId, code: `AADSTS${error.code}` });
      this.#refuse(response, error, correlationId);
    }
  }

  /** Lets a fault act; false when it has taken the request for itself. */
  async #passFault(stage: "token" | "device", request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    const fault = this.#options.faults.take(stage, { host: "entra" });
    if (fault === undefined) return true;
    const { action } = fault.definition;
    if (action.kind === "aadsts") throw new EntraRefusal(action.code, this.#places());
    if (action.kind === "http") {
      response.writeHead(action.status, { "content-type": "text/html; charset=us-ascii", "retry-after": "5" });
      response.end(
        "<!DOCTYPE html><html><head><title>Service Unavailable</title></head><body><h2>Service Unavailable</h2></body></html>\r\n",
      );
      return false;
    }
    if (action.kind === "reset") {
      request.socket.destroy();
      return false;
    }
    const gone = new Promise<void>((resolve) => response.once("close", resolve));
    if (action.kind === "hold") await Promise.race([fault.cleared, gone]);
    if (action.kind === "delay") await Promise.race([new Promise<void>((resolve) => this.#options.clock.after(action.ms, resolve)), gone]);
    return !response.destroyed;
  }

  /** What stands in the places of an error that is switched on. */
  #places(): Record<string, string> {
    const { tenant, clock } = this.#options;
    const now = entraTime(clock.now());
    const [app] = tenant.apps;
    return {
      tenant: tenant.domain,
      client: app?.clientId ?? "",
      name: app?.name ?? "",
      user: tenant.mailboxes[0]?.address ?? "",
      resource: "00000002-0000-0ff1-ce00-000000000000",
      scope: "",
      reason: "The key was not found.",
      now,
      from: now,
      to: now,
      issued: now,
      validFrom: now,
      inactive: "90.00:00:00",
      lifetime: "3600",
    };
  }

  /** The app of a request; users may sign in without naming their tenant. @throws EntraRefusal */
  #app(tenant: string, clientId: string, forUser: boolean): TenantApp {
    const own = this.#options.tenant;
    if (clientId === "") throw new EntraRefusal(900144, { parameter: "client_id" });
    const isAny = forUser && /^(?:common|organizations)$/i.test(tenant);
    if (!isAny && !this.#isOurs(tenant)) throw new EntraRefusal(90002, { tenant });
    const app = own.apps.find((candidate) => candidate.clientId.toLowerCase() === clientId.toLowerCase());
    if (app === undefined || app.managedIdentity) throw new EntraRefusal(700016, { client: clientId, tenant: own.domain });
    if (app.disabled) throw new EntraRefusal(7000112, { client: app.clientId, name: app.name });
    return app;
  }

  #grant(form: URLSearchParams, origin: string, tenant: string, clientId: string): TokenResponse {
    const grant = form.get("grant_type");
    if (grant === null || grant === "") throw new EntraRefusal(900144, { parameter: "grant_type" });
    const isDevice = grant === DEVICE_GRANT || grant === "device_code";
    const isRefresh = grant === "refresh_token";
    const app = this.#app(tenant, clientId, isDevice || isRefresh);
    if (!isDevice && !isRefresh && grant !== "client_credentials") throw new EntraRefusal(70003, { grant });
    const hasCredential = form.has("client_secret") || form.has("client_assertion");
    const isPublic = (isDevice || isRefresh) && app.publicClient && !hasCredential;
    const proof = isPublic ? "none" : this.#authenticate(form, origin, tenant, app);
    const { issuer, signIns } = this.#options;
    if (isDevice) return this.#forUser(signIns.poll(form.get("device_code") ?? form.get("code"), app), proof, origin, form);
    if (isRefresh) {
      const asked = form.get("scope");
      const scope = asked === null || asked === "" ? undefined : delegatedScope(asked, this.#options.tenant);
      return this.#forUser(signIns.refresh(form.get("refresh_token"), app, scope), proof, origin, form);
    }
    return answerOf(issuer.issue(app, resourceOf(form.get("scope"), this.#options.tenant), proof));
  }

  /** Tokens for what a user let the app do. */
  #forUser({ app, user, scope }: UserGrant, proof: AppProof, origin: string, form: URLSearchParams): TokenResponse {
    const { issuer, signIns, tenant } = this.#options;
    const { resource, permissions, openid } = scope;
    const info = { uid: userObjectId(user), utid: tenant.id };
    return {
      ...answerOf(issuer.issueDelegated(app, user, resource, permissions, proof)),
      scope: permissions.map((name) => `${resource}/${name}`).join(" "),
      ...(openid.includes("offline_access") ? { refresh_token: signIns.issueRefreshToken({ app, user, scope }) } : {}),
      ...(openid.includes("openid") ? { id_token: issuer.issueIdToken(app, user, `${origin}/${tenant.id}/v2.0`) } : {}),
      ...(form.get("client_info") === "1" ? { client_info: Buffer.from(JSON.stringify(info)).toString("base64url") } : {}),
    };
  }

  #authenticate(form: URLSearchParams, origin: string, tenant: string, app: TenantApp): "secret" | "certificate" {
    const now = this.#options.clock.now();
    const assertion = form.get("client_assertion");
    if (assertion !== null && form.get("client_assertion_type") === ASSERTION_TYPE) {
      verifyAssertion(assertion, { app, audiences: this.#audiences(origin, tenant), now: this.#options.clientClock.now() });
      return "certificate";
    }
    const given = form.get("client_secret");
    if (given === null || given === "") throw new EntraRefusal(7000218);
    const secret = app.secrets.find((candidate) => candidate.value === given);
    if (secret === undefined) throw new EntraRefusal(7000215, { client: app.clientId });
    if (secret.expiresAt <= now) throw new EntraRefusal(7000222, { client: app.clientId });
    return "secret";
  }

  /** The names of this endpoint, under the host it was asked as and under Microsoft's own, by tenant id and by domain. */
  #audiences(origin: string, tenant: string): string[] {
    const { id, domain } = this.#options.tenant;
    const tenants = [...new Set([tenant, id, domain])];
    return [origin, "https://login.microsoftonline.com"].flatMap((host) =>
      tenants.flatMap((name) => [`${host}/${name}/oauth2/v2.0/token`, `${host}/${name}/v2.0`]),
    );
  }

  #isOurs(tenant: string): boolean {
    const own = this.#options.tenant;
    const asked = tenant.toLowerCase();
    return [own.id, own.domain, ...own.domains].some((name) => name.toLowerCase() === asked);
  }

  #refuse(response: ServerResponse, refusal: EntraRefusal, correlationId: string): void {
    const traceId = randomUUID();
    const timestamp = entraTime(this.#options.clock.now());
    sendJson(response, refusal.definition.status, {
      error: refusal.definition.error,
      error_description: `${refusal.message} Trace ID: ${traceId} Correlation ID: ${correlationId} Timestamp: ${timestamp}`,
      error_codes: [refusal.code],
      timestamp,
      trace_id: traceId,
      correlation_id: correlationId,
      error_uri: `https://login.microsoftonline.com/error?code=${refusal.code}`,
    });
  }
}

/** What the endpoint answers with. */
interface TokenResponse {
  readonly token_type: "Bearer";
  readonly expires_in: number;
  readonly ext_expires_in: number;
  readonly access_token: string;
  readonly scope?: string;
  readonly refresh_token?: string;
  readonly id_token?: string;
  readonly client_info?: string;
}

function answerOf({ accessToken, expiresInSeconds }: IssuedToken): TokenResponse {
  return { token_type: "Bearer", expires_in: expiresInSeconds, ext_expires_in: expiresInSeconds, access_token: accessToken };
}

function header(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return typeof value === "string" && /^[\w-]{1,64}$/.test(value) ? value : undefined;
}

function sendJson(response: ServerResponse, status: number, value: object): void {
  response.writeHead(status, {
    "content-type": "application/json; charset=utf-8",
    "cache-control": "no-store, no-cache",
    pragma: "no-cache",
    "x-content-type-options": "nosniff",
  });
  response.end(JSON.stringify(value));
}
