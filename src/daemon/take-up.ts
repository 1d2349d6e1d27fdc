/** Taking up another configuration: what a reload changes in the running stages, and in which order. */
import type { Admin, PlacesToBe } from "../admin/admin.ts";
import type { Config } from "../config/config.ts";
import type { DoorBoard } from "../deliver/door-board.ts";
import type { LiveRouter } from "../deliver/live-router.ts";
import type { Deliverer } from "../deliver/scheduler.ts";
import type { Devices } from "../devices/devices.ts";
import type { Emit } from "../mail/events.ts";
import type { Alerts } from "../observe/alerts/alerts.ts";
import type { Observer } from "../observe/observer.ts";
import type { TranscriptFiles } from "../observe/transcripts/files.ts";
import type { Clock } from "../platform/clock.ts";
import type { Queue } from "../queue/queue.ts";
import type { Receiver } from "../receive/receiver.ts";
import type { ConnectionGroups } from "../upstream/smtp/connection-group.ts";
import type { Upstream } from "../upstream/upstream.ts";
import { adminPlaces, presentTo } from "./admin-places.ts";
import { alertWays } from "./alert-book.ts";
import type { AlertMails } from "./alert-mails.ts";
import { ListenerCertificates } from "./certificates.ts";
import { admittingClients } from "./device-book.ts";
import { buildUpstream, hasOtherAuthorities } from "./doors.ts";
import type { WarnDoor } from "./doors.ts";
import { changedUpstreams, routesDiffer } from "./reload.ts";
import { buildRouter } from "./routing.ts";
import { delivererSettings, queueLimits, receiverSettings } from "./settings.ts";
import type { Users } from "./users.ts";

/** The configuration that is in force. */
export interface InForce {
  config: Config;
  certificates: ListenerCertificates;
  /** Resolves when the doors that reloads replaced are closed. */
  closing?: Promise<unknown>;
}

/** What a reload changes. */
export interface TakesUp {
  readonly inForce: InForce;
  readonly upstreams: Map<string, Upstream>;
  readonly router: LiveRouter;
  readonly board: DoorBoard;
  readonly queue: Queue;
  readonly deliverer: Deliverer;
  readonly devices: Devices;
  readonly receiver: Receiver;
  readonly admin: Admin;
  readonly users: Users;
  readonly observer: Observer;
  readonly emit: Emit;
  readonly clock: Clock;
  readonly warn: WarnDoor;
  readonly transcripts: TranscriptFiles;
  readonly groups: ConnectionGroups;
  readonly alerts: Pick<Alerts, "upstreamsChanged" | "update">;
  readonly alertMails: AlertMails;
}

/**
 * Takes up another configuration while mail flows. What may fail is done first: when it rejects, nothing has changed.
 *
 * @returns keys that are what they were, but whose files are not
 */
export async function takeUp(next: Config, parts: TakesUp): Promise<string[]> {
  const {
    inForce,
    upstreams,
    router,
    board,
    queue,
    deliverer,
    devices,
    receiver,
    admin,
    users,
    observer,
    emit,
    clock,
    transcripts,
    groups,
    alerts,
  } = parts;
  const faulty = new Set<string>();
  const warn: WarnDoor = (name, text) => {
    faulty.add(name);
    parts.warn(name, text);
  };
  const before = inForce.config;
  const changed = changedUpstreams(before, next);
  const files: string[] = [];
  for (const [name, door] of upstreams) {
    const config = next.upstreams[name];
    if (config === undefined || changed.has(name) || !(await hasOtherAuthorities(door, config))) continue;
    changed.add(name);
    files.push(`upstreams.${name}.ca`);
  }
  const built = new Map<string, Upstream>();
  for (const name of changed) {
    const config = next.upstreams[name];
    if (config !== undefined) built.set(name, await buildUpstream(name, config, next, emit, clock, warn, { transcripts, groups }));
  }
  const after = new Map(Object.keys(next.upstreams).flatMap((name) => pair(name, built.get(name) ?? upstreams.get(name))));
  const routes = buildRouter(next, after, board);
  let certificates: ListenerCertificates;
  let places: PlacesToBe | undefined;
  try {
    certificates = await ListenerCertificates.read(next, emit, clock, inForce.certificates);
    places = await admin.prepare(adminPlaces(next, certificates));
    await receiver.update(receiverSettings(next, certificates, router, after));
  } catch (error) {
    await places?.drop();
    await Promise.all([...built.values()].map((upstream) => upstream.close()));
    throw error;
  }

  // From here on nothing fails, but for the queue, and then the process starts anew.
  const replaced = new Map([...upstreams].filter(([name, upstream]) => after.get(name) !== upstream));
  await inForce.certificates.stop();
  inForce.config = next;
  inForce.certificates = certificates;
  places.apply();
  certificates.start(presentTo(receiver, admin));
  upstreams.clear();
  for (const [name, upstream] of after) upstreams.set(name, upstream);
  router.replace(routes);
  alerts.upstreamsChanged(
    [...changed].filter((name) => !faulty.has(name)),
    Object.keys(before.upstreams).filter((name) => !after.has(name)),
  );
  users.update(next.users);
  devices.update(admittingClients(next));
  queue.update(queueLimits(next));
  observer.update({ level: next.log.level });
  transcripts.of = next.log.transcripts;
  alerts.update(alertWays(next, parts.alertMails, clock));
  const ended = await deliverer.update(delivererSettings(next), changed, routesDiffer(before, next));
  // An attempt under way is finished by the door that it began with.
  const closing = [...replaced].map(async ([name, upstream]) => {
    await ended.get(name);
    await upstream.close();
  });
  inForce.closing = Promise.all([inForce.closing, ...closing]);
  return files;
}

function pair<T>(name: string, value: T | undefined): [string, T][] {
  return value === undefined ? [] : [[name, value]];
}
