/** The surroundings: network, observation. */
import { z } from "./engine.ts";
import { about, boolean, endpoint, ip, listOf, oneOf, orWord, path } from "./fields.ts";

export const Network = z.strictObject({
  ca: about(listOf(path()).prefault([]), {
    description: "Files of further certificate authorities (PEM) to trust towards every upstream.",
    samples: [["certs/corporate-ca.pem"]],
    apply: "restart",
  }),
  source_address: about(orWord("none", ip()).prefault("none"), {
    description: "Local address of connections to the outside.",
    apply: "restart",
  }),
});

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

export const Log = z.strictObject({
  level: about(oneOf(["debug", "info", "warn", "error"]).prefault("info"), {
    description: "Least severe level that is logged.",
    apply: "restart",
  }),
  subjects: about(boolean().prefault(false), { description: "Log the Subject: of messages. It may be confidential.", apply: "restart" }),
});
