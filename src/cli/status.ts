/** `postern status`: how the running daemon is doing. */
import { controlSocketPath } from "../admin/control-socket.ts";
import type { StatusView, UpstreamView } from "../admin/views.ts";
import { PosternError } from "../mail/errors.ts";
import { lastDayOf } from "../platform/zone.ts";
import { isUnavailable, openControlClient } from "./control-client.ts";
import { DOOR_COLOURS, LIMIT_WORDS, renderWhy, stateOf } from "./door-view.ts";
import type { GlobalOptions } from "./options.ts";
import { findPlaces } from "./settings.ts";
import { formatDuration, formatSize, formatTime, harmless, paint, print, printJson, renderPairs, renderTable } from "./table.ts";
import { verdictOf } from "./verdict.ts";
import { terminalScreen, watchUntilInterrupted } from "./watch.ts";

/** 0 when it is ready, 75 when it is running but not ready, 69 when it is not running. */
export async function statusCommand(options: GlobalOptions, given: { readonly watch?: boolean | undefined } = {}): Promise<number> {
  const screen = given.watch === true ? terminalScreen(options.json) : undefined;
  const places = await findPlaces(options.config);
  if (screen !== undefined) {
    const look = async (): Promise<string[]> =>
      renderStatus(await askStatus(controlSocketPath(places.data_dir)), places.organization.time_zone, Date.now());
    await watchUntilInterrupted(look, screen);
    return 0;
  }
  const status = await askStatus(controlSocketPath(places.data_dir));
  if (options.json) printJson(status);
  else print(...renderStatus(status, places.organization.time_zone, Date.now()));
  return status.ready.ok ? 0 : 75;
}

/** @throws PosternError E_UNAVAILABLE when the daemon is not running, with what helps */
export async function askStatus(socketPath: string): Promise<StatusView> {
  try {
    return (await openControlClient(socketPath).get("/api/v1/status")) as StatusView;
  } catch (error) {
    if (!isUnavailable(error)) throw error;
    throw new PosternError("E_UNAVAILABLE", `${error.message}; postern queue list works without it`, { cause: error });
  }
}

function renderStatus(status: StatusView, timeZone: string, now: number): string[] {
  const { queue, ready, version } = status;
  const { waiting, final } = queue;
  const waitingInAll = waiting.queued + waiting.delivering + waiting.deferred + waiting.held;
  const oldest = queue.oldestAcceptedAt === undefined ? "" : `, oldest ${formatDuration(now - queue.oldestAcceptedAt)}`;
  const verdict = verdictOf(status);
  return [
    paint(verdict.level === "well" ? "green" : verdict.level === "warned" ? "yellow" : "red", verdict.text),
    "",
    ...renderPairs([
      [
        "postern",
        `${version.postern}, process ${status.pid}, up ${formatDuration(now - status.startedAt)} since ${formatTime(status.startedAt, timeZone)}`,
      ],
      ["ready", ready.ok ? paint("green", "yes") : paint("red", `no: ${harmless(ready.reasons.join("; "))}`)],
      ["memory", formatSize(status.residentBytes)],
      [
        "waiting",
        `${waitingInAll} (${waiting.queued} queued, ${waiting.delivering} delivering, ${waiting.deferred} deferred, ${waiting.held} held)${oldest}`,
      ],
      ["accepted", `${queue.accepted}, and ${queue.generated} of our own reports`],
      ["ended", `${final.delivered} delivered, ${final.bounced} bounced, ${final.expired} expired, ${final.deleted} deleted`],
      ["spool", `${formatSize(queue.contentBytes)} stored, ${formatSize(queue.freeBytes)} free`],
    ]),
    ...renderAlerts(status.alerts, now),
    "",
    ...renderTable(
      [{ title: "LISTENER" }, { title: "ADDRESS" }, { title: "TLS" }],
      status.listeners.map((listener) => [listener.name, formatEndpoint(listener.address, listener.port), listener.tls]),
    ),
    "",
    ...renderTable(
      [{ title: "UPSTREAM" }, { title: "TYPE" }, { title: "HOST" }, { title: "WAITING", align: "right" }, { title: "STATE" }],
      status.upstreams.map((upstream) => [
        upstream.name,
        upstream.type,
        formatEndpoint(upstream.host, upstream.port),
        String(upstream.waiting),
        renderDoor(upstream),
      ]),
    ),
    ...status.upstreams.flatMap((upstream) => renderShut(upstream, status.alerts, timeZone, now)),
    ...renderBudgets(status.upstreams),
  ];
}

const MOST_ALERTS = 20;

/** What needs a person, the worst first, each with what to do. */
function renderAlerts(alerts: StatusView["alerts"], now: number): string[] {
  if (alerts.length === 0) return [];
  const order = ["critical", "warning", "info"];
  const sorted = alerts.toSorted((a, b) => order.indexOf(a.severity) - order.indexOf(b.severity));
  const more = alerts.length > MOST_ALERTS ? [`  and ${alerts.length - MOST_ALERTS} more: --json shows all`] : [];
  const lines: string[] = [];
  for (const { severity, alert, text, remedy, since } of sorted.slice(0, MOST_ALERTS)) {
    const colored = paint(severity === "critical" ? "red" : "yellow", severity);
    lines.push(`  ${colored} ${alert}, for ${formatDuration(now - since)}: ${harmless(text, 300)}`);
    if (remedy !== undefined) lines.push(`    remedy: ${harmless(remedy, 1000)}`);
  }
  return ["", paint("bold", "Alerts"), ...lines, ...more];
}

/** What is left of each limit, once where upstreams share it. */
export function renderBudgets(upstreams: readonly UpstreamView[]): string[] {
  const rows = upstreams.flatMap(({ name, budgets }) =>
    budgets
      .filter(({ doors }) => doors[0] === name)
      .map(({ doors, limit, most, remaining }) => {
        const left = `${remaining} of ${most}`;
        return [
          doors.join(", "),
          LIMIT_WORDS[limit] ?? limit,
          remaining < most / 10 && limit.endsWith("_day") ? paint("yellow", left) : left,
        ];
      }),
  );
  if (rows.length === 0) return [];
  return ["", ...renderTable([{ title: "BUDGET OF" }, { title: "LIMIT" }, { title: "LEFT", align: "right" }], rows)];
}

/** The state in a word; what is behind it stands below the table. */
function renderDoor(upstream: UpstreamView): string {
  const state = stateOf(upstream);
  const { credentialExpiresAt } = upstream;
  const ends = credentialExpiresAt === undefined ? "" : `, credential ends ${lastDayOf(credentialExpiresAt)}`;
  return `${paint(DOOR_COLOURS[state], state)}${ends}`;
}

/** Why a door is not up, or its mail waits all the same. What the alert about it says already is not said again. */
function renderShut(upstream: UpstreamView, alerts: StatusView["alerts"], timeZone: string, now: number): string[] {
  const { name, hold, trouble } = upstream;
  const told = (kind: string, said: string | undefined): boolean =>
    alerts.some(({ alert, subject, remedy }) => alert === kind && subject === name && remedy === said);
  const shown = {
    hold: hold && told("upstream.held", hold.remedy) ? { ...hold, remedy: undefined } : hold,
    trouble: trouble && told("upstream.unreachable", trouble.remedy) ? { ...trouble, remedy: undefined } : trouble,
  };
  return renderWhy({ ...upstream, ...shown, lastError: undefined }, timeZone, now);
}

export function formatEndpoint(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
