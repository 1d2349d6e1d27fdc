/** The periodic look at how things stand: a pure function from figures to what is the matter. */
import { PROGRAM_REPLACED } from "../../platform/program.ts";
import { lastDayOf } from "../../platform/zone.ts";
import type { Condition, Severity } from "./alert.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Mail that waits longer than this did not just meet a busy moment. */
const OLD_MS = HOUR_MS;
const VERY_OLD_MS = DAY_MS;
/** 30 days, less the time that a self-made certificate takes to renew itself then. */
const NOTICE_MS = 30 * DAY_MS - HOUR_MS;
/** Once low, space must be this much above what made it so before all is well again: a figure that trembles is one alert. */
const DISK_SLACK = 1.1;
/** A door that has let nothing out for so long did not just meet a restart or a busy moment. */
const SHUT_MS = 15 * 60_000;
/** A door waits five minutes at most before it is tried again: only after this is it known what became of one before the start. */
const LEARNED_MS = SHUT_MS + 5 * 60_000;
/** Connections of strangers within an hour from which on somebody should look: one misconfigured device tries every few minutes. */
const MANY_REFUSED = 20;
const FEW_REFUSED = 5;
const NAMED_ADDRESSES = 5;

/** A token of the API. Times in ms since the epoch; absent: never. */
export interface TokenFigures {
  readonly name: string;
  readonly createdAt: number;
  readonly expiresAt?: number | undefined;
  readonly lastUsedAt?: number | undefined;
}

/** A door that lets nothing out for the moment, and is not held. */
export interface DoorFigures {
  readonly upstream: string;
  readonly cause: string;
  readonly remedy?: string | undefined;
  /** It is asked for a slower pace; else it cannot be used. */
  readonly slow: boolean;
  /** First and last met, without a success between. */
  readonly since: number;
  readonly metAt: number;
}

/** Figures of one moment. Times in ms since the epoch, sizes in octets. */
export interface Snapshot {
  readonly now: number;
  readonly oldestAcceptedAt: number | undefined;
  /** Not finite while it was never measured. */
  readonly freeBytes: number;
  /** Below it no mail is accepted. */
  readonly floorBytes: number;
  readonly doors: readonly DoorFigures[];
  readonly credentials: readonly { readonly upstream: string; readonly expiresAt: number | undefined }[];
  readonly certificates: readonly { readonly name: string; readonly expiresAt: number }[];
  /** Tokens of the API; undefined while they cannot be read. */
  readonly tokens: readonly TokenFigures[] | undefined;
  /** See `isProgramReplaced`. */
  readonly programReplaced: boolean;
  /** Connections of addresses that no client names, within the last hour; `addresses` are some of those. */
  readonly refused: { readonly connections: number; readonly addresses: readonly string[] };
  /** How long such connections have been counted. */
  readonly countedMs: number;
}

/** What a look found. */
export interface Findings {
  readonly conditions: readonly Condition[];
  /** Kinds that it could not judge. */
  readonly unknown: ReadonlySet<string>;
}

/** @param isOpen - whether an alert of that kind and subject is open: what ended it must be better than what began it */
export function look(snapshot: Snapshot, isOpen: (alert: string, subject: string) => boolean): Findings {
  const { now, credentials, certificates, tokens } = snapshot;
  const unknown = new Set<string>();
  if (tokens === undefined) unknown.add("token.expiring");
  if (snapshot.countedMs < LEARNED_MS) unknown.add("upstream.unreachable");
  const refused = refusedDevices(snapshot, isOpen("devices.refused", "unlisted"), unknown);
  const conditions = [
    oldMail(snapshot),
    lowDisk(snapshot, isOpen("disk.low", "queue"), unknown),
    refused,
    ...snapshot.doors.map((door) => unreachable(now, door)),
    snapshot.programReplaced ? { alert: "program.replaced", subject: "program", ...PROGRAM_REPLACED } : undefined,
    ...credentials.map(({ upstream, expiresAt }) =>
      ending(now, expiresAt, {
        alert: "credential.expiring",
        subject: upstream,
        what: `the secret, certificate or sign-in of upstream ${upstream}`,
        remedy: `Make a new one, put it into its file and its last day into the configuration; docs/microsoft-365.md shows where. A sign-in: postern auth login ${upstream}`,
      }),
    ),
    ...certificates.map(({ name, expiresAt }) =>
      ending(now, expiresAt, {
        alert: "certificate.expiring",
        subject: name,
        what: `the certificate of listener ${name}`,
        remedy: "Put the new certificate and key into the files that the listener names",
      }),
    ),
    ...(tokens ?? []).map((token) => endingToken(now, token)),
  ];
  return { conditions: conditions.filter((condition) => condition !== undefined), unknown };
}

function oldMail({ now, oldestAcceptedAt }: Snapshot): Condition | undefined {
  const ageMs = oldestAcceptedAt === undefined ? 0 : now - oldestAcceptedAt;
  if (ageMs <= OLD_MS) return undefined;
  return {
    alert: "queue.old",
    subject: "queue",
    text: `the oldest mail has waited for ${inWords(ageMs)}`,
    remedy: "postern queue list shows what waits and why, postern status which upstream is closed",
    severity: ageMs > VERY_OLD_MS ? "critical" : "warning",
  };
}

function unreachable(now: number, { upstream, cause, remedy, slow, since, metAt }: DoorFigures): Condition | undefined {
  // Where no mail came since, nobody knows how it is now.
  if (metAt - since < SHUT_MS) return undefined;
  const what = slow ? "has been slowed down by the other side, and let nothing out," : "has not worked";
  const fallback = "its mail waits, or goes by the next upstream of its route";
  return {
    alert: "upstream.unreachable",
    subject: upstream,
    text: `upstream ${upstream} ${what} for ${inWords(now - since)}, ${fallback}: ${cause}`,
    remedy: remedy ?? "postern upstreams and postern doctor say more",
  };
}

function lowDisk({ freeBytes, floorBytes }: Snapshot, wasLow: boolean, unknown: Set<string>): Condition | undefined {
  if (!Number.isFinite(freeBytes)) {
    unknown.add("disk.low");
    return undefined;
  }
  const nearBytes = 2 * floorBytes * (wasLow ? DISK_SLACK : 1);
  if (freeBytes >= nearBytes) return undefined;
  const isFull = freeBytes < floorBytes;
  const left = `${mebibytes(freeBytes)} are free, the floor is ${mebibytes(floorBytes)} (queue.min_free)`;
  return {
    alert: "disk.low",
    subject: "queue",
    text: isFull ? `no mail is accepted, the disk is full: ${left}` : `the disk fills up: ${left}; below it no mail is accepted`,
    remedy: "Free space on the file system of data_dir, or enlarge it; postern queue list shows what waits",
    severity: isFull ? "critical" : "warning",
  };
}

function refusedDevices({ refused, countedMs }: Snapshot, isOpen: boolean, unknown: Set<string>): Condition | undefined {
  const { connections, addresses } = refused;
  if (connections < (isOpen ? FEW_REFUSED : MANY_REFUSED)) {
    // Right after a start nothing was counted yet.
    if (countedMs < HOUR_MS) unknown.add("devices.refused");
    return undefined;
  }
  const named = addresses.slice(0, NAMED_ADDRESSES).join(", ");
  const more = addresses.length > NAMED_ADDRESSES ? ` and ${addresses.length - NAMED_ADDRESSES} more` : "";
  return {
    alert: "devices.refused",
    subject: "unlisted",
    text: `${connections} connections of devices that no client names were refused within an hour: ${named}${more}`,
    remedy: "postern devices list --refused shows them; postern devices allow ADDRESS --client NAME lets one in",
  };
}

interface Ending {
  readonly alert: string;
  readonly subject: string;
  readonly what: string;
  readonly remedy: string;
}

/** One alert from 30 days before the end on, that grows more severe 7 days and 1 day before. */
function ending(now: number, expiresAt: number | undefined, { alert, subject, what, remedy }: Ending): Condition | undefined {
  if (expiresAt === undefined) return undefined;
  const leftMs = expiresAt - now;
  if (leftMs > NOTICE_MS) return undefined;
  const severity: Severity = leftMs <= DAY_MS ? "critical" : leftMs <= 7 * DAY_MS ? "warning" : "info";
  const on = lastDayOf(expiresAt);
  const text = leftMs <= 0 ? `${what} ended on ${on}` : `${what} ends on ${on}, in ${inWords(leftMs)}`;
  return { alert, subject, text, remedy, severity };
}

/**
 * Whatever uses the token stops seeing us with its end, without a word here; mail goes on. One that nobody used lately nobody will miss, and one that
 * was made for a day is told of in its last quarter.
 */
function endingToken(now: number, { name, createdAt, expiresAt, lastUsedAt }: TokenFigures): Condition | undefined {
  if (expiresAt === undefined || lastUsedAt === undefined || now - lastUsedAt > NOTICE_MS) return undefined;
  if (expiresAt - now > (expiresAt - createdAt) / 4) return undefined;
  const condition = ending(now, expiresAt, {
    alert: "token.expiring",
    subject: name,
    what: `the token ${name} of the API`,
    remedy: `postern token add makes one with another name for what uses it; then postern token revoke ${name}`,
  });
  return condition?.severity === "critical" ? { ...condition, severity: "warning" } : condition;
}

function inWords(ms: number): string {
  const [count, unit] =
    ms < 2 * HOUR_MS
      ? [Math.floor(ms / 60_000), "minute"]
      : ms < 2 * DAY_MS
        ? [Math.floor(ms / HOUR_MS), "hour"]
        : [Math.floor(ms / DAY_MS), "day"];
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}

function mebibytes(octets: number): string {
  return `${Math.floor(octets / 2 ** 20)} MiB`;
}
