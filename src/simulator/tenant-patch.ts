/** Changes to the tenant that come over HTTP: checked whole before anything is changed. */
import { mailFlowChange } from "./mail-flow-patch.ts";
import { PatchFault, boolean, count, object, text, texts, time } from "./patch-values.ts";
import type { Change, Json } from "./patch-values.ts";
import type { Tenant, TenantApp, TenantMailbox } from "./tenant.ts";
import { findMailbox } from "./tenant.ts";
import { readRoleAssignments } from "./app-patch.ts";
import { isCloud } from "./clouds.ts";

/**
 * Applies `{ smtpAuthDisabled, apps: { CLIENT_ID: { secret, secretExpiresAt, disabled, permissions } }, mailboxes: { ADDRESS: { smtpAuth, basicAuth,
 * password, fullAccess, sendAs, aliases, region, limits } } }`, and the keys of mail flow; every part may be absent, `smtpAuth: null` follows the
 * organisation.
 *
 * @throws PatchFault, and then nothing has changed
 */
export function patchTenant(tenant: Tenant, patch: unknown): void {
  const changes: Change[] = [];
  for (const [key, value] of Object.entries(object(patch, "the patch"))) {
    if (key === "smtpAuthDisabled") {
      const off = boolean(value, key);
      changes.push(() => (tenant.smtpAuthDisabled = off));
    } else if (key === "cloud") {
      const cloud = text(value, key);
      if (!isCloud(cloud)) throw new PatchFault(`${key}: expected worldwide, gcc, gcc-high, dod or china`);
      changes.push(() => (tenant.cloud = cloud));
    } else if (key === "apps") {
      for (const [clientId, fields] of Object.entries(object(value, key)))
        changes.push(...appChanges(tenant, clientId, object(fields, clientId)));
    } else if (key === "mailboxes") {
      for (const [address, fields] of Object.entries(object(value, key)))
        changes.push(...mailboxChanges(tenant, address, object(fields, address)));
    } else changes.push(...mailFlowChange(tenant, key, value));
  }
  for (const change of changes) change();
}

function appChanges(tenant: Tenant, clientId: string, fields: Json): Change[] {
  const app = tenant.apps.find((candidate) => candidate.clientId === clientId);
  if (app === undefined) throw new PatchFault(`apps: there is no app ${clientId}`);
  return Object.entries(fields).map(([key, value]) => appChange(app, key, value));
}

function appChange(app: TenantApp, key: string, value: unknown): Change {
  switch (key) {
    case "secret": {
      const secret = text(value, key);
      return () => (app.secrets = [{ value: secret, expiresAt: Date.UTC(2099, 0, 1) }]);
    }
    case "secretExpiresAt": {
      const expiresAt = time(value, key);
      return () => (app.secrets = app.secrets.map((secret) => ({ ...secret, expiresAt })));
    }
    case "disabled": {
      const disabled = boolean(value, key);
      return () => (app.disabled = disabled);
    }
    case "permissions": {
      const permissions = texts(value, key);
      return () => (app.permissions = permissions);
    }
    case "publicClient": {
      const isPublic = boolean(value, key);
      return () => (app.publicClient = isPublic);
    }
    case "roleAssignments": {
      const assignments = readRoleAssignments(value);
      if (assignments === undefined)
        throw new PatchFault(
          `${key}: expected a list such as [{"role":"Application Mail.Send","scope":["scanner@contoso.com"]}], or "all" as scope`,
        );
      return () => (app.roleAssignments = assignments);
    }
    default:
      throw new PatchFault(`${key}: unknown; expected secret, secretExpiresAt, disabled, permissions, publicClient or roleAssignments`);
  }
}

function mailboxChanges(tenant: Tenant, address: string, fields: Json): Change[] {
  const mailbox = findMailbox(tenant, address);
  if (mailbox === undefined) throw new PatchFault(`mailboxes: there is no mailbox ${address}`);
  return Object.entries(fields).map(([key, value]) => mailboxChange(mailbox, key, value));
}

function mailboxChange(mailbox: TenantMailbox, key: string, value: unknown): Change {
  switch (key) {
    case "smtpAuth": {
      const on = value === null ? undefined : boolean(value, key);
      return () => (mailbox.smtpAuth = on);
    }
    case "basicAuth": {
      if (value !== "off" && value !== "on" && value !== "retired") throw new PatchFault(`${key}: expected off, on or retired`);
      return () => (mailbox.basicAuth = value);
    }
    case "password": {
      const password = text(value, key);
      return () => (mailbox.password = password);
    }
    case "keepsSubmissionCopies": {
      const keeps = boolean(value, key);
      return () => (mailbox.keepsSubmissionCopies = keeps);
    }
    case "hosting": {
      if (value !== "licensed" && value !== "on-premises") throw new PatchFault(`${key}: expected licensed or on-premises`);
      return () => (mailbox.hosting = value);
    }
    case "fullAccess":
    case "sendAs":
    case "aliases": {
      const list = texts(value, key);
      return () => (mailbox[key] = list);
    }
    case "region": {
      const region = text(value, key);
      return () => (mailbox.region = region);
    }
    case "limits": {
      const names = Object.keys(mailbox.limits);
      const limits = Object.fromEntries(
        Object.entries(object(value, key)).map(([name, limit]) => {
          if (!names.includes(name)) throw new PatchFault(`limits.${name}: unknown; expected ${names.join(", ")}`);
          return [name, count(limit, `limits.${name}`)];
        }),
      );
      return () => (mailbox.limits = { ...mailbox.limits, ...limits });
    }
    default:
      throw new PatchFault(
        `${key}: unknown; expected smtpAuth, basicAuth, password, fullAccess, sendAs, aliases, region, keepsSubmissionCopies, hosting or limits`,
      );
  }
}
