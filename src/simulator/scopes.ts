/** What a token request asks for: the resource, and the delegated permissions on it. */
import { EntraRefusal } from "./aadsts.ts";
import { allResources, resourcesOf } from "./clouds.ts";
import type { Tenant } from "./tenant.ts";

const OPENID = ["openid", "profile", "email", "offline_access"];

/** Delegated permissions there are. */
const OF_MAIL = ["SMTP.Send", "IMAP.AccessAsUser.All", "POP.AccessAsUser.All"];
const OF_GRAPH = ["Mail.Send", "Mail.Send.Shared", "Mail.Read", "Mail.Read.Shared", "Mail.ReadWrite", "Mail.ReadWrite.Shared", "User.Read"];

/** What a user is asked to let an app do. */
export interface DelegatedScope {
  readonly resource: string;
  /** Without the resource; `.default` stands for what was consented to before. */
  readonly permissions: readonly string[];
  /** Scopes of OpenID Connect: whether there is an id token and a refresh token. */
  readonly openid: readonly string[];
}

/** A scope as a client writes it. */
export function scopeWords({ resource, permissions, openid }: DelegatedScope): string {
  return [...permissions.map((name) => `${resource}/${name}`), ...openid].join(" ");
}

function parts(scope: string | null): string[] {
  if (scope === null || scope.trim() === "") throw new EntraRefusal(900144, { parameter: "scope" });
  return scope.split(" ").filter((part) => part !== "");
}

/** The resource of the one `…/.default` scope of an app's own token. @throws EntraRefusal */
export function resourceOf(scope: string | null, tenant: Tenant): string {
  const wanted = parts(scope).filter((part) => !OPENID.includes(part));
  const [first, ...others] = wanted;
  if (first === undefined || others.length > 0 || !first.endsWith("/.default")) throw new EntraRefusal(70011, { scope: scope ?? "" });
  const resource = first.slice(0, -"/.default".length).replace(/\/$/, "");
  if (!resource.startsWith("https://")) throw new EntraRefusal(70011, { scope: scope ?? "" });
  if (!allResources(tenant.cloud).includes(resource)) throw new EntraRefusal(500011, { resource, tenant: tenant.domain });
  return resource;
}

/** Reads delegated scopes: `https://outlook.office.com/SMTP.Send offline_access`, bare names are Graph's. @throws EntraRefusal */
export function delegatedScope(scope: string | null, tenant: Tenant): DelegatedScope {
  const all = parts(scope);
  const { graph } = resourcesOf(tenant.cloud);
  const wanted = all
    .filter((part) => !OPENID.includes(part))
    .map((part) => {
      const slash = part.lastIndexOf("/");
      return slash < 0
        ? { resource: graph, name: part }
        : { resource: part.slice(0, slash).replace(/\/$/, ""), name: part.slice(slash + 1) };
    });
  const resource = wanted[0]?.resource ?? graph;
  if (!allResources(tenant.cloud).includes(resource)) throw new EntraRefusal(500011, { resource, tenant: tenant.domain });
  if (wanted.some((one) => one.resource !== resource)) throw new EntraRefusal(28000, { scope: scope ?? "" });
  const known = resource === graph ? OF_GRAPH : OF_MAIL;
  const strange = wanted.find(({ name }) => name !== ".default" && !known.includes(name));
  if (strange !== undefined) throw new EntraRefusal(650053, { scope: strange.name, resource });
  return { resource, permissions: wanted.map(({ name }) => name), openid: all.filter((part) => OPENID.includes(part)) };
}
