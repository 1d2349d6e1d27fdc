/** What the receiving stage is built from: plain values, so that it needs no configuration file to be tested. */
import type { Clock } from "../platform/clock.ts";
import type { AddressPattern } from "../mail/address.ts";
import type { Emit } from "../mail/events.ts";
import type { Priority } from "../mail/message.ts";
import type { MessageSink } from "../queue/queue.ts";
import type { ClientPolicy, Domains } from "./policy.ts";
import type { QuirkOverrides } from "./quirks.ts";
import type { Repeats } from "./repeats.ts";
import type { Rate, Rates } from "./rates.ts";
import type { Authenticator, SignIns } from "./sign-in.ts";
import type { Turns } from "./turns.ts";

/** Lowest TLS version taken. `TLSv1` and `TLSv1.1` switch OpenSSL to security level 0 on that listener. */
export type TlsVersion = "TLSv1" | "TLSv1.1" | "TLSv1.2" | "TLSv1.3";

/** A certificate with its key, PEM; the chain may follow the certificate. */
export interface CertificatePair {
  readonly certPem: string;
  readonly keyPem: string;
}

/** A PKCS #12 file: certificate, key and chain in one. */
export interface Pkcs12 {
  readonly pfx: Buffer;
  readonly passphrase: string | undefined;
}

/** What a listener shows. Several of different key types stand side by side: each client gets the one it can use. */
export type Certificates = CertificatePair | readonly (CertificatePair | Pkcs12)[];

export type TlsMode = "none" | "opportunistic" | "required" | "implicit";

/** How a listener speaks TLS. `certificate` is needed unless nobody uses TLS there, neither by `mode` nor by a client's own. */
export type ListenerTls =
  | { readonly mode: "none"; readonly minVersion?: TlsVersion | undefined; readonly certificate?: Certificates | undefined }
  | {
      readonly mode: Exclude<TlsMode, "none">;
      readonly minVersion?: TlsVersion | undefined;
      readonly certificate: Certificates;
    };

/** What a client's devices get instead of the listener's on the same port; `implicit` is the listener's alone. */
export interface ClientTls {
  readonly mode?: Exclude<TlsMode, "implicit"> | undefined;
  readonly minVersion?: TlsVersion | undefined;
}

/** What one session gets. */
export interface SessionTls {
  readonly mode: TlsMode;
  readonly minVersion: TlsVersion;
}

/** Where a listener is bound; without `host` on all addresses, IPv4 and IPv6; `::` is all of IPv6 alone. Port 0 takes a free one. */
export interface Endpoint {
  readonly host?: string | undefined;
  readonly port: number;
}

/**
 * Whether clients may sign in. `none`: who is let in by its address, is in, whatever credentials it shows. `offered`: EHLO says AUTH, users
 * may sign in, and devices of listed addresses need not. `required`: nothing is taken before a user signed in.
 */
export type ListenerAuth = "none" | "offered" | "required";

export interface ListenerOptions {
  readonly name: string;
  readonly endpoints: readonly Endpoint[];
  readonly tls: ListenerTls;
  readonly quirks?: QuirkOverrides | undefined;
  /** Networks of balancers that say in a PROXY header whom they speak for; theirs, and nobody else's, is believed. */
  readonly proxyProtocol?: readonly string[] | undefined;
  /** Absent: `none`. */
  readonly auth?: ListenerAuth | undefined;
  /** Where they differ from the relay's; `sessions` is the relay's alone. */
  readonly limits?: Partial<ReceiverLimits> | undefined;
  /** Passwords are taken without TLS too. */
  readonly authWithoutTls?: boolean | undefined;
}

/** A named group of networks or users and what it may do. */
export interface ClientOptions extends ClientPolicy {
  /** CIDR, or single addresses. The longest prefix wins; one prefix twice on a listener is an error. */
  readonly networks: readonly string[];
  /** Users of whom one has to sign in; absent or empty: the address is enough. */
  readonly users?: readonly string[] | undefined;
  /** Absent: the listener's. */
  readonly tls?: ClientTls | undefined;
  /** Where they differ from the listener's. */
  readonly limits?: Partial<ReceiverLimits> | undefined;
  /** Messages, and recipients, of each of its devices or users; absent: any number. */
  readonly rate?: Rate | undefined;
  readonly recipientRate?: Rate | undefined;
  /** Its users may come from any address: it names none at all. */
  readonly anyAddress?: boolean | undefined;
  /** Names of listeners; absent means all. */
  readonly listeners?: readonly string[] | undefined;
  readonly senders: readonly AddressPattern[];
  readonly recipients: readonly AddressPattern[];
  readonly maxMessageSizeBytes: number;
  readonly priority: Priority;
  /** Absent, or absent in it: as the listener has it. */
  readonly quirks?: QuirkOverrides | undefined;
}

/** Bounds of what one client can make us do. */
export interface ReceiverLimits {
  /** Sessions of one device address (IPv6: of a /64); further ones wait for a place. */
  readonly sessionsPerDevice: number;
  /** Sessions in all; as many more may wait for a place of their device. Of the whole relay. */
  readonly sessions: number;
  /** TLS handshakes of one device at a time; further ones wait. */
  readonly handshakesPerDevice: number;
  /** Longest wait for a place, then 421. */
  readonly placeWaitMs: number;
  /** Longest life of a session; a message that is coming in is taken to its end. */
  readonly sessionMs: number;
  /** Octets of content that must come in a minute, measured over `dataIdleMs`; 0: none. */
  readonly minBytesPerMinute: number;
  /** Silence between whole commands, and within DATA, after which the session ends. RFC 5321 §4.5.3.2 asks for 5 minutes. */
  readonly commandIdleMs: number;
  readonly dataIdleMs: number;
  /** A balancer's PROXY header, from the connection on. */
  readonly proxyHeaderMs: number;
  /** A TLS handshake, from the connection or the reply to STARTTLS on. */
  readonly tlsHandshakeMs: number;
  /** Wrong passwords in one session. */
  readonly authFailures: number;
  /** Wait after the first wrong password of an address; doubled with each further one. */
  readonly authDelayMs: number;
  /** Longest wait of a command of a device that is over its rate, before it is refused. */
  readonly rateDelayMs: number;
  /** Commands other than RCPT and DATA since the last accepted mail. */
  readonly nonMailCommands: number;
  readonly unknownCommands: number;
  /** Refused commands since the last accepted mail. */
  readonly errors: number;
  readonly recipients: number;
  /** Received fields, RFC 5321 §6.3. */
  readonly receivedFields: number;
  readonly headerBytes: number;
  readonly commandLineBytes: number;
}

export const DEFAULT_LIMITS: ReceiverLimits = {
  sessionsPerDevice: 20,
  sessions: 1000,
  handshakesPerDevice: 10,
  sessionMs: 24 * 3_600_000,
  minBytesPerMinute: 1024,
  placeWaitMs: 20_000,
  commandIdleMs: 300_000,
  dataIdleMs: 300_000,
  proxyHeaderMs: 5_000,
  tlsHandshakeMs: 30_000,
  authFailures: 3,
  authDelayMs: 1_000,
  rateDelayMs: 5_000,
  nonMailCommands: 100,
  unknownCommands: 20,
  errors: 1000,
  recipients: 1000,
  receivedFields: 50,
  headerBytes: 256 * 1024,
  commandLineBytes: 16 * 1024,
};

/**
 * The largest message that any door on the way takes, in octets.
 *
 * @param sender - after policy; undefined before MAIL (for EHLO)
 * @param recipients - after policy; empty before RCPT
 */
export type SizeLimit = (client: string, sender: string | undefined, recipients: readonly string[]) => number;

/** How a device got in; `user`: only as far as signing in; `health`: a balancer that looks whether we live. */
export type AdmissionKind = "network" | "allowed" | "learned" | "named" | "user" | "health";

/** Asked about addresses that no client's networks name. */
export interface Admissions {
  /** The client, by name, that lets the address in on this listener. Asked for every such connection: must be cheap. */
  admit(device: string, listener: string): { readonly client: string; readonly how: Exclude<AdmissionKind, "user" | "health"> } | undefined;
  /** Where looking again could help, what came of it. May take as long as it likes; the connection waits for a bounded time. */
  lookAgain(device: string, listener: string): Promise<ReturnType<Admissions["admit"]>> | undefined;
}

/** What a reload may change. */
export interface ReceiverSettings {
  readonly domains: Domains;
  readonly listeners: readonly ListenerOptions[];
  readonly clients: readonly ClientOptions[];
  readonly limits?: Partial<ReceiverLimits> | undefined;
  /** Absent: only the client's own limit counts. */
  readonly sizeLimit?: SizeLimit | undefined;
  /** IANA name for Date and Received; absent: the system's. */
  readonly timeZone?: string | undefined;
  /** Whether subjects go into envelope and event. */
  readonly logSubjects?: boolean | undefined;
}

export interface ReceiverOptions extends ReceiverSettings {
  /** First word of 220 and 250, name in Received and Message-ID. */
  readonly hostname: string;
  /** Absent: only the clients' networks let anybody in. */
  readonly admissions?: Admissions | undefined;
  /** Absent: there are no users. */
  readonly authenticator?: Authenticator | undefined;
  readonly sink: MessageSink;
  readonly emit: Emit;
  readonly clock: Clock;
}

/** What the sessions of one client on one listener share. */
export interface SessionContext {
  readonly listener: ListenerOptions;
  readonly tls: SessionTls;
  readonly options: ReceiverOptions;
  readonly limits: ReceiverLimits;
  readonly signIns: SignIns;
  readonly rates: Rates;
  readonly handshakes: Turns;
  /** The same for the sessions of a client. */
  readonly of: (client: ClientOptions | undefined) => SessionContext;
  /** Formats Date and Received. */
  readonly formatDate: (at: number) => string;
  /** Of all listeners together: a device may send again on another. */
  readonly repeats: Repeats;
}
