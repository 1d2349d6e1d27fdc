/**
 * config/grafana/postern.json: the dashboard, built here so that its panels stay alike and its queries can be checked against the exporter.
 *
 * Import it in Grafana (Dashboards > New > Import) and choose the Prometheus data source; it needs no plugin.
 */

/** One query of a panel; `legend` is Grafana's template for the series' name. */
interface Query {
  readonly expr: string;
  readonly legend?: string | undefined;
}

type Unit = "short" | "bytes" | "s" | "cpm" | "none";

/** A colour from a value on, first entry without a value. */
interface Step {
  readonly color: string;
  readonly from?: number | undefined;
}

interface Panel {
  readonly title: string;
  readonly description: string;
  readonly kind: "stat" | "timeseries" | "state-timeline" | "bargauge" | "table";
  readonly width: number;
  readonly height: number;
  readonly unit: Unit;
  readonly queries: readonly Query[];
  readonly stacked?: boolean | undefined;
  readonly steps?: readonly Step[] | undefined;
  /** Words for values. */
  readonly words?: Readonly<Record<number, { readonly text: string; readonly color: string }>> | undefined;
  /** Fixed colours of series, by name. */
  readonly colors?: Readonly<Record<string, string>> | undefined;
  readonly max?: number | undefined;
}

interface Row {
  readonly title: string;
  readonly panels: readonly Panel[];
}

const GREEN: Step = { color: "green" };
/** `instance` is a variable of the dashboard: one relay, several, or all. */
const HERE = 'instance=~"$instance"';
const metric = (name: string, labels = ""): string => `postern_${name}{${labels === "" ? HERE : `${labels},${HERE}`}}`;
const perMinute = (name: string, by: string, labels = ""): string =>
  `sum ${by === "" ? "" : `by (${by}) `}(rate(${metric(name, labels)}[$__rate_interval])) * 60`;
/** A counter that never counted is not there; the panel shows a zero instead of nothing. */
const orZero = (expr: string): string => `(${expr}) or vector(0)`;
const quantile = (q: number, name: string): string =>
  `histogram_quantile(${q}, sum by (le) (rate(${metric(`${name}_bucket`)}[$__rate_interval])))`;
const quantiles = (name: string): Query[] => [
  { expr: quantile(0.5, name), legend: "half are faster" },
  { expr: quantile(0.99, name), legend: "99 % are faster" },
];

const DAY = 86_400;
const EXPIRY: readonly Step[] = [
  { color: "red" },
  { color: "orange", from: 7 * DAY },
  { color: "yellow", from: 30 * DAY },
  { color: "green", from: 60 * DAY },
];
const UP_OR_DOWN = { 0: { text: "closed", color: "red" }, 1: { text: "open", color: "green" } } as const;

const ROWS: readonly Row[] = [
  {
    title: "Now",
    panels: [
      {
        title: "Relay",
        description: "Ready: every listener is bound and the queue commits. Not ready: see the log, or postern status.",
        kind: "stat",
        width: 3,
        height: 4,
        unit: "none",
        queries: [{ expr: `min(${metric("ready")})` }],
        words: { 0: { text: "not ready", color: "red" }, 1: { text: "ready", color: "green" } },
      },
      {
        title: "Doors open",
        description: "Ways out to Microsoft 365 that let mail through now. postern upstreams tells why one does not.",
        kind: "stat",
        width: 3,
        height: 4,
        unit: "none",
        queries: [
          { expr: `sum(${metric("upstream_up")})`, legend: "open" },
          { expr: `count(${metric("upstream_up")}) - sum(${metric("upstream_up")})`, legend: "closed" },
        ],
        colors: { open: "green", closed: "red" },
      },
      {
        title: "Waiting",
        description: "Recipients whose mail is on disk and not yet delivered. postern queue list shows them.",
        kind: "stat",
        width: 3,
        height: 4,
        unit: "short",
        queries: [{ expr: `sum(${metric("queue_recipients")})` }],
        steps: [GREEN, { color: "yellow", from: 100 }, { color: "red", from: 1000 }],
      },
      {
        title: "Held",
        description: "Recipients that wait for a repair or for an operator. Nothing of this is lost, and nothing of it expires.",
        kind: "stat",
        width: 3,
        height: 4,
        unit: "short",
        queries: [{ expr: `sum(${metric("queue_recipients", 'state="held"')})` }],
        steps: [GREEN, { color: "orange", from: 1 }],
      },
      {
        title: "Oldest waits since",
        description: "Age of the oldest recipient in the queue.",
        kind: "stat",
        width: 3,
        height: 4,
        unit: "s",
        queries: [{ expr: `max(${metric("queue_oldest_seconds")})` }],
        steps: [GREEN, { color: "yellow", from: 900 }, { color: "red", from: 3600 }],
      },
      {
        title: "Delivered in 24 h",
        description: "Recipients for whom Microsoft 365 took the mail.",
        kind: "stat",
        width: 3,
        height: 4,
        unit: "short",
        queries: [{ expr: orZero(`sum(increase(${metric("recipients_total", 'state="delivered"')}[24h]))`) }],
        steps: [{ color: "blue" }],
      },
      {
        title: "Bounced or expired in 24 h",
        description: "Recipients given up; sender or postmaster got a report with the reason and the remedy.",
        kind: "stat",
        width: 3,
        height: 4,
        unit: "short",
        queries: [{ expr: orZero(`sum(increase(${metric("recipients_total", 'state=~"bounced|expired"')}[24h]))`) }],
        steps: [GREEN, { color: "orange", from: 1 }],
      },
      {
        title: "Next to expire",
        description: "The credential or certificate that ends first.",
        kind: "stat",
        width: 3,
        height: 4,
        unit: "s",
        queries: [{ expr: `min(${metric("credential_expiry_seconds")} or ${metric("certificate_expiry_seconds")})` }],
        steps: EXPIRY,
      },
    ],
  },
  {
    title: "Flow",
    panels: [
      {
        title: "In and out",
        description: "Recipients accepted from devices, and what became of them.",
        kind: "timeseries",
        width: 12,
        height: 8,
        unit: "cpm",
        queries: [
          { expr: orZero(perMinute("recipients_accepted_total", "")), legend: "accepted" },
          { expr: orZero(perMinute("recipients_generated_total", "")), legend: "own reports" },
          { expr: perMinute("recipients_total", "state"), legend: "{{state}}" },
        ],
        colors: { accepted: "blue", delivered: "green", bounced: "red", expired: "dark-red", deleted: "gray", "own reports": "purple" },
      },
      {
        title: "Mail by client",
        description: "Messages accepted, by the client their device belongs to.",
        kind: "timeseries",
        width: 6,
        height: 8,
        unit: "cpm",
        stacked: true,
        queries: [{ expr: perMinute("messages_received_total", "client"), legend: "{{client}}" }],
      },
      {
        title: "Refused at the listener",
        description: "Connections, commands and messages refused, by reason. The log line session.rejected names device and remedy.",
        kind: "timeseries",
        width: 6,
        height: 8,
        unit: "cpm",
        stacked: true,
        queries: [
          { expr: perMinute("smtp_rejects_total", "reason"), legend: "{{reason}}" },
          { expr: orZero(perMinute("smtp_rejects_total", "")), legend: "all" },
        ],
        colors: { all: "gray" },
      },
    ],
  },
  {
    title: "Queue",
    panels: [
      {
        title: "Waiting recipients",
        description: "By state. Deferred is tried again by itself; held waits for a repair.",
        kind: "timeseries",
        width: 12,
        height: 7,
        unit: "short",
        stacked: true,
        queries: [{ expr: `sum by (state) (${metric("queue_recipients")})`, legend: "{{state}}" }],
        colors: { queued: "blue", delivering: "green", deferred: "yellow", held: "orange" },
      },
      {
        title: "Age of the oldest",
        description: "A line that climbs for long is mail that does not leave.",
        kind: "timeseries",
        width: 6,
        height: 7,
        unit: "s",
        queries: [{ expr: `max(${metric("queue_oldest_seconds")})`, legend: "oldest" }],
      },
      {
        title: "Stored content",
        description: "Octets of mail that waits.",
        kind: "timeseries",
        width: 6,
        height: 7,
        unit: "bytes",
        queries: [{ expr: `sum(${metric("queue_bytes")})`, legend: "content" }],
      },
    ],
  },
  {
    title: "Doors to Microsoft 365",
    panels: [
      {
        title: "Doors",
        description: "Open or closed over time: held, unreachable or throttled counts as closed.",
        kind: "state-timeline",
        width: 12,
        height: 7,
        unit: "none",
        queries: [{ expr: `min by (upstream) (${metric("upstream_up")})`, legend: "{{upstream}}" }],
        words: UP_OR_DOWN,
      },
      {
        title: "Attempts",
        description: "Deliveries tried, by door and outcome. Ambiguous: the answer was lost after the content was sent.",
        kind: "timeseries",
        width: 12,
        height: 7,
        unit: "cpm",
        queries: [{ expr: perMinute("delivery_attempts_total", "upstream, outcome"), legend: "{{upstream}}: {{outcome}}" }],
      },
      {
        title: "What is left of Microsoft's limits",
        description: "Messages a minute and recipients a day that may still go out, by budget. Empty budgets make mail wait, never fail.",
        kind: "bargauge",
        width: 12,
        height: 7,
        unit: "short",
        queries: [{ expr: `min by (budget, limit) (${metric("budget_remaining")})`, legend: "{{budget}}: {{limit}}" }],
        steps: [{ color: "red" }, { color: "yellow", from: 5 }, { color: "green", from: 15 }],
      },
      {
        title: "Answers by code",
        description: "Replies of the doors other than 2xx and 3xx, with their enhanced code; docs/errors.md explains them.",
        kind: "timeseries",
        width: 12,
        height: 7,
        unit: "cpm",
        stacked: true,
        queries: [
          {
            expr: perMinute("upstream_replies_total", "upstream, code, enhanced", 'code=~"[45].."'),
            legend: "{{upstream}}: {{code}} {{enhanced}}",
          },
          { expr: orZero(perMinute("upstream_replies_total", "", 'code=~"[45].."')), legend: "all" },
        ],
        colors: { all: "gray" },
      },
      {
        title: "Connections and sign-ins that failed",
        description: "By door. Every failure has a log line with the cause and the remedy.",
        kind: "timeseries",
        width: 12,
        height: 7,
        unit: "cpm",
        queries: [
          { expr: orZero(perMinute("upstream_connects_total", "", 'result="failed"')), legend: "connections" },
          { expr: orZero(perMinute("upstream_auth_total", "", 'result="failed"')), legend: "sign-ins" },
        ],
        colors: { connections: "orange", "sign-ins": "red" },
      },
      {
        title: "From our 250 to Microsoft's",
        description: "How long accepted mail takes until Microsoft 365 has it.",
        kind: "timeseries",
        width: 12,
        height: 7,
        unit: "s",
        queries: quantiles("delivery_latency_seconds"),
      },
    ],
  },
  {
    title: "Devices",
    panels: [
      {
        title: "TLS versions",
        description: "SMTP sessions by TLS version: old ones are to be retired, none is a plain connection.",
        kind: "timeseries",
        width: 6,
        height: 7,
        unit: "cpm",
        stacked: true,
        queries: [{ expr: perMinute("smtp_sessions_total", "tls"), legend: "{{tls}}" }],
        colors: { none: "gray", TLSv1: "red", "TLSv1.1": "orange", "TLSv1.2": "green", "TLSv1.3": "blue" },
      },
      {
        title: "Sessions by listener",
        description: "SMTP sessions that ended.",
        kind: "timeseries",
        width: 6,
        height: 7,
        unit: "cpm",
        stacked: true,
        queries: [{ expr: perMinute("smtp_sessions_total", "listener"), legend: "{{listener}}" }],
      },
      {
        title: "Sign-ins of users",
        description: "At listeners with auth, by result. The log line session.auth.failed names device, user and cause.",
        kind: "timeseries",
        width: 6,
        height: 7,
        unit: "cpm",
        stacked: true,
        queries: [
          { expr: perMinute("smtp_auth_total", "result"), legend: "{{result}}" },
          { expr: orZero(perMinute("smtp_auth_total", "")), legend: "all" },
        ],
        colors: { ok: "green", failed: "red", all: "gray" },
      },
      {
        title: "Devices known",
        description: "Addresses seen, by verdict. postern devices lists them.",
        kind: "stat",
        width: 6,
        height: 7,
        unit: "short",
        queries: [{ expr: `sum by (verdict) (${metric("devices")})`, legend: "{{verdict}}" }],
        colors: { refused: "orange" },
      },
    ],
  },
  {
    title: "This machine",
    panels: [
      {
        title: "Last octet to 250",
        description: "What a device waits for: the message is on disk when it is answered.",
        kind: "timeseries",
        width: 8,
        height: 7,
        unit: "s",
        queries: quantiles("accept_duration_seconds"),
      },
      {
        title: "Commit of the queue",
        description: "One commit, sync to disk included. Slow commits are a slow disk.",
        kind: "timeseries",
        width: 8,
        height: 7,
        unit: "s",
        queries: quantiles("spool_commit_seconds"),
      },
      {
        title: "Free space",
        description: "Where the queue is stored. Below queue.min_free new mail is refused for the moment.",
        kind: "timeseries",
        width: 8,
        height: 7,
        unit: "bytes",
        queries: [{ expr: `min by (instance) (${metric("spool_free_bytes")})`, legend: "{{instance}}" }],
      },
      {
        title: "Notices about alerts",
        description:
          "By way and result. Failed ones are tried again; dropped ones reached nobody: alert.notify.failed in the log says why.",
        kind: "timeseries",
        width: 8,
        height: 6,
        unit: "short",
        stacked: true,
        queries: [
          {
            expr: `sum by (way, result) (increase(${metric("alert_notices_total")}[$__rate_interval]))`,
            legend: "{{way}}: {{result}}",
          },
          { expr: orZero(`sum(increase(${metric("alert_notices_total", 'result!="taken"')}[$__rate_interval]))`), legend: "not taken" },
        ],
        colors: { "not taken": "red" },
      },
      {
        title: "What expires when",
        description: "Secrets, sign-ins and certificates. Renewed files are picked up without a restart.",
        kind: "bargauge",
        width: 16,
        height: 6,
        unit: "s",
        queries: [
          { expr: `min by (upstream) (${metric("credential_expiry_seconds")})`, legend: "credential of {{upstream}}" },
          { expr: `min by (name) (${metric("certificate_expiry_seconds")})`, legend: "certificate of {{name}}" },
        ],
        steps: EXPIRY,
        max: 365 * DAY,
      },
      {
        title: "Refused by the API",
        description:
          "Requests without a token, with a wrong one, or with one whose role does not reach. The log line api.refused names address and token.",
        kind: "timeseries",
        width: 8,
        height: 6,
        unit: "cpm",
        stacked: true,
        queries: [
          { expr: perMinute("api_refusals_total", "reason"), legend: "{{reason}}" },
          { expr: orZero(perMinute("api_refusals_total", "")), legend: "all" },
        ],
        colors: { all: "gray" },
      },
    ],
  },
];

/** Every query of the dashboard as it is sent to Prometheus, `$__rate_interval` and the variable filled in. */
export function dashboardQueries(rateInterval: string): { readonly panel: string; readonly expr: string }[] {
  return ROWS.flatMap(({ panels }) => panels).flatMap(({ title, queries }) =>
    queries.map(({ expr }) => ({ panel: title, expr: expr.replaceAll("$__rate_interval", rateInterval).replaceAll("$instance", ".*") })),
  );
}

const SOURCE = { type: "prometheus", uid: "${datasource}" };

function fieldConfig(panel: Panel): unknown {
  const steps = panel.steps ?? [GREEN];
  const words = Object.entries(panel.words ?? {}).map(([value, word], index) => [value, { ...word, index }] as const);
  const lines = panel.kind === "timeseries";
  return {
    defaults: {
      unit: panel.unit,
      min: panel.kind === "stat" ? undefined : 0,
      max: panel.max,
      noValue: "none",
      color: { mode: lines ? "palette-classic" : "thresholds" },
      thresholds: { mode: "absolute", steps: steps.map(({ color, from }) => ({ color, value: from ?? null })) },
      mappings: words.length === 0 ? [] : [{ type: "value", options: Object.fromEntries(words) }],
      custom: lines
        ? {
            drawStyle: "line",
            lineWidth: 2,
            fillOpacity: panel.stacked === true ? 35 : 8,
            showPoints: "never",
            spanNulls: true,
            stacking: { mode: panel.stacked === true ? "normal" : "none", group: "A" },
          }
        : panel.kind === "state-timeline"
          ? { lineWidth: 0, fillOpacity: 80 }
          : {},
    },
    overrides: Object.entries(panel.colors ?? {}).map(([name, color]) => ({
      matcher: { id: "byName", options: name },
      properties: [{ id: "color", value: { mode: "fixed", fixedColor: color } }],
    })),
  };
}

function options(panel: Panel): unknown {
  const reduceOptions = { calcs: ["lastNotNull"], fields: "", values: false };
  switch (panel.kind) {
    case "stat":
      return { colorMode: "background", graphMode: "area", textMode: panel.queries.length > 1 ? "value_and_name" : "auto", reduceOptions };
    case "bargauge":
      return { displayMode: "lcd", orientation: "horizontal", showUnfilled: true, reduceOptions };
    case "state-timeline":
      return { mergeValues: true, showValue: "auto", alignValue: "left", rowHeight: 0.8, legend: { showLegend: false } };
    case "timeseries":
      return { legend: { displayMode: "list", placement: "bottom", showLegend: true }, tooltip: { mode: "multi", sort: "desc" } };
    case "table":
      return { showHeader: true };
    default:
      return panel.kind satisfies never;
  }
}

/** Lays the panels of a row out from left to right, in lines of 24. */
function* laidOut(): Generator {
  let id = 0;
  let y = 0;
  for (const { title, panels } of ROWS) {
    yield { id: ++id, type: "row", title, collapsed: false, gridPos: { x: 0, y, w: 24, h: 1 }, panels: [] };
    y += 1;
    let x = 0;
    let tallest = 0;
    for (const panel of panels) {
      if (x + panel.width > 24) {
        x = 0;
        y += tallest;
        tallest = 0;
      }
      yield {
        id: ++id,
        type: panel.kind,
        title: panel.title,
        description: panel.description,
        datasource: SOURCE,
        gridPos: { x, y, w: panel.width, h: panel.height },
        targets: panel.queries.map(({ expr, legend }, index) => ({
          refId: String.fromCodePoint(65 + index),
          datasource: SOURCE,
          expr,
          legendFormat: legend ?? "__auto",
          range: true,
        })),
        fieldConfig: fieldConfig(panel),
        options: options(panel),
      };
      x += panel.width;
      tallest = Math.max(tallest, panel.height);
    }
    y += tallest;
  }
}

/** The dashboard as JSON, ending in a line feed. */
export function renderDashboard(): string {
  const dashboard = {
    uid: "postern",
    title: "Postern",
    description: "Mail of printers, scanners and applications on its way into Microsoft 365.",
    tags: ["postern", "smtp", "mail"],
    schemaVersion: 39,
    version: 1,
    editable: true,
    graphTooltip: 1,
    refresh: "30s",
    time: { from: "now-6h", to: "now" },
    timezone: "browser",
    templating: {
      list: [
        { name: "datasource", label: "Prometheus", type: "datasource", query: "prometheus", hide: 0 },
        {
          name: "instance",
          label: "Relay",
          type: "query",
          datasource: SOURCE,
          query: { query: "label_values(postern_ready, instance)", refId: "instance" },
          refresh: 2,
          includeAll: true,
          allValue: ".*",
          multi: true,
          current: { text: "All", value: "$__all" },
        },
      ],
    },
    annotations: { list: [] },
    panels: [...laidOut()],
  };
  return `${JSON.stringify(dashboard, undefined, 2)}\n`;
}
