/** Times on the clock on the wall, in a zone of the IANA database. */

/** Offset of a zone from UTC at a moment, in ms. */
function offsetAt(ms: number, timeZone: string): number {
  const parts = new Intl.DateTimeFormat("en-US", {
    timeZone,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
  }).formatToParts(ms);
  const get = (type: Intl.DateTimeFormatPartTypes): number => Number(parts.find((part) => part.type === type)?.value);
  const wall = Date.UTC(get("year"), get("month") - 1, get("day"), get("hour"), get("minute"), get("second"));
  return wall - Math.floor(ms / 1000) * 1000;
}

/**
 * The moment at which a clock in the zone shows a time. Where it shows it twice (the end of summer time) the first; where never (its
 * beginning), the moment it would be without the change.
 *
 * @param local - `2026-12-01T12:00`, with or without seconds; with `Z` or an offset the zone does not matter
 * @returns ms since the epoch; NaN for what is no time
 */
export function momentOf(local: string, timeZone: string): number {
  if (/(?:Z|[+-]\d{2}:\d{2})$/.test(local.slice(10))) return Date.parse(local);
  const asUtc = Date.parse(`${local}Z`);
  if (Number.isNaN(asUtc)) return asUtc;
  const earlier = asUtc - offsetAt(asUtc - 86_400_000, timeZone);
  // Before a change that lies within the day the older offset holds, after it the newer.
  if (earlier + offsetAt(earlier, timeZone) === asUtc) return earlier;
  const later = asUtc - offsetAt(asUtc + 86_400_000, timeZone);
  return later + offsetAt(later, timeZone) === asUtc ? later : earlier;
}

/** As `momentOf`, but where the clock shows a time twice (the end of summer time) the second. */
export function lastMomentOf(local: string, timeZone: string): number {
  const first = momentOf(local, timeZone);
  const again = first + offsetAt(first, timeZone) - offsetAt(first + 86_400_000, timeZone);
  return again > first && again + offsetAt(again, timeZone) === first + offsetAt(first, timeZone) ? again : first;
}

/** The calendar day of a moment in a zone: `2026-12-01`. */
export function dayOf(ms: number, timeZone: string): string {
  return new Date(ms + offsetAt(ms, timeZone)).toISOString().slice(0, 10);
}

/**
 * The last day, in UTC, of what ends at a moment: of a secret whose `expires` is 2026-12-10, which ends with that day, 2026-12-10; of a certificate
 * that ends at midnight the day before. The same wherever it is told, whatever the zone.
 */
export function lastDayOf(endsAt: number): string {
  return new Date(endsAt - 1).toISOString().slice(0, 10);
}

/** Where a configuration names no zone. */
export function systemTimeZone(): string {
  return new Intl.DateTimeFormat().resolvedOptions().timeZone;
}
