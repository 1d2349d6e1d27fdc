/** Builds the ways out from the configuration. */
import { readFile } from "node:fs/promises";
import type { Config, OAuthCredential as OAuthConfig, UpstreamConfig, UpstreamLimitsConfig } from "../config/config.ts";
import { secretReader } from "../config/secret.ts";
import { describeError } from "../mail/errors.ts";
import type { Emit } from "../mail/events.ts";
import type { Clock } from "../platform/clock.ts";
import type { OAuthCredential } from "../upstream/oauth/credential.ts";
import { createSmartHostUpstream } from "../upstream/smart-host.ts";
import type { Upstream, UpstreamLimits } from "../upstream/upstream.ts";

/** Told about a file that a door needs and that cannot be read; the door is made all the same. */
export type WarnDoor = (upstream: string, text: string) => void;

/**
 * One upstream for each of the configuration. Reads no secret: those are read at use, so that a repaired file works without a restart.
 * A certificate authority's file that cannot be read leaves the door without that authority: its connections fail verification, the
 * door is held, and mail waits.
 */
export async function buildUpstreams(config: Config, emit: Emit, clock: Clock, warn: WarnDoor): Promise<Map<string, Upstream>> {
  const upstreams = new Map<string, Upstream>();
  for (const [name, upstream] of Object.entries(config.upstreams))
    upstreams.set(name, await buildUpstream(name, upstream, config.hostname, emit, clock, warn));
  return upstreams;
}

async function buildUpstream(
  name: string,
  config: UpstreamConfig,
  ehloName: string,
  emit: Emit,
  clock: Clock,
  warn: WarnDoor,
): Promise<Upstream> {
  const shared = {
    name,
    ehloName,
    ca: await readAuthorities(name, config.ca, warn),
    sourceAddress: config.source_address,
    limits: limitsOf(config.limits),
    emit,
    clock,
  };
  if (config.type === "smtp-auth" && config.credential.type !== "password") {
    // With what it needs to get tokens it is the largest of our modules: only for those who use it.
    const { createSmtpAuthUpstream } = await import("../upstream/smtp-auth.ts");
    return createSmtpAuthUpstream({
      ...shared,
      host: config.host,
      port: config.port,
      mailbox: config.mailbox,
      authority: config.authority,
      scope: config.scope,
      credential: credentialOf(config.credential),
    });
  }
  if (config.type !== "smart-host") throw new Error(`upstream ${name}: ${config.type} is not built yet`);
  const { credential, host, port } = config;
  return createSmartHostUpstream({
    ...shared,
    host,
    port,
    tls: config.tls,
    credential: credential === undefined ? undefined : { username: credential.username, password: secretReader(credential.password) },
  });
}

/** Where a door leads, for people: a host and a port; a domain whose MX is looked up. */
export function placeOf(config: UpstreamConfig | undefined): { readonly host: string; readonly port: number } {
  if (config === undefined) return { host: "", port: 0 };
  if (config.type === "graph") {
    const { hostname, port } = new URL(config.graph_host);
    return { host: hostname, port: port === "" ? 443 : Number(port) };
  }
  const host = "domain" in config ? (config.host ?? `MX of ${config.domain}`) : config.host;
  return { host, port: config.port };
}

function limitsOf(limits: UpstreamLimitsConfig): UpstreamLimits {
  return {
    connections: limits.connections,
    messagesPerMinute: limits.messages_per_minute,
    messagesPerHour: limits.messages_per_hour,
    recipientsPerDay: limits.recipients_per_day,
    externalRecipientsPerDay: limits.external_recipients_per_day,
    recipientsPerMessage: limits.recipients_per_message,
    maxMessageSizeBytes: limits.max_message_size,
  };
}

function credentialOf(config: OAuthConfig): OAuthCredential {
  if (config.type === "client-secret") {
    return { type: "client-secret", clientId: config.client_id, secret: secretReader(config.secret), expiresAt: config.expires };
  }
  if (config.type !== "client-certificate") throw new Error(`${config.type} is not built yet`);
  const passphrase = config.passphrase === undefined ? undefined : secretReader(config.passphrase);
  return {
    type: "client-certificate",
    clientId: config.client_id,
    certificate: async () => ({
      certificatePem: await readFile(config.certificate, "latin1"),
      keyPem: await readFile(config.key, "latin1"),
      passphrase: await passphrase?.(),
    }),
  };
}

async function readAuthorities(upstream: string, files: readonly string[], warn: WarnDoor): Promise<string[]> {
  const authorities: string[] = [];
  for (const file of files) {
    try {
      authorities.push(await readFile(file, "latin1"));
    } catch (error) {
      warn(upstream, `the certificate authorities in ${file} cannot be read: ${describeError(error)}`);
    }
  }
  return authorities;
}
