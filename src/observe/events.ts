/** What each event means to an observer: its log line and what it counts. The one place for both; docs/logs.md is written from it. */
import type { EventName, EventOf, MailFacts } from "../mail/events.ts";
import type { Reply } from "../mail/reply.ts";
import { formatReply } from "../mail/reply.ts";
import type { LogFields, LogLevel } from "./log.ts";
import type { Metrics } from "./metrics.ts";

/** How one kind of event is observed. */
export interface EventDefinition<E> {
  /** When it happens, for docs/logs.md. */
  readonly when: string;
  /** Level of its line; `none` for events that are only counted. */
  readonly level: LogLevel | "none" | ((event: E) => LogLevel | "none");
  /** Values of the line; default: those of the event as they are. */
  readonly fields?: (event: E) => LogFields;
  readonly count?: (event: E, metrics: Metrics) => void;
  /** Lines for which this gives the same are bounded in number (`repetition.ts`). */
  readonly kind?: (event: E) => string;
}

/** `reply` as received on one line; `enhanced` apart, so that it can be searched for. */
function replyFields(reply: Reply | undefined): { reply?: string; enhanced?: string | undefined } {
  return reply === undefined ? {} : { reply: formatReply(reply), enhanced: reply.enhanced };
}

const isoTime = (ms: number): string => new Date(ms).toISOString();

/** Codes come from the network; anything that is not one must not become a label. */
function enhancedLabel(reply: Reply): string {
  return reply.enhanced !== undefined && /^[245]\.\d{1,3}\.\d{1,3}$/.test(reply.enhanced) ? reply.enhanced : "";
}

function aboutRecipient(event: {
  readonly queueId: string;
  readonly recipient: string;
  readonly upstream: string;
  readonly mail: MailFacts;
  readonly reply?: Reply | undefined;
}): LogFields {
  const { queueId, recipient, upstream, mail, reply } = event;
  const { client, device, reversePath, messageId, recipients } = mail;
  // Mail of our own has neither client nor device.
  const from = { client: client === "" ? undefined : client, device: device === "" ? undefined : device };
  return { queueId, recipient, upstream, ...from, reversePath, messageId, recipients, ...replyFields(reply) };
}

/** Every event has an entry: a missing one does not compile. */
export const EVENTS: { readonly [N in EventName]: EventDefinition<EventOf<N>> } = {
  "daemon.started": { when: "Every listener is bound and the queue is open.", level: "info" },
  "daemon.stopping": { when: "A signal or a fault asks the daemon to end; deliveries under way are finished.", level: "info" },
  "daemon.stopped": { when: "The queue is closed; the last line of a clean end.", level: "info" },
  "listener.bound": { when: "A listener accepts connections.", level: "info" },
  "listener.closed": { when: "A reload took a listener's address away; its sessions go on.", level: "info" },
  "certificate.reloaded": {
    when: "A listener's certificate files changed and fit; new sessions get them.",
    level: "info",
    fields: (event) => ({ listener: event.listener, expires: isoTime(event.expiresAt) }),
  },
  "session.opened": { when: "An allowed device connected.", level: "info" },
  "session.secured": { when: "TLS was negotiated with a device.", level: "debug" },
  "session.auth.succeeded": {
    when: "A user signed in at a listener.",
    level: "info",
    count: (event, metrics) => metrics.count("smtp_auth_total", 1, event.listener, "ok"),
  },
  "session.auth.failed": {
    when: "Somebody could not sign in at a listener; the next attempt from that address has to wait.",
    level: "warn",
    fields: (event) => ({
      session: event.session,
      listener: event.listener,
      device: event.device,
      user: event.user,
      mechanism: event.mechanism,
      cause: event.cause,
      failures: event.failures,
      ...replyFields(event.reply),
      remedy: event.remedy,
    }),
    count: (event, metrics) => {
      metrics.count("smtp_auth_total", 1, event.listener, "failed");
      metrics.count("smtp_rejects_total", 1, event.listener, "credentials");
    },
  },
  "session.closed": {
    when: "A session ended; on level info when it brought no message, else debug.",
    level: (event) => (event.messages === 0 ? "info" : "debug"),
    count: (event, metrics) => metrics.count("smtp_sessions_total", 1, event.listener, event.tls ?? "none"),
  },
  "session.rejected": {
    when: "A connection, command or message was refused.",
    level: "warn",
    kind: (event) => `${event.device} ${event.reason}`,
    fields: (event) => ({
      session: event.session,
      listener: event.listener,
      client: event.client,
      device: event.device,
      reason: event.reason,
      ...replyFields(event.reply),
      detail: event.detail,
      remedy: event.remedy,
    }),
    count: (event, metrics) => metrics.count("smtp_rejects_total", 1, event.listener, event.reason),
  },
  "device.allowed": { when: "An operator let a device in for good.", level: "info" },
  "device.forgotten": { when: "An operator dropped what was known of a device; a permission to send goes with it.", level: "info" },
  "session.repaired": { when: "A device's syntax was repaired; once for each session and kind.", level: "debug" },
  "device.repaired": { when: "A device's syntax or a message of it needed a repair; once a day for each device and kind.", level: "info" },
  "session.unfinished": {
    when: "A device went silent or left in the middle of a message; nothing was accepted.",
    level: "warn",
  },
  "message.repeated": { when: "An exact repeat was answered with the earlier message's queue id and dropped.", level: "info" },
  "message.accepted": {
    when: "A message is durable and was answered with 250.",
    level: "info",
    fields: (event) => ({
      queueId: event.queueId,
      session: event.session,
      listener: event.origin.listener,
      client: event.origin.client,
      device: event.origin.device,
      user: event.origin.user,
      helo: event.origin.helo,
      tls: event.origin.tls,
      reversePath: event.reversePath,
      originalSender: event.originalSender,
      recipients: event.recipients,
      sizeBytes: event.sizeBytes,
      messageId: event.messageId,
      subject: event.subject,
      repairs: event.repairs.length === 0 ? undefined : event.repairs,
    }),
    count: (event, metrics) => {
      const { listener, client } = event.origin;
      metrics.count("messages_received_total", 1, listener, client);
      metrics.count("recipients_accepted_total", event.recipients.length, listener, client);
      metrics.observe("accept_duration_seconds", event.acceptSeconds);
    },
  },
  "message.generated": {
    when: "Postern wrote a report, or a mail of alerts; `about` is the queue id it reports on, or `alert`.",
    level: "info",
    count: (event, metrics) => metrics.count("recipients_generated_total", event.recipients.length),
  },
  "attempt.finished": {
    when: "One attempt at delivering a message ended.",
    level: (event) => (event.outcome === "delivered" ? "info" : "warn"),
    fields: (event) => ({
      queueId: event.queueId,
      attempt: event.attempt,
      upstream: event.upstream,
      outcome: event.outcome,
      recipients: event.recipients,
      remote: event.remote,
      tls: event.tls,
      reusedConnection: event.reusedConnection,
      stage: event.stage,
      ...replyFields(event.reply),
      fault: event.fault,
      upstreamId: event.upstreamId,
      remedy: event.remedy,
      note: event.note,
      beforeQueueMs: Math.round(event.delays.beforeQueueMs),
      inQueueMs: Math.round(event.delays.inQueueMs),
      connectMs: Math.round(event.delays.connectMs),
      transmitMs: Math.round(event.delays.transmitMs),
    }),
    count: (event, metrics) => metrics.count("delivery_attempts_total", 1, event.upstream, event.outcome),
  },
  "recipient.delivered": {
    when: "An upstream took responsibility for a recipient.",
    level: "info",
    fields: (event) => ({ ...aboutRecipient(event), latencySeconds: Math.round(event.latencySeconds * 1000) / 1000 }),
    count: (event, metrics) => {
      metrics.count("recipients_total", 1, "delivered", event.upstream);
      metrics.observe("delivery_latency_seconds", event.latencySeconds);
    },
  },
  "recipient.deferred": {
    when: "A recipient is tried again at `nextAttempt`.",
    level: "warn",
    fields: (event) => ({ ...aboutRecipient(event), cause: event.cause, remedy: event.remedy, nextAttempt: isoTime(event.nextAttemptAt) }),
  },
  "recipient.moved": {
    when: "A recipient goes by another door of its route (`to`) from now on.",
    level: "warn",
    fields: (event) => ({
      queueId: event.queueId,
      recipient: event.recipient,
      from: event.from,
      to: event.to,
      ...replyFields(event.reply),
      cause: event.cause,
    }),
  },
  "recipient.held": {
    when: "A recipient waits for a repair, not for time.",
    level: "warn",
    fields: (event) => ({ ...aboutRecipient(event), heldBy: event.heldBy, cause: event.cause, remedy: event.remedy }),
  },
  "recipient.bounced": {
    when: "A recipient was refused for good, or given up by an operator; a report tells the sender.",
    level: "warn",
    fields: (event) => ({
      ...aboutRecipient(event),
      enhanced: event.reply?.enhanced ?? event.status,
      cause: event.cause,
      remedy: event.remedy,
    }),
    count: (event, metrics) => metrics.count("recipients_total", 1, "bounced", event.upstream),
  },
  "recipient.expired": {
    when: "A recipient waited longer than `retry.expire_after`; a report tells the sender.",
    level: "warn",
    fields: (event) => ({ ...aboutRecipient(event), cause: event.cause }),
    count: (event, metrics) => metrics.count("recipients_total", 1, "expired", event.upstream),
  },
  "recipient.deleted": {
    when: "An operator deleted a recipient from the queue.",
    level: "warn",
    count: (event, metrics) => metrics.count("recipients_total", 1, "deleted", event.upstream),
  },
  "operator.acted": {
    when: "An operator used retry, hold, release, bounce or delete, sent a test mail or a test alert (test-alert), or read the content of a message by the API. `queueIds`: the first of them; `recipients` counts all. `declared`: the name is the command's word, from sudo or the login.",
    level: "info",
  },
  "token.added": {
    when: "An operator made a token of the API.",
    level: "info",
    fields: ({ token, role, expiresAt, operator }) => ({
      token,
      role,
      expires: expiresAt === undefined ? undefined : isoTime(expiresAt),
      operator,
    }),
  },
  "token.revoked": { when: "An operator took a token of the API back.", level: "info" },
  "api.refused": {
    when: "A request to the API had no token, a wrong one, or one whose role does not reach.",
    level: "warn",
    kind: (event) => `${event.address} ${event.reason}`,
    count: (event, metrics) => metrics.count("api_refusals_total", 1, event.reason),
  },
  "upstream.connected": {
    when: "A connection to an upstream is ready; several mails may go over it.",
    level: "info",
    count: (event, metrics) => metrics.count("upstream_connects_total", 1, event.upstream, "ok"),
  },
  "upstream.connect.failed": {
    when: "A connection to an upstream could not be made or secured.",
    level: "warn",
    fields: (event) => ({
      upstream: event.upstream,
      stage: event.stage,
      cause: event.cause,
      ...replyFields(event.reply),
      remedy: event.remedy,
    }),
    count: (event, metrics) => metrics.count("upstream_connects_total", 1, event.upstream, "failed"),
  },
  "upstream.auth.succeeded": {
    when: "An upstream accepted our credential.",
    level: "info",
    count: (event, metrics) => metrics.count("upstream_auth_total", 1, event.upstream, "ok"),
  },
  "upstream.auth.failed": {
    when: "An upstream or its token endpoint refused our credential.",
    level: "error",
    fields: ({ upstream, mailbox, stage, cause, reply, remedy }) => ({ upstream, mailbox, stage, cause, ...replyFields(reply), remedy }),
    count: (event, metrics) => metrics.count("upstream_auth_total", 1, event.upstream, "failed"),
  },
  "upstream.replied": {
    when: "Only counted: an upstream answered a command.",
    level: "none",
    count: (event, metrics) =>
      metrics.count("upstream_replies_total", 1, event.upstream, String(event.reply.code), enhancedLabel(event.reply)),
  },
  "upstream.throttled": {
    when: "An upstream asked us to slow down.",
    level: "warn",
    fields: (event) => ({ upstream: event.upstream, waitMs: event.waitMs, ...replyFields(event.reply) }),
  },
  "upstream.held": {
    when: "A door closed: its mail waits, one message at a time tries it.",
    level: "error",
    fields: (event) => ({
      upstream: event.upstream,
      cause: event.cause,
      remedy: event.remedy,
      nextProbe: isoTime(event.nextProbeAt),
    }),
  },
  "upstream.released": { when: "A door is open again; all it held is due now.", level: "info" },
  "clock.stepped": {
    when: "The system's clock was set by `byMs` (back is negative), or the machine slept: what waits keeps its place in time, and upstreams that waited are tried now.",
    level: "warn",
  },
  "upstream.paused": {
    when: "An upstream cannot be reached; nothing is tried before `resume`.",
    level: "warn",
    fields: (event) => ({ upstream: event.upstream, cause: event.cause, resume: isoTime(event.resumeAt) }),
  },
  "queue.opened": { when: "The queue's file was opened and checked.", level: "info" },
  "queue.begun": {
    when: "The queue's file was missing, or empty, in a folder that had one before: a new one was begun, and mail that waited is not in it. `remedy` says what to do.",
    level: "warn",
    fields: ({ path, found }) => ({
      path,
      found,
      remedy:
        "If mail may have waited: stop the relay, put the old queue.db in its place (moved away, or on a volume that is not mounted), and start it again. Where the file was removed on purpose, or a first start was cut short, nothing is to be done",
    }),
  },
  "queue.recovered": {
    when: "The daemon ended without closing the queue; deliveries that were under way are tried again.",
    level: "warn",
  },
  "queue.committed": {
    when: "Only counted: the queue wrote a transaction.",
    level: "none",
    count: (event, metrics) => metrics.observe("spool_commit_seconds", event.seconds),
  },
  "queue.failed": {
    when: "The queue's file was closed after an I/O error; the daemon ends and is restarted, unless the file itself is `damaged`.",
    level: "error",
  },
  "queue.full": { when: "Free space is below the floor: new mail gets 452, queued mail goes on.", level: "error" },
  "queue.corrupt": { when: "Stored content failed its checksum; its recipients are held and never sent.", level: "error" },
  "content.dropped": {
    when: "Content of mail that failed was deleted: its time (`history.failed_content`) was over, or it was given up before (`early`) to make room.",
    level: "info",
  },
  "history.pruned": { when: "Old history was removed.", level: "info" },
  "config.warned": { when: "The configuration has a fault that does not forbid the start.", level: "warn" },
  "config.reloaded": {
    when: "SIGHUP or postern reload: the configuration was read again and is in force, except for the keys in `restart`.",
    level: (event) => (event.restart.length > 0 ? "warn" : "info"),
  },
  "config.reload.failed": {
    when: "SIGHUP or postern reload: the configuration has faults, and the one before stays in force.",
    level: "error",
  },
  "alert.raised": {
    when: "Something needs a person; `remedy` says what to do (docs/alerts.md). Once for each alert, and again when it grows more severe.",
    level: "error",
  },
  "alert.repeated": {
    when: "An alert is open for another day.",
    level: "error",
    fields: ({ alert, subject, text, remedy, severity, since }) => ({ alert, subject, text, remedy, severity, since: isoTime(since) }),
  },
  "alert.cleared": { when: "What an alert was about is over.", level: "info" },
  "alert.notified": {
    when: "A notice about an alert was taken by `way`: webhook, syslog, or mail (by the queue).",
    level: "debug",
    count: (event, metrics) => metrics.count("alert_notices_total", 1, event.way, "taken"),
  },
  "alert.notify.failed": {
    when: "Notices are not taken by `way`; they wait and are tried again. At most once an hour.",
    level: (event) => (event.isRepeated ? "none" : "warn"),
    fields: ({ way, cause, remedy, failures, waiting }) => ({ way, cause, remedy, failures, waiting }),
    count: (event, metrics) => metrics.count("alert_notices_total", 1, event.way, "failed"),
  },
  "alert.notify.dropped": {
    when: "A notice was given up: too old, too many, refused for good, or its way is not configured any more.",
    level: "warn",
    count: (event, metrics) => metrics.count("alert_notices_total", 1, event.way, "dropped"),
  },
  "alert.file.failed": {
    when: "`deliver/alerts.json` cannot be read or written: what is open is forgotten at the next restart.",
    level: "error",
  },
  "transcript.failed": { when: "Transcripts cannot be written; mail goes on, and the next one is tried again.", level: "warn" },
  "alert.look.failed": { when: "The look for alerts could not get its figures; the next one is in a minute.", level: "warn" },
};
