/** Observation: HTTP and log. */
import { z } from "./engine.ts";
import { about, boolean, endpoint, oneOf, orWord, secret } from "./fields.ts";

export const Admin = z.strictObject({
  listen: about(endpoint().prefault("127.0.0.1:8025"), {
    description: "Where /metrics, /healthz and /readyz answer; a loopback address.",
    apply: "restart",
  }),
});

export const Metrics = z.strictObject({
  listen: about(orWord("none", endpoint()).prefault("none"), {
    description: "A listener of its own for /metrics, /healthz and /readyz, for a monitoring system on another machine.",
    samples: ["10.0.0.5:9125"],
    apply: "restart",
  }),
});

const Webhook = z.strictObject({
  url: about(secret(), {
    description: "URL that alerts are posted to: https, or http to this machine. It is a secret: whoever knows it can post there.",
    samples: [{ file: "secrets/webhook-url" }],
    apply: "restart",
  }),
  secret: about(secret().optional(), {
    description: "Key that requests are signed with (HMAC-SHA256), so that the receiver knows them; without it they are not signed.",
    samples: [{ file: "secrets/webhook-key" }],
    apply: "restart",
  }),
  format: about(oneOf(["generic", "teams", "slack"]).prefault("generic"), {
    description: "What is posted: JSON of our own, a card for a Teams workflow, or a message for a Slack webhook.",
    apply: "restart",
  }),
});

export const Alerts = z.strictObject({
  webhook: about(Webhook.optional(), { description: "Who is told of alerts besides the log. It does not depend on mail." }),
});

export const Log = z.strictObject({
  level: about(oneOf(["debug", "info", "warn", "error"]).prefault("info"), {
    description: "Least severe level that is logged.",
    apply: "reload",
  }),
  subjects: about(boolean().prefault(false), { description: "Log the Subject: of messages. It may be confidential.", apply: "reload" }),
  transcripts: about(oneOf(["off", "errors", "all"]).prefault("errors"), {
    description: "SMTP dialogues with upstreams to keep, without secrets and content: of failed attempts, or of all.",
    apply: "restart",
  }),
});
