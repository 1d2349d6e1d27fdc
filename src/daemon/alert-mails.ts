/**
 * Alerts by mail: through the queue like any mail, but never by an upstream that the alert is about while another one is open.
 *
 * Crash here, what is lost? Nothing: a notice is owed until the commit that makes it a mail; a crash between the two sends it twice.
 */
import type { AlertMailConfig, Config } from "../config/config.ts";
import type { DoorBoard } from "../deliver/door-board.ts";
import type { Router } from "../deliver/routes.ts";
import { buildAlertMail } from "../dsn/alert.ts";
import { isNonAscii } from "../mail/address.ts";
import { describeError } from "../mail/errors.ts";
import type { Emit, PosternEvent } from "../mail/events.ts";
import type { Envelope } from "../mail/message.ts";
import type { Carried, Notice, Owed } from "../observe/alerts/alert.ts";
import { isAbout } from "../observe/alerts/alerts.ts";
import type { Carrier, Pace } from "../observe/alerts/outbox.ts";
import type { Clock } from "../platform/clock.ts";
import type { Queue } from "../queue/queue.ts";
import type { Upstream } from "../upstream/upstream.ts";

/** One fault raises several alerts within seconds. A storm of them is at most a mail a minute, and soon one in a quarter of an hour. */
const PACE: Pace = { gatherMs: 5_000, gapMs: 60_000, mostGapMs: 900_000, mostWaitMs: 60_000 };
/** A door that works again is connected to again and again. */
const LOOK_AGAIN_MS = 60_000;
/** Mails that are watched until they have left. */
const MOST_WATCHED = 1000;

/** What mails leave by. */
export interface MailParts {
  readonly queue: Pick<Queue, "generate" | "newQueueId" | "reroute">;
  readonly router: Pick<Router, "find">;
  readonly board: Pick<DoorBoard, "isOpen">;
  /** By name; a reload changes what is in it. */
  readonly upstreams: ReadonlyMap<string, Pick<Upstream, "mailbox">>;
  readonly emit: Emit;
  readonly clock: Clock;
}

export class AlertMails {
  #parts: MailParts | undefined;
  /** Recipients that have not got theirs yet, by queue id. */
  readonly #watched = new Map<string, number>();
  /** Of the monotonic clock. */
  #lookedAt = -Infinity;

  /** Alerts are there before what mails leave by. */
  attach(parts: MailParts): void {
    this.#parts = parts;
  }

  /** Who carries notices by this configuration. */
  carrier(mail: AlertMailConfig, config: Config): Carrier {
    return {
      carry: async (owed) => {
        if (this.#parts === undefined) return { taken: false, cause: "the relay is not up yet" };
        try {
          return await this.#send(owed, mail, config, this.#parts);
        } catch (error) {
          return { taken: false, cause: describeError(error) };
        }
      },
      pace: PACE,
      // A mail about mails that do not arrive would not arrive either, and be followed by another.
      leavesOut: ({ alert }) => alert.alert === "alert.undeliverable",
    };
  }

  async #send(owed: readonly Owed[], { to, via }: AlertMailConfig, config: Config, parts: MailParts): Promise<Carried> {
    const { queue, router, board, upstreams, emit, clock } = parts;
    const notices = owed.map(({ notice }) => notice);
    const doors = preferred(via ?? [...upstreams.keys()], notices, (door) => board.isOpen(door));
    const now = clock.now();
    const draft = draftOf(to, doors, now);
    // The others wait in the queue for a door that takes them, or are refused by the first one that is asked, which is an alert of its own.
    const open = to
      .flatMap((address) => router.find(draft, address).doors)
      .find(({ door, misfit }) => misfit === undefined && board.isOpen(door));
    if (open === undefined) return { taken: false, cause: `no upstream that could carry it is open: ${doors.join(", ")}` };
    const queueId = queue.newQueueId();
    const from = upstreams.get(open.door)?.mailbox ?? `MAILER-DAEMON@${config.hostname}`;
    const { hostname, organization } = config;
    const header = { queueId, now, timeZone: organization.time_zone, hostname, from, to };
    const { content, messageId, eightBit } = buildAlertMail({ ...header, alerts: notices.map(factsOf) });
    const envelope: Envelope = { ...draft, eightBit, sizeBytes: content.length, messageId, headerFrom: from };
    this.#watch(queueId, to.length);
    await queue.generate({ queueId, envelope, content });
    emit({ type: "message.generated", queueId, about: "alert", recipients: to, sizeBytes: content.length });
    return { taken: true, queueId, note: `queued as ${queueId}, to leave by ${open.door}` };
  }

  #watch(queueId: string, recipients: number): void {
    const [oldest] = this.#watched.keys();
    if (this.#watched.size >= MOST_WATCHED && oldest !== undefined) this.#watched.delete(oldest);
    this.#watched.set(queueId, recipients);
  }

  /**
   * Takes every event of the process. A door that shuts in front of a mail must not keep it, nor one that is shut when another one works again: no
   * route need lead from one to the other, so nobody else moves it.
   */
  observe(event: PosternEvent): void {
    if (this.#watched.size === 0) return;
    switch (event.type) {
      case "recipient.delivered":
      case "recipient.bounced":
      case "recipient.expired":
      case "recipient.deleted": {
        const left = (this.#watched.get(event.queueId) ?? 0) - 1;
        if (left > 0) this.#watched.set(event.queueId, left);
        else this.#watched.delete(event.queueId);
        return;
      }
      case "upstream.held":
      case "upstream.paused": {
        this.#routeAnew(event.upstream, `upstream ${event.upstream} cannot be used: ${event.cause}`);
        return;
      }
      case "upstream.released":
      case "upstream.connected":
        this.#leaveClosed(event.upstream);
        return;
      default:
    }
  }

  /** Another door works: what waits for closed ones may leave by it. */
  #leaveClosed(works: string): void {
    if (this.#parts === undefined) return;
    const { board, upstreams, clock } = this.#parts;
    const now = clock.monotonic();
    const closed = [...upstreams.keys()].filter((door) => !board.isOpen(door));
    if (closed.length === 0 || !board.isOpen(works) || now - this.#lookedAt < LOOK_AGAIN_MS) return;
    this.#lookedAt = now;
    for (const door of closed) this.#routeAnew(door, `upstream ${works} works again`);
  }

  #routeAnew(lane: string, cause: string): void {
    // A queue that fails says so itself.
    this.#parts?.queue.reroute({ lane, cause }).catch(() => undefined);
  }
}

/** In this order: doors that are open and not in question, open ones in question, then those that may open later. */
function preferred(doors: readonly string[], notices: readonly Notice[], isOpen: (door: string) => boolean): string[] {
  const questioned = (door: string): boolean => notices.some(({ state, alert }) => state !== "cleared" && isAbout(alert, door));
  const rank = (door: string): number => (isOpen(door) ? 0 : 2) + (questioned(door) ? 1 : 0);
  return doors.toSorted((a, b) => rank(a) - rank(b));
}

function draftOf(to: readonly string[], via: readonly string[], now: number): Envelope {
  return {
    // Nobody may answer it, machines least of all.
    reversePath: "",
    recipients: to,
    origin: { listener: "", client: "", device: "" },
    kind: "alert",
    priority: "interactive",
    smtpUtf8: to.some(isNonAscii),
    eightBit: false,
    signed: false,
    longLines: false,
    via,
    sizeBytes: 0,
    messageId: "",
    repairs: [],
    sessionStartedAt: now,
  };
}

function factsOf({ state, at, alert }: Notice) {
  const { alert: kind, subject, text, remedy, severity, since } = alert;
  return { state, at, alert: kind, subject, text, remedy, severity, since };
}
