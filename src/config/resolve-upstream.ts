/** One upstream as the stages need it: hosts of its cloud, limits of its service, paths made absolute. */
import { resolve as resolvePath } from "node:path";
import { CLOUD_ENDPOINTS, scopeOf } from "./clouds.ts";
import type {
  Cloud,
  Config,
  ConnectorConfig,
  DirectSendConfig,
  GraphConfig,
  OAuthCredential,
  PasswordCredential,
  SecretRef,
  SenderConfig,
  SmartHostConfig,
  SmtpAuthConfig,
  UpstreamConfig,
  UpstreamLimitsConfig,
} from "./config.ts";
import { graphLimits, MAILBOX, PRESETS } from "./presets.ts";
import type { ParsedFile } from "./schema/index.ts";

type Parsed<T extends UpstreamConfig["type"] = UpstreamConfig["type"]> = Extract<ParsedFile["upstreams"][string], { type: T }>;
type ParsedCredential = Parsed<"smtp-auth">["credential"];

/** What an upstream takes from the rest of the file. */
export interface Surroundings {
  readonly file: ParsedFile;
  /** Absolute path of the folder that relative paths start at. */
  readonly folder: string;
  readonly network: Config["network"];
  readonly defaultSender: string;
}

/** @param upstream - parsed, and without disagreements */
export function resolveUpstream(upstream: Parsed, around: Surroundings): UpstreamConfig {
  switch (upstream.type) {
    case "smtp-auth":
      return submission(upstream, around);
    case "direct-send":
      return directSend(upstream, around);
    case "connector":
      return connector(upstream, around);
    case "graph":
      return graph(upstream, around);
    case "smart-host":
      return smartHost(upstream, around);
    default:
      return upstream satisfies never;
  }
}

function submission(upstream: Parsed<"smtp-auth">, around: Surroundings): SmtpAuthConfig {
  const { type, mailbox, preset, port, credential } = upstream;
  const service = preset === undefined ? MAILBOX : PRESETS[preset];
  const signedIn = signIn(upstream, "exchange", around);
  return {
    type,
    preset,
    mailbox,
    host: upstream.host ?? service.host ?? CLOUD_ENDPOINTS[signedIn.cloud].submissionHost,
    port,
    credential: credential.type === "password" ? passwordOf(credential, mailbox, around) : oauth(credential, around),
    serves: service.serves,
    ...signedIn,
    sender: senderOf(upstream, mailbox),
    limits: limitsOf(upstream.limits, service.limits),
    ...reached(upstream, around),
  };
}

function directSend(upstream: Parsed<"direct-send">, around: Surroundings): DirectSendConfig {
  const { type, tls } = upstream;
  return { type, tls, ...mxHost(upstream, around), ...plainDoor(upstream, around) };
}

function connector(upstream: Parsed<"connector">, around: Surroundings): ConnectorConfig {
  const { type, certificate, key, passphrase } = upstream;
  const absolute = (path: string): string => resolvePath(around.folder, path);
  return {
    type,
    certificate:
      certificate === undefined || key === undefined
        ? undefined
        : {
            certificate: absolute(certificate),
            key: absolute(key),
            passphrase: passphrase === undefined ? undefined : secretOf(passphrase, around),
          },
    ...mxHost(upstream, around),
    ...plainDoor(upstream, around),
  };
}

function graph(upstream: Parsed<"graph">, around: Surroundings): GraphConfig {
  const { type, mailbox, credential, large_messages } = upstream;
  const signedIn = signIn(upstream, "graph", around);
  const own = mailbox === "from";
  return {
    type,
    mailbox,
    allow: upstream.allow ?? [],
    credential: oauth(credential, around),
    graph_host: upstream.graph_host ?? CLOUD_ENDPOINTS[signedIn.cloud].graphHost,
    large_messages,
    ...signedIn,
    // The sender's own mailbox may use its address: there is nothing to rewrite.
    sender: own ? { mode: "keep", address: undefined, send_as: [] } : senderOf(upstream, mailbox),
    limits: limitsOf(upstream.limits, graphLimits(large_messages)),
    ...reached(upstream, around),
  };
}

function smartHost(upstream: Parsed<"smart-host">, around: Surroundings): SmartHostConfig {
  const { type, host, port, tls, credential } = upstream;
  return {
    type,
    host,
    port,
    tls,
    credential: credential === undefined ? undefined : { ...credential, password: secretOf(credential.password, around) },
    ...plainDoor(upstream, around),
  };
}

/** Doors without a mailbox. */
function plainDoor(upstream: Parsed<"direct-send" | "connector" | "smart-host">, around: Surroundings) {
  return {
    sender: senderOf(upstream, around.defaultSender),
    limits: limitsOf(upstream.limits, undefined),
    ...reached(upstream, around),
  };
}

function mxHost({ host, port, domain }: Parsed<"direct-send" | "connector">, { file: { organization } }: Surroundings) {
  const { authority, mxSuffixes } = CLOUD_ENDPOINTS[organization.cloud];
  return {
    host,
    port,
    domain: domain ?? organization.domains[0] ?? "",
    mx_suffixes: mxSuffixes,
    authority: organization.tenant === undefined ? undefined : `${authority}/${organization.tenant}`,
  };
}

function signIn(
  { credential, authority, scope }: Parsed<"smtp-auth" | "graph">,
  service: "exchange" | "graph",
  { file: { organization } }: Surroundings,
): { tenant: string | undefined; cloud: Cloud; authority: string; scope: string } {
  const own = credential.type === "password" ? undefined : credential;
  const tenant = own?.tenant ?? organization.tenant;
  const cloud = own?.cloud ?? organization.cloud;
  return {
    tenant,
    cloud,
    authority: `${authority ?? CLOUD_ENDPOINTS[cloud].authority}/${tenant ?? "organizations"}`,
    scope: scope ?? scopeOf(cloud, service, credential.type === "device-code"),
  };
}

/** How the door is reached: its own keys, else the file's. */
function reached(upstream: Parsed, { folder, network }: Surroundings) {
  const own = upstream.network;
  const ca = upstream.ca ?? own?.ca;
  const source = ("source_address" in upstream ? upstream.source_address : undefined) ?? own?.source_address;
  return {
    ca: ca?.map((path) => resolvePath(folder, path)) ?? network.ca,
    source_address: source === undefined ? network.source_address : unlessNone(source),
    proxy: own?.proxy === undefined ? network.proxy : unlessNone(own.proxy),
    dns_servers: own?.dns?.servers ?? network.dns.servers,
  };
}

function senderOf({ sender }: Parsed, standard: string): SenderConfig {
  return { mode: sender.mode, address: sender.mode === "keep" ? sender.address : (sender.address ?? standard), send_as: sender.send_as };
}

type Given<T> = { readonly [K in keyof T]?: T[K] | "none" | undefined };

/** What the file says, `none` as undefined, and for what it leaves out the service's own. */
function limitsOf(given: Given<UpstreamLimitsConfig>, standard: UpstreamLimitsConfig | undefined): UpstreamLimitsConfig {
  const pick = <K extends keyof UpstreamLimitsConfig>(key: K): UpstreamLimitsConfig[K] => {
    const value = given[key];
    return (value === undefined ? standard?.[key] : value === "none" ? undefined : value) as UpstreamLimitsConfig[K];
  };
  return {
    connections: pick("connections"),
    messages_per_minute: pick("messages_per_minute"),
    messages_per_hour: pick("messages_per_hour"),
    recipients_per_day: pick("recipients_per_day"),
    external_recipients_per_day: pick("external_recipients_per_day"),
    recipients_per_message: pick("recipients_per_message"),
    max_message_size: pick("max_message_size"),
  };
}

function passwordOf(
  { type, username, password, expires }: Extract<ParsedCredential, { type: "password" }>,
  mailbox: string,
  around: Surroundings,
): PasswordCredential {
  return { type, username: username ?? mailbox, password: secretOf(password, around), expires };
}

function oauth(credential: Exclude<ParsedCredential, { type: "password" }>, around: Surroundings): OAuthCredential {
  switch (credential.type) {
    case "client-secret": {
      const { type, client_id, secret, expires } = credential;
      return { type, client_id, secret: secretOf(secret, around), expires };
    }
    case "client-certificate": {
      const { type, client_id, certificate, key, passphrase } = credential;
      return {
        type,
        client_id,
        certificate: resolvePath(around.folder, certificate),
        key: resolvePath(around.folder, key),
        passphrase: passphrase === undefined ? undefined : secretOf(passphrase, around),
      };
    }
    case "device-code":
    case "managed-identity": {
      const { type, client_id } = credential;
      return { type, client_id } as OAuthCredential;
    }
    default:
      return credential satisfies never;
  }
}

/** A reference with an absolute path. */
export function secretOf(reference: SecretRef, { folder }: Pick<Surroundings, "folder">): SecretRef {
  return "file" in reference ? { file: resolvePath(folder, reference.file) } : reference;
}

function unlessNone(value: string): string | undefined {
  return value === "none" ? undefined : value;
}
