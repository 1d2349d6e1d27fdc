/** A mail of alerts: plain text for people, with a subject in ASCII that telephones and ticket systems show as it is. */
import { isAscii, oneLine } from "../mime/words.ts";
import { ALERT_WORDS } from "./alert-words.ts";
import { encodedPart, type Report, type ReportHeader } from "./envelope.ts";
import { displayName, mailDate, wrapped } from "./mime.ts";
import { WORDS } from "./words.ts";

/** What is told of one alert. Times in ms since the epoch. */
export interface AlertFacts {
  readonly state: "raised" | "repeated" | "cleared";
  readonly alert: string;
  readonly subject: string;
  readonly text: string;
  readonly remedy?: string | undefined;
  readonly severity: "info" | "warning" | "critical";
  readonly since: number;
  readonly at: number;
}

/** Everything a mail of alerts is made of. */
export interface AlertMailFacts extends Omit<ReportHeader, "to" | "language"> {
  /** At least one. */
  readonly to: readonly string[];
  /** At least one, the oldest first. */
  readonly alerts: readonly AlertFacts[];
}

/** Alerts that are told in full; the others are counted. */
const MOST_LISTED = 50;
const LONGEST_SUBJECT = 120;
const RANK = ["info", "warning", "critical"] as const;

/** Writes the mail. Its reverse-path must be null, so that nothing ever answers it. */
export function buildAlertMail(facts: AlertMailFacts): Report {
  const { queueId, hostname, from, to, now, timeZone } = facts;
  const messageId = `<${queueId}@${hostname}>`;
  const alerts = lastOfEach(facts.alerts);
  const isCritical = alerts.some(({ state, severity }) => state !== "cleared" && severity === "critical");
  const header = [
    `From: ${displayName(WORDS.en.relayName(hostname))} <${oneLine(from)}>`,
    `To: ${to.map((address) => `<${oneLine(address)}>`).join(",\r\n ")}`,
    `Subject: ${subjectOf({ ...facts, alerts })}`,
    `Date: ${mailDate(now, timeZone)}`,
    `Message-ID: ${messageId}`,
    "Auto-Submitted: auto-generated",
    ...(isCritical ? ["Importance: high"] : []),
    `X-Postern-Id: ${queueId}`,
    `X-Postern-Loop: ${hostname}`,
    "MIME-Version: 1.0",
  ];
  const text = `${header.join("\r\n")}\r\n${encodedPart("text/plain", Buffer.from(bodyOf({ ...facts, alerts })), true)}`;
  return { content: Buffer.from(text), messageId, eightBit: !isAscii(text) };
}

/** What is known last of each alert, those that are open first: what began and ended in the meantime is over, and told once. */
function lastOfEach(alerts: readonly AlertFacts[]): AlertFacts[] {
  const last = [...new Map(alerts.map((one) => [`${one.alert} ${one.subject}`, one])).values()];
  return [...last.filter(isOpen), ...last.filter((one) => !isOpen(one))];
}

function isOpen({ state }: AlertFacts): boolean {
  return state !== "cleared";
}

/** `[critical] upstream.held scans (relay.contoso.com)`: of what is open; of what is over where nothing is. */
function subjectOf({ alerts, hostname }: AlertMailFacts): string {
  const open = alerts.filter(isOpen);
  const names = (open.length > 0 ? open : alerts).map(({ alert, subject }) => `${alert} ${subject}`);
  const worst = open.toSorted((a, b) => RANK.indexOf(b.severity) - RANK.indexOf(a.severity))[0];
  const how = worst === undefined ? ALERT_WORDS.over : names.length === 1 ? howOf(worst) : ALERT_WORDS.severities[worst.severity];
  const what = names.length === 1 ? (names[0] ?? "") : `${ALERT_WORDS.several(names.length)}: ${names.join(", ")}`;
  const plain = ascii(`[${how}] ${what}`);
  const cut = plain.length > LONGEST_SUBJECT ? `${plain.slice(0, LONGEST_SUBJECT)}...` : plain;
  return `${cut} (${hostname})`;
}

function howOf({ state, severity }: AlertFacts): string {
  if (state === "cleared") return ALERT_WORDS.over;
  return state === "repeated" ? ALERT_WORDS.still(ALERT_WORDS.severities[severity]) : ALERT_WORDS.severities[severity];
}

/** Letters without their accents; what has no such form becomes a question mark. */
function ascii(text: string): string {
  return oneLine(text)
    .normalize("NFD")
    .replace(/\p{M}/gu, "")
    .replace(/[^ -~]+/g, "?");
}

function bodyOf({ alerts, hostname, timeZone }: AlertMailFacts): string {
  const { date, whatToDo } = WORDS.en;
  const blocks = alerts.slice(0, MOST_LISTED).map((one) => {
    const { alert, subject, text, remedy, since, at } = one;
    const kind = ALERT_WORDS.kinds[alert];
    const head = wrapped(`[${howOf(one)}] ${alert} ${subject}`);
    if (!isOpen(one))
      return [head, wrapped(ALERT_WORDS.was(date(since, timeZone), date(at, timeZone)), "  "), wrapped(text, "    ")].join("\r\n");
    return [
      head,
      ...(kind === undefined ? [] : [wrapped(kind, "  ")]),
      wrapped(text, "  "),
      ...(remedy === undefined ? [] : [wrapped(whatToDo(remedy), "  ")]),
      wrapped(ALERT_WORDS.since(date(since, timeZone)), "  "),
    ].join("\r\n");
  });
  const left = alerts.length - MOST_LISTED;
  return `${[ALERT_WORDS.opening(hostname), ...blocks, ...(left > 0 ? [ALERT_WORDS.andMore(left)] : []), ALERT_WORDS.closing].join("\r\n\r\n")}\r\n`;
}
