/** Faults before anybody has said who they are: connection, greeting, EHLO, STARTTLS. */
import { EVERY_HOST, said, saidAndClosed } from "./fault-model.ts";
import type { FaultDefinition } from "./fault-model.ts";

export const SESSION_FAULTS: readonly FaultDefinition[] = [
  { name: "connection-reset", stage: "connect", hosts: EVERY_HOST, meaning: "the connection is reset at once", action: { kind: "reset" } },
  { name: "greeting-hold", stage: "greeting", hosts: EVERY_HOST, meaning: "connected, but no greeting comes", action: { kind: "hold" } },
  {
    name: "service-unavailable",
    stage: "greeting",
    hosts: EVERY_HOST,
    row: 54,
    meaning: "the host is being drained",
    action: saidAndClosed("421 4.3.2 Service not available"),
  },
  {
    name: "no-starttls",
    stage: "ehlo",
    hosts: EVERY_HOST,
    meaning: "a firewall strips STARTTLS from the EHLO list",
    action: { kind: "omit", keyword: "STARTTLS" },
  },
  {
    name: "invalid-helo",
    stage: "ehlo",
    hosts: EVERY_HOST,
    row: 18,
    meaning: "the EHLO name is not accepted",
    action: said("501 5.5.4 Invalid domain name"),
  },
  {
    name: "starttls-reset",
    stage: "starttls",
    hosts: EVERY_HOST,
    meaning: "the connection is reset in the TLS handshake",
    action: { kind: "reset" },
  },
];
