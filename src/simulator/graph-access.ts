/** Who may do what at Graph: the token, its permissions, the mailbox that is addressed. */
import { GraphFault, badRequest, graphFault } from "./graph-fault.ts";
import { findMailbox, hasRole, mayOpen } from "./tenant.ts";
import type { RoleAssignment, Tenant, TenantApp, TenantMailbox } from "./tenant.ts";
import { userObjectId } from "./token-issuer.ts";
import type { TokenFault, TokenIssuer, VerifiedToken } from "./token-issuer.ts";

/** What a request needs; a broader permission does too. */
export type GraphPermission = "Mail.Send" | "Mail.ReadWrite" | "Mail.Read";

/** Permissions that are enough, by what is needed. */
const ENOUGH: Readonly<Record<GraphPermission, readonly string[]>> = {
  "Mail.Send": ["Mail.Send"],
  "Mail.ReadWrite": ["Mail.ReadWrite"],
  "Mail.Read": ["Mail.Read", "Mail.ReadWrite"],
};

/** A request that may go on. */
export interface GraphCaller {
  readonly app: TenantApp;
  readonly mailbox: TenantMailbox;
}

/** What Graph tells a client about its token; unlike SMTP it does. */
const TOKEN_WORDS: Readonly<Record<TokenFault["reason"], string>> = {
  malformed: "CompactToken parsing failed with error code: 80049217",
  signature: "Access token validation failure.",
  expired: "Lifetime validation failed, the token is expired.",
  tenant: "Access token validation failure. Invalid tenant.",
  audience: "Access token validation failure. Invalid audience.",
  app: "Access token validation failure.",
};

function invalidToken(message: string): GraphFault {
  return new GraphFault(401, "InvalidAuthenticationToken", message, {
    "www-authenticate":
      'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", client_id="00000003-0000-0000-c000-000000000000"',
  });
}

/** The token of an Authorization header, verified. @throws GraphFault 401 */
export function readToken(issuer: TokenIssuer, authorization: string | undefined): VerifiedToken {
  const token = /^Bearer +(\S+) *$/i.exec(authorization ?? "")?.[1];
  if (token === undefined) throw invalidToken("Access token is empty.");
  const verified = issuer.verify(token, [issuer.graphAudience]);
  if ("why" in verified) throw invalidToken(TOKEN_WORDS[verified.reason]);
  return verified;
}

/**
 * Whether the holder of the token may do this with the mailbox.
 *
 * @param user - part of the path after `users/`: an address or an object id; undefined for `me`
 * @throws GraphFault 401, 403 or 404
 */
export function authorize(tenant: Tenant, token: VerifiedToken, user: string | undefined, permission: GraphPermission): GraphCaller {
  const app = tenant.apps.find((candidate) => candidate.clientId === token.clientId);
  if (app === undefined || app.disabled) throw invalidToken("Access token validation failure.");
  if (token.user === undefined && user === undefined) throw badRequest("/me request is only valid with delegated authentication flow.");

  const assigned = rolesFor(app, permission);
  const isBlank = token.roles.length === 0 && token.scopes.length === 0;
  if (isBlank && app.roleAssignments.length === 0) throw graphFault("graph-no-permissions");
  const own = ENOUGH[permission];
  const isGranted =
    token.user === undefined
      ? own.some((name) => token.roles.includes(name))
      : own.some((name) => token.scopes.includes(name) || token.scopes.includes(`${name}.Shared`));
  if (!isGranted && (token.user !== undefined || assigned.length === 0)) throw graphFault("graph-access-denied");

  const mailbox = addressedMailbox(tenant, user ?? token.user ?? "");
  if (token.user !== undefined) {
    if (!mayUse(mailbox, token, own)) throw graphFault("graph-access-denied");
  } else if (!isGranted && !assigned.some((role) => hasRole(app, role, mailbox))) throw graphFault("graph-access-scope");
  return { app, mailbox };
}

function rolesFor(app: TenantApp, permission: GraphPermission): RoleAssignment["role"][] {
  const enough = ENOUGH[permission].map((name) => `Application ${name}`);
  return app.roleAssignments.map((assignment) => assignment.role).filter((role) => enough.includes(role));
}

/** A user may use their own mailbox with the plain scope, another's with the shared one and Full Access. */
function mayUse(mailbox: TenantMailbox, token: VerifiedToken, names: readonly string[]): boolean {
  const user = token.user ?? "";
  const isOwn = findOwn(mailbox, user);
  if (isOwn) return names.some((name) => token.scopes.includes(name) || token.scopes.includes(`${name}.Shared`));
  return mayOpen(mailbox, user) && names.some((name) => token.scopes.includes(`${name}.Shared`));
}

function findOwn(mailbox: TenantMailbox, user: string): boolean {
  return [mailbox.address, ...mailbox.aliases].some((address) => address.toLowerCase() === user.toLowerCase());
}

function addressedMailbox(tenant: Tenant, user: string): TenantMailbox {
  const mailbox = user.includes("@")
    ? findMailbox(tenant, user)
    : tenant.mailboxes.find((candidate) => userObjectId(candidate.address) === user.toLowerCase());
  if (mailbox === undefined) throw graphFault(user.includes("@") ? "graph-user-invalid" : "graph-user-unknown", { mailbox: user });
  if (mailbox.hosting === "on-premises") throw graphFault("graph-mailbox-not-enabled");
  return mailbox;
}
