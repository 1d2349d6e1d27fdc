/** Observation: HTTP and log. */
import { z } from "./engine.ts";
import { about, boolean, endpoint, oneOf, orWord } from "./fields.ts";

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
