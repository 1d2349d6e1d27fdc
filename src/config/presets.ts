/** What a door is like when its file says nothing else, by the service behind it. */
import type { Preset, UpstreamLimitsConfig } from "./config.ts";

const KIB = 2 ** 10;
const MIB = 2 ** 20;
/** Microsoft's "10 MB", a little under both ways to count them. */
const TEN_MB = 9500 * KIB;

/** Where a service takes mail, and how much. */
export interface ServicePreset {
  /** undefined: the cloud's submission host. */
  readonly host: string | undefined;
  /** `internal`: the service takes no other recipients. */
  readonly serves: "any" | "internal";
  readonly limits: UpstreamLimitsConfig;
}

/** A mailbox of Exchange Online: 30 messages a minute, 3 connections, 10,000 recipients a day, each with a little left for others. */
export const MAILBOX: ServicePreset = {
  host: undefined,
  serves: "any",
  limits: {
    messages_per_minute: 30,
    messages_per_hour: undefined,
    connections: 2,
    recipients_per_day: 9500,
    external_recipients_per_day: undefined,
    recipients_per_message: 450,
    max_message_size: 33 * MIB,
  },
};

export const PRESETS: Readonly<Record<Preset, ServicePreset>> = {
  /** High Volume Email: no rate limit, 50 recipients a message, inside the tenant only. Its advice is to keep one session and send one by one. */
  hve: {
    host: "smtp.hve.mx.microsoft",
    serves: "internal",
    limits: {
      messages_per_minute: undefined,
      messages_per_hour: undefined,
      connections: 2,
      recipients_per_day: undefined,
      external_recipients_per_day: undefined,
      recipients_per_message: 50,
      max_message_size: TEN_MB,
    },
  },
  /** Azure Communication Services with a domain of one's own, before Microsoft raises the limits on request. */
  acs: {
    host: "smtp.azurecomm.net",
    serves: "any",
    limits: {
      messages_per_minute: 30,
      messages_per_hour: 100,
      connections: 2,
      recipients_per_day: undefined,
      external_recipients_per_day: undefined,
      recipients_per_message: 50,
      max_message_size: TEN_MB,
    },
  },
};

/** MIME by Graph; up to here a request stays under its limit when base64 has made it a third larger. */
export const GRAPH_MIME_LIMIT = 2000 * KIB;

/** A mailbox behind Graph: what goes as a draft with uploaded attachments may be larger than what goes as MIME. */
export function graphLimits(large: "next" | "draft"): UpstreamLimitsConfig {
  return {
    ...MAILBOX.limits,
    messages_per_minute: undefined,
    connections: 4,
    max_message_size: large === "draft" ? 33 * MIB : GRAPH_MIME_LIMIT,
  };
}
