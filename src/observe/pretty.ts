/** A log line for people: time, level, event, then the values. */
import { styleText } from "node:util";

type Style = Parameters<typeof styleText>[0];
const LEVEL_STYLE: Readonly<Record<string, Style>> = { fatal: "red", error: "red", warn: "yellow", info: "green", debug: "gray" };
const PLAIN = /^[!#-<>-~]+$/;

/** Turns one JSON line into a readable one with the same values; ASCII, control characters escaped. Ends with a line feed. */
export function formatPretty(line: string, colour: boolean): string {
  const paint = (style: Style, text: string): string => (colour ? styleText(style, text, { validateStream: false }) : text);
  const { level, time, event, ...fields } = JSON.parse(line) as { level: string; time: string; event: string } & Record<string, unknown>;
  const values = Object.entries(fields).map(([key, value]) => `${paint("gray", `${key}=`)}${formatValue(value)}`);
  const head = [
    paint("gray", time.slice(11, 23)),
    paint(LEVEL_STYLE[level] ?? "gray", level.toUpperCase().padEnd(5)),
    paint("bold", event),
  ];
  return `${[...head, ...values].join(" ")}\n`;
}

function formatValue(value: unknown): string {
  if (Array.isArray(value) && value.every((item) => typeof item === "string" && PLAIN.test(item))) return value.join(",");
  if (typeof value === "string" && PLAIN.test(value)) return value;
  return JSON.stringify(value).replace(/[^ -~]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
