/** Host names, ids and times in the form Exchange Online shows them. */
import { randomInt } from "node:crypto";

/** The front end a client reaches, as its banner says. */
export const FRONT_END = "AS4P192CA0006.outlook.office365.com";
/** The mailbox server behind it. */
export const BACK_END = "AM0P192MB0456.EURP192.PROD.OUTLOOK.COM";
/** The host in the bracket after error replies. */
export const FRONT_END_PROD = "AS4P192CA0006.EURP192.PROD.OUTLOOK.COM";

const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/** .NET ticks (100 ns since the year 1) at the start of the Unix epoch. */
const TICKS_AT_EPOCH = 621_355_968_000_000_000n;

const two = (value: number): string => String(value).padStart(2, "0");

/** A date as in the banner: `Wed, 2 Aug 2023 09:15:05 +0000`. */
export function bannerDate(ms: number): string {
  const date = new Date(ms);
  const day = `${WEEKDAYS[date.getUTCDay()]}, ${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]} ${date.getUTCFullYear()}`;
  return `${day} ${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())} +0000`;
}

/** Id of a session: 16 hexadecimal digits, the time in .NET ticks, `08DCE8B62813AB2B`. */
export function sessionId(ms: number): string {
  const ticks = BigInt(Math.trunc(ms)) * 10_000n + TICKS_AT_EPOCH + BigInt(randomInt(10_000));
  return ticks.toString(16).toUpperCase().padStart(16, "0");
}

/** The id a message gets from Exchange, with angle brackets. */
export function newUpstreamId(): string {
  const letters = Array.from({ length: 10 }, () => randomInt(36).toString(36).toUpperCase()).join("");
  return `<${BACK_END.split(".")[0] ?? ""}${letters}@${BACK_END}>`;
}

/** A duration as in the time-out reply: `00:20:55`. */
export function formatDuration(ms: number): string {
  const seconds = Math.trunc(ms / 1000);
  return `${two(Math.trunc(seconds / 3600))}:${two(Math.trunc(seconds / 60) % 60)}:${two(seconds % 60)}`;
}
