/** `postern test`: sends a test mail through the running relay and follows it to its end. */
import { controlSocketPath } from "../admin/control-socket.ts";
import type { StatusView, UpstreamView } from "../admin/views.ts";
import type { TestSent } from "../admin/sources.ts";
import { readDuration } from "../config/values.ts";
import type { Config } from "../config/config.ts";
import { PosternError } from "../mail/errors.ts";
import { formatReply } from "../mail/reply.ts";
import type { MessageView, QueueEntry } from "../queue/queue.ts";
import { openControlClient, type ControlClient } from "./control-client.ts";
import { operatorName } from "./operator.ts";
import type { GlobalOptions } from "./options.ts";
import { readConfig } from "./settings.ts";
import { formatDuration, harmless, paint, print, printJson } from "./table.ts";

/** As the command line gives them. */
export interface TestOptions {
  /** Of `to` and `alert` one is given. */
  readonly to?: string;
  readonly alert?: boolean;
  readonly from?: string;
  readonly upstream?: string;
  readonly wait: string;
}

/** How a followed mail ended, or where it stands. */
export interface FollowedTest {
  readonly sent: TestSent;
  readonly view: MessageView;
  readonly outcome: TestOutcome;
  /** The door that it waits for, where it does. */
  readonly door: UpstreamView | undefined;
}

export type TestOutcome = "delivered" | "waiting" | "refused";

export const EXIT_CODES: Readonly<Record<TestOutcome, number>> = { delivered: 0, waiting: 75, refused: 69 };

export const POLL_MS = 150;
/** Mail that a closed door holds goes out right after the probe that opens it, if there is one: so long it may take. */
const HELD_MS = 8_000;

/** 0 when it was delivered, 75 when it is deferred or held, 69 when it was refused or no daemon runs. */
export async function testCommand(options: GlobalOptions, given: TestOptions): Promise<number> {
  const waitMs = readWait(given);
  const { to } = given;
  if (to === undefined) throw new PosternError("E_USAGE", "give either --to ADDRESS or --alert");
  const config = await readConfig(options.config);
  const client = openControlClient(controlSocketPath(config.data_dir));
  const journal = new Journal(config, options.json ? () => {} : print);
  const followed = await sendTest(client, { ...given, to }, waitMs, journal);
  if (options.json) printJson({ outcome: followed.outcome, ...followed.sent, door: followed.door, message: followed.view });
  return EXIT_CODES[followed.outcome];
}

/** How long to follow a mail, in ms. @throws PosternError E_USAGE */
export function readWait({ wait }: Pick<TestOptions, "wait">): number {
  const waited = readDuration(wait);
  if (!("value" in waited)) throw new PosternError("E_USAGE", `--wait: ${JSON.stringify(wait)} is not a time such as 60s or 5m`);
  return waited.value;
}

/**
 * Sends one test mail and follows it until it is final, or until nothing more will happen within the time.
 *
 * @param waitMs - longest time to follow it
 */
export async function sendTest(
  client: ControlClient,
  { to, from, upstream }: Pick<TestOptions, "from" | "upstream"> & { readonly to: string },
  waitMs: number,
  journal: Journal | undefined,
): Promise<FollowedTest> {
  const sent = (await client.post("/api/v1/test", { to, from, upstream, by: operatorName() })) as TestSent;
  journal?.accepted(sent);
  const deadline = Date.now() + waitMs;
  for (;;) {
    const view = (await client.get(`/api/v1/queue/${sent.queueId}`)) as MessageView;
    journal?.look(view);
    const [entry] = view.entries;
    const outcome = entry === undefined ? undefined : outcomeOf(entry, Date.now(), deadline);
    if (entry !== undefined && outcome !== undefined) {
      const door = outcome === "waiting" ? await askDoor(client, entry.lane) : undefined;
      journal?.ended(outcome, entry, door);
      return { sent, view, outcome, door };
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** How the door is that it waits for. */
async function askDoor(client: ControlClient, name: string): Promise<UpstreamView | undefined> {
  const { upstreams } = (await client.get("/api/v1/status")) as StatusView;
  return upstreams.find((upstream) => upstream.name === name);
}

/** What became of it; undefined while something may still happen in time. */
export function outcomeOf(entry: QueueEntry, now: number, deadline: number): TestOutcome | undefined {
  switch (entry.state) {
    case "delivered":
      return "delivered";
    case "bounced":
    case "expired":
    case "deleted":
      return "refused";
    case "deferred":
      return now >= deadline || (entry.dueAt ?? 0) > deadline ? "waiting" : undefined;
    case "held":
      return now >= deadline || entry.heldBy !== "upstream" || now - entry.changedAt > HELD_MS ? "waiting" : undefined;
    case "queued":
    case "delivering":
      return now >= deadline ? "waiting" : undefined;
    default:
      return entry.state satisfies never;
  }
}

/** Prints each step once, when it is first seen. */
export class Journal {
  readonly #config: Config;
  readonly #write: (...lines: readonly string[]) => void;
  readonly #time: Intl.DateTimeFormat;
  #attempts = 0;
  #history = 0;
  #lane: string | undefined;
  /** Seen, and not printed yet. */
  readonly #steps: { readonly at: number; readonly lines: string[] }[] = [];

  constructor(config: Config, write: (...lines: readonly string[]) => void) {
    this.#config = config;
    this.#write = write;
    this.#time = new Intl.DateTimeFormat("sv-SE", {
      timeZone: config.organization.time_zone,
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
      fractionalSecondDigits: 3,
    });
  }

  accepted({ queueId, acceptedAt, from, to, sizeBytes, route, doors }: TestSent): void {
    this.#step(acceptedAt, "accepted", `${queueId}, ${sizeBytes} octets from ${harmless(from)} to ${harmless(to)}`);
    const names = doors.map(({ name, misfit }) => (misfit === undefined ? name : `${name} (does not take it: ${misfit})`));
    this.#step(acceptedAt, "route", `${route}: ${names.join(", then ")}`);
    this.#print();
  }

  /** What is new since the last look, in the order in which it happened. */
  look(view: MessageView): void {
    const [entry] = view.entries;
    for (const attempt of view.attempts.slice(this.#attempts)) {
      const { startedAt, delays, upstream, remote, tls, outcome, stage, reply, fault, upstreamId, note, remedy } = attempt;
      const place = remote === undefined ? upstream : `${upstream}, ${[remote, tls].filter(Boolean).join(", ")}`;
      const took = `${Math.round(delays.connectMs)} ms to connect, ${Math.round(delays.transmitMs)} ms to transmit`;
      this.#enter(upstream, this.#lane === undefined && entry !== undefined ? entry.acceptedAt : startedAt);
      this.#step(startedAt, "attempt", `${attempt.number} by ${harmless(place)}`);
      this.#step(
        startedAt + delays.connectMs + delays.transmitMs,
        outcome === "delivered" ? paint("green", "answer") : paint(outcome === "bounced" ? "red" : "yellow", "answer"),
        `${outcome} at ${stage}; ${took}`,
      );
      if (reply !== undefined) this.#more(harmless(formatReply(reply), 2000));
      if (fault !== undefined) this.#more(harmless(fault, 1000));
      if (upstreamId !== undefined) this.#more(`id there: ${harmless(upstreamId)}`);
      if (note !== undefined) this.#more(`note: ${harmless(note, 1000)}`);
      if (remedy !== undefined) this.#more(`remedy: ${harmless(remedy, 1000)}`);
    }
    this.#attempts = view.attempts.length;
    for (const { at, what } of view.history.slice(this.#history)) this.#step(at, "note", harmless(what, 1000));
    this.#history = view.history.length;
    if (entry !== undefined) this.#enter(entry.lane, entry.attempts === 0 ? entry.acceptedAt : entry.changedAt);
    this.#print();
  }

  /** The door that it goes to, where that is another than before. */
  #enter(lane: string, at: number): void {
    if (lane === this.#lane) return;
    this.#lane = lane;
    this.#step(at, "door", `${lane} (${this.#config.upstreams[lane]?.type ?? ""})`);
  }

  ended(outcome: TestOutcome, entry: QueueEntry, door: UpstreamView | undefined): void {
    const { queueId } = entry;
    if (outcome === "delivered") {
      this.#step(
        entry.changedAt,
        paint("green", "delivered"),
        `${formatSeconds(entry.changedAt - entry.acceptedAt)} after it was accepted`,
      );
      this.#print();
      return;
    }
    const reason = entry.reply === undefined ? entry.cause : formatReply(entry.reply);
    const why = reason === undefined ? "" : `: ${harmless(reason, 1000)}`;
    if (outcome === "refused") {
      this.#step(entry.changedAt, paint("red", entry.state), `for good${why}`);
    } else {
      const by = entry.heldBy === undefined ? "" : `by ${entry.heldBy}, `;
      this.#step(Date.now(), paint("yellow", entry.state), `${by}on ${entry.lane}${why}`);
      if (entry.dueAt !== undefined && entry.state === "deferred") this.#more(`tried again in ${formatDuration(entry.dueAt - Date.now())}`);
      const closed = door?.hold === undefined ? undefined : door.hold.reply === undefined ? door.hold.cause : formatReply(door.hold.reply);
      if (door !== undefined && closed !== undefined)
        this.#more(closed === reason ? `${door.name} is closed for that` : `${door.name} is closed: ${harmless(closed, 1000)}`);
      else if (door?.trouble !== undefined) this.#more(`${door.name} waits: ${harmless(door.trouble.cause, 1000)}`);
      if (door?.hold?.remedy !== undefined) this.#more(`remedy: ${harmless(door.hold.remedy, 1000)}`);
      this.#more(`it stays in the queue: postern queue show ${queueId} tells how it goes on, postern queue delete ${queueId} removes it`);
    }
    this.#print();
  }

  #step(at: number, word: string, text: string): void {
    this.#steps.push({ at, lines: [`${this.#time.format(at)}  ${padded(word)}  ${text}`] });
  }

  /** A line that belongs to the last step. */
  #more(text: string): void {
    this.#steps.at(-1)?.lines.push(`${" ".repeat(14 + WORD_WIDTH + 2)}${text}`);
  }

  #print(): void {
    this.#steps.sort((a, b) => a.at - b.at);
    for (const { lines } of this.#steps.splice(0)) this.#write(...lines);
  }
}

const WORD_WIDTH = 10;

/** Colour takes no room. */
function padded(word: string): string {
  // oxlint-disable-next-line no-control-regex
  const seen = word.replace(/\u001b\[\d+m/g, "").length;
  return word + " ".repeat(Math.max(0, WORD_WIDTH - seen));
}

function formatSeconds(ms: number): string {
  return `${(Math.max(0, ms) / 1000).toFixed(1)} s`;
}
