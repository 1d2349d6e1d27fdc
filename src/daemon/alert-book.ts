/** Builds the alerts from the configuration. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Config, SyslogConfig, WebhookConfig } from "../config/config.ts";
import { secretReader } from "../config/secret.ts";
import type { DoorTrouble } from "../deliver/door.ts";
import type { Emit } from "../mail/events.ts";
import { Alerts } from "../observe/alerts/alerts.ts";
import type { Figures, Ways } from "../observe/alerts/alerts.ts";
import type { Carrier } from "../observe/alerts/outbox.ts";
import { poster } from "../observe/alerts/post.ts";
import { syslogCarrier } from "../observe/alerts/syslog.ts";
import { webhookCarrier } from "../observe/alerts/webhook.ts";
import type { GaugeSnapshot } from "../observe/metrics.ts";
import type { Clock } from "../platform/clock.ts";
import { isProgramReplaced } from "../platform/program.ts";
import type { AlertMails } from "./alert-mails.ts";

/** Doors and senders that are held are tried within `retry.max`; this on top leaves room for the answer, and for rests between probes. */
const GRACE_MS = 2 * 3_600_000;

export function buildAlerts(config: Config, mails: AlertMails, emit: Emit, clock: Clock): Alerts {
  return new Alerts({
    directory: join(config.data_dir, "deliver"),
    graceMs: GRACE_MS + 2 * config.retry.max,
    ways: alertWays(config, mails, clock),
    emit,
    clock,
  });
}

/** Who carries notices by this configuration. Files are read at each attempt. */
export function alertWays(config: Config, mails: AlertMails, clock: Clock): Ways {
  const { webhook, syslog, mail } = config.alerts;
  return {
    ...(webhook === undefined ? {} : { webhook: byWebhook(webhook, config, clock) }),
    ...(syslog === undefined ? {} : { syslog: bySyslog(syslog, config) }),
    ...(mail === undefined ? {} : { mail: mails.carrier(mail, config) }),
  };
}

function byWebhook({ url, secret, format }: WebhookConfig, { network, hostname }: Config, clock: Clock): Carrier {
  return webhookCarrier({
    url: secretReader(url),
    secret: secret === undefined ? undefined : secretReader(secret),
    format,
    hostname,
    post: poster(async () => ({
      ca: await authorities(network.ca),
      proxy: network.proxy,
      sourceAddress: network.source_address,
    })),
    clock,
  });
}

function bySyslog({ address, facility }: SyslogConfig, { network, hostname }: Config): Carrier {
  const ca = (): Promise<string[]> => authorities(network.ca);
  return syslogCarrier({ address, facility, hostname, pid: process.pid, ca, sourceAddress: network.source_address });
}

async function authorities(files: readonly string[]): Promise<string[]> {
  return await Promise.all(files.map(async (file) => await readFile(file, "latin1")));
}

/** What a look for alerts needs of the figures that metrics are made from, and besides. */
export function figuresOf(
  { oldestAcceptedAt, freeBytes, upstreams, certificates }: GaugeSnapshot,
  tokens: Figures["tokens"],
  troubles: ReadonlyMap<string, DoorTrouble>,
  floorBytes: number,
): Figures {
  const credentials = upstreams.map(({ name, credentialExpiresAt }) => ({ upstream: name, expiresAt: credentialExpiresAt }));
  const doors = [...troubles].map(([upstream, { cause, remedy, slow, since, metAt }]) => ({ upstream, cause, remedy, slow, since, metAt }));
  return { oldestAcceptedAt, freeBytes, floorBytes, doors, credentials, certificates, tokens, programReplaced: isProgramReplaced() };
}
