/** Faults of the token endpoint. */
import type { FaultDefinition } from "./fault-model.ts";

export const ENTRA_FAULTS: readonly FaultDefinition[] = [
  {
    name: "entra-down",
    stage: "token",
    hosts: ["entra"],
    meaning: "the token endpoint answers 503",
    action: { kind: "http", status: 503 },
  },
  { name: "entra-hold", stage: "token", hosts: ["entra"], meaning: "the token endpoint does not answer", action: { kind: "hold" } },
  {
    name: "entra-reset",
    stage: "token",
    hosts: ["entra"],
    meaning: "the connection to the token endpoint is reset",
    action: { kind: "reset" },
  },
  {
    name: "entra-slow",
    stage: "token",
    hosts: ["entra"],
    meaning: "the token comes after 10 seconds",
    action: { kind: "delay", ms: 10_000 },
  },
  {
    name: "entra-transient",
    stage: "token",
    hosts: ["entra"],
    meaning: "a transient error of Entra",
    action: { kind: "aadsts", code: 90033 },
  },
  {
    name: "entra-throttled",
    stage: "token",
    hosts: ["entra"],
    meaning: "too many token requests of the tenant",
    action: { kind: "aadsts", code: 90055 },
  },
  {
    name: "entra-conditional-access",
    stage: "token",
    hosts: ["entra"],
    meaning: "conditional access blocks the app",
    action: { kind: "aadsts", code: 53003 },
  },
];
