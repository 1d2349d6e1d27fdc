/** The first page of the view: what arrived, by which door, in which mailbox. Written on the server, readable without its script. */
import { DOORS } from "./mail-store.ts";
import { DOOR_NAMES, escape, layout, messageTable, table } from "./view-html.ts";
import type { PageContext } from "./view-html.ts";
import { ownsAddress, smtpAuthState } from "./tenant.ts";

/**
 * The whole page.
 *
 * @param door - only messages that came by it
 */
export function renderPage(context: PageContext, door?: string): string {
  const { tenant, store, services } = context;
  const { messages } = store;
  const doors = [undefined, ...DOORS].map((name) => {
    const number = name === undefined ? messages.length : messages.filter((message) => message.door === name).length;
    const current = name === door ? ' aria-current="true"' : "";
    const target = name === undefined ? "/" : `/?door=${name}`;
    return `<a class="door" href="${target}"${current}><b>${number}</b> ${name === undefined ? "all doors" : DOOR_NAMES[name]}</a>`;
  });
  const mailboxes = tenant.mailboxes.map((mailbox) => {
    const received = messages.filter((message) => message.internal.some((recipient) => ownsAddress(mailbox, recipient))).length;
    const sent = messages.filter((message) => message.inSentItems && ownsAddress(mailbox, message.mailbox)).length;
    return [
      `<a href="/mailboxes/${encodeURIComponent(mailbox.address)}">${escape(mailbox.address)}</a>`,
      String(received),
      String(sent),
      smtpAuthState(tenant, mailbox),
      mailbox.basicAuth,
      mailbox.hosting === "licensed" ? "open" : "on premises",
    ];
  });
  const outside = messages.filter((message) => message.external.length > 0).length;
  const shown = door === undefined ? messages : messages.filter((message) => message.door === door);
  const addresses = services().map(([name, address]) => [escape(name), `<code>${escape(address)}</code>`]);
  return layout(
    context,
    "/",
    "Mail",
    `<h1>Mail</h1>
<div class="doors">${doors.join("")}</div>
<h2>Arrived</h2>
${messageTable(shown, "Nothing has arrived yet.")}
<h2>Mailboxes</h2>
${table(["address", "received", "Sent Items", "SMTP AUTH", "passwords", "Graph"], [...mailboxes, ["<i>Internet</i>", String(outside), "", "", "", ""]], "")}
<h2>Services</h2>
${table(["service", "address"], addresses, "")}
<p>Breaches of protocol by clients: ${store.violations.length} (<a href="/api/violations">list</a>). <button data-reset>Forget all messages and faults</button></p>`,
  );
}

/** Where a link of before leads after messages were forgotten, or the stand-in was started anew. */
export function renderMissing(context: PageContext): string {
  return layout(
    context,
    "/",
    "Not here",
    `<h1>Not here</h1>
<p>There is no such page. Messages are gone once they are forgotten, or the stand-in was started anew. <a href="/">What is there</a></p>`,
  );
}
