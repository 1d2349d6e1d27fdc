/** From what the file says to what the stages need: paths made absolute, defaults that follow from other keys filled in. */
import { resolve as resolvePath } from "node:path";
import { CLOUD_ENDPOINTS } from "./clouds.ts";
import type { ClientConfig, Config, ListenerConfig, OAuthCredential, RouteConfig, SecretRef, UpstreamConfig } from "./config.ts";
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
  const clients = mapValues(file.clients, (client) => resolveClient(client, Object.keys(file.listeners), defaultSender));
  const ca = network.ca.map((path) => resolvePath(folder, path));
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
      time_zone: organization.time_zone ?? new Intl.DateTimeFormat().resolvedOptions().timeZone,
    },
    listeners: mapValues(file.listeners, (listener) => resolveListener(listener, folder)),
    clients,
    upstreams: mapValues(file.upstreams, (upstream) => resolveUpstream(upstream, file, folder, ca)),
    routes: file.routes.map(({ name, match, via: [door = ""] }): RouteConfig => ({ name, match, via: [door] })),
    retry: file.retry,
    bounces: file.bounces,
    queue: { min_free: Math.max(file.queue.min_free, FLOOR_MESSAGES * largest), max_size: file.queue.max_size },
    history: file.history,
    network: { ca, source_address: network.source_address },
    admin: file.admin,
    metrics: { listen: file.metrics.listen },
    log: file.log,
  };
}

function resolveListener({ listen, tls }: ParsedFile["listeners"][string], folder: string): ListenerConfig {
  if (tls === undefined) return { listen, tls: { mode: "none", certificate: undefined, key: undefined, min_version: "TLSv1.2" } };
  return {
    listen,
    tls: { mode: tls.mode, certificate: absolute(folder, tls.certificate), key: absolute(folder, tls.key), min_version: tls.min_version },
  };
}

function resolveClient(client: ParsedFile["clients"][string], listeners: readonly string[], defaultSender: string): ClientConfig {
  return { ...client, listeners: client.listeners ?? listeners, fallback_sender: client.fallback_sender ?? defaultSender };
}

function resolveUpstream(
  upstream: ParsedFile["upstreams"][string],
  file: ParsedFile,
  folder: string,
  networkCa: readonly string[],
): UpstreamConfig {
  const ca = upstream.ca?.map((path) => resolvePath(folder, path)) ?? networkCa;
  const { port, limits } = upstream;
  if (upstream.type === "smart-host") {
    const { type, host, tls, credential } = upstream;
    return {
      type,
      host,
      port,
      tls,
      ca,
      source_address: upstream.source_address ?? file.network.source_address,
      credential: credential === undefined ? undefined : { ...credential, password: resolveSecret(credential.password, folder) },
      limits: { ...limits, messages_per_minute: limits.messages_per_minute },
    };
  }
  const { type, mailbox, credential } = upstream;
  const tenant = credential.tenant ?? file.organization.tenant ?? "";
  const cloud = credential.cloud ?? file.organization.cloud;
  const standard = CLOUD_ENDPOINTS[cloud];
  return {
    type,
    mailbox,
    host: upstream.host ?? standard.submissionHost,
    port,
    ca,
    source_address: file.network.source_address,
    credential: resolveCredential(credential, folder),
    tenant,
    cloud,
    authority: `${upstream.authority ?? standard.authority}/${tenant}`,
    scope: upstream.scope ?? standard.scope,
    limits,
  };
}

function resolveCredential(
  credential: Extract<ParsedFile["upstreams"][string], { type: "smtp-auth" }>["credential"],
  folder: string,
): OAuthCredential {
  if (credential.type === "client-secret") {
    const { type, client_id, secret, expires } = credential;
    return { type, client_id, secret: resolveSecret(secret, folder), expires };
  }
  const { type, client_id, certificate, key, passphrase } = credential;
  return {
    type,
    client_id,
    certificate: resolvePath(folder, certificate),
    key: resolvePath(folder, key),
    passphrase: passphrase === undefined ? undefined : resolveSecret(passphrase, folder),
  };
}

function resolveSecret(reference: SecretRef, folder: string): SecretRef {
  return "file" in reference ? { file: resolvePath(folder, reference.file) } : reference;
}

function absolute(folder: string, path: string | undefined): string | undefined {
  return path === undefined ? undefined : resolvePath(folder, path);
}

/** A null prototype, since the names come from a file. */
function mapValues<T, U>(record: Readonly<Record<string, T>>, change: (value: T) => U): Record<string, U> {
  const result: Record<string, U> = Object.create(null) as Record<string, U>;
  for (const [name, value] of Object.entries(record)) result[name] = change(value);
  return result;
}
