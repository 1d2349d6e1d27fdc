/** Faults of the token endpoint, each AADSTS error a daemon can meet among them, and of the Azure Arc agent. */
import { ENTRA_ERRORS } from "./aadsts.ts";
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
  ...Object.entries(ENTRA_ERRORS).flatMap(([number, { meaning }]): FaultDefinition[] => {
    if (meaning === undefined) return [];
    return [{ name: `aadsts-${number}`, stage: "token", hosts: ["entra"], meaning, action: { kind: "aadsts", code: Number(number) } }];
  }),
  {
    name: "device-down",
    stage: "device",
    hosts: ["entra"],
    meaning: "no device code can be had: 503",
    action: { kind: "http", status: 503 },
  },
  {
    name: "device-blocked",
    stage: "device",
    hosts: ["entra"],
    meaning: "conditional access forbids device codes",
    action: { kind: "aadsts", code: 53003 },
  },
  { name: "arc-down", stage: "arc", hosts: ["arc"], meaning: "the Arc agent answers 503", action: { kind: "http", status: 503 } },
  { name: "arc-hold", stage: "arc", hosts: ["arc"], meaning: "the Arc agent does not answer", action: { kind: "hold" } },
  { name: "arc-reset", stage: "arc", hosts: ["arc"], meaning: "the connection to the Arc agent is reset", action: { kind: "reset" } },
  {
    name: "arc-key-missing",
    stage: "arc",
    hosts: ["arc"],
    meaning: "the Arc agent names a key file that is not there",
    action: { kind: "omit", keyword: "the key file" },
  },
];
