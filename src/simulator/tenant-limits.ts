/** Limits of the whole tenant in 24 hours: recipients outside it (TERRL), and those of senders in the initial domain. */
import type { UsageBook } from "./mailbox-usage.ts";
import { wordsOf } from "./refusal.ts";
import type { Refused } from "./refusal.ts";
import { domainOf } from "./smtp-syntax.ts";
import { isInside } from "./tenant.ts";
import type { Tenant } from "./tenant.ts";

const TRIAL_MAX = 5_000;
const INITIAL_DOMAIN_MAX = 100;

/** External recipients a tenant may have in 24 hours: 500 × licences^0.7 + 9,500, or 5,000 in a trial. */
export function externalLimit(tenant: Tenant): number {
  return tenant.trial ? TRIAL_MAX : Math.floor(500 * tenant.licenses ** 0.7 + 9_500);
}

function isInitialDomain(tenant: Tenant, sender: string): boolean {
  return domainOf(sender) === tenant.domain.toLowerCase();
}

function outside(tenant: Tenant, recipients: readonly string[]): number {
  return recipients.filter((recipient) => !isInside(tenant, recipient)).length;
}

/** Why the tenant may not send this; undefined when it may. */
export function judgeTenant(
  tenant: Tenant,
  usage: UsageBook,
  sender: string,
  recipients: readonly string[],
  now: number,
): Refused | undefined {
  const external = outside(tenant, recipients);
  if (external === 0) return undefined;
  if (usage.external.of(now) + external > externalLimit(tenant)) return wordsOf(tenant.trial ? "tenant-external-trial" : "tenant-external");
  if (isInitialDomain(tenant, sender) && usage.initialDomain.of(now) + external > INITIAL_DOMAIN_MAX) return wordsOf("onmicrosoft-limit");
  return undefined;
}

/** Counts a message that was taken. */
export function countForTenant(tenant: Tenant, usage: UsageBook, sender: string, recipients: readonly string[], now: number): void {
  const external = outside(tenant, recipients);
  usage.external.add(now, external);
  if (isInitialDomain(tenant, sender)) usage.initialDomain.add(now, external);
}
