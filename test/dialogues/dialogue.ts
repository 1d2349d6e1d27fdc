/**
 * Dialogue files: what a device sends, and what it must get. One file for each row of the quirk catalogue.
 *
 *     row: 11
 *     product: UPS network card
 *     story: says HELO without a name
 *     covered-by: src/receive/tls.test.ts: name of the test        instead of, or beside, dialogues
 *
 *     == a name for this dialogue
 *     from: 127.0.0.2                 address of the device; 127.0.0.1 is client floor, 127.0.0.9 client app, others are unlisted
 *     with: {"quirks": {"auth": "offer"}, "limits": {"recipients": 2}}     settings of the client and of the listeners
 *     wait: yes                       the device waits for each answer; else it is played both ways
 *     C: EHLO scan\x5f1               octets and CR LF; escapes \r \n \0 \s (space) \xNN \\
 *     C- \n.\n                        octets alone
 *     C* 1100 RCPT TO:<p%@contoso.com>\r\n      as often as that, % counting
 *     X: close                        the device ends its side; `X: reset` resets
 *     S: 250 2.1.0                    the next reply starts so; * is anything; lines of a reply are joined by |
 *     S= 250 2.1.0 Ok                 the reply is exactly this
 *     S~ ^250 [^|]*$                  the reply matches this
 *     S? 421                          this reply may come
 *     S* 1100 250 2.1.5               as many replies
 *     S: (closed)                     the relay ends the connection, nothing else having been said
 *     Q: from=scans@contoso.com to=a@contoso.com,b@contoso.com repairs=bare-lf,date-added    the next message in the queue
 *     Q~ ^Subject: x\r\n              its content matches (lines by m); Q! must not match
 *     Q: none                         no further message
 *     E: session.repaired quirk=helo-without-name     an event with these values; E! there is none
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export type Step =
  | { readonly kind: "send"; readonly octets: Buffer }
  | { readonly kind: "end"; readonly how: "close" | "reset" }
  | { readonly kind: "reply"; readonly pattern: RegExp; readonly text: string; readonly optional: boolean }
  | { readonly kind: "closed" };

export interface ExpectedMessage {
  readonly from: string | undefined;
  readonly to: readonly string[] | undefined;
  readonly repairs: readonly string[] | undefined;
  readonly content: { readonly pattern: RegExp; readonly wanted: boolean }[];
}

export interface ExpectedEvent {
  readonly type: string;
  readonly values: Readonly<Record<string, string>>;
  readonly wanted: boolean;
}

/** Settings of a dialogue. */
export interface Settings {
  readonly quirks?: Readonly<Record<string, unknown>>;
  readonly limits?: Readonly<Record<string, number>>;
  readonly client?: Readonly<Record<string, unknown>>;
}

export interface Dialogue {
  readonly name: string;
  readonly from: string;
  readonly settings: Settings;
  readonly waits: boolean;
  readonly steps: readonly Step[];
  /** Undefined: the queue is not looked at. */
  readonly messages: readonly ExpectedMessage[] | undefined;
  readonly events: readonly ExpectedEvent[];
}

export interface Row {
  readonly file: string;
  readonly row: number;
  readonly product: string;
  readonly story: string;
  readonly coveredBy: readonly { readonly file: string; readonly test: string }[];
  readonly dialogues: readonly Dialogue[];
}

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const FOLDER = fileURLToPath(new URL(".", import.meta.url));

/** All rows, by number. @throws Error for a file that cannot be read, naming the line */
export function readRows(): Row[] {
  return readdirSync(FOLDER)
    .filter((name) => name.endsWith(".smtp"))
    .map((name) => parseRow(name, readFileSync(join(FOLDER, name), "utf8")))
    .toSorted((a, b) => a.row - b.row);
}

interface Open {
  name: string;
  from: string;
  settings: Settings;
  waits: boolean;
  steps: Step[];
  messages: ExpectedMessage[] | undefined;
  events: ExpectedEvent[];
}

export function parseRow(file: string, text: string): Row {
  const head = new Map<string, string>();
  const coveredBy: { file: string; test: string }[] = [];
  const dialogues: Open[] = [];
  for (const [at, line] of text.split("\n").entries()) {
    const fail = (why: string): never => {
      throw new Error(`test/dialogues/${file}:${at + 1}: ${why}: ${line}`);
    };
    if (line.trim() === "" || line.startsWith("#")) continue;
    if (line.startsWith("== ")) {
      dialogues.push({ name: line.slice(3), from: "127.0.0.1", settings: {}, waits: false, steps: [], messages: undefined, events: [] });
      continue;
    }
    const dialogue = dialogues.at(-1);
    const match = /^([a-z-]+): ?(.*)$/.exec(line);
    if (dialogue === undefined) {
      const [, key = "", value = ""] = match ?? fail("no header line");
      const test = /^(\S+): (.+)$/.exec(value);
      if (key === "covered-by") coveredBy.push({ file: test?.[1] ?? fail("no test"), test: test?.[2] ?? "" });
      else head.set(key, value);
    } else if (!readLine(dialogue, line)) fail("not understood");
  }
  const row = Number(head.get("row"));
  const product = head.get("product");
  const story = head.get("story");
  if (!Number.isInteger(row) || product === undefined || story === undefined)
    throw new Error(`test/dialogues/${file}: row, product, story`);
  return { file, row, product, story, coveredBy, dialogues };
}

function readLine(dialogue: Open, line: string): boolean {
  const [, kind = "", mark = "", rest = ""] = /^([A-Z]|[a-z]+)([:=~?!*-]) ?(.*)$/.exec(line) ?? [];
  switch (kind) {
    case "from":
      dialogue.from = rest;
      return true;
    case "with":
      dialogue.settings = JSON.parse(rest) as Settings;
      return true;
    case "wait":
      dialogue.waits = true;
      return true;
    case "C":
      dialogue.steps.push({ kind: "send", octets: mark === "*" ? repeated(rest) : octetsOf(mark === ":" ? `${rest}\\r\\n` : rest) });
      return mark === ":" || mark === "-" || mark === "*";
    case "X":
      dialogue.steps.push({ kind: "end", how: rest === "reset" ? "reset" : "close" });
      return rest === "close" || rest === "reset";
    case "S":
      dialogue.steps.push(...replySteps(mark, rest));
      return true;
    case "Q":
      return readExpectedMessage(dialogue, mark, rest);
    case "E": {
      const [type = "", ...values] = rest.split(/ (?=\S+=)/);
      dialogue.events.push({
        type,
        wanted: mark !== "!",
        values: Object.fromEntries(values.map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)])),
      });
      return true;
    }
    default:
      return false;
  }
}

function replySteps(mark: string, text: string): Step[] {
  if (text === "(closed)") return [{ kind: "closed" }];
  if (mark === "*") {
    const [, count = "0", pattern = ""] = /^(\d+) (.*)$/.exec(text) ?? [];
    return Array.from({ length: Number(count) }, () => replySteps(":", pattern)).flat();
  }
  const escaped = text.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*");
  const source = mark === "~" ? text : mark === "=" ? `^${escaped}$` : `^${escaped}`;
  return [{ kind: "reply", pattern: new RegExp(source, "s"), text, optional: mark === "?" }];
}

function readExpectedMessage(dialogue: Open, mark: string, rest: string): boolean {
  const messages = (dialogue.messages ??= []);
  if (mark === ":") {
    if (rest === "none") return true;
    const values = new Map(rest.split(" ").map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]));
    messages.push({ from: values.get("from"), to: listOf(values.get("to")), repairs: listOf(values.get("repairs")), content: [] });
    return true;
  }
  messages.at(-1)?.content.push({ pattern: new RegExp(rest, "m"), wanted: mark === "~" });
  return messages.length > 0 && (mark === "~" || mark === "!");
}

function listOf(text: string | undefined): string[] | undefined {
  if (text === undefined) return undefined;
  return text === "" ? [] : text.split(",");
}

function repeated(text: string): Buffer {
  const [, count = "0", unit = ""] = /^(\d+) (.*)$/.exec(text) ?? [];
  return Buffer.concat(Array.from({ length: Number(count) }, (_, at) => octetsOf(unit.replace("%", String(at)))));
}

const ESCAPES: Readonly<Record<string, string>> = { r: "\r", n: "\n", "0": "\0", s: " ", t: "\t", "\\": "\\" };

/** Text with escapes as octets; other characters as UTF-8. */
function octetsOf(text: string): Buffer {
  const pieces = text.split(/(\\x[0-9a-f]{2}|\\.)/i);
  return Buffer.concat(
    pieces.map((piece, at) => {
      if (at % 2 === 0) return Buffer.from(piece, "utf8");
      if (piece.length === 4) return Buffer.from([Number.parseInt(piece.slice(2), 16)]);
      return Buffer.from(ESCAPES[piece[1] ?? ""] ?? piece, "latin1");
    }),
  );
}
