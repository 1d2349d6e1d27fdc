/**
 * The configuration as the stages' builder sees it: the keys of the file, defaults filled in, durations in ms, sizes in octets, paths absolute.
 * `none` and `never` in the file are `undefined` here.
 */
import type { AddressPattern } from "../mail/address.ts";

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
export type Cloud = "worldwide" | "gcc" | "gcc-high" | "dod" | "china";

export interface ListenerTls {
  readonly mode: TlsMode;
  /** PEM file, leaf first; undefined: a self-made certificate. Given exactly when `key` is. */
  readonly certificate: string | undefined;
  readonly key: string | undefined;
  readonly min_version: TlsVersion;
}

export interface ListenerConfig {
  /** One or more. A host `::` that was written out means IPv6 only. */
  readonly listen: readonly Endpoint[];
  readonly tls: ListenerTls;
}

export interface ClientConfig {
  /** CIDR notation, host bits zero, canonical text: `10.20.0.0/16`, `fd00:20::/32`, single addresses as /32 and /128. */
  readonly networks: readonly string[];
  /** Names of listeners; all of them when the file names none. */
  readonly listeners: readonly string[];
  readonly senders: readonly AddressPattern[];
  readonly fallback_sender: string;
  readonly recipients: readonly AddressPattern[];
  /** Octets. */
  readonly max_message_size: number;
  readonly allow_public: boolean;
}

/** How an application signs in to Microsoft Entra ID. */
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
    };

export interface PasswordCredential {
  readonly type: "password";
  readonly username: string;
  readonly password: SecretRef;
}

/** What a door can take. */
export interface UpstreamLimitsConfig {
  readonly connections: number;
  /** undefined: not limited. */
  readonly messages_per_minute: number | undefined;
  readonly recipients_per_message: number;
  /** Octets. */
  readonly max_message_size: number;
}

interface UpstreamBase {
  /** DNS name or IP address. */
  readonly host: string;
  readonly port: number;
  /** PEM files of further certificate authorities to trust; its own, else those of `network.ca`. */
  readonly ca: readonly string[];
  /** Its own, else `network.source_address`. */
  readonly source_address: string | undefined;
  readonly limits: UpstreamLimitsConfig;
}

/** Submission to Exchange Online with XOAUTH2; STARTTLS is always required. */
export interface SmtpAuthConfig extends UpstreamBase {
  readonly type: "smtp-auth";
  readonly mailbox: string;
  readonly credential: OAuthCredential;
  /** The credential's own, else the organization's. */
  readonly tenant: string;
  readonly cloud: Cloud;
  /** URL of the authority with the tenant as its last part: `https://login.microsoftonline.com/contoso.onmicrosoft.com`. */
  readonly authority: string;
  readonly scope: string;
}

/** Any SMTP server. */
export interface SmartHostConfig extends UpstreamBase {
  readonly type: "smart-host";
  readonly tls: TlsMode;
  readonly credential: PasswordCredential | undefined;
}

export type UpstreamConfig = SmtpAuthConfig | SmartHostConfig;

/** What a recipient must fit for a route; every given list must match. */
export interface RouteMatch {
  readonly client?: readonly string[] | undefined;
  readonly sender?: readonly AddressPattern[] | undefined;
  readonly recipients?: readonly AddressPattern[] | undefined;
  /** Octets; messages of this size or more. */
  readonly min_size?: number | undefined;
}

export interface RouteConfig {
  readonly name: string;
  /** Absent on the last route only. */
  readonly match: RouteMatch | undefined;
  /** Name of an upstream; one for now. */
  readonly via: readonly [string];
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
  readonly upstreams: Readonly<Record<string, UpstreamConfig>>;
  /** In order; the last has no match. */
  readonly routes: readonly RouteConfig[];
  /** Milliseconds, except `factor`. */
  readonly retry: { readonly first: number; readonly factor: number; readonly max: number; readonly expire_after: number };
  readonly bounces: { readonly to: "sender" | "postmaster" | "both" };
  /** Octets. `min_free` is already raised to three times the largest `max_message_size`; `max_size` undefined: not limited. */
  readonly queue: { readonly min_free: number; readonly max_size: number | undefined };
  /** Milliseconds. */
  readonly history: { readonly keep: number };
  readonly network: { readonly ca: readonly string[]; readonly source_address: string | undefined };
  readonly admin: { readonly listen: Endpoint };
  readonly metrics: { readonly listen: Endpoint | undefined };
  readonly log: { readonly level: "debug" | "info" | "warn" | "error"; readonly subjects: boolean };
}
