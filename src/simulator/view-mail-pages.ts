/** Pages of the view about one mailbox and about one message. */
import type { ReceivedMessage } from "./mail-store.ts";
import { ownsAddress } from "./tenant.ts";
import type { TenantMailbox } from "./tenant.ts";
import { doorBadge, escape, layout, marks, messageTable, size, table, time } from "./view-html.ts";
import type { PageContext } from "./view-html.ts";

/** Octets of a body that are shown; the file has all of it. */
const BODY_SHOWN = 16_384;

/** One mailbox: its Inbox and its Sent Items. */
export function renderMailbox(context: PageContext, mailbox: TenantMailbox): string {
  const { messages } = context.store;
  const received = messages.filter((message) => message.internal.some((recipient) => ownsAddress(mailbox, recipient)));
  const sent = messages.filter((message) => message.inSentItems && ownsAddress(mailbox, message.mailbox));
  const others = [...mailbox.aliases.map((alias) => `also ${alias}`), ...mailbox.sendAs.map((address) => `may send as ${address}`)];
  return layout(
    context,
    "/",
    mailbox.address,
    `<h1>${escape(mailbox.address)}</h1>
<p>${escape(others.join(", "))}</p>
<h2>Inbox (${received.length})</h2>
${messageTable(received, "Nothing has arrived here yet.")}
<h2>Sent Items (${sent.length})</h2>
${messageTable(sent, "Nothing was sent from here by SMTP AUTH or Graph yet.")}`,
  );
}

/** One message: how it came, its header, the start of its text. */
export function renderMessage(context: PageContext, message: ReceivedMessage): string {
  const facts: [string, string][] = [
    ["door", doorBadge(message.door) + marks(message)],
    ["received", `${time(message.receivedAt)} UTC`],
    ["in the mailbox", `${time(message.deliveredAt)} UTC`],
    ["signed in as", `${escape(message.mailbox || "nobody")} (${escape(message.method)}, ${escape(message.tls || "clear text")})`],
    ["came from", `${escape(message.remoteAddress)} as ${escape(message.helo || "nobody")}`],
    ["reverse-path", escape(message.reversePath || "<>")],
    ["recipients", message.recipients.map(escape).join("<br>")],
    ...(message.bcc.length === 0 ? [] : [["Bcc, in Sent Items only", message.bcc.map(escape).join("<br>")] as [string, string]]),
    ["told id", `<code>${escape(message.upstreamId)}</code>`],
    ["size", size(message.sizeBytes)],
    ["SHA-256", `<code>${message.contentSha256}</code>`],
  ];
  const header = message.headers.map(({ name, value }) => [escape(name), `<code>${escape(value)}</code>`]);
  return layout(
    context,
    "/",
    message.subject || "Message",
    `<h1>${escape(message.subject || "(no subject)")}</h1>
${table(["", ""], facts, "")}
<h2>Header</h2>
${table(["field", "value"], header, "It has no header.")}
<h2>Text</h2>
${bodyOf(message)}`,
  );
}

function bodyOf({ id, content }: ReceivedMessage): string {
  if (content === undefined) return '<p class="none">The content was not kept: the bound on memory was reached.</p>';
  const end = content.indexOf("\r\n\r\n");
  const body = end < 0 ? content : content.subarray(end + 4);
  const cut = body.length > BODY_SHOWN ? `<p class="none">The first ${size(BODY_SHOWN)} of ${size(body.length)}.</p>` : "";
  return `<p><a href="/api/messages/${id}.eml">Download the message as it came</a></p><pre>${escape(body.subarray(0, BODY_SHOWN).toString("utf8"))}</pre>${cut}`;
}
