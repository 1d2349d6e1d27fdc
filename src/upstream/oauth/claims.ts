/** What an access token says of itself. For looking at: whether it is valid is for who takes it. */
import type { TokenClaims } from "../upstream.ts";

/** A token longer than this is not looked at. */
const LONGEST = 32_768;

/** @returns undefined for a token that is no JWT: Microsoft may issue others, to its own services */
export function claimsOf(token: string): TokenClaims | undefined {
  const payload = token.length > LONGEST ? undefined : token.split(".")[1];
  if (payload === undefined) return undefined;
  let claims: Readonly<Record<string, unknown>>;
  try {
    const value: unknown = JSON.parse(Buffer.from(payload, "base64url").toString("utf8"));
    if (typeof value !== "object" || value === null) return undefined;
    claims = value as Readonly<Record<string, unknown>>;
  } catch {
    return undefined;
  }
  const text = (name: string): string | undefined => {
    const value = claims[name];
    return typeof value === "string" ? value.slice(0, 300) : undefined;
  };
  const { exp, roles, scp } = claims;
  return {
    audience: text("aud"),
    tenant: text("tid"),
    application: text("appid") ?? text("azp"),
    expiresAt: typeof exp === "number" ? exp * 1000 : undefined,
    roles: Array.isArray(roles) ? roles.filter((role): role is string => typeof role === "string") : [],
    scopes: typeof scp === "string" ? scp.split(" ").filter((scope) => scope !== "") : [],
  };
}
