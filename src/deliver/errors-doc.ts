/** docs/errors.md, made from the tables that the judge reads, so that the two cannot differ. */
import { ANSWERS, type Meaning } from "./answers.ts";
import { ENTRA, FAULTS } from "./faults.ts";

const WHAT_IS_DONE = {
  retry: { recipient: "tried again", message: "tried again", sender: "tried again", upstream: "upstream paused, tried again" },
  slow: { recipient: "tried again later", message: "tried again later", sender: "tried again later", upstream: "upstream slowed down" },
  hold: { recipient: "held", message: "held", sender: "held by `sender`", upstream: "upstream held, alarm" },
  bounce: { recipient: "bounced", message: "bounced", sender: "bounced", upstream: "bounced" },
} as const;

function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("\n", " ");
}

function done(row: Meaning): string {
  const last = row.holdAfterMs === undefined ? "" : `; held after ${row.holdAfterMs / 3_600_000} h`;
  return `${WHAT_IS_DONE[row.outcome][row.scope]}${last}`;
}

function table(head: string, rows: readonly (readonly [string, Meaning])[]): string[] {
  return [
    `| ${head} | What happened | What Postern does | How to solve |`,
    "|---|---|---|---|",
    ...rows.map(([first, row]) => `| ${cell(first)} | ${cell(row.cause)} | ${done(row)} | ${cell(row.remedy)} |`),
  ];
}

/** The whole page as Markdown, ending in a line feed. */
export function renderErrorsPage(): string {
  const lines = [
    "# What the answers of the next hop mean",
    "",
    "Generated from `src/deliver/answers.ts` and `src/deliver/faults.ts`; do not edit. `MAILBOX` is the upstream's mailbox, `SENDER` the sender of the message.",
    "",
    "Held mail is kept and leaves by itself once the fault is repaired: an upstream and each held sender are tried again after 1, 2, 4 … minutes, at the latest after",
    "`retry.max`. `postern queue release` lets mail held by `sender` go at once. Nothing is bounced for a fault of the upstream.",
    "What is in no table: a connection, TLS, token or sign-in that fails for the moment pauses the upstream, one that is refused holds it; 4xx is tried again;",
    "5xx is bounced, but `5.7.x` from Microsoft holds the message; no answer, a time-out or a fault of our own is tried again.",
    "",
    "## Replies",
    "",
    ...table(
      "Reply, and stage",
      ANSWERS.map((row) => [`\`${row.example[1]}\` (${row.example[0]})`, row] as const),
    ),
    "",
    "## Faults without a reply",
    "",
    ...table(
      "Code",
      FAULTS.map((row) => [row.codes.map((code) => `\`${code}\``).join(" "), row] as const),
    ),
    "",
    "## Entra's refusals",
    "",
    ...table(
      "Number",
      ENTRA.map((row) => [row.codes.map((code) => `\`${code === "AADSTS" ? "any other" : code}\``).join(" "), row] as const),
    ),
  ];
  return `${lines.join("\n")}\n`;
}
