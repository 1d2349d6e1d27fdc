/** What metrics and `postern status` look at. */
import type { Readiness, StatusView, UpstreamView } from "../admin/admin.ts";
import type { DoorTrouble } from "../deliver/door.ts";
import type { Deliverer } from "../deliver/scheduler.ts";
import type { Devices } from "../devices/devices.ts";
import type { Alerts } from "../observe/alerts/alerts.ts";
import type { GaugeSnapshot } from "../observe/metrics.ts";
import { versions } from "../platform/version.ts";
import type { Queue } from "../queue/queue.ts";
import type { Receiver } from "../receive/receiver.ts";
import type { Upstream } from "../upstream/upstream.ts";
import { placeOf } from "./doors.ts";
import type { LastErrors } from "./last-errors.ts";
import type { InForce } from "./take-up.ts";

/** What is looked at. */
export interface ViewSources {
  readonly inForce: InForce;
  readonly alerts: Pick<Alerts, "list">;
  readonly lastErrors: LastErrors;
  readonly devices: Devices;
  readonly queue: Queue;
  readonly deliverer: Deliverer;
  readonly upstreams: ReadonlyMap<string, Upstream>;
  readonly receiver: Receiver;
  readonly ready: () => Readiness;
  readonly startedAt: number;
}

/** Looks at all stages. */
export class View {
  readonly #sources: ViewSources;

  constructor(sources: ViewSources) {
    this.#sources = sources;
  }

  async gauges(): Promise<GaugeSnapshot> {
    const { inForce, queue, deliverer, upstreams, devices, ready } = this.#sources;
    const { lanes, ...statistics } = await queue.statistics();
    const shut = new Set(deliverer.troubles().keys());
    for (const { lane, hold } of lanes) if (hold !== undefined) shut.add(lane);
    return {
      waiting: statistics.waiting,
      contentBytes: statistics.contentBytes,
      oldestAcceptedAt: statistics.oldestAcceptedAt,
      freeBytes: statistics.freeBytes,
      ready: ready().ok,
      upstreams: [...upstreams.values()].map(({ name, credentialExpiresAt }) => ({ name, up: !shut.has(name), credentialExpiresAt })),
      certificates: inForce.certificates.list(),
      budgets: deliverer.budgets(),
      devices: devices.counts(),
    };
  }

  /** Doors that let nothing out for the moment. */
  troubles(): ReadonlyMap<string, DoorTrouble> {
    return this.#sources.deliverer.troubles();
  }

  async status(): Promise<StatusView> {
    const { queue, alerts, lastErrors, deliverer, upstreams, receiver, ready, startedAt } = this.#sources;
    const { config } = this.#sources.inForce;
    const troubles = deliverer.troubles();
    const budgets = deliverer.budgets();
    const slowed = deliverer.slowed();
    const { lanes, ...statistics } = await queue.statistics();
    const laneOf = (name: string) => lanes.find((lane) => lane.lane === name);
    return {
      version: versions(),
      pid: process.pid,
      startedAt,
      ready: ready(),
      listeners: receiver
        .addresses()
        .map(({ listener, address, port }) => ({ name: listener, address, port, tls: config.listeners[listener]?.tls.mode ?? "none" })),
      queue: statistics,
      upstreams: [...upstreams.values()].map(({ name, type, credentialExpiresAt }) => ({
        name,
        type,
        host: placeOf(config.upstreams[name]).host,
        port: placeOf(config.upstreams[name]).port,
        waiting: laneOf(name)?.waiting ?? 0,
        nextDueAt: laneOf(name)?.nextDueAt,
        hold: laneOf(name)?.hold,
        trouble: troubleView(troubles.get(name)),
        lastError: lastErrors.of(name),
        budgets: budgets
          .filter(({ doors }) => doors.includes(name))
          .map(({ limit, most, remaining, doors }) => ({ limit, most, remaining, doors })),
        slowed: slowed.get(name),
        credentialExpiresAt,
      })),
      routes: config.routes.map(({ name, via }) => ({ name, via })),
      alerts: alerts.list(),
      residentBytes: process.memoryUsage.rss(),
    };
  }
}

function troubleView(trouble: DoorTrouble | undefined): UpstreamView["trouble"] {
  if (trouble === undefined) return undefined;
  const { cause, remedy, since, resumeAt } = trouble;
  return { cause, remedy, since, resumeAt };
}
