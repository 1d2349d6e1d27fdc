/** Access tokens of the stand-in's Entra: signed for real, so that the services can refuse what Entra did not issue. */
import { createHash, createPublicKey, randomBytes, randomInt, randomUUID } from "node:crypto";
import type { JsonWebKey, KeyObject } from "node:crypto";

import type { Clock } from "../platform/clock.ts";
import { resourcesOf } from "./clouds.ts";
import { decodeJwt, signJwt, verifyJwt } from "./jwt.ts";
import type { Tenant, TenantApp } from "./tenant.ts";

const SHORTEST_MINUTES = 60;
const LONGEST_MINUTES = 90;

/** An issued token. */
export interface IssuedToken {
  readonly accessToken: string;
  readonly expiresInSeconds: number;
}

/** What proved that the app is the app: `none` is a public client, with a user who signed in. */
export type AppProof = "secret" | "certificate" | "none";

/** What a token says once it has been verified. */
export interface VerifiedToken {
  readonly clientId: string;
  /** Application permissions. */
  readonly roles: readonly string[];
  /** Delegated permissions. */
  readonly scopes: readonly string[];
  /** The user who signed in; undefined in a token of the app itself. */
  readonly user: string | undefined;
}

/** Why a token is refused. Only Graph tells the client; the submission host tells the operator alone. */
export interface TokenFault {
  readonly reason: "malformed" | "signature" | "expired" | "tenant" | "audience" | "app";
  readonly why: string;
}

/** Permissions that belong to a resource: Exchange's protocols to Outlook, the rest to Graph. */
function rolesFor(app: TenantApp, isMail: boolean): string[] {
  const ofExchange = (permission: string): boolean => /^(SMTP|IMAP|POP)\./.test(permission) || permission === "full_access_as_app";
  // Mail.Send exists in both: Exchange's own is what High Volume Email asks for.
  return app.permissions.filter((permission) => ofExchange(permission) === isMail || (isMail && permission === "Mail.Send"));
}

/** The object id of a service principal or a user: made from what is known of it, so that it stays the same. */
function objectId(seed: string): string {
  return seed.replace(/^.{8}/, "0b7ec700");
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

  /** Resources of Exchange's protocols in the tenant's cloud. */
  get mailAudiences(): readonly string[] {
    return resourcesOf(this.#tenant.cloud).mail;
  }

  /** The resource of Graph in the tenant's cloud. */
  get graphAudience(): string {
    return resourcesOf(this.#tenant.cloud).graph;
  }

  /** Issues an application token; lives 60 to 90 minutes, at random, as Microsoft's do. */
  issue(app: TenantApp, resource: string, proof: AppProof): IssuedToken {
    const roles = rolesFor(app, this.mailAudiences.includes(resource));
    return this.#sign(app, resource, {
      appidacr: proof === "secret" ? "1" : "2",
      idtyp: "app",
      oid: objectId(app.clientId),
      sub: objectId(app.clientId),
      ...(roles.length > 0 ? { roles } : {}),
      ...(app.managedIdentity ? { xms_mirid: `/subscriptions/${this.#tenant.id}/providers/Microsoft.HybridCompute/machines/relay` } : {}),
    });
  }

  /**
   * Issues a token for what a user let the app do.
   *
   * @param scopes - without the resource: `SMTP.Send`
   */
  issueDelegated(app: TenantApp, user: string, resource: string, scopes: readonly string[], proof: AppProof): IssuedToken {
    return this.#sign(app, resource, {
      appidacr: proof === "none" ? "0" : proof === "secret" ? "1" : "2",
      idtyp: "user",
      oid: userObjectId(user),
      sub: userObjectId(user),
      scp: scopes.join(" "),
      upn: user,
      unique_name: user,
    });
  }

  /** An id token (OpenID Connect): who signed in, for the client itself. */
  issueIdToken(app: TenantApp, user: string, issuer: string): string {
    const now = Math.trunc(this.#clock.now() / 1000);
    const claims = {
      aud: app.clientId,
      iss: issuer,
      iat: now,
      nbf: now,
      exp: now + SHORTEST_MINUTES * 60,
      name: user.split("@")[0],
      oid: userObjectId(user),
      preferred_username: user,
      sub: userObjectId(user),
      tid: this.#tenant.id,
      ver: "2.0",
    };
    return signJwt({ kid: this.keyId }, claims, this.#key);
  }

  #sign(app: TenantApp, resource: string, subject: object): IssuedToken {
    const now = Math.trunc(this.#clock.now() / 1000);
    const expiresInSeconds = randomInt(SHORTEST_MINUTES * 60, LONGEST_MINUTES * 60 + 1);
    const claims = {
      aud: resource,
      iss: `https://sts.windows.net/${this.#tenant.id}/`,
      iat: now,
      nbf: now,
      exp: now + expiresInSeconds,
      aio: randomBytes(36).toString("base64"),
      app_displayname: app.name,
      appid: app.clientId,
      idp: `https://sts.windows.net/${this.#tenant.id}/`,
      rh: `1.${randomBytes(40).toString("base64url")}.`,
      sid: randomUUID(),
      tid: this.#tenant.id,
      uti: randomBytes(16).toString("base64url"),
      ver: "1.0",
      wids: ["0997a1d0-0d1d-4acb-b408-d5ca73121e90"],
      xms_idrel: "7 30",
      ...subject,
    };
    return { accessToken: signJwt({ x5t: this.keyId, kid: this.keyId }, claims, this.#key), expiresInSeconds };
  }

  /** What the token says, or why a service will not take it. */
  verify(token: string, audiences: readonly string[] = this.mailAudiences): VerifiedToken | TokenFault {
    const jwt = decodeJwt(token);
    if (jwt === undefined) return { reason: "malformed", why: "the token is no JWT" };
    if (!verifyJwt(jwt, this.#publicKey)) return { reason: "signature", why: "the token was not signed by this Entra" };
    const { aud, exp, tid, appid, roles, scp, upn } = jwt.claims;
    if (typeof exp !== "number" || exp * 1000 <= this.#clock.now()) return { reason: "expired", why: "the token has expired" };
    if (tid !== this.#tenant.id) return { reason: "tenant", why: "the token is for another tenant" };
    if (typeof aud !== "string" || !audiences.includes(aud))
      return { reason: "audience", why: `the audience of the token is ${String(aud)}` };
    if (typeof appid !== "string") return { reason: "app", why: "the token names no app" };
    return {
      clientId: appid,
      roles: Array.isArray(roles) ? roles.filter((role) => typeof role === "string") : [],
      scopes: typeof scp === "string" ? scp.split(" ") : [],
      user: typeof upn === "string" ? upn : undefined,
    };
  }
}

/** The object id of a user: the same address always gives the same id. */
export function userObjectId(user: string): string {
  const hex = createHash("sha256").update(user.toLowerCase()).digest("hex").slice(0, 32);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`;
}
