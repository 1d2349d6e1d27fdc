/** From what the file says to what the stages need: paths made absolute, defaults that follow from other keys filled in. */
import { resolve as resolvePath } from "node:path";
import { momentOf, systemTimeZone } from "../platform/zone.ts";
import type { ClientConfig, Config, ListenerConfig, RouteConfig, SecretRef, WebhookConfig } from "./config.ts";
import { resolveUpstream, secretOf } from "./resolve-upstream.ts";
import type { ParsedFile } from "./schema/index.ts";

/** Minimal room for what arrives while the disk fills: three of the largest messages. */
const FLOOR_MESSAGES = 3;

/**
 * @param file - parsed, and without disagreements
 * @param folder - absolute path of the folder that relative paths start at
 */
export function resolveConfig(file: ParsedFile, folder: string): Config {
  const { organization, network } = file;
  const [firstDomain = "", ...otherDomains] = organization.domains;
  const defaultSender = organization.default_sender ?? organization.postmaster;
  const timeZone = organization.time_zone ?? systemTimeZone();
  const clients = mapValues(file.clients, (client) => resolveClient(client, Object.keys(file.listeners), defaultSender, timeZone));
  const ca = network.ca.map((path) => resolvePath(folder, path));
  const ownNetwork = { ca, proxy: unlessNone(network.proxy), source_address: unlessNone(network.source_address), dns: network.dns };
  const largest = Math.max(...Object.values(clients).map((client) => client.max_message_size));
  return {
    hostname: file.hostname,
    data_dir: resolvePath(folder, file.data_dir),
    organization: {
      tenant: organization.tenant,
      cloud: organization.cloud,
      domains: [firstDomain, ...otherDomains],
      postmaster: organization.postmaster,
      default_sender: defaultSender,
      time_zone: timeZone,
    },
    listeners: mapValues(file.listeners, (listener) => resolveListener(listener, folder)),
    clients,
    limits: file.limits,
    users: file.users,
    upstreams: mapValues(file.upstreams, (upstream) => resolveUpstream(upstream, { file, folder, network: ownNetwork, defaultSender })),
    routes: file.routes.map(({ name, match, via: [first = "", ...others], spread, spill }): RouteConfig => ({
      name,
      match,
      via: [first, ...others],
      spread,
      spill,
    })),
    retry: file.retry,
    bounces: file.bounces,
    queue: { min_free: Math.max(file.queue.min_free, FLOOR_MESSAGES * largest), max_size: file.queue.max_size },
    history: { keep: file.history.keep, failed_content: file.history.failed_content },
    network: ownNetwork,
    admin: resolveAdmin(file.admin, folder),
    metrics: { listen: file.metrics.listen },
    alerts: { webhook: resolveWebhook(file.alerts.webhook, folder), syslog: file.alerts.syslog, mail: file.alerts.mail },
    log: file.log,
  };
}

function resolveListener(
  { listen, tls, proxy_protocol, limits, auth, auth_without_tls, quirks }: ParsedFile["listeners"][string],
  folder: string,
): ListenerConfig {
  const plain = { mode: "none", certificate: [], key: [], pfx: undefined, passphrase: undefined, min_version: "TLSv1.2" } as const;
  const { mode, certificate, key, pfx, passphrase, min_version } = tls ?? plain;
  const absoluteOf = (path: string): string => resolvePath(folder, path);
  const own = {
    mode,
    certificate: certificate.map(absoluteOf),
    key: key.map(absoluteOf),
    pfx: pfx === undefined ? undefined : absoluteOf(pfx),
    passphrase: absoluteSecret(folder, passphrase),
    min_version,
  };
  return { listen, tls: own, proxy_protocol, limits, auth, auth_without_tls, quirks };
}

function resolveClient(
  client: ParsedFile["clients"][string],
  listeners: readonly string[],
  defaultSender: string,
  timeZone: string,
): ClientConfig {
  const { learn } = client;
  return {
    ...client,
    learn: learn === undefined ? undefined : { networks: learn.networks ?? client.networks, until: momentOf(learn.until, timeZone) },
    listeners: client.listeners ?? listeners,
    fallback_sender: client.fallback_sender ?? defaultSender,
  };
}

function resolveAdmin({ listen, tls }: ParsedFile["admin"], folder: string): Config["admin"] {
  if (tls === undefined) return { listen, tls: undefined };
  return { listen, tls: { certificate: resolvePath(folder, tls.certificate), key: resolvePath(folder, tls.key) } };
}

function resolveWebhook(webhook: ParsedFile["alerts"]["webhook"], folder: string): WebhookConfig | undefined {
  if (webhook === undefined) return undefined;
  const { url, secret, format } = webhook;
  return { url: secretOf(url, { folder }), secret: secret === undefined ? undefined : secretOf(secret, { folder }), format };
}

function unlessNone(value: string): string | undefined {
  return value === "none" ? undefined : value;
}

function absoluteSecret(folder: string, reference: SecretRef | undefined): SecretRef | undefined {
  return reference !== undefined && "file" in reference ? { file: resolvePath(folder, reference.file) } : reference;
}

/** A null prototype, since the names come from a file. */
function mapValues<T, U>(record: Readonly<Record<string, T>>, change: (value: T) => U): Record<string, U> {
  const result: Record<string, U> = Object.create(null) as Record<string, U>;
  for (const [name, value] of Object.entries(record)) result[name] = change(value);
  return result;
}
