/** docs/errors.md, made from the tables that the judge reads, so that the two cannot differ. */
import { ANSWER_THEMES, ELSEWHERE } from "./answers.ts";
import { ENTRA } from "./entra.ts";
import { FAULTS } from "./faults.ts";
import { heldAfterMs, type AnswerRow, type FaultRow, type Meaning, type Outcome, type Scope } from "./meaning.ts";

const DOOR = { retry: "upstream paused, tried again", slow: "upstream slowed down", hold: "upstream held, alarm" };
const MAILBOX = "where each sender has a mailbox of its own: ";

/** Outcome and scope in words. Nothing that is the door's bounces. */
const WHAT_IS_DONE: Readonly<Record<Scope, Readonly<Record<Outcome, string>>>> = {
  recipient: { retry: "tried again", slow: "tried again later", hold: "recipient held, alarm", bounce: "recipient bounced" },
  message: { retry: "tried again", slow: "tried again later", hold: "message held, alarm", bounce: "bounced" },
  sender: { retry: "tried again", slow: "tried again later", hold: "held by `sender`, alarm", bounce: "bounced" },
  mailbox: {
    retry: DOOR.retry,
    slow: DOOR.slow,
    hold: `${DOOR.hold} (${MAILBOX}held by \`sender\`)`,
    bounce: "bounced",
  },
  upstream: { ...DOOR, bounce: "bounced" },
  tenant: { ...DOOR, hold: `${DOOR.hold}; the fault is the whole organization's`, bounce: "bounced" },
};

function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("\n", " ");
}

function inWords(ms: number): string {
  return ms >= 3_600_000 ? `${ms / 3_600_000} h` : ms >= 60_000 ? `${ms / 60_000} min` : `${ms / 1_000} s`;
}

function done(row: Meaning): string {
  const what = WHAT_IS_DONE[row.scope][row.outcome];
  const wait = row.waitMs === undefined ? "" : row.waitMs === 0 ? ", at once" : ` after ${inWords(row.waitMs)}`;
  const heldAfter = heldAfterMs(row);
  const last = heldAfter === undefined ? "" : `; held after ${inWords(heldAfter)}`;
  return `${row.next === true ? "next upstream; without one: " : ""}${what}${wait}${last}`;
}

function replies({ examples, doors, othersOutsideAccepted, severalRecipients, ownSender }: AnswerRow): string {
  const only = [
    ...(doors === undefined ? [] : [`only by ${doors.join(", ")}`]),
    ...(othersOutsideAccepted === undefined ? [] : ["only where another recipient outside was taken"]),
    ...(ownSender === undefined ? [] : ["only where the sender was the upstream's own address"]),
    ...(severalRecipients === undefined ? [] : ["only where the message had several recipients"]),
  ];
  const shown = examples.map(([stage, wire]) => `\`${wire}\` (${stage})`).join(" · ");
  return only.length === 0 ? shown : `${shown} *${only.join("; ")}*`;
}

function answerTable(rows: readonly AnswerRow[]): string[] {
  return [
    "| No. | Reply, and stage | What happened | What Postern does | How to solve |",
    "|---|---|---|---|---|",
    ...rows.map(
      (row) => `| ${(row.catalogue ?? []).join(", ")} | ${cell(replies(row))} | ${cell(row.cause)} | ${done(row)} | ${cell(row.remedy)} |`,
    ),
  ];
}

function faultTable(head: string, rows: readonly (readonly [string, Meaning])[]): string[] {
  return [
    `| ${head} | What happened | What Postern does | How to solve |`,
    "|---|---|---|---|",
    ...rows.map(([first, row]) => `| ${cell(first)} | ${cell(row.cause)} | ${done(row)} | ${cell(row.remedy)} |`),
  ];
}

function elsewhereTable(): string[] {
  return [
    "| No. | Reply | Seen in | What happened | What to do |",
    "|---|---|---|---|---|",
    ...ELSEWHERE.map((row) => `| ${row.catalogue} | \`${row.reply}\` | ${row.seen} | ${cell(row.cause)} | ${cell(row.remedy)} |`),
  ];
}

const OPENING = `# What the answers of the next hop mean

Generated from the tables in \`src/deliver/\` (\`answers/\`, \`faults.ts\`, \`entra.ts\`); do not edit. \`MAILBOX\` is the upstream's mailbox, \`SENDER\` the sender of the
message, \`OWN-ADDRESS\` what the upstream rewrites senders to, \`UPSTREAM\` its name, \`AUTHORITY\` host and port of its sign-in service, \`PASSWORD-PLACE\` and \`SECRET-PLACE\` where its password or secret is. *No.* is the number in our catalogue of Microsoft's replies, 1 to 86; a letter tells several meanings of one number apart.

Held mail is kept and leaves by itself once the fault is repaired: an upstream and each held sender are tried again after 1, 2, 4 … minutes, at the latest after
\`retry.max\`. \`postern queue release\` lets mail held by \`sender\` go at once. Nothing is bounced for a fault of the upstream.

## Whose fault it is

- **A reply that names the door closes it at once**: everything before the first mail is offered (connection, TLS, host name, token, sign-in), and later what is said of the
  mailbox that signed in (its quota, its size, a block for spam), of our address, our connector or the whole organization. It cannot be the message's fault, and each further
  message would only make it worse. Mail goes to the next upstream of its route. A message that closes it once more after others have passed (for its size, or its number of
  recipients) is held by itself.
- **A fault of the organization** closes the upstream that met it. Its other upstreams stay open until they meet it themselves, with one message each, because Microsoft does not count
  every path alike: High Volume Email and Azure Communication Services are outside the limits of the organization, and mail inside the organization often still passes.
- **Anything else that is held** is held message by message, and becomes the upstream's when three different senders have met it since the upstream last took a message. The limits on
  recipients outside are the exception: mail inside still passes, so they never close an upstream.
- **Next upstream** means that the reply says nothing about other ways: another upstream of the route takes the message now. A recipient that is unknown, or refused for itself,
  bounces at once.
- **Not in any table:** a connection, TLS, token or sign-in that fails for the moment pauses the upstream, one that is refused holds it; 4xx is tried again; 5xx is bounced, but \`5.7.x\`
  from Microsoft holds the message; no answer, a time-out or a fault of our own is tried again. Graph's statuses are HTTP's: 5xx is tried again, and so is a 4xx that no row knows.
- An answer that asks for a wait (\`Retry-After\`) is obeyed, whatever the table says, for a day at most; a wait of nothing, or until a moment that is past, is none.`;

/** The whole page as Markdown, ending in a line feed. */
export function renderErrorsPage(): string {
  const coded = ({ codes, stages, doors }: FaultRow): string => {
    const named = codes.map((code) => `\`${code === "AADSTS" ? "any other" : code}\``).join(" ");
    const only = [stages === undefined ? "" : `at ${stages.join(", ")}`, doors === undefined ? "" : `by ${doors.join(", ")}`].filter(
      Boolean,
    );
    return only.length === 0 ? named : `${named} *only ${only.join(" ")}*`;
  };
  const lines = [
    OPENING,
    ...ANSWER_THEMES.flatMap(({ title, rows }) => ["", `## ${title}`, ""].concat(answerTable(rows))),
    "",
    "## Replies that come only as bounce mail or in a message trace",
    "",
    "Microsoft gives these to other servers, or after it took the message from us. Postern never sees them; they are here so that you find them.",
    "",
    ...elsewhereTable(),
    "",
    "## Faults without a reply",
    "",
    ...faultTable(
      "Code",
      FAULTS.map((row) => [coded(row), row] as const),
    ),
    "",
    "## Entra's refusals",
    "",
    ...faultTable(
      "Number",
      ENTRA.map((row) => [coded(row), row] as const),
    ),
  ];
  return `${lines.join("\n")}\n`;
}
