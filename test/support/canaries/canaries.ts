/**
 * Canaries: secrets of tests that must never be heard outside. Whatever is secret in a test has the word `canary` in it (or is one of the stand-in's own),
 * and bodies of messages have the word in `PAGE`. What processes print, and what a relay logs, answers, counts and keeps, goes through `overhear`;
 * `setup.ts` fails the test in which one was heard.
 */
import type { Dirent } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join, relative } from "node:path";

/** In the bodies of messages: nobody may read it but who gets the mail, and who looks at the message itself. */
export const PAGE = "nightingale";

/** The secrets that the stand-in for Microsoft 365 begins with. */
export const STAND_IN_SECRETS = ["stand-in~secret~of~the~contoso~relay", "stand-in-of-the-volume-account"] as const;

interface Canary {
  readonly name: string;
  readonly pattern: RegExp;
  /** Whether what the pattern found is one. Default: yes. */
  readonly confirms?: (text: string, index: number, length: number) => boolean;
}

/** In base64 a word has three forms, by where it begins. */
function inBase64(word: string): string[] {
  return [0, 1, 2].map((before) => {
    const encoded = Buffer.from(`${"\0".repeat(before)}${word}`).toString("base64");
    // The first group is also made of what stands before, the last of what follows.
    return encoded.slice(before === 0 ? 0 : 4, Math.floor(((before + word.length) * 8) / 6));
  });
}

const WORDS = ["canary", "Canary", ...STAND_IN_SECRETS];

/**
 * Five letters of a word's base64 stand in many a picture of some MB: only what reads as the whole word is one. A form begins where a group does, the first
 * with the word, the others with the group after the one in which it begins.
 */
function readsAsWord(text: string, index: number, length: number): boolean {
  return [index, index - 4].some((from) => {
    const decoded = Buffer.from(text.slice(Math.max(0, from), index + length + 4), "base64").toString("latin1");
    return WORDS.some((word) => decoded.includes(word));
  });
}

/**
 * Six letters come about by chance in one of some thousand scans, which tests send by the gigabyte: a run as long as a line of base64, and mixed as one, is
 * a picture. A secret of a test has another mark in it, or is short.
 */
function isNoPicture(text: string, index: number, length: number): boolean {
  const [before = ""] = /[A-Za-z0-9+/]*$/.exec(text.slice(Math.max(0, index - LINE), index)) ?? [];
  const [after = ""] = /^[A-Za-z0-9+/]*/.exec(text.slice(index + length, index + length + LINE)) ?? [];
  const run = before + text.slice(index, index + length) + after;
  return run.length < LINE || ![/\d/, /[a-z]/, /[A-Z]/].every((kind) => kind.test(run));
}

/** Fewer characters than a full line of base64 has, which are 60 to 76. */
const LINE = 56;

/** A name follows in which every character can be printed: what base64 of a picture is not. */
function namesSomebody(text: string, index: number, length: number): boolean {
  return /^user=[ -~]{12}/.test(Buffer.from(text.slice(index, index + length), "base64").toString("latin1"));
}

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

const SECRETS: readonly Canary[] = [
  { name: "a secret of a test", pattern: /canary|Canary|CANARY/g, confirms: isNoPicture },
  { name: "a secret of the stand-in", pattern: new RegExp(STAND_IN_SECRETS.map((secret) => escaped(secret)).join("|")) },
  {
    name: "a secret in base64",
    pattern: new RegExp(
      WORDS.flatMap((word) => inBase64(word))
        .map((text) => escaped(text))
        .join("|"),
      "g",
    ),
    confirms: readsAsWord,
  },
  { name: "a token", pattern: /eyJ[\w-]{8,}\.eyJ|\bBearer [\w.~+/-]{16,}/ },
  {
    name: "a sign-in by token in base64",
    pattern: new RegExp(escaped(Buffer.from("user=").toString("base64").slice(0, 6)) + "[A-Za-z0-9+/]{18,}", "g"),
    confirms: namesSomebody,
  },
  { name: "a private key", pattern: /BEGIN [A-Z ]*PRIVATE KEY/ },
];
const CONTENT: Canary = { name: "the body of a message", pattern: new RegExp(PAGE) };

/** What may be heard at a place: `content`, what is in messages; `keys`, the private keys that are kept there. Secrets never. */
export interface Allowed {
  readonly content?: boolean;
  readonly keys?: boolean;
}

interface Listening {
  /** False outside of tests: benches have nobody who asks. */
  on: boolean;
  readonly heard: string[];
}

const MOST_HEARD = 20;
const SHARED = Symbol.for("postern.test.canaries");
/** One for the process, however often this file is loaded. */
const listening = ((globalThis as Record<symbol, unknown>)[SHARED] ??= { on: false, heard: [] } satisfies Listening) as Listening;

/** From now on canaries are listened for. False if they were before: one process runs many files of tests. */
export function listen(): boolean {
  const first = !listening.on;
  listening.on = true;
  return first;
}

/** What was heard since the last time of asking: where, what, and the text around it. */
export function takeHeard(): string[] {
  return listening.heard.splice(0);
}

/** Looks for canaries in something that others may read. */
export function overhear(where: string, text: string, allowed: Allowed = {}): void {
  if (!listening.on) return;
  for (const canary of [...SECRETS, CONTENT]) {
    if (canary === CONTENT && allowed.content === true) continue;
    if (canary.name === "a private key" && allowed.keys === true) continue;
    const index = placeOf(canary, text);
    if (index === -1 || listening.heard.length >= MOST_HEARD) continue;
    listening.heard.push(`${where}: ${canary.name}: …${text.slice(Math.max(0, index - 80), index + 80)}…`);
  }
}

function placeOf({ pattern, confirms }: Canary, text: string): number {
  if (confirms === undefined) return text.search(pattern);
  for (const { index, 0: found } of text.matchAll(pattern)) if (confirms(text, index, found.length)) return index;
  return -1;
}

/** Larger files are the content of large messages. */
const MOST_SEARCHED_BYTES = 64 * 1024 * 1024;

/** Looks for canaries in everything that relays keep below a folder: in each folder with a queue in it. The queue itself may hold content, not secrets. */
export async function searchDataFolders(folder: string): Promise<void> {
  if (!listening.on) return;
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((): Dirent[] => []);
  const queues = entries.filter((entry) => entry.name === "queue.db").map((entry) => entry.parentPath);
  for (const dataFolder of new Set(queues.map((queue) => join(queue, "..")))) {
    for (const entry of entries) {
      const path = join(entry.parentPath, entry.name);
      if (entry.isFile() && path.startsWith(`${dataFolder}/`)) await searchFile(path, relative(dataFolder, path));
    }
  }
}

async function searchFile(path: string, name: string): Promise<void> {
  const size = await stat(path).then(
    (found) => found.size,
    () => 0,
  );
  if (size === 0 || size > MOST_SEARCHED_BYTES) return;
  const text = await readFile(path, "latin1").catch(() => "");
  overhear(`${name} of a relay`, text, { content: name.startsWith("queue/"), keys: name.endsWith(".key") });
}
