/** Keys that several kinds of upstreams have: limits, sender, network. */
import { z } from "./engine.ts";
import { readDnsServer, readProxy } from "../values.ts";
import { about, address, integer, ip, listOf, oneOf, orNone, path, pattern, text } from "./fields.ts";
import { messageSize } from "./receive.ts";

/** Files of further certificate authorities. */
export const authorities = (what: string) =>
  about(listOf(path()).optional(), {
    description: `Files of further certificate authorities (PEM) that ${what} may have its certificate from.`,
    default_text: "network.ca",
    apply: "reload",
  });

export const proxy = () => text(readProxy, "`none`, URL", "none, or a URL without a user such as http://proxy.contoso.com:3128");
const sourceAddress = () => orNone(ip());
const dnsServers = () => listOf(text(readDnsServer, "IP address, with :port where it is not 53", "an IP address, with or without a port"));

/** How the outside is reached; the file's own section, and the default of every upstream. */
export const Network = z.strictObject({
  proxy: about(proxy().prefault("none"), {
    description: "HTTP proxy for tokens and Graph. SMTP never goes through one.",
    samples: ["http://proxy.contoso.com:3128"],
    apply: "reload",
  }),
  ca: about(listOf(path()).prefault([]), {
    description: "Files of further certificate authorities (PEM) to trust towards every upstream.",
    samples: [["certs/corporate-ca.pem"]],
    apply: "reload",
  }),
  source_address: about(sourceAddress().prefault("none"), {
    description: "Local address of connections to the outside.",
    apply: "reload",
  }),
  dns: about(
    z
      .strictObject({
        servers: about(dnsServers().prefault([]), {
          description: "Name servers that are asked for MX records. Without any, the system's.",
          samples: [["10.0.0.53", "10.0.1.53"]],
          apply: "reload",
        }),
      })
      .prefault({}),
    { description: "How MX records are looked up.", apply: "reload" },
  ),
});

/** The same for one upstream. */
export const ownNetwork = () =>
  about(
    z
      .strictObject({
        proxy: about(proxy().optional(), {
          description: "HTTP proxy of this upstream, for tokens and Graph.",
          default_text: "network.proxy",
          apply: "reload",
        }),
        ca: authorities("this upstream"),
        source_address: about(sourceAddress().optional(), {
          description: "Local address of this upstream's connections.",
          default_text: "network.source_address",
          apply: "reload",
        }),
        dns: about(
          z
            .strictObject({
              servers: about(dnsServers().optional(), {
                description: "Name servers of this upstream.",
                default_text: "network.dns.servers",
                apply: "reload",
              }),
            })
            .optional(),
          { description: "How MX records are looked up.", default_text: "network.dns", apply: "reload" },
        ),
      })
      .optional(),
    { description: "How this upstream is reached, where it differs from network.", default_text: "network", apply: "reload" },
  );

const SENDER_MODES = ["auto", "keep", "rewrite", "on-behalf-of"] as const;

/** What becomes of the sender on the way out. */
export const sender = (mode: (typeof SENDER_MODES)[number], otherwise: string) =>
  about(
    z
      .strictObject({
        mode: about(oneOf(SENDER_MODES).prefault(mode), {
          description:
            "auto: the mailbox and what send_as lists stay, every other sender is rewritten; keep: nothing is changed; rewrite: envelope and From: become address; on-behalf-of: From: stays, envelope and Sender: become address.",
          apply: "reload",
        }),
        address: about(address().optional(), {
          description: "What a sender is rewritten to.",
          default_text: otherwise,
          apply: "reload",
        }),
        send_as: about(listOf(pattern()).prefault([]), {
          description: "Senders that the mailbox may use besides itself (Send As), as addresses or patterns.",
          samples: [["erp@contoso.com"]],
          apply: "reload",
        }),
      })
      .prefault({}),
    { description: "What becomes of the sender on the way out.", apply: "reload" },
  );

const MESSAGES_PER_MINUTE = "Messages in any minute.";
const DESCRIPTIONS = {
  messages_per_minute: MESSAGES_PER_MINUTE,
  messages_per_hour: "Messages in any hour.",
  connections: "Connections at the same time.",
  recipients_per_day: "Recipients in any 24 hours, counted with every other upstream of the same mailbox.",
  external_recipients_per_day: "Recipients outside the organization in any 24 hours, counted for the tenant.",
  recipients_per_message: "Recipients in one transaction; more are sent in several.",
  max_message_size: "Largest message that this door takes.",
} as const;

const count = () => orNone(integer(1, 10_000_000));

/** What a door can take when its file says nothing else. `max_message_size` may follow from another key. */
export interface LimitDefaults {
  readonly messages_per_minute: number | "none";
  readonly connections: number;
  readonly recipients_per_day: number | "none";
  readonly recipients_per_message: number;
  readonly max_message_size: string;
}

/** Limits whose defaults are fixed. */
export const limits = (defaults: LimitDefaults, words: Partial<Record<keyof typeof DESCRIPTIONS, string>> = {}) => {
  const say = { ...DESCRIPTIONS, ...words };
  return about(
    z
      .strictObject({
        messages_per_minute: about(count().prefault(defaults.messages_per_minute), {
          description: say.messages_per_minute,
          apply: "reload",
        }),
        messages_per_hour: about(count().prefault("none"), { description: say.messages_per_hour, apply: "reload" }),
        connections: about(integer(1, 100).prefault(defaults.connections), { description: say.connections, apply: "reload" }),
        recipients_per_day: about(count().prefault(defaults.recipients_per_day), { description: say.recipients_per_day, apply: "reload" }),
        external_recipients_per_day: about(count().prefault("none"), {
          description: say.external_recipients_per_day,
          apply: "reload",
        }),
        recipients_per_message: about(integer(1, 1000).prefault(defaults.recipients_per_message), {
          description: say.recipients_per_message,
          apply: "reload",
        }),
        max_message_size: about(messageSize().prefault(defaults.max_message_size), {
          description: say.max_message_size,
          apply: "reload",
        }),
      })
      .prefault({}),
    { description: "What this door can take.", apply: "reload" },
  );
};

/** Limits whose defaults follow from another key; those are in `../presets.ts`. */
export const derivedLimits = (defaults: Readonly<Record<keyof typeof DESCRIPTIONS, string>>) => {
  const field = <T extends z.ZodType>(key: keyof typeof DESCRIPTIONS, value: T) =>
    about(value.optional(), { description: DESCRIPTIONS[key], default_text: defaults[key], apply: "reload" });
  return about(
    z
      .strictObject({
        messages_per_minute: field("messages_per_minute", count()),
        messages_per_hour: field("messages_per_hour", count()),
        connections: field("connections", integer(1, 100)),
        recipients_per_day: field("recipients_per_day", count()),
        external_recipients_per_day: field("external_recipients_per_day", count()),
        recipients_per_message: field("recipients_per_message", integer(1, 1000)),
        max_message_size: field("max_message_size", messageSize()),
      })
      .prefault({}),
    { description: "What this door can take.", apply: "reload" },
  );
};
