/** Access tokens of the stand-in's Entra: signed for real, so that the submission host can refuse what Entra did not issue. */
import { createPublicKey, generateKeyPair, randomBytes, randomInt, randomUUID } from "node:crypto";
import type { JsonWebKey, KeyObject } from "node:crypto";
import { promisify } from "node:util";

import type { Clock } from "../platform/clock.ts";
import { decodeJwt, signJwt, verifyJwt } from "./jwt.ts";
import type { Tenant, TenantApp } from "./tenant.ts";

/** Resources a token can be for: the scope is this plus `/.default`. */
export const RESOURCES: readonly string[] = ["https://outlook.office365.com", "https://outlook.office.com", "https://graph.microsoft.com"];
/** Audiences that the submission host takes. */
const MAIL_AUDIENCES: ReadonlySet<string> = new Set(RESOURCES.slice(0, 2));
const SHORTEST_MINUTES = 60;
const LONGEST_MINUTES = 90;

/** An issued token. */
export interface IssuedToken {
  readonly accessToken: string;
  readonly expiresInSeconds: number;
}

/** What a token says once it has been verified. */
export interface VerifiedToken {
  readonly clientId: string;
  readonly roles: readonly string[];
}

/** Permissions that belong to a resource: Exchange's protocols to Outlook, the rest to Graph. */
function rolesFor(app: TenantApp, resource: string): string[] {
  const ofExchange = (permission: string): boolean => /^(SMTP|IMAP|POP)\./.test(permission) || permission === "full_access_as_app";
  return app.permissions.filter((permission) => ofExchange(permission) === MAIL_AUDIENCES.has(resource));
}

/** Issues tokens and knows its own again. */
export class TokenIssuer {
  readonly keyId = randomBytes(20).toString("base64url");
  #key: KeyObject;
  #publicKey: KeyObject;
  #tenant: Tenant;
  #clock: Clock;

  constructor(key: KeyObject, tenant: Tenant, clock: Clock) {
    this.#key = key;
    this.#publicKey = createPublicKey(key);
    this.#tenant = tenant;
    this.#clock = clock;
  }

  /** The public key as the key set of the discovery document shows it (RFC 7517). */
  get publicJwk(): JsonWebKey {
    return { ...this.#publicKey.export({ format: "jwk" }), use: "sig", kid: this.keyId };
  }

  /** Issues an application token; lives 60 to 90 minutes, at random, as Microsoft's do. */
  issue(app: TenantApp, resource: string, credential: "secret" | "certificate"): IssuedToken {
    const now = Math.trunc(this.#clock.now() / 1000);
    const expiresInSeconds = randomInt(SHORTEST_MINUTES * 60, LONGEST_MINUTES * 60 + 1);
    const roles = rolesFor(app, resource);
    const claims = {
      aud: resource,
      iss: `https://sts.windows.net/${this.#tenant.id}/`,
      iat: now,
      nbf: now,
      exp: now + expiresInSeconds,
      aio: randomBytes(36).toString("base64"),
      app_displayname: app.name,
      appid: app.clientId,
      appidacr: credential === "secret" ? "1" : "2",
      idp: `https://sts.windows.net/${this.#tenant.id}/`,
      idtyp: "app",
      oid: app.clientId.replace(/^.{8}/, "0b7ec700"),
      rh: `1.${randomBytes(40).toString("base64url")}.`,
      ...(roles.length > 0 ? { roles } : {}),
      sid: randomUUID(),
      sub: app.clientId.replace(/^.{8}/, "0b7ec700"),
      tid: this.#tenant.id,
      uti: randomBytes(16).toString("base64url"),
      ver: "1.0",
      wids: ["0997a1d0-0d1d-4acb-b408-d5ca73121e90"],
      xms_idrel: "7 30",
    };
    return { accessToken: signJwt({ x5t: this.keyId, kid: this.keyId }, claims, this.#key), expiresInSeconds };
  }

  /** What the token says, or why the submission host will not take it (never told to the client, only to the operator). */
  verify(token: string): VerifiedToken | string {
    const jwt = decodeJwt(token);
    if (jwt === undefined) return "the token is no JWT";
    if (!verifyJwt(jwt, this.#publicKey)) return "the token was not signed by this Entra";
    const { aud, exp, tid, appid, roles } = jwt.claims;
    if (typeof exp !== "number" || exp * 1000 <= this.#clock.now()) return "the token has expired";
    if (tid !== this.#tenant.id) return "the token is for another tenant";
    if (typeof aud !== "string" || !MAIL_AUDIENCES.has(aud)) return `the audience of the token is ${String(aud)}`;
    if (typeof appid !== "string") return "the token names no app";
    return { clientId: appid, roles: Array.isArray(roles) ? roles.filter((role) => typeof role === "string") : [] };
  }
}

/** Makes the key pair that tokens are signed with. */
export async function createSigningKey(): Promise<KeyObject> {
  return (await promisify(generateKeyPair)("rsa", { modulusLength: 2048 })).privateKey;
}
