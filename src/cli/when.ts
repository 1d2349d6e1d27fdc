/** Times as people say them: `9:14`, `yesterday`, `2h`, `2026-11-25T09:14`, `monday 9:14`. */
import { dayOf, lastMomentOf, momentOf } from "../platform/zone.ts";

/** A span of time, ms since the epoch; from inclusive, until exclusive. */
export interface Span {
  readonly from: number;
  readonly until: number;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, m: MINUTE_MS, h: HOUR_MS, d: DAY_MS };
/** Around a time of day: people's clocks, and the scanner's, are not ours. */
const BEFORE_MS = 3 * MINUTE_MS;
const AFTER_MS = 5 * MINUTE_MS;
const WEEKDAYS = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

const TIME = /^(\d{1,2}):(\d{2})(?::(\d{2}))?$/;
const DAY = /^\d{4}-\d{2}-\d{2}$/;

/** True for a word that says a time. */
export function isWhen(word: string): boolean {
  const text = word.toLowerCase();
  return (
    TIME.test(text) ||
    DAY.test(text) ||
    /^\d{4}-\d{2}-\d{2}t\d{1,2}:\d{2}(:\d{2})?$/.test(text) ||
    /^\d{1,6}[smhd]$/.test(text) ||
    text === "today" ||
    text === "yesterday" ||
    WEEKDAYS.includes(text)
  );
}

/**
 * The span that the words mean together: a day, a time, both, or an age.
 *
 * @param words - each for which `isWhen` is true
 * @returns undefined when they contradict each other or name no time that exists
 */
export function spanOf(words: readonly string[], now: number, timeZone: string): Span | undefined {
  let day: string | undefined;
  let time: string | undefined;
  for (const word of words.flatMap((text) => text.toLowerCase().split(/(?<=\d)t(?=\d)/))) {
    const age = /^(\d{1,6})([smhd])$/.exec(word);
    if (age !== null) {
      if (words.length > 1) return undefined;
      return { from: now - Number(age[1]) * (UNIT_MS[age[2] ?? ""] ?? 0), until: now + 1 };
    }
    if (TIME.test(word)) {
      if (time !== undefined) return undefined;
      time = word;
      continue;
    }
    if (day !== undefined) return undefined;
    day = dayNamed(word, now, timeZone);
  }
  if (time === undefined) return day === undefined ? undefined : wholeDay(day, timeZone);
  return around(time, day, now, timeZone);
}

function dayNamed(word: string, now: number, timeZone: string): string {
  if (word === "today") return dayOf(now, timeZone);
  if (word === "yesterday") return dayBefore(dayOf(now, timeZone), 1);
  const weekday = WEEKDAYS.indexOf(word);
  if (weekday < 0) return word;
  const today = dayOf(now, timeZone);
  const ago = (new Date(`${today}T00:00:00Z`).getUTCDay() - weekday + 7) % 7;
  return dayBefore(today, ago);
}

function dayBefore(day: string, days: number): string {
  return new Date(Date.parse(`${day}T00:00:00Z`) - days * DAY_MS).toISOString().slice(0, 10);
}

function wholeDay(day: string, timeZone: string): Span | undefined {
  const from = momentOf(`${day}T00:00`, timeZone);
  if (Number.isNaN(from) || dayOf(from + 12 * HOUR_MS, timeZone) !== day) return undefined;
  return { from, until: momentOf(`${dayBefore(day, -1)}T00:00`, timeZone) };
}

/** Without a day: the last time the clock showed it. */
function around(time: string, day: string | undefined, now: number, timeZone: string): Span | undefined {
  const [, hour = "", minute = "", second = "00"] = TIME.exec(time) ?? [];
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return undefined;
  const clock = `${hour.padStart(2, "0")}:${minute}:${second}`;
  const today = dayOf(now, timeZone);
  let local = `${day ?? today}T${clock}`;
  if (day === undefined && momentOf(local, timeZone) > now + AFTER_MS) local = `${dayBefore(today, 1)}T${clock}`;
  const at = momentOf(local, timeZone);
  // The clock shows the hour twice when summer time ends: nobody can say which was meant.
  return Number.isNaN(at) ? undefined : { from: at - BEFORE_MS, until: lastMomentOf(local, timeZone) + AFTER_MS };
}
