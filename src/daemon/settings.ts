/** What the stages are told of the configuration, at the start and at each reload. */
import type { Config } from "../config/config.ts";
import { BUDGET_HISTORY_MS } from "../deliver/budget/allowance.ts";
import type { Router } from "../deliver/routes.ts";
import type { DelivererSettings } from "../deliver/scheduler.ts";
import type { QueueLimits } from "../queue/queue.ts";
import type { ReceiverSettings } from "../receive/receiver.ts";
import type { Upstream } from "../upstream/upstream.ts";
import type { ListenerCertificates } from "./certificates.ts";
import { buildClients, buildListeners, doorLimits, receiverLimits } from "./listening.ts";

/** Bounds of the queue and what it keeps. */
export function queueLimits(config: Config): QueueLimits {
  const { queue, history } = config;
  return {
    floorBytes: queue.min_free,
    maxBytes: queue.max_size,
    historyKeepMs: historyKeepMs(config),
    failedContentMs: history.failed_content,
  };
}

/** Listeners, clients and limits. */
export function receiverSettings(
  config: Config,
  certificates: ListenerCertificates,
  router: Router,
  upstreams: ReadonlyMap<string, Upstream>,
): ReceiverSettings {
  const { domains, time_zone: timeZone } = config.organization;
  return {
    domains: { own: domains, first: domains[0] },
    listeners: buildListeners(config, certificates),
    limits: receiverLimits(config.limits),
    clients: buildClients(config),
    sizeLimit: doorLimits(router, upstreams),
    timeZone,
    logSubjects: config.log.subjects,
  };
}

/** Times, reports and whose domains are one's own. */
export function delivererSettings({ retry, organization, clients, bounces }: Config): DelivererSettings {
  return {
    fallbackAfterMs: retry.fallback_after,
    retry: {
      firstMs: retry.first,
      factor: retry.factor,
      maxMs: retry.max,
      expireAfterMs: retry.expire_after,
      warnAfterMs: retry.warn_after,
    },
    domains: organization.domains,
    postmaster: organization.postmaster,
    fallbackSenders: [organization.default_sender, ...Object.values(clients).map((client) => client.fallback_sender)],
    bounces,
    timeZone: organization.time_zone,
  };
}

/** At least what budgets are counted from after a restart, where there are some. */
function historyKeepMs({ history, upstreams }: Config): number {
  const counted = Object.values(upstreams).some(
    ({ limits }) => (limits.messages_per_hour ?? limits.recipients_per_day ?? limits.external_recipients_per_day) !== undefined,
  );
  return counted ? Math.max(history.keep, BUDGET_HISTORY_MS) : history.keep;
}
