/** `postern status`: how the running daemon is doing. */
import { controlSocketPath } from "../admin/control-socket.ts";
import type { StatusView, UpstreamView } from "../admin/views.ts";
import { PosternError } from "../mail/errors.ts";
import { formatReply } from "../mail/reply.ts";
import { isUnavailable, openControlClient } from "./control-client.ts";
import type { GlobalOptions } from "./options.ts";
import { readConfig } from "./settings.ts";
import { formatDuration, formatSize, formatTime, harmless, paint, print, printJson, renderPairs, renderTable } from "./table.ts";

/** 0 when it is ready, 75 when it is running but not ready, 69 when it is not running. */
export async function statusCommand(options: GlobalOptions): Promise<number> {
  const config = await readConfig(options.config);
  const status = await askStatus(controlSocketPath(config.data_dir));
  if (options.json) printJson(status);
  else print(...renderStatus(status, config.organization.time_zone, Date.now()));
  return status.ready.ok ? 0 : 75;
}

async function askStatus(socketPath: string): Promise<StatusView> {
  try {
    return (await openControlClient(socketPath).get("/api/v1/status")) as StatusView;
  } catch (error) {
    if (!isUnavailable(error)) throw error;
    const hint = "start it with systemctl start postern or postern run; postern queue list works without it";
    throw new PosternError("E_UNAVAILABLE", `the daemon is not running (no answer on ${socketPath}): ${hint}`, { cause: error });
  }
}

function renderStatus(status: StatusView, timeZone: string, now: number): string[] {
  const { queue, ready, version } = status;
  const { waiting, final } = queue;
  const waitingInAll = waiting.queued + waiting.delivering + waiting.deferred + waiting.held;
  const oldest = queue.oldestAcceptedAt === undefined ? "" : `, oldest ${formatDuration(now - queue.oldestAcceptedAt)}`;
  return [
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
        renderDoor(upstream, timeZone, now),
      ]),
    ),
    ...status.upstreams.flatMap((upstream) =>
      upstream.hold?.remedy === undefined ? [] : [`${upstream.name}: ${harmless(upstream.hold.remedy, 1000)}`],
    ),
  ];
}

function renderDoor(upstream: UpstreamView, timeZone: string, now: number): string {
  const { hold, trouble, credentialExpiresAt } = upstream;
  if (hold !== undefined) {
    const why = hold.reply === undefined ? hold.cause : formatReply(hold.reply);
    return paint(
      "red",
      `held for ${formatDuration(now - hold.since)}: ${harmless(why, 200)}; tried again ${formatTime(hold.nextProbeAt, timeZone)}`,
    );
  }
  if (trouble !== undefined) {
    const again = trouble.resumeAt === undefined ? "being tried now" : `tried again ${formatTime(trouble.resumeAt, timeZone)}`;
    return paint("yellow", `waiting: ${harmless(trouble.cause, 200)}; ${again}`);
  }
  const ends = credentialExpiresAt === undefined ? "" : `, credential ends ${formatTime(credentialExpiresAt, timeZone).slice(0, 10)}`;
  return `${paint("green", "open")}${ends}`;
}

function formatEndpoint(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
