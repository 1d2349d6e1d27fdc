/** What the pages of the view are made of. Every text that came from outside goes through `escape`. */
import type { Clock } from "../platform/clock.ts";
import type { FaultBook } from "./faults.ts";
import type { Door, MailStore, ReceivedMessage } from "./mail-store.ts";
import type { Tenant } from "./tenant.ts";
import type { UserSignIns } from "./user-sign-ins.ts";

/** What the pages show. */
export interface PageContext {
  readonly tenant: Tenant;
  readonly store: MailStore;
  readonly faults: FaultBook;
  readonly clock: Clock;
  readonly signIns: UserSignIns;
  /** Name and address of each service. */
  readonly services: () => readonly (readonly [string, string])[];
}

/** Messages shown in one table, newest first. */
export const SHOWN = 200;

export const DOOR_NAMES: Readonly<Record<Door, string>> = {
  submission: "SMTP AUTH",
  "direct-send": "Direct Send",
  connector: "Connector",
  graph: "Graph",
  hve: "High Volume Email",
  acs: "Communication Services",
};

export function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** A column of a table, as its cells name it where there is no room for columns: the style looks for it. */
function cell(content: string, head: string): string {
  return `<td data-head="${head}">${content}</td>`;
}

/** A table, or a sentence where there is nothing to show. On a narrow screen each row of more than two columns becomes a card. */
export function table(head: readonly string[], rows: readonly (readonly string[])[], otherwise: string): string {
  if (rows.length === 0) return `<p class="none">${escape(otherwise)}</p>`;
  const named = head.some((name) => name !== "");
  const top = named ? `<thead><tr>${head.map((name) => `<th>${name}</th>`).join("")}</tr></thead>` : "";
  const lines = rows.map((cells) => `<tr>${cells.map((content, i) => cell(content, head[i] ?? "")).join("")}</tr>`);
  return `<div class="wide"><table${head.length > 2 ? ' class="cards"' : ""}>${top}<tbody>${lines.join("")}</tbody></table></div>`;
}

/** Date and time, UTC, to the second. */
export function time(ms: number): string {
  return `<time>${new Date(ms).toISOString().slice(0, 19).replace("T", " ")}</time>`;
}

/** By which door. */
export function doorBadge(door: Door): string {
  return `<span class="badge ${door}">${DOOR_NAMES[door]}</span>`;
}

/** Octets in a form one reads. */
export function size(octets: number): string {
  if (octets < 1024) return `${octets}&nbsp;B`;
  return octets < 1024 * 1024 ? `${(octets / 1024).toFixed(1)}&nbsp;KiB` : `${(octets / 1024 / 1024).toFixed(1)}&nbsp;MiB`;
}

/** An address that breaks before its domain where it has to. */
function breakable(address: string): string {
  return escape(address).replaceAll("@", "@<wbr>");
}

function some(addresses: readonly string[]): string {
  const shown = addresses.slice(0, 3).map(breakable).join("<br>");
  return addresses.length > 3 ? `${shown}<br>and ${addresses.length - 3} more` : shown;
}

const MESSAGE_HEAD = ["UTC", "door", "from", "to", "subject", "size", "signed in as"];

/** A table of messages, newest first. */
export function messageTable(messages: readonly ReceivedMessage[], otherwise: string): string {
  const rows = messages
    .slice(-SHOWN)
    .toReversed()
    .map((message) => [
      time(message.receivedAt),
      doorBadge(message.door),
      breakable(message.reversePath || "<>"),
      some(message.recipients),
      `<a href="/messages/${message.id}">${escape(message.subject || "(no subject)")}</a>${marks(message)}`,
      size(message.sizeBytes),
      `${breakable(message.mailbox || "nobody")}<br><small>${escape(message.method)}, ${escape(message.tls || "clear text")}</small>`,
    ]);
  const more = messages.length > SHOWN ? `<p class="none">The newest ${SHOWN} of ${messages.length}; all of them are in the API.</p>` : "";
  return table(MESSAGE_HEAD, rows, otherwise) + more;
}

/** What an operator should notice about a message. */
export function marks(message: ReceivedMessage): string {
  return [
    message.throttled ? ' <span class="mark">over the rate</span>' : "",
    message.answered ? "" : ' <span class="mark">answer not given</span>',
    message.bcc.length > 0 ? " <small>Bcc</small>" : "",
  ].join("");
}

const SECTIONS = ["/", "/sign-ins", "/faults"] as const;
export type Section = (typeof SECTIONS)[number];

/** The clock goes on without anybody having to wait. Where a button is heard, and not seen beside the clock, it says what of. */
function clockButtons(): string {
  const steps = [
    ["1m", "+1 min", "1 minute"],
    ["1h", "+1 h", "1 hour"],
    ["1d", "+1 day", "1 day"],
  ] as const;
  return steps
    .map(([step, text, words]) => `<button data-advance="${step}" aria-label="${text}: move the clock on by ${words}">${text}</button>`)
    .join(" ");
}

/** A button of a row: in a list of buttons, as a screen reader has it, it says whose. */
export function rowButton(data: string, text: string, whose: string): string {
  return `<button ${data} aria-label="${text}: ${escape(whose)}">${text}</button>`;
}

/** The frame of every page. */
export function layout(context: PageContext, section: Section, title: string, content: string): string {
  const { tenant, faults, clock, signIns } = context;
  const count = (number: number): string => (number === 0 ? "" : ` <span class="count">${number}</span>`);
  const names: Readonly<Record<Section, string>> = {
    "/": "Mail",
    "/sign-ins": `Sign-ins${count(signIns.waiting().length)}`,
    "/faults": `Faults${count(faults.active().length)}`,
  };
  const links = SECTIONS.map((path) => `<a href="${path}"${path === section ? ' aria-current="true"' : ""}>${names[path]}</a>`);
  return `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escape(title)} - stand-in for Microsoft 365</title>
<link rel="stylesheet" href="/page.css"><script src="/page.js" defer></script></head>
<body>
<header><a class="home" href="/">Stand-in for Microsoft 365</a><nav>${links.join("")}</nav>
<span class="clock"><span>${time(clock.now())} UTC</span> <span>${clockButtons()}</span></span></header>
<main>
<p class="lead">Tenant ${escape(tenant.domain)} with ${escape(tenant.domains.join(", "))}. Nothing here ever reaches Microsoft.</p>
<p id="problem" role="alert" hidden></p>
${content}
</main>
</body></html>
`;
}
