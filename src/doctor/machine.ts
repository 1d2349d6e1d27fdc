/** The machine that the relay runs on: its disk, its clock, the dates of what it shows and uses. */
import { lastDayOf } from "../platform/zone.ts";
import type { DoctorFinding } from "./finding.ts";

const DAY_MS = 86_400_000;
const NEAR_MS = 30 * DAY_MS;
/** Entra takes assertions that are five minutes off. */
const MOST_SKEW_MS = 5 * 60_000;
/** The date of an answer is good to a second, and the answer takes a while. */
const NOTICED_SKEW_MS = 30_000;

/** What is known of the disk. */
export interface DiskFacts {
  readonly freeBytes: number;
  readonly floorBytes: number;
  /** Why the folder cannot be written to; undefined: it can. */
  readonly unwritable: string | undefined;
}

export function diskFindings(dataDir: string, facts: DiskFacts): DoctorFinding[] {
  const { freeBytes, floorBytes, unwritable } = facts;
  const gib = (bytes: number): string => (bytes < 2 ** 30 ? `${Math.floor(bytes / 2 ** 20)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`);
  const free = `${gib(freeBytes)} free in ${dataDir}, mail is refused under ${gib(floorBytes)}`;
  const about = { subject: "machine" } as const;
  return [
    unwritable === undefined
      ? { ...about, id: "data-dir", verdict: "ok", evidence: `${dataDir} can be written to` }
      : {
          ...about,
          id: "data-dir",
          verdict: "fault",
          evidence: `${dataDir}: ${unwritable}`,
          remedy: `Make it a folder of the user that the relay runs as: install -d -m 700 -o postern ${dataDir}`,
        },
    freeBytes <= floorBytes
      ? { ...about, id: "disk", verdict: "fault", evidence: free, remedy: "Make room: devices get 452 until then; or lower queue.min_free" }
      : freeBytes < floorBytes * 2
        ? { ...about, id: "disk", verdict: "warning", evidence: free, remedy: "Make room before it fills up" }
        : { ...about, id: "disk", verdict: "ok", evidence: free },
  ];
}

/** What a service said of the time. */
export type DateAnswer =
  | { readonly host: string; readonly at: number | undefined; readonly now: number }
  | { readonly host: string; readonly fault: string };

export function clockFinding(answer: DateAnswer | undefined): DoctorFinding {
  const about = { id: "clock", subject: "machine" } as const;
  if (answer === undefined) return { ...about, verdict: "not-tested", evidence: "no upstream has a service that tells the time" };
  if ("fault" in answer)
    return { ...about, verdict: "not-tested", evidence: `${answer.host} could not be asked: ${answer.fault.slice(0, 200)}` };
  const { host, at, now } = answer;
  if (at === undefined) return { ...about, verdict: "not-tested", evidence: `${host} did not tell the time` };
  const skew = now - at;
  const seconds = Math.round(Math.abs(skew) / 1000);
  const evidence = `this machine's clock is ${seconds} s ${skew < 0 ? "behind" : "ahead of"} that of ${host}`;
  const remedy =
    "Set the clock and keep it right: timedatectl set-ntp true, then chronyc tracking or timedatectl timesync-status; let UDP 123 out or name a time server of your own";
  if (Math.abs(skew) > MOST_SKEW_MS) return { ...about, verdict: "fault", evidence: `${evidence}: sign-ins and certificates fail`, remedy };
  if (Math.abs(skew) > NOTICED_SKEW_MS) return { ...about, verdict: "warning", evidence, remedy };
  return { ...about, verdict: "ok", evidence: "this machine's clock agrees with Microsoft's to half a minute" };
}

/** When something ends. */
export function expiryFinding(id: string, subject: string, what: string, endsAt: number, now: number, remedy: string): DoctorFinding {
  const day = lastDayOf(endsAt);
  if (endsAt <= now) return { id, subject, verdict: "fault", evidence: `${what} ended on ${day}`, remedy };
  const left = Math.floor((endsAt - now) / DAY_MS);
  const evidence = `${what} ends on ${day}, in ${left} ${left === 1 ? "day" : "days"}`;
  return endsAt - now < NEAR_MS ? { id, subject, verdict: "warning", evidence, remedy } : { id, subject, verdict: "ok", evidence };
}
