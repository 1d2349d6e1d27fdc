/** Builds the receiving stage's options from the configuration. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Config, ListenerConfig, QuirksConfig } from "../config/config.ts";
import type { Router } from "../deliver/routes.ts";
import { describeError, PosternError } from "../mail/errors.ts";
import type { Envelope } from "../mail/message.ts";
import type { Clock } from "../platform/clock.ts";
import { ensureSelfMadeCertificate, listenerAddresses } from "../receive/certificate.ts";
import type { QuirkOverrides } from "../receive/quirks.ts";
import type { CertificatePair, ClientOptions, ListenerOptions, SizeLimit } from "../receive/receiver.ts";
import { certificateExpiresAt, certificateFault } from "../receive/tls.ts";
import type { Upstream } from "../upstream/upstream.ts";

/** What the listeners present, for the metrics and the alerts. */
export interface ListenerCertificate {
  /** The listener's name. */
  readonly name: string;
  /** ms since the epoch */
  readonly expiresAt: number;
}

/**
 * Listeners with their certificates read, or made where none is given.
 *
 * @throws PosternError E_CONFIG for a certificate that is missing or does not fit its key: never silently plain
 */
export async function buildListeners(
  config: Config,
  clock: Clock,
): Promise<{ listeners: ListenerOptions[]; certificates: ListenerCertificate[] }> {
  const listeners: ListenerOptions[] = [];
  const certificates: ListenerCertificate[] = [];
  let selfMade: CertificatePair | undefined;
  for (const [name, listener] of Object.entries(config.listeners)) {
    const endpoints = listener.listen.map(({ host, port }) => ({ host, port }));
    const { mode, min_version: minVersion } = listener.tls;
    const auth = { auth: listener.auth, authWithoutTls: listener.auth_without_tls };
    if (mode === "none") {
      listeners.push({ name, endpoints, tls: { mode }, ...auth, quirks: quirkOverrides(listener.quirks) });
      continue;
    }
    const given = await readCertificate(name, listener);
    const certificate =
      given ??
      (selfMade ??= await ensureSelfMadeCertificate(
        join(config.data_dir, "receive"),
        config.hostname,
        listenerAddresses(allHosts(config)),
        clock,
      ));
    certificates.push({ name, expiresAt: certificateExpiresAt(certificate.certPem) });
    listeners.push({ name, endpoints, tls: { mode, minVersion, certificate }, ...auth, quirks: quirkOverrides(listener.quirks) });
  }
  return { listeners, certificates };
}

async function readCertificate(name: string, listener: ListenerConfig): Promise<CertificatePair | undefined> {
  const { certificate, key } = listener.tls;
  if (certificate === undefined || key === undefined) return undefined;
  try {
    const pair = { certPem: await readFile(certificate, "latin1"), keyPem: await readFile(key, "latin1") };
    const fault = certificateFault(pair.certPem, pair.keyPem);
    if (fault !== undefined) throw new Error(fault);
    return pair;
  } catch (error) {
    throw new PosternError("E_CONFIG", `listener ${name}: ${describeError(error)}`, { cause: error });
  }
}

function allHosts(config: Config): (string | undefined)[] {
  return Object.values(config.listeners).flatMap((listener) => listener.listen.map(({ host }) => host));
}

/** The clients' policies as the receiving stage takes them. */
export function buildClients(config: Config): ClientOptions[] {
  return Object.entries(config.clients).map(([name, client]) => ({
    name,
    networks: client.networks,
    users: client.users,
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
