/** Remedies that depend on where a door stands, and how long a change at Microsoft takes to work. */

/** Permissions, service principals, mailbox rights. */
const RIGHTS_DELAY = "a change takes up to one hour to work";

/** Says so, where the remedy does not. */
export function afterAWhile(remedy: string): string {
  return /\bhours?\b|\bminutes?\b/i.test(remedy) ? remedy : `${remedy}; ${RIGHTS_DELAY}`;
}

/** What to do about a port that does not answer. */
export function openPort(port: number, host: string): string {
  const open = `Let this machine connect to TCP ${port} of ${host}: look at the firewall on the way`;
  if (port !== 25) return `${open}, and at host and port of the upstream`;
  return `${open}. Many Internet providers and clouds block port 25: ask yours to open it, or use an upstream of type smtp-auth (port 587) or graph (port 443)`;
}

/** The application permission that is missing: for what is needed alone, and for everything. */
export function grantRole(role: string, api: string, mailbox: string): string {
  return `Give it for ${mailbox} alone (RBAC for Applications): New-ManagementRoleAssignment -Role 'Application ${role}' -App CLIENT-ID -CustomResourceScope SCOPE; or for every mailbox: Entra admin center > App registrations > the application > API permissions > Add > APIs my organization uses > ${api} > Application permissions > ${role}, then Grant admin consent; a change takes up to one hour to work, and a new token`;
}
