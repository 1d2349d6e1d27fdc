/** A preview as lines for people. Nothing in it can steer the terminal. */
import { formatSize, harmless, paint, renderPairs } from "../table.ts";
import type { ShownPreview } from "./preview.ts";

const MOST_LINES = 40;
const LINE_CHARACTERS = 200;

/** Header, text and attachments under titles of their own, then what is not shown. */
export function renderPreview(preview: ShownPreview): string[] {
  if ("unavailable" in preview) return ["", `no preview: ${harmless(preview.unavailable)}`];
  const { headers, text, htmlCharacters, attachments, cut } = preview;
  const lines = ["", paint("bold", "Message")];
  lines.push(...renderPairs(headers.map(({ name, value }) => [harmless(name, 80), harmless(value)] as const)).map((line) => `  ${line}`));
  const left = [...cut];
  if (text !== undefined) {
    const all = text.trimEnd().split("\n");
    lines.push("", ...all.slice(0, MOST_LINES).map((line) => `  | ${harmless(line.replaceAll("\t", "    "), LINE_CHARACTERS)}`.trimEnd()));
    if (all.length > MOST_LINES) left.push(`only the first ${MOST_LINES} lines of its text are shown`);
  }
  if (htmlCharacters !== undefined)
    lines.push("", `  ${text === undefined ? "its text is HTML only" : "the same as HTML"}, ${htmlCharacters} characters, not shown`);
  if (attachments.length > 0) lines.push("", paint("bold", "Attachments"));
  for (const { name, type, sizeBytes, complete } of attachments)
    lines.push(
      `  ${name === undefined ? "(without a name)" : harmless(name, 200)}, ${harmless(type, 100)}, ${complete ? "" : "at least "}${formatSize(sizeBytes)}`,
    );
  if (left.length > 0) lines.push("", paint("bold", "Not shown"), ...left.map((what) => `  ${harmless(what)}`));
  return lines;
}
