/**
 * `postern trace …`: from what somebody remembers of a mail to what became of it. "The scan of 9:14 from 10.20.3.7 did not arrive" is
 * `postern trace 9:14 10.20.3.7`.
 */
import { isIP } from "node:net";
import type { Places } from "../config/places.ts";
import type { Device, Refusal } from "../devices/device.ts";
import { PosternError } from "../mail/errors.ts";
import { isQueueId } from "../mail/queue-id.ts";
import type { FoundMessage, MessageQuery, MessageView } from "../queue/queue.ts";
import { isSeen, readKnownDevices } from "./devices.ts";
import { renderMessage } from "./message-view.ts";
import type { GlobalOptions } from "./options.ts";
import { queueSource } from "./queue-source.ts";
import { findPlaces } from "./settings.ts";
import { renderTranscripts, transcriptsOf } from "./transcripts.ts";
import { cell, formatSize, formatTime, harmless, paint, print, printJson, renderTable } from "./table.ts";
import { isWhen, spanOf } from "./when.ts";

const MOST_FOUND = 1000;

/** A refusal with the address that got it. */
interface RefusedDevice extends Refusal {
  readonly device: string;
}

/** Everything that fits what was asked. */
interface Trace {
  readonly query: MessageQuery;
  /** The newest first. */
  readonly messages: readonly FoundMessage[];
  /** The whole story, where there is only one message. */
  readonly message: MessageView | undefined;
  /** What was refused at the listener, the latest first. */
  readonly refusals: readonly RefusedDevice[];
  /** What is known of the device that was asked about. */
  readonly device: Device | undefined;
}

export interface TraceOptions {
  readonly limit: string;
  readonly transcript?: boolean;
}

/** 0 when something was found, 64 for a question that makes no sense; nothing found is an answer too, with 0. */
export async function traceCommand(options: GlobalOptions, words: readonly string[], given: TraceOptions): Promise<number> {
  const limit = /^\d{1,4}$/.test(given.limit) ? Number(given.limit) : 0;
  if (limit < 1 || limit > MOST_FOUND) throw new PosternError("E_USAGE", `--limit: expected a number from 1 to ${MOST_FOUND}`);
  const places = await findPlaces(options.config);
  const asked = readQuestion(words, Date.now(), places.organization.time_zone);
  const trace = await findAnswer(places, asked, limit);
  const { time_zone: timeZone } = places.organization;
  const { message } = trace;
  const transcripts = given.transcript === true && message !== undefined ? await transcriptsOf(places, message) : undefined;
  if (options.json) printJson(transcripts === undefined ? trace : { ...trace, transcripts });
  else print(...render(trace, words, timeZone, limit), ...(transcripts === undefined ? [] : renderTranscripts(transcripts, timeZone)));
  return 0;
}

interface Question {
  readonly queueId: string | undefined;
  readonly query: MessageQuery;
}

/**
 * Each word says by its form what it is: a time, an address of a device or of a person, an id; what is none of these is looked for in
 * addresses, subjects, names, and what the next hop said.
 *
 * @throws PosternError E_USAGE
 */
export function readQuestion(given: readonly string[], now: number, timeZone: string): Question {
  const words = given.flatMap(timeInQuotes);
  const times = words.filter(isWhen);
  const span = times.length === 0 ? undefined : spanOf(times, now, timeZone);
  if (times.length > 0 && span === undefined)
    throw new PosternError("E_USAGE", `${times.join(" ")} is no time: try 9:14, "yesterday 9:14", 2h, monday or 2026-12-01T09:14`);
  const query: { -readonly [K in keyof MessageQuery]: MessageQuery[K] } = { acceptedFrom: span?.from, acceptedUntil: span?.until };
  let queueId: string | undefined;
  const set = (key: "messageId" | "device" | "address" | "text", value: string): void => {
    if (query[key] !== undefined) throw new PosternError("E_USAGE", `${query[key]} and ${value} are both ${NAMES[key]}: give one`);
    query[key] = value;
  };
  for (const word of words) {
    if (isWhen(word)) continue;
    if (isQueueId(word.toUpperCase())) queueId = word.toUpperCase();
    else if (isIP(word) !== 0) set("device", word.toLowerCase());
    else if (/^<[^<>]+>$/.test(word)) set("messageId", word.slice(1, -1));
    else if (word.includes("@")) set("address", word);
    else set("text", word);
  }
  return { queueId, query };
}

/** `"2026-12-01 09:14:00"`, as lists print it, is the two words that it is made of. */
function timeInQuotes(word: string): string[] {
  const parts = word.trim().split(/\s+/);
  return parts.length > 1 && parts.every(isWhen) ? parts : [word];
}

const NAMES = {
  messageId: "a Message-ID",
  device: "a device",
  address: "an address",
  text: "a text (put several words in quotes)",
} as const;

/** Asks the daemon, or the files where there is none. */
export async function findAnswer(places: Places, { queueId, query }: Question, limit: number): Promise<Trace> {
  const source = queueSource(places);
  if (queueId !== undefined) {
    const message = await source.show(queueId);
    return { query, messages: [], message, refusals: [], device: undefined };
  }
  // One more than wanted, where that tells the only one from the latest of many.
  const found = await source.find(query, Math.max(limit, 2));
  const [only] = found;
  const message = only === undefined || found.length > 1 ? undefined : await source.show(only.queueId);
  const messages = found.slice(0, limit);
  const { devices } = await readKnownDevices(places);
  return {
    query,
    messages,
    message,
    refusals: refusalsOf(devices, query),
    device: query.device === undefined ? undefined : devices.find(({ address }) => address === query.device),
  };
}

/** Refusals that fit: by time and device, and by what was offered where an address or a text was asked for. */
function refusalsOf(devices: readonly Device[], query: MessageQuery): RefusedDevice[] {
  const { device, acceptedFrom = 0, acceptedUntil = Infinity, messageId } = query;
  if (messageId !== undefined) return [];
  const wanted = (query.address ?? query.text)?.toLowerCase();
  return devices
    .filter(({ address }) => device === undefined || address === device)
    .flatMap(({ address, lastRefusals }) => lastRefusals.map((refusal): RefusedDevice => Object.assign({ device: address }, refusal)))
    .filter(({ at }) => at >= acceptedFrom && at < acceptedUntil)
    .filter(({ detail, reply }) => wanted === undefined || `${detail ?? ""} ${reply}`.toLowerCase().includes(wanted))
    .toSorted((a, b) => b.at - a.at);
}

function render(trace: Trace, words: readonly string[], timeZone: string, limit: number): string[] {
  const { messages, message, refusals } = trace;
  const lines: string[] = [];
  if (message !== undefined) lines.push(...renderMessage(message, timeZone));
  else if (messages.length > 0) {
    lines.push(...renderFound(messages, timeZone));
    if (messages.length === limit)
      lines.push(`(the latest ${limit}; ${limit < MOST_FOUND ? "--limit shows more" : "more words choose among them"})`);
    lines.push("", "postern trace QUEUE-ID tells the whole story of one.");
  }
  if (refusals.length > 0) {
    if (lines.length > 0) lines.push("");
    lines.push(paint("bold", "Refused at the listener"));
    for (const refusal of refusals.slice(0, limit)) {
      const detail = refusal.detail === undefined ? "" : ` (${harmless(refusal.detail, 200)})`;
      lines.push(
        `  ${formatTime(refusal.at, timeZone)} ${refusal.device} on ${refusal.listener}: ${harmless(refusal.reply, 1000)}${detail}`,
      );
      if (refusal.remedy !== undefined) lines.push(`    remedy: ${harmless(refusal.remedy, 1000)}`);
    }
  }
  return lines.length > 0 ? lines : renderNothing(trace, words, timeZone);
}

const FOUND_COLUMNS = [
  { title: "QUEUE ID" },
  { title: "ACCEPTED" },
  { title: "SIZE", align: "right" },
  { title: "STATE" },
  { title: "DEVICE", below: 1 },
  { title: "FROM", below: 1 },
  { title: "TO", below: 1 },
] as const;

function renderFound(messages: readonly FoundMessage[], timeZone: string): string[] {
  return renderTable(
    FOUND_COLUMNS,
    messages.map((found) => [
      found.queueId,
      formatTime(found.acceptedAt, timeZone),
      formatSize(found.sizeBytes),
      Object.entries(found.states)
        .map(([state, count]) => (count === 1 && found.recipients.length === 1 ? state : `${count} ${state}`))
        .join(", "),
      found.device,
      cell(found.reversePath === "" ? "<>" : found.reversePath, 60),
      `${cell(found.recipients[0] ?? "", 60)}${found.recipients.length > 1 ? ` and ${found.recipients.length - 1} more` : ""}`,
    ]),
  );
}

/** Nothing was accepted and nothing refused: what that means, and where to look next. */
function renderNothing({ query, device }: Trace, words: readonly string[], timeZone: string): string[] {
  const { acceptedFrom: from, acceptedUntil: until } = query;
  const span =
    from === undefined || until === undefined ? "" : ` (${formatTime(from, timeZone)} to ${formatTime(until - 1, timeZone)}, ${timeZone})`;
  const lines = [`Nothing was accepted or refused that fits ${harmless(words.join(" "), 200)}${span}.`];
  if (query.text !== undefined)
    lines.push("A word is looked for in addresses, names, ids and replies; in subjects only where log.subjects keeps them.");
  if (query.device === undefined) {
    lines.push("Ask with fewer words, or by device: postern trace ADDRESS. postern devices list shows who was seen.");
  } else if (device === undefined || !isSeen(device)) {
    lines.push(
      `${query.device} was never seen: it did not reach this relay.`,
      "Look at the server name and port in the device, at its network, and at firewalls on the way; postern status shows where this relay listens.",
    );
  } else {
    const last =
      device.lastMessageAt === undefined
        ? "it never sent a message"
        : `its last message came ${formatTime(device.lastMessageAt, timeZone)}`;
    lines.push(
      `${query.device} was last seen ${formatTime(device.lastSeen, timeZone)}; ${last}.`,
      `postern trace ${query.device} shows what came from it, postern devices show ${query.device} what is known of it.`,
    );
  }
  return lines;
}
