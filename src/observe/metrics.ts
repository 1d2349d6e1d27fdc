/** Every metric of Postern, defined once. Names and labels are stable once shipped; no label carries an address. */
import Registry from "prom-client/lib/registry.js";
import Counter from "prom-client/lib/counter.js";
import Gauge from "prom-client/lib/gauge.js";
import Histogram from "prom-client/lib/histogram.js";
import type { WaitingState } from "../mail/message.ts";
import { WAITING_STATES } from "../mail/message.ts";

interface MetricDefinition {
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly labels: readonly string[];
  readonly buckets?: readonly number[];
}

const FAST = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const SLOW = [0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 14_400, 86_400];

/** Names without the prefix `postern_`. docs/metrics.md is written from this table. */
export const METRICS = {
  messages_received_total: { type: "counter", help: "Messages answered with 250.", labels: ["listener", "client"] },
  recipients_accepted_total: { type: "counter", help: "Recipients of messages answered with 250.", labels: ["listener", "client"] },
  recipients_generated_total: { type: "counter", help: "Recipients of reports and alerts that Postern wrote itself.", labels: [] },
  recipients_total: {
    type: "counter",
    help: "Recipients that left the queue, by final state; upstream is empty where none was involved.",
    labels: ["state", "upstream"],
  },
  queue_recipients: { type: "gauge", help: "Recipients that wait in the queue, by state.", labels: ["state"] },
  queue_bytes: { type: "gauge", help: "Octets of stored content.", labels: [] },
  queue_oldest_seconds: { type: "gauge", help: "Age of the oldest waiting recipient; 0 when none waits.", labels: [] },
  delivery_attempts_total: {
    type: "counter",
    help: "Attempts at delivering a message; ambiguous when the answer was lost after the content was sent.",
    labels: ["upstream", "outcome"],
  },
  upstream_connects_total: { type: "counter", help: "Connections to an upstream, by result (ok, failed).", labels: ["upstream", "result"] },
  upstream_auth_total: { type: "counter", help: "Authentications at an upstream, by result (ok, failed).", labels: ["upstream", "result"] },
  upstream_replies_total: {
    type: "counter",
    help: "Replies of an upstream; enhanced is empty where it sent none.",
    labels: ["upstream", "code", "enhanced"],
  },
  upstream_up: {
    type: "gauge",
    help: "1 while mail goes out by this upstream, 0 while it is held, unreachable or throttled.",
    labels: ["upstream"],
  },
  budget_remaining: {
    type: "gauge",
    help: "What is left of a limit that is kept; budget names the upstreams that share it, joined by +, limit is messages_per_minute, messages_per_hour, recipients_per_day, external_recipients_per_day, requests_per_10_minutes or bytes_per_5_minutes.",
    labels: ["budget", "limit"],
  },
  accept_duration_seconds: { type: "histogram", help: "Last octet of a message to our 250.", labels: [], buckets: FAST },
  delivery_latency_seconds: { type: "histogram", help: "Our 250 to the 250 of the upstream.", labels: [], buckets: SLOW },
  spool_commit_seconds: { type: "histogram", help: "One commit of the queue, sync included.", labels: [], buckets: FAST },
  spool_free_bytes: { type: "gauge", help: "Free space where the queue is stored.", labels: [] },
  smtp_sessions_total: {
    type: "counter",
    help: "SMTP sessions that ended, by TLS version; tls is none on a plain connection.",
    labels: ["listener", "tls"],
  },
  smtp_auth_total: { type: "counter", help: "Sign-ins of users at a listener, by result (ok, failed).", labels: ["listener", "result"] },
  smtp_rejects_total: { type: "counter", help: "Connections, commands and messages refused, by reason.", labels: ["listener", "reason"] },
  api_refusals_total: {
    type: "counter",
    help: "Requests to the API that were refused for their token or its role, by reason.",
    labels: ["reason"],
  },
  devices: {
    type: "gauge",
    help: "Addresses seen: allowed by the configuration or an operator, let in while a client learns, refused.",
    labels: ["verdict"],
  },
  credential_expiry_seconds: {
    type: "gauge",
    help: "Time until the credential of an upstream ends; negative once it has.",
    labels: ["upstream"],
  },
  certificate_expiry_seconds: { type: "gauge", help: "Time until a certificate ends; negative once it has.", labels: ["name"] },
  alert_notices_total: {
    type: "counter",
    help: "Notices about alerts, by way (webhook, syslog, mail) and result: taken, failed (tried again), dropped.",
    labels: ["way", "result"],
  },
  ready: { type: "gauge", help: "1 once every listener is bound and the queue commits, else 0; as /readyz.", labels: [] },
} as const satisfies Record<string, MetricDefinition>;

export type MetricName = keyof typeof METRICS;
type NamesOf<T extends MetricDefinition["type"]> = { [N in MetricName]: (typeof METRICS)[N]["type"] extends T ? N : never }[MetricName];
type Strings<T extends readonly string[]> = { -readonly [K in keyof T]: string };
type Labels<N extends MetricName> = Strings<(typeof METRICS)[N]["labels"]>;

/** What gauges show, read at the moment of a scrape. Times in ms since the epoch. */
export interface GaugeSnapshot {
  readonly waiting: Readonly<Record<WaitingState, number>>;
  readonly contentBytes: number;
  readonly oldestAcceptedAt: number | undefined;
  readonly freeBytes: number;
  readonly ready: boolean;
  readonly upstreams: readonly { readonly name: string; readonly up: boolean; readonly credentialExpiresAt: number | undefined }[];
  readonly certificates: readonly { readonly name: string; readonly expiresAt: number }[];
  readonly budgets: readonly { readonly budget: string; readonly limit: string; readonly remaining: number }[];
  /** Devices by verdict. */
  readonly devices: Readonly<Record<string, number>>;
}

/** Most label sets of one counter. Codes come from the network: a hostile server must not fill the memory with them. */
const MOST_CHILDREN = 2000;

/** A sum that the registry does not know of yet. */
interface Pending {
  readonly child: Counter.Internal;
  sum: number;
}

/** A counter whose labelled children are kept: counting is a look-up and an addition, the registry learns of it at the next scrape. */
class LabelledCounter {
  readonly #counter: Counter;
  readonly #children = new Map<string, Pending>();

  constructor(counter: Counter) {
    this.#counter = counter;
  }

  add(value: number, labels: readonly string[]): void {
    const key = labels.length === 1 ? (labels[0] ?? "") : labels.join("\n");
    const pending = this.#children.get(key);
    if (pending !== undefined) pending.sum += value;
    else if (this.#children.size < MOST_CHILDREN) this.#children.set(key, { child: this.#counter.labels(...labels), sum: value });
    // The first label is a name from the configuration, of which there are few; the others become `other`.
    else this.#counter.labels(...labels.map((label, i) => (i === 0 ? label : "other"))).inc(value);
  }

  /** Hands the sums to the registry. */
  settle(): void {
    for (const pending of this.#children.values()) {
      if (pending.sum === 0) continue;
      pending.child.inc(pending.sum);
      pending.sum = 0;
    }
  }
}

/** The registry with all metrics. Counters and histograms are fed by events, gauges at each scrape. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #counters = {} as Record<NamesOf<"counter">, LabelledCounter>;
  readonly #histograms = {} as Record<NamesOf<"histogram">, Histogram>;
  readonly #gauges = {} as Record<NamesOf<"gauge">, Gauge>;

  constructor() {
    for (const [name, metric] of Object.entries<MetricDefinition>(METRICS)) {
      const options = { name: `postern_${name}`, help: metric.help, labelNames: [...metric.labels], registers: [this.#registry] };
      if (metric.type === "counter") this.#counters[name as NamesOf<"counter">] = new LabelledCounter(new Counter(options));
      else if (metric.type === "gauge") this.#gauges[name as NamesOf<"gauge">] = new Gauge(options);
      else this.#histograms[name as NamesOf<"histogram">] = new Histogram({ ...options, buckets: [...(metric.buckets ?? FAST)] });
    }
  }

  /** Adds to a counter. Label values in the order of the definition. */
  count<N extends NamesOf<"counter">>(name: N, value: number, ...labels: Labels<N>): void {
    this.#counters[name].add(value, labels);
  }

  /** Puts a duration in seconds into a histogram. */
  observe(name: NamesOf<"histogram">, seconds: number): void {
    this.#histograms[name].observe(seconds);
  }

  /** Sets all gauges; undefined (nothing to read from, or reading failed) leaves only `ready 0`. */
  setGauges(snapshot: GaugeSnapshot | undefined, now: number): void {
    const gauges = this.#gauges;
    for (const gauge of Object.values(gauges)) gauge.reset();
    // An unlabelled gauge that was reset says 0, which would be a lie about a queue that cannot be read.
    for (const name of ["queue_bytes", "queue_oldest_seconds", "spool_free_bytes"] as const) gauges[name].remove();
    gauges.ready.set(snapshot?.ready === true ? 1 : 0);
    if (snapshot === undefined) return;
    for (const state of WAITING_STATES) gauges.queue_recipients.labels(state).set(snapshot.waiting[state]);
    gauges.queue_bytes.set(snapshot.contentBytes);
    gauges.queue_oldest_seconds.set(snapshot.oldestAcceptedAt === undefined ? 0 : Math.max(0, now - snapshot.oldestAcceptedAt) / 1000);
    gauges.spool_free_bytes.set(snapshot.freeBytes);
    for (const upstream of snapshot.upstreams) {
      gauges.upstream_up.labels(upstream.name).set(upstream.up ? 1 : 0);
      if (upstream.credentialExpiresAt !== undefined) {
        gauges.credential_expiry_seconds.labels(upstream.name).set(Math.round((upstream.credentialExpiresAt - now) / 1000));
      }
    }
    for (const { budget, limit, remaining } of snapshot.budgets) gauges.budget_remaining.labels(budget, limit).set(remaining);
    for (const [verdict, count] of Object.entries(snapshot.devices)) gauges.devices.labels(verdict).set(count);
    for (const certificate of snapshot.certificates) {
      gauges.certificate_expiry_seconds.labels(certificate.name).set(Math.round((certificate.expiresAt - now) / 1000));
    }
  }

  /** The exposition in Prometheus' text format 0.0.4. */
  text(): Promise<string> {
    for (const counter of Object.values(this.#counters)) counter.settle();
    return this.#registry.metrics();
  }
}
