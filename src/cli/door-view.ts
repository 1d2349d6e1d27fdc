/** One way out in words: its state, why it is in it, and what to do. */
import type { UpstreamView } from "../admin/views.ts";
import { formatReply } from "../mail/reply.ts";
import { formatDuration, formatTime, harmless, paint } from "./table.ts";

/** `up`: mail goes out. `slowed`: at part of its rate, after a throttling. `paused`: a fault that passes. `held`: a fault that needs hands. */
export type DoorWord = "up" | "slowed" | "paused" | "held";

export function stateOf({ hold, trouble, slowed }: UpstreamView): DoorWord {
  if (hold !== undefined) return "held";
  if (trouble !== undefined) return "paused";
  return slowed === undefined ? "up" : "slowed";
}

export const DOOR_COLOURS = { up: "green", slowed: "yellow", paused: "yellow", held: "red" } as const;

/** Limits as people say them. */
export const LIMIT_WORDS: Readonly<Record<string, string>> = {
  messages_per_minute: "messages a minute",
  messages_per_hour: "messages an hour",
  recipients_per_day: "recipients a day",
  external_recipients_per_day: "external recipients a day",
  requests_per_10_minutes: "requests in 10 minutes",
  bytes_per_5_minutes: "octets in 5 minutes",
};

/** Why mail waits for a door that is up: a limit of Microsoft's that is kept. */
export function paceOf({ waiting, budgets }: Pick<UpstreamView, "waiting" | "budgets">): string | undefined {
  if (waiting === 0) return undefined;
  const spent = budgets.toReversed().find(({ remaining }) => remaining < 1);
  if (spent === undefined) return undefined;
  const what = `${waiting} wait for their turn: its ${spent.most} ${LIMIT_WORDS[spent.limit] ?? spent.limit} are used up`;
  if (spent.limit !== "messages_per_minute") return `${what}, and more leave as room comes back; another upstream in the route would help`;
  return `${what}, the last leaves in about ${formatDuration(Math.ceil(waiting / spent.most) * 60_000)}`;
}

/** Why one is not up, or lets nothing out for the moment, what to do about it, and what went wrong last. */
export function renderWhy(upstream: UpstreamView, timeZone: string, now: number): string[] {
  const { name, hold, trouble, slowed, lastError } = upstream;
  const lines: string[] = [];
  if (hold !== undefined) {
    // A time that is past: mail goes by no held door faster than its limits allow.
    const again = hold.nextProbeAt > now ? formatTime(hold.nextProbeAt, timeZone) : "now, or as soon as its limits leave room";
    lines.push(`held for ${formatDuration(now - hold.since)}: ${harmless(hold.cause)}; tried again ${again}`);
    if (hold.reply !== undefined) lines.push(`reply: ${harmless(formatReply(hold.reply))}`);
    if (hold.remedy !== undefined) lines.push(`remedy: ${harmless(hold.remedy, 1000)}`);
  } else if (trouble !== undefined) {
    const again =
      trouble.resumeAt === undefined ? triedWith(upstream, timeZone, now) : `tried again ${formatTime(trouble.resumeAt, timeZone)}`;
    lines.push(`paused for ${formatDuration(now - trouble.since)}: ${harmless(trouble.cause)}; ${again}`);
    if (trouble.remedy !== undefined) lines.push(`remedy: ${harmless(trouble.remedy, 1000)}`);
  } else if (slowed !== undefined) {
    lines.push(`throttled: 1/${Math.round(1 / slowed.factor)} of its rate, more by and by until ${formatTime(slowed.until, timeZone)}`);
  }
  const pace = hold === undefined && trouble === undefined ? paceOf(upstream) : undefined;
  if (pace !== undefined) lines.push(pace);
  if (lastError !== undefined) lines.push(`last error ${formatTime(lastError.at, timeZone)}: ${harmless(lastError.text)}`);
  return lines.length === 0 ? [] : ["", paint("bold", name), ...lines.map((line) => `  ${line}`)];
}

/** The pause is over, and the next message finds out whether the door works: with nothing due that may be a while. */
function triedWith({ name, nextDueAt }: UpstreamView, timeZone: string, now: number): string {
  const next = nextDueAt === undefined || nextDueAt <= now ? "" : `, due ${formatTime(nextDueAt, timeZone)}`;
  return `tried with the next mail${next} (postern queue retry --upstream ${name}: now)`;
}
