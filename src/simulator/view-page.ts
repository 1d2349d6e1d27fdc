/** The page of the view: written on the server, readable without its script, which only presses the switches. */
import { FAULTS } from "./fault-table.ts";
import type { FaultBook } from "./faults.ts";
import type { MailStore, ReceivedMessage } from "./mail-store.ts";
import type { Tenant } from "./tenant.ts";
import { ownsAddress, smtpAuthState } from "./tenant.ts";

/** Messages shown, newest first. */
const SHOWN = 200;

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

function row(cells: readonly string[], tag: "td" | "th" = "td"): string {
  return `<tr>${cells.map((cell) => `<${tag}>${cell}</${tag}>`).join("")}</tr>`;
}

function messageRow(message: ReceivedMessage): string {
  const subject =
    message.content === undefined
      ? escape(message.subject)
      : `<a href="/api/messages/${message.id}.eml">${escape(message.subject || "(no subject)")}</a>`;
  return row([
    new Date(message.receivedAt).toISOString().slice(11, 19),
    escape(message.reversePath || "<>"),
    message.recipients.slice(0, 5).map(escape).join("<br>") +
      (message.recipients.length > 5 ? `<br>and ${message.recipients.length - 5} more` : ""),
    subject + (message.throttled ? " <b>over the rate</b>" : "") + (message.answered ? "" : " <b>answer not given</b>"),
    message.sizeBytes.toLocaleString("en"),
    `${message.method} as ${escape(message.mailbox)}<br>${escape(message.tls)}`,
  ]);
}

/** The whole page; every text that came from outside is escaped. */
export function renderPage(tenant: Tenant, store: MailStore, faults: FaultBook): string {
  const messages = store.messages.slice(-SHOWN).toReversed();
  const mailboxes = tenant.mailboxes.map((mailbox) => {
    const arrived = store.messages.filter((message) => message.internal.some((recipient) => ownsAddress(mailbox, recipient))).length;
    return row([escape(mailbox.address), `SMTP AUTH ${smtpAuthState(tenant, mailbox)}`, `password ${mailbox.basicAuth}`, String(arrived)]);
  });
  const outside = store.messages.filter((message) => message.external.length > 0).length;
  const active = faults.active().map((fault) => {
    const left = fault.remaining === undefined ? "until cleared" : `${fault.remaining} times more`;
    const scope = [fault.scope.mailbox, fault.scope.recipient].filter((part) => part !== undefined).join(", ");
    return row([
      escape(fault.definition.name),
      left,
      escape(scope),
      `${fault.applied} times applied`,
      `<button data-clear="${escape(fault.id)}">clear</button>`,
    ]);
  });
  const switches = FAULTS.map((fault) => {
    const says = fault.action.kind === "reply" ? `<code>${escape(fault.action.text)}</code>` : escape(fault.action.kind);
    const buttons = `<button data-fault="${fault.name}" data-count="1">once</button> <button data-fault="${fault.name}">on</button>`;
    return row([
      `<b>${escape(fault.name)}</b><br>${escape(fault.meaning)}`,
      fault.stage,
      fault.recipient === undefined ? "" : `${escape(fault.recipient)}@`,
      says,
      buttons,
    ]);
  });

  return `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Stand-in for Microsoft 365</title>
<link rel="stylesheet" href="/page.css"><script src="/page.js" defer></script></head>
<body>
<h1>Stand-in for Microsoft 365</h1>
<p>Tenant ${escape(tenant.domain)}, domains ${escape(tenant.domains.join(", "))}. Nothing here ever reaches Microsoft. <button data-reset>forget all messages and faults</button></p>
<h2>Mailboxes</h2>
<table>${row(["address", "sign-in", "basic", "arrived"], "th")}${mailboxes.join("")}${row(["<i>Internet</i>", "", "", String(outside)])}</table>
<h2>Arrived (${store.messages.length})</h2>
<table>${row(["UTC", "from", "to", "subject", "octets", "how"], "th")}${messages.map(messageRow).join("") || row(["nothing yet"])}</table>
<h2>Faults that are on (${active.length})</h2>
<table>${active.join("") || row(["none"])}</table>
<h2>Fault switches</h2>
<table>${row(["fault", "stage", "recipient", "answer", ""], "th")}${switches.join("")}</table>
<p>Breaches of protocol by clients: ${store.violations.length}</p>
</body></html>
`;
}

export const PAGE_STYLE = `body{font:15px/1.4 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;color:#1b1b1b;background:#fff}
h2{margin-top:2rem}table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #ddd;overflow-wrap:break-word}
code{font-size:.85em;overflow-wrap:anywhere}button{font:inherit;cursor:pointer}td:last-child{white-space:nowrap}
@media(prefers-color-scheme:dark){body{color:#e8e8e8;background:#1b1b1b}td,th{border-color:#444}a{color:#8ab4f8}}
`;

export const PAGE_SCRIPT = `const send = (method, path, body) =>
  fetch(path, { method, headers: { "content-type": "application/json" }, body: body === undefined ? undefined : JSON.stringify(body) }).then(() => location.reload());
document.addEventListener("click", (event) => {
  const { fault, count, clear, reset } = event.target.dataset;
  if (fault !== undefined) send("POST", "/api/faults", count === undefined ? { name: fault } : { name: fault, count: Number(count) });
  if (clear !== undefined) send("DELETE", "/api/faults/" + encodeURIComponent(clear));
  if (reset !== undefined) send("POST", "/api/reset", {});
});
`;
