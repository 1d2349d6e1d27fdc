/**
 * The composition root: builds the stages from the configuration, starts them in order, ends them in the reverse order. The only place
 * that knows them all.
 *
 * Order of the start: queue (recovers what a crash left), ways out, monitoring and control, listeners. Mail is accepted last, so that
 * nothing is accepted that could not be looked after.
 */
import { join } from "node:path";
import type { Admin, AdminSources, PlacesToBe, Readiness, StatusView } from "../admin/admin.ts";
import { controlSocketPath, EventFeed, startAdmin } from "../admin/admin.ts";
import { tokenFilePath } from "../access/token-file.ts";
import { Tokens } from "../access/tokens.ts";
import type { Config } from "../config/config.ts";
import { BUDGET_HISTORY_MS } from "../deliver/budget/allowance.ts";
import { createDeliverer } from "../deliver/scheduler.ts";
import type { Deliverer, DelivererSettings } from "../deliver/scheduler.ts";
import { LiveRouter } from "../deliver/live-router.ts";
import { DoorBoard } from "../deliver/door-board.ts";
import type { Router } from "../deliver/routes.ts";
import { PosternError, describeError } from "../mail/errors.ts";
import type { Alerts } from "../observe/alerts/alerts.ts";
import type { GaugeSnapshot } from "../observe/metrics.ts";
import type { Observer } from "../observe/observer.ts";
import type { Clock } from "../platform/clock.ts";
import { versions } from "../platform/version.ts";
import type { Devices } from "../devices/devices.ts";
import type { Emit } from "../mail/events.ts";
import type { TranscriptFiles } from "../observe/transcripts/files.ts";
import { AlertMails } from "./alert-mails.ts";
import { alertWays, buildAlerts, figuresOf } from "./alert-book.ts";
import { buildTranscripts, transcriptSource } from "./transcripts.ts";
import { admittingClients, buildDevices } from "./device-book.ts";
import { openQueue } from "../queue/open.ts";
import type { Queue, QueueLimits } from "../queue/queue.ts";
import { createReceiver } from "../receive/receiver.ts";
import type { BoundAddress, Receiver, ReceiverSettings } from "../receive/receiver.ts";
import type { Upstream } from "../upstream/upstream.ts";
import { adminPlaces, presentTo } from "./admin-places.ts";
import { ListenerCertificates } from "./certificates.ts";
import { prepareDataDir, usingDataDir } from "./data-dir.ts";
import { buildUpstream, buildUpstreams, hasOtherAuthorities, placeOf, type WarnDoor } from "./doors.ts";
import { LastErrors } from "./last-errors.ts";
import { buildClients, buildListeners, doorLimits, receiverLimits } from "./listening.ts";
import { changedUpstreams, Reloader, routesDiffer, type ConfigFileInForce, type ReloadOutcome } from "./reload.ts";
import { buildRouter } from "./routing.ts";
import { buildDoctor } from "./doctor.ts";
import { testMails } from "./test-mails.ts";
import { Users } from "./users.ts";

/** Sessions that are sending a message may finish it for this long. */
const RECEIVE_GRACE_MS = 10_000;
/** Deliveries under way may finish for this long. With the one before well under TimeoutStopSec of the systemd unit. */
const DELIVER_GRACE_MS = 20_000;

/** What the daemon is started with besides the configuration. */
export interface DaemonOptions {
  readonly observer: Observer;
  readonly clock: Clock;
  /** Where the configuration came from, so that it can be read again; undefined: nothing can be reloaded. */
  readonly file?: ConfigFileInForce | undefined;
  /** Told when a reload begins and when it is over. */
  readonly reloading?: (() => Promise<void>) | undefined;
  readonly reloaded?: (() => Promise<void>) | undefined;
  /** Tests only: commits are not synced, so that the crash harness can be shown to find that. */
  readonly unsafeNoSync?: boolean | undefined;
}

/** A running Postern. */
export interface Daemon {
  readonly addresses: readonly BoundAddress[];
  /** Where `/metrics` answers: `admin.listen`, then `metrics.listen` if there is one. */
  readonly adminAddresses: Admin["addresses"];
  readonly queue: Queue;
  ready(): Readiness;
  /**
   * Reads the configuration file again and takes up what is right. No connection is dropped, no message lost; faults change nothing.
   *
   * @throws PosternError E_UNAVAILABLE where there is no file, or the daemon stops
   */
  reload(): Promise<ReloadOutcome>;
  /** Resolves when the daemon cannot go on and must be ended and started again. Never resolves otherwise. */
  readonly failed: Promise<Error>;
  /** Takes no new connections, lets what is under way finish within bounds, closes the queue cleanly. Mail that waits stays. */
  stop(): Promise<void>;
}

/**
 * Starts everything. When it resolves every listener is bound and the queue commits.
 *
 * @throws PosternError E_CONFIG for a listener that cannot be bound or a certificate that does not fit, E_SPOOL_* for the queue,
 *   E_UNAVAILABLE when another daemon uses the same data_dir; nothing is left running then
 */
export async function startDaemon(config: Config, options: DaemonOptions): Promise<Daemon> {
  const starting = new Starting();
  try {
    return await build(config, options, starting);
  } catch (error) {
    await starting.undo();
    throw error;
  }
}

/** What was started so far, for the case that the rest cannot be. */
class Starting {
  readonly #undo: (() => Promise<void>)[] = [];

  started(undo: () => Promise<void>): void {
    this.#undo.push(undo);
  }

  async undo(): Promise<void> {
    for (const undo of this.#undo.toReversed()) await undo();
  }
}

async function build(config: Config, options: DaemonOptions, starting: Starting): Promise<Daemon> {
  const { observer, clock } = options;
  const alertMails = new AlertMails();
  const events = new EventFeed(clock);
  const out: Emit = (event) => {
    observer.emit(event);
    events.publish(event);
  };
  const alerts = buildAlerts(config, alertMails, out, clock);
  const lastErrors = new LastErrors(clock);
  const tell: Emit = (event) => {
    lastErrors.observe(event);
    alertMails.observe(event);
    if (!alerts.observe(event)) out(event);
  };
  let dnsServers = config.network.dns.servers;
  const devices = buildDevices(config, () => dnsServers, tell, clock);
  const emit: Emit = (event) => {
    tell(event);
    devices.observe(event);
  };
  const startedAt = clock.now();
  const version = versions();

  await prepareDataDir(config.data_dir);
  await alerts.load();
  starting.started(() => alerts.stop());
  const tokens = new Tokens({ path: tokenFilePath(config.data_dir), clock, emit });
  await usingDataDir(config.data_dir, () => tokens.load());
  starting.started(() => tokens.settled());
  const certificates = await ListenerCertificates.read(config, emit, clock);
  const transcripts = buildTranscripts(config, emit);
  starting.started(() => transcripts.settled());
  // Before the queue, which routes by what the doors can take.
  const warn: WarnDoor = (subject, text) => emit({ type: "alert.raised", alert: "upstream.configuration", subject, text });
  const upstreams = await buildUpstreams(config, emit, clock, warn, transcripts);
  starting.started(async () => void (await Promise.all([...upstreams.values()].map((upstream) => upstream.close()))));
  const board = new DoorBoard();
  const router = new LiveRouter(buildRouter(config, upstreams, board));

  const queue = await usingDataDir(config.data_dir, () =>
    openQueue({
      directory: join(config.data_dir, "queue"),
      route: router.choose,
      emit,
      clock,
      ...queueLimits(config),
      unsafeNoSync: options.unsafeNoSync,
    }),
  );
  starting.started(() => queue.close());

  alertMails.attach({ queue, router, board, upstreams, emit, clock });
  const deliverer = buildDeliverer(config, queue, upstreams, router, board, { ...options, observer: { ...observer, emit: tell } });
  await deliverer.start();
  starting.started(() => deliverer.stop(0));

  await devices.start();
  starting.started(() => devices.stop());

  const users = new Users(config.users, clock);
  const receiver = createReceiver({
    ...receiverSettings(config, certificates, router, upstreams),
    hostname: config.hostname,
    admissions: devices,
    authenticator: users,
    sink: queue,
    emit,
    clock,
  });

  let listening = false;
  let stopping: Promise<void> | undefined;
  const ready = (): Readiness => {
    const refusal = queue.refusal();
    const reasons = [
      ...(stopping === undefined ? [] : ["stopping"]),
      ...(listening ? [] : ["the listeners are not bound"]),
      ...(refusal === undefined ? [] : [`the queue takes no mail: ${refusal.text}`]),
    ];
    return { ok: reasons.length === 0, reasons };
  };

  const inForce: InForce = { config, certificates };
  starting.started(() => inForce.certificates.stop());
  // Nobody can be served a reload while the parts of the start are still being made.
  const started = Promise.withResolvers<TakesUp>();
  const reloader = new Reloader({
    file: options.file,
    apply: async (next) => {
      const files = await takeUp(next, await started.promise);
      dnsServers = next.network.dns.servers;
      lastErrors.keep(upstreams);
      return files;
    },
    emit,
    begin: options.reloading,
    end: options.reloaded,
  });

  const view = new View({ inForce, queue, alerts, lastErrors, devices, deliverer, upstreams, receiver, ready, startedAt });
  observer.watch(() => view.gauges());
  alerts.start(async () => figuresOf(await view.gauges(), inForce.config.queue.min_free));
  const admin = await startAdmin({
    listen: adminPlaces(config, certificates),
    controlSocket: controlSocketPath(config.data_dir),
    queue: operated(queue, deliverer),
    devices,
    doctor: buildDoctor({
      config: () => inForce.config,
      upstreams,
      certificates: () => inForce.certificates.list(),
      refusal: () => queue.refusal(),
      clock,
    }),
    reloads: { reload: (by) => reloader.reload(by) },
    tokens,
    events,
    subjectsShown: () => inForce.config.log.subjects,
    tests: testMails({ config: () => inForce.config, queue, router, kick: (door) => deliverer.kick(door), emit, clock }),
    alerts,
    transcripts: transcriptSource(config, transcripts),
    status: () => view.status(),
    ready,
    metricsText: () => observer.metricsText(),
    version,
    clock,
    emit,
  });
  starting.started(() => admin.close());

  try {
    await receiver.start();
  } catch (error) {
    throw new PosternError("E_CONFIG", describeError(error), { cause: error });
  }
  listening = true;
  inForce.certificates.start(presentTo(receiver, admin));
  started.resolve({
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
    warn,
    transcripts,
    alerts,
    alertMails,
  });
  emit({
    type: "daemon.started",
    version: version.postern,
    listeners: receiver.addresses().map(({ address, port }) => `${address}:${port}`),
  });

  const stop = async (): Promise<void> => {
    await reloader.stop();
    // A mail of alerts needs the queue.
    const told = alerts.endTelling();
    await inForce.certificates.stop();
    await receiver.stop(RECEIVE_GRACE_MS);
    await devices.stop();
    await deliverer.stop(DELIVER_GRACE_MS);
    await Promise.all([...upstreams.values()].map((upstream) => upstream.close()));
    await inForce.closing;
    await admin.close();
    await told;
    await queue.close();
    await tokens.settled();
    await transcripts.settled();
    await alerts.stop();
  };
  return {
    get addresses() {
      return receiver.addresses();
    },
    get adminAddresses() {
      return admin.addresses;
    },
    queue,
    ready,
    reload: () => reloader.reload(),
    failed: Promise.race([queue.failed, deliverer.failed]),
    stop: () => (stopping ??= stop()),
  };
}

/** The configuration that is in force. */
interface InForce {
  config: Config;
  certificates: ListenerCertificates;
  /** Resolves when the doors that reloads replaced are closed. */
  closing?: Promise<unknown>;
}

/** What a reload changes. */
interface TakesUp {
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
  readonly alerts: Pick<Alerts, "upstreamsChanged" | "update">;
  readonly alertMails: AlertMails;
}

/**
 * Takes up another configuration while mail flows. What may fail is done first: when it rejects, nothing has changed.
 *
 * @returns keys that are what they were, but whose files are not
 */
async function takeUp(next: Config, parts: TakesUp): Promise<string[]> {
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
    if (config !== undefined) built.set(name, await buildUpstream(name, config, next, emit, clock, warn, transcripts));
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

/** Most recipients that are looked at to find the doors of a retry; beyond, all doors are tried. */
const MOST_LOOKED_AT = 1000;

/**
 * The queue as the operator acts on it: a bounce tells people, and a retry also tries the doors that the mail waits for, closed or paused, instead of leaving that to
 * the next probe.
 */
function operated(queue: Queue, deliverer: Deliverer): AdminSources["queue"] {
  return {
    list: (filter, limit, after) => queue.list(filter, limit, after),
    show: (queueId) => queue.show(queueId),
    find: (query, limit) => queue.find(query, limit),
    contentRow: (queueId, place) => queue.contentRow(queueId, place),
    act: async ({ verb, filter, by }) => {
      const result = verb === "bounce" ? await deliverer.giveUp(filter, by) : await queue.act({ verb, filter, by });
      if (verb !== "retry") {
        if (result.changed.length > 0) await deliverer.recount();
      } else {
        const waiting = await queue.list({ ...filter, states: ["queued", "deferred", "held"] }, MOST_LOOKED_AT);
        if (waiting.length >= MOST_LOOKED_AT) deliverer.kick();
        else for (const lane of new Set(waiting.map((entry) => entry.lane))) deliverer.kick(lane);
      }
      return result;
    },
  };
}

function queueLimits(config: Config): QueueLimits {
  const { queue, history } = config;
  return {
    floorBytes: queue.min_free,
    maxBytes: queue.max_size,
    historyKeepMs: historyKeepMs(config),
    failedContentMs: history.failed_content,
  };
}

function receiverSettings(
  config: Config,
  certificates: ListenerCertificates,
  router: Router,
  upstreams: ReadonlyMap<string, Upstream>,
): ReceiverSettings {
  const { domains, time_zone: timeZone } = config.organization;
  return {
    domains: { own: domains, first: domains[0] },
    listeners: buildListeners(config, certificates),
    limits: receiverLimits(config.limits),
    clients: buildClients(config),
    sizeLimit: doorLimits(router, upstreams),
    timeZone,
    logSubjects: config.log.subjects,
  };
}

/** At least what budgets are counted from after a restart, where there are some. */
function historyKeepMs({ history, upstreams }: Config): number {
  const counted = Object.values(upstreams).some(
    ({ limits }) => (limits.messages_per_hour ?? limits.recipients_per_day ?? limits.external_recipients_per_day) !== undefined,
  );
  return counted ? Math.max(history.keep, BUDGET_HISTORY_MS) : history.keep;
}

function buildDeliverer(
  config: Config,
  queue: Queue,
  upstreams: ReadonlyMap<string, Upstream>,
  router: Router,
  board: DoorBoard,
  options: DaemonOptions,
): Deliverer {
  return createDeliverer({
    ...delivererSettings(config),
    queue,
    upstreams,
    router,
    board,
    hostname: config.hostname,
    emit: options.observer.emit,
    clock: options.clock,
    random: Math.random,
  });
}

function delivererSettings({ retry, organization, clients, bounces }: Config): DelivererSettings {
  return {
    fallbackAfterMs: retry.fallback_after,
    retry: {
      firstMs: retry.first,
      factor: retry.factor,
      maxMs: retry.max,
      expireAfterMs: retry.expire_after,
      warnAfterMs: retry.warn_after,
    },
    domains: organization.domains,
    postmaster: organization.postmaster,
    fallbackSenders: [organization.default_sender, ...Object.values(clients).map((client) => client.fallback_sender)],
    bounces,
    timeZone: organization.time_zone,
  };
}

interface ViewSources {
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

/** What metrics and `postern status` look at. */
class View {
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
        trouble: troubles.get(name),
        lastError: lastErrors.of(name),
        budgets: budgets
          .filter(({ doors }) => doors.includes(name))
          .map(({ limit, most, remaining, doors }) => ({ limit, most, remaining, doors })),
        slowed: slowed.get(name),
        credentialExpiresAt,
      })),
      alerts: alerts.list(),
      residentBytes: process.memoryUsage.rss(),
    };
  }
}
