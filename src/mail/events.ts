/**
 * What happens in Postern, as values. Stages emit these; only `observe` decides what becomes a log line, a metric or an alert.
 * Names are past tense and are the `event` of the log line (see docs/logs.md).
 */
import type { Holder, Origin } from "./message.ts";
import type { Reply } from "./reply.ts";

/** How one attempt ended, as the metric `delivery_attempts_total` counts it. */
export type AttemptOutcome = "delivered" | "deferred" | "held" | "bounced" | "ambiguous";

/** The four delays of a delivery in ms: session start to 250, 250 to attempt, attempt to ready connection, ready connection to reply. */
export interface Delays {
  readonly beforeQueueMs: number;
  readonly inQueueMs: number;
  readonly connectMs: number;
  readonly transmitMs: number;
}

/** What an administrator knows a message by. */
export interface MailFacts {
  /** Empty for messages of our own, as is `device`. */
  readonly client: string;
  readonly device: string;
  readonly reversePath: string;
  readonly messageId: string;
  /** Recipients of the message, of whom the event is about one. */
  readonly recipients: number;
}

interface AboutRecipient {
  readonly queueId: string;
  readonly recipient: string;
  readonly upstream: string;
  readonly mail: MailFacts;
  /** What the next hop said, verbatim; absent where it said nothing. */
  readonly reply?: Reply | undefined;
}

/** Our own words for what went wrong without a reply. */
interface Fault {
  readonly code: string;
  readonly detail: string;
}

/** How people are told of an alert besides the log. */
type AlertWay = "webhook" | "syslog" | "mail";

/** One event map for the whole process; `type` is the event's name. */
export type PosternEvent =
  | { readonly type: "daemon.started"; readonly version: string; readonly listeners: readonly string[] }
  | { readonly type: "daemon.stopping"; readonly reason: string }
  | { readonly type: "daemon.stopped" }
  | { readonly type: "listener.bound"; readonly listener: string; readonly address: string; readonly port: number; readonly tls: string }
  | { readonly type: "listener.closed"; readonly listener: string; readonly address: string; readonly port: number }
  /** A listener shows another certificate from now on; `expiresAt` in ms since the epoch. */
  | { readonly type: "certificate.reloaded"; readonly listener: string; readonly expiresAt: number }
  | {
      readonly type: "session.opened";
      readonly session: string;
      readonly listener: string;
      /** Absent while somebody has to sign in first. */
      readonly client?: string | undefined;
      readonly device: string;
      readonly implicitTls: boolean;
      /** How the device got in: by a listed network, by what was decided or found out since, or only as far as signing in (`user`). */
      readonly admission: "network" | "allowed" | "learned" | "named" | "user";
      /** The balancer that it came through. */
      readonly balancer?: string | undefined;
    }
  /** A user signed in; `client` is whose rules hold from now on. */
  | {
      readonly type: "session.auth.succeeded";
      readonly session: string;
      readonly listener: string;
      readonly device: string;
      readonly client: string;
      readonly user: string;
      readonly mechanism: string;
    }
  | {
      readonly type: "session.auth.failed";
      readonly session: string;
      readonly listener: string;
      readonly device: string;
      /** Only a name that is in the configuration: people type passwords into the wrong field. */
      readonly user?: string | undefined;
      readonly mechanism: string;
      readonly cause: string;
      /** Wrong passwords of this address lately. */
      readonly failures: number;
      readonly reply: Reply;
      readonly remedy?: string | undefined;
    }
  | {
      readonly type: "session.secured";
      readonly session: string;
      readonly listener: string;
      readonly device: string;
      readonly tls: string;
      readonly cipher: string;
    }
  | {
      readonly type: "session.closed";
      readonly session: string;
      readonly listener: string;
      readonly device: string;
      readonly tls?: string | undefined;
      /** The last HELO name, escaped and cut. */
      readonly helo?: string | undefined;
      /** Credentials were offered, needed or not. */
      readonly triedAuth: boolean;
      readonly messages: number;
      readonly durationMs: number;
    }
  /** A connection, command or message was refused. `reason` is a short fixed word, used as a metric label. */
  | {
      readonly type: "session.rejected";
      readonly session: string;
      readonly listener: string;
      readonly client?: string | undefined;
      readonly device: string;
      readonly reason: string;
      readonly reply: Reply;
      /** The offending value, escaped and cut; never a credential. */
      readonly detail?: string | undefined;
      /** What the administrator can do about it. */
      readonly remedy?: string | undefined;
    }
  /** An operator let a device in for good, or dropped what was known of it. */
  | { readonly type: "device.allowed"; readonly device: string; readonly client: string; readonly operator: string }
  | { readonly type: "device.forgotten"; readonly device: string; readonly operator: string }
  /** A device's syntax was repaired. One per session and kind. */
  | {
      readonly type: "session.repaired";
      readonly session: string;
      readonly listener: string;
      readonly device: string;
      readonly quirk: string;
      readonly detail: string;
    }
  /** A device needed a repair, of its syntax or of a message. Once a day for each device and kind. */
  | {
      readonly type: "device.repaired";
      readonly device: string;
      readonly client?: string | undefined;
      /** The word of `session.repaired` and of a message's `repairs`. */
      readonly quirk: string;
      readonly detail: string;
      /** How often it was seen since the device is known. */
      readonly times: number;
    }
  /** A message never came to its end: the device went silent, or left, in the middle of it. Nothing was accepted. */
  | {
      readonly type: "session.unfinished";
      readonly session: string;
      readonly listener: string;
      readonly client: string;
      readonly device: string;
      readonly reversePath: string;
      readonly recipients: readonly string[];
      /** Octets of content until then. */
      readonly octets: number;
      readonly cause: string;
      readonly remedy?: string | undefined;
    }
  /** A message was answered with the queue id of an earlier one that is the same, and dropped. */
  | {
      readonly type: "message.repeated";
      /** The earlier one's. */
      readonly queueId: string;
      readonly session: string;
      readonly listener: string;
      readonly client: string;
      readonly device: string;
      readonly reversePath: string;
      readonly recipients: readonly string[];
    }
  | {
      readonly type: "message.accepted";
      readonly queueId: string;
      readonly session: string;
      readonly origin: Origin;
      readonly reversePath: string;
      readonly originalSender?: string | undefined;
      readonly recipients: readonly string[];
      readonly sizeBytes: number;
      readonly messageId: string;
      readonly subject?: string | undefined;
      readonly repairs: readonly string[];
      /** Last octet of the content to the 250, in seconds for the histogram. */
      readonly acceptSeconds: number;
    }
  | {
      readonly type: "message.generated";
      readonly queueId: string;
      /** The queue id that it reports on; `alert` for a mail of alerts. */
      readonly about: string;
      readonly recipients: readonly string[];
      readonly sizeBytes: number;
    }
  | {
      readonly type: "attempt.finished";
      readonly queueId: string;
      readonly attempt: number;
      readonly upstream: string;
      readonly outcome: AttemptOutcome;
      readonly recipients: number;
      /** host:port and address reached, where a connection was made. */
      readonly remote?: string | undefined;
      readonly tls?: string | undefined;
      readonly reusedConnection: boolean;
      /** Protocol stage that decided the outcome. */
      readonly stage: string;
      readonly reply?: Reply | undefined;
      /** The fault in words where there was no reply (time-out, reset, certificate). */
      readonly fault?: string | undefined;
      /** The next hop's own id of the message, where its reply told one. */
      readonly upstreamId?: string | undefined;
      readonly remedy?: string | undefined;
      /** What was changed in the message for this door, or how it is known to have arrived. */
      readonly note?: string | undefined;
      readonly delays: Delays;
    }
  | (AboutRecipient & { readonly type: "recipient.delivered"; readonly latencySeconds: number })
  | (AboutRecipient & {
      readonly type: "recipient.deferred";
      readonly nextAttemptAt: number;
      readonly cause: string;
      readonly remedy?: string | undefined;
    })
  /** It goes by another door of its route from now on. `from` and `to` are upstreams; `reply` is what the first one said, if it was asked. */
  | {
      readonly type: "recipient.moved";
      readonly queueId: string;
      readonly recipient: string;
      readonly from: string;
      readonly to: string;
      readonly cause: string;
      readonly reply?: Reply | undefined;
    }
  | (AboutRecipient & {
      readonly type: "recipient.held";
      readonly heldBy: Holder;
      readonly cause: string;
      readonly remedy?: string | undefined;
    })
  | (AboutRecipient & {
      readonly type: "recipient.bounced";
      /** What the report says (RFC 3463), where no reply has a status of its own. */
      readonly status?: string | undefined;
      readonly cause: string;
      readonly remedy?: string | undefined;
    })
  | (AboutRecipient & { readonly type: "recipient.expired"; readonly cause: string })
  | {
      readonly type: "recipient.deleted";
      readonly queueId: string;
      readonly recipient: string;
      readonly upstream: string;
      readonly operator: string;
    }
  | {
      readonly type: "operator.acted";
      readonly verb: string;
      readonly queueIds: readonly string[];
      readonly recipients: number;
      readonly operator: string;
      /** The name is what the command says of itself, from sudo or the login: nobody has proved it. */
      readonly declared: boolean;
    }
  /** A token of the API was made, or taken back. Never the token itself; `token` is its name. */
  | {
      readonly type: "token.added";
      readonly token: string;
      readonly role: string;
      /** ms since the epoch; absent: never. */
      readonly expiresAt?: number | undefined;
      readonly operator: string;
    }
  | { readonly type: "token.revoked"; readonly token: string; readonly operator: string }
  /** A request to the API was refused for want of a token or of its role. `reason` is a short fixed word, used as a metric label. */
  | {
      readonly type: "api.refused";
      readonly address: string;
      readonly reason: "no-token" | "malformed" | "unknown-token" | "expired-token" | "role" | "too-many" | "tokens-unusable";
      readonly method: string;
      /** Without its query, cut. */
      readonly path: string;
      /** The name of the token, where it is one of ours. */
      readonly token?: string | undefined;
      /** The role that it would have needed. */
      readonly needed?: string | undefined;
      /** Refusals of this address lately. */
      readonly failures: number;
    }
  | {
      readonly type: "upstream.connected";
      readonly upstream: string;
      readonly remote: string;
      readonly tls?: string | undefined;
      readonly connectMs: number;
    }
  | {
      readonly type: "upstream.connect.failed";
      readonly upstream: string;
      readonly stage: string;
      readonly cause: string;
      readonly reply?: Reply | undefined;
      /** What `cause` says, where there was no reply, for whoever knows the remedy. */
      readonly fault?: Fault | undefined;
      readonly remedy?: string | undefined;
    }
  /** `mailbox` is whose mail the upstream sends, where it is one. */
  | { readonly type: "upstream.auth.succeeded"; readonly upstream: string; readonly mailbox?: string | undefined }
  | {
      readonly type: "upstream.auth.failed";
      readonly upstream: string;
      readonly mailbox?: string | undefined;
      /** `token` or `auth`. */
      readonly stage: string;
      readonly cause: string;
      readonly reply?: Reply | undefined;
      readonly fault?: Fault | undefined;
      readonly remedy?: string | undefined;
    }
  /** Every reply that ends a command of ours towards an upstream, for `upstream_replies_total`. */
  | { readonly type: "upstream.replied"; readonly upstream: string; readonly stage: string; readonly reply: Reply }
  | { readonly type: "upstream.throttled"; readonly upstream: string; readonly waitMs: number; readonly reply?: Reply | undefined }
  /** The door closed: nothing goes out by it but probes. */
  | {
      readonly type: "upstream.held";
      readonly upstream: string;
      readonly cause: string;
      readonly remedy?: string | undefined;
      readonly nextProbeAt: number;
    }
  | { readonly type: "upstream.released"; readonly upstream: string; readonly heldMs: number; readonly recipients: number }
  /** Unreachable for the moment: nothing is tried before `resumeAt`. */
  | { readonly type: "clock.stepped"; readonly byMs: number }
  | { readonly type: "upstream.paused"; readonly upstream: string; readonly cause: string; readonly resumeAt: number }
  | { readonly type: "queue.opened"; readonly path: string; readonly schemaVersion: number; readonly waiting: number }
  /** A new file was begun where there had been one. */
  | { readonly type: "queue.begun"; readonly path: string; readonly found: "nothing" | "an empty file" }
  | { readonly type: "queue.recovered"; readonly ambiguousRecipients: number; readonly sweptContent: number }
  | { readonly type: "queue.committed"; readonly seconds: number; readonly operations: number }
  /** `damaged`: the file itself is; no restart mends it. */
  | { readonly type: "queue.failed"; readonly cause: string; readonly damaged: boolean }
  | { readonly type: "queue.full"; readonly freeBytes: number; readonly floorBytes: number }
  | { readonly type: "queue.corrupt"; readonly queueId: string; readonly cause: string }
  /** Kept content of mail that failed; `early`: before its time, because room was needed. */
  | { readonly type: "content.dropped"; readonly messages: number; readonly early: boolean }
  | { readonly type: "history.pruned"; readonly messages: number }
  /** The file was read again and taken up; `changed` are keys in force, `restart` those that wait for one. `operator` is absent for a signal. */
  | {
      readonly type: "config.reloaded";
      readonly changed: readonly string[];
      readonly restart: readonly string[];
      readonly operator?: string | undefined;
    }
  /** It was read again, and nothing changed for its faults: one line each, `FILE:LINE:COL KEY: message`. */
  | { readonly type: "config.reload.failed"; readonly faults: readonly string[]; readonly operator?: string | undefined }
  /** Something in the configuration that does not forbid a start; `place` is FILE:LINE:COL. */
  | {
      readonly type: "config.warned";
      readonly place: string;
      readonly key: string;
      readonly text: string;
      readonly upstream?: string | undefined;
    }
  | {
      readonly type: "alert.raised";
      readonly alert: string;
      readonly subject: string;
      readonly text: string;
      readonly remedy?: string | undefined;
      /** Absent: that of its kind. */
      readonly severity?: "info" | "warning" | "critical" | undefined;
    }
  /** An alert is open for another day. `since` in ms since the epoch. */
  | {
      readonly type: "alert.repeated";
      readonly alert: string;
      readonly subject: string;
      readonly text: string;
      readonly remedy?: string | undefined;
      readonly severity: "info" | "warning" | "critical";
      readonly since: number;
    }
  | { readonly type: "alert.cleared"; readonly alert: string; readonly subject: string }
  /** A notice was taken: by the webhook's receiver, the syslog server, or as a mail by our queue. */
  | { readonly type: "alert.notified"; readonly way: AlertWay; readonly alert: string; readonly subject: string; readonly state: string }
  /** A notice was not taken; it is tried again. Never a secret, and of an address host and port at most. */
  | {
      readonly type: "alert.notify.failed";
      readonly way: AlertWay;
      readonly cause: string;
      readonly remedy?: string | undefined;
      readonly failures: number;
      readonly waiting: number;
      /** It was said within the hour. */
      readonly isRepeated: boolean;
    }
  /** A notice was given up. */
  | {
      readonly type: "alert.notify.dropped";
      readonly way: AlertWay;
      readonly alert: string;
      readonly subject: string;
      readonly state: string;
      readonly cause: string;
    }
  | { readonly type: "alert.file.failed"; readonly cause: string }
  /** Transcripts cannot be written. */
  | { readonly type: "transcript.failed"; readonly cause: string }
  | { readonly type: "alert.look.failed"; readonly cause: string };

export type EventName = PosternEvent["type"];
export type EventOf<N extends EventName> = Extract<PosternEvent, { type: N }>;

/** Hands an event to whoever watches. Never throws and never waits: a stage must not fail because it was observed. */
export type Emit = (event: PosternEvent) => void;
