/** Builds the alerts from the configuration. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Config, WebhookConfig } from "../config/config.ts";
import { secretReader } from "../config/secret.ts";
import type { Emit } from "../mail/events.ts";
import { Alerts } from "../observe/alerts/alerts.ts";
import type { AlertsOptions, Figures } from "../observe/alerts/alerts.ts";
import { poster } from "../observe/alerts/post.ts";
import type { GaugeSnapshot } from "../observe/metrics.ts";
import type { Clock } from "../platform/clock.ts";

/** Doors and senders that are held are tried within `retry.max`; this on top leaves room for the answer, and for rests between probes. */
const GRACE_MS = 2 * 3_600_000;

export function buildAlerts(config: Config, emit: Emit, clock: Clock): Alerts {
  const { webhook } = config.alerts;
  return new Alerts({
    directory: join(config.data_dir, "deliver"),
    graceMs: GRACE_MS + 2 * config.retry.max,
    webhook: webhook === undefined ? undefined : webhookOptions(webhook, config),
    emit,
    clock,
  });
}

function webhookOptions({ url, secret, format }: WebhookConfig, { network, hostname }: Config): AlertsOptions["webhook"] {
  return {
    url: secretReader(url),
    secret: secret === undefined ? undefined : secretReader(secret),
    format,
    hostname,
    post: poster(async () => ({
      ca: await Promise.all(network.ca.map(async (file) => await readFile(file, "latin1"))),
      proxy: network.proxy,
      sourceAddress: network.source_address,
    })),
  };
}

/** What a look for alerts needs of the figures that metrics are made from. */
export function figuresOf({ oldestAcceptedAt, freeBytes, upstreams, certificates }: GaugeSnapshot, floorBytes: number): Figures {
  const credentials = upstreams.map(({ name, credentialExpiresAt }) => ({ upstream: name, expiresAt: credentialExpiresAt }));
  return { oldestAcceptedAt, freeBytes, floorBytes, credentials, certificates };
}
