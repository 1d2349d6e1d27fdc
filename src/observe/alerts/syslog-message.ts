/** An alert as a line of syslog: RFC 5424 for servers, the older form for the socket of this machine. Pure. */
import type { Notice, Severity } from "./alert.ts";

/** RFC 5424 §6.2.1, by the names that syslog.conf knows. */
const FACILITIES = {
  user: 1,
  mail: 2,
  daemon: 3,
  auth: 4,
  syslog: 5,
  local0: 16,
  local1: 17,
  local2: 18,
  local3: 19,
  local4: 20,
  local5: 21,
  local6: 22,
  local7: 23,
} as const;
export type Facility = keyof typeof FACILITIES;

const SEVERITIES: Readonly<Record<Severity, Level>> = { critical: "crit", warning: "warning", info: "info" };
const LEVELS = { crit: 2, warning: 4, notice: 5, info: 6 } as const;
type Level = keyof typeof LEVELS;

/** 32473 is the number that RFC 5612 keeps for names of this kind: there is no registered one. */
const SD_ID = "postern@32473";
/** Every receiver takes so many octets or should (RFC 5424 §6.1), and UDP carries them on any network (RFC 5426 §3.2). */
const LONGEST = 2048;
const LONGEST_VALUE = 255;

/** What does not come from the notice. */
export interface SyslogSource {
  readonly facility: Facility;
  readonly hostname: string;
  readonly pid: number;
}

/** The severity of a notice; that something is over alarms nobody. */
export function levelOf({ state, alert }: Notice): Level {
  return state === "cleared" ? "notice" : SEVERITIES[alert.severity];
}

/**
 * One message of RFC 5424, UTF-8, without a frame and without a line end, at most 2048 octets:
 * `<18>1 2026-01-05T09:00:00.000Z relay.contoso.com postern 4711 alert.raised [postern@32473 alert="upstream.held" …] …`
 */
export function syslogMessage(notice: Notice, { facility, hostname, pid }: SyslogSource): Buffer {
  const { alert, subject, severity } = notice.alert;
  const priority = FACILITIES[facility] * 8 + LEVELS[levelOf(notice)];
  const time = new Date(notice.at).toISOString();
  const values = { alert, subject, state: notice.state, severity };
  const data = Object.entries(values).map(([name, value]) => ` ${name}="${quoted(value)}"`);
  const head = `<${priority}>1 ${time} ${hostname} postern ${pid} alert.${notice.state} [${SD_ID}${data.join("")}] `;
  const text = syslogText(notice);
  // A text that is not ASCII says so with a byte order mark (§6.4).
  return cut(Buffer.from(head + (/[^ -~]/.test(text) ? `\ufeff${text}` : text)));
}

/** What people read, on one line. */
export function syslogText({ state, alert }: Notice): string {
  const { alert: kind, subject, text, remedy } = alert;
  const how = state === "cleared" ? "over: " : state === "repeated" ? "still: " : "";
  return harmless(`${how}${kind} ${subject}: ${text}${remedy === undefined || state === "cleared" ? "" : `. What to do: ${remedy}`}`);
}

/** Line ends would make two messages of one, other control characters and those that turn the writing around would lie to who reads. */
function harmless(text: string): string {
  return text
    .toWellFormed()
    .replace(/[\r\n\t\u2028\u2029]+/g, " ")
    .replace(/[\p{Cc}\p{Cf}]/gu, "?");
}

/** A PARAM-VALUE (§6.3.3). */
function quoted(value: string): string {
  return harmless(value.slice(0, LONGEST_VALUE)).replace(/["\\\]]/g, "\\$&");
}

/** Cut between two characters. */
function cut(message: Buffer): Buffer {
  if (message.length <= LONGEST) return message;
  let end = LONGEST;
  while (((message[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return message.subarray(0, end);
}
