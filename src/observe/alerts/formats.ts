/** What is posted to a webhook: our own JSON, or what Teams and Slack take; and the signature. */
import { createHmac } from "node:crypto";
import type { Notice } from "./alert.ts";

export const WEBHOOK_FORMATS = ["generic", "teams", "slack"] as const;
export type WebhookFormat = (typeof WEBHOOK_FORMATS)[number];

/** The body of a request. Foreign words in it (replies, addresses) are text in every format, never markup. */
export function bodyOf(format: WebhookFormat, notice: Notice, hostname: string): string {
  const { alert, subject, text, remedy, severity } = notice.alert;
  switch (format) {
    case "generic": {
      const { state } = notice;
      return JSON.stringify({ alert, subject, text, remedy, severity, state, hostname, at: new Date(notice.at).toISOString() });
    }
    case "teams":
      return JSON.stringify(teamsMessage(notice, hostname));
    case "slack":
      return JSON.stringify(slackMessage(notice, hostname));
    default:
      return format satisfies never;
  }
}

/**
 * Headers that prove who sent a body and when: HMAC-SHA256 of `TIMESTAMP.BODY` in hex, where the timestamp is seconds since the epoch. Whoever
 * checks refuses what is older than some minutes: a request that was overheard is worth nothing later.
 */
export function signatureOf(secret: string, body: string, nowMs: number): Record<string, string> {
  const timestamp = String(Math.floor(nowMs / 1000));
  const digest = createHmac("sha256", secret).update(`${timestamp}.${body}`).digest("hex");
  return { "x-postern-timestamp": timestamp, "x-postern-signature": `sha256=${digest}` };
}

function headline({ state, alert }: Notice): string {
  const { alert: kind, subject, severity } = alert;
  const how = state === "cleared" ? "over" : state === "repeated" ? `still ${severity}` : severity;
  return `${how}: ${kind} ${subject}`;
}

function foot({ at }: Notice, hostname: string): string {
  return `${hostname}, ${new Date(at).toISOString()}`;
}

/** An adaptive card, as workflows of Teams take it. Text runs are not read as Markdown. */
function teamsMessage(notice: Notice, hostname: string): unknown {
  const { text, remedy, severity } = notice.alert;
  const colour =
    notice.state === "cleared" ? "good" : severity === "critical" ? "attention" : severity === "warning" ? "warning" : "accent";
  const run = (words: string, look: object = {}) => ({ type: "RichTextBlock", inlines: [{ type: "TextRun", text: words, ...look }] });
  const content = {
    $schema: "http://adaptivecards.io/schemas/adaptive-card.json",
    type: "AdaptiveCard",
    version: "1.4",
    body: [
      run(headline(notice), { size: "large", weight: "bolder", color: colour }),
      run(text),
      ...(remedy === undefined || notice.state === "cleared" ? [] : [run(`What to do: ${remedy}`)]),
      run(foot(notice, hostname), { size: "small", isSubtle: true }),
    ],
    msteams: { width: "Full" },
  };
  return { type: "message", attachments: [{ contentType: "application/vnd.microsoft.card.adaptive", contentUrl: null, content }] };
}

/** Longest text of a Slack block, and of its header. */
const SLACK_TEXT = 3000;
const SLACK_HEADER = 150;

function slackMessage(notice: Notice, hostname: string): unknown {
  const { text, remedy } = notice.alert;
  const plain = (words: string, most = SLACK_TEXT) => ({ type: "plain_text", text: words.slice(0, most), emoji: false });
  const escaped = `${headline(notice)}: ${text}`.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  return {
    // Shown in notifications, and the one part that is read as markup.
    text: escaped.slice(0, SLACK_TEXT),
    blocks: [
      { type: "header", text: plain(headline(notice), SLACK_HEADER) },
      { type: "section", text: plain(text) },
      ...(remedy === undefined || notice.state === "cleared" ? [] : [{ type: "section", text: plain(`What to do: ${remedy}`) }]),
      { type: "context", elements: [plain(foot(notice, hostname))] },
    ],
  };
}
