/** Builds the ways out from the configuration. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type {
  Config,
  ConnectorConfig,
  DirectSendConfig,
  GraphConfig,
  OAuthCredential as OAuthConfig,
  PasswordCredential,
  SmtpAuthConfig,
  UpstreamConfig,
  UpstreamLimitsConfig,
} from "../config/config.ts";
import { describeSecret, secretReader } from "../config/secret.ts";
import { describeError } from "../mail/errors.ts";
import type { Emit } from "../mail/events.ts";
import type { TranscriptKeeper } from "../mail/transcript.ts";
import type { Clock } from "../platform/clock.ts";
import { createConnectorUpstream } from "../upstream/connector.ts";
import { createDirectSendUpstream } from "../upstream/direct-send.ts";
import type { EntraOptions } from "../upstream/oauth/client.ts";
import type { OAuthCredential } from "../upstream/oauth/credential.ts";
import { signInStore } from "../upstream/oauth/sign-in-store.ts";
import { createSmartHostUpstream } from "../upstream/smart-host.ts";
import type { ConnectionGroups } from "../upstream/smtp/connection-group.ts";
import type { CertificatePair } from "../upstream/smtp/client-certificate.ts";
import type { PasswordLogin } from "../upstream/smtp/password.ts";
import type { CountedAs, SenderPolicy, Upstream, UpstreamLimits } from "../upstream/upstream.ts";
import { explained } from "./door-events.ts";

/** Told about a file that a door needs and that cannot be read; the door is made all the same. */
export type WarnDoor = (upstream: string, text: string) => void;

/** What doors share with others, and with those that a reload puts into their place. */
export interface DoorsShare {
  readonly transcripts?: TranscriptKeeper | undefined;
  readonly groups?: ConnectionGroups | undefined;
}

/**
 * One upstream for each of the configuration. Reads no secret: those are read at use, so that a repaired file works without a restart.
 * A certificate authority's file that cannot be read leaves the door without that authority: its connections fail verification, the
 * door is held, and mail waits.
 */
export async function buildUpstreams(
  config: Config,
  emit: Emit,
  clock: Clock,
  warn: WarnDoor,
  share: DoorsShare = {},
): Promise<Map<string, Upstream>> {
  const upstreams = new Map<string, Upstream>();
  for (const [name, upstream] of Object.entries(config.upstreams))
    upstreams.set(name, await buildUpstream(name, upstream, config, emit, clock, warn, share));
  return upstreams;
}

/** What every door is made with. */
interface Shared extends DoorsShare {
  readonly name: string;
  readonly ehloName: string;
  readonly ca: readonly string[];
  readonly sourceAddress: string | undefined;
  readonly sender: SenderPolicy;
  readonly countedAs: CountedAs;
  readonly limits: UpstreamLimits;
  readonly emit: Emit;
  readonly clock: Clock;
}

/** One way out; see `buildUpstreams`. */
export async function buildUpstream(
  name: string,
  config: UpstreamConfig,
  whole: Config,
  emit: Emit,
  clock: Clock,
  warn: WarnDoor,
  share: DoorsShare = {},
): Promise<Upstream> {
  const door: { made?: Upstream } = {};
  const shared: Shared = {
    name,
    ehloName: whole.hostname,
    ca: await readAuthorities(name, config.ca, warn),
    sourceAddress: config.source_address,
    sender: { mode: config.sender.mode, address: config.sender.address, sendAs: config.sender.send_as },
    countedAs: countedAs(config),
    limits: limitsOf(config.limits),
    emit: explained(emit, () => door.made),
    clock,
    ...share,
  };
  door.made = await make(config, shared, whole);
  madeWith.set(door.made, shared.ca);
  return door.made;
}

/** The authorities that each door was made with, as their files held them. */
const madeWith = new WeakMap<Upstream, readonly string[]>();

/** Whether the files of authorities hold other ones than the door was made with. What cannot be read now is no reason to give up what works. */
export async function hasOtherAuthorities(door: Upstream, config: UpstreamConfig): Promise<boolean> {
  let unreadable = false;
  const now = await readAuthorities("", config.ca, () => {
    unreadable = true;
  });
  return !unreadable && !isDeepStrictEqual(now, madeWith.get(door));
}

async function make(config: UpstreamConfig, shared: Shared, whole: Config): Promise<Upstream> {
  switch (config.type) {
    case "smtp-auth":
      return await submission(config, shared, whole);
    case "direct-send":
      return createDirectSendUpstream({ ...shared, ...mxDoor(config), tls: config.tls });
    case "connector":
      return createConnectorUpstream({ ...shared, ...mxDoor(config), certificate: certificateOf(config) });
    case "graph":
      return await graph(config, shared, whole);
    case "smart-host": {
      const { credential, host, port, tls } = config;
      return createSmartHostUpstream({ ...shared, host, port, tls, credential: credential && passwordOf(credential) });
    }
    default:
      return config satisfies never;
  }
}

async function submission(config: SmtpAuthConfig, shared: Shared, whole: Config): Promise<Upstream> {
  // With what it needs to get tokens it is the largest of our modules: only for those who use it.
  const { createSmtpAuthUpstream } = await import("../upstream/smtp-auth.ts");
  const { host, port, mailbox, authority, scope, serves, proxy, credential } = config;
  return createSmtpAuthUpstream({
    ...shared,
    host,
    port,
    mailbox,
    authority,
    scope,
    serves,
    proxy,
    group: shared.countedAs.mailbox === undefined ? undefined : shared.groups?.of(shared.countedAs.mailbox),
    credential: credential.type === "password" ? passwordOf(credential) : oauthCredential(credential, shared.name, whole.data_dir),
  });
}

async function graph(config: GraphConfig, shared: Shared, whole: Config): Promise<Upstream> {
  // Only for those who use it, like submission.
  const { createGraphUpstream } = await import("../upstream/graph.ts");
  const { mailbox, allow, graph_host: graphHost, large_messages: largeMessages, authority, scope, proxy, credential } = config;
  return createGraphUpstream({
    ...shared,
    mailbox: mailbox === "from" ? { kind: "from", allow, domains: whole.organization.domains } : { kind: "one", address: mailbox },
    graphHost,
    largeMessages,
    authority,
    scope,
    proxy,
    credential: oauthCredential(credential, shared.name, whole.data_dir),
  });
}

/** How a door that signs in with OAuth asks for tokens. @throws Error for one that signs in otherwise */
export async function entraOptions(
  name: string,
  config: SmtpAuthConfig | GraphConfig,
  whole: Config,
  clock: Clock,
  warn: WarnDoor,
): Promise<EntraOptions> {
  const { authority, scope, proxy, source_address: sourceAddress, credential } = config;
  if (credential.type === "password") throw new Error(`${name} signs in with a password`);
  const ca = await readAuthorities(name, config.ca, warn);
  return { authority, scope, ca, proxy, sourceAddress, clock, credential: oauthCredential(credential, name, whole.data_dir) };
}

function mxDoor(config: DirectSendConfig | ConnectorConfig) {
  const { domain, host, port } = config;
  return { domain, host, port, mxSuffixes: config.mx_suffixes, dnsServers: config.dns_servers };
}

function certificateOf({ certificate: own }: ConnectorConfig): (() => Promise<CertificatePair>) | undefined {
  if (own === undefined) return undefined;
  const passphrase = own.passphrase === undefined ? undefined : secretReader(own.passphrase);
  return async () => ({
    certificatePem: await readFile(own.certificate, "latin1"),
    keyPem: await readFile(own.key, "latin1"),
    passphrase: await passphrase?.(),
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

/**
 * What Microsoft counts a door's mail by. High Volume Email and Communication Services count by account and resource, and not into the
 * tenant's limit for recipients outside; what a smart host counts is its own affair.
 */
function countedAs(config: UpstreamConfig): CountedAs {
  if (config.type === "smart-host") return {};
  if (config.type === "direct-send" || config.type === "connector") return { tenant: config.authority?.toLowerCase() };
  const { authority, mailbox, credential } = config;
  // A tenant has an id and several domains, all of which sign in; the address of a mailbox is one tenant's only, within a cloud.
  const cloud = new URL(authority).origin;
  if (config.type === "smtp-auth" && config.preset === "acs")
    return { mailbox: `acs ${credential.type === "password" ? credential.username : mailbox}`.toLowerCase() };
  return {
    ...(mailbox === "from" ? {} : { mailbox: `${cloud} ${mailbox}`.toLowerCase() }),
    ...(config.type === "smtp-auth" && config.preset === "hve" ? {} : { tenant: authority.toLowerCase() }),
    ...(config.type === "graph" ? { application: `${authority} ${config.credential.client_id ?? "machine"}`.toLowerCase() } : {}),
  };
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

function passwordOf({ username, password, expires }: PasswordCredential): PasswordLogin {
  return { type: "password", username, password: secretReader(password), place: describeSecret(password), expiresAt: expires };
}

/**
 * A credential that reads its secrets at each use.
 *
 * @param upstream - whose it is; a person's sign-in is kept under its name
 */
function oauthCredential(config: OAuthConfig, upstream: string, dataDir: string): OAuthCredential {
  switch (config.type) {
    case "client-secret":
      return {
        type: config.type,
        clientId: config.client_id,
        secret: secretReader(config.secret),
        place: describeSecret(config.secret),
        expiresAt: config.expires,
      };
    case "client-certificate": {
      const passphrase = config.passphrase === undefined ? undefined : secretReader(config.passphrase);
      return {
        type: config.type,
        clientId: config.client_id,
        certificate: async () => ({
          certificatePem: await readFile(config.certificate, "latin1"),
          keyPem: await readFile(config.key, "latin1"),
          passphrase: await passphrase?.(),
        }),
      };
    }
    case "device-code": {
      const store = signInStore(join(dataDir, "deliver"), upstream);
      return { type: config.type, clientId: config.client_id, store, command: `postern auth login ${upstream}` };
    }
    case "managed-identity":
      return { type: config.type, clientId: config.client_id };
    default:
      return config satisfies never;
  }
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
