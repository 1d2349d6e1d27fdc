/**
 * The configuration as the stages' builder sees it: the keys of the file, defaults filled in, durations in ms, sizes in octets, paths absolute.
 * `none` and `never` in the file are `undefined` here.
 */
import type { AddressPattern } from "../mail/address.ts";
import type { Priority } from "../mail/message.ts";

/** Where a secret is; never the secret itself. Read it with `secretReader`. */
export type SecretRef = { readonly file: string } | { readonly env: string } | { readonly credential: string };

/** An address to listen on. */
export interface Endpoint {
  /** IP address; undefined: every address, IPv4 and IPv6. */
  readonly host: string | undefined;
  /** 0 takes a free port. */
  readonly port: number;
  /** As written in the file. */
  readonly text: string;
}

export type TlsMode = "none" | "opportunistic" | "required" | "implicit";
export type TlsVersion = "TLSv1" | "TLSv1.1" | "TLSv1.2" | "TLSv1.3";
/** Services that submission knows besides a mailbox of Exchange Online: High Volume Email, Azure Communication Services. */
export type Preset = "hve" | "acs";
export type Cloud = "worldwide" | "gcc" | "gcc-high" | "dod" | "china";

export interface ListenerTls {
  readonly mode: TlsMode;
  /** PEM files, leaf first, and the key of each; both empty and no `pfx`: a self-made certificate. */
  readonly certificate: readonly string[];
  readonly key: readonly string[];
  /** PKCS #12 file. */
  readonly pfx: string | undefined;
  readonly passphrase: SecretRef | undefined;
  readonly min_version: TlsVersion;
}

/** What devices need beyond the defaults; what is undefined is as the next wider one has it. */
export interface QuirksConfig {
  readonly auth?: "hide" | "offer" | undefined;
  readonly auth_equals?: boolean | undefined;
  readonly ehlo_hide?: readonly ("SIZE" | "PIPELINING" | "8BITMIME" | "SMTPUTF8" | "ENHANCEDSTATUSCODES")[] | undefined;
  readonly lenient_end_of_data?: boolean | undefined;
  /** ms, or `none` where the client takes back what the listener says. */
  readonly suppress_repeats_within?: number | "none" | undefined;
}

/** Bounds of what one device can make the relay do; times in ms, sizes in octets. */
export interface SessionLimitsConfig {
  readonly sessions_per_device: number;
  readonly handshakes_per_device: number;
  readonly wait: number;
  readonly handshake: number;
  readonly idle: number;
  readonly session: number;
  /** Octets a minute, or `none`. */
  readonly min_data_rate: number | "none";
  readonly commands: number;
  readonly unknown_commands: number;
  readonly errors: number;
  readonly auth_failures: number;
  readonly recipients: number;
  readonly hops: number;
  readonly header_size: number;
  readonly rate_delay: number;
}

/** Some of them; the others are as further up. */
export type LimitOverrides = { readonly [K in keyof SessionLimitsConfig]?: SessionLimitsConfig[K] | undefined };

export interface LimitsConfig extends SessionLimitsConfig {
  /** Of the whole relay. */
  readonly sessions: number;
  readonly command_line: number;
  readonly proxy_header: number;
}

/** `count` in `perMs`. */
export interface RateConfig {
  readonly count: number;
  readonly perMs: number;
}

export interface ListenerConfig {
  /** One or more. A host `::` that was written out means IPv6 only. */
  readonly listen: readonly Endpoint[];
  readonly tls: ListenerTls;
  readonly quirks?: QuirksConfig | undefined;
  readonly limits?: LimitOverrides | undefined;
  /** Networks of balancers. */
  readonly proxy_protocol: readonly string[];
  readonly auth: "none" | "offered" | "required";
  readonly auth_without_tls: boolean;
}

/** Whoever is let in unlisted must not be let in for long, whatever the clock shows when the file is read. */
export const LONGEST_LEARNING_MS = 2 * 3_600_000;

export interface ClientConfig {
  /** CIDR notation, host bits zero, canonical text: `10.20.0.0/16`, `fd00:20::/32`, single addresses as /32 and /128. */
  readonly networks: readonly string[];
  /** Host names of devices whose address changes. */
  readonly hosts: readonly string[];
  /** Unknown addresses of `networks` are let in until then (ms since the epoch), and in the `LONGEST_LEARNING_MS` before. */
  readonly learn: { readonly networks: readonly string[]; readonly until: number } | undefined;
  readonly limits?: LimitOverrides | undefined;
  /** Of each device or user. */
  readonly rate: RateConfig | "none";
  readonly recipient_rate: RateConfig | "none";
  /** What differs from the listener's. */
  readonly tls?: { readonly mode?: Exclude<TlsMode, "implicit"> | undefined; readonly min_version?: TlsVersion | undefined } | undefined;
  /** Users of whom one has to sign in; empty: none has to. */
  readonly users: readonly string[];
  /** Names of listeners; all of them when the file names none. */
  readonly listeners: readonly string[];
  readonly senders: readonly AddressPattern[];
  readonly fallback_sender: string;
  readonly recipients: readonly AddressPattern[];
  /** Octets. */
  readonly max_message_size: number;
  readonly priority: Priority;
  readonly quirks?: QuirksConfig | undefined;
  readonly allow_public: boolean;
}

/** How a door gets its token from Microsoft Entra ID. */
export type OAuthCredential =
  | {
      readonly type: "client-secret";
      readonly client_id: string;
      readonly secret: SecretRef;
      /** Last day of the secret as ms since the epoch (its end in UTC). */
      readonly expires: number | undefined;
    }
  | {
      readonly type: "client-certificate";
      readonly client_id: string;
      /** PEM files. */
      readonly certificate: string;
      readonly key: string;
      readonly passphrase: SecretRef | undefined;
    }
  | { readonly type: "device-code"; readonly client_id: string }
  | {
      readonly type: "managed-identity";
      /** undefined: the machine's own. */
      readonly client_id: string | undefined;
    };

export interface PasswordCredential {
  readonly type: "password";
  readonly username: string;
  readonly password: SecretRef;
  /** End of its last day, ms since the epoch, where the file tells. */
  readonly expires?: number | undefined;
}

/** What a door can take. */
export interface UpstreamLimitsConfig {
  readonly connections: number;
  /** undefined: not limited, here and in the next three. */
  readonly messages_per_minute: number | undefined;
  readonly messages_per_hour: number | undefined;
  readonly recipients_per_day: number | undefined;
  readonly external_recipients_per_day: number | undefined;
  readonly recipients_per_message: number;
  /** Octets. */
  readonly max_message_size: number;
}

/** What becomes of the sender on the way out; the modes are those of `SenderPolicy` in `upstream/upstream.ts`. */
export interface SenderConfig {
  readonly mode: "auto" | "keep" | "rewrite" | "on-behalf-of";
  /** What a sender is rewritten to; undefined only where the mode is `keep`. */
  readonly address: string | undefined;
  readonly send_as: readonly AddressPattern[];
}

interface UpstreamBase {
  /** PEM files of further certificate authorities to trust; its own, else those of `network.ca`. */
  readonly ca: readonly string[];
  /** Its own, else `network.source_address`. */
  readonly source_address: string | undefined;
  /** URL of an HTTP proxy for tokens and Graph. */
  readonly proxy: string | undefined;
  /** Name servers for MX records, as `Resolver.setServers` takes them; empty: the system's. */
  readonly dns_servers: readonly string[];
  readonly sender: SenderConfig;
  readonly limits: UpstreamLimitsConfig;
}

/** Whom a door with OAuth asks for tokens. */
interface SignedIn {
  /** The credential's own, else the organization's; undefined where nothing needs it (password, managed identity) and the file has none. */
  readonly tenant: string | undefined;
  readonly cloud: Cloud;
  /** URL of the authority with the tenant as its last part: `https://login.microsoftonline.com/contoso.onmicrosoft.com`. */
  readonly authority: string;
  /** Several are separated by spaces. */
  readonly scope: string;
}

/** Submission to Microsoft; STARTTLS is always required. */
export interface SmtpAuthConfig extends UpstreamBase, SignedIn {
  readonly type: "smtp-auth";
  readonly preset: Preset | undefined;
  readonly host: string;
  readonly port: number;
  readonly mailbox: string;
  readonly credential: OAuthCredential | PasswordCredential;
  /** Recipients that the service takes. */
  readonly serves: "any" | "internal";
}

/** Where the tenant takes mail from outside. */
interface MxHost {
  /** undefined: the MX of `domain` is looked up. */
  readonly host: string | undefined;
  readonly port: number;
  readonly domain: string;
  /** What the hosts of the cloud's tenants end in. */
  readonly mx_suffixes: readonly string[];
  /** The organization's tenant and sign-in service, for what Microsoft counts by tenant; undefined where the file names no tenant. */
  readonly authority: string | undefined;
}

/** To the tenant's own MX without signing in. */
export interface DirectSendConfig extends UpstreamBase, MxHost {
  readonly type: "direct-send";
  readonly tls: "required" | "opportunistic";
}

/** Through an inbound connector of the tenant. */
export interface ConnectorConfig extends UpstreamBase, MxHost {
  readonly type: "connector";
  /** undefined: the connector knows this network's public address instead. */
  readonly certificate: { readonly certificate: string; readonly key: string; readonly passphrase: SecretRef | undefined } | undefined;
}

/** sendMail of Microsoft Graph. */
export interface GraphConfig extends UpstreamBase, SignedIn {
  readonly type: "graph";
  /** An address, or `from`: the sender's own mailbox. */
  readonly mailbox: string;
  /** Senders whose mailbox may be used; empty unless `mailbox` is `from`. */
  readonly allow: readonly AddressPattern[];
  readonly credential: OAuthCredential;
  /** https URL without a slash at the end. */
  readonly graph_host: string;
  readonly large_messages: "next" | "draft";
}

/** Any SMTP server. */
export interface SmartHostConfig extends UpstreamBase {
  readonly type: "smart-host";
  /** DNS name or IP address. */
  readonly host: string;
  readonly port: number;
  readonly tls: TlsMode;
  readonly credential: PasswordCredential | undefined;
}

export type UpstreamConfig = SmtpAuthConfig | DirectSendConfig | ConnectorConfig | GraphConfig | SmartHostConfig;

/** What a recipient must fit for a route; every given list must match. */
export interface RouteMatch {
  readonly client?: readonly string[] | undefined;
  readonly user?: readonly string[] | undefined;
  readonly sender?: readonly AddressPattern[] | undefined;
  readonly recipients?: readonly AddressPattern[] | undefined;
  /** Octets; messages of this size or more. */
  readonly min_size?: number | undefined;
}

export interface RouteConfig {
  readonly name: string;
  /** Absent on the last route only. */
  readonly match: RouteMatch | undefined;
  /** Names of upstreams in order, each once. */
  readonly via: readonly [string, ...string[]];
  readonly spread: boolean;
  readonly spill: boolean;
}

/** Where alerts are posted to. */
export interface WebhookConfig {
  readonly url: SecretRef;
  /** undefined: requests are not signed. */
  readonly secret: SecretRef | undefined;
  readonly format: "generic" | "teams" | "slack";
}

/** Where a syslog server is. */
export type SyslogAddress =
  | { readonly transport: "udp" | "tcp" | "tls"; readonly host: string; readonly port: number }
  | { readonly transport: "unix"; readonly path: string };

export interface SyslogConfig {
  readonly address: SyslogAddress;
  readonly facility: "user" | "mail" | "daemon" | "auth" | "syslog" | `local${0 | 1 | 2 | 3 | 4 | 5 | 6 | 7}`;
}

/** Who gets alerts by mail. */
export interface AlertMailConfig {
  /** At least one. */
  readonly to: readonly string[];
  /** Names of upstreams in order; undefined: all of them. */
  readonly via?: readonly string[] | undefined;
}

export interface Config {
  readonly hostname: string;
  readonly data_dir: string;
  readonly organization: {
    readonly tenant: string | undefined;
    readonly cloud: Cloud;
    /** Canonical, `*.` for subdomains; the first is a plain domain. */
    readonly domains: readonly [string, ...string[]];
    readonly postmaster: string;
    readonly default_sender: string;
    /** IANA name. */
    readonly time_zone: string;
  };
  readonly listeners: Readonly<Record<string, ListenerConfig>>;
  readonly clients: Readonly<Record<string, ClientConfig>>;
  readonly limits: LimitsConfig;
  readonly users: Readonly<Record<string, { readonly password_hash: string }>>;
  readonly upstreams: Readonly<Record<string, UpstreamConfig>>;
  /** In order; the last has no match. */
  readonly routes: readonly RouteConfig[];
  /** Milliseconds, except `factor`. */
  readonly retry: {
    readonly first: number;
    readonly factor: number;
    readonly max: number;
    readonly fallback_after: number;
    readonly expire_after: number;
    readonly warn_after: number;
  };
  readonly bounces: { readonly to: "sender" | "postmaster" | "both"; readonly language: "en" | "fr" };
  /** Octets. `min_free` is already raised to three times the largest `max_message_size`; `max_size` undefined: not limited. */
  readonly queue: { readonly min_free: number; readonly max_size: number | undefined };
  /** Milliseconds. */
  readonly history: { readonly keep: number; readonly failed_content: number | undefined };
  readonly network: {
    readonly proxy: string | undefined;
    readonly ca: readonly string[];
    readonly source_address: string | undefined;
    readonly dns: { readonly servers: readonly string[] };
  };
  readonly admin: {
    readonly listen: Endpoint;
    /** PEM files; undefined: plain HTTP. */
    readonly tls: { readonly certificate: string; readonly key: string } | undefined;
  };
  readonly metrics: { readonly listen: Endpoint | undefined };
  /** Who is told of alerts besides the log. */
  readonly alerts: {
    readonly webhook: WebhookConfig | undefined;
    readonly syslog: SyslogConfig | undefined;
    readonly mail: AlertMailConfig | undefined;
  };
  readonly log: {
    readonly level: "debug" | "info" | "warn" | "error";
    readonly subjects: boolean;
    readonly transcripts: "off" | "errors" | "all";
  };
}
