/** Builds the receiving stage's options from the configuration. */
import type { Config, LimitOverrides, QuirksConfig } from "../config/config.ts";
import type { Router } from "../deliver/routes.ts";
import type { Envelope } from "../mail/message.ts";
import type { QuirkOverrides } from "../receive/quirks.ts";
import type { ClientOptions, ListenerOptions, ReceiverLimits, SizeLimit } from "../receive/receiver.ts";
import type { Upstream } from "../upstream/upstream.ts";
import type { ListenerCertificates } from "./certificates.ts";

/** The listeners as the receiving stage takes them. */
export function buildListeners(config: Config, certificates: ListenerCertificates): ListenerOptions[] {
  return Object.entries(config.listeners).map(([name, listener]) => {
    const { mode, min_version: minVersion } = listener.tls;
    const certificate = certificates.of(name);
    const tls =
      mode === "none" || certificate === undefined ? { mode: "none" as const, minVersion, certificate } : { mode, minVersion, certificate };
    return {
      name,
      endpoints: listener.listen.map(({ host, port }) => ({ host, port })),
      tls,
      proxyProtocol: listener.proxy_protocol,
      limits: receiverLimits(listener.limits),
      auth: listener.auth,
      authWithoutTls: listener.auth_without_tls,
      quirks: quirkOverrides(listener.quirks),
    };
  });
}

/** The clients' policies as the receiving stage takes them. */
export function buildClients(config: Config): ClientOptions[] {
  return Object.entries(config.clients).map(([name, client]) => ({
    name,
    networks: client.networks,
    users: client.users,
    limits: receiverLimits(client.limits),
    rate: client.rate === "none" ? undefined : client.rate,
    recipientRate: client.recipient_rate === "none" ? undefined : client.recipient_rate,
    tls: client.tls === undefined ? undefined : { mode: client.tls.mode, minVersion: client.tls.min_version },
    anyAddress: client.networks.length === 0 && client.hosts.length === 0 && client.learn === undefined,
    listeners: client.listeners,
    senders: client.senders,
    recipients: client.recipients,
    fallbackSender: client.fallback_sender,
    maxMessageSizeBytes: client.max_message_size,
    priority: client.priority,
    quirks: quirkOverrides(client.quirks),
  }));
}

function quirkOverrides(quirks: QuirksConfig | undefined): QuirkOverrides | undefined {
  if (quirks === undefined) return undefined;
  const { suppress_repeats_within: within } = quirks;
  return {
    auth: quirks.auth,
    authEquals: quirks.auth_equals,
    ehloHide: quirks.ehlo_hide,
    lenientEndOfData: quirks.lenient_end_of_data,
    suppressRepeatsWithinMs: within === "none" ? 0 : within,
  };
}

/** Limits as the receiving stage calls them; what is not given stays undefined. */
export function receiverLimits(
  limits: (LimitOverrides & { readonly sessions?: number; readonly command_line?: number; readonly proxy_header?: number }) | undefined,
): Partial<ReceiverLimits> {
  if (limits === undefined) return {};
  const given = {
    sessions: limits.sessions,
    commandLineBytes: limits.command_line,
    proxyHeaderMs: limits.proxy_header,
    sessionsPerDevice: limits.sessions_per_device,
    handshakesPerDevice: limits.handshakes_per_device,
    placeWaitMs: limits.wait,
    tlsHandshakeMs: limits.handshake,
    commandIdleMs: limits.idle,
    dataIdleMs: limits.idle,
    sessionMs: limits.session,
    minBytesPerMinute: limits.min_data_rate === "none" ? 0 : limits.min_data_rate,
    nonMailCommands: limits.commands,
    unknownCommands: limits.unknown_commands,
    errors: limits.errors,
    authFailures: limits.auth_failures,
    recipients: limits.recipients,
    receivedFields: limits.hops,
    headerBytes: limits.header_size,
    rateDelayMs: limits.rate_delay,
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/** The largest message that a door of a recipient's route takes; before there is one, the largest that any door takes. */
export function doorLimits(router: Router, upstreams: ReadonlyMap<string, Upstream>): SizeLimit {
  const limitOf = (door: string): number => upstreams.get(door)?.limits.maxMessageSizeBytes ?? 0;
  const largest = Math.max(...[...upstreams.keys()].map(limitOf));
  const largestOf = (envelope: Envelope, recipient: string): number => {
    const { doors } = router.find(envelope, recipient);
    const serving = doors.filter(({ misfit }) => misfit === undefined || misfit === "size");
    return Math.max(...(serving.length === 0 ? doors : serving).map(({ door }) => limitOf(door)));
  };
  return (client, sender, recipients) => {
    if (recipients.length === 0) return largest;
    // The size is not known yet, and a route may ask for it: a large message may have another route than a small one.
    const small = probeEnvelope(client, sender ?? "", recipients, 0);
    const large = probeEnvelope(client, sender ?? "", recipients, Number.MAX_SAFE_INTEGER);
    return Math.min(...recipients.map((recipient) => Math.max(largestOf(small, recipient), largestOf(large, recipient))));
  };
}

function probeEnvelope(client: string, reversePath: string, recipients: readonly string[], sizeBytes: number): Envelope {
  return {
    reversePath,
    recipients,
    sizeBytes,
    origin: { listener: "", client, device: "" },
    kind: "mail",
    priority: "normal",
    smtpUtf8: false,
    eightBit: false,
    messageId: "",
    repairs: [],
    sessionStartedAt: 0,
  };
}
