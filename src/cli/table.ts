/** Text in columns, colours and times for people. Everything a device or server said is made harmless for the terminal. */
import { stripVTControlCharacters, styleText } from "node:util";
import { inColour } from "../platform/colour.ts";

type Style = Parameters<typeof styleText>[0];

/** Colours text where that is shown. */
export function paint(style: Style, text: string): string {
  return inColour() ? styleText(style, text) : text;
}

/** Writes lines to standard output. */
export function print(...lines: readonly string[]): void {
  process.stdout.write(`${lines.join("\n")}\n`);
}

/** Writes what is said about a list and is no line of it: where the list goes into a pipe or a file, beside it on standard error. */
export function remark(text: string): void {
  if (process.stdout.isTTY) print(text);
  else process.stderr.write(`${text}\n`);
}

/**
 * What steers a terminal, turns the order of what is shown round, or is there and not seen: controls, Unicode's line ends, and its format characters
 * (bidirectional marks, zero-width ones, tags).
 */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Prints a value as indented JSON. What {@link harmless} would escape is escaped as JSON allows: the value is the same. */
export function printJson(value: unknown): void {
  const inUnits = (char: string): string => Array.from({ length: char.length }, (_, at) => `\\u${hex(char.charCodeAt(at), 4)}`).join("");
  // The line feeds of the indentation stay; those of values are escaped already.
  print(JSON.stringify(value, undefined, 2).replace(UNSEEN, (char) => (char === "\n" ? char : inUnits(char))));
}

export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
  /** On a terminal too narrow for the table: the line below the row that the column goes to. Without it the column stays. */
  readonly below?: 1 | 2;
}

/** Columns of the terminal, as many as wanted where it does not tell; undefined where standard output is none. */
function terminalWidth(): number | undefined {
  if (!process.stdout.isTTY) return undefined;
  return process.stdout.columns > 0 ? process.stdout.columns : Infinity;
}

/**
 * Lines of a table: a head, one line a row, two spaces between columns, none at the end. Where that is wider than the terminal and columns may go
 * below, each row takes several lines. Into a pipe or a file there is one tab between columns and nothing else, as `cut -f` and `awk -F'\t'` want
 * it: a cell may hold spaces or be empty, and is never cut up or shifted.
 *
 * @param width - of the terminal; undefined: it goes into a pipe or a file
 */
export function renderTable(columns: readonly Column[], rows: readonly (readonly string[])[], width = terminalWidth()): string[] {
  if (width === undefined) return [columns.map(({ title }) => title), ...rows].map((cells) => cells.map(inOneField).join("\t"));
  const whole = renderLines(columns, rows);
  const fits = whole.every((line) => visibleLength(line) <= width);
  if (fits || columns.every(({ below }) => below === undefined)) return whole;
  const parts = ([undefined, 1, 2] as const).flatMap((place) => {
    const at = columns.flatMap((column, i) => (column.below === place ? [i] : []));
    if (at.length === 0) return [];
    const lines = renderLines(
      at.map((i) => columns[i] ?? { title: "" }),
      rows.map((row) => at.map((i) => row[i] ?? "")),
    );
    return [lines.map((line) => (place === undefined || line === "" ? line : `  ${line}`))];
  });
  return whole.flatMap((_, row) => parts.map((lines) => lines[row] ?? "").filter((line) => line !== ""));
}

function inOneField(cell: string): string {
  return cell.replace(/[\t\r\n]/g, " ");
}

function renderLines(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const widths = columns.map((column, i) => Math.max(column.title.length, ...rows.map((row) => visibleLength(row[i] ?? ""))));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => pad(cell, widths[i] ?? 0, columns[i]?.align ?? "left"))
      .join("  ")
      .trimEnd();
  return [paint("bold", line(columns.map((column) => column.title))), ...rows.map(line)];
}

/** Lines of `name  value`, names in one column. */
export function renderPairs(pairs: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(0, ...pairs.map(([name]) => name.length));
  return pairs.map(([name, value]) => `${paint("bold", name.padEnd(width))}  ${value}`.trimEnd());
}

function visibleLength(text: string): number {
  return stripVTControlCharacters(text).length;
}

function pad(text: string, width: number, align: "left" | "right"): string {
  const space = " ".repeat(Math.max(0, width - visibleLength(text)));
  return align === "left" ? text + space : space + text;
}

/**
 * Text from outside with what steers a terminal or is not seen there as `\xNN` or `\uNNNN`, so that it looks like what it is; cut to `most`
 * characters.
 */
export function harmless(text: string, most = 500): string {
  const cut = text.length > most ? `${text.slice(0, most - 3)}...` : text;
  return cut.replace(UNSEEN, (char) => {
    const code = char.codePointAt(0) ?? 0;
    if (code < 0x100) return `\\x${hex(code, 2)}`;
    return code < 0x1_0000 ? `\\u${hex(code, 4)}` : `\\u{${hex(code, 5)}}`;
  });
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, "0");
}

/** A cell of a list: cut to `most` characters where people read it, whole in a pipe or a file, where it is searched. */
export function cell(text: string, most: number): string {
  return harmless(text, process.stdout.isTTY ? most : LONGEST_CELL);
}

const LONGEST_CELL = 2000;

/** `2026-01-05 10:00:00` in a zone, which defaults to the system's. */
export function formatTime(ms: number, timeZone: string | undefined): string {
  const zone = timeZone === undefined ? {} : { timeZone };
  return new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "medium", ...zone }).format(ms);
}

const UNITS = [
  ["d", 86_400],
  ["h", 3600],
  ["m", 60],
  ["s", 1],
] as const;

/** `3d 4h`, `12m 5s`, `0s`: the two largest units. */
export function formatDuration(ms: number): string {
  let seconds = Math.max(0, Math.round(ms / 1000));
  const parts: string[] = [];
  for (const [unit, size] of UNITS) {
    const count = Math.floor(seconds / size);
    seconds -= count * size;
    if (count > 0 || (unit === "s" && parts.length === 0)) parts.push(`${count}${unit}`);
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return parts.join(" ");
}

/** `1.2 MiB`. */
export function formatSize(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}
