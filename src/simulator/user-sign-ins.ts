/** Users who sign in for an app: device codes that wait for somebody, and the refresh tokens that come of them. */
import { randomBytes, randomInt } from "node:crypto";

import type { Clock } from "../platform/clock.ts";
import { EntraRefusal, entraTime } from "./aadsts.ts";
import type { DelegatedScope } from "./scopes.ts";
import { findMailbox } from "./tenant.ts";
import type { Tenant, TenantApp } from "./tenant.ts";

/** What can be changed about sign-ins; live. */
export interface SignInSettings {
  /** What a client is told to wait between two questions. */
  deviceIntervalSeconds: number;
  deviceCodeSeconds: number;
  /** A refresh token that is not used for so long ends. */
  refreshUnusedMs: number;
}

export const DEFAULT_SIGN_IN: Readonly<SignInSettings> = {
  deviceIntervalSeconds: 5,
  deviceCodeSeconds: 900,
  refreshUnusedMs: 90 * 24 * 60 * 60_000,
};

const WAITING_MAX = 1_000;
const TOKENS_MAX = 10_000;
/** Without vowels and without what looks alike. */
const CODE_LETTERS = "BCDFGHJKLMNPQRSTVWXZ23456789";

/** A sign-in that waits for a user. */
export interface DeviceCode {
  readonly deviceCode: string;
  /** What the user types in. */
  readonly userCode: string;
  readonly app: TenantApp;
  readonly scope: DelegatedScope;
  readonly startedAt: number;
  readonly expiresAt: number;
  state: "waiting" | "approved" | "declined";
  user: string | undefined;
}

/** What a user has let an app do. */
export interface UserGrant {
  readonly app: TenantApp;
  readonly user: string;
  readonly scope: DelegatedScope;
}

/** A refresh token that was handed out. */
export interface RefreshToken {
  readonly grant: UserGrant;
  readonly issuedAt: number;
  usedAt: number;
}

/** The sign-ins of a tenant. */
export class UserSignIns {
  readonly settings: SignInSettings;
  #tenant: Tenant;
  #clock: Clock;
  #codes = new Map<string, DeviceCode>();
  #tokens = new Map<string, RefreshToken>();
  /** `client user` → what was consented to, with the resource. */
  #consents = new Map<string, Set<string>>();
  /** Grants from before are void: a password reset, or a revocation. ms since the epoch by user. */
  #validFrom = new Map<string, number>();

  constructor(tenant: Tenant, clock: Clock, settings: SignInSettings) {
    this.#tenant = tenant;
    this.#clock = clock;
    this.settings = settings;
  }

  /** Starts a sign-in by device code. */
  begin(app: TenantApp, scope: DelegatedScope): DeviceCode {
    const now = this.#clock.now();
    for (const code of this.#codes.values()) if (code.expiresAt + 60 * 60_000 <= now) this.#codes.delete(code.deviceCode);
    const [oldest] = this.#codes.keys();
    if (oldest !== undefined && this.#codes.size >= WAITING_MAX) this.#codes.delete(oldest);
    const userCode = Array.from({ length: 9 }, () => CODE_LETTERS[randomInt(CODE_LETTERS.length)]).join("");
    const code: DeviceCode = {
      deviceCode: `${userCode[0]}AQABAAEAAAA${randomBytes(96).toString("base64url")}`,
      userCode,
      app,
      scope,
      startedAt: now,
      expiresAt: now + this.settings.deviceCodeSeconds * 1000,
      state: "waiting",
      user: undefined,
    };
    this.#codes.set(code.deviceCode, code);
    return code;
  }

  /** Sign-ins that a user may still decide about. */
  waiting(): DeviceCode[] {
    return [...this.#codes.values()].filter((code) => code.state === "waiting" && code.expiresAt > this.#clock.now());
  }

  /**
   * A user decides.
   *
   * @returns what was wrong, and then nothing was decided; undefined when it was
   */
  decide(userCode: string, user: string, decision: "approve" | "decline"): string | undefined {
    const wanted = userCode.replace(/[\s-]/g, "").toUpperCase();
    const code = this.waiting().find((candidate) => candidate.userCode === wanted);
    if (code === undefined) return "that code did not work; check the code and try again";
    const mailbox = findMailbox(this.#tenant, user);
    if (decision === "approve" && mailbox === undefined) return `there is no user ${user} in the tenant`;
    code.state = decision === "approve" ? "approved" : "declined";
    code.user = mailbox?.address;
    if (decision === "approve" && code.user !== undefined) this.#consent(code.app, code.user, code.scope);
    return undefined;
  }

  /** What has become of a device code. The code is used up with a success. @throws EntraRefusal */
  poll(deviceCode: string | null, app: TenantApp): UserGrant {
    if (deviceCode === null || deviceCode === "") throw new EntraRefusal(900144, { parameter: "device_code" });
    const code = this.#codes.get(deviceCode);
    if (code === undefined || code.app !== app) throw new EntraRefusal(70018);
    if (code.state === "declined") throw new EntraRefusal(70022);
    if (code.expiresAt <= this.#clock.now()) throw new EntraRefusal(70020);
    if (code.state === "waiting" || code.user === undefined) throw new EntraRefusal(70016);
    this.#codes.delete(deviceCode);
    return { app, user: code.user, scope: code.scope };
  }

  /** A new refresh token. The ones before stay valid, as Entra's do. */
  issueRefreshToken(grant: UserGrant): string {
    const now = this.#clock.now();
    const [oldest] = this.#tokens.keys();
    if (oldest !== undefined && this.#tokens.size >= TOKENS_MAX) this.#tokens.delete(oldest);
    const token = `1.A${randomBytes(160).toString("base64url")}`;
    this.#tokens.set(token, { grant, issuedAt: now, usedAt: now });
    return token;
  }

  /** What a refresh token stands for; `scope` undefined: what it was issued for. @throws EntraRefusal */
  refresh(token: string | null, app: TenantApp, scope: DelegatedScope | undefined): UserGrant {
    if (token === null || token === "") throw new EntraRefusal(900144, { parameter: "refresh_token" });
    const known = this.#tokens.get(token);
    if (known === undefined || known.grant.app !== app) throw new EntraRefusal(70000, { parameter: "refresh_token" });
    const now = this.#clock.now();
    const { user } = known.grant;
    const issued = entraTime(known.issuedAt);
    const validFrom = this.#validFrom.get(user.toLowerCase());
    if (validFrom !== undefined && known.issuedAt <= validFrom) throw new EntraRefusal(50173, { issued, validFrom: entraTime(validFrom) });
    if (now - known.usedAt > this.settings.refreshUnusedMs) {
      throw new EntraRefusal(700082, { issued, inactive: `${Math.trunc((now - known.usedAt) / 86_400_000)}.00:00:00` });
    }
    if (findMailbox(this.#tenant, user) === undefined) throw new EntraRefusal(50034, { user, tenant: this.#tenant.domain });
    const wanted = scope === undefined ? known.grant.scope : this.#consented(app, user, scope);
    known.usedAt = now;
    return { app, user, scope: wanted };
  }

  /** Ends what a user has let apps do, as a password reset does. */
  revoke(user: string): void {
    const address = findMailbox(this.#tenant, user)?.address ?? user;
    this.#validFrom.set(address.toLowerCase(), this.#clock.now());
  }

  /** The newest refresh token of each app and user. */
  signIns(): RefreshToken[] {
    const newest = new Map<string, RefreshToken>();
    for (const token of this.#tokens.values()) newest.set(`${token.grant.app.clientId} ${token.grant.user}`, token);
    return [...newest.values()].filter(({ grant, issuedAt }) => issuedAt > (this.#validFrom.get(grant.user.toLowerCase()) ?? 0));
  }

  /** Forgets codes that wait; who signed in stays signed in. */
  clear(): void {
    this.#codes.clear();
  }

  #consent(app: TenantApp, user: string, scope: DelegatedScope): void {
    const key = `${app.clientId} ${user.toLowerCase()}`;
    const given = this.#consents.get(key) ?? new Set<string>();
    for (const name of scope.permissions) given.add(`${scope.resource}/${name}`);
    this.#consents.set(key, given);
  }

  /** The scope, if all of it was consented to; `.default` is whatever was. @throws EntraRefusal */
  #consented(app: TenantApp, user: string, scope: DelegatedScope): DelegatedScope {
    const given = this.#consents.get(`${app.clientId} ${user.toLowerCase()}`) ?? new Set<string>();
    const prefix = `${scope.resource}/`;
    const all = [...given].filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
    const permissions = scope.permissions.includes(".default") ? all : scope.permissions;
    if (permissions.length === 0 || permissions.some((name) => !all.includes(name)))
      throw new EntraRefusal(65001, { client: app.clientId, name: app.name });
    return { ...scope, permissions };
  }
}
