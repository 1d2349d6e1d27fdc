/** What a token says of itself, against what the door needs. Pure. */
import type { GraphConfig, SmtpAuthConfig } from "../config/config.ts";
import type { TokenClaims } from "../upstream/upstream.ts";
import type { DoctorFinding } from "./finding.ts";
import { grantRole } from "./remedies.ts";

type SignedInConfig = SmtpAuthConfig | GraphConfig;

/** Under this a service may refuse a token as too old. */
const SHORTEST_MS = 15 * 60_000;
const GUID = /^[\da-f]{8}-(?:[\da-f]{4}-){3}[\da-f]{12}$/i;

/** The right that a token needs; undefined where the service asks for none in the token. */
export function neededRight(config: SignedInConfig): { readonly name: string; readonly delegated: boolean } | undefined {
  if (config.type === "smtp-auth" && config.preset !== undefined) return undefined;
  const delegated = config.credential.type === "device-code";
  if (config.type === "graph") return { name: "Mail.Send", delegated };
  return { name: delegated ? "SMTP.Send" : "SMTP.SendAsApp", delegated };
}

/** True where the token holds what the door needs, or nothing is needed. */
export function hasRight(config: SignedInConfig, token: TokenClaims): boolean {
  const needed = neededRight(config);
  if (needed === undefined) return true;
  return (needed.delegated ? token.scopes : token.roles).includes(needed.name);
}

/** The token itself: for whom, from whom, how long. */
export function tokenFinding(subject: string, config: SignedInConfig, token: TokenClaims | undefined, now: number): DoctorFinding {
  const about = { id: "token", subject } as const;
  if (token === undefined) return { ...about, verdict: "ok", evidence: "a token was issued; it is of a kind that cannot be looked into" };
  const { audience, tenant, expiresAt } = token;
  const minutes = expiresAt === undefined ? undefined : Math.round((expiresAt - now) / 60_000);
  const evidence = `a token for ${audience ?? "nobody named"}, tenant ${tenant ?? "not named"}${minutes === undefined ? "" : `, valid for ${minutes} minutes`}`;
  if (expiresAt !== undefined && expiresAt - now < SHORTEST_MS)
    return { ...about, verdict: "fault", evidence, remedy: "Correct this machine's clock: Microsoft issues tokens for an hour or more" };
  const wanted = /^https:\/\/[^/]+/.exec(config.scope)?.[0];
  if (audience?.startsWith("https://") === true && wanted !== undefined && new URL(audience).host !== new URL(wanted).host)
    return { ...about, verdict: "fault", evidence, remedy: `Correct scope on the upstream: it asks for ${config.scope}` };
  if (
    tenant !== undefined &&
    config.tenant !== undefined &&
    GUID.test(config.tenant) &&
    tenant.toLowerCase() !== config.tenant.toLowerCase()
  )
    return { ...about, verdict: "fault", evidence, remedy: `Correct tenant: the configuration has ${config.tenant}` };
  return { ...about, verdict: "ok", evidence };
}

/**
 * The permission in the token. A missing one need not be a fault, since RBAC for Applications in Exchange gives the same right without the token
 * showing it: a sign-in that was accepted proves that, one that was refused for no reason given makes it the fault.
 *
 * @param signIn - what AUTH came to; `untried` where there is none
 */
export function permissionFinding(
  subject: string,
  config: SignedInConfig,
  token: TokenClaims,
  signIn: "accepted" | "refused" | "untried",
): DoctorFinding | undefined {
  const needed = neededRight(config);
  if (needed === undefined) return undefined;
  const about = { id: "permission", subject } as const;
  const held = needed.delegated ? token.scopes : token.roles;
  if (held.includes(needed.name)) return { ...about, verdict: "ok", evidence: `the token holds ${needed.name}` };
  const evidence = `the token has no ${needed.name}${held.length === 0 ? "" : ` (it has ${held.join(", ")})`}`;
  if (needed.delegated)
    return {
      ...about,
      verdict: "fault",
      evidence,
      remedy: `Add the delegated permission ${needed.name} to the application, then sign in anew: postern auth login ${subject}`,
    };
  const api = config.type === "graph" ? "Microsoft Graph" : "Office 365 Exchange Online";
  const mailbox = config.mailbox === "from" ? "the senders' mailboxes" : config.mailbox;
  const remedy = grantRole(needed.name, api, mailbox);
  if (signIn === "accepted")
    return {
      ...about,
      verdict: "ok",
      evidence: `${evidence}, and the sign-in was accepted: RBAC for Applications in Exchange gives the right`,
    };
  if (signIn === "refused") return { ...about, verdict: "fault", evidence: `${evidence}, and the sign-in was refused`, remedy };
  return {
    ...about,
    verdict: "warning",
    evidence: `${evidence}; that is well only where RBAC for Applications in Exchange gives the right`,
    remedy,
  };
}
