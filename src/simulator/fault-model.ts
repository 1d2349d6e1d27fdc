/** What a fault is: its place in the protocol, the hosts that know it, and what the other side then says or does. */

/** Services that faults act on: the SMTP hosts (587, 25, High Volume Email, Azure Communication Services), Entra, Graph, the Azure Arc agent. */
export type FaultHost = "submission" | "mx" | "hve" | "acs" | "entra" | "graph" | "arc";

/** Hosts that speak SMTP. */
export const EVERY_HOST: readonly FaultHost[] = ["submission", "mx", "hve", "acs"];
/** Hosts where a client signs in. */
export const SIGNED_IN_HOSTS: readonly FaultHost[] = ["submission", "hve", "acs"];
/** The host on port 25 alone. */
export const MX_HOST: readonly FaultHost[] = ["mx"];

/**
 * Where in the protocol a fault shows. `token` is the Entra token endpoint, `device` the one that starts a device code, `arc` the managed identity endpoint, `graph` any request to Graph,
 * `graph-send` a message that Graph has not taken yet, `graph-answer` one that it has; all others are SMTP.
 */
export const FAULT_STAGES = [
  "connect",
  "greeting",
  "ehlo",
  "starttls",
  "auth",
  "mail",
  "rcpt",
  "data",
  "content",
  "final",
  "token",
  "device",
  "arc",
  "graph",
  "graph-send",
  "graph-answer",
] as const;
export type FaultStage = (typeof FAULT_STAGES)[number];

/** What happens. */
export type FaultAction =
  /** The reply without the bracket Microsoft appends: `session` = "[HOST TIME ID]", `hostname` = "[Hostname=HOST]". `close` ends the connection after it. */
  | { readonly kind: "reply"; readonly text: string; readonly suffix: "session" | "hostname"; readonly close?: true }
  /** TCP reset without a word. */
  | { readonly kind: "reset" }
  /** No answer until the fault is cleared or the client leaves; then the normal answer. */
  | { readonly kind: "hold" }
  /** The normal answer, this much later. */
  | { readonly kind: "delay"; readonly ms: number }
  /** EHLO does not offer this keyword. */
  | { readonly kind: "omit"; readonly keyword: string }
  /** An error of the token endpoint by its AADSTS number. */
  | { readonly kind: "aadsts"; readonly code: number }
  /** A bare HTTP status: from in front of the token endpoint with a page in HTML, from Graph without a body. */
  | { readonly kind: "http"; readonly status: number }
  /** An error of Graph; `retryAfter` is the header with its name as sent. */
  | {
      readonly kind: "graph";
      readonly status: number;
      readonly code: string;
      readonly text: string;
      readonly retryAfter?: { readonly name: string; readonly value: string };
    };

/** One line of the table. */
export interface FaultDefinition {
  readonly name: string;
  readonly stage: FaultStage;
  /** Where it can be met; it can be switched on for one of them alone. */
  readonly hosts: readonly FaultHost[];
  /** Row of the error catalogue; absent for faults of the network. */
  readonly row?: number;
  /** Local part that triggers it, in any domain: `throttle@…`. */
  readonly recipient?: string;
  /** Only met once a recipient was accepted: alone it would have passed. */
  readonly afterFirst?: true;
  /** In plain words. */
  readonly meaning: string;
  readonly action: FaultAction;
}

/** A refusal with the bracket of the front end. */
export const said = (text: string): FaultAction => ({ kind: "reply", text, suffix: "session" });
/** The same, and the connection ends. */
export const saidAndClosed = (text: string): FaultAction => ({ kind: "reply", text, suffix: "session", close: true });
/** A refusal of the mailbox server, which names itself. */
export const storeDriver = (text: string): FaultAction => ({ kind: "reply", text, suffix: "hostname" });
