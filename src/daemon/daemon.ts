/**
 * The composition root: builds the stages from the configuration, starts them in order, ends them in the reverse order. The only place
 * that knows them all.
 *
 * Order of the start: queue (recovers what a crash left), ways out, monitoring and control, listeners. Mail is accepted last, so that
 * nothing is accepted that could not be looked after.
 */
import { join } from "node:path";
import { tokenFilePath } from "../access/token-file.ts";
import { Tokens } from "../access/tokens.ts";
import { EventFeed, controlSocketPath, startAdmin } from "../admin/admin.ts";
import type { Admin, Readiness } from "../admin/admin.ts";
import type { Config } from "../config/config.ts";
import { DoorBoard } from "../deliver/door-board.ts";
import { LiveRouter } from "../deliver/live-router.ts";
import type { Router } from "../deliver/routes.ts";
import { createDeliverer } from "../deliver/scheduler.ts";
import type { Deliverer } from "../deliver/scheduler.ts";
import { PosternError, describeError } from "../mail/errors.ts";
import type { Emit } from "../mail/events.ts";
import type { Observer } from "../observe/observer.ts";
import type { Clock } from "../platform/clock.ts";
import { versions } from "../platform/version.ts";
import { openQueue } from "../queue/open.ts";
import type { Queue } from "../queue/queue.ts";
import { createReceiver } from "../receive/receiver.ts";
import type { BoundAddress } from "../receive/receiver.ts";
import { ConnectionGroups } from "../upstream/smtp/connection-group.ts";
import type { Upstream } from "../upstream/upstream.ts";
import { adminPlaces, presentTo } from "./admin-places.ts";
import { buildAlerts, figuresOf } from "./alert-book.ts";
import { AlertMails } from "./alert-mails.ts";
import { ListenerCertificates } from "./certificates.ts";
import { prepareDataDir, usingDataDir } from "./data-dir.ts";
import { buildDevices } from "./device-book.ts";
import { buildDoctor } from "./doctor.ts";
import { endOldSenderAlerts } from "./held-sender-alerts.ts";
import { buildUpstreams } from "./doors.ts";
import type { WarnDoor } from "./doors.ts";
import { LastErrors } from "./last-errors.ts";
import { operatorQueue } from "./operator-queue.ts";
import { Reloader } from "./reload.ts";
import type { ConfigFileInForce, ReloadOutcome } from "./reload.ts";
import { buildRouter } from "./routing.ts";
import { delivererSettings, queueLimits, receiverSettings } from "./settings.ts";
import { takeUp } from "./take-up.ts";
import type { InForce, TakesUp } from "./take-up.ts";
import { testMails } from "./test-mails.ts";
import { buildTranscripts, transcriptSource } from "./transcripts.ts";
import { Users } from "./users.ts";
import { View } from "./view.ts";

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
 * @throws PosternError E_CONFIG for a listener or a control socket that cannot be bound or a certificate that does not fit, E_SPOOL_* for the queue,
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
  const groups = new ConnectionGroups();
  const upstreams = await buildUpstreams(config, emit, clock, warn, { transcripts, groups });
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
  // What was moved is in its place again, or another one is; and its disk answers.
  emit({ type: "alert.cleared", alert: "spool.moved", subject: "queue" });
  emit({ type: "alert.cleared", alert: "spool.stuck", subject: "queue" });

  alertMails.attach({ queue, router, board, upstreams, emit, clock });
  const deliverer = buildDeliverer(config, queue, upstreams, router, board, { ...options, observer: { ...observer, emit: tell } });
  await endOldSenderAlerts(alerts.list(), queue, upstreams.keys(), emit);
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
  // That the tokens cannot be read is an alert of its own.
  const knownTokens = async () => await tokens.list().catch(() => undefined);
  alerts.start(async () => figuresOf(await view.gauges(), await knownTokens(), view.troubles(), inForce.config.queue.min_free));
  starting.started(() => alerts.end());
  const admin = await startAdmin({
    listen: adminPlaces(config, certificates),
    controlSocket: controlSocketPath(config.data_dir),
    queue: operatorQueue(queue, deliverer),
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
  alerts.settled();
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
    groups,
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
    // A look at the figures and a mail of alerts need the queue.
    const told = alerts.end();
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
