/** Observation: HTTP and log. */
import { z } from "./engine.ts";
import { about, address, boolean, endpoint, listOf, name, oneOf, orWord, path, secret, syslogAddress } from "./fields.ts";

const AdminTls = z.strictObject({
  certificate: about(path(), {
    description: "Certificate of the admin listener (PEM, leaf first). Watched: a renewed one is shown without a restart.",
    samples: ["certs/relay.pem"],
    apply: "reload",
  }),
  key: about(path(), { description: "Its private key (PEM, without a passphrase).", samples: ["certs/relay.key"], apply: "reload" }),
});

export const Admin = z.strictObject({
  listen: about(endpoint().prefault("127.0.0.1:8025"), {
    description:
      "Where the API (with a token: postern token add), /metrics, /healthz and /readyz answer. Beyond loopback only with admin.tls and a token.",
    samples: ["0.0.0.0:8025"],
    apply: "reload",
  }),
  tls: about(AdminTls.optional(), {
    description: "Makes admin.listen speak HTTPS, TLS 1.2 or newer, and nothing else.",
    default_text: "HTTP, on loopback only",
    apply: "reload",
  }),
});

export const Metrics = z.strictObject({
  listen: about(orWord("none", endpoint()).prefault("none"), {
    description:
      "A listener of its own for /metrics, /healthz and /readyz, for a monitoring system on another machine. Plain HTTP, without token.",
    samples: ["10.0.0.5:9125"],
    apply: "reload",
  }),
});

const Webhook = z.strictObject({
  url: about(secret(), {
    description: "URL that alerts are posted to: https, or http to this machine. It is a secret: whoever knows it can post there.",
    samples: [{ file: "secrets/webhook-url" }],
    apply: "reload",
  }),
  secret: about(secret().optional(), {
    description: "Key that requests are signed with (HMAC-SHA256), so that the receiver knows them; without it they are not signed.",
    samples: [{ file: "secrets/webhook-key" }],
    apply: "reload",
  }),
  format: about(oneOf(["generic", "teams", "slack"]).prefault("generic"), {
    description: "What is posted: JSON of our own, a card for a Teams workflow, or a message for a Slack webhook.",
    apply: "reload",
  }),
});

const Syslog = z.strictObject({
  address: about(syslogAddress(), {
    description:
      "Server that alerts are sent to, in the format of RFC 5424: udp://HOST (port 514), tcp://HOST (514), tls://HOST (6514, with a certificate that network.ca or the system vouches for), or unix:/dev/log for the syslog of this machine.",
    samples: ["tls://siem.contoso.com", "udp://192.0.2.5:514"],
    apply: "reload",
  }),
  facility: about(
    oneOf([
      "user",
      "mail",
      "daemon",
      "auth",
      "syslog",
      "local0",
      "local1",
      "local2",
      "local3",
      "local4",
      "local5",
      "local6",
      "local7",
    ]).prefault("mail"),
    { description: "Facility of the messages; their severity is the alert's.", apply: "reload" },
  ),
});

const AlertMail = z.strictObject({
  to: about(listOf(address()), {
    description: "Who gets alerts by mail.",
    samples: [["it@contoso.com"]],
    apply: "reload",
  }),
  via: about(listOf(name()).optional(), {
    description:
      "Upstreams that it may leave by, in order. One that is open and that the alert is not about goes first, whatever the order; routes do not matter.",
    samples: [["connector", "scans"]],
    default_text: "all upstreams",
    apply: "reload",
  }),
});

export const Alerts = z.strictObject({
  webhook: about(Webhook.optional(), {
    description: "Where alerts are posted to. It does not depend on mail.",
    apply: "reload",
  }),
  syslog: about(Syslog.optional(), { description: "Syslog server that is told of alerts. It does not depend on mail.", apply: "reload" }),
  mail: about(AlertMail.optional(), {
    description: "Who gets alerts by mail, several of a minute in one. It depends on mail: have a second way beside it.",
    apply: "reload",
  }),
});

export const Log = z.strictObject({
  level: about(oneOf(["debug", "info", "warn", "error"]).prefault("info"), {
    description: "Least severe level that is logged.",
    apply: "reload",
  }),
  subjects: about(boolean().prefault(false), { description: "Log the Subject: of messages. It may be confidential.", apply: "reload" }),
  transcripts: about(oneOf(["off", "errors", "all"]).prefault("errors"), {
    description: "SMTP dialogues with upstreams to keep, without secrets and content: of failed attempts, or of all.",
    apply: "reload",
  }),
});
