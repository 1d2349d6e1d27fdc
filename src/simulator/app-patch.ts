/** What a patch of the tenant may say about an app's roles (RBAC for Applications). */
import type { RoleAssignment } from "./tenant.ts";

const ROLES: readonly RoleAssignment["role"][] = [
  "Application SMTP.SendAsApp",
  "Application Mail.Send",
  "Application Mail.ReadWrite",
  "Application Mail.Read",
];

/** Reads `[{ role, scope }]`, scope a list of addresses or `all`; undefined when it is anything else. */
export function readRoleAssignments(value: unknown): RoleAssignment[] | undefined {
  if (!Array.isArray(value) || value.length > 1000) return undefined;
  const read = value.map((entry: unknown): RoleAssignment | undefined => {
    const { role: name, scope, ...unknown } = (entry ?? {}) as Record<string, unknown>;
    const role = ROLES.find((one) => one === name);
    if (role === undefined || Object.keys(unknown).length > 0) return undefined;
    if (scope === "all") return { role, scope };
    return Array.isArray(scope) && scope.every((address) => typeof address === "string") ? { role, scope } : undefined;
  });
  return read.includes(undefined) ? undefined : read.filter((assignment) => assignment !== undefined);
}
